"""Split mail as rows: a job without octets, and its parts, each a message that the job needs.

The job's own message holds what the first part said and no octets (`Place.GONE`): until the whole takes its place there
is nothing to read or to print again.  A row in `split` is there exactly as long as the job is `job-incoming`.

Security: the parts are strangers' to each other until their sender is proved.  They are known by the proved address,
never by what the header claims (CERT VU#836088), and bounded in number, octets and time before a row is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from mailstore.address import canonical
from mailstore.directory.records import Hold
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import JobState
from mailstore.store import accepting, releasing, seen, tracing
from mailstore.store.admission import DUPLICATE_SECONDS, Accepted
from mailstore.store.admitting import Admission
from mailstore.store.arriving import Envelope, Recipient
from mailstore.store.blobs import Place, Placed
from mailstore.store.committer import Rows, Steps
from mailstore.store.keeping import placed_of
from mailstore.store.schema import CONTENT, JOB, MAILDROP, MESSAGE, PART, SPLIT
from mailstore.store.splitting import Part, SplitLimits, SplitMail
from mailstore.store.statement import Statement, given, storable, word

INCOMING = "job-incoming"
AT_MOST = 100
"""Split mails of one sender that may wait at one printer: each costs a look whenever parts have come."""
_NO_OCTETS = Placed(place=Place.GONE, octets=0)

_FIND = Statement(
    sa.select(SPLIT).where(
        SPLIT.c.printer == given("of"), SPLIT.c.sender == given("by"), SPLIT.c.part_id == given("which")
    )
)
ONE = Statement(sa.select(SPLIT).where(SPLIT.c.job_id == given("job")))
ALL = Statement(sa.select(SPLIT).order_by(SPLIT.c.job_id))
_OF_PRINTER = Statement(sa.select(SPLIT.c.job_id).where(SPLIT.c.printer == given("of")))
NUMBERS = Statement(
    sa.select(PART.c.number, PART.c.message_id).where(PART.c.job_id == given("job")).order_by(PART.c.number)
)
_ADD_SPLIT = Statement(sa.insert(SPLIT), *(column.name for column in SPLIT.c))
_ADD_PART = Statement(sa.insert(PART), *(column.name for column in PART.c))
_GROW = Statement(
    sa.update(SPLIT)
    .where(SPLIT.c.job_id == given("job"))
    .values(octets=SPLIT.c.octets + given("more"), total=given("of_all"))
    .returning(SPLIT.c.octets)
)
_SHOW_OCTETS = Statement(
    sa.update(MESSAGE)
    .where(MESSAGE.c.id == sa.select(JOB.c.message_id).where(JOB.c.id == given("job")).scalar_subquery())
    .values(octets=given("by_now"))
)
_TELL = Statement(sa.update(JOB).where(JOB.c.id == given("job")).values(detail=given("standing")))
_ADDRESS = Statement(sa.select(JOB.c.recipient).where(JOB.c.id == given("job")))
_WAITING = Statement(
    sa.select(sa.func.count()).select_from(SPLIT).where(SPLIT.c.printer == given("of"), SPLIT.c.sender == given("by"))
)
_DROP_PARTS = Statement(sa.delete(PART).where(PART.c.job_id == given("job")))
_DROP_SPLIT = Statement(
    sa.delete(SPLIT).where(SPLIT.c.job_id == given("job")).returning(SPLIT.c.printer, SPLIT.c.octets)
)
_DROP_MESSAGE = Statement(sa.delete(MESSAGE).where(MESSAGE.c.id == given("message")))
_PLACES = Statement(
    sa.select(MESSAGE.c.id, MESSAGE.c.place, MESSAGE.c.octets, MESSAGE.c.reference, MESSAGE.c.start)
    .join(PART, PART.c.message_id == MESSAGE.c.id)
    .where(PART.c.job_id == given("job"))
)
_DROP_CONTENTS = Statement(
    sa.delete(CONTENT).where(
        CONTENT.c.message_id.in_(sa.select(PART.c.message_id).where(PART.c.job_id == given("job")))
    )
)
_LESS = Statement(
    sa.update(MAILDROP).where(MAILDROP.c.name == given("which")).values(octets=MAILDROP.c.octets - given("less"))
)
_MESSAGE_OF = Statement(sa.select(JOB.c.message_id).where(JOB.c.id == given("job")))
_WHOLE = Statement(
    sa.update(JOB)
    .where(JOB.c.id == given("job"))
    .values(
        message_id=given("whole"),
        state=given("new_state"),
        reasons=given("why"),
        detail=word(""),
        release_code=given("code"),
        recipient=given("address"),
        notify=given("when_told"),
        orcpt=given("original"),
        waits_from=given("from_now"),
    )
)


def split_mail(row: Sequence[Any], numbers: Sequence[int]) -> SplitMail:
    """Of a row of `SPLIT`, and the numbers of its parts."""
    job_id, printer, sender, part_id, total, octets, until, _ = row
    return SplitMail(
        job_id=job_id,
        printer=printer,
        id=part_id,
        sender=sender,
        parts=tuple(numbers),
        total=total,
        octets=octets,
        until=until,
    )


def _standing(rows: Rows, row: Sequence[Any]) -> SplitMail:
    return split_mail(row, [found for found, _ in rows.all(NUMBERS, job=row[0])])


def accept(
    rows: Rows, placed: Placed, envelope: Envelope, recipient: Recipient, part: Part, limits: SplitLimits, now: float
) -> tuple[SplitMail, bool]:
    """Instant 1 of a part, the rows; and whether its octets are needed."""
    printer, sender, part_id = recipient.maildrop, storable(envelope.proved), storable(part.id)
    row = rows.one(_FIND, of=printer, by=sender, which=part_id)
    known = _standing(rows, row) if row else None
    _refuse_contradiction(known, part)
    if known and part.number in known.parts:
        return known, False
    # Parts may be alike, and some programs give all of them one Message-ID: the number tells them apart.
    content = envelope.content and envelope.content + b" %d" % part.number
    admission = Admission(rows, replace(envelope, content=content), [recipient], placed.octets, now)
    if (earlier_job := admission.jobs.get(printer)) is not None:
        # The whole was put together, and the client has not heard that we have this part of it.
        earlier = (earlier_job, printer, sender, part_id, part.total, placed.octets, now, Hold.NONE)
        return split_mail(earlier, (part.number,)), False
    _refuse_too_much(known, part, placed.octets, limits, now)
    if known:
        _refuse_other_address(rows, known, recipient)
    else:
        _refuse_too_many(rows, printer, sender)
    begins = int(known is None)
    admission.check(count=begins)
    accepting.fill(rows, recipient, placed.octets, messages=0)
    until = now + limits.seconds
    job_id = Accepted(known.job_id) if known else _begin(rows, envelope, recipient, part_id, until, now)
    admission.jobs[printer] = job_id
    _add(rows, job_id, placed, envelope, part, known.total if known else 0, now)
    admission.took(count=begins)
    rows.ring(printer)
    split = _standing(rows, rows.one(ONE, job=job_id) or ())
    rows.change(_TELL, job=job_id, standing=_told(split))
    return split, True


def _refuse_contradiction(known: SplitMail | None, part: Part) -> None:
    total = (known.total if known else 0) or part.total
    highest = max((part.number, *(known.parts if known else ())))
    if part.number < 1 or part.total < 0 or (total and highest > total) or (part.total and part.total != total):
        raise PermanentFailure(
            "5.6.0", "this part of a split mail contradicts its number of parts; send it anew, whole"
        )


def _refuse_too_much(known: SplitMail | None, part: Part, octets: int, limits: SplitLimits, now: float) -> None:
    if max(part.number, part.total) > limits.parts:
        raise PermanentFailure(
            "5.3.4", f"the split mail has more than {limits.parts} parts; send larger ones, or fewer"
        )
    if (known.octets if known else 0) + octets > limits.octets:
        raise PermanentFailure("5.3.4", f"the parts of the split mail have more than {limits.octets} octets together")
    if known and now > known.until:
        raise PermanentFailure("5.3.4", "the time for the parts of this split mail is over; send it anew")


def _refuse_other_address(rows: Rows, known: SplitMail, recipient: Recipient) -> None:
    """By an address the whole is judged, and its options are the whole's: it must not matter which part comes first."""
    ((address,),) = rows.all(_ADDRESS, job=known.job_id)
    if canonical(address) != canonical(storable(recipient.address)):
        raise PermanentFailure(
            "5.6.0", "the parts before this one came to another address of the printer; send all of them to one"
        )


def _refuse_too_many(rows: Rows, printer: str, sender: str) -> None:
    ((waiting,),) = rows.all(_WAITING, of=printer, by=sender)
    if waiting >= AT_MOST:
        raise TransientFailure(
            "4.2.2", f"{waiting} split mails of this sender wait for their parts already; send the rest of those first"
        )


def _told(split: SplitMail) -> str:
    here = len(split.parts)
    return f"{here} of {split.total} parts came" if split.total else f"{here} part{'s' * (here > 1)} came"


def _begin(rows: Rows, envelope: Envelope, recipient: Recipient, part_id: str, until: float, now: float) -> Accepted:
    message_id = accepting.add_message(rows, _NO_OCTETS, envelope, 1, now)
    job_id = accepting.add_job(rows, message_id, recipient, now, state=JobState.PENDING_HELD, reason=INCOMING)
    rows.change(
        _ADD_SPLIT,
        job_id=job_id,
        printer=recipient.maildrop,
        sender=storable(envelope.proved),
        part_id=part_id,
        total=0,
        octets=0,
        until=until,
        hold=recipient.hold.value,
    )
    return job_id


def _add(rows: Rows, job_id: int, placed: Placed, envelope: Envelope, part: Part, known_total: int, now: float) -> None:
    message_id = accepting.add_message(rows, placed, envelope, 1, now)
    rows.change(_ADD_PART, job_id=job_id, number=part.number, message_id=message_id)
    total = part.total or known_total
    ((octets,),) = rows.all(_GROW, job=job_id, more=placed.octets, of_all=total)
    rows.change(_SHOW_OCTETS, job=job_id, by_now=octets)
    told = f"part {part.number} of {total or 'a number not said yet'} came"
    rows.change(tracing.ADD, job_id=job_id, at=now, text=told)


def put_together(
    rows: Rows, placed: Placed, job_id: int, envelope: Envelope, recipient: Recipient, store_id: str, now: float
) -> tuple[list[Placed] | None, bool]:
    """The octets of parts that are to be removed, None if it is not incoming; and whether the whole's are needed."""
    row = rows.one(ONE, job=job_id)
    if row is None:
        return None, False
    split = _standing(rows, row)
    if split.printer != recipient.maildrop or not split.complete:
        raise ValueError(f"job {job_id} is a split mail for {split.printer}, with parts {split.parts} of {split.total}")
    mail = seen.of_mail(envelope, split.printer)
    if mail and (earlier := seen.job_of(rows, mail, now)):
        raise PermanentFailure("5.6.0", f"the same mail came before and is job {earlier}; a mail prints once")
    admission = Admission(rows, replace(envelope, content=b""), [recipient], placed.octets, now)
    admission.check_signatures()
    dropped = let_go(rows, job_id)
    octets = envelope.pop3_octets or placed.octets
    accepting.fill(rows, recipient, octets)
    ((stub,),) = rows.all(_MESSAGE_OF, job=job_id)
    message_id = accepting.add_message(rows, placed, envelope, 1, now)
    state, reasons, code = releasing.beginning(rows, _hold(row, recipient), recipient.reason)
    rows.change(
        _WHOLE,
        job=job_id,
        whole=message_id,
        new_state=state.value,
        why=" ".join(reasons),
        code=code,
        address=storable(recipient.address),
        when_told=recipient.notify,
        original=storable(recipient.orcpt),
        from_now=now,
    )
    rows.change(_DROP_MESSAGE, message=stub)
    accepting.add_entry(rows, job_id, message_id, recipient, octets, store_id)
    admission.jobs[split.printer] = Accepted(job_id)
    admission.remember_signatures()
    if mail:
        seen.remember(rows, mail, job_id, now + DUPLICATE_SECONDS)
    told = f"{state.value}: {' '.join(reasons)} (put together of {split.total} parts)"
    rows.change(tracing.ADD, job_id=job_id, at=now, text=told)
    if state is JobState.PENDING_HELD:
        releasing.tell(rows, job_id, recipient.maildrop, reasons, now, answerable=envelope.answerable)
    rows.ring(recipient.maildrop)
    return dropped, True


def _hold(row: Sequence[Any], recipient: Recipient) -> Hold:
    """As when its first part came, or stricter by now: whoever sent that was told that it waits."""
    kinds = list(Hold)
    return max(recipient.hold, Hold(row[-1]), key=kinds.index)


def let_go(rows: Rows, job_id: int) -> list[Placed]:
    """The parts go, if it is a split mail; what lies in files is to be removed once this is committed."""
    found = rows.all(_PLACES, job=job_id)
    rows.change(_DROP_CONTENTS, job=job_id)
    rows.change(_DROP_PARTS, job=job_id)
    for printer, octets in rows.all(_DROP_SPLIT, job=job_id):
        rows.change(_LESS, which=printer, less=octets)
    rows.change_many(_DROP_MESSAGE, [{"message": message_id} for message_id, *_ in found])
    return [placed_of((*place, None)) for _, *place in found]


def forget(rows: Rows, printer: str) -> Steps[list[Placed]]:
    """As `let_go`, of all split mails for a printer that was removed."""
    dropped: list[Placed] = []
    for (job_id,) in rows.all(_OF_PRINTER, of=printer):
        dropped += let_go(rows, job_id)
        yield
    return dropped
