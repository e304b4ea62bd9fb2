"""One print job, from e-mail to paper, through all the real parts."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language
from mailstore.directory.slapd import answers
from mailstore.job import DeliveryProof, JobState
from tests.documents import difference, pages_of, pdf, postscript
from tests.fetching import fetchmail, mpop
from tests.house import GLANCE, PATIENCE, Finished, House, foreign, free_ports, house, mail_of
from tests.sink import sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("up")) as running:
        yield running


ROOT = Path(__file__).parents[1]


async def swaks(house: House, printer: str, document: Path) -> str:
    """Mail a file with swaks; the reply to its data."""
    done = await foreign(
        *("swaks", "--server", "{}:{}".format(*house.smtp), "--from", "ada@example.com"),
        *("--to", f"{printer}@example.com", "--attach-type", "application/octet-stream", "--attach", f"@{document}"),
    )
    assert done.status == 0, done.out + done.err
    (reply,) = re.findall(r"(?m)^<-  250 (2\.0\.0 accepted.*)$", done.out)
    return str(reply)


async def test_postscript_by_swaks_arrives_octet_for_octet_once(up: House, tmp_path: Path) -> None:
    """An empty data folder, `printer add` on the command line, one mail: the sink has the file, and it is counted."""
    document = tmp_path / "page.ps"
    document.write_bytes(postscript(2) + bytes(range(256)) * 400)
    async with sink() as printer:
        added = await up.printpost(
            *("printer", "add", "first", "--uri", printer.uri, "--language", "postscript", "--allow", "ada@example.com")
        )
        assert added.status == 0, added.err
        number = int((await swaks(up, "first", document)).rpartition(" ")[2])
        job = await up.job(number)
        assert (job.state, job.attempts, job.documents) == (JobState.COMPLETED, 1, 1)
        assert job.delivery_proof is DeliveryProof.CLOSED
        assert printer.jobs == [document.read_bytes()]
    appliance, bridge = await up.scrape(up.metrics), await up.scrape(up.bridge_metrics)
    assert appliance.value("printpost_jobs_received_total", printer="first") == 1
    assert appliance.value("printpost_smtp_messages_accepted_total") >= 1
    assert appliance.value("printpost_jobs", printer="first") == 0
    assert appliance.value("printpost_last_job_completed_timestamp_seconds", printer="first") == job.completed_at
    assert bridge.value("printpost_jobs_completed_total", printer="first") == 1
    assert bridge.value("printpost_job_attempts_total", printer="first") == 1
    assert bridge.value("printpost_job_sent_bytes_total", printer="first") == document.stat().st_size
    assert not bridge.value("printpost_jobs_failed_total", printer="first")


async def test_pdf_arrives_as_postscript_of_the_same_page(up: House, tmp_path: Path) -> None:
    source, printed = tmp_path / "source.pdf", tmp_path / "printed.ps"
    source.write_bytes(pdf(2, transparent=True))
    async with sink() as printer:
        await up.add("converts", printer.uri, Language.POSTSCRIPT)
        number = int((await swaks(up, "converts", source)).rpartition(" ")[2])
        job = await up.job(number)
        assert (job.state, job.pages) == (JobState.COMPLETED, 2)
        (arrived,) = printer.jobs
    assert arrived.startswith(b"%!PS-Adobe-")
    printed.write_bytes(arrived)
    wanted, got = pages_of(source), pages_of(printed)
    assert len(got) == 2
    assert max(map(difference, wanted, got)) < 0.2
    assert difference(wanted[0], got[1]) > 0.2  # the comparison can tell two pages apart
    assert (await up.scrape(up.bridge_metrics)).value("printpost_job_pages_total", printer="converts") == 2


@pytest.mark.parametrize("client", ["fetchmail", "mpop"])
async def test_a_printer_without_device_address_fetches_the_same_mail(up: House, tmp_path: Path, client: str) -> None:
    document = tmp_path / "page.ps"
    document.write_bytes(postscript() + bytes(range(256)) * 400)
    name = await up.add(f"polls-by-{client}")
    number = int((await swaks(up, name, document)).rpartition(" ")[2])
    job = await up.job(number, JobState.PENDING)
    assert job.reasons == ("job-fetchable",)
    (entry,) = await entries(up, name)
    fetched = await {"fetchmail": fetchmail, "mpop": mpop}[client](up, name, tmp_path)
    assert fetched.replace(b"\n", b"\r\n") == entry
    (attached,) = attachments(fetched)
    assert attached == document.read_bytes()
    job = await up.job(number)
    assert (job.state, job.delivery_proof) == (JobState.COMPLETED, DeliveryProof.FETCHED)
    assert await entries(up, name) == []


async def test_settings_count_from_the_next_mail_on(up: House) -> None:
    async with sink() as one, sink() as other:
        await up.add("moves", one.uri)
        await up.jobs(await up.mail("moves", postscript(title="One")))
        moved = await up.printpost("printer", "set", "moves", "--uri", other.uri)
        assert moved.status == 0, moved.err
        await up.jobs(await up.mail("moves", postscript(title="Other")))
        closed = await up.printpost("printer", "set", "moves", "--deny", "ada@example.com")
        assert closed.status == 0, closed.err
        code, text = await up.submit(mail_of(postscript()), "moves")
        assert (code, text[:5]) == (550, "5.7.1"), text
        assert one.jobs == [postscript(title="One")]
        assert other.jobs == [postscript(title="Other")]


async def test_two_recipients_are_two_jobs(up: House) -> None:
    async with sink() as one, sink() as other:
        await up.add("left", one.uri)
        await up.add("right", other.uri)
        code, text = await up.submit(mail_of(postscript()), "left", "right")
        assert code == 250
        left, right = await up.jobs(*map(int, re.findall(r"\d+", text.rpartition("jobs")[2])))
        assert (left.printer, right.printer) == ("left", "right")
        assert {left.state, right.state} == {JobState.COMPLETED}
        assert one.jobs == other.jobs == [postscript()]


async def test_what_dies_is_started_again_and_goes_on(up: House) -> None:
    """`up` heals: each process is killed while jobs wait, and the jobs are printed."""
    port = free_ports(1)[0]
    await up.add("heals", f"socket://127.0.0.1:{port}")
    (supervisor,) = up.children
    for name in ("appliance", "bridge", "directory"):
        number = await up.mail("heals", postscript(title=name))
        killed = supervisor.children()[name]
        os.kill(killed, signal.SIGKILL)
        async with sink(port=port) as printer:
            job = await up.job(number)
            assert job.state is JobState.COMPLETED
            assert printer.jobs == [postscript(title=name)]
        async with asyncio.timeout(PATIENCE):
            while supervisor.children().get(name, killed) == killed:  # noqa: ASYNC110 - it rings no bell for us
                await asyncio.sleep(GLANCE)
            while not await answers(up.runtime):  # noqa: ASYNC110
                await asyncio.sleep(GLANCE)
            for where in (up.metrics, up.bridge_metrics):
                await answering(up, where)


async def answering(house: House, where: tuple[str, int]) -> None:
    """Return when a process is ready again."""
    while True:
        with contextlib.suppress(OSError):
            if (await house.get(where, "readyz"))[0] == 200:
                return
        await asyncio.sleep(GLANCE)


async def entries(house: House, printer: str) -> list[bytes]:
    """The maildrop's messages as POP3 has them."""
    async with asyncio.timeout(PATIENCE):
        while not (maildrop := await house.store.open_maildrop(printer, "test", 60)):  # noqa: ASYNC110
            await asyncio.sleep(GLANCE)
    try:
        return [b"".join([block async for block in maildrop.read(entry)]) for entry in maildrop.entries]
    finally:
        await maildrop.close()


def attachments(mail: bytes) -> list[bytes]:
    message = email.message_from_bytes(mail, policy=email.policy.default)
    return [part.get_payload(decode=True) for part in message.iter_attachments()]  # type: ignore[misc]


# -- the demo


async def demo(folder: Path, *module: str) -> Finished:
    return await foreign(sys.executable, "-m", *module, str(folder), seconds=100, PYTHONPATH=str(ROOT))


async def test_the_demo_prints_its_page(tmp_path: Path) -> None:
    done = await demo(tmp_path / "demo", "appliance", "demo", "--once", "--folder")
    assert done.status == 0, done.out + done.err
    steps = ("accepted from <ada@demo.example>", "converted in", "attempt 1", "completed", "the same as the source")
    assert re.search(".*\n.*".join(map(re.escape, steps)), done.out, re.DOTALL), done.out
    (picture,) = re.findall(r"The page: (.*)", done.out)
    (sheet,) = pages_of(Path(picture).parent / "job-0001.pdf")
    assert difference(sheet, pages_of(ROOT / "appliance" / "sample.pdf")[0]) < 0.5


async def test_the_demo_fails_where_the_page_is_not_that_of_the_source(tmp_path: Path) -> None:
    done = await demo(tmp_path / "demo", "tests.blotted_demo")
    assert done.status == os.EX_SOFTWARE, done.out + done.err
    assert "NOT the same as the source" in done.out
    assert "the page is not that of the source" in done.err
