"""What becomes of a job, written to the store under the lease of its device: instants 3 and 4 of `mailstore`.

The end of one job waits a moment for the beginning of the next, so that both are one commit and the printer waits for
one sync between two jobs.  Never the other way round: instant 3 is written when the connection stands and not before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from prometheus_client import Counter, Histogram

from mailstore.directory.records import Printer, PrintLimits, WhenUncertain
from mailstore.failure import Failure, PermanentFailure, TransientFailure
from mailstore.job import REPRINTS, DeliveryProof, Event, Job, JobState
from mailstore.store.contract import Lease, Store
from mailstore.store.following import Progress
from printerbridge.conditions import WELL, Condition, Conditions, Source
from printerbridge.pjl import CANCELED
from printerbridge.resuming import skips

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)

COMPLETED = Counter("printpost_jobs_completed_total", "Jobs that ended as completed.", ["printer"])
FAILED = Counter("printpost_jobs_failed_total", "Jobs that were aborted, by job-state-reasons.", ["printer", "reason"])
ATTEMPTS = Counter("printpost_job_attempts_total", "Connections over which a job was to be sent.", ["printer"])
PAGES = Counter("printpost_job_pages_total", "Pages of completed jobs, as far as known.", ["printer"])
UNCERTAIN = Counter("printpost_uncertain_jobs_total", "Jobs of which nobody knows whether they were printed.")
HELD = Counter("printpost_jobs_held_total", "Jobs that were held, by job-state-reasons.", ["printer", "reason"])
DURATION = Histogram(
    "printpost_job_duration_seconds",
    "From the acceptance of a job to its completion.",
    buckets=(1, 2, 5, 10, 30, 60, 120, 300, 900, 1800, 3600, 7200, 14400),
)

REPRINTED = "x-printed-again"
RESUMED = "x-resumed"
UNKNOWN = "x-delivery-unknown"
_LIMIT = "account-limit-reached"
_TIMED_OUT = "job-canceled-after-timeout"
_NOT_RESUMED = "it cannot go on behind what was confirmed: "
_NOT_READY = "resources-are-not-ready"
_PRINTING = {False: "job-printing", True: "queued-in-device"}
_JOIN_SECONDS = 0.003  # how long a job's end waits for the next one's connection
_RETRY_END_SECONDS = 1.0
_TOLD = 3  # errors of a job's documents


def again(job: Job) -> bool:
    """Whether some of the job may be on paper already: it prints under a banner.

    A process that died while it converted such a job took the reason with it; the attempts remain.
    """
    untouched = job.attempts == 0 or _NOT_READY in job.reasons
    return REPRINTED in job.reasons or resumes(job) or not untouched


def resumes(job: Job) -> bool:
    """Whether it is to go on behind the last page that the printer confirmed."""
    return RESUMED in job.reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a job came out of the printer.

    `failed`: what of it was not printed and should have been, in a sentence.  `errors`: what its programs did wrong at
    the printer; `cut`: for that not all was printed.  `late`: pages of which only the printer knew; what `count` was
    not asked of them counts against the `limits`.
    """

    pages: int
    proof: DeliveryProof
    detail: str
    failed: str = ""
    errors: Sequence[str] = ()
    cut: bool = False
    late: int = 0
    limits: PrintLimits | None = None

    def reasons(self, job: Job) -> list[str]:
        warned = RESUMED if resumes(job) else REPRINTED if again(job) else ""
        if self.failed or self.cut:
            first = "job-completed-with-errors"
        else:
            first = "job-completed-with-warnings" if warned or self.errors else "job-completed-successfully"
        return [first, warned] if warned else [first]

    @property
    def told(self) -> str:
        failed = f"not printed: {self.failed}" if self.failed else ""
        return "; ".join(one for one in (self.detail, *self.errors[:_TOLD], failed) if one)


class Journal:
    """The jobs of one device.  `lease` is the device's, set by the line; every call may raise `LeaseLost`."""

    def __init__(self, store: Store, conditions: Conditions | None = None) -> None:
        self.lease: Lease | None = None
        self._store = store
        self._ending: _Ending | None = None
        self._conditions = conditions or Conditions(store)

    @property
    def _held(self) -> Lease:
        assert self.lease is not None
        return self.lease

    # -- the usual way

    async def claim(self, job: Job) -> bool:
        """The job is being converted; False if it is not to be printed any more."""
        return await self._store.claim(self._held, job.id, ["job-transforming"], printer=job.printer)

    async def count(self, job: Job, pages: int, limits: PrintLimits) -> str:
        """A sentence if it may not be printed, because so many pages would pass one of the `limits`; "" if it may.

        Raises `TransientFailure`.
        """
        return await self._store.count_pages(job.id, pages, limits)

    async def hold(self, job: Job, text: str) -> None:
        """Until somebody releases it, untouched, because of a limit of pages.  Raises `TransientFailure`."""
        if await self._store.hold_for_limit(job.id, text):
            log.info("job held", job=job.id, printer=job.printer, detail=text)
            HELD.labels(job.printer, _LIMIT).inc()

    async def begin(self, job: Job, number: int, meanwhile: Callable[[], None], told: str = "") -> bool:
        """Instant 3 of a document; the end of the job before is in the same commit, or in an earlier one.

        `meanwhile` is called when the rows are on their way; `told` is what the trace calls the document.  False if the
        job may not be sent (canceled, held).  Raises `TransientFailure`; then nothing may be sent.
        """
        # Shielded: whoever breaks this job off must not take with it that the one before was printed.
        before = [asyncio.shield(self._ending.task())] if self._ending else []
        asked = self._store.sending(self._held, job.id, number, printer=job.printer, told=told)
        sending = asyncio.ensure_future(asked)
        meanwhile()
        await asyncio.gather(*before, sending)
        self._ending = None
        begun = sending.result()
        if begun and number == 0:
            ATTEMPTS.labels(job.printer).inc()
        return begun

    def complete(self, job: Job, outcome: Outcome) -> None:
        """Instant 4, within a moment; `settled` waits for it."""
        self._ending = _Ending(self._completed(self._held, job, outcome))

    async def settled(self) -> None:
        """Return when the end of the job before is durable."""
        if self._ending is not None:
            await asyncio.shield(self._ending.task())
            self._ending = None

    def abandon(self) -> None:
        """Stop trying to write the end of the job before, which is uncertain then."""
        if self._ending is not None:
            self._ending.task().cancel()
            self._ending = None

    async def _completed(self, lease: Lease, job: Job, outcome: Outcome) -> None:
        proof, pages, detail = outcome.proof, outcome.pages, outcome.told
        await self._store.documents_printed(job.id)  # in the same commit as the end
        if await self._end(lease, job, Event.COMPLETE, outcome.reasons(job), proof, pages, detail):
            log.info("job completed", job=job.id, printer=job.printer, proof=proof.value, detail=detail)
            COMPLETED.labels(job.printer).inc()
            PAGES.labels(job.printer).inc(pages)
            DURATION.observe(max(0.0, time.time() - job.received_at))
        else:
            await self.note(job, f"ended while it was being sent, and printed nevertheless: {detail}")
        if outcome.late and outcome.limits is not None:
            await self._count_late(job, outcome.late, outcome.limits)

    async def _count_late(self, job: Job, pages: int, limits: PrintLimits) -> None:
        """What only the printer knew."""
        try:
            await self._store.count_pages(job.id, pages, limits, printed=True)
        except TransientFailure as failure:
            log.warning("the pages of a job could not be counted", job=job.id, pages=pages, why=failure.text)

    async def _end(
        self,
        lease: Lease,
        job: Job,
        event: Event,
        reasons: Sequence[str],
        proof: DeliveryProof,
        pages: int,
        detail: str,
    ) -> bool:
        """Write the end until it is written: what was printed must not be forgotten because a disk was full."""
        while True:
            try:
                return await self._store.end(
                    lease,
                    job.id,
                    event,
                    reasons=reasons,
                    proof=proof,
                    pages=pages,
                    detail=detail,
                    printer=job.printer,
                )
            except TransientFailure as failure:
                log.warning("the end of a job could not be written, trying again", job=job.id, why=failure.text)
                await asyncio.sleep(_RETRY_END_SECONDS)

    # -- the other ways

    async def abort(self, job: Job, failure: Failure, pages: int = 0) -> None:
        """The job's own error; what might have passed and did not is ours.  `pages` of it are printed."""
        reason = failure.reason or "document-format-error"
        if isinstance(failure, TransientFailure):
            reason = "aborted-by-system"
        reasons = list(dict.fromkeys(["aborted-by-system", reason]))
        if await self._end(self._held, job, Event.ABORT, reasons, DeliveryProof.NONE, pages, failure.text):
            log.warning("job aborted", job=job.id, printer=job.printer, reason=reason, detail=failure.text)
            FAILED.labels(job.printer, reason).inc()

    async def ended_at_device(self, job: Job, result: str, text: str, pages: int) -> None:
        """The printer did not print all of it: somebody there, or another host of its, wanted so, or it could not."""
        await self.settled()
        if result not in CANCELED:  # out of memory, say: an error, of which people are told
            await self.abort(job, PermanentFailure("5.3.0", text, reason="aborted-by-system"), pages)
            return
        reasons = ["job-canceled-at-device"]
        if await self._end(self._held, job, Event.CANCEL, reasons, DeliveryProof.NONE, pages, text):
            log.info("job canceled at the printer", job=job.id, printer=job.printer, detail=text)

    async def give_up(self, job: Job, text: str, pages: int) -> None:
        """The printer was waited for as long as its entry says."""
        await self.settled()
        await self.abort(job, PermanentFailure("5.4.7", text, reason=_TIMED_OUT), pages)

    async def postpone(self, job: Job, text: str, next_attempt_at: float) -> None:
        """Back to pending, untouched, because of the printer."""
        await self._release(job, _NOT_READY, next_attempt_at=next_attempt_at, detail=text)

    async def put_back(self, job: Job) -> None:
        """Back to pending, untouched."""
        await self._release(job, "job-queued")

    async def _release(self, job: Job, reason: str, *, next_attempt_at: float = 0.0, detail: str = "") -> None:
        reasons = [RESUMED, reason] if resumes(job) else [REPRINTED, reason] if again(job) else [reason]
        await self._move(job, Event.RELEASE, reasons, detail, next_attempt_at)

    async def _move(
        self, job: Job, event: Event, reasons: Sequence[str], detail: str, next_attempt_at: float = 0.0
    ) -> bool:
        return await self._store.move(
            self._held,
            job.id,
            event,
            reasons=reasons,
            next_attempt_at=next_attempt_at,
            detail=detail,
            printer=job.printer,
        )

    async def wanted(self, job: Job) -> bool:
        """Whether the job still waits: it may have been canceled or held meanwhile."""
        return await self._state(job) is JobState.PENDING

    async def ended(self, job: Job) -> bool:
        """Whether the job ended while it was being sent or converted: it was canceled, or is another printer's now."""
        state = await self._state(job)
        return state is None or state.ended

    async def _state(self, job: Job) -> JobState | None:
        now = await self._store.job(job.id)
        return now.state if now is not None and now.printer == job.printer else None

    async def stalled(self, job: Job, text: str, *, queued: bool = False) -> None:
        """The printer takes nothing, or of a job `queued` in it, prints nothing; without a `text`, it goes on."""
        event, reason = (Event.STOP, "printer-stopped") if text else (Event.RESUME, _PRINTING[queued])
        await self._tell_state(job, event, reason, text)

    async def queued(self, job: Job) -> None:
        """The printer has all of it, and its pages are waited for."""
        await self._tell_state(job, Event.CLAIM, _PRINTING[True], "")

    async def _tell_state(self, job: Job, event: Event, reason: str, text: str) -> None:
        try:
            await self._move(job, event, [reason], text)
        except TransientFailure as failure:  # only a report
            log.warning("the state of a job could not be written", job=job.id, why=failure.text)

    async def progress(self, job: Job, progress: Progress) -> None:
        """How far it has come; not waited for."""
        try:
            await self._store.set_progress(job.id, progress)
        except TransientFailure as failure:
            log.warning("the progress of a job could not be written", job=job.id, why=failure.text)

    async def confirmed(self, job: Job) -> Progress | None:
        """How far an earlier attempt came."""
        return await self._store.progress(job.id)

    async def note(self, job: Job, text: str) -> None:
        """A line in the job's trace, and no more: if it cannot be written, so be it."""
        try:
            await self._store.note(job.id, text)
        except TransientFailure as failure:
            log.warning("not noted in the trace", job=job.id, text=text, why=failure.text)

    async def fares(self, printers: Iterable[str], reason: str = "", text: str = "") -> None:
        """How the device fares, for all entries that name it: stopped for a `reason`, or well.  Told once.

        What cannot be written is written when somebody tells next: no job comes in doubt for a report.
        """
        told = Condition(state="stopped", reasons=(reason,), text=text) if reason else WELL
        try:
            await self._conditions.tell(printers, Source.LINE, told)
        except TransientFailure as failure:
            log.warning("how a printer fares could not be written", reason=reason, why=failure.text)

    # -- when nobody knows

    async def doubt(self, job: Job, printer: Printer | None, text: str) -> None:
        """The connection broke after octets were taken."""
        if not await self._move(job, Event.DOUBT, ["job-suspended", UNKNOWN], text):
            await self.note(job, f"ended while it was being sent: {text}")
            return
        UNCERTAIN.inc()
        log.warning("job uncertain", job=job.id, printer=job.printer, detail=text)
        if printer is not None and (now := await self._store.job(job.id)) is not None:
            await self._decide(now, printer)

    async def not_resumed(self, job: Job, why: str) -> None:
        """It was to go on behind what was confirmed, and cannot: held again."""
        await self.claim(job)
        reasons = ["job-suspended", UNKNOWN]
        await self._move(job, Event.DOUBT, reasons, f"{_NOT_RESUMED}{why}")

    async def settle_uncertain(self, printers: Iterable[Printer]) -> None:
        """What an earlier process left in doubt, where the printer's entry says what to do with it."""
        for printer in printers:
            if printer.when_uncertain is not WhenUncertain.HOLD:
                stopped = await self._store.jobs(printer=printer.name, states=[JobState.PROCESSING_STOPPED])
                for job in reversed(stopped):
                    if UNKNOWN in job.reasons:
                        await self._decide(job, printer)

    async def _decide(self, job: Job, printer: Printer) -> None:
        """Never a silent reprint, never a silent loss."""
        if printer.when_uncertain is WhenUncertain.REPRINT and job.attempts < REPRINTS:
            reasons = [REPRINTED, "job-queued"]
            await self._move(job, Event.REPRINT, reasons, job.detail)
        elif printer.when_uncertain is WhenUncertain.RESUME:
            progress = await self._store.progress(job.id)
            known = progress is not None and progress.resumable and (not progress.pages or skips(printer))
            if known and job.attempts < REPRINTS and not job.detail.startswith(_NOT_RESUMED):
                assert progress is not None
                goes_on = f"{progress.confirmed} of {progress.pages_all or 'unknown'} pages confirmed, printed on from"
                detail = f"{job.detail}; {goes_on} {progress.behind}"
                await self._move(job, Event.REPRINT, [RESUMED, "job-queued"], detail)
        elif printer.when_uncertain is WhenUncertain.PRINTED:
            reasons = ["job-completed-with-warnings", UNKNOWN]
            detail = f"counted as printed by the printer's entry; {job.detail}"
            if await self._end(self._held, job, Event.COMPLETE, reasons, DeliveryProof.NONE, 0, detail):
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
