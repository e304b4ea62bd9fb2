"""What cannot be meant, cannot be had or cannot be printed: one clear line, and nothing lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language
from mailstore.directory.slapd import answers
from mailstore.job import JobState
from tests.dns_server import dns_server
from tests.documents import damaged_pdf, pdf, postscript
from tests.house import GLANCE, PATIENCE, House, empty_house, house, mail_of
from tests.sink import free_port, sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

PCL = b"\x1b%-12345X@PJL ENTER LANGUAGE=PCL\r\n\x1bE\x1b&l0O\x1b(s0p10h12VPCL text\x0c\x1bE\x1b%-12345X"
PICTURE = (
    b"Subject: a picture\r\nMIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==\r\n"
)


# -- it does not start, and says why


async def refused(made: House, status: int, *words: str, environment: dict[str, str] | None = None) -> None:
    """`up` ends with `status`; it says one line that holds all of `words`, and at most its first password before."""
    up = await made.start("appliance", "up", environment=environment, ready=False)
    assert await up.ended() == status, up.said
    said = [line for line in up.said.splitlines() if not line.startswith(("{", "The page is ", "Log in as "))]
    assert len(said) == 1, up.said
    for word in words:
        assert word in said[0]
    assert "Traceback" not in up.said


async def test_an_unknown_key_names_file_and_key(tmp_path: Path) -> None:
    async with empty_house(tmp_path, smtp={"listn": "127.0.0.1:2525"}) as made:
        await refused(made, os.EX_CONFIG, str(made.configuration), "[smtp] listn", "there is no such key")


@pytest.mark.parametrize(
    ("section", "key"), [("smtp", "listen"), ("pop3", "listen"), ("metrics", "listen"), ("bridge", "metrics_listen")]
)
async def test_a_taken_port_ends_up_and_names_the_option(tmp_path: Path, section: str, key: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        where = f"127.0.0.1:{other.getsockname()[1]}"
        async with empty_house(tmp_path, None, **{section: {key: where}}) as made:
            await refused(made, os.EX_UNAVAILABLE, f"[{section}] {key} = {where}")


async def test_a_data_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with empty_house(tmp_path) as made:
        made.data = tmp_path / "file" / "data"
        made.configure({})
        await refused(made, os.EX_UNAVAILABLE, str(made.data))


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
async def test_a_data_folder_on_a_read_only_file_system(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "ro") as disk:
        async with empty_house(tmp_path / "house") as made:
            made.data = disk / "data"
            made.configure({})
            await refused(made, os.EX_UNAVAILABLE, str(made.data))


async def test_a_missing_slapd(tmp_path: Path) -> None:
    """A child without slapd on its path, and with nothing where systems keep it."""
    hidden = "import mailstore.directory.openldap as openldap; openldap._SERVER_FOLDERS = ()"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(hidden + "\n")
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("setpriv", "prlimit"):
        (programs / name).symlink_to(shutil.which(name) or name)
    path = f"{tmp_path / 'site'}{os.pathsep}{Path(__file__).parents[1]}"
    async with empty_house(tmp_path) as made:
        environment = {"PYTHONPATH": path, "PATH": str(programs)}
        await refused(
            made, os.EX_UNAVAILABLE, "slapd is not installed", "apt-get install slapd", environment=environment
        )


# -- it runs, and refuses


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("up")) as running:
        await running.add("phaser", "socket://127.0.0.1:9", allow=("ada@example.com",), deny=("eve@example.com",))
        yield running


async def test_a_second_up_on_the_same_folder(up: House) -> None:
    second = await up.start("appliance", "up", ready=False)
    assert await second.ended() != 0
    assert "in use" in second.said
    assert "Traceback" not in second.said
    up.children.remove(second)
    assert (await up.get(up.metrics, "readyz"))[0] == 200


async def test_a_second_serve_and_a_second_bridge_on_the_same_folder(up: House, tmp_path: Path) -> None:
    for command, role in ((("appliance", "serve"), "appliance"), (("printerbridge",), "bridge")):
        second = await up.start(*command, ready=False)
        up.children.remove(second)
        assert await second.ended() == os.EX_UNAVAILABLE, second.said
        assert f"another {role} (process " in second.said


async def test_replies_to_those_who_may_not_or_cannot(up: House) -> None:
    page = mail_of(postscript())
    eve, nobody, relayed, empty, unsuited = [
        await up.submit(message, printer, sender=sender)
        for message, printer, sender in (
            (page, "phaser", "eve@example.com"),
            (page, "nobody", "ada@example.com"),
            (page, "ada@elsewhere.example", "ada@example.com"),
            (PICTURE, "phaser", "ada@example.com"),
            (mail_of(PCL), "phaser", "ada@example.com"),
        )
    ]
    assert (eve[0], eve[1][:5]) == (550, "5.7.1"), eve
    assert (nobody[0], nobody[1][:5]) == (550, "5.1.1"), nobody
    assert (relayed[0], relayed[1][:5]) == (550, "5.7.1"), relayed
    assert (empty[0], empty[1][:5]) == (554, "5.6.1"), empty
    assert (unsuited[0], unsuited[1][:5], unsuited[1][-14:]) == (554, "5.6.1", "send it as PDF"), unsuited
    assert await up.store.jobs(printer="phaser") == []


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (pdf(password="secret"), "document-password-error"),
        (damaged_pdf(), "document-format-error"),
    ],
    ids=["encrypted", "damaged"],
)
async def test_what_cannot_be_opened_is_aborted_and_nothing_is_sent(up: House, document: bytes, reason: str) -> None:
    async with sink() as printer:
        name = await up.add(f"cannot-{reason}", printer.uri, Language.POSTSCRIPT)
        job = await up.job(await up.mail(name, document))
        assert job.state is JobState.ABORTED
        assert reason in job.reasons
        assert job.detail
        assert b"".join([block async for block in up.store.read(job.id)])  # kept for the record
        await up.jobs(await up.mail(name, postscript()))  # and the next one prints
        assert printer.jobs == [postscript()]
    failed = await up.scrape(up.bridge_metrics)
    assert failed.value("printpost_jobs_failed_total", printer=name, reason=reason) == 1


async def test_an_outsider_is_told_why(tmp_path: Path) -> None:
    with dns_server({"example.com": {"TXT": ["v=spf1 -all"]}}) as dns:
        await _is_told_why(tmp_path, dns.address)


async def _is_told_why(tmp_path: Path, dns: str) -> None:
    outside = {"site": {"networks": ["192.0.2.0/24"]}, "proof": {"dns": [dns]}}
    async with house(tmp_path, apart=True, **outside) as made:
        await made.add("phaser", "socket://127.0.0.1:9")
        code, text = await made.submit(mail_of(postscript()), "phaser")
        assert (code, text[:5]) == (550, "5.7.1")
        assert "SPF or DKIM did not prove" in text
        assert await made.store.jobs() == []


# -- the directory goes down


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_with_the_directory_down_known_printers_go_on_and_others_wait(
    tmp_path: Path, number: signal.Signals
) -> None:
    async with house(tmp_path, apart=True) as made, sink() as printer:
        await made.add("known", printer.uri)
        await made.add("unknown", printer.uri)
        await made.jobs(await made.mail("known", postscript(title="Up")))
        server = made.server.pid
        os.kill(server, number)
        try:
            await made.jobs(await made.mail("known", postscript(title="Down")))
            code, text = await made.submit(mail_of(postscript()), "unknown")
            assert (code, text[:5]) == (451, "4.4.3"), text
            for where in (made.metrics, made.bridge_metrics):
                assert (await made.get(where, "readyz"))[0] == 200
        finally:
            os.kill(server, signal.SIGCONT) if number is signal.SIGSTOP else await made.server.stop()
        if number is signal.SIGKILL:
            await made.server.start()
        assert await answers(made.runtime, PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while (answer := await made.submit(mail_of(postscript(title="Again")), "unknown"))[0] == 451:  # noqa: ASYNC110
                await asyncio.sleep(GLANCE)
        assert answer[0] == 250
        assert await printer.count(3, PATIENCE) == [postscript(title=title) for title in ("Up", "Down", "Again")]


# -- the disk gets full


@contextlib.contextmanager
def small_disk(point: Path, *options: str, octets: int = 48 << 20) -> Iterator[Path]:
    """A file system of its own, in memory."""
    point.mkdir(parents=True)
    mount = shutil.which("mount")
    umount = shutil.which("umount")
    assert mount
    assert umount
    words = ",".join([f"size={octets}", "mode=0700", *options])
    if os.spawnv(os.P_WAIT, mount, ["mount", "-t", "tmpfs", "-o", words, "tmpfs", str(point)]):
        pytest.skip("may not mount a file system")
    try:
        yield point
    finally:
        os.spawnv(os.P_WAIT, umount, ["umount", "-l", str(point)])


def room(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system")
async def test_a_short_disk_refuses_mail_and_still_prints_what_waits(tmp_path: Path) -> None:
    port = await free_port()
    document = postscript() + os.urandom(1 << 20)
    with small_disk(tmp_path / "disk") as disk:
        settings = {"store": {"reserve": "8 MiB"}}
        async with house(tmp_path / "house", apart=True, data=disk / "data", **settings) as made:
            await made.add("phaser", f"socket://127.0.0.1:{port}")
            accepted = []
            for number in range(40):
                code, text = await made.submit(mail_of(document + b"%d" % number), "phaser")
                if code != 250:
                    break
                accepted.append(document + b"%d" % number)
            assert (code, text[:5]) == (452, "4.3.1"), text
            assert 3 < len(accepted) < 40
            assert room(disk) > 4 << 20  # the reserve is there for the bridge
            ballast = disk / "ballast"
            ballast.write_bytes(bytes(room(disk) - (6 << 20)))  # others fill the disk too
            code, text = await made.submit(mail_of(postscript()), "phaser")
            assert (code, text[:5]) == (452, "4.3.1"), text
            jobs = await made.store.jobs(printer="phaser")
            assert len(jobs) == len(accepted)
            assert len(list((made.data / "octets").glob("file-*"))) == len(accepted)  # nothing half-stored
            async with sink(port=port) as printer:
                await made.jobs(*(job.id for job in jobs))
                assert printer.jobs == accepted
            assert {job.state for job in await made.store.jobs(printer="phaser")} == {JobState.COMPLETED}
            ballast.unlink()
