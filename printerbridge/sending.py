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
from mailstore.job import Job
from printerbridge.appsocket import Broken, Connection, NothingTaken, Sent
from printerbridge.device import Device
from printerbridge.dialing import NotConnected
from printerbridge.guard import Guard
from printerbridge.journal import Journal
from printerbridge.patience import Timing
from printerbridge.pjl import OK
from printerbridge.ready import Prepared, Ready
from printerbridge.retry import Backoff, Trouble
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

_DEVICE_TROUBLE = frozenset({Trouble.REFUSED, Trouble.UNREACHABLE, Trouble.NOTHING_TAKEN})


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """What sending asks of the line that it works for."""

    printers: Callable[[], Mapping[str, Printer]]  # the entries that name the device now
    open: Callable[[str], Awaitable[bool]]  # whether jobs of this printer may be sent now
    foresee: Callable[[], None]  # the next job can be made ready
    stopping: asyncio.Event


class Sending:
    """Sends the jobs of one line."""

    def __init__(self, device: Device, journal: Journal, doors: Doors, timing: Timing, guard: Guard) -> None:
        self._device = device
        self._journal = journal
        self._doors = doors
        self._printers = doors.printers
        self._timing = timing
        self._guard = guard
        self._backoff = Backoff(timing.schedules)
        self._hearing = Hearing()
        self._connection: Connection | None = None  # over which the job goes

    async def heed(self, job: Job) -> None:
        """Break off what is being sent, if the job has ended meanwhile."""
        connection = self._connection
        if connection and await self._journal.ended(job.id) and self._connection is connection:
            connection.break_off("the job was canceled")

    async def print(self, prepared: Prepared) -> None:
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
                connection = self._connection = await self._device.connect(self._timing.patience, self._guard)
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
                await self._journal.fares(self._printers())
                return sent
            if not await self._failed(prepared, number, trouble, text):
                return None
        return None

    async def _may_begin(self, prepared: Prepared) -> bool:
        job = prepared.job
        if not self._doors.stopping.is_set() and await self._doors.open(job.printer):
            return True
        if prepared.claimed:
            await self._journal.put_back(job)
        return False

    async def _attempt(self, connection: Connection, job: Job, number: int, document: Ready) -> Sent | None:
        """One connection; None if the journal says that the job is not to be sent."""
        try:
            if not await self._journal.begin(job, number, self._doors.foresee):
                return None
            printer = self._printers().get(job.printer)
            transmission = Transmission(
                connection,
                self._journal,
                job,
                number,
                document,
                hearing=self._hearing if printer is not None and printer.pjl else None,
                printers=self._printers,
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
            await self._journal.fares(self._printers(), "connecting-to-device", text)
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
            log.warning("%s: %s; trying again in %.1f s", self._device.uri, text, delay)
        if number > 0:
            await asyncio.sleep(delay)  # until it is finished, or broken off
            return await self._goes_on(job, number)
        await self._pause(delay)
        return await self._journal.wanted(job)

    async def _goes_on(self, job: Job, number: int) -> bool:
        """Whether a job of which `number` documents are on paper still has its printer here."""
        if job.printer not in self._printers():
            text = f"the printer is no longer at {self._device.uri}; documents from {number + 1} on were not sent"
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
        await self._journal.doubt(job, self._printers().get(job.printer), text)
        await self._pause(self._backoff.failed(Trouble.BROKEN))

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._doors.stopping.wait()
