"""Which documents can get to a printer, as they came or drawn anew.  Pure.

The appliance asks at the end of the data, so that the sender's own server tells him; the bridge asks again when it
prints, by the routes of its converters.  A test holds the two equal.

Security: judges by the format that was sniffed and by the printer's entry, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import StrEnum
from typing import Final

from mailstore.directory.records import Language, Printer, Raw, reaches
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document
from mailstore.failure import PermanentFailure


class Treatment(StrEnum):
    """What is done to a document before a printer gets it: the print firewall's three ways."""

    RAW = "raw"  # nothing
    FILTERED = "filtered"  # PJL rewritten and PCL looked through; what is in a page description stays octet for octet
    RERENDER = "rerender"  # drawn anew: nothing that the sender wrote reaches the printer


_PROGRAMS: Final = frozenset({DocumentFormat.POSTSCRIPT, DocumentFormat.PDF})
"""Cannot be filtered soundly: they pass whole or not at all."""


def treatment(printer: Printer, trust: str, source: DocumentFormat) -> Treatment:
    """How a document of `source` format in a mail of this `trust` is treated for `printer` (design, section 7)."""
    trust = trust or Raw.STRANGER
    if reaches(printer.unfiltered, trust):
        return Treatment.RAW
    if printer.raw is Raw.NOBODY:
        return Treatment.RERENDER
    if reaches(printer.raw, trust) or (trust != Raw.STRANGER and source not in _PROGRAMS):
        return Treatment.FILTERED
    return Treatment.RERENDER


DRAWN_ANEW: Final = frozenset({DocumentFormat.TEXT, DocumentFormat.PDF, DocumentFormat.POSTSCRIPT})
"""What the bridge can draw anew, each into every language that anything is drawn in."""
NOT_DRAWN_IN: Final = frozenset({Language.TEXT})
"""What the bridge makes of nothing: a document in it goes as it came, or not at all."""


def no_way(source: DocumentFormat, languages: Collection[Language], *, as_is: bool) -> PermanentFailure | None:
    """Why a document of `source` format cannot get to a printer with `languages`; None if it can.

    `as_is`: it may reach the printer as it came.  The failure ("5.6.1", unsupported-document-format) says what to send
    instead.
    """
    drawn = any(language not in NOT_DRAWN_IN for language in languages)
    understood = any(language.document_format is source for language in languages)
    if (understood and as_is) or (drawn and source in DRAWN_ANEW):
        return None
    text = f"a document of the format {source.value} "
    if understood:
        text += "would have to reach the printer as it came, and from this sender it may not"
    else:
        text += "cannot be made into anything that this printer understands"
    if drawn:
        advice = "send it as PDF"
    elif as_is and languages:
        advice = f"send it as {' or '.join(sorted({language.document_format.value for language in languages}))}"
    else:
        advice = "this printer can get nothing from this sender, ask whoever runs it"
    return PermanentFailure("5.6.1", f"{text}; {advice}", reason="unsupported-document-format")


def refuse_unprintable(documents: Sequence[Document], printer: Printer, trust: str) -> None:
    """Raises `no_way`'s failure if one of the documents of a mail of this `trust` cannot get to the printer.

    Then nothing of the mail prints there.  A printer that polls gets mail as it is.
    """
    if printer.polls:
        return
    as_is = printer.takes_raw(trust or Raw.STRANGER)
    asked: set[DocumentFormat] = set()
    for document in documents:
        if document.format in asked:
            continue
        asked.add(document.format)
        if failure := no_way(document.format, printer.languages, as_is=as_is):
            number = f"document {document.index} of {len(documents)}: " if len(documents) > 1 else ""
            raise PermanentFailure(failure.status, number + failure.text, reason=failure.reason)
