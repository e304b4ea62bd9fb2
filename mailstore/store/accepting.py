"""Instant 1 as rows: a message, its jobs and their maildrop entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, JobState
from mailstore.store import releasing
from mailstore.store.admission import Accepted
from mailstore.store.admitting import Admission
from mailstore.store.arriving import Envelope, Recipient
from mailstore.store.blobs import Place, Placed
from mailstore.store.committer import Rows
from mailstore.store.listing import is_of_printer
from mailstore.store.schema import CONTENT, ENTRY, JOB, MAILDROP, MESSAGE
from mailstore.store.statement import Statement, given, number, storable, word

_ADD_MESSAGE = Statement(sa.insert(MESSAGE), *(column.name for column in MESSAGE.c if column.name != "id"))
_ADD_CONTENT = Statement(sa.insert(CONTENT), "message_id", "data")
_NEW_JOB: dict[str, Any] = {
    "pages": number(0),
    "attempts": number(0),
    "document": number(-1),
    "delivery_proof": word(DeliveryProof.NONE),
    "detail": word(""),
    "processing_at": number(0),
    "sending_at": number(0),
    "completed_at": number(0),
    "next_attempt_at": number(0),
    "holder": word(""),
    "holder_token": number(0),
    "counted": number(0),
    "waits_from": number(0),
}
_ADD_JOB = Statement(
    sa.insert(JOB).values(_NEW_JOB),
    *(column.name for column in JOB.c if column.name not in ("id", *_NEW_JOB)),
)
_ADD_ENTRY = Statement(sa.insert(ENTRY), *(column.name for column in ENTRY.c))
_FILL = Statement(
    sa.update(MAILDROP)
    .where(MAILDROP.c.name == given("which"), MAILDROP.c.octets + given("more") <= given("quota"))
    .values(octets=MAILDROP.c.octets + given("more"), messages=MAILDROP.c.messages + given("more_messages"))
)
_HAS_MAILDROP = Statement(sa.select(MAILDROP.c.octets).where(MAILDROP.c.name == given("which")))
_ADD_MAILDROP = Statement(sa.insert(MAILDROP), *(column.name for column in MAILDROP.c))


def accept(
    rows: Rows, placed: Placed, envelope: Envelope, recipients: Sequence[Recipient], store_id: str, now: float
) -> tuple[list[Accepted], bool]:
    """Instant 1, the rows; and whether the octets are needed, for no recipient had the mail before.

    Raises as `Store.accept` does.
    """
    admission = Admission(rows, envelope, recipients, placed.octets, now)
    made, fresh = admission.jobs, admission.fresh
    if not fresh:
        return [made[recipient.maildrop] for recipient in recipients], False
    admission.check()
    sent = envelope.pop3_octets or placed.octets
    for recipient in fresh:
        fill(rows, recipient, sent)
    message_id = add_message(rows, placed, envelope, len(fresh), now)
    accepted = []
    for recipient in recipients:
        if (job := made.get(recipient.maildrop)) is None:
            state, reasons, code = releasing.beginning(rows, recipient.hold, recipient.reason)
            job = add_job(rows, message_id, recipient, now, reason=" ".join(reasons), state=state, code=code)
            add_entry(rows, job, message_id, recipient, sent, store_id)
            if state is JobState.PENDING_HELD:
                releasing.tell(rows, job, recipient.maildrop, reasons, now, answerable=envelope.answerable)
            if is_of_printer(recipient.maildrop):
                made[recipient.maildrop] = job
        accepted.append(job)
    admission.took()
    return accepted, True


def add_message(rows: Rows, placed: Placed, envelope: Envelope, waiting: int, now: float) -> int:
    message_id = rows.add(
        _ADD_MESSAGE,
        reverse_path=storable(envelope.reverse_path),
        client_ip=envelope.client_ip,
        helo=storable(envelope.helo),
        trust=envelope.trust,
        smtputf8=int(envelope.smtputf8),
        body=envelope.body,
        name=storable(envelope.name),
        header_message_id=storable(envelope.header_message_id),
        documents=envelope.documents,
        octets=placed.octets,
        place=placed.place.value,
        reference=placed.reference,
        start=placed.start,
        received_at=now,
        waiting=waiting,
        ended_at=0.0,
        login=storable(envelope.login),
        answerable=int(envelope.answerable),
        pop3_octets=envelope.pop3_octets,
        envid=storable(envelope.envid),
        ret=envelope.ret,
        submitter=storable(envelope.submitter),
        proof=envelope.proof,
        proved=storable(envelope.proved),
    )
    if placed.place is Place.INLINE:
        rows.change(_ADD_CONTENT, message_id=message_id, data=placed.data)
    return message_id


def fill(rows: Rows, recipient: Recipient, octets: int, *, messages: int = 1) -> None:
    """Add a message to the sums of the recipient's maildrop; `octets` as POP3 sends it.

    Of no message, but a part of one, the octets alone.
    Raises `TransientFailure` ("4.2.2"), or `PermanentFailure` ("5.2.3") if it would not fit into an empty one either.
    """
    more = octets + len(recipient.fields) if messages else octets
    values = {"which": recipient.maildrop, "more": more, "more_messages": messages, "quota": recipient.quota}
    if rows.change(_FILL, **values):
        return
    if rows.one(_HAS_MAILDROP, which=recipient.maildrop) is None:
        rows.change(_ADD_MAILDROP, name=recipient.maildrop, messages=0, octets=0, last_completed=0.0)
        if rows.change(_FILL, **values):
            return
    if more > recipient.quota:
        raise PermanentFailure("5.2.3", f"with {more} octets, as POP3 counts them, larger than the mailbox")
    raise TransientFailure("4.2.2", "the mailbox is full, try again later")


def add_job(
    rows: Rows,
    message_id: int,
    recipient: Recipient,
    now: float,
    *,
    reason: str,
    state: JobState = JobState.PENDING,
    code: str = "",
) -> Accepted:
    """A job; its entry, the message's count and the maildrop's sums are the caller's."""
    job_id = rows.add(
        _ADD_JOB,
        message_id=message_id,
        printer=recipient.maildrop,
        recipient=storable(recipient.address),
        state=state.value,
        reasons=reason,
        received_at=now,
        notify=recipient.notify,
        orcpt=storable(recipient.orcpt),
        capability=recipient.capability,
        waived=int(recipient.waived),
        release_code=code,
    )
    return Accepted(job_id)


def add_entry(rows: Rows, job_id: int, message_id: int, recipient: Recipient, octets: int, store_id: str) -> None:
    """The job's message in its maildrop, of `octets` as POP3 sends it without the recipient's fields."""
    rows.change(
        _ADD_ENTRY,
        job_id=job_id,
        maildrop=recipient.maildrop,
        # RFC 1939 section 7: a job number is never used again, and another store has another name.
        uid=f"{store_id}.{job_id}",
        size=octets + len(recipient.fields),
        fields=recipient.fields,
        message_id=message_id,
    )
    if is_of_printer(recipient.maildrop):
        rows.ring(recipient.maildrop)
