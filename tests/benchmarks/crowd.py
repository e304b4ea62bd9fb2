"""`python -m tests.benchmarks.crowd`: is one printer's job as quick among 10,000 printers with 100,000 waiting jobs?

The house runs as `printpost up` does.  The latency of 97 KB jobs to an idle printer (from "250" to the first octet at
its port) is taken with nothing else there, then with so many printers whose jobs wait: paused ones, or (`--waiting
refused`) printers at ports where nobody listens, each tried again and again as its schedule says.  Rounds before and
after are in one run, so their ratio says something; the goal is 1.2.  Memory is that of each process, at its most.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

from mailstore import config, logs
from mailstore.directory.ldap import embedded
from mailstore.directory.records import Printer, Snmp
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.runtime import runtime_folder
from mailstore.store.sql import SqlStore, open_store
from tests.benchmarks.house import DOMAIN, House, paper, printpost
from tests.benchmarks.measures import SMALL_JOB, Bench, latency

ROUNDS = 5
_AT_ONCE = 8
_MAIL = b"Subject: waits\r\n\r\n%!PS\n% nothing\nshowpage\n"
_NOBODY = 9  # discard; nobody listens there, and the kernel says so at once


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.crowd", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--printers", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--waiting", choices=("paused", "refused"), default="paused")
    parser.add_argument("--snmp", action="store_true", help="the printers are asked how they fare, and none answers")
    parser.add_argument("--settle", type=float, default=75.0, help="seconds before the second half")
    parser.add_argument("--folder", type=Path)
    wanted = parser.parse_args()
    logs.configure("bench")
    with tempfile.TemporaryDirectory(prefix="pp-crowd-", dir=wanted.folder) as folder:
        asyncio.run(_run(wanted, Path(folder)))


async def _run(wanted: argparse.Namespace, folder: Path) -> None:
    async with paper() as papers, printpost(folder, papers.ports) as house:
        bench = Bench(folder=folder, paper=papers, quick=False)
        await _round(bench, house)
        empty = [await _round(bench, house) for _ in range(ROUNDS)]
        _tell("nothing else", empty, house)
        print(f"  the disk: {await asyncio.to_thread(_synced, folder):.2f} ms a sync")
        began = time.monotonic()
        await _crowd(wanted, folder)
        print(f"{wanted.printers} printers, {wanted.jobs} jobs made in {time.monotonic() - began:.0f} s", flush=True)
        await asyncio.sleep(wanted.settle)  # until every process has read the entries, and the first tries are over
        house.forget_peaks()
        processor = house.processor()
        at = time.monotonic()
        await asyncio.sleep(20)
        for name, seconds in house.processor().items():
            print(f"  {name}: {(seconds - processor[name]) / (time.monotonic() - at):.1%} of a core at rest")
        crowd = [await _round(bench, house) for _ in range(ROUNDS)]
        _tell(f"{wanted.jobs} jobs wait ({wanted.waiting})", crowd, house)
        print(f"  the disk: {await asyncio.to_thread(_synced, folder):.2f} ms a sync")
        print(f"ratio of the medians: {statistics.median(crowd) / statistics.median(empty):.2f} (goal: 1.2)")


async def _round(bench: Bench, house: House) -> float:
    came = await latency(SMALL_JOB)(bench, house)
    await house.settled()
    return came.figures["ms, median"]


def _synced(folder: Path) -> float:
    """What the disk takes for one page at this time, in milliseconds: no job is faster."""
    took = []
    with (folder / "probe").open("wb", buffering=0) as probe:
        for _ in range(60):
            probe.seek(0)
            probe.write(bytes(4096))
            began = time.monotonic()
            os.fdatasync(probe.fileno())
            took.append((time.monotonic() - began) * 1000)
            time.sleep(0.02)
    return statistics.median(took)


def _tell(title: str, figures: list[float], house: House) -> None:
    rounds = ", ".join(f"{one:.2f}" for one in figures)
    print(f"{title}: {statistics.median(figures):.2f} ms (rounds: {rounds})")
    for name, peak in house.peaks().items():
        print(f"  {name}: memory at most {peak:.0f} MB", flush=True)


async def _crowd(wanted: argparse.Namespace, folder: Path) -> None:
    settings = config.load(folder / "printpost.toml")[0]
    data = settings.store.folder
    store = await open_store(data, role=Role.TOOL)
    directory = embedded(data / "directory", runtime_folder(data), "appliance")
    left = iter(range(wanted.printers))

    async def some() -> None:
        for number in left:
            name = f"crowd{number}"
            host = f"127.{1 + number // 60_000}.{number // 250 % 250}.{1 + number % 250}"
            snmp = Snmp.V1 if wanted.snmp else Snmp.OFF
            entry = Printer(
                name=name, addresses=(f"{name}@{DOMAIN}",), uri=f"socket://{host}:{_NOBODY}", quota=1 << 40, snmp=snmp
            )
            await directory.add(entry, None)
            if wanted.waiting == "paused":
                await store.set_paused(name, paused=True)
            await _jobs(store, name, wanted.jobs // wanted.printers)

    try:
        await asyncio.gather(*(some() for _ in range(_AT_ONCE)))
        await store.changed()
    finally:
        await directory.close()
        await store.close()


async def _jobs(store: SqlStore, printer: str, count: int) -> None:
    envelope = Envelope(reverse_path="ada@example.com", client_ip="127.0.0.1", helo="bench", trust="insider")
    to = Recipient(maildrop=printer, address=f"{printer}@{DOMAIN}", quota=1 << 40, fields=b"")
    for _ in range(count):
        draft = await store.draft(len(_MAIL))
        draft.write(_MAIL)
        await store.accept(draft, envelope, [to])


if __name__ == "__main__":
    main()
