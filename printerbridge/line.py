"""One device address and the jobs that wait for it: the task that takes them in order and sends them one by one.

While one job is being sent the next is made ready.  A printer's errors make the whole line wait, and nobody overtakes;
a job's errors end that job alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime

from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.hours import quiet_until
from mailstore.job import Job
from mailstore.store.contract import LeaseLost, Store
from printerbridge.conditions import Condition, Conditions, Source
from printerbridge.counting import Counting, Looking
from printerbridge.device import Device
from printerbridge.guard import Guard
from printerbridge.journal import Journal
from printerbridge.leases import Leases
from printerbridge.patience import Timing as Timing
from printerbridge.preparation import Preparation
from printerbridge.ready import Prepared
from printerbridge.retry import Backoff, Trouble
from printerbridge.returning import Back
from printerbridge.sending import PHASE, Doors, Sending
from printerbridge.spool import Spool

READ_AHEAD = 32
_QUIET_LOOK = 600.0  # seconds between two looks at whether it is still a quiet hour: clocks are set
_DAY = 20 * 3600
_SETTLE_SECONDS = 5.0  # for the end of the last job; one that cannot be written leaves it uncertain
_STATE_SECONDS = 0.5  # how old the knowledge may be that a printer is not paused
_HEED_SECONDS = 0.1  # between two looks at whether the jobs at hand are still wanted, however often it rings


class Line:
    """The jobs for one device.  `printers` are the entries that name it, kept up to date by the bridge."""

    def __init__(
        self,
        device: Device,
        store: Store,
        spool: Spool,
        *,
        owner: str,
        timing: Timing,
        guard: Guard | None = None,
        conditions: Conditions | None = None,
        health: Looking | None = None,
        back: Back | None = None,
    ) -> None:
        """`back`: the device was left alone for a while, and this is how it came back."""
        self.device = device
        self.printers: dict[str, Printer] = {}
        self._store = store
        self._spool = spool
        self._timing = timing
        self._woken = asyncio.Event()
        self._rung = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leases = Leases(store, owner, device.resource, timing.lease)
        self._queue: deque[Job] = deque()
        self._current: Job | None = None  # that is being printed
        self._looked: dict[str, tuple[float, bool]] = {}  # printer -> when asked, paused
        self._quiet = 0.0  # seconds for which it is left alone because it is a quiet hour
        self._upcoming: asyncio.Future[Prepared | None] | None = None
        self._conditions = conditions or Conditions(store)
        self._journal = Journal(store, self._conditions)
        counting = Counting(health, timing.count, store.report)
        doors = Doors(printers=lambda: self.printers, open=self._opened, foresee=self._foresee, stopping=self._stopping)
        self._sending = Sending(device, self._journal, doors, timing, guard or Guard(), counting, back)
        unprepared = timing.schedules[Trouble.NOT_PREPARED]
        self._preparation = Preparation(spool, self._journal, unprepared, self._stopping)

    # -- what the bridge calls

    @property
    def woken(self) -> bool:
        return self._woken.is_set()

    @property
    def rest(self) -> float:
        """For how many seconds the device is to be left alone, after `run` has returned; 0.0 if not at all."""
        return self._quiet or self._sending.rest

    @property
    def backoff(self) -> Backoff:
        """The device's failures so far."""
        return self._sending.backoff

    def wake(self, printer: str = "") -> None:
        """Something may have changed: a new job, a wish, a setting."""
        self._looked.pop(printer, None)
        self._woken.set()
        self._rung.set()

    def stop(self) -> None:
        """End after the present job; `run` returns."""
        self._stopping.set()
        self._woken.set()
        self._sending.stop()

    async def run(self) -> None:
        """Print until there has been nothing to do for a while.  Canceling it breaks a connection off.

        Raises `LeaseLost` or `TransientFailure`; the leases are released in any case.
        """
        self._journal.lease = await self._leases.take_device()
        try:
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(self._look_after())
                await self._serve()
                looking.cancel()
        except* LeaseLost as lost:
            raise LeaseLost(self.device.resource) from lost
        except* TransientFailure as failed:
            raise _first(failed) from None
        finally:
            await asyncio.shield(self._release())

    async def stopped(self) -> None:
        """Return when `stop` was called."""
        await self._stopping.wait()

    # -- leases

    async def _look_after(self) -> None:
        """While a job is being sent, for hours perhaps: keep the leases, let others have what is no longer ours, and
        obey at once who wants a job no more."""
        renewed = time.monotonic()
        while True:
            self._rung.clear()
            await self._leases.leave_maildrops_but(self.printers)
            await self._heed()
            if time.monotonic() - renewed >= self._timing.renew:
                await self._leases.renew()
                renewed = time.monotonic()
            await asyncio.sleep(min(_HEED_SECONDS, self._timing.renew))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(_loop_time(renewed + self._timing.renew)):
                    await self._rung.wait()

    async def _heed(self) -> None:
        """Break off what is being sent or converted and has ended meanwhile."""
        with contextlib.suppress(TransientFailure):  # it is looked at again
            if self._current is not None:
                await self._sending.heed(self._current)
            await self._preparation.heed()

    async def _release(self) -> None:
        with contextlib.suppress(LeaseLost, TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._journal.settled()
        self._journal.abandon()
        self._sending.close()
        self._queue.clear()
        await self._leases.release()

    # -- the work

    async def _serve(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            await self._journal.settle_uncertain(list(self.printers.values()))
            await self._drain()
            if self._sending.rest:
                return
            quiet = await self._left_alone()
            if quiet > self._timing.idle and all(self._quiet_until(name) for name in self.printers):
                self._quiet = min(quiet, _QUIET_LOOK)
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(quiet or self._timing.idle):
                    await self._woken.wait()
            if not self._woken.is_set() and not quiet:
                await self._journal.fares(self.printers)  # nobody tries any more, so nothing is in the way
                return

    async def _left_alone(self) -> float:
        """Seconds until the first printer that has jobs is left alone no longer; 0.0 if none is."""
        quiet = {name: until for name in list(self.printers) if (until := self._quiet_until(name))}
        waiting = {name: until for name, until in quiet.items() if await self._store.pending([name], 1)}
        for name, until in waiting.items():
            text = f"quiet hours until {_clock(until)}"
            told = Condition(state="stopped", reasons=("shutdown-report",), text=text)
            await self._conditions.tell([name], Source.QUIET, told)
        await self._conditions.tell([name for name in self.printers if name not in waiting], Source.QUIET)
        return max(0.05, min(waiting.values()) - time.time()) if waiting else 0.0

    def _quiet_until(self, name: str) -> float:
        spans = self.printers[name].quiet_hours
        return quiet_until(spans, time.time()) if spans else 0.0

    async def _drain(self) -> None:
        prepared = await self._next()
        try:
            while prepared is not None:
                self._current = prepared.job
                try:
                    await self._sending.print(prepared)
                finally:
                    await self._spool.discard(prepared)
                if self._sending.rest:
                    break
                prepared = await self._taken() or await self._next()
        finally:
            self._current = None
            await self._let_go()
        await self._journal.settled()

    def _foresee(self) -> None:
        """Begin to make the next job ready."""
        if self._upcoming is None:
            self._upcoming = asyncio.ensure_future(self._later())

    async def _later(self) -> Prepared | None:
        await asyncio.sleep(0)  # the journal's commit goes to its thread first
        return await self._next()

    async def _taken(self) -> Prepared | None:
        upcoming, self._upcoming = self._upcoming, None
        return await upcoming if upcoming is not None else None

    async def _let_go(self) -> None:
        if self._upcoming is not None:
            self._upcoming.cancel()
        with contextlib.suppress(asyncio.CancelledError, TransientFailure, LeaseLost):
            if (prepared := await self._taken()) is not None:
                await self._spool.discard(prepared)

    async def _next(self) -> Prepared | None:
        """The next job, ready to be sent; None if there is none now."""
        while not self._stopping.is_set():
            if not self._queue:
                found = await self._store.pending(await self._open(), READ_AHEAD)
                current = self._current.id if self._current else 0
                self._queue.extend(job for job in found if job.id != current)
                if not self._queue:
                    return None
            job = self._queue.popleft()
            if (printer := self.printers.get(job.printer)) and (prepared := await self._prepare(job, printer)):
                return prepared
        return None

    async def _open(self) -> Sequence[str]:
        """The printers whose jobs may be sent now: not paused, and nobody else drains their maildrop."""
        await self._leases.leave_maildrops_but(self.printers)
        return await self._leases.take_maildrops([name for name in list(self.printers) if await self._opened(name)])

    async def _opened(self, name: str) -> bool:
        return name in self.printers and not self._quiet_until(name) and not await self._paused(name)

    async def _paused(self, name: str) -> bool:
        now = time.monotonic()
        asked, paused = self._looked.get(name, (0.0, False))
        if now - asked > _STATE_SECONDS:
            paused = (await self._store.printer_state(name)).paused
            self._looked[name] = (now, paused)
        return paused

    # -- making ready

    async def _prepare(self, job: Job, printer: Printer) -> Prepared | None:
        prepared = await self._preparation.prepare(job, printer)
        if prepared is not None and prepared.routes:
            PHASE.labels("convert").observe(prepared.converting)
        return prepared


def _clock(seconds: float) -> str:
    when = datetime.fromtimestamp(seconds, tz=UTC).astimezone()
    return when.strftime("%H:%M" if seconds - time.time() < _DAY else "%a %H:%M")


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()


def _first(group: BaseExceptionGroup[TransientFailure]) -> TransientFailure:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, TransientFailure)
    return found
