"""A BINARYMIME message made into one of lines, as POP3 and 8-bit transports carry it (RFC 3030, RFC 6856 section 2.1).

Parts that are labelled binary become base64.  Multiparts and messages must not (RFC 2045 section 6.4): they become
8bit, and what is in them is looked at by itself.  All else stays octet for octet, and must consist of lines as it is.

Security: the message is a stranger's, and what comes out goes to a client in a protocol of lines: a CR or an LF that
stands alone, or a NUL, is refused wherever it would not be encoded.  Kept between calls are at most 57 octets beside
what `mailstore.mime` keeps and bounds; what comes out is at most 78/57 of what went in, and a label for each header.
"""

from __future__ import annotations

from io import IncrementalNewlineDecoder
from struct import unpack

import pybase64

from mailstore import header
from mailstore.failure import PermanentFailure
from mailstore.mime import Between, Data, Event, Head, Limits, Walker, everything

_LINE = 57  # octets, which make a line of 76 characters
_AT_ONCE = 1024  # lines, so that they stay in the processor's cache


class Reencoder:
    """One message, cut anywhere; what comes out does not depend on how it was cut, and ends with CRLF.

    `feed` and `end` raise `PermanentFailure`: "5.6.0" where what is not labelled binary is not made of lines, and what
    `mime.Walker` raises.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self._walker = Walker(everything, limits, verbatim=True)
        self._encoding = False  # the leaf that is open becomes base64
        self._waiting = b""  # of it, up to a line's octets: its last line has no CRLF
        self._return = False  # a CR came out last
        self._last = b""  # octet that came out

    def feed(self, octets: bytes | bytearray | memoryview) -> bytes:
        """What these octets, after those before them, surely become.  The buffer may be reused after the call."""
        return self._told(self._walker.feed(octets))

    def end(self) -> bytes:
        """The rest.  An empty message stays empty."""
        rest = self._told(self._walker.close())
        if self._return:
            raise _not_lines()
        return rest + b"\r\n" if self._last not in (b"", b"\n") else rest

    def _told(self, events: list[Event]) -> bytes:
        out: list[bytes] = []
        for event in events:
            if isinstance(event, Head):
                # The walker thinks a CRLF before the message.
                octets = event.octets if self._last else event.octets[2:]
                binary = event.encoding == "binary"
                composite = event.media_type.startswith(("multipart/", "message/"))
                out.append(self._lines(_labelled(octets, "8bit" if composite else "base64") if binary else octets))
                self._encoding = binary and not composite
            elif isinstance(event, Data):
                out.append(self._encoded(event.octets) if self._encoding else self._lines(event.octets))
            elif isinstance(event, Between):
                out.append(self._lines(event.octets))
            elif self._waiting:
                out.append(pybase64.b64encode(self._waiting))
                self._waiting = b""
            self._last = out[-1][-1:] or self._last if out else self._last
        return b"".join(out)

    def _encoded(self, octets: bytes) -> bytes:
        """Whole lines of base64, one line's octets being kept back."""
        octets = self._waiting + octets
        whole = (len(octets) - 1) // _LINE * _LINE
        out: list[bytes] = []
        for start in range(0, whole, _LINE * _AT_ONCE):
            characters = pybase64.b64encode(octets[start : min(whole, start + _LINE * _AT_ONCE)])
            out += (b"\r\n".join(unpack("76s" * (len(characters) // 76), characters)), b"\r\n")
        self._waiting = octets[whole:]
        return b"".join(out)

    def _lines(self, octets: bytes) -> bytes:
        """`octets`, which continue what came out last.  Raises if that is not made of lines."""
        seen = b"\r" + octets if self._return else octets
        self._return = seen.endswith(b"\r")
        decoder = IncrementalNewlineDecoder(None, translate=False)
        decoder.decode((seen[:-1] if self._return else seen).decode("latin-1"), final=True)
        if decoder.newlines not in (None, "\r\n") or b"\0" in seen:
            raise _not_lines()
        return octets


def _labelled(octets: bytes, encoding: str) -> bytes:
    """A header with one Content-Transfer-Encoding, in the place of the first."""
    kept, copied = bytearray(), 0
    for field in header.find(octets, "content-transfer-encoding"):
        kept += octets[copied : field.start]
        if not copied:
            kept += f"Content-Transfer-Encoding: {encoding}".encode()
            kept += b"\r\n" if octets.endswith(b"\r\n", field.start, field.end) else b""
        copied = field.end
    return bytes(kept) + octets[copied:]


def _not_lines() -> PermanentFailure:
    return PermanentFailure(
        "5.6.0", "the message has a NUL, or a CR or LF that stands alone, in what is not labelled binary"
    )
