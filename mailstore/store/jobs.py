"""Jobs as rows: how they come in, move and end.

Every change says in its WHERE from which states the table (`mailstore.job`) lets it happen and under whose lease, and
whoever made it looks at the number of rows: a job that was canceled meanwhile is not printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

from mailstore.job import TRANSITIONS, DeliveryProof, Event, JobState, sources
from mailstore.store import followed, leases, listing, tracing
from mailstore.store.committer import Rows, Steps
from mailstore.store.contract import Lease
from mailstore.store.listing import among
from mailstore.store.occurring import occurred
from mailstore.store.outbox import Occasion
from mailstore.store.schema import ENTRY, JOB, MAILDROP, MESSAGE
from mailstore.store.statement import Statement, given, number, storable, word

ENDINGS = (Event.COMPLETE, Event.ABORT, Event.CANCEL)
AT_ONCE = 100
"""Jobs of a removed printer between which the loop runs: three milliseconds."""


def _target(event: Event) -> JobState:
    """Where `event` leads; the same state from everywhere."""
    (target,) = {after for (_, known), after in TRANSITIONS.items() if known is event}
    return target


_WHOLE = JOB.c.reasons != word("job-incoming")
"""Nobody drains a split mail whose parts have not all come, and when it ends they go with it (`parts`)."""

_AT_ITS_PRINTER = sa.or_(given("of", sa.Text) == word(""), JOB.c.printer == given("of", sa.Text))
"""Whoever holds a device's lease knows the job from a look at its printer's line, from which it may have been moved."""

# -- being drained

_CLAIM = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job_id"), JOB.c.state == word(JobState.PENDING), _AT_ITS_PRINTER)
    .values(
        state=word(JobState.PROCESSING),
        reasons=given("why"),
        document=number(-1),
        processing_at=given("now"),
        holder=given("which"),
        holder_token=given("ours"),
    )
)
_SENDING = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job_id"), among([JobState.PENDING, JobState.PROCESSING]), leases.OURS, _AT_ITS_PRINTER)
    .values(
        state=word(JobState.PROCESSING),
        reasons=word("job-printing"),
        detail=word(""),
        document=given("which_document"),
        attempts=JOB.c.attempts + given("counted"),
        processing_at=sa.case((JOB.c.state == word(JobState.PENDING), given("now")), else_=JOB.c.processing_at),
        sending_at=given("now"),
        holder=given("which"),
        holder_token=given("ours"),
    )
    .returning(JOB.c.attempts)
)


def claim(rows: Rows, lease: Lease, job_id: int, reasons: Sequence[str], printer: str, now: float) -> bool:
    """Raises `LeaseLost`."""
    leases.check(rows, lease)
    why = " ".join(reasons)
    return rows.change(_CLAIM, job_id=job_id, why=why, of=printer, now=now, which=lease.resource, ours=lease.token) == 1


def sending(rows: Rows, lease: Lease, job_id: int, document: int, printer: str, told: str, now: float) -> bool:
    """Instant 3, the rows.  Raises `LeaseLost`."""
    leases.check(rows, lease)
    found = rows.all(
        _SENDING,
        job_id=job_id,
        which_document=document,
        counted=int(document == 0),
        of=printer,
        now=now,
        which=lease.resource,
        ours=lease.token,
    )
    for (attempts,) in found:
        text = f"sending: attempt {attempts}, {told or f'document {document + 1}'}"
        rows.change(tracing.ADD, job_id=job_id, at=now, text=storable(text))
    return bool(found)


@cache
def _move(event: Event) -> Statement:
    target = _target(event)
    values: dict[str, Any] = {
        "state": word(target),
        "reasons": given("why"),
        "detail": given("sentence"),
        "next_attempt_at": given("not_before"),
    }
    if event not in (Event.STOP, Event.RESUME, Event.CLAIM):  # the holder lets go
        values |= {"document": number(-1), "holder": word(""), "holder_token": number(0)}
    # These are of what is being sent: a job that nobody sends any more is in doubt once, and a printer's stops and
    # starts are not about it.
    ours = leases.OF_HOLDER if event in (Event.STOP, Event.RESUME, Event.DOUBT) else leases.OURS
    return Statement(
        sa.update(JOB)
        .where(JOB.c.id == given("job_id"), among(sources(event)), ours, _WHOLE, _AT_ITS_PRINTER)
        .values(**values)
        .returning(JOB.c.printer)
    )


def move(
    rows: Rows,
    lease: Lease,
    job_id: int,
    event: Event,
    reasons: Sequence[str],
    not_before: float,
    detail: str,
    printer: str,
    now: float,
) -> bool:
    """Raises `LeaseLost`."""
    leases.check(rows, lease)
    found = rows.all(
        _move(event),
        job_id=job_id,
        why=" ".join(reasons),
        sentence=storable(detail),
        not_before=not_before,
        of=printer,
        which=lease.resource,
        ours=lease.token,
    )
    if not found:
        return False
    tracing.note_once(
        rows, job_id, told_of(event, reasons, detail), now
    )  # a printer off for months refuses every minute
    ((its,),) = found
    if event is Event.DOUBT:
        occurred(rows, Occasion.UNCERTAIN, its, reasons, detail, now, job_id)
    if event in (Event.REPRINT, Event.UNHOLD):
        rows.ring(its)
    return True


# -- the end


@cache
def _end(event: Event) -> Statement:
    return Statement(
        sa.update(JOB)
        .where(
            JOB.c.id == given("job_id"),
            among(sources(event)),
            leases.OURS,
            _WHOLE,
            _AT_ITS_PRINTER,
        )
        .values(
            state=word(_target(event)),
            reasons=given("why"),
            detail=given("sentence"),
            delivery_proof=given("proof"),
            pages=given("counted"),
            completed_at=given("now"),
            release_code=word(""),
            holder=word(""),
            holder_token=number(0),
        )
        .returning(JOB.c.message_id, JOB.c.printer)
    )


_CANCEL_SOME = Statement(
    sa.update(JOB)
    .where(
        JOB.c.id.in_(
            sa.select(JOB.c.id)
            .where(JOB.c.printer == given("of"), JOB.c.completed_at == number(0))
            .order_by(JOB.c.id)
            .limit(given("most", sa.Integer))
            .offset(number(0))
        )
    )
    .values(
        state=word(JobState.CANCELED),
        reasons=given("why"),
        detail=given("sentence"),
        completed_at=given("now"),
        release_code=word(""),
        holder=word(""),
        holder_token=number(0),
    )
    .returning(JOB.c.id, JOB.c.message_id)
)
_TAKE_ENTRY = Statement(
    sa.delete(ENTRY).where(ENTRY.c.job_id == given("job")).returning(ENTRY.c.maildrop, ENTRY.c.size)
)
EMPTY = Statement(
    sa.update(MAILDROP)
    .where(MAILDROP.c.name == given("which"))
    .values(
        octets=MAILDROP.c.octets - given("less"),
        messages=MAILDROP.c.messages - given("fewer"),
        last_completed=sa.case(
            (given("completed", sa.Double) > number(0), given("completed", sa.Double)), else_=MAILDROP.c.last_completed
        ),
    )
)
_FORGET_MAILDROP = Statement(sa.delete(MAILDROP).where(MAILDROP.c.name == given("which")))
_MESSAGE_ENDED = Statement(
    sa.update(MESSAGE)
    .where(MESSAGE.c.id == given("message"))
    .values(waiting=MESSAGE.c.waiting - number(1), ended_at=given("now"))
    .returning(MESSAGE.c.answerable)
)


def end(
    rows: Rows,
    lease: Lease,
    job_id: int,
    event: Event,
    reasons: Sequence[str],
    proof: DeliveryProof,
    pages: int,
    detail: str,
    printer: str,
    now: float,
) -> int | None:
    """Instant 4, the rows: the end state, and the maildrop entry goes with it.

    Returns the message's number, None if the job could not end so.  Raises `LeaseLost`.
    """
    leases.check(rows, lease)
    found = rows.all(
        _end(event),
        job_id=job_id,
        why=" ".join(reasons),
        sentence=storable(detail),
        proof=proof.value,
        counted=pages,
        of=printer,
        now=now,
        which=lease.resource,
        ours=lease.token,
    )
    if not found:
        return None
    ((message_id, its),) = found
    closed(rows, job_id, message_id, its, event, reasons, detail, now)
    return int(message_id)


def closed(
    rows: Rows,
    job_id: int,
    message_id: int,
    printer: str,
    event: Event,
    reasons: Sequence[str],
    detail: str,
    now: float,
) -> None:
    """What goes with a job's end: the trace, the maildrop entry, the message's count, and what people are told."""
    rows.change(tracing.ADD, job_id=job_id, at=now, text=storable(told_of(event, reasons, detail)))
    for maildrop, size in rows.all(_TAKE_ENTRY, job=job_id):
        completed = now if event is Event.COMPLETE else 0.0
        rows.change(EMPTY, which=maildrop, less=size, fewer=1, completed=completed)
    ((answerable,),) = rows.all(_MESSAGE_ENDED, message=message_id, now=now)
    # Most senders may not be answered, and then a printed job pays for nothing more than it always did.
    if event is Event.ABORT:
        occurred(rows, Occasion.ABORTED, printer, reasons, detail, now, job_id)
    elif event is Event.COMPLETE and "job-completed-with-errors" in reasons:
        occurred(rows, Occasion.INCOMPLETE, printer, reasons, detail, now, job_id)
    elif event is Event.COMPLETE and answerable:
        occurred(rows, Occasion.COMPLETED, printer, reasons, detail, now, job_id)


def forget(rows: Rows, printer: str, now: float) -> Steps[list[int]]:
    """Cancel what a removed printer, or person, still had; returns the messages."""
    reasons, detail = ("job-canceled-by-user",), "the printer was removed"
    messages: list[int] = []
    told = {"why": " ".join(reasons), "sentence": storable(detail), "now": now}
    while found := rows.all(_CANCEL_SOME, of=printer, most=AT_ONCE, **told):
        for job_id, message_id in found:
            rows.change(tracing.ADD, job_id=job_id, at=now, text=told_of(Event.CANCEL, reasons, detail))
            rows.change(followed.DROP_PROGRESS, job=job_id)
            rows.all(_TAKE_ENTRY, job=job_id)
            rows.all(_MESSAGE_ENDED, message=message_id, now=now)
            messages.append(message_id)
        yield
    rows.change(_FORGET_MAILDROP, which=printer)
    return messages


def told_of(event: Event, reasons: Sequence[str], detail: str) -> str:
    told = f"{_target(event).value}: {' '.join(reasons)}" if reasons else _target(event).value
    return f"{told} ({detail})" if detail else told


def note(rows: Rows, job_id: int, text: str, now: float) -> None:
    """A line in the trace, if there is such a job."""
    if rows.one(listing.ONE_JOB, job=job_id) is not None:
        rows.change(tracing.ADD, job_id=job_id, at=now, text=storable(text))


for _event in Event:  # so that the first job pays for no compiling, and the tests see every statement
    _move(_event)
for _event in ENDINGS:
    _end(_event)
