"""Postfix sends mail to the receiver: its load generator, and the real server that hands mail on to us."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from appliance.smtp.limits import Limits
from mailstore.job import Job
from tests.interop.cups import open_to_others
from tests.interop.postfix import arrived, into_maildirs, logged, postfix
from tests.interop.programs import finished, program, until
from tests.printshop import POSTSCRIPT, message
from tests.sink import free_port
from tests.smtp_client import Site, site

pytestmark = [pytest.mark.interop, pytest.mark.slow]

ADDRESS = "phaser360@example.com"
SENDER = "ada@example.com"


@pytest.fixture
async def printers(tmp_path: Path) -> AsyncIterator[Site]:
    async with site(tmp_path) as made:
        yield made


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pp-postfix-"))
    open_to_others(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


def hand_on(port: int, **more: str) -> dict[str, str]:
    """Parameters: mail for example.com goes to this port, and what is deferred is tried again each second."""
    soon = dict.fromkeys(("minimal_backoff_time", "maximal_backoff_time", "queue_run_delay"), "1s")
    return {"relay_domains": "example.com", "relay_transport": f"smtp:[localhost]:{port}", **soon, **more}


@pytest.mark.parametrize("options", [[], ["-d"]], ids=["a-connection-each", "many-in-a-connection"])
async def test_smtp_source_is_answered_for_every_mail(printers: Site, options: Sequence[str]) -> None:
    source = program("smtp-source")
    async with printers.receiver() as receiver:
        host, port = receiver.address
        argv = [source, *options, "-s", "10", "-m", "300", "-l", "4096", "-f", SENDER, "-t", ADDRESS]
        status, said = await finished([*argv, f"inet:{host}:{port}"])
    assert (status, said) == (0, "")  # it ends at once, with a message, when a mail is not accepted
    jobs = await printers.store.jobs(printer="phaser360")
    assert len(jobs) == 300
    assert len({job.id for job in jobs}) == 300
    assert all(job.octets >= 4096 for job in jobs)


async def test_smtp_source_sends_a_large_mail(printers: Site) -> None:
    source = program("smtp-source")
    async with printers.receiver() as receiver:
        host, port = receiver.address
        argv = [source, "-m", "2", "-s", "2", "-l", "30000000", "-f", SENDER, "-t", ADDRESS]
        status, said = await finished([*argv, f"inet:{host}:{port}"])
    assert (status, said) == (0, "")
    jobs = await printers.store.jobs(printer="phaser360")
    assert [job.octets >= 30_000_000 for job in jobs] == [True, True]


async def test_a_mail_that_postfix_hands_on_arrives_octet_for_octet(printers: Site, folder: Path) -> None:
    letters = [message(POSTSCRIPT * 500, subject=f"job {n}") for n in range(10)]
    letters += [b"Subject: job %d\r\n\r\n" % n + b".\r\n..\r\n.a%d\r\n" % n * 500 for n in range(10, 20)]
    async with printers.receiver() as receiver:
        port = receiver.address[1]
        async with postfix(folder, hand_on(port)) as entry:
            await asyncio.to_thread(_submit, entry, letters)
            jobs = await _arrived(printers, len(letters), folder)
    assert sorted(job.name for job in jobs) == sorted(f"job {n}" for n in range(20))
    for job in jobs:
        letter = letters[int(job.name.split()[1])]
        stored = b"".join([block async for block in printers.store.read(job.id)])
        assert stored.endswith(letter.partition(b"\r\n\r\n")[2])
        assert stored.count(b"postfix.example.com") >= 1  # its Received field stands below ours


def _submit(
    port: int,
    letters: Sequence[bytes],
    *recipients: str,
    sender: str = SENDER,
    options: Sequence[str] = (),
) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for letter in letters:
            assert client.sendmail(sender, recipients or [ADDRESS], letter, options) == {}


async def _arrived(printers: Site, count: int, folder: Path) -> Sequence[Job]:
    async def all_there() -> bool:
        log = await asyncio.to_thread((folder / "mail.log").read_text)
        assert "status=bounced" not in log, log
        assert "status=deferred" not in log, log
        return len(await printers.store.jobs(printer="phaser360")) >= count

    await until(all_there, 30)
    return await printers.store.jobs(printer="phaser360")


@pytest.mark.parametrize("level", ["encrypt", "verify"])
async def test_postfix_delivers_under_tls(printers: Site, folder: Path, level: str) -> None:
    """It says what it thinks of our certificate: nothing known, or verified by the file that it was given."""
    tls = {"smtp_tls_security_level": level, "smtp_tls_loglevel": "1"}
    if level == "verify":
        tls["smtp_tls_CAfile"] = str(printers.certificate.files[0])
    async with printers.receiver() as receiver:
        async with postfix(folder, hand_on(receiver.address[1], **tls)) as entry:
            await asyncio.to_thread(_submit, entry, [message(POSTSCRIPT)])
            (job,) = await _arrived(printers, 1, folder)
        said = await logged(folder, "TLS connection established to localhost")
    assert ("Verified" if level == "verify" else "Untrusted") in said
    assert "TLSv1.3" in said
    stored = b"".join([block async for block in printers.store.read(job.id)])
    assert b"with ESMTPS id" in stored.replace(b"\r\n\t", b" ").partition(b"\r\nReceived:")[0]


async def test_postfix_logs_in_and_sends_by_submissions(printers: Site, folder: Path) -> None:
    login = {
        "smtp_tls_wrappermode": "yes",
        "smtp_tls_security_level": "verify",
        "smtp_tls_CAfile": str(printers.certificate.files[0]),
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": f"texthash:{folder}/passwords",
        "smtp_sasl_security_options": "noanonymous",
    }
    async with printers.receiver() as receiver:
        port = receiver.addresses["submissions"][1]
        (folder / "passwords").write_text(f"[localhost]:{port} ada:correct horse\n")
        async with postfix(folder, hand_on(port, **login)) as entry:
            await asyncio.to_thread(_submit, entry, [message(POSTSCRIPT)], "members@example.com")
            await logged(folder, "to=<members@example.com>", "status=sent")
    (job,) = await printers.store.jobs(printer="members")
    assert job.sender == SENDER


async def test_what_postfix_says_to_us(printers: Site, folder: Path) -> None:
    """Its log of the dialogue: pipelined, several recipients at once, 8-bit, internationalized, from nobody."""
    eight_bit, utf8 = b"Subject: 8bit\r\n\r\n" + "ü\r\n".encode(), "Subject: Größe\r\n\r\nx\r\n".encode()
    both = (ADDRESS, "colour@example.com")
    async with printers.receiver() as receiver:
        port = receiver.address[1]
        async with postfix(folder, hand_on(port, debug_peer_list="127.0.0.1,localhost")) as entry:
            await asyncio.to_thread(_submit, entry, [eight_bit], *both, options=["BODY=8BITMIME"])
            await asyncio.to_thread(
                _submit, entry, [utf8], sender="größe@example.com", options=["SMTPUTF8", "BODY=8BITMIME"]
            )
            await asyncio.to_thread(_submit, entry, [eight_bit], "postmaster@example.com", sender="")
            for to in (*both, "postmaster@example.com"):
                await logged(folder, f"to=<{to}>", "status=sent")
            await _arrived(printers, 2, folder)
        for words in (
            [f"> localhost[127.0.0.1]:{port}: MAIL FROM:<{SENDER}> SIZE=", "BODY=8BITMIME"],
            [f"> localhost[127.0.0.1]:{port}: MAIL FROM:<größe@example.com> SIZE=", "SMTPUTF8"],
            [f"> localhost[127.0.0.1]:{port}: MAIL FROM:<> SIZE="],
            [f"> localhost[127.0.0.1]:{port}: RCPT TO:<colour@example.com>"],
            ["Using ESMTP PIPELINING"],
        ):
            await logged(folder, *words)
    jobs = await printers.store.jobs()
    assert sorted((job.printer, job.sender, job.name) for job in jobs) == [
        ("colour", SENDER, "8bit"),
        ("phaser360", SENDER, "8bit"),
        ("phaser360", "größe@example.com", "Größe"),
    ]


async def test_postfix_keeps_what_we_defer_and_tries_again(printers: Site, folder: Path) -> None:
    """A printer that takes no jobs (450), then a server that is full (421), then all is well."""
    port = await free_port()
    async with postfix(folder, hand_on(port)) as entry:
        async with printers.receiver(listen=f"127.0.0.1:{port}"):
            await printers.store.set_accepting("phaser360", False)
            await asyncio.to_thread(_submit, entry, [message(POSTSCRIPT)])
            await logged(folder, "status=deferred", "450 4.2.1 the printer takes no jobs now")
            await printers.store.set_accepting("phaser360", True)
        async with printers.receiver(listen=f"127.0.0.1:{port}", limits=Limits(connections=0)):
            await logged(folder, "refused to talk to me: 421 4.7.0 too many connections")
            assert not await printers.store.jobs()
        async with printers.receiver(listen=f"127.0.0.1:{port}"):
            await logged(folder, f"to=<{ADDRESS}>", "status=sent", "accepted as job 1")
    assert len(await printers.store.jobs()) == 1


async def test_what_we_refuse_postfix_reports_to_the_sender(printers: Site, folder: Path) -> None:
    port = await free_port()
    parameters = into_maildirs(folder) | hand_on(port)
    async with printers.receiver(listen=f"127.0.0.1:{port}"), postfix(folder, parameters) as entry:
        nobody = "nobody@example.com"
        await asyncio.to_thread(_submit, entry, [message(POSTSCRIPT)], nobody, sender="grace@example.org")
        (report,) = await arrived(folder, "grace")
    assert b"Action: failed\nStatus: 5.1.1\n" in report
    assert b"550 5.1.1 no such printer here" in report.replace(b"\n    ", b" ")
    assert not await printers.store.jobs()
