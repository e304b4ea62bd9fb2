"""Takes the octets of a message that comes by BDAT (RFC 3030): counts them, and judges line ends where they count.

Security: a chunk ends where its count says and nowhere else, so nothing in it can be read as a command; a chunk that is
refused is counted like any other.  In text, a CR or LF that stands alone spoils the whole message as it does under
DATA, wherever chunks and the network cut it.  One octet is held back at most.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from appliance.smtp.datasink import Fault, line_end_fault

_CR: Final = 13
_SIZE: Final = re.compile(r"([0-9]{1,20})( +LAST)?", re.IGNORECASE | re.ASCII)


class ChunkSink:
    """One message's way in, chunk after chunk.  `write` gets its octets in order, never ending within a CRLF.

    After a fault, or past `limit` octets, `write` is not called any more.  Text whose last line is not ended gets its
    CRLF here, as POP3 needs it (RFC 1939 section 3) and DKIM counts it (RFC 6376 section 3.4.3).
    """

    def __init__(self, write: Callable[[memoryview], None], *, limit: int, binary: bool) -> None:
        self.limit = limit
        self.fault: Fault | None = None
        self.octets = 0  # also those that were not written
        self._write = write
        self._binary = binary
        self._held = b""  # a CR whose LF may come
        self._tail = b""  # the last octets, up to two

    @property
    def too_large(self) -> bool:
        return self.octets > self.limit

    def feed(self, octets: memoryview) -> None:
        if not octets:
            return
        body = memoryview(self._held + octets) if self._held else octets
        self._held = b"\r" if body[-1] == _CR else b""
        self._take(body[:-1] if self._held else body)

    def end(self) -> None:
        """The last chunk has come whole."""
        held, self._held = self._held, b""
        self._take(memoryview(held))
        if not self._binary and self.octets and self._tail != b"\r\n":
            self._take(memoryview(b"\r\n"))

    def _take(self, body: memoryview) -> None:
        if not body:
            return
        self._tail = (self._tail + body[-2:])[-2:]
        if not self._binary:
            self.fault = self.fault or line_end_fault(body)
        self.octets += len(body)
        if not self.fault and self.octets <= self.limit:
            self._write(body)


class Chunk:
    """One chunk of `size` octets, on its way to `sink`, or to nowhere if that is None."""

    def __init__(self, size: int, *, last: bool) -> None:
        self.size = size
        self.last = last
        self.sink: ChunkSink | None = None
        self._left = size

    @property
    def octets(self) -> int:
        """Of the message so far, or of a chunk that goes nowhere."""
        return self.sink.octets if self.sink else self.size - self._left

    @property
    def wanted(self) -> int:
        """So many octets more are its own."""
        return self._left

    def feed(self, data: bytes) -> bytes | None:
        """Take what came.  None while more is wanted; at the end what stands behind it, `b""` if nothing."""
        mine = memoryview(data)[: self._left]
        self._left -= len(mine)
        if self.sink:
            self.sink.feed(mine)
            if self.last and not self._left:
                self.sink.end()
        return None if self._left else data[len(mine) :]


def chunk_of(argument: str) -> Chunk | None:
    """The argument of BDAT (RFC 3030 section 2); None if nobody can tell where the chunk ends."""
    read = _SIZE.fullmatch(argument)
    return Chunk(int(read[1]), last=bool(read[2])) if read else None
