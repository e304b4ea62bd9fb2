"""A hundred printers at once, some hanging, some fast: nobody waits for another."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from mailstore.job import Job, JobState
from printerbridge.virtual import VirtualPrinter
from tests.printshop import POSTSCRIPT, Printshop, message, printshop

pytestmark = pytest.mark.slow

FAST, EACH = 60, 3
HANGING = ("accept-then-stall:1000", "media-empty:30000", "vanish:2000", "vanish:connect", "refuse")
DOCUMENT = POSTSCRIPT + b"%" + b"x" * 300_000 + b"\n"
"""More than a card and a socket hold together."""


async def test_nobody_waits_for_another(tmp_path: Path) -> None:
    faults = [HANGING[number % len(HANGING)] for number in range(100 - FAST)]
    async with _printers(["", *[""] * (FAST - 1), *faults]) as printers, printshop(tmp_path) as shop:
        for number, (_, uri) in enumerate(printers):
            await shop.printer(f"p{number}", uri)
        async with shop.bridge():
            hanging = [await shop.submit(f"p{number}", message(DOCUMENT)) for number in range(FAST, 100)]
            fast = [await shop.submit(f"p{one}", message(DOCUMENT)) for _ in range(EACH) for one in range(FAST)]
            jobs = await shop.ended(*fast, seconds=60)
            assert {job.state for job in jobs} == {JobState.COMPLETED}
            # All others are through, and those that hang still do.
            assert not [job for job in await _jobs(shop, hanging) if job.state.ended]
            for printer, _ in printers[FAST:]:
                printer.set_fault()
                printer.resume()
            jobs = await shop.ended(*hanging, seconds=60)
    assert [(job.state, job.attempts) for job in jobs] == [(JobState.COMPLETED, 1)] * len(hanging)
    for printer, _ in printers[FAST:]:
        assert [job.octets for job in printer.jobs if job.octets] == [len(DOCUMENT)]


async def _jobs(shop: Printshop, numbers: Sequence[int]) -> list[Job]:
    found = [await shop.store.job(number) for number in numbers]
    return [job for job in found if job is not None]


@contextlib.asynccontextmanager
async def _printers(faults: Sequence[str]) -> AsyncIterator[list[tuple[VirtualPrinter, str]]]:
    made: list[tuple[VirtualPrinter, str]] = []
    try:
        for fault in faults:
            printer = VirtualPrinter(None, render=False, faults=[fault] if fault else [])
            host, port = await printer.start()
            made.append((printer, f"socket://{host}:{port}"))
        yield made
    finally:
        await asyncio.gather(*(printer.close() for printer, _ in made))
