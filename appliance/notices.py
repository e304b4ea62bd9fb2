"""What people are told of jobs and printers: who hears of what, and in which words.

PhaserLink's notices: *On Error* (aborted, uncertain, not all of its documents printed) for the Service person and for
the sender, *Job Printed* for the sender where the printer's entry says so, and a printer's conditions with their
all-clear for Service and Key User; what only warns is the Key User's alone.  A job that is held for a limit is the
sender's and the Key User's, whom the sender is told to ask; of one that waits to be released only the sender hears,
with the code if there is one.
SysAdmin stands in where an entry names no Service person, and postmaster where it names nobody.  Everybody gets a mail
of his own, in which else no other recipient is named, and at most one of each occurrence.

Security: names, senders and details are strangers' text: all of it passes `header.clean` here and is encoded in
`appliance.letter`, and each piece is cut, so that no notice outgrows 16 KiB.  Only senders whose address was proved at
receipt are answered, and a mail that a machine sent is never answered (RFC 3834), so nothing here can be made to write
to a third party or to talk to itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from appliance.episodes import Kind
from appliance.job_file import expires_at
from appliance.letter import Letter, cut, laid_out, moment, octets
from mailstore import header
from mailstore.address import canonical
from mailstore.directory.records import Printer, WhenUncertain
from mailstore.job import REASONS, REPRINTS, Job, JobState
from mailstore.store.following import Progress
from mailstore.store.outbox import Occasion, Occurrence, OutgoingMail
from mailstore.store.papers import DocumentRecord, Fate

DAY = 86400.0
KEPT = {
    Occasion.COMPLETED: DAY,
    Occasion.INCOMPLETE: 3 * DAY,
    Occasion.ABORTED: 3 * DAY,
    Occasion.UNCERTAIN: 3 * DAY,
    Occasion.HELD: 3 * DAY,
    Occasion.TO_RELEASE: DAY,
    Occasion.STOPPED: 3 * DAY,
    Occasion.CLEAR: DAY,
}
"""Seconds for which a notice is worth delivering; what only warns as long as an all-clear."""


class Audience(StrEnum):
    """In which part somebody is told."""

    SENDER = "sender"  # of the job: an answer
    STAFF = "staff"  # of the printer: Service, SysAdmin, Key User


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterhead:
    """What of the site stands in every notice."""

    hostname: str
    sender: str  # the From address
    postmaster: str  # who is told of a printer that has nobody
    page: str = ""  # "https://HOST:PORT" of the page, "" if people elsewhere cannot open it


_ADVICE = {
    "document-password-error": "Save the document without a password and send it again.",
    "document-format-error": "Make the document anew, best as PDF, and send it again.",
    "unsupported-document-format": "Send it again as PDF.",
    "document-security-error": "Send it again as PDF, and not packed into an archive.",
    "document-unprintable-error": "See whether the document has pages that are not empty, and send it again.",
}
_ERRORS = (Occasion.ABORTED, Occasion.INCOMPLETE, Occasion.UNCERTAIN)
_NAMED = 5
"""The most documents of a job that are named."""
_TOO_LATE = "job-canceled-after-timeout"
_VAGUE = ("aborted-by-system", "job-suspended", "job-completed-with-warnings")
_SUBJECTS = {
    Occasion.ABORTED: "Not printed on {printer}: {name}",
    Occasion.UNCERTAIN: "Perhaps not printed on {printer}: {name}",
    Occasion.HELD: "Held on {printer}: {name}",
    Occasion.TO_RELEASE: "Waits to be released on {printer}: {name}",
    Occasion.INCOMPLETE: "Not all printed on {printer}: {name}",
    Occasion.COMPLETED: "Printed on {printer}: {name}",
}
# RFC 3834 section 2, RFC 5230 section 4.6: behind these sits no person who waits for an answer.
_MACHINES = re.compile(r"(?:owner-.*|.*-(?:request|owner|bounces?)|mailer-daemon|listserv|majordomo|no-?reply)@.*")


def machine_made(block: bytes) -> bool:
    """Whether a header block is of a mail that must not be answered (RFC 3834 section 2)."""
    submitted = header.value(block, "auto-submitted").partition(b";")[0].partition(b"(")[0].strip().lower()
    precedence = header.value(block, "precedence").strip().lower()
    lists = any(True for _ in header.find(block, "list-id", "list-post"))
    return submitted not in (b"", b"no") or precedence in (b"bulk", b"list", b"junk") or lists


def answerable(job: Job) -> bool:
    """Whether the sender may be answered, as far as the envelope tells."""
    sender = job.sender
    return bool(job.answerable and sender and sender.isascii() and not _MACHINES.fullmatch(sender.lower()))


def audience(
    occasion: Occasion, printer: Printer, postmaster: str, sender: str, kind: Kind = Kind.TROUBLE
) -> dict[str, Audience]:
    """Who hears of it, by address; `sender` is "" unless he may be answered, `kind` is of a printer's condition."""
    responsible = _responsible(printer, postmaster)
    staff: tuple[str, ...] = ()
    if kind is Kind.WARNING or occasion is Occasion.HELD:
        staff = printer.key_user or responsible
    elif occasion in (Occasion.STOPPED, Occasion.CLEAR):
        staff = (*responsible, *printer.key_user)
    elif occasion in _ERRORS:
        staff = responsible
    found = dict.fromkeys(_once(staff), Audience.STAFF)
    always = occasion in (*_ERRORS, Occasion.HELD, Occasion.TO_RELEASE)
    wanted = always or (occasion is Occasion.COMPLETED and printer.tell_printed)
    if sender and wanted and canonical(sender) not in map(canonical, found):
        found[sender] = Audience.SENDER
    return found


def _responsible(printer: Printer, postmaster: str) -> tuple[str, ...]:
    return printer.service_person or printer.sysadmin or (postmaster,)


def _once(addresses: Iterable[str]) -> Iterable[str]:
    return {canonical(address): address for address in reversed([*addresses])}.values()


def message_id(head: Letterhead, occurrence: Occurrence, to: str, part: str = "") -> str:
    """The Message-ID of a notice; the same for the same notice.  `part`: of what is told of one occurrence apart."""
    who = hashlib.sha256(canonical(to).encode()).hexdigest()[:12]
    return f"<notice.{occurrence.id}.{int(occurrence.at * 1000):x}.{who}{part}@{head.hostname}>"


def is_notice(head: Letterhead, job: Job) -> bool:
    """Whether the job is a notice of ours that somebody's forwarding has sent to a printer.

    Of its failure nobody is told: that would be forwarded too, and so on.
    """
    return job.header_message_id.startswith("<notice.") and job.header_message_id.endswith(f"@{head.hostname}>")


def about_job(
    head: Letterhead,
    occurrence: Occurrence,
    job: Job,
    printer: Printer,
    *,
    to: str,
    audience: Audience,
    now: float,
    kept_until: float = 0.0,
    more: int = 0,
    documents: Sequence[DocumentRecord] = (),
    progress: Progress | None = None,
) -> OutgoingMail:
    """What happened to a job, for one recipient; `kept_until` is 0.0 if it cannot be printed again.

    `more`: so many other jobs of the printer failed, or were held, of which he was not told.  `documents`: of the job;
    `progress`: how far a job in doubt came.
    """
    name = header.clean(job.name, 80) or f"job {job.id}"
    facts = [
        ("Job", f'{job.id}, "{header.clean(job.name, 200)}"' if job.name else str(job.id)),
        ("Received", f"{moment(job.received_at)} from {header.clean(job.sender, 254) or 'nobody'}"),
        ("Printer", described(printer)),
        _code(job) if occurrence.occasion is Occasion.TO_RELEASE else reasons_of(occurrence),
        ("Until", _until(job, printer) if occurrence.occasion in (Occasion.HELD, Occasion.TO_RELEASE) else ""),
        *(_lost(documents) or [("Details", cut(occurrence.detail or job.detail))]),
        ("Known", _known(progress) if occurrence.occasion is Occasion.UNCERTAIN else ""),
    ]
    text = laid_out(
        _happened(occurrence, job),
        facts,
        [
            *_to_do(head, occurrence, job, printer, audience, progress),
            _again(occurrence, job, kept_until, audience),
            *_rest(occurrence, printer, more),
        ],
    )
    letter = Letter(
        name=f"Printpost on {head.hostname}",
        sender=head.sender,
        to=to,
        subject=_SUBJECTS[occurrence.occasion].format(printer=printer.name, name=f"{name}{_and_more(more)}"),
        text=text,
        at=now,
        message_id=message_id(head, occurrence, to),
        thread=(job.header_message_id,) if job.header_message_id else (),
        replied=audience is Audience.SENDER,
    )
    return queued(letter, occurrence, now, KEPT[occurrence.occasion])


def queued(letter: Letter, occurrence: Occurrence, now: float, kept: float) -> OutgoingMail:
    """The mail as it goes into the queue, worth delivering for `kept` seconds."""
    return OutgoingMail(
        recipient=letter.to,
        octets=octets(letter),
        job_id=occurrence.job_id,
        expires_at=now + kept,
    )


def _happened(occurrence: Occurrence, job: Job) -> str:
    telling = next((word for word in occurrence.reasons if word in REASONS and word not in _VAGUE), "")
    match occurrence.occasion:
        case Occasion.ABORTED:
            return f"Job {job.id} could not be printed: {REASONS.get(telling, 'it was given up')}."
        case Occasion.HELD:
            return f"Job {job.id} is held: it would pass a limit of pages."
        case Occasion.TO_RELEASE:
            return f"Job {job.id} waits at the printer's mailbox until it is released."
        case Occasion.INCOMPLETE:
            return f"Job {job.id} was printed, but not all of its documents."
        case Occasion.UNCERTAIN:
            return f"Nobody can know whether job {job.id} was printed: the connection was lost while it was being sent."
        case _:
            pages = f", {job.pages} page{'s' * (job.pages != 1)}" if job.pages else ""
            warned = "job-completed-with-warnings" in occurrence.reasons
            return f"Job {job.id} was printed{pages}{', with a warning' * warned}."


def _to_do(
    head: Letterhead, occurrence: Occurrence, job: Job, printer: Printer, audience: Audience, progress: Progress | None
) -> list[str]:
    staff = audience is Audience.STAFF
    links = [link(head, f"/jobs/{job.id}"), f"What happened to it: printpost job show {job.id}"] if staff else []
    whom = (printer.key_user or _responsible(printer, head.postmaster))[0]
    match occurrence.occasion:
        case Occasion.ABORTED if _TOO_LATE in occurrence.reasons:
            return ["Send it again if it is still wanted.", *links]
        case Occasion.ABORTED:
            advice = [_ADVICE[word] for word in occurrence.reasons if word in _ADVICE]
            return [*(advice or ["Send it again later."]), *links]
        case Occasion.INCOMPLETE:
            return ["Put right what is named here, and send only that again.", *links]
        case Occasion.HELD if staff:
            return [
                "It waits until somebody decides; jobs behind it go on.",
                f"Print it: printpost job release {job.id}",
                f"Do not print it: printpost job cancel {job.id}",
                *links,
            ]
        case Occasion.HELD:
            return [f"It waits until somebody releases it. Ask {whom}, or send fewer pages."]
        case Occasion.TO_RELEASE:
            return _to_release(head, job, whom)
        case Occasion.UNCERTAIN:
            return [*_doubt(job, printer, progress, staff=staff), *links]
        case _:
            return links


def _to_release(head: Letterhead, job: Job, whom: str) -> list[str]:
    end = "If nobody has released it by then, it is given up."
    if not job.release_code:
        return [f"Whoever runs the printer releases it: ask {whom}.", end]
    if not head.page:
        return [f"Go to the printer, and tell the code to whoever runs it, {whom}. It prints then.", end]
    return [
        "Go to the printer, open this page there, on your telephone say, and type the code. It prints then.",
        link(head, "/release"),
        f"Whoever knows the code can let it print, and nobody else but those who run the printer. {end}",
    ]


def _doubt(job: Job, printer: Printer, progress: Progress | None, *, staff: bool) -> list[str]:
    """What becomes of a job in doubt, or what can be decided of it."""
    decides = printer.when_uncertain
    resumable = progress is not None and progress.resumable
    if decides is WhenUncertain.REPRINT and job.attempts < REPRINTS:
        return ["It is printed again under a page that says POSSIBLE DUPLICATE."]
    if decides is WhenUncertain.RESUME and resumable and job.attempts < REPRINTS:
        return ["It goes on behind the last page that the printer confirmed, under a page that says so."]
    if decides is WhenUncertain.PRINTED:
        return ["It counts as printed; send it again if nothing lies at the printer."]
    if not staff:
        return ["See what lies at the printer. The job is held until somebody at the printer decides."]
    return [
        "See what lies at the printer. The job is held until somebody decides; jobs behind it go on.",
        f"It was printed: printpost job printed {job.id}",
        f"Print all of it again: printpost job retry {job.id}",
        f"Print only what the printer did not confirm: printpost job retry --resume {job.id}" if resumable else "",
    ]


def reasons_of(occurrence: Occurrence) -> tuple[str, str]:
    """Its keywords, as a fact."""
    return "Reason", cut(", ".join(occurrence.reasons))


def _code(job: Job) -> tuple[str, str]:
    """What releases a job, as a fact; the value is "" for one that has no code."""
    code = job.release_code
    half = len(code) // 2
    return "Code", f"{code[:half]} {code[half:]}".strip()


def _until(job: Job, printer: Printer) -> str:
    """When a job that waits is given up; "" for one that no longer does."""
    at = expires_at(job, printer)
    return moment(at) if at else ""


def _known(progress: Progress | None) -> str:
    """What the printer confirmed of a job in doubt."""
    if progress is None:
        return ""
    if not progress.confirmed:
        return "the printer confirmed none of its pages"
    known, total = progress.confirmed, progress.pages_all
    many = total if total >= known else known
    of = f" of {total}" if total >= known else ""
    lie = "is" if known == 1 else "are"
    return f"{known}{of} page{'s' * (many != 1)} {lie} in the tray, by the printer's own word"


def _lost(documents: Iterable[DocumentRecord]) -> list[tuple[str, str]]:
    """Which documents did not print, and why."""
    lost = [one for one in documents if one.fate is Fate.FAILED]
    named = [("Document", f"{_named(one)}: {cut(one.detail, 200)}") for one in lost[:_NAMED]]
    return [*named, ("", f"and {len(lost) - _NAMED} more")] if len(lost) > _NAMED else named


def _named(document: DocumentRecord) -> str:
    name = header.clean(document.name, 80)
    return f'{document.number}, "{name}"' if name else str(document.number)


def _again(occurrence: Occurrence, job: Job, kept_until: float, audience: Audience) -> str:
    in_vain = audience is Audience.SENDER and any(word in _ADVICE for word in occurrence.reasons)
    if in_vain or not kept_until:
        return ""
    how = f": printpost job retry {job.id}" if audience is Audience.STAFF else "."
    return f"It can be printed again until {moment(kept_until)}{how}"


def _and_more(more: int) -> str:
    return f" and {more} more" if more else ""


def _rest(occurrence: Occurrence, printer: Printer, more: int) -> list[str]:
    if not more:
        return []
    jobs = "Another job" if more == 1 else f"{more} other jobs"
    happened, only = "failed", ""
    if occurrence.occasion is Occasion.HELD:
        happened, only = "was held" if more == 1 else "were held", f" --state {JobState.PENDING_HELD.value}"
    return [f"{jobs} {happened} there within the hour before: printpost job list --printer {printer.name}{only}"]


def link(head: Letterhead, path: str) -> str:
    """A page of ours, "" if people elsewhere cannot open it."""
    return f"{head.page}{path}" if head.page else ""


def described(printer: Printer) -> str:
    """Which printer, and where."""
    more = [header.clean(one, 100) for one in (printer.location, printer.model)]
    return ", ".join([printer.name, *filter(None, more)])
