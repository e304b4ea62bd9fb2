r"""Takes the octets of DATA as they come from the network: finds the end, unstuffs dots, judges line ends.

Security: the way in is *smuggling*: a sender who makes one server see the end of the data where another sees text can
hand the second a message that the first never judged.  Here the end is CR LF "." CR LF and nothing else, wherever the
network cuts it, and a CR or LF that stands alone spoils the whole message (RFC 5321 sections 2.3.8 and 4.1.1.4): it is
read to its real end, never kept.  Nothing is held back but at most four octets, so memory does not grow with the
message; work is a few scans at memory speed for each octet, whatever it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from enum import Enum
from io import IncrementalNewlineDecoder

END = b"\r\n.\r\n"
_PREFIXES = tuple(END[:length] for length in range(len(END) - 1, 0, -1))


class Fault(Enum):
    """What is wrong with the line ends of a message."""

    BARE_CR = "a carriage return without a line feed"
    BARE_LF = "a line feed without a carriage return"


class DataSink:
    """One message's way in.  `write` gets its octets unstuffed, each ended line with CRLF, in order.

    What `write` gets is good until it returns.  After a fault, or past `limit` octets, it is not called any more, and
    the sink only looks for the end.
    """

    def __init__(self, write: Callable[[memoryview], None], *, limit: int) -> None:
        self.limit = limit
        self._held = b"\r\n"  # the line before the first one, so that a dot at the very start is one like any other
        self.ended = False
        self.fault: Fault | None = None
        self.octets = 0  # unstuffed, also those that were not written
        self._write = write
        self._virtual = 2  # octets of `_held` that never came

    @property
    def too_large(self) -> bool:
        return self.octets > self.limit

    @property
    def wanted(self) -> int:
        """So many octets more may be its own."""
        return sys.maxsize

    def feed(self, chunk: bytes) -> bytes | None:
        """Take what came.  None while more is wanted; at the end what stands behind it, `b""` if nothing."""
        data = self._held + chunk
        # One octet is found twenty times faster than three, and base64 has no dot: look between the first and the last.
        first = data.find(b".")
        dot = data.find(b"\r\n.", max(first - 2, 0), data.rfind(b".") + 1) if first >= 0 else -1
        end = data.find(END, dot) if dot >= 0 else -1
        view = memoryview(data)
        if end >= 0:
            self.ended = True
            self._take(view[: end + 2], stuffed=dot < end)
            return data[end + len(END) :]
        self._held = next((prefix for prefix in _PREFIXES if data.endswith(prefix)), b"")
        self._take(view[: len(data) - len(self._held)], stuffed=dot >= 0)
        return None

    def _take(self, body: memoryview, *, stuffed: bool) -> None:
        """`body` begins behind whatever was taken before and does not end within CRLF or behind CRLF and a dot."""
        if not body:
            return
        self.fault = self.fault or line_end_fault(body)
        if stuffed:
            body = memoryview(bytes(body).replace(b"\r\n.", b"\r\n"))  # RFC 5321 section 4.5.2
        if self._virtual:
            body, self._virtual = body[self._virtual :], 0
        self.octets += len(body)
        if body and not self.fault and self.octets <= self.limit:
            self._write(body)


def line_end_fault(body: bytes | bytearray | memoryview) -> Fault | None:
    """Whether every CR in `body` stands before an LF and every LF behind a CR; `body` is not cut within a CRLF.

    The standard library's newline decoder tells which kinds of line ends it saw, in one pass of C: two to three times
    as fast as counting CR, LF and CRLF, and nothing to get wrong.
    """
    decoder = IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(str(body, "latin-1"), final=True)
    kinds = decoder.newlines or ()
    if kinds in ((), "\r\n"):
        return None
    return Fault.BARE_CR if "\r" in ((kinds,) if isinstance(kinds, str) else kinds) else Fault.BARE_LF
