"""Leases with fencing tokens, and what becomes of the jobs of a holder that was lost."""

from __future__ import annotations

import sqlalchemy as sa

from mailstore.job import Event, JobState, advance
from mailstore.store import tracing
from mailstore.store.committer import Rows
from mailstore.store.contract import Lease, LeaseLost, Role
from mailstore.store.occurring import occurred
from mailstore.store.outbox import Occasion
from mailstore.store.schema import JOB, LEASE
from mailstore.store.statement import Statement, given, number, word

MAILDROP = "maildrop:"
AGAIN = "x-printed-again"
RESUMED = "x-resumed"
ON_PAPER = (AGAIN, RESUMED)
"""Reasons of a job that waits, and of which some may be on paper."""

OF_HOLDER = sa.and_(JOB.c.holder == given("which"), JOB.c.holder_token == given("ours"))
"""A job that was taken up under this lease."""
OURS = sa.or_(JOB.c.holder == word(""), OF_HOLDER)
"""And one that nobody took up."""

GET = Statement(sa.select(LEASE.c.owner, LEASE.c.token, LEASE.c.expires).where(LEASE.c.resource == given("which")))
_MAKE = Statement(sa.insert(LEASE), "resource", "owner", "role", "token", "expires")
_TAKE = Statement(
    sa.update(LEASE)
    .where(LEASE.c.resource == given("which"))
    .values(owner=given("new_owner"), role=given("new_role"), expires=given("until"), token=LEASE.c.token + number(1))
    .returning(LEASE.c.token)
)
_RENEW = Statement(
    sa.update(LEASE)
    .where(LEASE.c.resource == given("which"), LEASE.c.token == given("ours"), LEASE.c.owner != word(""))
    .values(expires=given("until"))
)
_RELEASE = Statement(
    sa.update(LEASE)
    .where(LEASE.c.resource == given("which"), LEASE.c.token == given("ours"))
    .values(owner=word(""), expires=number(0))
)
_HELD = Statement(
    sa.select(LEASE.c.token).where(
        LEASE.c.resource == given("which"), LEASE.c.token == given("ours"), LEASE.c.owner != word("")
    )
)
_OF_ROLE = Statement(
    sa.select(LEASE.c.resource, LEASE.c.token).where(LEASE.c.role == given("dead"), LEASE.c.owner != word(""))
)

_LEFT = Statement(
    sa.select(JOB.c.id, JOB.c.printer, JOB.c.state, JOB.c.document, JOB.c.reasons)
    .where(JOB.c.holder == given("which"), JOB.c.holder != word(""))
    .limit(given("most"))
    .offset(number(0))
)
_ALL = 1 << 62
_SETTLE = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job_id"))
    .values(
        state=given("new_state"),
        reasons=given("why"),
        detail=given("sentence"),
        document=number(-1),
        holder=word(""),
        holder_token=number(0),
    )
)


def acquire(rows: Rows, resource: str, owner: str, role: Role, now: float, seconds: float) -> Lease | None:
    """Instant 2."""
    found = rows.one(GET, which=resource)
    expires = now + seconds
    if found is None:
        rows.change(_MAKE, resource=resource, owner=owner, role=role.value, token=1, expires=expires)
        return Lease(resource=resource, token=1, expires=expires)
    holder, _, until = found
    if holder not in ("", owner) and until > now:
        return None
    settle(rows, resource, now)
    token = rows.all(_TAKE, which=resource, new_owner=owner, new_role=role.value, until=expires)[0][0]
    return Lease(resource=resource, token=token, expires=expires)


def settle(rows: Rows, resource: str, now: float, most: int = _ALL) -> int:
    """Jobs that the resource's last holder left: past instant 3 nobody knows what was printed, else nothing was.

    Returns how many there were, of `most` that are settled now.
    """
    left = rows.all(_LEFT, which=resource, most=most)
    for job_id, printer, state, document, before in left:
        if document >= 0:
            event, reasons = Event.DOUBT, "job-suspended x-delivery-unknown"
            sentence = f"the connection was lost while document {document + 1} was being sent"
        else:
            event = Event.RELEASE if state == JobState.PROCESSING else Event.REPRINT
            waits = "job-fetchable" if resource.startswith(MAILDROP) else "job-queued"
            reasons = " ".join([*(reason for reason in before.split() if reason in ON_PAPER), waits])
            sentence = ""
        rows.change(
            _SETTLE,
            job_id=job_id,
            new_state=advance(JobState(state), event).value,
            why=reasons,
            sentence=sentence,
        )
        rows.change(tracing.ADD, job_id=job_id, at=now, text=sentence or "let go untouched: its holder was lost")
        if event is Event.DOUBT:
            occurred(rows, Occasion.UNCERTAIN, printer, reasons.split(), sentence, now, job_id)
    return len(left)


def break_role(rows: Rows, role: Role, now: float) -> None:
    """Settle and end all leases of a role whose earlier process is surely dead."""
    for resource, token in rows.all(_OF_ROLE, dead=role.value):
        settle(rows, resource, now)
        rows.change(_RELEASE, which=resource, ours=token)


def renew(rows: Rows, lease: Lease, now: float, seconds: float) -> Lease:
    """Raises `LeaseLost`."""
    expires = now + seconds
    if not rows.change(_RENEW, which=lease.resource, ours=lease.token, until=expires):
        raise LeaseLost(lease.resource)
    return Lease(resource=lease.resource, token=lease.token, expires=expires)


def give_back(rows: Rows, lease: Lease, now: float, most: int) -> bool:
    """Settle so many jobs of a lease that goes on.  False when none is left, or the lease is lost."""
    return rows.one(_HELD, which=lease.resource, ours=lease.token) is not None and (
        settle(rows, lease.resource, now, most) == most
    )


def release(rows: Rows, lease: Lease, now: float) -> None:
    """The token stays.  Jobs still held are settled.  Nothing happens if the lease is lost."""
    if rows.one(_HELD, which=lease.resource, ours=lease.token) is None:
        return
    settle(rows, lease.resource, now)
    rows.change(_RELEASE, which=lease.resource, ours=lease.token)


def check(rows: Rows, lease: Lease) -> None:
    """Raises `LeaseLost`."""
    if rows.one(_HELD, which=lease.resource, ours=lease.token) is None:
        raise LeaseLost(lease.resource)
