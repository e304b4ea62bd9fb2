"""Jobs that wait for somebody, as rows: found by their code, moved to another maildrop, given up after their time.

Security: a code is looked up by its index and by nothing but digits, so no guess costs more than another.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import sqlalchemy as sa

from mailstore.directory.records import Hold
from mailstore.failure import TransientFailure
from mailstore.job import Event, Job, JobState, advance
from mailstore.store import accepting, capabilities, followed, jobs, leases, listing, parts, releasing, tracing
from mailstore.store.arriving import Recipient
from mailstore.store.committer import Rows
from mailstore.store.leases import AGAIN, ON_PAPER
from mailstore.store.opening import Role
from mailstore.store.schema import ENTRY, EVENT, JOB, LEASE, MESSAGE
from mailstore.store.statement import Statement, given, number, storable, word
from mailstore.store.waits import CODE_DIGITS
from mailstore.store.wishes import UNKNOWN, Asked, Wishes

TOO_OLD = "job-canceled-after-timeout"
AT_ONCE = 100
_NOT_READY = "resources-are-not-ready"

_TO_MOVE = Statement(
    sa.select(
        JOB.c.attempts,
        JOB.c.release_code,
        JOB.c.counted,
        JOB.c.capability,
        MESSAGE.c.answerable,
        ENTRY.c.size,
        sa.func.length(ENTRY.c.fields),
        sa.select(sa.func.coalesce(sa.func.max(EVENT.c.id), number(0)))
        .where(EVENT.c.job_id == given("job"))
        .scalar_subquery(),
    )
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .join(ENTRY, ENTRY.c.job_id == JOB.c.id)
    .where(JOB.c.id == given("job"))
)
_IN_SESSION = Statement(
    sa.select(LEASE.c.token).where(
        LEASE.c.resource == given("which"),
        LEASE.c.owner != word(""),
        LEASE.c.role == word(Role.APPLIANCE),  # the bridge has a lease of each maildrop that it drains
        LEASE.c.expires > given("now"),
    )
)
_MOVE = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job"))
    .values(
        printer=given("there"),
        recipient=sa.case((given("said", sa.Text) != word(""), given("said", sa.Text)), else_=JOB.c.recipient),
        state=given("new_state"),
        reasons=given("why"),
        detail=word(""),
        attempts=given("tried"),
        document=number(-1),
        next_attempt_at=number(0),
        waived=given("let_pass"),
        counted=number(0),
        release_code=given("code"),
        waits_from=given("from_now"),
    )
)
_MOVE_ENTRY = Statement(
    sa.update(ENTRY)
    .where(ENTRY.c.job_id == given("job"))
    .values(maildrop=given("there"), uid=given("new_uid"), size=given("octets"), fields=given("before_it"))
)


_OVER = (
    JOB.c.completed_at == number(0),
    JOB.c.holder == word(""),
    JOB.c.reasons != word(parts.INCOMING),
    sa.or_(
        sa.and_(
            JOB.c.state.in_([word(JobState.PENDING), word(JobState.PROCESSING_STOPPED)]),
            JOB.c.received_at < given("received"),
            JOB.c.waits_from < given("received"),
        ),
        sa.and_(
            JOB.c.state == word(JobState.PENDING_HELD),
            JOB.c.received_at < given("held"),
            JOB.c.waits_from < given("held"),
        ),
    ),
)
_ALL_OVER = Statement(
    sa.select(JOB.c.id)
    .where(JOB.c.printer == given("of"), *_OVER)
    .order_by(JOB.c.id)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_STILL_OVER = Statement(sa.select(JOB.c.id).where(JOB.c.id == given("job"), JOB.c.printer == given("of"), *_OVER))


def _move(asked: Asked, to: Recipient, by: str, store_id: str) -> bool:
    rows, job_id, there = asked.rows, asked.job_id, to.maildrop
    if there == asked.printer or parts.INCOMING in asked.reasons:
        return False
    if asked.in_doubt:
        state = advance(asked.state, Event.REPRINT)
    elif asked.state in (JobState.PENDING, JobState.PENDING_HELD):
        state = asked.state
    else:
        return False
    if rows.one(_IN_SESSION, which=leases.MAILDROP + asked.printer, now=asked.now) is not None:
        # It may have been sent to the client, who is about to print it.
        raise TransientFailure("4.2.0", "its printer is fetching mail just now, try again in a moment")
    row = rows.one(_TO_MOVE, job=job_id)
    assert row is not None
    attempts, code, counted, capability, answerable, size, before_it, told = row
    accepting.fill(rows, to, size - before_it)
    rows.change(jobs.EMPTY, which=asked.printer, less=size, fewer=1, completed=0.0)
    reasons = _reasons(asked, to, state)
    held = state is JobState.PENDING_HELD
    new_code = _code(rows, to, code) if held else ""
    rows.change(
        _MOVE,
        job=job_id,
        there=there,
        said=storable(to.address),
        new_state=state.value,
        why=" ".join(reasons),
        tried=0 if _untouched(asked) else attempts,
        let_pass=int(to.waived),
        code=new_code,
        from_now=asked.now,
    )
    # RFC 1939 section 7: what either printer saw under a unique-id was this mail as it lay there then.
    uid, octets = f"{store_id}.{job_id}.{told + 1}", size - before_it + len(to.fields)
    rows.change(_MOVE_ENTRY, job=job_id, there=there, new_uid=uid, octets=octets, before_it=to.fields)
    rows.change(followed.DROP_PROGRESS, job=job_id)
    if capability and counted:
        capabilities.use(rows, capability, pages=-counted)  # they count again where it prints
    text = f"{state.value}: {' '.join(reasons)} (moved from {asked.printer} to {there} by {by})"
    rows.change(tracing.ADD, job_id=job_id, at=asked.now, text=storable(text))
    if new_code != code and new_code and answerable:
        releasing.occur(rows, job_id, there, reasons, asked.now)
    rows.ring(asked.printer)
    rows.ring(there)
    return True


def _reasons(asked: Asked, to: Recipient, state: JobState) -> list[str]:
    """A limit of pages was the old printer's."""
    on_paper = asked.in_doubt or any(reason in ON_PAPER for reason in asked.reasons)
    held = state is JobState.PENDING_HELD
    return [*([releasing.HELD] * held), *([AGAIN] * on_paper), to.reason]


def _untouched(asked: Asked) -> bool:
    """As the old printer could not be reached, none of its attempts counts at the new one."""
    return _NOT_READY in asked.reasons and not any(reason in ON_PAPER for reason in asked.reasons)


def _code(rows: Rows, to: Recipient, code: str) -> str:
    if to.hold is Hold.NONE:
        return ""
    return code or (releasing.draw(rows) if to.hold is Hold.CODE else "")


def _expire(rows: Rows, printer: str, job_ids: Sequence[int], times: dict[str, float], now: float) -> list[int]:
    """Returns the messages of those that ended; none while a client has them in its list, and may be sent them."""
    messages: list[int] = []
    if rows.one(_IN_SESSION, which=leases.MAILDROP + printer, now=now) is not None:
        return messages
    for job_id in job_ids:
        if rows.one(_STILL_OVER, job=job_id, of=printer, **times) is None:
            continue
        asked = Asked.of(rows, job_id, now)
        assert asked is not None
        reasons, detail = [TOO_OLD], "it could not be printed within its time"
        if asked.state is JobState.PENDING_HELD:
            detail = "nobody released it within its time"
        elif asked.in_doubt:
            reasons, detail = [TOO_OLD, UNKNOWN], "nobody decided within its time whether it was printed"
        if asked.grant(Event.ABORT, reasons, detail):
            messages.append(asked.message_id)
    return messages


class Waited(Wishes):
    """A part of `sql.SqlStore`."""

    async def job_by_code(self, code: str) -> Job | None:
        if len(code) != CODE_DIGITS or not (code.isascii() and code.isdigit()):
            return None
        await self.committer.caught_up()
        found = self._reader.one(releasing.BY_CODE, code=code)
        row = self._reader.one(listing.ONE_JOB, job=found[0]) if found else None
        job = listing.job_of(row) if row else None
        return job if job and job.state is JobState.PENDING_HELD and job.release_code == code else None

    async def move_job(self, job_id: int, to: Recipient, by: str) -> bool:
        if not listing.is_of_printer(to.maildrop):
            raise ValueError("a job is a printer's")
        return await self._wish(job_id, by, lambda asked, by: _move(asked, to, by, self._store_id))

    async def expire_jobs(self, printer: str, *, received: float, held: float) -> int:
        times = {"received": received, "held": held}
        found = await self._reader.scan(_ALL_OVER, of=printer, most=AT_ONCE, **times)
        if not found:  # the usual answer, and it writes nothing
            return 0
        now, job_ids = time.time(), [job_id for (job_id,) in found]
        messages = await self.committer.submit(
            lambda rows: _expire(rows, printer, job_ids, times, now), instant="expired"
        )
        await self._ended(messages)
        return len(messages)
