"""Content-Transfer-Encoding undone while the octets stream by (RFC 2045 section 6).

Each decoder takes octets cut anywhere and gives back what is sure; `end` gives the rest and, if the encoding was
broken, a sentence on how.  What comes out does not depend on how the octets were cut.

Security: reads strangers' octets.  What a decoder keeps between calls is bounded: three characters of base64, one line
of quoted-printable, cut where it is longer than `_LINE`.  The patterns cannot backtrack.
"""

from __future__ import annotations

import binascii
import re
from typing import Protocol

import pybase64

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_JUNK = bytes(set(range(256)) - set(_ALPHABET) - {ord("=")})
_LINE = 1 << 16


class Decoder(Protocol):
    """One part's transfer encoding."""

    def decode(self, octets: bytes) -> bytes:
        """What these octets, after those before them, surely stand for."""

    def end(self) -> tuple[bytes, str]:
        """The rest, and what is wrong with the whole ("" if nothing): then the part must not be used."""


class Identity:
    """7bit, 8bit and binary: the octets are the content."""

    def decode(self, octets: bytes) -> bytes:
        return octets

    def end(self) -> tuple[bytes, str]:
        return b"", ""


class Base64:
    """RFC 2045 section 6.8: characters outside the alphabet are passed over, "=" ends the data."""

    def __init__(self) -> None:
        self._carry = b""  # up to three characters of an unfinished group
        self._whole_lines = True  # so far each line held whole groups, so it may be decoded as it stands
        self._padding = 0
        self._beyond = False  # there was data behind the padding

    def decode(self, octets: bytes) -> bytes:
        if not self._whole_lines or self._padding:
            return self._by_character(octets)
        # Finish the line that had begun, decode the whole lines in one go, begin the next line; look closely only at
        # the line that the padding stands in, and at what is behind it.
        equals = octets.find(b"=")
        start = octets.find(b"\n") + 1 if self._carry else 0
        stop = octets.rfind(b"\n", 0, equals if equals >= 0 else len(octets)) + 1
        if stop <= start:
            return self._by_character(octets)
        finished = self._by_character(octets[:start])
        try:
            self._whole_lines = not self._carry
            lines = pybase64.b64decode(memoryview(octets)[start:stop], validate=False) if self._whole_lines else b""
        except binascii.Error:
            self._whole_lines = False
        if not self._whole_lines:
            return finished + self._by_character(octets[start:])
        return b"".join((finished, lines, self._by_character(octets[stop:])))

    def _by_character(self, octets: bytes) -> bytes:
        characters = octets.translate(None, _JUNK)
        if self._padding:
            self._more_padding(characters)
            return b""
        characters = self._carry + characters
        equals = characters.find(b"=")
        data = characters if equals < 0 else characters[:equals]
        whole = len(data) & ~3
        self._carry = data[whole:]
        if equals >= 0:
            self._more_padding(characters[equals:])
        return pybase64.b64decode(data[:whole], validate=False)

    def _more_padding(self, characters: bytes) -> None:
        self._padding += characters.count(b"=")
        self._beyond = self._beyond or bool(characters.strip(b"="))

    def end(self) -> tuple[bytes, str]:
        if self._beyond:
            return b"", "its base64 goes on after its padding"
        if not self._carry:
            return b"", ""
        if len(self._carry) == 1 or not self._padding:
            return b"", "its base64 is cut short"
        return pybase64.b64decode(self._carry + b"=" * (4 - len(self._carry))), ""


_TRAILING_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")


class QuotedPrintable:
    """RFC 2045 section 6.7, line by line; what is no valid escape stays as it is."""

    def __init__(self) -> None:
        self._line = b""  # what has come of a line that has not ended

    def decode(self, octets: bytes) -> bytes:
        data = self._line + octets
        cut = data.rfind(b"\n") + 1
        if not cut and len(data) > _LINE:
            cut = _safe_cut(data)
        self._line = data[cut:]
        return _unquote(data[:cut])

    def end(self) -> tuple[bytes, str]:
        rest, self._line = self._line, b""
        return _unquote(rest.rstrip(b" \t")), ""


def _safe_cut(data: bytes) -> int:
    """Where an endless line may be cut: not inside an escape, nor before blanks that may prove to be trailing."""
    cut = len(data.rstrip(b" \t\r")) or len(data)
    escape = data.rfind(b"=", max(0, cut - 2), cut)
    return (len(data[: escape + 1].rstrip(b"=")) or cut) if escape >= 0 else cut


def _unquote(data: bytes) -> bytes:
    if b" \r\n" in data or b"\t\r\n" in data or b" \n" in data or b"\t\n" in data:
        data = _TRAILING_BLANKS.sub(b"", data)
    return binascii.a2b_qp(data)


_DECODERS: dict[str, type[Decoder]] = {
    "": Identity,
    "7bit": Identity,
    "8bit": Identity,
    "binary": Identity,
    "base64": Base64,
    "quoted-printable": QuotedPrintable,
}


def decoder(encoding: str) -> Decoder | None:
    """A new decoder for a Content-Transfer-Encoding in lower case, or None if nobody registered such a one."""
    factory = _DECODERS.get(encoding)
    return factory() if factory else None
