"""How long octets and records stay after the end."""

from __future__ import annotations

import sqlalchemy as sa

from mailstore.store.blobs import Place, Placed
from mailstore.store.committer import Rows
from mailstore.store.schema import CONTENT, EVENT, JOB, MESSAGE
from mailstore.store.statement import Statement, given, number, word

RECORD_SECONDS = 90 * 86400.0
AT_ONCE = 200
"""Messages per transaction of a sweep: others get their turn in between."""

_PLACE = (MESSAGE.c.place, MESSAGE.c.octets, MESSAGE.c.reference, MESSAGE.c.start)

PLACED = Statement(
    sa.select(*_PLACE, CONTENT.c.data)
    .join(CONTENT, CONTENT.c.message_id == MESSAGE.c.id, isouter=True)
    .where(MESSAGE.c.id == given("message"))
)
PLACED_FOR_JOB = Statement(
    sa.select(*_PLACE, CONTENT.c.data)
    .select_from(JOB)
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .join(CONTENT, CONTENT.c.message_id == MESSAGE.c.id, isouter=True)
    .where(JOB.c.id == given("job"))
)
NAMED = Statement(
    sa.select(sa.func.max(MESSAGE.c.start + MESSAGE.c.octets)).where(
        MESSAGE.c.reference == given("which"), MESSAGE.c.reference != word("")
    )
)
EXPIRED = Statement(
    sa.select(MESSAGE.c.id)
    .where(MESSAGE.c.waiting == number(0), MESSAGE.c.place == given("where"), MESSAGE.c.ended_at <= given("until"))
    .order_by(MESSAGE.c.ended_at)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_KEPT = Statement(
    sa.select(*_PLACE).where(
        MESSAGE.c.id == given("message"), MESSAGE.c.waiting == number(0), MESSAGE.c.place != word(Place.GONE)
    )
)
_GONE = Statement(
    sa.update(MESSAGE)
    .where(MESSAGE.c.id == given("message"))
    .values(place=word(Place.GONE), reference=word(""), start=number(0))
)
_DROP_CONTENT = Statement(sa.delete(CONTENT).where(CONTENT.c.message_id == given("message")))
_JOBS_OF = Statement(sa.select(JOB.c.id).where(JOB.c.message_id == given("message")))
_DROP_EVENTS = Statement(sa.delete(EVENT).where(EVENT.c.job_id == given("job")))
_DROP_JOBS = Statement(sa.delete(JOB).where(JOB.c.message_id == given("message")))
_DROP_MESSAGE = Statement(sa.delete(MESSAGE).where(MESSAGE.c.id == given("message")))


def placed_of(row: tuple[str, int, str, int, bytes | None]) -> Placed:
    """A row of `PLACED`."""
    place, octets, reference, start, data = row
    return Placed(place=Place(place), octets=octets, reference=reference, start=start, data=data or b"")


def drop_octets(rows: Rows, messages: list[int]) -> list[Placed]:
    """Let go of the octets of those messages that no job needs any more.

    What lies in files is to be removed once this is committed.
    """
    dropped = []
    for message_id in messages:
        found = rows.one(_KEPT, message=message_id)
        if found is None:
            continue
        dropped.append(placed_of((*found, None)))
        rows.change(_GONE, message=message_id)
        rows.change(_DROP_CONTENT, message=message_id)
    return dropped


def drop_records(rows: Rows, until: float) -> int:
    """Forget what ended before `until`; returns how many messages."""
    found = rows.all(EXPIRED, where=Place.GONE.value, until=until, most=AT_ONCE)
    for (message_id,) in found:
        for (job_id,) in rows.all(_JOBS_OF, message=message_id):
            rows.change(_DROP_EVENTS, job=job_id)
        rows.change(_DROP_JOBS, message=message_id)
        rows.change(_DROP_MESSAGE, message=message_id)
    return len(found)
