"""What people are told: occurrences, and the outgoing queue with a lease on each mail that is being delivered.

Security: mails are ours, and small; the queue grows with what happens to jobs and printers and never with what a
stranger asks for.  A recipient's address reaches the database as a parameter only.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from mailstore.store import jobs
from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.outbox import (
    OUTGOING_OCTETS,
    Occasion,
    Occurrence,
    OutgoingMail,
    OutgoingStanding,
    QueuedMail,
)
from mailstore.store.reader import Reader
from mailstore.store.schema import OCCURRENCE, OUTGOING
from mailstore.store.statement import Statement, given, number, storable, word

_OCCURRENCES = Statement(
    sa.select(OCCURRENCE).order_by(OCCURRENCE.c.id).limit(given("most", sa.Integer)).offset(number(0))
)
_TOLD = Statement(sa.delete(OCCURRENCE).where(OCCURRENCE.c.id == given("which")))

_ADD = Statement(sa.insert(OUTGOING), *(column.name for column in OUTGOING.c if column.name != "id"))
_DUE = Statement(
    sa.select(OUTGOING.c.id)
    .where(OUTGOING.c.next_attempt_at <= given("now"), OUTGOING.c.leased_until <= given("now"))
    .order_by(OUTGOING.c.next_attempt_at, OUTGOING.c.id)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_TAKE = Statement(
    sa.update(OUTGOING)
    .where(OUTGOING.c.id == given("which"))
    .values(owner=given("new_owner"), token=OUTGOING.c.token + number(1), leased_until=given("until"))
    .returning(
        OUTGOING.c.token,
        OUTGOING.c.recipient,
        OUTGOING.c.octets,
        OUTGOING.c.job_id,
        OUTGOING.c.attempts,
        OUTGOING.c.created_at,
        OUTGOING.c.expires_at,
    )
)
_OURS = sa.and_(
    OUTGOING.c.id == given("which"), OUTGOING.c.token == given("ours"), OUTGOING.c.leased_until != number(0)
)
_DONE = Statement(sa.delete(OUTGOING).where(_OURS))
_LATER = Statement(
    sa.update(OUTGOING)
    .where(_OURS)
    .values(
        owner=word(""),
        leased_until=number(0),
        attempts=OUTGOING.c.attempts + number(1),
        next_attempt_at=given("not_before"),
        last_error=given("why"),
    )
)
_HURRY = Statement(
    sa.update(OUTGOING)
    .where(OUTGOING.c.leased_until == number(0), OUTGOING.c.next_attempt_at > given("now"))
    .values(next_attempt_at=given("now"))
)
_LET_GO = Statement(
    sa.update(OUTGOING).where(OUTGOING.c.leased_until != number(0)).values(owner=word(""), leased_until=number(0))
)
_STANDING = Statement(
    sa.select(
        sa.select(sa.func.count(OUTGOING.c.id)).scalar_subquery(),
        sa.select(OUTGOING.c.created_at).order_by(OUTGOING.c.id).limit(number(1)).offset(number(0)).scalar_subquery(),
        sa.select(OUTGOING.c.last_error)
        .where(OUTGOING.c.last_error != word(""))
        .order_by(OUTGOING.c.id)
        .limit(number(1))
        .offset(number(0))
        .scalar_subquery(),
    )
)

_NEW: dict[str, Any] = {"attempts": 0, "owner": "", "token": 0, "leased_until": 0.0, "last_error": ""}


def _tell(rows: Rows, mails: Sequence[OutgoingMail], told: Sequence[int], now: float) -> None:
    rows.change_many(
        _ADD,
        (
            {
                "recipient": storable(mail.recipient),
                "job_id": mail.job_id,
                "created_at": now,
                "next_attempt_at": now,
                "expires_at": mail.expires_at,
                "octets": mail.octets,
                **_NEW,
            }
            for mail in mails
        ),
    )
    rows.change_many(_TOLD, ({"which": number} for number in told))


def _take(rows: Rows, owner: str, limit: int, now: float, until: float) -> list[QueuedMail]:
    taken = []
    for (number_,) in rows.all(_DUE, now=now, most=limit):
        ((token, recipient, octets, job_id, attempts, created_at, expires_at),) = rows.all(
            _TAKE, which=number_, new_owner=owner, until=until
        )
        taken.append(
            QueuedMail(
                id=number_,
                token=token,
                recipient=recipient,
                octets=octets,
                job_id=job_id,
                attempts=attempts,
                created_at=created_at,
                expires_at=expires_at,
            )
        )
    return taken


def let_go(rows: Rows) -> None:
    """Whoever was delivering is surely dead."""
    rows.change(_LET_GO)


class Telling:
    """A part of `sql.SqlStore`."""

    committer: Committer
    _reader: Reader

    async def occurrences(self, limit: int) -> Sequence[Occurrence]:
        await self.committer.caught_up()
        return [
            Occurrence(
                id=number_,
                at=at,
                occasion=Occasion(occasion),
                printer=printer,
                job_id=job_id,
                reasons=tuple(reasons.split()),
                detail=detail,
            )
            for number_, at, occasion, printer, job_id, reasons, detail in self._reader.all(_OCCURRENCES, most=limit)
        ]

    async def tell(self, mails: Sequence[OutgoingMail], told: Collection[Occurrence]) -> None:
        if any(len(mail.octets) > OUTGOING_OCTETS for mail in mails):
            raise ValueError(f"a mail of ours has at most {OUTGOING_OCTETS} octets")
        now, numbers = time.time(), [occurrence.id for occurrence in told]
        # Without a mail nothing is lost with the power: the same look finds the same again.
        wanted = Wanted.SYNC if mails else Wanted.NOW
        await self.committer.submit(lambda rows: _tell(rows, mails, numbers, now), wanted, instant="told")

    async def take_outgoing(self, owner: str, limit: int, seconds: float) -> Sequence[QueuedMail]:
        now = time.time()
        if not self._reader.all(_DUE, now=now, most=1):  # the usual answer, and it writes nothing
            return []
        return await self.committer.submit(lambda rows: _take(rows, owner, limit, now, now + seconds), Wanted.NOW)

    async def outgoing_done(self, mail: QueuedMail, note: str) -> bool:
        now = time.time()

        def work(rows: Rows) -> bool:
            if not rows.change(_DONE, which=mail.id, ours=mail.token):
                return False
            jobs.note(rows, mail.job_id, note, now)
            return True

        return await self.committer.submit(work, instant="delivered")

    async def outgoing_later(self, mail: QueuedMail, at: float, why: str) -> bool:
        values = {"which": mail.id, "ours": mail.token, "not_before": at, "why": storable(why)}
        return await self.committer.submit(lambda rows: rows.change(_LATER, **values) == 1, Wanted.NOW)

    async def hurry_outgoing(self) -> None:
        if (await self.outgoing()).waiting:
            now = time.time()
            await self.committer.submit(lambda rows: rows.change(_HURRY, now=now), Wanted.NOW)

    async def outgoing(self) -> OutgoingStanding:
        ((waiting, oldest, last_error),) = await self._reader.scan(_STANDING)
        return OutgoingStanding(waiting=waiting, oldest=oldest or 0.0, last_error=last_error or "")
