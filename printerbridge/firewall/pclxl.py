"""PCL XL: the tags of a stream are walked.  Pure, in pieces of any size.

A stream is a line of text that says in which order octets stand, then tags: values, attributes that name them,
operators, and data behind their length (HP PCL XL Feature Reference Protocol Class 2.0, chapter 3 and appendix).

Security: a tag that is not known is refused, since nobody could tell where its octets end; so are PassThrough, which
takes PCL 5, and streams that are defined to be run later.  Data pass as they come, and a document that ends within them
(or has a UEL there) is refused.  Copies are cut to what the sender may ask for.  One tag waits here at most.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from typing import Final

from printerbridge.firewall.sections import refused

_HEADER: Final = re.compile(rb"([()]) HP-PCL XL;[^\n\x1b]{1,500}+\n")
_HEADER_OCTETS: Final = 520
_SIZES: Final = {0xC0: 1, 0xC1: 2, 0xC2: 4, 0xC3: 2, 0xC4: 4, 0xC5: 4}
_AHEAD: Final = 8  # octets that decide on a value whether it is PageCopies


def _tags(*, final: bool) -> re.Pattern[bytes]:
    """As many tags as possible that pass; values only where it is seen that they are no PageCopies (attribute 49)."""
    parts = [rb"[\0\t-\r A-DG-IO-U\x60-\xb9]++", rb"\xf8[^\x31]", rb"\xd1.{4}", rb"\xd3.{4}"]
    for kind, size in _SIZES.items():
        ahead = b"" if final else b"(?=.{%d})" % (size + 2)
        parts.append(b"\\x%02x%b(?!.{%d}\\xf8\\x31).{%d}" % (kind, ahead, size, size))
        for more, times in ((0x10, 2), (0x20, 4)):  # a pair, a box
            parts.append(b"\\x%02x.{%d}" % (kind + more, size * times))
    parts.append(rb"\xf9(?!\x31\0|\0\x31)..")
    return re.compile(b"(?:" + b"|".join(parts) + b")*+", re.DOTALL)


_TAGS: Final = {final: _tags(final=final) for final in (False, True)}
_COPIES: Final = re.compile(rb"(?:\xc0(.)|\xc1(..))\xf8\x31", re.DOTALL)
_REFUSED: Final = frozenset({0xBF, *range(0x5B, 0x60)})
_LONGEST: Final = 24  # octets of a tag: a box of four words, with what is looked at behind it


class PclXl:
    """Looks through one document; copies beyond `copies` count as "COPIES" in `dropped`."""

    def __init__(self, dropped: Counter[str], copies: int) -> None:
        self._dropped = dropped
        self._copies = copies
        self._order = ""  # of `struct`
        self._held = b""
        self._left = 0
        self._final = False

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets if self._held else octets
        at = 0
        if not self._order:
            at = self._header(data)
            if not at:
                self._held = data
                return b""
        made: list[bytes] = []
        kept, tags = 0, _TAGS[self._final]
        while at < len(data):
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            found = tags.match(data, at)
            assert found is not None
            at = found.end()
            if at + 4 <= len(data) and data[at] == 0xC8 and data[at + 1] == 0xC1:  # a text, and most of what stops here
                at += 4 + self._number(data[at + 2 : at + 4])
                if at > len(data):
                    self._left, at = at - len(data), len(data)
                continue
            if at == len(data):
                break
            words, after = self._tag(data, at)
            if after == at:
                break
            if words:
                made += (data[kept:at], words)
                kept = after
            at = after
        self._held = data[at:]
        made.append(data[kept:at])
        return b"".join(made)

    def close(self) -> bytes:
        """Raises `PermanentFailure` if the document ends within data or a tag."""
        self._final = True
        held, self._held = self._held, b""
        rest = self.feed(held)
        if self._left or self._held:
            raise refused("its PCL XL ends, or has a UEL, in the middle of binary data; send it as PDF")
        return rest

    def _header(self, data: bytes) -> int:
        found = _HEADER.match(data)
        if found is not None:
            self._order = "<" if found[1] == b")" else ">"
            return found.end()
        if self._final or len(data) >= _HEADER_OCTETS:
            raise refused("its PCL XL has no beginning that is known here; send it as PDF")
        return 0

    def _tag(self, data: bytes, at: int) -> tuple[bytes, int]:
        """What stands there instead of the tag at `at` (b"": itself), and where it ends; `at` if more is needed."""
        kind = data[at]
        if kind in _REFUSED:
            raise refused("its PCL XL holds another language or a stream to be run later; send it as PDF")
        if found := _COPIES.match(data, at):
            return self._page_copies(data, at, found.end())
        if kind in (0xFA, 0xFB):
            after = at + (5 if kind == 0xFA else 2)
            if after <= len(data):
                self._left = self._number(data[at + 1 : after])
                return b"", after
        elif 0xC8 <= kind <= 0xCD and data[at + 1 : at + 2] in (b"", b"\xc0", b"\xc1"):
            after = at + 2 + (1 if data[at + 1 : at + 2] == b"\xc0" else 2)
            if after <= len(data):
                self._left = self._number(data[at + 2 : after]) * _SIZES[kind - 8]
                return b"", after
        elif self._final or len(data) - at >= _LONGEST:
            raise refused("its PCL XL holds something that is not known here; send it as PDF")
        return b"", at

    def _number(self, octets: bytes) -> int:
        return int.from_bytes(octets, "little" if self._order == "<" else "big")

    def _page_copies(self, data: bytes, at: int, after: int) -> tuple[bytes, int]:
        if self._number(data[at + 1 : after - 2]) <= self._copies:
            return b"", after
        self._dropped["COPIES"] += 1
        if data[at] == 0xC0:
            return struct.pack("BB", 0xC0, min(self._copies, 255)) + b"\xf8\x31", after
        return b"\xc1" + struct.pack(f"{self._order}H", self._copies) + b"\xf8\x31", after
