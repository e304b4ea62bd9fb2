"""Octets of a message to a multi-line response (RFC 1939 section 3), block by block, whatever the blocks' borders.

Security: the octets are a sender's, the reader is a printer that believes what the server says.  A dot that begins a
line and is not doubled would end the response, and what follows it would be read as the server's own replies.  So the
state is carried over the blocks' borders, and a bare LF counts as a line's end too: many readers split at it.  Nothing
but dots is added, and the last line's CRLF where it is missing.
"""

from __future__ import annotations


class Stuffer:
    """Doubles the dots at the beginnings of lines; `end` gives what closes the response."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\r\n"  # the last two octets: nothing yet is like a fresh line

    def feed(self, block: bytes) -> bytes:
        """The block as it goes over the wire."""
        if not block:
            return block
        stuffed = block.replace(b"\n.", b"\n..")
        if block.startswith(b".") and self._tail.endswith(b"\n"):
            stuffed = b"." + stuffed
        self._tail = (self._tail + block[-2:])[-2:]
        return stuffed

    def end(self) -> bytes:
        """The dot, on a line of its own."""
        return b".\r\n" if self._tail == b"\r\n" else b"\r\n.\r\n"


class Surrogate:
    """The message as a client may see it that did not say UTF8 (RFC 6856 section 2): its header in ASCII.

    Each octet beyond ASCII becomes a dot, so sizes stay true, and an address that had such octets is none any more
    (RFC 6858 section 2.1 wants that: a reply must not go to somebody else).  The body is left alone.
    """

    __slots__ = ("_header",)

    def __init__(self) -> None:
        self._header: _Header | None = _Header()

    def feed(self, block: bytes) -> bytes:
        if self._header is None:
            return block
        body = self._header.end(block)
        if body is None:
            return block.translate(_DOTS)
        self._header = None
        return block[:body].translate(_DOTS) + block[body:]


_DOTS = bytes(range(128)) + b"." * 128


class _Header:
    """Finds the empty line that ends a header, wherever the blocks end."""

    __slots__ = ("_tail",)

    def __init__(self) -> None:
        self._tail = b"\n"  # an empty line may be the first

    def end(self, block: bytes) -> int | None:
        """Where the body begins in the block, None if it does not."""
        seen = self._tail + block
        ends = [at + len(mark) for mark in (b"\n\r\n", b"\n\n") if (at := seen.find(mark)) >= 0]
        if ends:
            return min(ends) - len(self._tail)
        self._tail = seen[-2:]
        return None


class Top:
    """Cuts a message after its header, the empty line and `lines` lines of the body (RFC 1939 section 7, TOP)."""

    __slots__ = ("_header", "_lines", "done")

    def __init__(self, lines: int) -> None:
        self._lines = lines
        self._header: _Header | None = _Header()
        self.done = False

    def feed(self, block: bytes) -> bytes:
        """The part of the block that belongs to the answer; once `done`, nothing more does."""
        start = 0
        if self._header:
            body = self._header.end(block)
            if body is None:
                return block
            self._header, start = None, body
        return block[: self._body_end(block, start)]

    def _body_end(self, block: bytes, start: int) -> int:
        if self._lines == 0:
            self.done = True
            return start
        present = block.count(b"\n", start)
        if present < self._lines:
            self._lines -= present
            return len(block)
        at = start
        for _ in range(self._lines):
            at = block.index(b"\n", at) + 1
        self._lines, self.done = 0, True
        return at
