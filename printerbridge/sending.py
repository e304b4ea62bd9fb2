"""One prepared job to one device: document after document, as often as it takes, and what its end is.

A printer's errors are waited out, in order, and use up nothing of the job; a job's errors end that job alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from prometheus_client import Counter, Histogram

from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.job import DeliveryProof, Job
from mailstore.store.following import Progress
from printerbridge.appsocket import Broken, Connection, GivenUp, NothingTaken, Sent
from printerbridge.counting import Counting
from printerbridge.device import Device
from printerbridge.dialing import NotConnected
from printerbridge.guard import Guard
from printerbridge.journal import Journal, Outcome
from printerbridge.mib import Look
from printerbridge.patience import Timing, of_printer
from printerbridge.pjl import OK
from printerbridge.ready import Prepared, Ready
from printerbridge.retry import Backoff, Trouble
from printerbridge.returning import Back
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What sending asks of the line that it works for."""

    printers: Callable[[], Mapping[str, Printer]]  # the entries that name the device now
    open: Callable[[str], Awaitable[bool]]  # whether jobs of this printer may be sent now
    foresee: Callable[[], None]  # the next job can be made ready
    stopping: asyncio.Event


class Sending:
    """Sends the jobs of one line.

    `rest`: for how many seconds the device is better left alone, 0.0 if not at all; then no job is sent.
    """

    def __init__(
        self,
        device: Device,
        journal: Journal,
        doors: Doors,
        timing: Timing,
        guard: Guard,
        counting: Counting,
        back: Back | None = None,
    ) -> None:
        self.rest = 0.0
        self.backoff = back.backoff if back is not None else Backoff(timing.schedules)
        self._at_hand = back
        self._device = device
        self._journal = journal
        self._doors = doors
        self._printers = doors.printers
        self._timing = timing
        self._guard = guard
        self._counting = counting
        self._hearing = Hearing()
        self._connection: Connection | None = None  # over which the job goes
        self._transmission: Transmission | None = None  # the last one
        self._over = doors.stopping  # what ends the waiting for pages: the line's end, or the job's

    async def heed(self, job: Job) -> None:
        """Break off what is being sent, if the job has ended meanwhile."""
        connection, over = self._connection, self._over
        if (connection or over is not self._doors.stopping) and await self._journal.ended(job):
            if connection is not None and self._connection is connection:
                connection.break_off("the job was canceled")
            if over is not self._doors.stopping:
                over.set()

    def stop(self) -> None:
        """The line ends: pages are waited for no longer."""
        if self._over is not self._doors.stopping:
            self._over.set()

    async def print(self, prepared: Prepared) -> None:
        job, tally = prepared.job, Tally()
        PHASE.labels("queue").observe(max(0.0, time.time() - job.received_at))
        started = time.monotonic()
        try:
            for number, document in enumerate(prepared.documents):
                if tally.documents and (progress := _progress(prepared, document, tally)) is not None:
                    await self._journal.progress(job, progress)  # whoever is lost between two documents has sent these
                one = await self._send(prepared, number, document, tally)
                if one is None:
                    return
                tally.add(one, document)
                if one.result not in ("", OK):
                    pages = "unknown" if one.pages is None else one.pages
                    text = f"the printer ended {_called(document)} with {one.result}, pages printed: {pages}"
                    await self._journal.ended_at_device(job, one.result, text, tally.pages)
                    return
            seconds = time.monotonic() - started
            PHASE.labels("send").observe(seconds)
            if tally.proof is not DeliveryProof.JOB_END and (began := self._counting.began) is not None:
                await self._count(prepared, tally, began)
            self._journal.complete(job, _outcome(prepared, tally, seconds))
        except GivenUp as error:
            await self._given_up(job, str(error), tally)
        finally:
            self._counting.forget()

    async def _send(self, prepared: Prepared, number: int, document: Ready, tally: Tally) -> Sent | None:
        """One document, in as many attempts as it takes; None if the job is not to be sent any further."""
        job = prepared.job
        while number > 0 or await self._may_begin(prepared):
            if number == 0:
                await self._counting.begin(self._printers().get(job.printer), prepared.pages)
            try:
                connection = self._connection = await self._connected()
                sent = await self._attempt(connection, prepared, number, document, tally)
            except NotConnected as error:
                trouble, text = Trouble.REFUSED if error.busy else Trouble.UNREACHABLE, str(error)
            except NothingTaken as error:
                if connection.broken_off:
                    await self._canceled(job, document, str(error))
                    return None
                trouble, text = Trouble.NOTHING_TAKEN, str(error)
            except TransientFailure as error:  # the journal: nothing went out
                trouble, text = Trouble.NOT_PREPARED, error.text
            except Broken as error:
                if connection.broken_off:
                    await self._canceled(job, document, str(error))
                else:
                    await self._broken(job, f"{_called(document)}: {error}{self._confirmed()}")
                return None
            except GivenUp as error:
                text = f"{_called(document)}: {error}; {_taken(error.acknowledged)}{self._confirmed()}"
                await self._given_up(job, text, tally)
                return None
            else:
                self.backoff.succeeded()
                await self._journal.fares(self._printers())
                return sent
            if not await self._failed(prepared, number, trouble, text):
                return None
        return None

    async def _connected(self) -> Connection:
        """The connection that the device came back with, or a new one.  Raises `NotConnected`."""
        if self._at_hand is not None and (connection := self._at_hand.fresh()) is not None:
            return connection
        return await self._device.connect(self._timing.patience, self._guard)

    def close(self) -> None:
        """Nothing more is sent."""
        if self._at_hand is not None:
            self._at_hand.drop()

    async def _may_begin(self, prepared: Prepared) -> bool:
        job = prepared.job
        if not self._doors.stopping.is_set() and await self._doors.open(job.printer):
            return True
        if prepared.claimed:
            await self._journal.put_back(job)
        return False

    async def _attempt(
        self, connection: Connection, prepared: Prepared, number: int, document: Ready, tally: Tally
    ) -> Sent | None:
        """One connection; None if the journal says that the job is not to be sent."""
        job, printer, timing = prepared.job, self._printers().get(prepared.job.printer), self._timing
        self._transmission = None
        try:
            progress = _progress(prepared, document, tally)
            if number == 0:
                await self._counting.ready()
            if not await self._journal.begin(job, number, self._doors.foresee, _called(document)):
                return None
            self._transmission = transmission = Transmission(
                connection,
                self._journal,
                job,
                number,
                document,
                printer=printer,
                hearing=self._hearing,
                printers=self._printers,
                progress=progress,
                start=prepared.start if progress is not None and not tally.documents else 0,
            )
            return await transmission.run(of_printer(timing.patience, printer) if printer else timing.patience)
        finally:
            self._connection = None
            connection.close()

    # -- pages that the printer counts

    async def _count(self, prepared: Prepared, tally: Tally, began: int) -> None:
        """Wait until the pages are out, of a counter that `began` so; raises `GivenUp`."""
        job, printer = prepared.job, self._printers().get(prepared.job.printer)
        pages = prepared.pages - max(0, prepared.start - 1)
        if printer is None or self._doors.stopping.is_set():
            return
        self._over = asyncio.Event()
        await self._journal.queued(job)

        async def stands(look: Look | None) -> None:
            reason = (look.reasons or ("other",))[0] if look else ""
            text = (look.text or "the printer stands") if look else ""
            await self._journal.stalled(job, text, queued=True)
            await self._journal.fares(self._printers(), reason, text)

        patience = of_printer(self._timing.patience, printer)
        try:
            if await self._counting.risen(printer, began, pages, patience, stands=stands, over=self._over):
                tally.proof = DeliveryProof.IDLE_PAGES
        finally:
            self._over = self._doors.stopping

    # -- when it goes wrong

    async def _failed(self, prepared: Prepared, number: int, trouble: Trouble, text: str) -> bool:
        """The printer's error: wait.  False if the job is not to be sent after that."""
        await self._journal.settled()
        job = prepared.job
        ATTEMPT_FAILURES.labels(job.printer, trouble.value).inc()
        if self.backoff.worth_telling(trouble, self._timing.busy, time.monotonic()):
            await self._journal.fares(self._printers(), "connecting-to-device", text)
        delay = self.backoff.failed(trouble, time.monotonic())
        failures = self.backoff.failures
        rarely = failures & (failures - 1) == 0
        if number > 0:  # documents before this one are on paper: the job must not be seen as untouched
            if rarely:
                await self._journal.note(job, f"waiting to send {_called(prepared.documents[number])}: {text}")
        elif rarely or trouble is Trouble.NOTHING_TAKEN or prepared.claimed:
            prepared.claimed = False
            await self._journal.postpone(job, text, time.time() + delay)
        if rarely:
            log.warning("%s: %s; trying again in %.1f s", self._device.uri, text, delay)
        if number > 0:
            await self._pause(delay)
            return await self._goes_on(job, prepared.documents[number])
        if delay >= self._timing.rest:
            self.rest = delay
            return False
        await self._pause(delay)
        return await self._journal.wanted(job)

    async def _goes_on(self, job: Job, document: Ready) -> bool:
        """Whether a job of which the documents before `document` are on paper still has its printer here."""
        if job.printer not in self._printers():
            why = f"the printer is no longer at {self._device.uri}"
        elif self._doors.stopping.is_set():  # it may be off until tomorrow
            why = "the bridge was stopped while it waited for the printer"
        else:
            return not await self._journal.ended(job)
        await self._journal.doubt(job, None, f"{why}; documents from {document.number} on were not sent")
        return False

    async def _canceled(self, job: Job, document: Ready, text: str) -> None:
        """We broke it off because the job has ended: what the printer took is said, and the trouble is not its own."""
        self.backoff.succeeded()
        await self._journal.note(job, f"ended while it was being sent; {_called(document)}: {text}")

    async def _broken(self, job: Job, text: str) -> None:
        """Nobody knows what was printed.  A printer that breaks every job must not get them all at once."""
        ATTEMPT_FAILURES.labels(job.printer, Trouble.BROKEN.value).inc()
        await self._journal.doubt(job, self._printers().get(job.printer), text)
        await self._pause(self.backoff.failed(Trouble.BROKEN, time.monotonic()))

    async def _given_up(self, job: Job, text: str, tally: Tally) -> None:
        ATTEMPT_FAILURES.labels(job.printer, Trouble.STALLED.value).inc()
        progress = self._transmission.known if self._transmission is not None else None
        await self._journal.give_up(job, text, max(tally.pages, progress.confirmed if progress is not None else 0))
        await self._pause(self.backoff.failed(Trouble.STALLED, time.monotonic()))

    def _confirmed(self) -> str:
        """What the printer said of pages, behind a semicolon."""
        progress = self._transmission.known if self._transmission is not None else None
        if progress is None or not (progress.pages_all or progress.confirmed):
            return ""
        return f"; {progress.confirmed} of {progress.pages_all or 'unknown'} pages confirmed"

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._doors.stopping.wait()


def _called(document: Ready) -> str:
    return f"document {document.number}" if document.number else "the banner"


def _taken(octets: int) -> str:
    return f"{octets} octets taken"


def _progress(prepared: Prepared, document: Ready, tally: Tally) -> Progress | None:
    """What is done when `document` begins; None for one of ours.

    Also behind one of which nothing says that it was worked through: a job that goes on must not leave it out.
    """
    if document.ours or not tally.proved:
        return None
    done, pages = prepared.resumed, [each.pages for each in prepared.senders]
    return Progress(
        document=(done.document if done else 0) + tally.documents,
        octets=0,
        octets_total=document.octets,
        pages=max(0, prepared.start - 1) if not tally.documents else 0,
        pages_total=document.pages,
        pages_before=(done.pages_before if done else 0) + tally.confirmed,
        pages_all=done.pages_all if done else sum(pages) if all(pages) else 0,
    )


def _outcome(prepared: Prepared, tally: Tally, seconds: float) -> Outcome:
    detail = f"sent {tally.octets} octets in {seconds * 1000:.0f} ms, proof: {tally.proof.value}"
    if tally.all_counted:
        detail = f"{detail}, pages counted by the printer: {tally.pages}"
    return Outcome(
        pages=prepared.pages or tally.pages,
        proof=tally.proof,
        detail=detail,
        failed=prepared.failed,
        errors=tally.errors,
        cut=tally.failed,
        # What a converter made has the pages that were counted; of what passed only the printer knows.
        late=tally.senders if prepared.passed else 0,
        limits=prepared.limits,
    )
