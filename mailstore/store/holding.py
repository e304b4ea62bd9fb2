"""Pages: counted before a job goes out, and a job that would pass a limit of them is held."""

from __future__ import annotations

import time

import sqlalchemy as sa

from mailstore.directory.records import NO_LIMITS, PrintLimits
from mailstore.job import Event, JobState, advance
from mailstore.store import capabilities, counting, tracing
from mailstore.store.admission import Usage
from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.leases import ON_PAPER
from mailstore.store.listing import of_printer
from mailstore.store.occurring import occurred
from mailstore.store.outbox import Occasion
from mailstore.store.reader import Reader
from mailstore.store.schema import JOB, MESSAGE
from mailstore.store.statement import Statement, given, number, storable, word

LIMIT = "account-limit-reached"

_PAGES_OF = Statement(
    sa.select(JOB.c.printer, JOB.c.counted, JOB.c.capability, JOB.c.waived, MESSAGE.c.proved)
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .where(JOB.c.id == given("job"), of_printer(JOB.c.printer))
)
_COUNTED = Statement(sa.update(JOB).where(JOB.c.id == given("job_id")).values(counted=given("pages_now")))
_BEFORE_SENDING = Statement(
    sa.select(JOB.c.printer, JOB.c.state, JOB.c.reasons).where(
        JOB.c.id == given("job"), JOB.c.document < number(0), of_printer(JOB.c.printer)
    )
)
_HOLD = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job_id"))
    .values(
        state=word(JobState.PENDING_HELD),
        reasons=given("why"),
        detail=given("sentence"),
        holder=word(""),
        holder_token=number(0),
        waits_from=given("from_now"),
    )
)


def _too_many(rows: Rows, row: tuple[str, int, int, int, str], pages: int, limits: PrintLimits, now: float) -> str:
    """Which limit the job's pages would pass."""
    printer, counted, capability, _, proved = row
    if limits.job_pages and pages > limits.job_pages:
        return f"with {pages} pages it is longer than the printer's limit of {limits.job_pages} pages for one job"
    for sender, most, whose in (("", limits.pages, "printer's"), (proved, limits.sender_pages, "sender's")):
        if not most or (whose == "sender's" and not sender):
            continue
        ((printed,),) = rows.all(counting.PRINTED, of=printer, by=sender, **counting.slots(counting.DAY, now))
        if printed + pages - counted > most:
            return f"with {pages} pages it would pass the {whose} limit of {most} pages a day"
    found = capabilities.find(rows, capability) if capability else None
    if found and found.max_pages and found.pages + pages - counted > found.max_pages:
        return f"with {pages} pages it would pass the limit of {found.max_pages} pages of the address that it came by"
    return ""


def _count_pages(rows: Rows, job_id: int, pages: int, limits: PrintLimits, now: float, *, printed: bool) -> str:
    row = rows.one(_PAGES_OF, job=job_id)
    if row is None or pages <= row[1]:
        return ""
    printer, counted, capability, waived, proved = row
    if not (printed or waived) and (sentence := _too_many(rows, row, pages, limits, now)):
        return sentence
    counting.add(rows, printer, proved, limits, now, pages=pages - counted)
    if capability:
        capabilities.use(rows, capability, pages=pages - counted)
    rows.change(_COUNTED, job_id=job_id, pages_now=pages)
    return ""


def _hold_for_limit(rows: Rows, job_id: int, detail: str, now: float) -> bool:
    row = rows.one(_BEFORE_SENDING, job=job_id)
    if row is None or row[1] not in (JobState.PENDING, JobState.PROCESSING):
        return False
    printer, state, before = row
    if state == JobState.PROCESSING:
        state = advance(JobState.PROCESSING, Event.RELEASE)
    held = advance(JobState(state), Event.HOLD)
    reasons = [LIMIT, *(reason for reason in before.split() if reason in ON_PAPER)]
    rows.change(_HOLD, job_id=job_id, why=" ".join(reasons), sentence=storable(detail), from_now=now)
    rows.change(tracing.ADD, job_id=job_id, at=now, text=storable(f"{held.value}: {' '.join(reasons)} ({detail})"))
    occurred(rows, Occasion.HELD, printer, reasons, detail, now, job_id)
    return True


class Counting:
    """A part of `sql.SqlStore`."""

    committer: Committer
    _reader: Reader

    async def usage(self, printer: str, sender: str = "") -> Usage:
        await self.committer.caught_up()
        now = time.time()
        ((jobs, octets),) = self._reader.all(
            counting.TAKEN, of=printer, by=sender, **counting.slots(counting.HOUR, now)
        )
        ((pages,),) = self._reader.all(counting.PRINTED, of=printer, by=sender, **counting.slots(counting.DAY, now))
        return Usage(jobs=jobs, octets=octets, pages=pages)

    async def count_pages(self, job_id: int, pages: int, limits: PrintLimits, *, printed: bool = False) -> str:
        row = self._reader.one(_PAGES_OF, job=job_id)
        if row is None or pages <= row[1] or (limits == NO_LIMITS and not row[2]):
            return ""  # the usual answer, and it writes nothing
        now = time.time()
        # Durable with the sync of instant 3, before which nothing is printed.
        return await self.committer.submit(
            lambda rows: _count_pages(rows, job_id, pages, limits, now, printed=printed), Wanted.NOW
        )

    async def hold_for_limit(self, job_id: int, detail: str) -> bool:
        now = time.time()
        return await self.committer.submit(lambda rows: _hold_for_limit(rows, job_id, detail, now))
