"""Postfix sends mail to the receiver: its load generator, and the real server that hands mail on to us."""

from __future__ import annotations

import asyncio
import shutil
import smtplib
import tempfile
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from mailstore.job import Job
from tests.interop.cups import open_to_others
from tests.interop.postfix import postfix
from tests.interop.programs import finished, program, until
from tests.printshop import POSTSCRIPT, message
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
        host, port = receiver.address
        hand_on = {"relay_domains": "example.com", "relay_transport": f"smtp:[{host}]:{port}"}
        async with postfix(folder, hand_on) as entry:
            await asyncio.to_thread(_submit, entry, letters)
            jobs = await _arrived(printers, len(letters), folder)
    assert sorted(job.name for job in jobs) == sorted(f"job {n}" for n in range(20))
    for job in jobs:
        letter = letters[int(job.name.split()[1])]
        stored = b"".join([block async for block in printers.store.read(job.id)])
        assert stored.endswith(letter.partition(b"\r\n\r\n")[2])
        assert stored.count(b"postfix.example.com") >= 1  # its Received field stands below ours


def _submit(port: int, letters: Sequence[bytes]) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
        for letter in letters:
            assert client.sendmail(SENDER, [ADDRESS], letter) == {}


async def _arrived(printers: Site, count: int, folder: Path) -> Sequence[Job]:
    async def all_there() -> bool:
        log = await asyncio.to_thread((folder / "mail.log").read_text)
        assert "status=bounced" not in log, log
        assert "status=deferred" not in log, log
        return len(await printers.store.jobs(printer="phaser360")) >= count

    await until(all_there, 30)
    return await printers.store.jobs(printer="phaser360")
