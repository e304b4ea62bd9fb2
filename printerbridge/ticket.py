"""How a job is to be printed, said in each language: the parts of a ticket that a printer does.  No I/O.

Copies: PostScript that we made is told at its start how many it prints; every other document is sent so many times,
which is right in any language and on any printer.  Sides, paper, tray and colour are asked for at the start of
PostScript and PCL, in each page of PCL XL and PWG raster that we made (`printerbridge.converters`), and by PJL for what
has no words of its own, where the printer speaks it.  A tray with a number is asked for by PJL first, which alone has a
number for it that means the same on every model.  What arranges pages is done when a document is drawn.

Security: nothing of what somebody asked for goes out but numbers and words of tables.  Documents are looked at in their
first octets only, and only to find the place for our words; a wrong place can spoil the sender's own job.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from mailstore import ticket_words
from mailstore.directory.records import Language
from mailstore.ticket import ColorMode, Sides, Ticket
from printerbridge import paper
from printerbridge.pjl import brings_pjl, names

POSTSCRIPT: Final = frozenset({Language.POSTSCRIPT, Language.POSTSCRIPT2})
_DRAWN_AS_ASKED: Final = frozenset({Language.PCLXL, Language.PWG})  # by `printerbridge.converters`

# Level 1 has no dictionary brackets and level 2 may lack the feature: neither may keep the document from being printed.
_GUARDED: Final = "/setpagedevice where{pop mark{2 dict %s setpagedevice}stopped cleartomark}if\n"
_BOTH_SIDES: Final = "dup/Duplex %s put dup/Tumble %s put"
_ENTERED: Final = re.compile(rb"@PJL[ \t]+ENTER[ \t]+LANGUAGE[^\n]*\n[\x04\r\n]*", re.IGNORECASE)
_COMMENTS: Final = re.compile(rb"(?:%[^\r\n]*(?:\r\n|\r|\n))+")
_PCL_SIDES: Final = {Sides.ONE_SIDED: "&l0S", Sides.LONG_EDGE: "&l1S", Sides.SHORT_EDGE: "&l2S"}
_PJL_SIDES: Final = {
    Sides.ONE_SIDED: ("SET DUPLEX = OFF",),
    Sides.LONG_EDGE: ("SET DUPLEX = ON", "SET BINDING = LONGEDGE"),
    Sides.SHORT_EDGE: ("SET DUPLEX = ON", "SET BINDING = SHORTEDGE"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What becomes of one document."""

    at: int = 0  # before its octet with this number, from 0, `words` stand
    words: bytes = b""
    copies: int = 1  # that it prints by itself when it is sent once
    times: int = 1  # that it is sent
    pjl: tuple[str, ...] = ()  # to be said before ENTER LANGUAGE
    missing: str = ""  # a sentence on what cannot be asked for, "" if all can


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """One thing that was asked for, in the words of each language that has any."""

    shown: str
    postscript: str = ""
    pcl: str = ""  # an escape sequence without its ESC
    pjl: tuple[str, ...] = ()
    pjl_first: bool = False  # before the language's own words
    drawn: bool = False  # a document that we made has it, whatever its language
    silent: bool = False  # the printer does it anyhow, unless somebody set it otherwise


def plan(ticket: Ticket, language: Language | None, head: bytes, *, made: bool, pjl: bool) -> Plan:
    """For a document that begins with `head`.

    `made`: by our converters, for this ticket; `pjl`: the printer speaks it.
    """
    by_itself = made and language in POSTSCRIPT
    asked = ticket.copies or 1
    copies, times = (asked, 1) if by_itself else (1, asked)
    own = brings_pjl(head)
    start = _start(head, own=own)
    inside = language if start is not None else None
    dressed = pjl and not own and names(language)
    postscript, pcl, lines, missing = [], [], list[str](), []
    if copies > 1:
        postscript.append(f"dup/NumCopies {copies} put")
    for wish in _wishes(ticket):
        if made and language in _DRAWN_AS_ASKED:
            continue
        if dressed and wish.pjl and wish.pjl_first:
            lines += wish.pjl
        elif inside in POSTSCRIPT and wish.postscript:
            postscript.append(wish.postscript)
        elif inside is Language.PCL and wish.pcl:
            pcl.append(wish.pcl)
        elif dressed and wish.pjl:
            lines += wish.pjl
        elif not (wish.silent or (made and wish.drawn)):
            missing.append(wish.shown)
    at, words = _words(head, start or 0, postscript, pcl)
    sentences = [_why(missing, language, own=own, pjl=pjl)] if missing else []
    if ticket.rearranges and not made:
        sentences.append("the document goes as it came, so its pages could not be chosen, arranged or scaled")
    return Plan(at=at, words=words, copies=copies, times=times, pjl=tuple(lines), missing="; ".join(sentences))


def _wishes(ticket: Ticket) -> list[_Wish]:
    wishes = []
    if (sides := ticket.sides) is not None:
        duplex, tumble = _boolean(sides is not Sides.ONE_SIDED), _boolean(sides is Sides.SHORT_EDGE)
        postscript = _BOTH_SIDES % (duplex, tumble)
        wishes.append(_Wish(shown=sides.value, postscript=postscript, pcl=_PCL_SIDES[sides], pjl=_PJL_SIDES[sides]))
    if ticket.media:
        wishes.append(_media(ticket.media))
    if ticket.media_source:
        wishes.append(_source(ticket.media_source))
    if ticket.color is ColorMode.MONOCHROME:
        gray = "dup/ProcessColorModel/DeviceGray put"
        pjl = ("SET RENDERMODE = GRAYSCALE",)
        wishes.append(_Wish(shown=ticket.color.value, postscript=gray, pcl="&b1M", pjl=pjl, drawn=True))
    elif ticket.color is ColorMode.COLOR:
        wishes.append(_Wish(shown=ticket.color.value, pjl=("SET RENDERMODE = COLOR",), silent=True))
    return wishes


def _media(name: str) -> _Wish:
    width, height = ticket_words.size(name)
    number, word = paper.PCL_PAPER.get(name), paper.PJL_PAPER.get(name)
    return _Wish(
        shown=name,
        postscript=f"dup/PageSize[{width:.0f} {height:.0f}]put",
        pcl=f"&l{number}A" if number else "",
        pjl=(f"SET PAPER = {word}",) if word else (),
        drawn=True,
    )


def _source(name: str) -> _Wish:
    number = paper.PCL_SOURCES.get(name)
    return _Wish(
        shown=name,
        postscript=paper.POSTSCRIPT_SOURCES.get(name, ""),
        pcl=f"&l{number}H" if number else "",
        pjl=paper.PJL_SOURCES.get(name, ()),
        pjl_first=name.startswith("tray-"),
    )


def _words(head: bytes, start: int, postscript: list[str], pcl: list[str]) -> tuple[int, bytes]:
    """Where what is said inside of a document stands, and its octets."""
    if postscript:
        words = "".join(_GUARDED % wish for wish in postscript)
        comments = _COMMENTS.match(head, start)
        if comments is None:  # a printer knows the language by its first octets
            return start, b"%!PS-Adobe-3.0\n" + words.encode("ascii")
        return comments.end(), words.encode("ascii")
    if pcl:
        reset = head[start : start + 2] == b"\x1bE"  # which would undo what stands before it
        return start + 2 * reset, "".join(f"\x1b{wish}" for wish in pcl).encode("ascii")
    return 0, b""


def _why(missing: list[str], language: Language | None, *, own: bool, pjl: bool) -> str:
    name = language.value if language is not None else "this"
    why = "the printer's entry does not say that it speaks PJL"
    if own or pjl:
        why = "it brings PJL of its own" if own else "PJL has no name for it"
    return f"{' and '.join(missing)} could not be asked for: {name} has no word for it, and {why}"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _start(head: bytes, *, own: bool) -> int | None:
    """Where the document begins, behind PJL of its own and what ends an earlier job; None if that cannot be seen."""
    if not own:
        return len(head) - len(head.lstrip(b"\x04\r\n"))
    entered = _ENTERED.search(head)
    return entered.end() if entered else None
