"""The words of a job ticket: one grammar for a printer's address, a subject, a header field and a letter's first line.

    phaser360+copies=2+duplex@example.com
    Subject: [copies=2 duplex] Report
    Printpost-Options: copies=2; duplex
    #print copies=2 duplex

The words are IPP's (`name=value`) and short ones for the usual; case means nothing.  Each attribute is said once in one
place.  Over the subject goes the address, over the first line the subject, over the field the first line, and under all
of them lies what the printer's entry says (`asked`).  What is not understood is refused in an address, since there it
is an address; elsewhere it refuses no mail, but a sentence in the job's trace tells it.

Security: reads strangers' subjects, fields and letters.  At most `READ_CHARACTERS` of each are looked at; a word is one
of a few, a number of bounded length, or a name of paper held to a pattern, and is ASCII before its case is taken away,
so nothing of the sender's own making leaves here but numbers, ranges and one such name.  How much may be asked for is
the printer's, and what could make it wait for somebody is its site's (`capped`).  A long word is never repeated: in an
address it may be a token that lost a letter.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from mailstore.directory.records import Printer, Raw
from mailstore.failure import PermanentFailure
from mailstore.ticket import (
    LAST_PAGE,
    NO_TICKET,
    NUMBER_UP,
    ColorMode,
    Orientation,
    PageRange,
    Scaling,
    Sides,
    Ticket,
)

READ_CHARACTERS: Final = 500  # of each subject, field and line
MAX_RANGES: Final = 50
_SHOWN: Final = 16
_TOLD: Final = 5  # words that one sentence names

KNOWN: Final = (
    "copies=2, duplex, tumble, simplex, pages=1-3.7, a4, letter and other paper, tray=2, mono, color, 2up to 16up,"
    " fit, noscale, landscape, portrait, and IPP's names with their keywords, as media=iso_a4_210x297mm"
)
"""The words there are, for sentences."""

# -- paper

SIZES: Final = {
    "a0": "iso_a0_841x1189mm",
    "a1": "iso_a1_594x841mm",
    "a2": "iso_a2_420x594mm",
    "a3": "iso_a3_297x420mm",
    "a4": "iso_a4_210x297mm",
    "a5": "iso_a5_148x210mm",
    "a6": "iso_a6_105x148mm",
    "b4": "iso_b4_250x353mm",
    "b5": "iso_b5_176x250mm",
    "jis-b4": "jis_b4_257x364mm",
    "jis-b5": "jis_b5_182x257mm",
    "letter": "na_letter_8.5x11in",
    "legal": "na_legal_8.5x14in",
    "ledger": "na_ledger_11x17in",
    "tabloid": "na_ledger_11x17in",
    "executive": "na_executive_7.25x10.5in",
    "invoice": "na_invoice_5.5x8.5in",
    "statement": "na_invoice_5.5x8.5in",
    "com10": "na_number-10_4.125x9.5in",
    "monarch": "na_monarch_3.875x7.5in",
    "dl": "iso_dl_110x220mm",
    "c5": "iso_c5_162x229mm",
}
"""Short names of paper, and its PWG self-describing names (PWG 5101.1)."""
_SIZES_ALONE: Final = ("a3", "a4", "a5", "a6", "b4", "b5", "letter", "legal", "ledger", "tabloid")

_SIDE: Final = r"((?:0|[1-9][0-9]{0,3})(?:\.[0-9]{0,2}[1-9])?)"
_SELF_DESCRIBING: Final = re.compile(
    rf"((?:asme|custom|disc|iso|jis|jpn|na|oe|om|other|prc|roc|roll)_[a-z0-9][a-z0-9.-]{{0,30}})_{_SIDE}x{_SIDE}(mm|in)"
)
_DIMENSIONS: Final = {name.rpartition("_")[0]: name for name in SIZES.values()}
_POINTS: Final = {"mm": 72 / 25.4, "in": 72.0}


def media(word: str) -> str:
    """The PWG self-describing name that a lower-case short or self-describing one stands for, "" if it is none.

    Sides are between 1 and 100 inches; a name that has a size keeps it.
    """
    name = SIZES.get(word, word)
    found = _SELF_DESCRIBING.fullmatch(name)
    if found is None or _DIMENSIONS.get(found[1], name) != name:
        return ""
    return name if all(72 <= side <= 7200 for side in size(name)) else ""


def size(name: str) -> tuple[float, float]:
    """Width and height in points (1/72 inch) of a name that `media` gave."""
    found = _SELF_DESCRIBING.fullmatch(name)
    assert found is not None
    return float(found[2]) * _POINTS[found[4]], float(found[3]) * _POINTS[found[4]]


# -- page ranges

_RANGE: Final = re.compile(r"([1-9][0-9]{0,4})?(-)?([1-9][0-9]{0,4})?")


def page_ranges(value: str) -> tuple[PageRange, ...]:
    """`1-3,7,9-` as ranges that rise and do not touch; () if it is none.

    Between them stands a comma, a full stop (in an address, where a comma would have to be quoted) or a semicolon.
    """
    pieces = re.split(r"[.,;]", value)
    if len(pieces) > MAX_RANGES:
        return ()
    ranges = []
    for piece in pieces:
        found = _RANGE.fullmatch(piece)
        if found is None or not (found[1] or found[3]):
            return ()
        first = int(found[1] or 1)
        last = int(found[3] or LAST_PAGE) if found[2] else first
        if last < first:
            return ()
        ranges.append((first, last))
    merged = sorted(ranges)[:1]
    for first, last in sorted(ranges)[1:]:
        if first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return tuple(merged)


# -- one word

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,2}")
_TRAYS: Final = tuple(f"tray-{number}" for number in range(1, 21))
MEDIA_SOURCES: Final = ("auto", "manual", "main", "alternate", "large-capacity", "envelope", *_TRAYS)
_SIDES: Final = {sides.value: sides for sides in Sides}
_COLORS: Final = {color.value: color for color in ColorMode}
_NUMBERS_UP: Final = {str(number): number for number in NUMBER_UP}
_SCALINGS: Final = {scaling.value: scaling for scaling in Scaling}
_ORIENTATIONS: Final = {each.value: each for each in Orientation} | {
    "3": Orientation.PORTRAIT,  # RFC 8011 section 5.2.10
    "4": Orientation.LANDSCAPE,
}


def _copies(value: str) -> int:
    return int(value) if _NUMBER.fullmatch(value) else 0


def _source(value: str) -> str:
    named = f"tray-{value}" if value.isdecimal() else value
    return named if named in MEDIA_SOURCES else ""


ATTRIBUTES: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "copies": ("copies", _copies),
    "sides": ("sides", _SIDES.get),
    "page-ranges": ("page_ranges", page_ranges),
    "media": ("media", media),
    "media-source": ("media_source", _source),
    "print-color-mode": ("color", _COLORS.get),
    "number-up": ("number_up", _NUMBERS_UP.get),
    "print-scaling": ("scaling", _SCALINGS.get),
    "orientation-requested": ("orientation", _ORIENTATIONS.get),
}
"""IPP's names, the field of `Ticket` each one fills, and what reads a value in lower case: false for none."""
ALIASES: Final = {"pages": "page-ranges", "tray": "media-source", "nup": "number-up"}
SHORT: Final = {
    "simplex": "sides=one-sided",
    "duplex": "sides=two-sided-long-edge",
    "tumble": "sides=two-sided-short-edge",
    "mono": "print-color-mode=monochrome",
    "monochrome": "print-color-mode=monochrome",
    "bw": "print-color-mode=monochrome",
    "color": "print-color-mode=color",
    "colour": "print-color-mode=color",
    "fit": "print-scaling=fit",
    "noscale": "print-scaling=none",
    "portrait": "orientation-requested=portrait",
    "landscape": "orientation-requested=landscape",
    **{f"{number}up": f"number-up={number}" for number in NUMBER_UP if number > 1},
    **{size: f"media={SIZES[size]}" for size in _SIZES_ALONE},
}
"""Words that stand alone, and what they are short for."""
_MEANT_OTHERWISE: Final = frozenset({"letter", "legal", "ledger", "fit"})  # where nothing else is said with them


def _meaning(word: str) -> tuple[str, Any] | None:
    """The IPP name and the value that a word says; None if it is none."""
    lower = word.lower() if word.isascii() else ""
    name, _, value = SHORT.get(lower, lower).partition("=")
    name = ALIASES.get(name, name)
    if name not in ATTRIBUTES or not (said := ATTRIBUTES[name][1](value)):
        return None
    return name, said


def _ticket(words: Iterable[str]) -> tuple[Ticket, list[str], list[str]]:
    """What the words say, those that are none, and the names that were said again; the first one counts."""
    said: dict[str, Any] = {}
    unknown, again = [], []
    for word in words:
        meant = _meaning(word)
        if meant is None:
            unknown.append(word)
        elif meant[0] in said:
            again.append(meant[0])
        else:
            said[meant[0]] = meant[1]
    return Ticket(**{ATTRIBUTES[name][0]: value for name, value in said.items()}), unknown, again


def _quoted(word: str) -> str:
    """In ASCII, which may have ten characters for one; "" if that is long."""
    quoted = ascii(word) if len(word) <= _SHOWN else ""
    return quoted if len(quoted) <= 2 * _SHOWN else ""


def _shown(words: Sequence[str]) -> str:
    short = [_quoted(word) or "a long word" for word in words[:_TOLD]]
    return " and ".join(dict.fromkeys(short)) + (" and more" if len(words) > _TOLD else "")


# -- whole tickets


def read(words: Sequence[str]) -> Ticket:
    """What the words say; in any order, each attribute once.

    Raises `PermanentFailure` ("5.1.3") with a sentence that says what there is, or what is said twice.
    """
    ticket, unknown, again = _ticket(words)
    if unknown:
        raise PermanentFailure(
            "5.1.3", f"{_quoted(unknown[0]) or 'a word'} is no word of a job ticket; there are {KNOWN}"
        )
    if again:
        raise PermanentFailure("5.1.3", f"the ticket says {again[0]} twice; say it once")
    return ticket


def to_words(ticket: Ticket) -> str:
    """The ticket in IPP's names with a space between them; `read(to_words(ticket).split())` is the ticket again."""
    written = []
    for name, (field, _) in ATTRIBUTES.items():
        if value := getattr(ticket, field):
            written.append(f"{name}={_ranges(value) if field == 'page_ranges' else value}")
    return " ".join(written)


def _ranges(ranges: Iterable[PageRange]) -> str:
    written = []
    for first, last in ranges:
        end = f"-{last}" if last < LAST_PAGE else "-"
        written.append(f"{first}{end if last > first or last == LAST_PAGE else ''}")
    return ",".join(written)


# -- where they stand

_BRACKET: Final = re.compile(r"\[([^\[\]]*)\]")
_EQUALS: Final = re.compile(r"\s*=\s*")
_NEXT_RANGE: Final = re.compile(r"(?<=[0-9-])[ \t]?[,;][ \t]?(?=[0-9]{1,5}(?:-[0-9]{0,5})?(?:[\s,;]|$))")
_BETWEEN: Final = re.compile(r"\s+|[,;](?=\s|[A-Za-z]|$)|(?<=[A-Za-z])[,;]")
_DIRECTIVE: Final = re.compile(r"#print(?=\s|$)", re.IGNORECASE | re.ASCII)


_ANSWERS: Final = re.compile(
    r"(?:\s*\[[^\[\]]*\])*+\s*(?:re|aw|antw|antwort|sv|vs|odp|ynt|rif)\s{0,2}(?:[\[(^]\s?[0-9]{1,3}\s?[\])]?)?\s{0,2}[:\uff1a]",
    re.IGNORECASE | re.ASCII,
)
"""What mail programs put before the subject of an answer (RFC 5322 section 3.6.5), with brackets before it."""


def of_subject(subject: str) -> tuple[Ticket, tuple[str, ...]]:
    """What a decoded subject says in brackets, and sentences on what was not understood.

    A bracket counts if it begins with a word of the grammar, and then all of it must be understood: what mailing lists
    and scanners put there is left alone, and so is a name of paper that is an ordinary word, where it stands alone.
    """
    words: list[str] = []
    notes = []
    subject = subject[:READ_CHARACTERS]
    answers = _ANSWERS.match(subject)
    mine = answers.end() if answers else READ_CHARACTERS
    for bracket in _BRACKET.finditer(subject):
        said = _split(bracket[1])
        if not said or not _begins(said[0]) or all(word.lower() in _MEANT_OTHERWISE for word in said):
            continue
        if bracket.start() >= mine:
            notes.append("a bracket of the subject stands behind Re:, so it does not count; put it before")
            continue
        unknown = [word for word in said if _meaning(word) is None]
        if unknown:
            notes.append(_unknown("a bracket of the subject", unknown, "so it does not count"))
        else:
            words += said
    ticket, _, again = _ticket(words)
    return ticket, (*notes, *_again("the subject", again))


def of_field(field: str) -> tuple[Ticket, tuple[str, ...]]:
    """What the Printpost-Options fields of a mail say, put together, and sentences on what was not understood."""
    return _as_far_as_understood("the Printpost-Options field", field)


def of_directive(line: str) -> tuple[Ticket, tuple[str, ...]]:
    """As `of_field`, of the first line of a letter if it begins with #print."""
    found = _DIRECTIVE.match(line)
    return _as_far_as_understood("the #print line", line[found.end() :]) if found else (NO_TICKET, ())


def _as_far_as_understood(where: str, text: str) -> tuple[Ticket, tuple[str, ...]]:
    ticket, unknown, again = _ticket(_split(text[:READ_CHARACTERS]))
    notes = [_unknown(where, unknown, "the rest counts")] if unknown else []
    return ticket, (*notes, *_again(where, again))


def _split(text: str) -> list[str]:
    text = _NEXT_RANGE.sub(",", _EQUALS.sub("=", text))
    return [word for piece in _BETWEEN.split(text) if (word := piece.rstrip(".,;"))]


def _begins(word: str) -> bool:
    name = word.lower().partition("=")[0] if "=" in word else ""
    return ALIASES.get(name, name) in ATTRIBUTES or _meaning(word) is not None


def _unknown(where: str, words: Sequence[str], rest: str) -> str:
    return f"{where} says {_shown(words)}, which a job ticket does not know; {rest}"


def _again(where: str, names: Sequence[str]) -> list[str]:
    return [f"{where} says {name} more than once; the first one counts" for name in dict.fromkeys(names)]


# -- for one printer


def asked(
    printer: Printer,
    trust: str,
    *,
    address: Ticket = NO_TICKET,
    subject: str = "",
    directive: str = "",
    field: str = "",
) -> tuple[Ticket, tuple[str, ...]]:
    """How one mail of this trust is to be printed on `printer`, from all places, and sentences for the job's trace.

    `address` is what `mailstore.options.of_recipient` gives, the others are the texts.
    """
    ticket, notes = address, tuple[str, ...]()
    for said, told in (of_subject(subject), of_directive(directive), of_field(field), (printer.ticket, ())):
        ticket, notes = ticket.over(said), (*notes, *told)
    ticket, told = capped(ticket, printer, trust)
    return ticket, (*notes, *told)


_WAITS: Final = frozenset({"manual", "envelope"})
"""Where a printer may wait for somebody who comes and puts paper in."""


def capped(ticket: Ticket, printer: Printer, trust: str) -> tuple[Ticket, tuple[str, ...]]:
    """The ticket without what the printer's entry does not allow, and a sentence on each thing that was taken away.

    A printer that is asked for paper that it does not have stands still until somebody comes, for all who wait.  So
    nobody gets paper that the entry does not name, if it names any; if not, an insider gets the usual sizes, and others
    what the printer does by itself.
    """
    notes = []
    if 0 < printer.max_copies < ticket.copies:
        notes.append(f"{ticket.copies} copies were asked for; this printer makes at most {printer.max_copies}")
        ticket = dataclasses.replace(ticket, copies=printer.max_copies)
    insider = trust == Raw.INSIDER
    there = printer.media or (printer.ticket.media, *(SIZES.values() if insider else ()))
    if ticket.media and ticket.media not in there:
        why = "this printer does not have" if printer.media else "this printer's entry does not name (--media)"
        notes.append(f"{ticket.media} was asked for, which {why}")
        ticket = dataclasses.replace(ticket, media="")
    if ticket.media_source in _WAITS - {printer.ticket.media_source} and not insider:
        notes.append(f"the tray {ticket.media_source} was asked for, which only people of the site may do")
        ticket = dataclasses.replace(ticket, media_source="")
    if ticket.color is ColorMode.COLOR and not printer.color:
        notes.append("colour was asked for, which this printer does not print")
        ticket = dataclasses.replace(ticket, color=None)
    return ticket, tuple(notes)
