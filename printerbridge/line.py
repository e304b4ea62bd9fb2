"""One device address and the jobs that wait for it: the task that takes them in order and sends them one by one.

While one job is being sent the next is made ready.  A printer's errors make the whole line wait, and nobody overtakes;
a job's errors end that job alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from prometheus_client import Counter, Histogram

from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.job import Job
from mailstore.store.contract import LeaseLost, Store
from printerbridge.appsocket import Broken, Connection, NothingTaken, Patience, Sent
from printerbridge.device import Device
from printerbridge.dialing import NotConnected
from printerbridge.guard import Guard
from printerbridge.journal import Journal
from printerbridge.leases import Leases
from printerbridge.pjl import OK
from printerbridge.preparation import Preparation
from printerbridge.ready import Prepared, Ready
from printerbridge.retry import SCHEDULES, Backoff, Schedule, Trouble
from printerbridge.spool import Spool
from printerbridge.transmission import Hearing, Tally, Transmission

log = logging.getLogger(__name__)

ATTEMPT_FAILURES = Counter(
    "printpost_job_attempt_failures_total", "Attempts that did not bring a job through.", ["printer", "reason"]
)
PHASE = Histogram(
    "printpost_job_phase_duration_seconds",
    "What a job's time went into.",
    ["phase"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600, 3600, 14400),
)

READ_AHEAD = 32
_SETTLE_SECONDS = 5.0  # for the end of the last job; one that cannot be written leaves it uncertain
_STATE_SECONDS = 0.5  # how old the knowledge may be that a printer is not paused
_HEED_SECONDS = 0.1  # between two looks at whether the jobs at hand are still wanted, however often it rings

_DEVICE_TROUBLE = frozenset({Trouble.REFUSED, Trouble.UNREACHABLE, Trouble.NOTHING_TAKEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Everything that a line waits for, in seconds."""

    patience: Patience = field(default_factory=Patience)
    schedules: dict[Trouble, Schedule] = field(default_factory=lambda: dict(SCHEDULES))
    lease: float = 30.0
    renew: float = 10.0
    idle: float = 30.0  # how long an idle line keeps its leases
    look: float = 5.0  # between looks at what the doorbell may have missed


class Line:
    """The jobs for one device.  `printers` are the entries that name it, kept up to date by the bridge."""

    def __init__(
        self, device: Device, store: Store, spool: Spool, *, owner: str, timing: Timing, guard: Guard | None = None
    ) -> None:
        self.device = device
        self._guard = guard or Guard()
        self.printers: dict[str, Printer] = {}
        self._store = store
        self._spool = spool
        self._timing = timing
        self._backoff = Backoff(timing.schedules)
        self._woken = asyncio.Event()
        self._rung = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leases = Leases(store, owner, device.resource, timing.lease)
        self._queue: deque[Job] = deque()
        self._current: Job | None = None  # that is being printed
        self._connection: Connection | None = None  # over which it goes
        self._looked: dict[str, tuple[float, bool]] = {}  # printer -> when asked, paused
        self._upcoming: asyncio.Future[Prepared | None] | None = None
        self._journal = Journal(store)
        self._hearing = Hearing()
        unprepared = timing.schedules[Trouble.NOT_PREPARED]
        self._preparation = Preparation(spool, self._journal, unprepared, self._stopping)

    # -- what the bridge calls

    @property
    def woken(self) -> bool:
        return self._woken.is_set()

    def wake(self, printer: str = "") -> None:
        """Something may have changed: a new job, a wish, a setting."""
        self._looked.pop(printer, None)
        self._woken.set()
        self._rung.set()

    def stop(self) -> None:
        """End after the present job; `run` returns."""
        self._stopping.set()
        self._woken.set()

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
            job, connection = self._current, self._connection
            if job and connection and await self._journal.ended(job.id) and self._connection is connection:
                connection.break_off("the job was canceled")
            await self._preparation.heed()

    async def _release(self) -> None:
        with contextlib.suppress(LeaseLost, TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._journal.settled()
        self._journal.abandon()
        self._queue.clear()
        await self._leases.release()

    # -- the work

    async def _serve(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            await self._journal.settle_uncertain(list(self.printers.values()))
            await self._drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.idle):
                    await self._woken.wait()
            if not self._woken.is_set():
                return

    async def _drain(self) -> None:
        prepared = await self._next()
        try:
            while prepared is not None:
                self._current = prepared.job
                try:
                    await self._print(prepared)
                finally:
                    await self._spool.discard(prepared)
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
        return await self._leases.take_maildrops([name for name in list(self.printers) if not await self._paused(name)])

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

    # -- sending

    async def _print(self, prepared: Prepared) -> None:
        job = prepared.job
        PHASE.labels("queue").observe(max(0.0, time.time() - job.received_at))
        tally = Tally()
        started = time.monotonic()
        for number, document in enumerate(prepared.documents):
            one = await self._send(prepared, number, document)
            if one is None:
                return
            if one.result not in ("", OK):
                pages = "unknown" if one.pages is None else one.pages
                text = f"the printer ended document {number + 1} with {one.result}, pages printed: {pages}"
                await self._journal.ended_at_device(job, one.result, text)
                return
            tally.add(one, document)
        seconds = time.monotonic() - started
        PHASE.labels("send").observe(seconds)
        detail = f"sent {tally.octets} octets in {seconds * 1000:.0f} ms, proof: {tally.proof.value}"
        if tally.all_counted:
            detail = f"{detail}, pages counted by the printer: {tally.pages}"
        # What a converter made has the pages that were counted; of what passed only the printer knows.
        late = tally.senders if prepared.passed else 0
        pages, limits, failed = prepared.pages or tally.pages, prepared.limits, prepared.failed
        self._journal.complete(job, pages, tally.proof, detail, late=late, limits=limits, failed=failed)

    async def _send(self, prepared: Prepared, number: int, document: Ready) -> Sent | None:
        """One document, in as many attempts as it takes; None if the job is not to be sent any further."""
        job = prepared.job
        while number > 0 or await self._may_begin(prepared):
            try:
                connection = self._connection = await self.device.connect(self._timing.patience, self._guard)
                sent = await self._attempt(connection, job, number, document)
            except NotConnected as error:
                trouble, text = Trouble.REFUSED if error.busy else Trouble.UNREACHABLE, str(error)
            except NothingTaken as error:
                if connection.broken_off:
                    await self._canceled(job, number, str(error))
                    return None
                trouble, text = Trouble.NOTHING_TAKEN, str(error)
            except TransientFailure as error:  # the journal: nothing went out
                trouble, text = Trouble.NOT_PREPARED, error.text
            except Broken as error:
                if connection.broken_off:
                    await self._canceled(job, number, str(error))
                    return None
                await self._broken(job, f"document {number + 1}: {error}")
                return None
            else:
                self._backoff.succeeded()
                await self._journal.fares(self.printers)
                return sent
            if not await self._failed(prepared, number, trouble, text):
                return None
        return None

    async def _may_begin(self, prepared: Prepared) -> bool:
        job = prepared.job
        if not self._stopping.is_set() and job.printer in self.printers and not await self._paused(job.printer):
            return True
        if prepared.claimed:
            await self._journal.put_back(job)
        return False

    async def _attempt(self, connection: Connection, job: Job, number: int, document: Ready) -> Sent | None:
        """One connection; None if the journal says that the job is not to be sent."""
        try:
            if not await self._journal.begin(job, number, self._foresee):
                return None
            printer = self.printers.get(job.printer)
            transmission = Transmission(
                connection,
                self._journal,
                job,
                number,
                document,
                hearing=self._hearing if printer is not None and printer.pjl else None,
                printers=lambda: self.printers,
            )
            return await transmission.run(self._timing.patience)
        finally:
            self._connection = None
            connection.close()

    # -- when it goes wrong

    async def _failed(self, prepared: Prepared, number: int, trouble: Trouble, text: str) -> bool:
        """The printer's error: wait.  False if the job is not to be sent after that."""
        await self._journal.settled()
        job = prepared.job
        ATTEMPT_FAILURES.labels(job.printer, trouble.value).inc()
        if trouble in _DEVICE_TROUBLE:
            await self._journal.fares(self.printers, "connecting-to-device", text)
        delay = self._backoff.failed(trouble)
        failures = self._backoff.failures
        rarely = failures & (failures - 1) == 0
        if number > 0:  # documents before this one are on paper: the job must not be seen as untouched
            if rarely:
                await self._journal.note(job, f"waiting to send document {number + 1}: {text}")
        elif rarely or trouble is Trouble.NOTHING_TAKEN or prepared.claimed:
            prepared.claimed = False
            await self._journal.postpone(job, text, time.time() + delay)
        if rarely:
            log.warning("%s: %s; trying again in %.1f s", self.device.uri, text, delay)
        if number > 0:
            await asyncio.sleep(delay)  # until it is finished, or broken off
            return await self._goes_on(job, number)
        await self._pause(delay)
        return await self._journal.wanted(job)

    async def _goes_on(self, job: Job, number: int) -> bool:
        """Whether a job of which `number` documents are on paper still has its printer here."""
        if job.printer not in self.printers:
            text = f"the printer is no longer at {self.device.uri}; documents from {number + 1} on were not sent"
            await self._journal.doubt(job, None, text)
            return False
        return not await self._journal.ended(job.id)

    async def _canceled(self, job: Job, number: int, text: str) -> None:
        """We broke it off because the job has ended: what the printer took is said, and the trouble is not its own."""
        self._backoff.succeeded()
        await self._journal.note(job, f"ended while it was being sent; document {number + 1}: {text}")

    async def _broken(self, job: Job, text: str) -> None:
        """Nobody knows what was printed.  A printer that breaks every job must not get them all at once."""
        ATTEMPT_FAILURES.labels(job.printer, Trouble.BROKEN.value).inc()
        await self._journal.doubt(job, self.printers.get(job.printer), text)
        await self._pause(self._backoff.failed(Trouble.BROKEN))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()


def _loop_time(monotonic: float) -> float:
    return asyncio.get_running_loop().time() + monotonic - time.monotonic()


def _first(group: BaseExceptionGroup[TransientFailure]) -> TransientFailure:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, TransientFailure)
    return found
