"""The end of waiting: jobs that nobody released, or that could not be printed, are given up when their time is over.

How long they may wait their printer's entry says; while the directory does not answer and nothing is remembered of the
printer, nothing ends.  People are told by the notices that every given-up job makes.

A clock may be wrong, and then put right, and a job that came a minute ago looks years old.  So a leap of the clock
while we run is taken off the age of what came before it, and in the hour after a start or a leap nothing is given up at
all: after long days without power the printer has its chance first, and whoever set the clock wrong can see it.  A
clock that was ahead and is set back makes jobs wait for longer, which harms nobody.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from mailstore.directory.contract import Directory
from mailstore.failure import Failure
from mailstore.store.contract import Store

LOOK = 60.0
"""Seconds between two looks."""
LEAST = 60.0
"""Seconds that every job may wait: no entry can say less (`mailstore.directory.serving`)."""
SETTLES = 3600.0
"""Seconds after a start or a leap in which nothing is given up."""
LEAP = 300.0
"""Seconds that the clock may run ahead of ours between two looks; more is no drift."""
AT_ONCE = 100  # jobs that the store gives up in one go
_LEAPS = 100  # that are remembered

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Expiry:
    """Gives jobs up for as long as `run` runs.  `wall` is the clock of `received_at`, `monotonic` never leaps."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._directory = directory
        self._wall = wall
        self._monotonic = monotonic
        self._seen = wall(), monotonic()
        self._settled = self._seen[1] + SETTLES
        self._leaps: list[tuple[float, float]] = []  # where the clock landed, and how far it had leapt

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.look()
            except (Failure, OSError) as failure:  # the store: what is not given up now waits a minute longer
                log.warning("not looked whether jobs wait for too long", why=str(failure))
            await asyncio.sleep(LOOK)

    async def look(self) -> int:
        """Give up what has waited too long; returns how many jobs.  Raises `TransientFailure` if the store fails."""
        now = self._read_clock()
        if self._monotonic() < self._settled:
            return 0
        gone = 0
        for row in await self._store.waiting():
            if row.oldest and row.oldest <= self._before(now, LEAST):
                gone += await self._of_printer(row.printer, row.oldest, now)
        return gone

    async def _of_printer(self, name: str, oldest: float, now: float) -> int:
        try:
            printer = await self._directory.printer(name)
        except Failure as failure:
            log.info("nobody knows for how long jobs may wait", printer=name, why=failure.text)
            return 0
        if printer is None:
            return 0
        received, held = self._before(now, printer.expiry), self._before(now, printer.hold_expiry)
        if oldest > max(received, held):
            return 0
        gone = part = await self._store.expire_jobs(name, received=received, held=held)
        while part >= AT_ONCE:
            part = await self._store.expire_jobs(name, received=received, held=held)
            gone += part
        if gone:
            log.warning("jobs were given up, for their time is over", printer=name, jobs=gone)
        return gone

    def _read_clock(self) -> float:
        """The time; notes whether the clock has leapt since the last look."""
        wall, monotonic = self._wall(), self._monotonic()
        leapt = (wall - self._seen[0]) - (monotonic - self._seen[1])
        self._seen = wall, monotonic
        if leapt > LEAP:
            log.warning("the clock leapt ahead; no job is given up for an hour", seconds=round(leapt))
            self._leaps = [*self._leaps, (wall, leapt)][-_LEAPS:]
            self._settled = monotonic + SETTLES
        return wall

    def _before(self, now: float, seconds: float) -> float:
        """What came before this has waited for so long, as far as our own running tells."""
        at = now - seconds
        for landed, leapt in reversed(self._leaps):
            if at >= landed:
                break
            at -= leapt
        return at
