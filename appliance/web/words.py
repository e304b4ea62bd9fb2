"""Rules, proofs, trust and rhythms in plain words.  No I/O.

Security: rules and traces may hold what strangers said.  It comes out as text and never as markup: the templates escape
all of it.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from appliance.policy import Kind, Trust, parse_rule
from mailstore.directory.records import Printer
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from mailstore.header import clean
from mailstore.job import REASONS, Job, JobState, Proof
from mailstore.store.contract import PrinterState
from mailstore.store.papers import DocumentRecord, Fate

TRUST: dict[str, str] = {
    Trust.INSIDER: "From inside: with a login, or from the site's own networks.",
    Trust.VERIFIED: "From outside, and it is proved that the sender sent it.",
    Trust.STRANGER: "From outside, and nobody proved who sent it.",
}
"""What was concluded at receipt; it decides what reaches the printer."""

SENDER_PROOFS: dict[Proof, str] = {
    Proof.LOGIN: "proved by a login, whose own address it is",
    Proof.NETWORK: "a client in the site's own networks gave it, and the site answers for its people",
    Proof.TOKEN: "nobody's address is proved: it came to an address that was given away",
    Proof.SPF: "proved by SPF: its domain lets the computer send that it came from",
    Proof.DKIM: "proved by DKIM: its domain signed the mail",
    Proof.ARC: "proved by ARC: a forwarder that the site trusts saw the proof",
    Proof.NONE: "not proved",
}
"""How it is known who sent a job."""

_FORMATS: dict[str, str] = {
    DocumentFormat.POSTSCRIPT: "PostScript",
    DocumentFormat.PDF: "PDF",
    DocumentFormat.PCL: "PCL",
    DocumentFormat.PCLXL: "PCL XL",
    DocumentFormat.PWG: "PWG raster",
    DocumentFormat.TEXT: "text",
    DocumentFormat.OCTETS: "unknown",
    DocumentFormat.EPS: "EPS",
    DocumentFormat.DOS_EPS: "EPS with a preview",
    DocumentFormat.PCLM: "PCLm",
    DocumentFormat.HPGL: "HP-GL",
    DocumentFormat.ESCP: "ESC/P",
    DocumentFormat.CUPS_RASTER: "CUPS raster",
    DocumentFormat.URF: "Apple raster",
    DocumentFormat.JPEG: "JPEG picture",
    DocumentFormat.PNG: "PNG picture",
    DocumentFormat.TIFF: "TIFF picture",
    DocumentFormat.GIF: "GIF picture",
    "image/webp": "WebP picture",
    "image/heic": "HEIC picture",
    "image/heif": "HEIF picture",
    "image/avif": "AVIF picture",
    DocumentFormat.OLE: "Office document",
    DocumentFormat.DOCX: "Word document",
    DocumentFormat.XLSX: "Excel table",
    DocumentFormat.PPTX: "PowerPoint slides",
    DocumentFormat.ODT: "OpenDocument text",
    DocumentFormat.ODS: "OpenDocument table",
    DocumentFormat.ODP: "OpenDocument slides",
    DocumentFormat.XPS: "XPS",
    DocumentFormat.ZIP: "ZIP archive",
    "application/ms-tnef": "Outlook's winmail.dat",
    DocumentFormat.RTF: "rich text",
    DocumentFormat.HTML: "HTML",
}
"""What a document is; its `document-format` where that has no name of its own."""

_FATES: dict[Fate, str] = {
    Fate.READY: "ready",
    Fate.PRINTED: "printed",
    Fate.LEFT_OUT: "left out",
    Fate.FAILED: "not printed",
}

_KINDS: dict[Kind, str] = {
    Kind.ADDRESS: "mail sent from {value}",
    Kind.DOMAIN: "mail sent from any address at {value}",
    Kind.GROUP: "everybody in the group {value} of the directory",
    Kind.AUTHOR: "mail whose From field names {value}",
    Kind.IP: "mail that comes from {value}, whoever sends it",
    Kind.AUTHENTICATED: "everybody who sends with a user name and password",
    Kind.ANYONE: "everybody who proves the address he sends from",
}


def sender_in_words(job: Job) -> str:
    """Whose address is proved, and by what."""
    words = SENDER_PROOFS[job.proof]
    return f"{job.proved}, {words}" if job.proved else words


def format_in_words(document_format: str) -> str:
    """What a document is."""
    return _FORMATS.get(document_format, document_format)


def fate_in_words(fate: Fate, state: JobState) -> str:
    """What became of a document of a job in this state."""
    if fate is Fate.READY and state in (JobState.ABORTED, JobState.CANCELED):
        return "made ready, not sent"
    return _FATES[fate]


def document_in_words(record: DocumentRecord, state: JobState) -> str:
    """All that is known of a document of a job in this state, on one line."""
    name = clean(record.name, 200) or "without a name"
    pages = f", {record.pages} page{'s' * (record.pages != 1)}" if record.pages else ""
    why = f" ({clean(record.detail, 300)})" if record.detail else ""
    return f"{name}, {format_in_words(clean(record.format, 100))}{pages}: {fate_in_words(record.fate, state)}{why}"


def rule_in_words(text: str) -> str:
    """Whom a rule means; one that cannot be read says so."""
    try:
        rule = parse_rule(text)
    except PermanentFailure:
        return "cannot be read, and while it stands here nobody may send"
    network = rule.network
    if network is not None and network.num_addresses == 1:
        return _KINDS[rule.kind].format(value=f"the computer at {network.network_address}")
    if network is not None and network.prefixlen == 0:
        return _KINDS[rule.kind].format(value=f"any IPv{network.version} address")
    return _KINDS[rule.kind].format(value=f"the network {network}" if network is not None else rule.value)


def rhythm(printer: Printer, state: PrinterState, now: float) -> list[str]:
    """How often a printer that polls should, and how often it does."""
    told = [f"It should poll every {duration(printer.poll_interval)}."]
    if not state.last_poll:
        return [*told, "It has not polled yet."]
    gap = state.poll_gap or printer.poll_interval
    if state.poll_gap:
        told.append(f"Of late it polls every {duration(gap)}.")
    due = state.last_poll + gap
    told.append(f"The last time was {duration(now - state.last_poll)} ago.")
    if now <= due:
        told.append(f"The next is expected in {duration(due - now)}.")
    elif now - due > 2 * gap:
        told.append(f"It is late: the next was expected {duration(now - due)} ago. Is it switched on?")
    else:
        told.append("The next is expected any moment.")
    return told


def login(printer: Printer, state: PrinterState) -> list[str]:
    """What is to be known of the password of a printer that polls; nothing if it never goes in clear."""
    told = []
    if state.poll_clear:
        told.append("Its last login sent the password over the network in clear: whoever listens there can read it.")
    if printer.plain_from:
        told.append(f"It may log in without TLS from {', '.join(printer.plain_from)}.")
    return told


def clock(at: float) -> str:
    """A time for people, in the house's own zone; "" where it was not reached."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S") if at else ""


def octets(amount: int) -> str:
    """A size for people."""
    size = float(amount)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration(seconds: float) -> str:
    """A length of time for people who compare two of them: seconds up to two minutes, then the next unit."""
    for unit, size in (("second", 1), ("minute", 60), ("hour", 3600), ("day", 86400)):
        if seconds < 120 * size or unit == "day":
            count = round(max(0.0, seconds) / size)
            return f"{count} {unit}{'' if count == 1 else 's'}"
    raise AssertionError


_EVENT = re.compile(rf"({'|'.join(JobState)}): ([a-z0-9-]+(?: [a-z0-9-]+)*)(?: (\(.*\)))?")


def event_in_words(text: str) -> str:
    """A line of a job's trace, its keywords in words."""
    found = _EVENT.fullmatch(text)
    reasons = found[2].split() if found else []
    if found is None or not all(reason in REASONS for reason in reasons):
        return text
    told = "; ".join(REASONS[reason] for reason in reasons)
    return f"{told} {found[3]}" if found[3] else told
