"""What people are told of jobs and printers: who hears of what, and in which words.

PhaserLink's notices: *On Error* (aborted, uncertain, not all of its documents printed) for the Service person and for
the sender, *Job Printed* for the sender where the printer's entry says so, and a printer's conditions with their
all-clear for Service and Key User.  A job that is held for a limit is the sender's and the Key User's, whom the sender
is told to ask.
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
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from appliance.episodes import News
from appliance.letter import Letter, octets
from mailstore import header
from mailstore.address import canonical
from mailstore.condition import in_words
from mailstore.directory.records import Printer, WhenUncertain
from mailstore.job import REASONS, REPRINTS, Job, JobState
from mailstore.store.outbox import Occasion, Occurrence, OutgoingMail
from mailstore.store.papers import DocumentRecord, Fate

DAY = 86400.0
KEPT = {
    Occasion.COMPLETED: DAY,
    Occasion.INCOMPLETE: 3 * DAY,
    Occasion.ABORTED: 3 * DAY,
    Occasion.UNCERTAIN: 3 * DAY,
    Occasion.HELD: 3 * DAY,
    Occasion.STOPPED: 3 * DAY,
    Occasion.CLEAR: DAY,
}
"""Seconds for which a notice is worth delivering."""


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


_REMEDIES: dict[str, str] = {
    "connecting-to-device": "See whether it is switched on and connected.",
    "timed-out": "See what its panel says: it may want paper, or a cover may be open.",
    "media-empty": "Load paper.",
    "media-needed": "Load the paper that its panel asks for.",
    "media-low": "Load paper soon.",
    "media-jam": "Clear the paper path.",
    "door-open": "Close it.",
    "cover-open": "Close it.",
    "interlock-open": "Close its covers.",
    "input-tray-missing": "Put the tray in.",
    "output-tray-missing": "Put the tray in.",
    "output-area-full": "Take the paper away.",
    "output-area-almost-full": "Take the paper away soon.",
    "marker-supply-empty": "Replace it.",
    "marker-supply-low": "Have a new one at hand.",
    "marker-supply-missing": "Put it in.",
    "toner-empty": "Replace the cartridge.",
    "toner-low": "Have a new cartridge at hand.",
    "developer-empty": "Replace it.",
    "developer-low": "Have a new one at hand.",
    "marker-waste-full": "Replace the waste container.",
    "marker-waste-almost-full": "Have a new waste container at hand.",
    "fuser-over-temp": "Let it cool down; call for service if it happens again.",
    "fuser-under-temp": "Let it warm up; call for service if it happens again.",
    "opc-life-over": "Replace the drum.",
    "opc-near-eol": "Have a new drum at hand.",
    "offline": "Put it on line at its panel.",
    "shutdown": "Switch it on.",
}
"""What to do about a `printer-state-reasons` keyword; of any other, its panel says."""

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
_VAGUE = ("aborted-by-system", "job-suspended", "job-completed-with-warnings")
_SUBJECTS = {
    Occasion.ABORTED: "Not printed on {printer}: {name}",
    Occasion.UNCERTAIN: "Perhaps not printed on {printer}: {name}",
    Occasion.HELD: "Held on {printer}: {name}",
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


def audience(occasion: Occasion, printer: Printer, postmaster: str, sender: str) -> dict[str, Audience]:
    """Who hears of it, by address; `sender` is "" unless he may be answered."""
    responsible = _responsible(printer, postmaster)
    staff: tuple[str, ...] = ()
    if occasion in (Occasion.STOPPED, Occasion.CLEAR):
        staff = (*responsible, *printer.key_user)
    elif occasion in _ERRORS:
        staff = responsible
    elif occasion is Occasion.HELD:
        staff = printer.key_user or responsible
    found = dict.fromkeys(_once(staff), Audience.STAFF)
    wanted = occasion in (*_ERRORS, Occasion.HELD) or (occasion is Occasion.COMPLETED and printer.tell_printed)
    if sender and wanted and canonical(sender) not in map(canonical, found):
        found[sender] = Audience.SENDER
    return found


def _responsible(printer: Printer, postmaster: str) -> tuple[str, ...]:
    return printer.service_person or printer.sysadmin or (postmaster,)


def _once(addresses: Iterable[str]) -> Iterable[str]:
    return {canonical(address): address for address in reversed([*addresses])}.values()


def message_id(head: Letterhead, occurrence: Occurrence, to: str) -> str:
    """The Message-ID of a notice; the same for the same notice."""
    who = hashlib.sha256(canonical(to).encode()).hexdigest()[:12]
    return f"<notice.{occurrence.id}.{int(occurrence.at * 1000):x}.{who}@{head.hostname}>"


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
) -> OutgoingMail:
    """What happened to a job, for one recipient; `kept_until` is 0.0 if it cannot be printed again.

    `more`: so many other jobs of the printer failed, or were held, of which he was not told.  `documents`: of the job.
    """
    name = header.clean(job.name, 80) or f"job {job.id}"
    facts = [
        ("Job", f'{job.id}, "{header.clean(job.name, 200)}"' if job.name else str(job.id)),
        ("Received", f"{_time(job.received_at)} from {header.clean(job.sender, 254) or 'nobody'}"),
        ("Printer", _described(printer)),
        ("Reason", _cut(", ".join(occurrence.reasons))),
        *(_lost(documents) or [("Details", _cut(occurrence.detail or job.detail))]),
    ]
    text = _text(
        _happened(occurrence, job),
        facts,
        [
            *_to_do(head, occurrence, job, printer, audience),
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
    return _mail(letter, occurrence, now)


def about_printer(head: Letterhead, news: News, printer: Printer, *, to: str, now: float) -> OutgoingMail:
    """STOPPED or CLEAR, for one recipient; all of one trouble are one thread for each."""
    occurrence = news.occurrence
    reasons = news.reasons[:5]
    facts = [("Printer", _described(printer)), ("Reason", _cut(", ".join(occurrence.reasons)))]
    if occurrence.occasion is Occasion.CLEAR:
        lasted = f" after {_lasting(occurrence.at - news.began)}" if news.began else ""
        subject, to_do = f"{printer.name}: works again", ["Nothing is to be done; jobs that waited go on."]
        said = f"{printer.name} works again{lasted}."
        facts.insert(0, ("Since", _time(occurrence.at)))
    else:
        trouble = " and ".join(dict.fromkeys(_cut(in_words(word), 60) for word in reasons))
        remedies = dict.fromkeys(_REMEDIES.get(word, "See what its panel says.") for word in reasons)
        subject, said = f"{printer.name}: {trouble}", f"{printer.name} needs a hand: {trouble}."
        to_do = [" ".join(remedies), "Jobs wait meanwhile and go on by themselves."]
        facts.insert(0, ("Since", _time(news.began or occurrence.at)))
        facts.append(("Details", _cut(occurrence.detail)))
    letter = Letter(
        name=f"Printpost on {head.hostname}",
        sender=head.sender,
        to=to,
        subject=subject,
        text=_text(said, facts, [*to_do, _link(head, f"/printers/{printer.name}")]),
        at=now,
        message_id=message_id(head, occurrence, to),
        thread=(news.told[to],) if to in news.told else (),
    )
    return _mail(letter, occurrence, now)


def _mail(letter: Letter, occurrence: Occurrence, now: float) -> OutgoingMail:
    return OutgoingMail(
        recipient=letter.to,
        octets=octets(letter),
        job_id=occurrence.job_id,
        expires_at=now + KEPT[occurrence.occasion],
    )


def _happened(occurrence: Occurrence, job: Job) -> str:
    telling = next((word for word in occurrence.reasons if word in REASONS and word not in _VAGUE), "")
    match occurrence.occasion:
        case Occasion.ABORTED:
            return f"Job {job.id} could not be printed: {REASONS.get(telling, 'it was given up')}."
        case Occasion.HELD:
            return f"Job {job.id} is held: it would pass a limit of pages."
        case Occasion.INCOMPLETE:
            return f"Job {job.id} was printed, but not all of its documents."
        case Occasion.UNCERTAIN:
            return f"Nobody can know whether job {job.id} was printed: the connection was lost while it was being sent."
        case _:
            pages = f", {job.pages} page{'s' * (job.pages != 1)}" if job.pages else ""
            warned = "job-completed-with-warnings" in occurrence.reasons
            return f"Job {job.id} was printed{pages}{', with a warning' * warned}."


def _to_do(head: Letterhead, occurrence: Occurrence, job: Job, printer: Printer, audience: Audience) -> list[str]:
    staff = audience is Audience.STAFF
    links = [_link(head, f"/jobs/{job.id}"), f"What happened to it: printpost job show {job.id}"] if staff else []
    match occurrence.occasion:
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
            whom = (printer.key_user or _responsible(printer, head.postmaster))[0]
            return [f"It waits until somebody releases it. Ask {whom}, or send fewer pages."]
        case Occasion.UNCERTAIN if printer.when_uncertain is WhenUncertain.REPRINT and job.attempts < REPRINTS:
            return ["It is printed again under a page that says POSSIBLE DUPLICATE.", *links]
        case Occasion.UNCERTAIN if printer.when_uncertain is WhenUncertain.PRINTED:
            return ["It counts as printed; send it again if nothing lies at the printer.", *links]
        case Occasion.UNCERTAIN if staff:
            return [
                "See what lies at the printer. The job is held until somebody decides; jobs behind it go on.",
                f"It was printed: printpost job printed {job.id}",
                f"Print it again: printpost job retry {job.id}",
                *links,
            ]
        case Occasion.UNCERTAIN:
            return ["See what lies at the printer. The job is held until somebody at the printer decides."]
        case _:
            return links


def _lost(documents: Iterable[DocumentRecord]) -> list[tuple[str, str]]:
    """Which documents did not print, and why."""
    lost = [one for one in documents if one.fate is Fate.FAILED]
    named = [("Document", f"{_named(one)}: {_cut(one.detail, 200)}") for one in lost[:_NAMED]]
    return [*named, ("", f"and {len(lost) - _NAMED} more")] if len(lost) > _NAMED else named


def _named(document: DocumentRecord) -> str:
    name = header.clean(document.name, 80)
    return f'{document.number}, "{name}"' if name else str(document.number)


def _again(occurrence: Occurrence, job: Job, kept_until: float, audience: Audience) -> str:
    in_vain = audience is Audience.SENDER and any(word in _ADVICE for word in occurrence.reasons)
    if in_vain or not kept_until:
        return ""
    how = f": printpost job retry {job.id}" if audience is Audience.STAFF else "."
    return f"It can be printed again until {_time(kept_until)}{how}"


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


def _link(head: Letterhead, path: str) -> str:
    return f"{head.page}{path}" if head.page else ""


def _described(printer: Printer) -> str:
    more = [header.clean(one, 100) for one in (printer.location, printer.model)]
    return ", ".join([printer.name, *filter(None, more)])


def _text(said: str, facts: Iterable[tuple[str, str]], to_do: Iterable[str]) -> str:
    lines = [*textwrap.wrap(said, 76), ""]
    for name, value in facts:
        if value:
            lines += textwrap.wrap(
                value, 76, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12, break_long_words=False
            )
    paragraphs = [textwrap.fill(one, 76, break_long_words=False) for one in to_do if one]
    return "\n".join([*lines, "", "\n\n".join(paragraphs)]).rstrip() + "\n"


def _cut(text: str, limit: int = 300) -> str:
    return header.clean(text, limit)


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def _lasting(seconds: float) -> str:
    """In words, roughly."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            count = round(seconds / unit)
            return f"{count} {name}{'s' * (count != 1)}"
    count = max(1, round(seconds))
    return f"{count} second{'s' * (count != 1)}"
