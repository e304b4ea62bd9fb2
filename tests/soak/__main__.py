"""`python -m tests.soak --seconds 3600`: jobs by mail at a steady rate to printers with random faults.

Now and then the bridge is killed (SIGKILL); `up` starts it again.  Every ten seconds memory and descriptors of each
process are written down.  At the end every job that was promised must be in the books with an end that is true by what
the printers saw:

- completed: the printer has it whole, once; if it was printed again under a banner, at most once for each attempt; a
  printer that closes in order while its card still holds what it acknowledged (`close-early`) cannot be told from one
  that printed, so as many jobs as met that fault may lack their paper where the proof says no more than closed
- in doubt: at most once whole
- nothing else ended, nothing is left that neither printed nor is in doubt

Exit status 0 if that holds and memory is flat: each process' median of the last fifth of the time is within a tenth, or
8 MB, of that of the second fifth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import aiosmtplib

from mailstore.directory.records import WhenUncertain
from mailstore.job import ENDED, DeliveryProof, Job, JobState
from tests.house import House, house, mail_of, promised

PRINTERS = 8
CLIENTS = 6
SIZES = (2_000, 20_000, 60_000, 97_000, 200_000)
SAMPLE_SECONDS = 10.0
DRAIN_SECONDS = 300.0
_DECISIONS = (WhenUncertain.HOLD, WhenUncertain.HOLD, WhenUncertain.REPRINT, WhenUncertain.PRINTED)


@dataclass(slots=True)
class Books:
    """What was promised, and what the printers saw."""

    promised: dict[int, str] = field(default_factory=dict)  # job -> SHA-256 of its document
    seen: Counter[str] = field(default_factory=Counter)  # SHA-256 -> whole ones
    connections: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    kills: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    at: float
    process: str
    memory: float  # resident, MB
    descriptors: int
    threads: int


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description="A long run under load with faults.")
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--rate", type=float, default=160.0, help="jobs a second")
    parser.add_argument("--faulty", type=float, default=0.003, help="faults for each job")
    parser.add_argument("--kill", type=float, default=300.0, help="seconds between two kills of the bridge; 0: none")
    parser.add_argument("--seed", type=int, default=9100)
    wanted = parser.parse_args()
    sys.exit(asyncio.run(soak(wanted)))


async def soak(wanted: argparse.Namespace) -> int:
    books, samples = Books(), list[Sample]()
    with tempfile.TemporaryDirectory(prefix="pp-soak-") as folder:
        async with _paper(wanted, books) as ports, house(Path(folder), store={"keep": "60s"}) as up:
            for number, port in enumerate(ports):
                decision = _DECISIONS[number % len(_DECISIONS)]
                uri = f"socket://127.0.0.1:{port}"
                await up.add(f"phaser{number}", uri, when_uncertain=decision, end_wait=5, quota=1 << 40)
            await _load(wanted, up, books, samples)
            left = await _drained(up)
            troubles = await _audit(up, books)
            _tell(wanted, books, samples, left)
    flat = _flatness(samples)
    for trouble in [*troubles, *flat]:
        print(f"WRONG: {trouble}")
    return 1 if troubles or flat or left or not books.promised else 0


@contextlib.asynccontextmanager
async def _paper(wanted: argparse.Namespace, books: Books):  # type: ignore[no-untyped-def]
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-m", "tests.soak.paper", str(PRINTERS), str(wanted.faulty), str(wanted.seed)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    ports = [int(word) for word in (await process.stdout.readline()).split()]

    async def watch() -> None:
        assert process.stdout is not None
        while line := await process.stdout.readline():
            one = json.loads(line)
            books.connections += 1
            books.seen[one["sha256"]] += one["whole"]
            if one["fault"]:
                books.faults[one["fault"].partition(":")[0]] += 1

    watching = asyncio.create_task(watch())
    try:
        yield ports
    finally:
        process.stdin.close()
        await process.wait()
        await watching
        assert process.returncode == 0, "the printers ended by an error"


async def _load(wanted: argparse.Namespace, up: House, books: Books, samples: list[Sample]) -> None:
    dice = random.Random(wanted.seed)
    until = time.monotonic() + wanted.seconds
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(_client(up, books, dice, CLIENTS / wanted.rate, until))
        group.create_task(_watch(up, samples, until))
        if wanted.kill:
            group.create_task(_kill(up, books, wanted.kill, until))


async def _client(up: House, books: Books, dice: random.Random, pause: float, until: float) -> None:
    """Mail after mail at its pace; what is refused is counted and not sent again."""
    due = time.monotonic() + dice.random() * pause
    client = aiosmtplib.SMTP(hostname=up.smtp[0], port=up.smtp[1], timeout=60, start_tls=False)
    sent = 0
    while time.monotonic() < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        due += pause
        document = _document(dice)
        to = f"phaser{dice.randrange(PRINTERS)}@example.com"
        try:
            if not client.is_connected or sent % 500 == 0:  # fewer than [limits] messages_per_connection
                client.close()
                await client.connect()
            sent += 1
            _, text = await client.sendmail("ada@example.com", [to], mail_of(document))
        except (aiosmtplib.SMTPException, OSError) as error:
            books.refused[type(error).__name__] += 1
            client.close()
        else:
            books.promised[promised(text)] = sha256(document).hexdigest()
    client.close()


def _document(dice: random.Random) -> bytes:
    octets = dice.choice(SIZES) if dice.random() > 0.002 else 5_000_000
    head = f"%!PS-Adobe-3.0\n% {dice.getrandbits(128):032x}\nshowpage\n".encode()
    line = b"%" + b"0123456789abcdef" * 4 + b"\n"
    return head + line * (octets // len(line))


async def _watch(up: House, samples: list[Sample], until: float) -> None:
    (supervisor,) = up.children
    began = time.monotonic()
    while time.monotonic() < until:
        await asyncio.sleep(SAMPLE_SECONDS)
        for name, pid in supervisor.children().items():
            with contextlib.suppress(OSError):
                samples.append(_sample(name, pid, time.monotonic() - began))


def _sample(name: str, pid: int, at: float) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return Sample(
        at=at,
        process=name,
        memory=int(status["VmRSS"].split()[0]) * 1024 / 1e6,
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
        threads=int(status["Threads"]),
    )


async def _kill(up: House, books: Books, every: float, until: float) -> None:
    (supervisor,) = up.children
    while time.monotonic() + every < until:
        await asyncio.sleep(every)
        if bridge := supervisor.children().get("bridge"):
            os.kill(bridge, signal.SIGKILL)
            books.kills += 1


async def _drained(up: House) -> int:
    """Wait until nothing waits any more that can be printed; how many jobs do nevertheless."""
    until = time.monotonic() + DRAIN_SECONDS
    while True:
        waiting = await up.store.waiting()
        left = sum(row.states.get(state, 0) for row in waiting for state in (JobState.PENDING, JobState.PROCESSING))
        if not left or time.monotonic() > until:
            return left
        await asyncio.sleep(1.0)


async def _audit(up: House, books: Books) -> list[str]:
    """Every job that was promised, against what the printers saw."""
    troubles: list[str] = []
    known: dict[int, Job] = {}
    before = 0
    while found := await up.store.jobs(limit=1000, before=before):
        known |= {job.id: job for job in found}
        before = min(job.id for job in found)
    swallowed = 0
    for number, digest in books.promised.items():
        job, whole = known.get(number), books.seen[digest]
        if job is not None and _swallowed(job, whole):
            swallowed += 1
        elif job is None:
            troubles.append(f"job {number} was promised and is not in the books")
        elif (why := _wrong(job, whole)) is not None:
            troubles.append(f"job {number} of {job.printer} is {job.state.value} {job.reasons}: {why} ({job.detail})")
    if swallowed > books.faults["close-early"]:
        troubles.append(f"{swallowed} jobs are completed without paper, more than met close-early")
    return troubles[:50] + ([f"and {len(troubles) - 50} more"] if len(troubles) > 50 else [])


def _swallowed(job: Job, whole: int) -> bool:
    weak = job.delivery_proof in (DeliveryProof.ACKED, DeliveryProof.CLOSED)
    return job.state is JobState.COMPLETED and weak and not whole and len(job.reasons) == 1


def _wrong(job: Job, whole: int) -> str | None:
    doubted = {"x-delivery-unknown", "x-printed-again", "x-resumed"} & set(job.reasons)
    if job.state is JobState.COMPLETED and not doubted:
        return None if whole == 1 else f"the printer has it {whole} times"
    if job.state is JobState.COMPLETED:
        return None if whole <= job.attempts else f"{job.attempts} attempts, and the printer has it {whole} times"
    if job.state is JobState.PROCESSING_STOPPED and "x-delivery-unknown" in job.reasons:
        return None if whole <= 1 else f"the printer has it {whole} times"
    return "it has no end" if job.state not in ENDED else "it should have been printed"


def _flatness(samples: list[Sample]) -> list[str]:
    wrong = []
    for name in ("appliance", "bridge"):
        mine = [one for one in samples if one.process == name]
        fifth = len(mine) // 5
        if fifth < 3:
            continue
        early = statistics.median(one.memory for one in mine[fifth : 2 * fifth])
        late = statistics.median(one.memory for one in mine[-fifth:])
        if late > max(early * 1.1, early + 8):
            wrong.append(f"the memory of the {name} rose from {early:.0f} to {late:.0f} MB")
        early_files = statistics.median(one.descriptors for one in mine[fifth : 2 * fifth])
        late_files = statistics.median(one.descriptors for one in mine[-fifth:])
        if late_files > early_files + 20:
            wrong.append(f"the {name} had {early_files:.0f} descriptors, and {late_files:.0f} in the end")
    return wrong


def _tell(wanted: argparse.Namespace, books: Books, samples: list[Sample], left: int) -> None:
    count = len(books.promised)
    print(
        f"{count} jobs promised in {wanted.seconds:.0f} s: {count / wanted.seconds:.0f} a second; {left} left waiting"
    )
    print(
        f"{books.connections} connections, faults met: {dict(books.faults)}; the bridge was killed {books.kills} times"
    )
    print(f"mails not taken: {dict(books.refused)}")
    for name in ("directory", "appliance", "bridge"):
        mine = [one for one in samples if one.process == name]
        for part in range(5):
            fifth = mine[part * len(mine) // 5 : (part + 1) * len(mine) // 5]
            if fifth:
                memory = [one.memory for one in fifth]
                print(
                    f"{name:<10} fifth {part + 1}: {statistics.median(memory):6.1f} MB (most {max(memory):.1f}),"
                    f" {max(one.descriptors for one in fifth)} descriptors, {max(one.threads for one in fifth)} threads"
                )


if __name__ == "__main__":
    main()
