"""What gauges, pages and commands ask, and the generation."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from mailstore.job import JobState
from mailstore.store.committer import Rows
from mailstore.store.contract import JobEvent, Origin, Waiting
from mailstore.store.listing import of_printer
from mailstore.store.reader import Reader
from mailstore.store.schema import EVENT, JOB, MAILDROP, MESSAGE, META, PRINTER_STATE
from mailstore.store.statement import Statement, given, number, word

STANDING = Statement(  # always one row
    sa.select(
        sa.select(PRINTER_STATE.c.accepting).where(PRINTER_STATE.c.printer == given("which")).scalar_subquery(),
        sa.select(MAILDROP.c.octets).where(MAILDROP.c.name == given("which")).scalar_subquery(),
    )
)
PRINTERS_WAITING = Statement(  # one look at each maildrop, however many jobs wait there
    sa.select(MAILDROP.c.name).where(
        of_printer(MAILDROP.c.name),
        sa.exists().where(
            JOB.c.printer == MAILDROP.c.name, JOB.c.state == word(JobState.PENDING), JOB.c.completed_at == number(0)
        ),
        ~sa.exists().where(PRINTER_STATE.c.printer == MAILDROP.c.name, PRINTER_STATE.c.paused != number(0)),
    )
)
TRACE = Statement(sa.select(EVENT.c.at, EVENT.c.text).where(EVENT.c.job_id == given("job")).order_by(EVENT.c.id))
META_VALUE = Statement(sa.select(META.c.value).where(META.c.name == given("which")))

_MAILDROPS = Statement(sa.select(MAILDROP).where(of_printer(MAILDROP.c.name)).order_by(MAILDROP.c.name))
_COUNTS = Statement(
    sa.select(JOB.c.printer, JOB.c.state, sa.func.count(JOB.c.id), sa.func.min(JOB.c.id))
    .where(JOB.c.completed_at == number(0), of_printer(JOB.c.printer))
    .group_by(JOB.c.printer, JOB.c.state)
)
_RECEIVED = Statement(sa.select(JOB.c.received_at).where(JOB.c.id == given("job")))
_ORIGINS = Statement(
    sa.select(MESSAGE.c.client_ip, MESSAGE.c.helo, MESSAGE.c.reverse_path, sa.func.count(MESSAGE.c.id))
    .where(
        MESSAGE.c.id > sa.select(sa.func.max(MESSAGE.c.id) - given("most", sa.BigInteger)).scalar_subquery(),
        MESSAGE.c.trust == word("insider"),
        MESSAGE.c.login == word(""),
    )
    .group_by(MESSAGE.c.client_ip, MESSAGE.c.helo, MESSAGE.c.reverse_path)
)

_SET_META = Statement(sa.update(META).where(META.c.name == given("which")).values(value=given("new")))


async def waiting(reader: Reader) -> list[Waiting]:
    """One for every maildrop of a printer."""
    return await reader.run(lambda: _waiting(reader))


def _waiting(reader: Reader) -> list[Waiting]:
    states: dict[str, dict[str, int]] = {}
    oldest: dict[str, int] = {}
    for printer, state, count, first in reader.far(_COUNTS):
        states.setdefault(printer, {})[state] = count
        oldest[printer] = min(first, oldest.get(printer, first))
    return [
        Waiting(
            printer=name,
            states=states.get(name, {}),
            messages=messages,
            octets=octets,
            oldest=_received(reader, oldest[name]) if name in oldest else 0.0,
            last_completed=last_completed,
        )
        for name, messages, octets, last_completed in reader.far(_MAILDROPS)
    ]


async def origins(reader: Reader, most: int) -> list[Origin]:
    return [
        Origin(client_ip=client_ip, helo=helo, reverse_path=reverse_path, messages=messages)
        for client_ip, helo, reverse_path, messages in await reader.scan(_ORIGINS, most=most)
    ]


def _received(reader: Reader, job_id: int) -> float:
    rows = reader.far(_RECEIVED, job=job_id)
    return float(rows[0][0]) if rows else 0.0


def events_of(rows: list[Any]) -> list[JobEvent]:
    return [JobEvent(at=at, text=text) for at, text in rows]


def raise_generation(rows: Rows) -> int:
    value = int(rows.all(META_VALUE, which="generation")[0][0]) + 1
    rows.change(_SET_META, which="generation", new=str(value))
    rows.ring("*")
    return value
