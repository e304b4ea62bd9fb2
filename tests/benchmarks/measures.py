"""The measures: what is sent, what is waited for, which figure comes of it."""

from __future__ import annotations

import asyncio
import base64
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks import decide
from tests.benchmarks.house import DRAINED, LISTED, PASSWORD, POLLED, House, Job, Paper
from tests.benchmarks.load import SENDER
from tests.interop.programs import end, finished, program

SMALL_JOB = 97 * 1024
LARGE_JOB = 10_000_000
SMALL_MAIL = 4096
LARGE_MAIL = 100_000_000
CROWD_MAIL = 20_000_000
CROWD = 20
MEMORY = "MB of memory"
PATIENCE = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What the measures need: a folder for mails, the printers, how much of everything to do."""

    folder: Path
    paper: Paper
    quick: bool
    printed: dict[str, int] = field(default_factory=dict)  # by house, jobs that came out

    def scaled(self, count: int) -> int:
        return max(1, count // 4) if self.quick else count


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What came of one round: how many mails it was, and figures by their unit."""

    mails: int
    figures: dict[str, float]


Run = Callable[[Bench, House], Awaitable[Round]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One line of the table, or several."""

    name: str
    title: str
    run: Run
    rounds: int = 3
    lower: bool = False  # less is better
    needs: str = ""  # a foreign program
    pop3: bool = False  # the peer is Dovecot
    within: bool = False  # measured in this process, so it costs no other one anything


def _document(octets: int) -> bytes:
    """PostScript that is all comments behind its first lines."""
    line = b"%" + b"0123456789abcdef" * 4 + b"\n"
    text = b"%!PS-Adobe-3.0\nshowpage\n"
    return (text + line * (octets // len(line) + 1))[: octets - 1] + b"\n"


def _mail(bench: Bench, octets: int, *, attached: bool) -> Path:
    """A mail with a PostScript file attached of exactly so many octets; or a plain one that is itself so long."""
    file = bench.folder / f"mail-{octets}-{attached}"
    if file.exists():
        return file
    head = b"From: ada@example.com\r\nTo: phaser@example.com\r\nSubject: a job\r\nMIME-Version: 1.0\r\n"
    if attached:
        encoded = base64.encodebytes(_document(octets)).replace(b"\n", b"\r\n")
        head += b'Content-Type: multipart/mixed; boundary="=_b"\r\n\r\n'
        text = b"--=_b\r\nContent-Type: text/plain\r\n\r\nsee attachment\r\n\r\n"
        part = b'--=_b\r\nContent-Type: application/postscript; name="a.ps"\r\nContent-Transfer-Encoding: base64\r\n'
        name = b'Content-Disposition: attachment; filename="a.ps"\r\n\r\n'
        file.write_bytes(head + text + part + name + encoded + b"--=_b--\r\n")
    else:
        line = b"The quick brown fox jumps over the lazy dog, and nobody knows why it does.\r\n"
        head += b"Content-Type: text/plain\r\n\r\n"
        file.write_bytes(head + line * ((octets - len(head)) // len(line)))
    return file


async def _load(house: House, mail: Path, to: Sequence[str], *options: str) -> Any:
    """Run the senders to their end; what they tell."""
    return await _told(house, "tests.benchmarks.load", str(house.port), str(mail), "--to", *to, *options)


async def _told(house: House, module: str, *arguments: str) -> Any:
    argv = [sys.executable, "-m", module, *arguments]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        async with asyncio.timeout(PATIENCE):
            output, _ = await process.communicate()
    finally:
        await end(process)
    assert process.returncode == 0, f"the clients of {house.name} failed"
    return json.loads(output)


async def _print(
    bench: Bench, house: House, octets: int, printers: int, mails: int, *options: str
) -> tuple[Any, list[Job]]:
    mail = _mail(bench, octets, attached=True)
    printing = asyncio.create_task(bench.paper.jobs(mails, octets, PATIENCE))
    try:
        told = await _load(house, mail, house.addresses(printers), "--mails", str(mails), *options)
        jobs = await printing
    finally:
        printing.cancel()
    bench.printed[house.name] = bench.printed.get(house.name, 0) + mails
    return told, jobs


def _through(octets: int, printers: int, ours: int, theirs: int) -> Run:
    async def run(bench: Bench, house: House) -> Round:
        mails = bench.scaled(ours if house.processes else theirs)
        told, jobs = await _print(bench, house, octets, printers, mails, "--senders", "8")
        seconds = max(job.end for job in jobs) - told["began"]
        return Round(mails=mails, figures={"jobs/s": mails / seconds, "MB/s": mails * octets / seconds / 1e6})

    return run


def latency(octets: int) -> Run:
    async def run(bench: Bench, house: House) -> Round:
        mails = bench.scaled(60 if house.processes else 20)
        # The pause is long enough for a job to end, so that each finds an idle house.
        pause = 0.05 if house.processes else 0.4
        told, jobs = await _print(bench, house, octets, 1, mails, "--senders", "1", "--keep", "--pause", str(pause))
        accepted = [mail[0] for mail in told["mails"]]
        late = [(job.first - at) * 1000 for at, job in zip(accepted, jobs, strict=True)]
        return Round(mails=mails, figures={"ms, median": statistics.median(late), "ms, longest": max(late)})

    return run


def _accept(*options: str) -> Run:
    async def run(bench: Bench, house: House) -> Round:
        mails = bench.scaled(4000 if house.processes else 1200)
        argv = [
            program("smtp-source"),
            *options,
            "-s",
            "10",
            "-m",
            str(mails),
            "-l",
            str(SMALL_MAIL),
            "-f",
            SENDER,
            "-t",
            house.box,
        ]
        began = time.monotonic()
        told = await finished([*argv, f"inet:127.0.0.1:{house.port}"], PATIENCE)
        assert told == (0, ""), f"{house.name} did not take every mail: {told[1]}"
        return Round(mails=mails, figures={"mails/s": mails / (time.monotonic() - began)})

    return run


async def _accept_large(bench: Bench, house: House) -> Round:
    mail = _mail(bench, LARGE_MAIL, attached=False)
    told = await _load(house, mail, [house.box], "--senders", "1", "--mails", "1")
    octets = (await asyncio.to_thread(mail.stat)).st_size
    return Round(mails=1, figures={"MB/s": octets / told["mails"][0][1] / 1e6})


async def _accept_crowd(bench: Bench, house: House) -> Round:
    """All begin at once; the clock stops with the last."""
    mail, mails = _mail(bench, CROWD_MAIL, attached=False), bench.scaled(CROWD)
    async with house.memory_peak() as peak:
        told = await _load(house, mail, [house.box], "--senders", str(mails), "--mails", str(mails))
    seconds = max(accepted for accepted, _ in told["mails"]) - told["began"]
    return Round(mails=mails, figures={"MB/s": mails * CROWD_MAIL / seconds / 1e6, MEMORY: peak[0]})


def _drain(octets: int, count: int, window: int) -> Run:
    async def run(bench: Bench, house: House) -> Round:
        mail, mails = await asyncio.to_thread(_mail(bench, octets, attached=False).read_bytes), bench.scaled(count)
        assert house.fill is not None
        # Not synced: on some disks it costs milliseconds to remove a file that was, and one of the two has files.
        await house.fill(DRAINED, mail, mails)
        words = ["drain", str(house.pop3), PASSWORD, DRAINED, "--window", str(window)]
        told = await _told(house, "tests.benchmarks.fetch", *words)
        assert told["messages"] == mails, f"{mails} lay in the maildrop, {told['messages']} came out of it"
        figures = {"mails/s": mails / told["seconds"]}
        if octets > 1 << 20:
            figures = {"MB/s": told["octets"] / told["seconds"] / 1e6}
        return Round(mails=mails, figures=figures)

    return run


def _list(count: int) -> Run:
    """A maildrop is filled once, since nobody deletes."""
    filled: dict[str, int] = {}

    async def run(bench: Bench, house: House) -> Round:
        mail, mails = await asyncio.to_thread(_mail(bench, SMALL_MAIL, attached=False).read_bytes), count
        assert house.fill is not None
        if house.name not in filled:
            filled[house.name] = mails
            await house.fill(LISTED, mail, mails)
            await house.settled()
        told = await _told(house, "tests.benchmarks.fetch", "list", str(house.pop3), PASSWORD, LISTED)
        assert told["messages"] == mails, f"{mails} lay in the maildrop, {told['messages']} are listed"
        return Round(mails=1, figures={"ms": told["seconds"] * 1000})

    return run


async def _poll(bench: Bench, house: House) -> Round:
    sessions = bench.scaled(4000)
    words = ["poll", str(house.pop3), PASSWORD, *POLLED, "--sessions", str(sessions), "--clients", "8"]
    told = await _told(house, "tests.benchmarks.fetch", *words)
    return Round(mails=sessions, figures={"sessions/s": sessions / told["seconds"]})


async def _decide(bench: Bench, house: House) -> Round:
    seconds = 0.25 if bench.quick else 1.0
    return Round(mails=1, figures=await (decide.ours if house.processes else decide.theirs)(seconds))


MEASURES = (
    Measure(name="small-1", title="97 KB jobs to one printer", run=_through(SMALL_JOB, 1, 800, 160)),
    Measure(name="small-8", title="97 KB jobs to eight printers", run=_through(SMALL_JOB, 8, 1200, 160)),
    Measure(name="large-1", title="10 MB jobs to one printer", run=_through(LARGE_JOB, 1, 40, 16)),
    Measure(name="large-8", title="10 MB jobs to eight printers", run=_through(LARGE_JOB, 8, 40, 16)),
    Measure(name="idle-2", title="idle, 2 KB job: 250 to first octet", run=latency(2048), lower=True),
    Measure(name="idle-97", title="idle, 97 KB job: 250 to first octet", run=latency(SMALL_JOB), lower=True),
    Measure(name="accept", title="4 KB mails, each its connection", run=_accept(), rounds=5, needs="smtp-source"),
    Measure(
        name="accept-kept", title="4 KB mails, many a connection", run=_accept("-d"), rounds=5, needs="smtp-source"
    ),
    Measure(name="accept-large", title="a 100 MB mail", run=_accept_large, rounds=5),
    Measure(name="accept-crowd", title="20 mails of 20 MB at once", run=_accept_crowd),
    Measure(name="decide", title="who may print, 50 rules: goal 1000 us", run=_decide, lower=True, within=True),
    Measure(name="drain", title="POP3: 3,000 mails of 4 KB", run=_drain(SMALL_MAIL, 3000, 32), pop3=True),
    Measure(name="drain-slow", title="the same, one RETR at a time", run=_drain(SMALL_MAIL, 3000, 1), pop3=True),
    Measure(name="drain-large", title="POP3: 20 mails of 10 MB", run=_drain(LARGE_JOB, 20, 4), pop3=True),
    Measure(name="list", title="20,000 mails: login, STAT, UIDL", run=_list(20_000), lower=True, pop3=True),
    Measure(name="poll", title="POP3: logins to empty maildrops", run=_poll, pop3=True),
)
