"""Which documents can get to a printer, as they came or drawn anew.  Pure.

The appliance asks at the end of the data, so that the sender's own server tells him; the bridge asks again when it
prints, by the routes of its converters.  A test holds the two equal.

Security: judges by the format that was sniffed and by the printer's entry, and opens nothing.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Final

from mailstore.abilities import OFFICE, UNKNOWN, Abilities
from mailstore.directory.records import Body, Language, Printer, Raw, reaches
from mailstore.document_format import DocumentFormat
from mailstore.documents import Able, Selection, Survey
from mailstore.failure import PermanentFailure

_F = DocumentFormat


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
    if source is _F.TEXT and NOT_DRAWN_IN.issuperset(printer.languages):
        return Treatment.FILTERED  # everything but its characters is taken away
    if printer.raw is Raw.NOBODY:
        return Treatment.RERENDER
    if reaches(printer.raw, trust) or (trust != Raw.STRANGER and source not in _PROGRAMS):
        return Treatment.FILTERED
    return Treatment.RERENDER


DRAWN_ANEW: Final = OFFICE | {
    *(_F.TEXT, _F.HTML, _F.PDF, _F.PCLM, _F.POSTSCRIPT, _F.EPS, _F.DOS_EPS),
    *(_F.JPEG, _F.PNG, _F.TIFF, _F.GIF, _F.WEBP, _F.PWG, _F.URF, _F.CUPS_RASTER),
}
"""What the bridge can draw anew, each into every language that anything is drawn in."""
NOT_DRAWN_IN: Final = frozenset({Language.TEXT})
"""What the bridge makes of nothing: a document in it goes as it came, or cleaned, or not at all."""
CONTAINERS: Final = frozenset({_F.ZIP, _F.TNEF})
"""What the bridge opens: what is in it is judged then, each document for itself."""

_PHOTOGRAPHS: Final = frozenset({_F.HEIC, _F.HEIF, _F.AVIF})


def no_way(
    source: DocumentFormat, languages: Collection[Language], *, as_is: bool, containers: bool = False
) -> PermanentFailure | None:
    """Why a document of `source` format cannot get to a printer with `languages`; None if it can.

    `as_is`: it may reach the printer as it came, or filtered.  `containers`: it is looked into what holds others.  The
    failure ("5.6.1", unsupported-document-format) says what to send instead.
    """
    drawn = any(language not in NOT_DRAWN_IN for language in languages)
    understood = any(language.document_format is source for language in languages)
    if (understood and as_is) or (drawn and source in DRAWN_ANEW):
        return None
    if containers and languages and source in CONTAINERS:
        return None
    text = f"a document of the format {source.value} "
    if understood:
        text += "would have to reach the printer as it came, and from this sender it may not"
    else:
        text += "cannot be made into anything that this printer understands"
    if drawn:
        advice = "send it as JPEG" if source in _PHOTOGRAPHS else "send it as PDF"
    elif languages and (as_is or Language.TEXT in languages):  # text is cleaned, whoever sends it
        advice = f"send it as {' or '.join(sorted({language.document_format.value for language in languages}))}"
    else:
        advice = "this printer can get nothing from this sender, ask whoever runs it"
    return PermanentFailure("5.6.1", f"{text}; {advice}", reason="unsupported-document-format")


def hindrance(
    source: DocumentFormat, printer: Printer, trust: str, abilities: Abilities = UNKNOWN
) -> PermanentFailure | None:
    """Why a document of `source` format in a mail of this trust cannot get to the printer; None if it can.

    A printer that polls gets mail as it is.  The failure ("5.6.1", unsupported-document-format, or "5.7.1",
    document-security-error) says what to send instead.
    """
    if printer.polls:
        return None
    as_is = treatment(printer, trust, source) is not Treatment.RERENDER
    if refused := no_way(source, printer.languages, as_is=as_is, containers=True):
        return refused
    if as_is and any(language.document_format is source for language in printer.languages):
        return None
    return abilities.refusal(source, trust or Raw.STRANGER)


def able(printer: Printer, trust: str, abilities: Abilities = UNKNOWN) -> Able:
    """Whether a document of a format, in a mail of this trust, can get to the printer: for `Survey.select`."""
    return lambda source: hindrance(source, printer, trust, abilities) is None


def refuse_unprintable(selection: Selection, printer: Printer, trust: str, abilities: Abilities = UNKNOWN) -> None:
    """Raises `hindrance`'s failure if one of the documents of a mail of this `trust` cannot get to the printer.

    Then nothing of the mail prints there.
    """
    asked: set[DocumentFormat] = set()
    for document in selection.documents:
        if document.format in asked:
            continue
        asked.add(document.format)
        if failure := hindrance(document.format, printer, trust, abilities):
            of = len(selection.documents)
            number = f"document {document.index} of {of}: " if of > 1 else ""
            raise PermanentFailure(failure.status, number + failure.text, reason=failure.reason)


def selected(survey: Survey, printer: Printer, trust: str, abilities: Abilities = UNKNOWN) -> Selection:
    """What of a mail of this `trust` prints at the printer: at least one document.

    Raises `PermanentFailure` if there is none, or one of them cannot get there.  A printer that polls gets all.
    """
    body = Body.ALWAYS if printer.polls else printer.body
    selection = survey.select(body, able(printer, trust, abilities))
    if not selection.documents:
        raise survey.refusal(selection)
    refuse_unprintable(selection, printer, trust, abilities)
    return selection
