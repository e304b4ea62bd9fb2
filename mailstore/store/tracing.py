"""A job's trace as rows."""

from __future__ import annotations

import sqlalchemy as sa

from mailstore.store.committer import Rows
from mailstore.store.schema import EVENT
from mailstore.store.statement import Statement, given, number, storable

ADD = Statement(
    sa.insert(EVENT).from_select(
        ["job_id", "id", "at", "text"],
        sa.select(
            given("job_id", sa.BigInteger),
            sa.func.coalesce(sa.func.max(EVENT.c.id), number(0)) + number(1),
            given("at", sa.Double),
            given("text", sa.Text),
        ).where(EVENT.c.job_id == given("job_id", sa.BigInteger)),
    )
)
LAST = Statement(
    sa.select(EVENT.c.text)
    .where(EVENT.c.job_id == given("job"))
    .order_by(EVENT.c.id.desc())
    .limit(number(1))
    .offset(number(0))
)


def note_once(rows: Rows, job_id: int, text: str, now: float) -> None:
    """A line in the trace of a job that is there, unless the last one says the same."""
    told = storable(text)
    if rows.one(LAST, job=job_id) != (told,):
        rows.change(ADD, job_id=job_id, at=now, text=told)
