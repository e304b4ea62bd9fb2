"""How a job is to be printed, said in each language: copies and sides (RFC 8011 sections 5.2.5 and 5.2.8).  No I/O.

PostScript that we made is told at its start how many copies it prints; every other document is sent so many times,
which is right in any language and on any printer.  Sides are asked for at the start of PostScript and PCL, in each page
of PCL XL and PWG raster that we made, and by PJL for what has no words of its own, where the printer speaks it.

Security: nothing of what somebody asked for goes out but a number and one of three keywords.  Documents are looked at
in their first octets only, and only to find the place for our words; a wrong place can spoil the sender's own job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mailstore import options
from mailstore.directory.records import Language
from mailstore.job import Job
from mailstore.ticket import Sides
from printerbridge.pjl import brings_pjl, names

POSTSCRIPT: Final = frozenset({Language.POSTSCRIPT, Language.POSTSCRIPT2})
_DRAWN_FOR_SIDES: Final = frozenset({Language.PCLXL, Language.PWG})  # by `printerbridge.converters`

# Level 1 has no dictionary brackets and level 2 may lack the feature: neither may keep the document from being printed.
_GUARDED: Final = "/setpagedevice where{pop mark{%d dict %s setpagedevice}stopped cleartomark}if\n"
_BOTH_SIDES: Final = "dup/Duplex %s put dup/Tumble %s put"
_ENTERED: Final = re.compile(rb"@PJL[ \t]+ENTER[ \t]+LANGUAGE[^\n]*\n[\x04\r\n]*", re.IGNORECASE)
_COMMENTS: Final = re.compile(rb"(?:%[^\r\n]*(?:\r\n|\r|\n))+")
_PCL_SIDES: Final = {Sides.ONE_SIDED: b"\x1b&l0S", Sides.LONG_EDGE: b"\x1b&l1S", Sides.SHORT_EDGE: b"\x1b&l2S"}
_PJL_SIDES: Final = {
    Sides.ONE_SIDED: ("SET DUPLEX = OFF",),
    Sides.LONG_EDGE: ("SET DUPLEX = ON", "SET BINDING = LONGEDGE"),
    Sides.SHORT_EDGE: ("SET DUPLEX = ON", "SET BINDING = SHORTEDGE"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What was asked for."""

    copies: int = 1
    sides: Sides | None = None  # None: as the printer and the document have it


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of one document."""

    at: int = 0  # before its octet with this number, from 0, `words` stand
    words: bytes = b""
    copies: int = 1  # that it prints by itself when it is sent once
    times: int = 1  # that it is sent
    pjl: tuple[str, ...] = ()  # to be said before ENTER LANGUAGE
    missing: str = ""  # a sentence on what cannot be asked for, "" if all can


def of(job: Job) -> Ticket:
    """What the address says to which the job came."""
    asked = options.of_recipient(job.recipient)
    return Ticket(copies=asked.copies or 1, sides=asked.sides)


def plan(ticket: Ticket, language: Language | None, head: bytes, *, made: bool, pjl: bool) -> Plan:
    """For a document that begins with `head`; `made`: by our converters; `pjl`: the printer speaks it."""
    by_itself = made and language in POSTSCRIPT
    copies, times = (ticket.copies, 1) if by_itself else (1, ticket.copies)
    own = brings_pjl(head)
    sides = ticket.sides
    if sides is None or (made and language in _DRAWN_FOR_SIDES):
        sides = None  # nothing is left to be said
    start = _start(head, own=own)
    if language in POSTSCRIPT and start is not None:
        if not (words := _postscript(copies, sides)):
            return Plan(times=times)
        comments = _COMMENTS.match(head, start)
        if comments is None:  # a printer knows the language by its first octets
            words = b"%!PS-Adobe-3.0\n" + words
        return Plan(at=comments.end() if comments else start, words=words, copies=copies, times=times)
    if sides is None:
        return Plan(times=times)
    if language is Language.PCL and start is not None:
        reset = head[start : start + 2] == b"\x1bE"  # which would undo what stands before it
        return Plan(at=start + 2 * reset, words=_PCL_SIDES[sides], times=times)
    if pjl and not own and names(language):
        return Plan(pjl=_PJL_SIDES[sides], times=times)
    name = language.value if language is not None else "this"
    why = "the printer's entry does not say that it speaks PJL"
    if own or pjl:
        why = "it brings PJL of its own" if own else "PJL has no name for it"
    return Plan(times=times, missing=f"{sides.value} could not be asked for: {name} has no word for it, and {why}")


def _postscript(copies: int, sides: Sides | None) -> bytes:
    words = ""
    if copies > 1:
        words += _GUARDED % (1, f"dup/NumCopies {copies} put")
    if sides is not None:
        duplex, tumble = sides is not Sides.ONE_SIDED, sides is Sides.SHORT_EDGE
        words += _GUARDED % (2, _BOTH_SIDES % (_boolean(duplex), _boolean(tumble)))
    return words.encode("ascii")


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _start(head: bytes, *, own: bool) -> int | None:
    """Where the document begins, behind PJL of its own and what ends an earlier job; None if that cannot be seen."""
    if not own:
        return len(head) - len(head.lstrip(b"\x04\r\n"))
    entered = _ENTERED.search(head)
    return entered.end() if entered else None
