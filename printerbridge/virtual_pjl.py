"""The virtual printer's PJL: where documents begin and end in a job.  No I/O.

PJL (HP's Printer Job Language) stands around documents: the Universal Exit Language sequence opens a section of
`@PJL` lines, `@PJL ENTER LANGUAGE = X` starts a document, the next UEL ends it.  What the printer answers:
`printerbridge.virtual_panel`.

Security: reads strangers' octets.  A line is kept to `LINE_OCTETS` and cut beyond, whatever its length; nothing is
looked up, run or stored by what a line says: no file system, no settings, no firmware.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

UEL: Final = b"\x1b%-12345X"
LINE_OCTETS: Final = 1024
_BLANK: Final = b" \t\r\n\x04\x0c"


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One `@PJL` line without that word: `verb` in capitals, the rest as sent."""

    verb: str
    rest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """Octets `start` to `end` of the connection, in the language that PJL named ("" if it did not)."""

    start: int
    end: int
    language: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Display:
    """What the panel shows from now on; the first digits of `code` are PJL's status class (41: load paper)."""

    code: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Broken:
    """The running job ends before its end: `result` is PJL's word for why."""

    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Fares:
    """The printer fares so from now on: a `printer-state-reasons` keyword, "" if it is well again."""

    condition: str


Found = Command | Document | Fares | Broken
"""What a connection brings, or meets."""

READY: Final = Display(code=10001, text="READY")
LOAD_PAPER: Final = Display(code=41213, text="LOAD PAPER")
CANCELING: Final = Display(code=10007, text="CANCELING JOB")


class JobStream:
    """Finds PJL lines and documents in a stream fed in pieces of any size; holds no document octets.

    Whitespace and Ctrl-D alone are no document.
    """

    __slots__ = ("_blank", "_document", "_in_pjl", "_language", "_line", "_line_at", "_matched", "_position")

    def __init__(self) -> None:
        self._position = 0  # octets of earlier pieces
        self._document = 0  # where the running document began
        self._language = ""
        self._blank = True  # the running document is whitespace so far
        self._in_pjl = False
        self._line = bytearray()  # the running PJL line
        self._line_at = 0  # where it began
        self._matched = 0  # octets at the end of the last piece that may begin a UEL

    @property
    def between(self) -> bool:
        """Whether no document is open."""
        return (self._in_pjl or self._blank) and not self._matched

    def feed(self, data: bytes | bytearray | memoryview) -> list[Command | Document]:
        """Take octets; return what they completed, in order."""
        found: list[Command | Document] = []
        piece = data if isinstance(data, bytes | bytearray) else bytes(data)
        at = 0
        while at < len(piece):
            at = self._pjl(piece, at, found) if self._in_pjl else self._language_data(piece, at, found)
        self._position += len(piece)
        return found

    def end(self) -> list[Command | Document]:
        """The connection has ended: return what was still open."""
        found: list[Command | Document] = []
        if self._in_pjl and self._matched:
            self._enter_document(self._position - self._matched, "")
            self._blank = False
        elif self._in_pjl:
            self._finish_line(found, self._position)
        if not self._in_pjl:
            self._blank = self._blank and not self._matched
            self._finish_document(self._position, found)
        return found

    def _language_data(self, piece: bytes | bytearray, at: int, found: list[Command | Document]) -> int:
        """Look for the UEL from `at`; return where to go on."""
        if self._matched:
            at, matched = self._match_uel(piece, at)
            if matched == len(UEL):
                self._open_pjl(self._position + at - len(UEL), found)
                return at
            if self._matched:
                return at
            self._blank = False
        # A single octet is found thirty times faster than nine, and most documents hold no ESC at all.
        escape = piece.find(UEL[:1], at)
        index = piece.find(UEL, escape) if escape >= 0 else -1
        stop = index if index >= 0 else _possible_uel(piece, at)
        if self._blank:
            self._blank = not piece[at:stop].strip(_BLANK)
        if index >= 0:
            self._open_pjl(self._position + index, found)
            return index + len(UEL)
        self._matched = len(piece) - stop
        return len(piece)

    def _match_uel(self, piece: bytes | bytearray, at: int) -> tuple[int, int]:
        """Go on matching a UEL; return where it stopped and how many octets matched.  A mismatch forgets them."""
        while at < len(piece) and self._matched < len(UEL):
            if piece[at] != UEL[self._matched]:
                matched, self._matched = self._matched, 0
                return at, matched
            self._matched += 1
            at += 1
        matched = self._matched
        if matched == len(UEL):
            self._matched = 0
        return at, matched

    def _open_pjl(self, at: int, found: list[Command | Document]) -> None:
        self._finish_document(at, found)
        self._in_pjl = True

    def _finish_document(self, at: int, found: list[Command | Document]) -> None:
        if not self._blank:
            found.append(Document(start=self._document, end=at, language=self._language))
        self._matched = 0

    def _pjl(self, piece: bytes | bytearray, at: int, found: list[Command | Document]) -> int:
        """Take one line, or what there is of it, from `at`; return where to go on."""
        if self._matched or (not self._line and piece[at] == UEL[0]):
            at, matched = self._match_uel(piece, at)
            if matched < len(UEL) and not self._matched:
                # An ESC that is no UEL begins a document, as PCL does.
                self._enter_document(self._position + at - matched, "")
                self._blank = False
            return at
        if not self._line:
            self._line_at = self._position + at
        ends = [index for index in (piece.find(b"\n", at), piece.find(UEL[:1], at)) if index >= 0]
        stop = min(ends, default=len(piece))
        self._line += piece[at : min(stop, at + LINE_OCTETS - len(self._line))]
        if not b"@PJL".startswith(self._line.lstrip()[:4]):
            blank = not self._line.strip(_BLANK)
            self._enter_document(self._line_at, "")
            self._blank = blank
            return at
        if not ends:
            return len(piece)
        after = stop + 1 if piece[stop] == 0x0A else stop
        self._finish_line(found, self._position + after)
        return after

    def _finish_line(self, found: list[Command | Document], after: int) -> None:
        """Judge the line held; `after` is where a document would begin."""
        words = self._line.decode("latin-1").strip().split(None, 2)
        self._line.clear()
        if len(words) < 2:
            return
        verb, rest = words[1].upper(), words[2] if len(words) > 2 else ""
        if verb == "ENTER":
            match = _LANGUAGE.match(rest)
            self._enter_document(after, match[1].upper() if match else "")
            return
        found.append(Command(verb=verb, rest=rest))

    def _enter_document(self, at: int, language: str) -> None:
        self._in_pjl = False
        self._language = language
        self._document = at
        self._blank = True
        self._matched = 0
        self._line.clear()


def _possible_uel(piece: bytes | bytearray, at: int) -> int:
    """Where the beginning of a UEL stands at the end of `piece`, else its length."""
    escape = piece.rfind(UEL[:1], max(at, len(piece) - len(UEL) + 1))
    return escape if escape >= 0 and UEL.startswith(piece[escape:]) else len(piece)


_LANGUAGE: Final = re.compile(r"LANGUAGE\s*=\s*([A-Za-z0-9]+)", re.IGNORECASE)


def wants_answer(command: Command) -> bool:
    """Whether the sender will wait for what this command says after the document."""
    return command.verb in ("INFO", "ECHO", "INQUIRE", "DINQUIRE")


def wants_job_status(command: Command) -> bool:
    """Whether the sender asks to be told when jobs end."""
    return command.verb == "USTATUS" and re.fullmatch(r"\s*JOB\s*=\s*ON\s*", command.rest, re.IGNORECASE) is not None
