"""`python -m tests.benchmarks [--quick] [--folder FOLDER] [--profile FOLDER] [NAME...]`: the table of figures."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mailstore import logs
from tests.benchmarks import dovecot
from tests.benchmarks.house import House, check, dovecot_house, missing, paper, postfix_and_cups, printpost
from tests.benchmarks.measures import MEASURES, MEMORY, Bench, Measure
from tests.interop.cups import open_to_others
from tests.interop.programs import found

COLUMNS = "{:<38} {:<12} {:>9} {:>17} {:>9} {:>7}"


def main() -> None:
    names = [measure.name for measure in MEASURES]
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description="Speeds, beside a peer's.",
        epilog="Where octets of which size lie best in the store is another question: tests.benchmarks.store_borders.",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(names)} (all)")
    parser.add_argument("--quick", action="store_true", help="a quarter of the work, for a first impression")
    parser.add_argument("--alone", action="store_true", help="without the peer")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured (the temporary folder)")
    parser.add_argument("--profile", type=Path, help="a folder for cProfile's results; figures are then no figures")
    wanted = parser.parse_args()
    if unknown := set(wanted.names) - set(names):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    chosen = [measure for measure in MEASURES if measure.name in (wanted.names or names)]
    logs.configure("bench")
    with _folder(wanted.folder) as folder:
        asyncio.run(_run(chosen, folder, quick=wanted.quick, alone=wanted.alone, profile=wanted.profile))


@contextlib.contextmanager
def _folder(parent: Path | None) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="pp-bench-", dir=parent))
    open_to_others(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _run(chosen: Sequence[Measure], folder: Path, *, quick: bool, alone: bool, profile: Path | None) -> None:
    began = time.monotonic()
    why = "not asked for" if alone else missing()
    why_no_pop3 = "not asked for" if alone else dovecot.missing()
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}; medians")
    print(f"peer: {why or 'Postfix + munpack + CUPS'}; for POP3: {why_no_pop3 or 'Dovecot'}\n", flush=True)
    async with contextlib.AsyncExitStack() as stack:
        papers = await stack.enter_async_context(paper())
        ours = await stack.enter_async_context(printpost(folder, papers.ports, profile))
        houses = [ours]
        measured = {measure.pop3 for measure in chosen}
        if not why and False in measured:
            houses.append(await stack.enter_async_context(postfix_and_cups(folder / "peer", papers.ports)))
        if not why_no_pop3 and True in measured:
            houses.append(await stack.enter_async_context(dovecot_house(folder / "dovecot")))
        bench = Bench(folder=folder, paper=papers, quick=quick)
        print(COLUMNS.format("", "unit", "ours", "from - to", "peer", "ratio"))
        for measure in chosen:
            beside = [house for house in houses[1:] if bool(house.pop3) is measure.pop3]
            await _measure(measure, bench, [ours, *beside])
    await check(folder, bench.printed.get(ours.name, 0))
    print(f"\nEvery mail was answered, every job came out once and whole; {time.monotonic() - began:.0f} s in all.")


async def _measure(measure: Measure, bench: Bench, houses: Sequence[House]) -> None:
    """Rounds by turns, so that a slow minute of the machine meets both."""
    if measure.needs and found(measure.needs) is None:
        print(f"{measure.title:<38} left out: {measure.needs} is not installed")
        return
    figures: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for house in houses:
        await measure.run(replace(bench, quick=True), house)
        await house.settled()
    ours, mails = houses[0], 0
    ours.forget_peaks()
    before = ours.processor()
    for _ in range(2 if bench.quick else measure.rounds):
        for house in houses:
            came = await measure.run(bench, house)
            mails += came.mails if house is ours else 0
            for unit, figure in came.figures.items():
                figures[unit][house.name].append(figure)
            await house.settled()
    for unit, by_house in figures.items():
        _line(measure, unit, *(by_house[house.name] for house in houses))
    if measure.within:
        return
    cost = {name: (seconds - before[name]) * 1000 / mails for name, seconds in ours.processor().items()}
    for name, peak in ours.peaks().items():
        print(f"{'':<38} {name}: {cost[name]:.2f} ms of processor a mail, memory at most {peak:.0f} MB", flush=True)


def _line(measure: Measure, unit: str, ours: Sequence[float], peer: Sequence[float] = ()) -> None:
    mine, theirs, ratio = statistics.median(ours), "", ""
    if peer:
        other = statistics.median(peer)
        theirs, ratio = f"{other:.1f}", f"{other / mine if measure.lower or unit == MEMORY else mine / other:.1f}x"
    span = f"{min(ours):.1f} - {max(ours):.1f}"
    print(COLUMNS.format(measure.title, unit, f"{mine:.1f}", span, theirs, ratio))


if __name__ == "__main__":
    main()
