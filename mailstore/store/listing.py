"""Jobs as they are read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.elements import ColumnElement

from mailstore.directory.records import MAILDROP_OF_PERSON
from mailstore.job import ENDED, DeliveryProof, Job, JobState, Proof
from mailstore.store.schema import JOB, MESSAGE
from mailstore.store.statement import Statement, given, number, word


def of_printer(name: ColumnElement[Any]) -> ColumnElement[bool]:
    """The maildrop `name` is a printer's.

    A person's mail has rows in `job` too, so that quota, unique-ids, POP3 sessions and keeping are one way for both;
    whatever tells of jobs says this.  The line in front of a printer asks by the printer's name and need not.
    """
    return sa.func.substr(name, number(1), number(len(MAILDROP_OF_PERSON))) != word(MAILDROP_OF_PERSON)


def is_of_printer(name: str) -> bool:
    return not name.startswith(MAILDROP_OF_PERSON)


def among(states: Collection[JobState]) -> ColumnElement[bool]:
    """The job is in one of these states."""
    return JOB.c.state.in_([word(state) for state in sorted(states)])


_JOB_COLUMNS = (
    JOB.c.id,
    JOB.c.printer,
    JOB.c.state,
    JOB.c.reasons,
    MESSAGE.c.reverse_path,
    MESSAGE.c.name,
    JOB.c.message_id,
    MESSAGE.c.octets,
    MESSAGE.c.documents,
    JOB.c.pages,
    JOB.c.attempts,
    JOB.c.delivery_proof,
    MESSAGE.c.trust,
    JOB.c.detail,
    JOB.c.received_at,
    JOB.c.processing_at,
    JOB.c.sending_at,
    JOB.c.completed_at,
    JOB.c.next_attempt_at,
    JOB.c.recipient,
    MESSAGE.c.header_message_id,
    MESSAGE.c.login,
    MESSAGE.c.answerable,
    MESSAGE.c.envid,
    MESSAGE.c.ret,
    JOB.c.notify,
    JOB.c.orcpt,
    MESSAGE.c.submitter,
    MESSAGE.c.proof,
    MESSAGE.c.proved,
    JOB.c.capability,
    JOB.c.waived,
    MESSAGE.c.client_ip,
    JOB.c.release_code,
    JOB.c.waits_from,
)
_JOBS = sa.select(*_JOB_COLUMNS).join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)

ONE_JOB = Statement(_JOBS.where(JOB.c.id == given("job"), of_printer(JOB.c.printer)))
PENDING = Statement(
    _JOBS.where(JOB.c.printer == given("of"), JOB.c.state == word(JobState.PENDING), JOB.c.completed_at == number(0))
    .order_by(JOB.c.id)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)


def oldest_pending(read: Callable[..., list[Any]], printers: Collection[str], most: int) -> list[Job]:
    """The oldest of these printers'; `read` does a statement.  Never more than a few of each are in memory."""
    found: list[Any] = []
    for printer in printers:
        if rows := read(PENDING, of=printer, most=most):
            found = sorted(found + rows)[:most]
    return [job_of(row) for row in found]


@cache
def jobs(printer: bool, states: tuple[str, ...], before: bool) -> Statement:
    """Jobs, newest first.

    Records are kept for long, so what can be found by an index of few is: what has not ended, what is one printer's.
    """
    known = [JobState(state) for state in states or JobState]
    found = [of_printer(JOB.c.printer)]
    if states:
        found.append(among(known))
    unended, ended = JOB.c.completed_at == number(0), JOB.c.completed_at != number(0)
    kinds: list[ColumnElement[bool]] = [sa.true()]
    order: ColumnElement[Any] = JOB.c.id
    if printer:
        found.append(JOB.c.printer == given("of"))
        kinds = [kind for kind, ends in ((unended, False), (ended, True)) if any(one.ended is ends for one in known)]
    elif not ENDED.intersection(known):
        kinds = [unended]
        order = JOB.c.id + number(0)  # else the planner goes through all records in their order
    if before:
        found.append(order < given("before"))
    most = given("most", sa.Integer)
    looks = [
        sa.select(JOB.c.id).where(*found, kind).order_by(order.desc()).limit(most).offset(number(0)).subquery()
        for kind in kinds
    ]
    chosen = JOB.c.id.in_(sa.union_all(*(sa.select(look.c.id) for look in looks)))
    return Statement(_JOBS.where(chosen).order_by(JOB.c.id.desc()).limit(most).offset(number(0)))


def job_of(row: Sequence[Any]) -> Job:
    """A row of `_JOB_COLUMNS`."""
    return Job(
        id=row[0],
        printer=row[1],
        state=JobState(row[2]),
        reasons=tuple(row[3].split()),
        sender=row[4],
        name=row[5],
        message_id=row[6],
        octets=row[7],
        documents=row[8],
        pages=row[9],
        attempts=row[10],
        delivery_proof=DeliveryProof(row[11]),
        trust=row[12],
        detail=row[13],
        received_at=row[14],
        processing_at=row[15],
        sending_at=row[16],
        completed_at=row[17],
        next_attempt_at=row[18],
        recipient=row[19],
        header_message_id=row[20],
        login=row[21],
        answerable=bool(row[22]),
        envid=row[23],
        ret=row[24],
        notify=row[25],
        orcpt=row[26],
        submitter=row[27],
        proof=Proof(row[28]),
        proved=row[29],
        capability=row[30],
        waived=bool(row[31]),
        client_ip=row[32],
        release_code=row[33],
        waits_from=row[34],
    )
