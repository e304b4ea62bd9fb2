"""PWG raster (PWG 5102.4): each page's header is looked at, and its lines are walked.  Pure, in pieces of any size.

Behind a header stand lines: how often the line repeats, then runs of pixels until it is full, either one pixel that is
repeated up to 128 times, or up to 128 pixels (section 4.4).

Security: raster has no commands; what a sender can do with it is ask for copies, on each page anew, which are cut to
what he may, and for a page of a size that no printer has.  What is not exactly so many lines of so many pixels is
refused: printers would disagree where the next page begins, and what it asks for.  A UEL in the pixels ends the
document, so it is refused too.  A header or a run waits here at most.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final

from printerbridge.firewall.sections import BLANK, refused

_SYNC: Final = b"RaS2"
_MARK: Final = b"PwgRaster\0"
_HEADER: Final = 1796
_COPIES_AT: Final = 340
_WIDTH_AT: Final = 372
_SIDE: Final = 200_000  # pixels: two metres at 2400 dpi


class Raster:
    """Looks through one document; copies beyond `copies` count as "COPIES" in `dropped`."""

    def __init__(self, dropped: Counter[str], copies: int) -> None:
        self._dropped = dropped
        self._copies = copies
        self._held = b""
        self._begun = False
        self._lines = 0  # of the page that have not begun
        self._left = 0  # units of the line that begun
        self._units = 0  # of a line: pixels, or octets where several pixels share one
        self._size = 0  # octets of a unit

    def feed(self, octets: bytes) -> bytes:
        data = self._held + octets if self._held else octets
        made: list[bytes] = []
        at = kept = 0
        if not self._begun and len(data) >= len(_SYNC):
            self._begun = True
            at = len(_SYNC)
        while self._begun:
            at = self._walk(data, at)
            if self._lines or self._left or len(data) - at < _HEADER:
                break
            header = data[at : at + _HEADER]
            if header != (capped := self._header(header)):
                made += (data[kept:at], capped)
                kept = at + _HEADER
            at += _HEADER
        self._held = data[at:]
        made.append(data[kept:at])
        return b"".join(made)

    def close(self) -> bytes:
        """Raises `PermanentFailure` if the document does not end with a page."""
        if self._lines or self._left or not self._units or self._held.strip(BLANK):
            raise refused("its raster ends, or has a UEL, in the middle of a page; send it again, or as PDF")
        return b""

    def _header(self, header: bytes) -> bytes:
        """The same with as many copies as one may ask for."""
        if not header.startswith(_MARK):
            raise refused("its raster has a page that does not begin as one; send it as PDF")
        width, height, _, bits_per_color, bits, line = struct.unpack_from(">6I", header, _WIDTH_AT)
        if not (0 < width <= _SIDE and 0 < height <= _SIDE and 0 < bits <= 240 and 0 < bits_per_color <= 16):
            raise refused("its raster says a size that no page has; send it as PDF")
        self._size = (bits + 7) // 8
        if line != (width * bits + 7) // 8 or line % self._size:
            raise refused("its raster contradicts itself; send it as PDF")
        self._lines, self._units = height, line // self._size
        (copies,) = struct.unpack_from(">I", header, _COPIES_AT)
        if copies <= self._copies:
            return header
        self._dropped["COPIES"] += 1
        return header[:_COPIES_AT] + struct.pack(">I", self._copies) + header[_COPIES_AT + 4 :]

    def _walk(self, data: bytes, at: int) -> int:
        """Past the lines and runs that are all there, at most to the page's end."""
        lines, left, size, end = self._lines, self._left, self._size, len(data)
        while at < end:
            if left:
                count = data[at]
                pixels = count + 1 if count < 128 else 257 - count
                after = at + 1 + (size if count < 128 else pixels * size)
                if count == 128 or pixels > left:
                    raise refused("its raster has a line that is too long; send it as PDF")
                if after > end:
                    break
                left -= pixels
                at = after
            elif lines:
                lines -= data[at] + 1
                if lines < 0:
                    raise refused("its raster has more lines than it says; send it as PDF")
                left = self._units
                at += 1
            else:
                break
        self._lines, self._left = lines, left
        return at
