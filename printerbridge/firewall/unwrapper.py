"""A document without the PJL around it, for what is drawn anew.  Pure, in pieces of any size.

What Windows writes to a file (`.prn`) is PJL, one document in PostScript or another language, and PJL again, often with
Ctrl-D at both ends.  The converters want the document alone.

Security: nothing of the PJL is said again.  A second document behind a UEL is refused: which of two is shown must not
depend on who looks.  What is kept is a line, and a run of Ctrl-D of at most `_ENDS` octets.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from printerbridge.firewall.commands import Command, Dropped
from printerbridge.firewall.sections import BLANK, Exit, Sections, refused

_ENDS: Final = 64


class Unwrapper:
    """Feed it the whole stream; `close` gives the rest.  Both raise `PermanentFailure` for more than one document.

    `dropped`: commands by name.
    """

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._sections = Sections()
        self._begun = self._ended = False
        self._held = bytearray()  # Ctrl-D that may be the last

    def feed(self, octets: bytes) -> bytes:
        return b"".join(self._take(event) for event in self._sections.feed(octets))

    def close(self) -> bytes:
        rest = b"".join(self._take(event) for event in self._sections.close()) + self._end()
        if self._sections.wrapped and not self._begun:
            raise refused("the document holds commands for the printer and nothing to print; send it as PDF")
        return rest

    def _take(self, event: Command | Exit | bytes) -> bytes:
        match event:
            case bytes():
                return self._document(event)
            case Exit():
                return self._end()
            case Dropped():
                self.dropped[event.name] += 1
        return b""

    def _document(self, octets: bytes) -> bytes:
        if not self._begun or self._ended:
            octets = octets.lstrip(BLANK if self._sections.wrapped else b"\0\x04")
            if not octets:
                return b""
        if self._ended:
            raise refused("the document holds several documents behind one another; send each of them for itself")
        self._begun = True
        held, self._held = bytes(self._held), bytearray()
        kept = octets.rstrip(b"\x04")
        ends = len(octets) - len(kept)
        if not kept:
            self._held += held[:_ENDS] + octets[: _ENDS - len(held)]
            return held[_ENDS:]
        self._held += octets[len(kept) : len(kept) + min(ends, _ENDS)]
        return held + kept

    def _end(self) -> bytes:
        self._held.clear()
        self._ended = self._begun
        return b""
