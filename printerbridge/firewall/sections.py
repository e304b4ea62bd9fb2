"""Where PJL begins and ends in a print stream, and where the documents.  Pure, in pieces of any size.

A stream is sections between Universal Exit Language sequences: lines that begin with `@PJL`, then a document in another
language up to the next UEL.  Read as tolerantly as the most tolerant printer does: `@PJL` in any case, behind blanks,
NUL and Ctrl-D, at the very beginning without a UEL before it; a line ends at LF or at a UEL.

Security: whatever a printer could take for PJL must be seen as PJL here, so a UEL counts wherever it stands, also in
what one language calls binary data (who reads such data refuses it when it ends too early).  Lines are kept to
`LINE_OCTETS`, blanks before a document to as many; commands and UELs are counted, and too many refused, so that a
stream of nothing else cannot busy the bridge.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Final

from mailstore.failure import PermanentFailure
from printerbridge.firewall.commands import LINE_OCTETS, Command, Dropped, Entered, read

UEL: Final = b"\x1b%-12345X"
SPELLINGS: Final = re.compile(
    rb"\x1b[\0-\x20]{0,3}"
    + b"".join(rb"%c[\0-\x20]{0,3}" % sign for sign in b"%-")
    + rb"0{0,5}"
    + b"".join(rb"%c[\0-\x20]{0,3}" % digit for digit in b"12345")
    + rb"(?:\.[0-9]{0,5})?[\0-\x20]{0,3}[Xx]"
)
"""What a careless printer may take for a UEL: of at most `SPELLED` octets.  UELs themselves are told exactly."""
SPELLED: Final = 48
BLANK: Final = b"\0\x04\t\n\x0b\x0c\r "
MOST: Final = 100_000  # commands and UELs of one stream
_BLANKS: Final = re.compile(rb"[\0\x04\t\n\x0b\x0c\r ]*+")
_PJL: Final = b"@PJL"


def refused(text: str) -> PermanentFailure:
    """The firewall's answer to a document that may not pass; `text` ends with what to do."""
    return PermanentFailure("5.7.1", text, reason="document-security-error")


def refuse_uel(pieces: Iterable[bytes]) -> None:
    """For what was drawn anew in a language that has no UEL.  Raises `PermanentFailure`.

    Who draws may keep octets of the document as they are: those of pictures, and of texts that are not shown.
    """
    tail = b""
    for piece in pieces:
        if SPELLINGS.search(piece) or SPELLINGS.search(tail + piece[:SPELLED]):
            raise refused("what was drawn of it holds a UEL, with which commands for printers begin; send a scan of it")
        tail = (tail + piece[-SPELLED:])[-SPELLED:]


class Exit(Enum):
    """A UEL: what went before has ended."""

    UEL = "UEL"


Event = Command | Exit | bytes
"""A PJL command, a UEL, or octets of a document."""


class _In(Enum):
    BEGINNING = 1  # of the stream: blanks may belong to a document
    PJL = 2
    LINE = 3  # which begins with @PJL
    DOCUMENT = 4
    DATA = 5  # of a command, up to the next UEL


class Sections:
    """Takes a stream apart.

    `wrapped` is true once PJL or a UEL was seen.
    """

    def __init__(self) -> None:
        self.wrapped = False
        self._in = _In.BEGINNING
        self._held = b""  # may begin a UEL
        self._line = bytearray()  # or what may become one
        self._cut = False
        self._seen = 0

    def feed(self, octets: bytes) -> Iterator[Event]:
        """What these octets complete, in order.  To be consumed before the next call.  Raises `PermanentFailure`."""
        data = self._held + octets if self._held else octets
        start = 0
        while (stop := _find(data, start)) >= 0:
            yield from self._section(data, start, stop)
            yield from self._leave()
            start = stop + len(UEL)
        end = len(data) - begun(data, start)
        yield from self._section(data, start, end)
        self._held = data[end:]

    def close(self) -> Iterator[Event]:
        """The stream has ended."""
        held, self._held = self._held, b""
        yield from self._section(held, 0, len(held))
        yield from self._finish()

    def _leave(self) -> Iterator[Event]:
        yield from self._finish()
        self._count()
        self.wrapped = True
        self._in = _In.PJL
        yield Exit.UEL

    def _finish(self) -> Iterator[Event]:
        """End a line at a UEL or at the end of the stream."""
        if self._in is _In.LINE:
            yield from self._command()
        elif self._line:  # too short for @PJL
            yield bytes(self._line)
            self._line.clear()

    def _section(self, data: bytes, at: int, end: int) -> Iterator[Event]:
        while at < end:
            match self._in:
                case _In.DOCUMENT:
                    if self._line:
                        yield bytes(self._line)
                        self._line.clear()
                    yield data if at == 0 and end == len(data) else data[at:end]
                    return
                case _In.DATA:
                    return
                case _In.LINE:
                    stop = data.find(b"\n", at, end)
                    self._keep(data[at : min(at + LINE_OCTETS + 1, end if stop < 0 else stop)])
                    if stop < 0:
                        return
                    at = stop + 1
                    yield from self._command()
                case _:
                    at = self._look(data, at, end)

    def _look(self, data: bytes, at: int, end: int) -> int:
        """Between lines: skip blanks, and see whether PJL or a document begins.  Returns where to go on."""
        begun = self._line.lstrip(BLANK)
        if not begun:
            first = _BLANKS.match(data, at, end)
            assert first is not None
            if self._in is _In.BEGINNING:
                self._line += first[0][: LINE_OCTETS - len(self._line)]
            at = first.end()
        taken = data[at : min(end, at + len(_PJL) - len(begun))]
        begun += taken
        if begun.upper() == _PJL:
            self._line[:] = begun
            self._in, self._cut, self.wrapped = _In.LINE, False, True
            return at + len(taken)
        if not _PJL.startswith(begun.upper()):
            self._in = _In.DOCUMENT
            return at
        self._line += taken
        return at + len(taken)

    def _keep(self, octets: bytes) -> None:
        self._cut = self._cut or len(self._line) + len(octets) > LINE_OCTETS
        self._line += octets[: LINE_OCTETS - len(self._line)]

    def _command(self) -> Iterator[Event]:
        self._count()
        command = read(bytes(self._line), whole=not self._cut)
        self._line.clear()
        self._in = _In.PJL
        if isinstance(command, Entered):
            self._in = _In.DOCUMENT
        elif isinstance(command, Dropped) and command.data:
            self._in = _In.DATA
        yield command

    def _count(self) -> None:
        self._seen += 1
        if self._seen > MOST:
            raise refused(f"the document holds more than {MOST} commands for the printer; send it as PDF")


def _find(data: bytes, at: int) -> int:
    # A single octet is found many times faster than nine, and most documents hold no ESC at all.
    escape = data.find(b"\x1b", at)
    return data.find(UEL, escape) if escape >= 0 else -1


def begun(data: bytes, start: int = 0) -> int:
    """How many octets at the end of `data` may begin a UEL."""
    escape = data.rfind(UEL[:1], max(start, len(data) - len(UEL) + 1))
    return len(data) - escape if escape >= 0 and UEL.startswith(data[escape:]) else 0
