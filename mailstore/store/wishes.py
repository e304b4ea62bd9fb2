"""What people want of a job, as rows: each wish is looked at, granted and traced in one transaction.

A wish asks nobody's lease: whoever holds the job finds at its next step, whose WHERE says from which state it may be
taken, that it is his no longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from mailstore.failure import PermanentFailure
from mailstore.job import DeliveryProof, Event, IllegalTransition, JobState, advance
from mailstore.store import accepting, documented, followed, jobs, parts, tracing
from mailstore.store.blobs import Place, Placed
from mailstore.store.committer import Rows
from mailstore.store.contract import Recipient
from mailstore.store.holding import LIMIT
from mailstore.store.keeping import Keeping
from mailstore.store.leases import AGAIN, RESUMED
from mailstore.store.listing import of_printer
from mailstore.store.releasing import HELD
from mailstore.store.schema import JOB, MESSAGE, PRINTER_STATE
from mailstore.store.statement import Statement, given, number, storable, word

UNKNOWN = "x-delivery-unknown"

_NO_QUOTA = 1 << 62

_ASKED = Statement(
    sa.select(JOB.c.printer, JOB.c.message_id, JOB.c.state, JOB.c.reasons, JOB.c.detail, JOB.c.holder).where(
        JOB.c.id == given("job"), of_printer(JOB.c.printer)
    )
)
_GRANT = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job_id"))
    .values(
        state=given("new_state"),
        reasons=given("why"),
        detail=given("sentence"),
        completed_at=given("ended"),
        waived=JOB.c.waived + given("let_pass"),
        waits_from=given("from_now"),
        release_code=word(""),
        document=number(-1),
        holder=word(""),
        holder_token=number(0),
    )
)
_ENDED = Statement(
    sa.select(
        JOB.c.printer,
        JOB.c.recipient,
        JOB.c.attempts,
        JOB.c.delivery_proof,
        JOB.c.message_id,
        JOB.c.capability,
        MESSAGE.c.reverse_path,
        sa.case((MESSAGE.c.pop3_octets > number(0), MESSAGE.c.pop3_octets), else_=MESSAGE.c.octets),
        MESSAGE.c.place,
        MESSAGE.c.waiting,
        MESSAGE.c.ended_at,
    )
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .where(JOB.c.id == given("job"), JOB.c.completed_at != number(0), of_printer(JOB.c.printer))
)
_POLLS = Statement(
    sa.select(PRINTER_STATE.c.last_poll).where(
        PRINTER_STATE.c.printer == given("of"), PRINTER_STATE.c.last_poll > number(0)
    )
)
_NEEDED_AGAIN = Statement(
    sa.update(MESSAGE).where(MESSAGE.c.id == given("message")).values(waiting=MESSAGE.c.waiting + number(1))
)


class Asked:
    """A job that somebody wishes something of, within a transaction."""

    def __init__(self, rows: Rows, job_id: int, row: Sequence[Any], now: float) -> None:
        self.printer, self.message_id, state, reasons, self.detail, self.holder = row
        self.state = JobState(state)
        self.reasons: list[str] = reasons.split()
        self.rows = rows
        self.job_id = job_id
        self.now = now
        self.dropped: list[Placed] = []  # octets of parts that went with it

    @classmethod
    def of(cls, rows: Rows, job_id: int, now: float) -> Asked | None:
        row = rows.one(_ASKED, job=job_id)
        return cls(rows, job_id, row, now) if row else None

    @property
    def in_doubt(self) -> bool:
        return self.state is JobState.PROCESSING_STOPPED and UNKNOWN in self.reasons and not self.holder

    def grant(self, event: Event, reasons: Sequence[str], detail: str, *, told: str = "", waived: bool = False) -> bool:
        """False if the table has no such arrow.  The trace says `told`, or else the `detail`."""
        try:
            state = advance(self.state, event)
        except IllegalTransition:
            return False
        self.rows.change(
            _GRANT,
            job_id=self.job_id,
            new_state=state.value,
            why=" ".join(reasons),
            sentence=storable(detail),
            ended=self.now if state.ended else 0.0,
            let_pass=int(waived),
            from_now=self.now,
        )
        if state.ended:
            if event is Event.COMPLETE:
                self.rows.change(documented.PRINTED, job=self.job_id)
            if parts.INCOMING in self.reasons:
                self.dropped = parts.let_go(self.rows, self.job_id)
            jobs.closed(self.rows, self.job_id, self.message_id, self.printer, event, reasons, told or detail, self.now)
        else:
            text = storable(jobs.told_of(event, reasons, told or detail))
            self.rows.change(tracing.ADD, job_id=self.job_id, at=self.now, text=text)
        self.rows.ring(self.printer)
        return True


def _cancel(asked: Asked, by: str) -> bool:
    return asked.grant(Event.CANCEL, ["job-canceled-by-user"], f"canceled by {by}")


def _hold(asked: Asked, by: str) -> bool:
    # The reasons it waited for stay behind the new one: they tell whether some of it may be on paper.
    return asked.grant(Event.HOLD, [HELD, *asked.reasons], f"held by {by}")


def _unhold(asked: Asked, by: str) -> bool:
    if parts.INCOMING in asked.reasons:
        raise PermanentFailure(
            "5.3.0", "it is a split mail of which parts are still to come; it prints when all are there, or cancel it"
        )
    reasons = [reason for reason in asked.reasons if reason not in (HELD, LIMIT)]
    if waived := LIMIT in asked.reasons:
        reasons.append("job-queued")
    return asked.grant(Event.UNHOLD, reasons or ["job-queued"], "", told=f"released by {by}", waived=waived)


def _count_as_printed(asked: Asked, by: str) -> bool:
    reasons = ["job-completed-with-warnings", UNKNOWN]
    return asked.in_doubt and asked.grant(Event.COMPLETE, reasons, f"counted as printed by {by}")


def _reprint(asked: Asked, by: str) -> bool:
    told = f"to be printed again, by {by}"
    return asked.in_doubt and asked.grant(Event.REPRINT, [AGAIN, "job-queued"], asked.detail, told=told)


def _resume(asked: Asked, by: str) -> bool:
    progress = followed.progress_of(asked.rows, asked.job_id) if asked.in_doubt else None
    if progress is None or not progress.resumable:
        return False
    told = f"to be printed on from {progress.behind}, by {by}"
    return asked.grant(Event.REPRINT, [RESUMED, "job-queued"], asked.detail, told=told)


def _print_again(rows: Rows, job_id: int, by: str, keep: float, store_id: str, now: float) -> int:
    row = rows.one(_ENDED, job=job_id)
    if row is None:
        raise PermanentFailure("5.3.0", f"there is no job {job_id} that has ended")
    printer, address, attempts, proof, message_id, capability, reverse_path, octets, place, waiting, ended_at = row
    if place == Place.GONE or (not waiting and ended_at + keep <= now):
        raise PermanentFailure("5.3.0", f"job {job_id} cannot be printed again: its document is kept no longer")
    polls = proof == DeliveryProof.FETCHED or (not attempts and rows.one(_POLLS, of=printer) is not None)
    recipient = Recipient(
        maildrop=printer,
        address=address,
        quota=_NO_QUOTA,
        # RFC 5321 section 4.4 and RFC 9228 section 2: what they said at receipt went with the old entry.
        fields=f"Return-Path: <{reverse_path}>\r\nDelivered-To: {address}\r\n".encode(),
        reason="job-fetchable" if polls else "job-queued",
        capability=capability,  # its pages count there; as a job it counted when it came
    )
    accepting.fill(rows, recipient, octets)
    new = accepting.add_job(rows, message_id, recipient, now, reason=recipient.reason)
    accepting.add_entry(rows, new, message_id, recipient, octets, store_id)
    rows.change(_NEEDED_AGAIN, message=message_id)
    rows.change(tracing.ADD, job_id=job_id, at=now, text=storable(f"printed again as job {new}, by {by}"))
    rows.change(tracing.ADD, job_id=new, at=now, text=storable(f"again job {job_id}, by {by}"))
    return new


class Wishes(Keeping):
    """A part of `sql.SqlStore`."""

    _store_id: str

    async def cancel(self, job_id: int, by: str) -> bool:
        return await self._wish(job_id, by, _cancel)

    async def hold(self, job_id: int, by: str) -> bool:
        return await self._wish(job_id, by, _hold)

    async def unhold(self, job_id: int, by: str) -> bool:
        return await self._wish(job_id, by, _unhold)

    async def decide(self, job_id: int, by: str, *, printed: bool, resume: bool = False) -> bool:
        if printed and resume:
            raise ValueError("what counts as printed is not printed on")
        return await self._wish(job_id, by, _count_as_printed if printed else _resume if resume else _reprint)

    async def give_up_split(self, job_id: int, reasons: Sequence[str], detail: str) -> bool:
        def give_up(asked: Asked, _: str) -> bool:
            return parts.INCOMING in asked.reasons and asked.grant(Event.ABORT, reasons, detail)

        return await self._wish(job_id, "", give_up)

    async def print_again(self, job_id: int, by: str) -> int:
        now = time.time()
        return await self.committer.submit(
            lambda rows: _print_again(rows, job_id, by, self._keep, self._store_id, now), instant="wish"
        )

    async def _wish(self, job_id: int, by: str, wish: Callable[[Asked, str], bool]) -> bool:
        now = time.time()

        def work(rows: Rows) -> Asked | None:
            asked = Asked.of(rows, job_id, now)
            return asked if asked and wish(asked, by) else None

        asked = await self.committer.submit(work, instant="wish")
        if asked:
            await self._remove(asked.dropped)
            await self._ended([asked.message_id])  # if it ended: octets that a job needs stay in any case
        return bool(asked)
