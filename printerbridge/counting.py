"""Pages counted by the printer itself: what its life's counter says before a job and after it.

A job of n pages is out when the counter has risen by n and the printer is idle.  Idle alone proves nothing: many
printers are so before they begin.  A counter that does not keep up once is given a moment only, until it does.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from mailstore.directory.records import Printer
from mailstore.report import PrinterReport
from printerbridge.appsocket import GivenUp
from printerbridge.mib import Look
from printerbridge.patience import Patience

_FIRST_SECONDS = 0.1  # before the second look; the next ones come slower
_MOMENT = 1.0
_ANSWER_SECONDS = 2.0
_SOON_SECONDS = 0.5


class Looking(Protocol):
    """Whoever asks printers how they fare."""

    async def look(self, printer: Printer, *, seconds: float = 2.0) -> Look | None:
        """Now; None if it does not answer within `seconds`, or is not asked."""


Stands = Callable[[Look | None], Awaitable[None]]
"""Awaited with what keeps the printer from printing, with None when it goes on."""


class Counting:
    """For the jobs of one device; between two looks are at most `seconds`.  `report` is what a printer said last."""

    def __init__(
        self, health: Looking | None, seconds: float, report: Callable[[str], Awaitable[PrinterReport | None]]
    ) -> None:
        self._health = health
        self._seconds = seconds
        self._report = report
        self._answers: bool | None = None  # and soon; None: nobody knows yet
        self._in_time = False
        self._lame = False
        self._task: asyncio.Task[Look | None] | None = None

    async def begin(self, printer: Printer | None, pages: int) -> None:
        """Read the counter beside whatever else goes on, where it can prove anything of a job with so many pages."""
        self.forget()
        if self._health is None or printer is None or not printer.count_pages or not pages:
            return
        if self._answers is None:
            report = await self._report(printer.name)
            self._answers = None if report is None else report.up
        self._task = asyncio.create_task(self._look(self._health, printer))

    async def _look(self, health: Looking, printer: Printer) -> Look | None:
        time = asyncio.get_running_loop().time
        asked = time()
        look = await health.look(printer)
        self._answers = look is not None and time() - asked <= _SOON_SECONDS
        return look

    async def ready(self) -> None:
        """The first octet is about to go: of a printer that answers, the counter must be known by then.

        One that was never asked may answer; one that did not, or not soon, is not waited for.
        """
        if self._task is None:
            return
        if self._answers is not False and not self._task.done():
            await asyncio.wait([self._task], timeout=_ANSWER_SECONDS if self._answers else _SOON_SECONDS)
        self._in_time = self._task.done()

    @property
    def began(self) -> int | None:
        """What the counter was before the first octet, None if that is not known.

        Nor is it of a printer that prints: whose pages are still to come, nobody can tell.
        """
        task = self._task
        look = task.result() if self._in_time and task is not None and not task.cancelled() else None
        return look.pages if look is not None and look.state != "processing" else None

    def forget(self) -> None:
        """The job is over."""
        self._in_time = False
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def risen(
        self,
        printer: Printer,
        began: int,
        pages: int,
        patience: Patience,
        *,
        stands: Stands,
        over: asyncio.Event,
    ) -> bool:
        """Whether all pages were seen to come out, since the counter was `began`; False when `over` is set.

        Raises `GivenUp` if the printer waits for somebody too long.
        """
        waiting = _Waiting(began, pages, patience, _MOMENT if self._lame else patience.end)
        pause = min(_FIRST_SECONDS, self._seconds)
        try:
            while not over.is_set() and self._health is not None:
                look = await self._health.look(printer)
                if look is not None and waiting.all_out(look):
                    self._lame = False
                    return True
                if waiting.in_vain(look):
                    self._lame = True
                    return False
                await waiting.tell(look, stands)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await over.wait()
                pause = min(2 * pause, self._seconds)
            return False
        finally:
            await waiting.tell(None, stands)


class _Waiting:
    """For the pages of one job."""

    def __init__(self, began: int, pages: int, patience: Patience, end: float) -> None:
        self._wanted = began + pages
        self._began = began
        self._patience = patience
        self._end = end
        self._seen: int | None = began
        self._time = asyncio.get_running_loop().time
        self._sign_at = self._time()  # of life: a page
        self._told: Look | None = None

    def all_out(self, look: Look) -> bool:
        if look.pages is not None and look.pages != self._seen:
            self._seen, self._sign_at = look.pages, self._time()
        return look.state == "idle" and look.pages is not None and look.pages >= self._wanted

    def in_vain(self, look: Look | None) -> bool:
        """Raises `GivenUp`."""
        quiet = self._time() - self._sign_at
        if look is None or look.state != "stopped":
            return quiet > self._end
        if quiet > self._patience.give_up:
            out = max(0, (self._seen or self._began) - self._began)
            text = f"the printer waited ({look.text}) for {quiet:.0f} s with {out} of its pages counted"
            raise GivenUp(text, 0)
        return False

    async def tell(self, look: Look | None, stands: Stands) -> None:
        now = look if look is not None and look.state == "stopped" else None
        if (now and now.reasons) != (self._told and self._told.reasons):
            if now is None:
                self._sign_at = self._time()
            await stands(now)
        self._told = now
