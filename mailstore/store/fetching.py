"""Jobs that a POP3 client takes: retrieved, and at the end of its session fetched; a hundred in a statement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from mailstore.job import DeliveryProof, Event, JobState, sources
from mailstore.store import leases
from mailstore.store.committer import Rows, Steps
from mailstore.store.contract import Lease
from mailstore.store.listing import among, is_of_printer
from mailstore.store.occurring import occurred
from mailstore.store.outbox import Occasion
from mailstore.store.schema import ENTRY, EVENT, JOB, MAILDROP, MESSAGE
from mailstore.store.statement import Statement, given, number, word

AT_ONCE = 100
"""Jobs that one step ends or gives back: there may be thousands, and their rows are written on the loop."""


def _some(column: sa.Column[Any]) -> ColumnElement[bool]:
    return column.in_([given(f"n{index}") for index in range(AT_ONCE)])


def _by_hundreds(numbers: Collection[int]) -> Iterator[dict[str, int]]:
    """The parameters of `_some`, for all of `numbers`; no row has the number 0."""
    each = iter(numbers)
    while some := list(islice(each, AT_ONCE)):
        yield {f"n{index}": number for index, number in enumerate(some + [0] * (AT_ONCE - len(some)))}


_RETRIEVING = Statement(
    sa.update(JOB)
    .where(_some(JOB.c.id), JOB.c.state == word(JobState.PENDING), JOB.c.printer == given("of"))
    .values(
        state=word(JobState.PROCESSING),
        reasons=word("job-printing"),
        document=number(-1),
        processing_at=given("now"),
        holder=given("which"),
        holder_token=given("ours"),
    )
)


def retrieving(rows: Rows, lease: Lease, job_ids: Collection[int], now: float) -> None:
    """Jobs that go to a POP3 client.  Raises `LeaseLost`."""
    leases.check(rows, lease)
    for some in _by_hundreds(job_ids):
        rows.change(_RETRIEVING, **some, now=now, of=_maildrop(lease), which=lease.resource, ours=lease.token)


def _maildrop(lease: Lease) -> str:
    return lease.resource.removeprefix(leases.MAILDROP)


_UNTOUCHED = (JobState.PENDING, JobState.PENDING_HELD)
_FETCHED = Statement(
    # What a client deletes without retrieving counts as taken up first, so `pending` may end here too; and so may a job
    # that was held when the session had begun: RFC 1939 section 6 knows no way back for what is deleted.
    # What was moved to another maildrop meanwhile is fetched there.
    sa.update(JOB)
    .where(
        _some(JOB.c.id),
        among([*_UNTOUCHED, *sources(Event.COMPLETE)]),
        leases.OURS,
        JOB.c.printer == given("of"),
    )
    .values(
        state=word(JobState.COMPLETED),
        reasons=word("job-completed-successfully"),
        detail=word(""),
        delivery_proof=word(DeliveryProof.FETCHED),
        processing_at=sa.case((among(_UNTOUCHED), given("now")), else_=JOB.c.processing_at),
        completed_at=given("now"),
        release_code=word(""),
        holder=word(""),
        holder_token=number(0),
    )
    .returning(JOB.c.id, JOB.c.message_id)
)
_TAKE_ENTRIES = Statement(sa.delete(ENTRY).where(_some(ENTRY.c.job_id)).returning(ENTRY.c.maildrop, ENTRY.c.size))
_EMPTY = Statement(
    sa.update(MAILDROP)
    .where(MAILDROP.c.name == given("which"))
    .values(
        octets=MAILDROP.c.octets - given("less"),
        messages=MAILDROP.c.messages - given("fewer"),
        last_completed=given("now"),
    )
)
_MESSAGES_ENDED = Statement(
    sa.update(MESSAGE)
    .where(_some(MESSAGE.c.id))
    .values(waiting=MESSAGE.c.waiting - number(1), ended_at=given("now"))
    .returning(MESSAGE.c.id, MESSAGE.c.answerable)
)
_TELL = Statement(
    sa.insert(EVENT).from_select(
        ["job_id", "id", "at", "text"],
        sa.select(
            JOB.c.id,
            sa.select(sa.func.coalesce(sa.func.max(EVENT.c.id), number(0)) + number(1))
            .where(EVENT.c.job_id == JOB.c.id)
            .scalar_subquery(),
            given("at", sa.Double),
            given("told", sa.Text),
        ).where(_some(JOB.c.id)),
    )
)


def fetched(rows: Rows, lease: Lease, job_ids: Collection[int], now: float) -> Steps[list[int]]:
    """Instant 4 of jobs that a POP3 client took, `AT_ONCE` at a step; returns the messages.  Raises `LeaseLost`."""
    leases.check(rows, lease)
    printer = _maildrop(lease)
    reasons, detail = ("job-completed-successfully",), "fetched"
    told = f"{JobState.COMPLETED.value}: {' '.join(reasons)} ({detail})"
    messages: list[int] = []
    for some in _by_hundreds(job_ids):
        ended = dict[int, int](rows.all(_FETCHED, **some, now=now, of=printer, which=lease.resource, ours=lease.token))
        for done in _by_hundreds(ended):
            rows.change(_TELL, **done, at=now, told=told)
            gone = rows.all(_TAKE_ENTRIES, **done)
            for maildrop, taken in groupby(sorted(gone), key=itemgetter(0)):
                sizes = [size for _, size in taken]
                rows.change(_EMPTY, which=maildrop, less=sum(sizes), fewer=len(sizes), now=now)
        answerable = _let_go(rows, ended.values(), now)
        for job_id, message_id in sorted(ended.items()) if is_of_printer(printer) else ():
            if message_id in answerable:
                occurred(rows, Occasion.COMPLETED, printer, reasons, detail, now, job_id)
        messages += ended.values()
        yield
    return messages


def _let_go(rows: Rows, messages: Collection[int], now: float) -> set[int]:
    """One job fewer waits for each of `messages`; returns those whose sender may be answered."""
    # Two recipients of one message may share a maildrop, and a statement touches each message once.
    left, answerable = Counter(messages), set[int]()
    while left:
        for some in _by_hundreds(left):
            answerable.update(message for message, proved in rows.all(_MESSAGES_ENDED, **some, now=now) if proved)
        left -= Counter(left.keys())
    return answerable
