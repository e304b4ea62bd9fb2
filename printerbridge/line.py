"""One device address and the jobs that wait for it: the task that takes them in order and sends them one by one.

While one job is being sent the next is made ready, and the end of one job is committed together with the beginning of
the next (instants 4 and 3 of `mailstore`), so that the printer waits for one sync between two jobs.  Instant 3 is never
written before the connection stands, and no octet goes out before it is durable.

A printer's errors make the whole line wait, and nobody overtakes; a job's errors end that job alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client import Counter, Histogram

from mailstore.directory.records import Printer, WhenUncertain
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event, Job, JobState
from mailstore.store.contract import Lease, LeaseLost, Store
from printerbridge.appsocket import Broken, Connection, NotConnected, NothingTaken, Patience, Sent
from printerbridge.device import Device
from printerbridge.retry import REPRINTS, SCHEDULES, Backoff, Schedule, Trouble, gives_up
from printerbridge.spool import Prepared, Ready, Spool

log = logging.getLogger(__name__)

COMPLETED = Counter("printpost_jobs_completed_total", "Jobs that ended as completed.", ["printer"])
FAILED = Counter("printpost_jobs_failed_total", "Jobs that were aborted, by job-state-reasons.", ["printer", "reason"])
ATTEMPTS = Counter("printpost_job_attempts_total", "Connections over which a job was to be sent.", ["printer"])
ATTEMPT_FAILURES = Counter(
    "printpost_job_attempt_failures_total", "Attempts that did not bring a job through.", ["printer", "reason"]
)
SENT_BYTES = Counter("printpost_job_sent_bytes_total", "Octets that printers' TCP acknowledged.", ["printer"])
PAGES = Counter("printpost_job_pages_total", "Pages of completed jobs, as far as known.", ["printer"])
UNCERTAIN = Counter("printpost_uncertain_jobs_total", "Jobs of which nobody knows whether they were printed.")
DURATION = Histogram(
    "printpost_job_duration_seconds",
    "From the acceptance of a job to its completion.",
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14400),
)
PHASE = Histogram(
    "printpost_job_phase_duration_seconds",
    "What a job's time went into.",
    ["phase"],
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 120, 600, 3600, 14400),
)

READ_AHEAD = 32
REPRINTED = "x-printed-again"
UNKNOWN = "x-delivery-unknown"
_MAILDROP = "maildrop:"
_JOIN_SECONDS = 0.003  # how long a job's end may wait for the next one's connection, to share its commit
_STATE_SECONDS = 0.5  # how old the knowledge may be that a printer is not paused
_RETRY_END_SECONDS = 1.0


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

    def __init__(self, device: Device, store: Store, spool: Spool, *, owner: str, timing: Timing) -> None:
        self.device = device
        self.printers: dict[str, Printer] = {}
        self._store = store
        self._spool = spool
        self._owner = owner
        self._timing = timing
        self._backoff = Backoff(timing.schedules)
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._leases: dict[str, Lease] = {}  # by resource
        self._queue: deque[Job] = deque()
        self._current = 0  # the job that is being printed
        self._looked: dict[str, tuple[float, bool]] = {}  # printer -> when asked, paused
        self._upcoming: asyncio.Future[Prepared | None] | None = None
        self._ending: _Ending | None = None

    # -- what the bridge calls

    @property
    def woken(self) -> bool:
        return self._woken.is_set()

    def wake(self, printer: str = "") -> None:
        """Something may have changed: a new job, a wish, a setting."""
        self._looked.pop(printer, None)
        self._woken.set()

    def stop(self) -> None:
        """End after the present job; `run` returns."""
        self._stopping.set()
        self._woken.set()

    async def run(self) -> None:
        """Print until there has been nothing to do for a while.  Canceling it breaks a connection off.

        Raises `LeaseLost` or `TransientFailure`; the leases are released in any case.
        """
        if not await self._acquire([self.device.resource]):
            raise LeaseLost(self.device.resource)
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._renew())
                await self._serve()
                renewing.cancel()
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

    @property
    def _lease(self) -> Lease:
        return self._leases[self.device.resource]

    async def _acquire(self, resources: Iterable[str]) -> bool:
        """Instant 2.  Takes all that can be had; whether that was all."""
        wanted = [resource for resource in resources if resource not in self._leases]
        got = await asyncio.gather(*(self._store.acquire(each, self._owner, self._timing.lease) for each in wanted))
        self._leases.update({lease.resource: lease for lease in got if lease is not None})
        return None not in got

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._timing.renew)
            for lease in list(self._leases.values()):
                try:
                    self._leases[lease.resource] = await self._store.renew(lease, self._timing.lease)
                except TransientFailure as failure:
                    if lease.expires <= time.time():
                        raise
                    log.warning("%s: a lease could not be renewed: %s", self.device.uri, failure.text)

    async def _release(self) -> None:
        with contextlib.suppress(LeaseLost):
            await self._ended()
        leases = list(self._leases.values())
        self._leases.clear()
        self._queue.clear()
        with contextlib.suppress(TransientFailure):  # they expire
            await asyncio.gather(*(self._store.release(lease) for lease in reversed(leases)))

    # -- the work

    async def _serve(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            await self._settle_uncertain()
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
                self._current = prepared.job.id
                try:
                    await self._print(prepared)
                finally:
                    await self._spool.discard(prepared)
                prepared = await self._taken() or await self._next()
        finally:
            self._current = 0
            await self._let_go()
        await self._ended()

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
                self._queue.extend(job for job in found if job.id != self._current)
                if not self._queue:
                    return None
            job = self._queue.popleft()
            if (printer := self.printers.get(job.printer)) and (prepared := await self._prepare(job, printer)):
                return prepared
        return None

    async def _open(self) -> Sequence[str]:
        """The printers whose jobs may be sent now: not paused, and nobody else drains their maildrop."""
        for resource in [each for each in self._leases if each.startswith(_MAILDROP)]:
            if resource.removeprefix(_MAILDROP) not in self.printers:  # its entry names another device now
                await self._store.release(self._leases.pop(resource))
        names = [name for name in self.printers if not await self._paused(name)]
        await self._acquire(f"{_MAILDROP}{name}" for name in names)
        return [name for name in names if f"{_MAILDROP}{name}" in self._leases]

    async def _paused(self, name: str) -> bool:
        now = time.monotonic()
        asked, paused = self._looked.get(name, (0.0, False))
        if now - asked > _STATE_SECONDS:
            paused = (await self._store.printer_state(name)).paused
            self._looked[name] = (now, paused)
        return paused

    # -- making ready

    async def _prepare(self, job: Job, printer: Printer) -> Prepared | None:
        failures = 0

        async def claim() -> bool:
            return await self._store.claim(self._lease, job.id, ["job-transforming"])

        while not self._stopping.is_set():
            try:
                prepared = await self._spool.prepare(job, printer, claim, again=REPRINTED in job.reasons)
            except PermanentFailure as failure:
                await self._abort(job, failure)
                return None
            except TransientFailure as failure:
                failures += 1
                if gives_up(failure.status, failures):
                    await self._abort(job, failure)
                    return None
                await self._postpone(job, Trouble.NOT_PREPARED, failure.text, failures)
                if not await self._wanted(job):
                    return None
            else:
                if prepared is not None and prepared.routes:
                    PHASE.labels("convert").observe(prepared.converting)
                    told = f"converted in {prepared.converting * 1000:.0f} ms: {'; '.join(prepared.routes)}"
                    await self._store.note(job.id, told)
                return prepared
        return None

    async def _postpone(self, job: Job, trouble: Trouble, text: str, failures: int) -> None:
        delay = self._timing.schedules[trouble].delay(failures)
        await self._back_to_pending(job, text, time.time() + delay)
        await self._pause(delay)

    async def _abort(self, job: Job, failure: PermanentFailure | TransientFailure) -> None:
        reason = failure.reason or "document-format-error"
        if isinstance(failure, TransientFailure):
            reason = "aborted-by-system"
        reasons = list(dict.fromkeys(["aborted-by-system", reason]))
        proof = DeliveryProof.NONE
        lease = self._lease
        if await self._insist(lease, job, Event.ABORT, reasons, proof, 0, failure.text):
            FAILED.labels(job.printer, reason).inc()
            log.info("job %d for %s aborted: %s", job.id, job.printer, failure.text)

    # -- sending

    async def _print(self, prepared: Prepared) -> None:
        job = prepared.job
        PHASE.labels("queue").observe(max(0.0, time.time() - job.received_at))
        sent: list[Sent] = []
        started = time.monotonic()
        for number, document in enumerate(prepared.documents):
            one = await self._send(prepared, number, document)
            if one is None:
                return
            sent.append(one)
        seconds = time.monotonic() - started
        PHASE.labels("send").observe(seconds)
        proof = min((each.proof for each in sent), key=list(DeliveryProof).index)
        self._complete(job, prepared.pages, proof, sum(each.octets for each in sent), seconds)

    def _complete(self, job: Job, pages: int, proof: DeliveryProof, octets: int, seconds: float) -> None:
        """Instant 4, soon: with the next job's instant 3 if there is one within a moment."""
        detail = f"{octets} octets in {seconds * 1000:.0f} ms, proof: {proof.value}"
        self._ending = _Ending(self._completed(self._lease, job, pages, proof, detail))

    async def _completed(self, lease: Lease, job: Job, pages: int, proof: DeliveryProof, detail: str) -> None:
        reasons = ["job-completed-successfully"]
        if REPRINTED in job.reasons:
            reasons = ["job-completed-with-warnings", REPRINTED]
        if await self._insist(lease, job, Event.COMPLETE, reasons, proof, pages, detail):
            COMPLETED.labels(job.printer).inc()
            PAGES.labels(job.printer).inc(pages)
            DURATION.observe(max(0.0, time.time() - job.received_at))

    async def _insist(
        self,
        lease: Lease,
        job: Job,
        event: Event,
        reasons: Sequence[str],
        proof: DeliveryProof,
        pages: int,
        detail: str,
    ) -> bool:
        """Write the end, until it is written: what was printed must not be forgotten because a disk was full."""
        while True:
            try:
                return await self._store.end(
                    lease, job.id, event, reasons=reasons, proof=proof, pages=pages, detail=detail
                )
            except TransientFailure as failure:
                log.warning("job %d: its end could not be written, trying again: %s", job.id, failure.text)
                await asyncio.sleep(_RETRY_END_SECONDS)

    async def _ended(self) -> None:
        """Return when the end of the job before is durable."""
        if self._ending is not None:
            ending, self._ending = self._ending, None
            await ending.task()

    async def _send(self, prepared: Prepared, number: int, document: Ready) -> Sent | None:
        """One document in one connection; None if the job is not to be sent any further."""
        job = prepared.job
        while True:
            if number == 0 and (
                self._stopping.is_set() or job.printer not in self.printers or await self._paused(job.printer)
            ):
                await self._put_back(prepared)
                return None
            try:
                connection = await self.device.connect(self._timing.patience)
            except NotConnected as error:
                trouble = Trouble.REFUSED if error.busy else Trouble.UNREACHABLE
                if not await self._failed(prepared, number, trouble, str(error)):
                    return None
                continue
            try:
                if not await self._journal(job, number):
                    return None
                sent = await self._transmit(connection, job, document)
            except NothingTaken as error:
                if not await self._failed(prepared, number, Trouble.NOTHING_TAKEN, str(error)):
                    return None
            except TransientFailure as error:  # the journal: nothing went out
                if not await self._failed(prepared, number, Trouble.NOT_PREPARED, error.text):
                    return None
            except Broken as error:
                await self._doubt(job, number, error)
                return None
            else:
                self._backoff.succeeded()
                return sent
            finally:
                connection.close()

    async def _journal(self, job: Job, number: int) -> bool:
        """Instant 3; the end of the job before is in the same commit, or an earlier one."""
        ending, self._ending = self._ending, None
        before = [ending.task()] if ending else []
        sending = asyncio.ensure_future(self._store.sending(self._lease, job.id, number))
        self._foresee()
        await asyncio.gather(*before, sending)
        begun = sending.result()
        if begun and number == 0:
            ATTEMPTS.labels(job.printer).inc()
        return begun

    async def _transmit(self, connection: Connection, job: Job, document: Ready) -> Sent:
        async def stalled(stands: bool) -> None:
            event, reason = (Event.STOP, "printer-stopped") if stands else (Event.RESUME, "job-printing")
            detail = f"the printer has taken {connection.acknowledged} of {document.octets} octets" if stands else ""
            with contextlib.suppress(TransientFailure):  # only a report
                await self._store.move(self._lease, job.id, event, reasons=[reason], detail=detail)

        try:
            sent = await connection.send(document.blocks(), patience=self._timing.patience, stalled=stalled)
        except BaseException:
            SENT_BYTES.labels(job.printer).inc(connection.acknowledged)
            connection.abort()
            raise
        SENT_BYTES.labels(job.printer).inc(sent.octets)
        return sent

    # -- when it goes wrong

    async def _failed(self, prepared: Prepared, number: int, trouble: Trouble, text: str) -> bool:
        """The printer's error: wait.  False if the job is not to be sent after that."""
        await self._ended()
        job = prepared.job
        ATTEMPT_FAILURES.labels(job.printer, trouble.value).inc()
        delay = self._backoff.failed(trouble)
        failures = self._backoff.failures
        rarely = failures & (failures - 1) == 0
        if number > 0:  # documents before this one are on paper: the job must not be seen as untouched
            if rarely:
                await self._store.note(job.id, f"waiting to send document {number + 1}: {text}")
        elif rarely or trouble is Trouble.NOTHING_TAKEN or prepared.claimed:
            prepared.claimed = False
            await self._back_to_pending(job, text, time.time() + delay)
        if rarely:
            log.warning("%s: %s; trying again in %.1f s", self.device.uri, text, delay)
        if number > 0:
            await asyncio.sleep(delay)  # until it is finished, or broken off
            return True
        await self._pause(delay)
        return await self._wanted(job)

    async def _back_to_pending(self, job: Job, text: str, next_attempt_at: float) -> None:
        kept = [REPRINTED] if REPRINTED in job.reasons else []
        await self._store.move(
            self._lease,
            job.id,
            Event.RELEASE,
            reasons=[*kept, "resources-are-not-ready"],
            next_attempt_at=next_attempt_at,
            detail=text,
        )

    async def _put_back(self, prepared: Prepared) -> None:
        if prepared.claimed:
            kept = [REPRINTED] if REPRINTED in prepared.job.reasons else []
            await self._store.move(self._lease, prepared.job.id, Event.RELEASE, reasons=[*kept, "job-queued"])

    async def _wanted(self, job: Job) -> bool:
        """Whether the job still waits: it may have been canceled or held meanwhile."""
        now = await self._store.job(job.id)
        return now is not None and now.state is JobState.PENDING

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _doubt(self, job: Job, number: int, error: Broken) -> None:
        ATTEMPT_FAILURES.labels(job.printer, Trouble.BROKEN.value).inc()
        UNCERTAIN.inc()
        text = f"document {number + 1}: {error}"
        log.warning("job %d for %s is uncertain: %s", job.id, job.printer, text)
        await self._store.move(self._lease, job.id, Event.DOUBT, reasons=["job-suspended", UNKNOWN], detail=text)
        if (now := await self._store.job(job.id)) is not None:
            await self._decide(now)
        await self._pause(self._backoff.failed(Trouble.BROKEN))  # a printer that breaks every job must not get them all

    async def _settle_uncertain(self) -> None:
        """What an earlier process left in doubt, where the printer's entry says what to do with it."""
        for printer in list(self.printers.values()):
            if printer.when_uncertain is not WhenUncertain.HOLD:
                stopped = await self._store.jobs(printer=printer.name, states=[JobState.PROCESSING_STOPPED])
                for job in reversed(stopped):
                    if UNKNOWN in job.reasons:
                        await self._decide(job)

    async def _decide(self, job: Job) -> None:
        """An uncertain job, by its printer's entry (design: never a silent reprint, never a silent loss)."""
        printer = self.printers.get(job.printer)
        when = printer.when_uncertain if printer else WhenUncertain.HOLD
        if when is WhenUncertain.REPRINT and job.attempts < REPRINTS:
            reasons = [REPRINTED, "job-queued"]
            await self._store.move(self._lease, job.id, Event.REPRINT, reasons=reasons, detail=job.detail)
        elif when is WhenUncertain.PRINTED:
            detail = f"counted as printed by the printer's entry; {job.detail}"
            reasons = ["job-completed-with-warnings", UNKNOWN]
            if await self._insist(self._lease, job, Event.COMPLETE, reasons, DeliveryProof.NONE, 0, detail):
                COMPLETED.labels(job.printer).inc()


class _Ending:
    """The end of a job, about to be written: at once when asked for, by itself after a moment."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(_JOIN_SECONDS, self.task)

    def task(self) -> asyncio.Task[None]:
        self._timer.cancel()
        if self._task is None:
            self._task = asyncio.ensure_future(self._work)
        return self._task


def _first(group: BaseExceptionGroup[TransientFailure]) -> TransientFailure:
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, TransientFailure)
    return found
