"""PWG raster (PWG 5102.4): its first page's header is looked at.  Pure.

Security: raster has no commands; what a sender can do with it is ask for copies, which are cut to what he may, and for
a page of a size that no printer has.  Lines are not unpacked here: a UEL in them ends the document, and nothing may
follow it (`filter`).  `PAGE` octets wait at most.
"""

from __future__ import annotations

import struct
from collections import Counter
from typing import Final

from printerbridge.firewall.sections import refused

PAGE: Final = 4 + 1796  # "RaS2" and the header
_COPIES_AT: Final = 4 + 340
_WIDTH_AT: Final = 4 + 372
_SIDE: Final = 200_000  # pixels: two metres at 2400 dpi


class Raster:
    """Looks through one document; copies beyond `copies` count as "COPIES" in `dropped`."""

    def __init__(self, dropped: Counter[str], copies: int) -> None:
        self._dropped = dropped
        self._copies = copies
        self._head = bytearray()
        self._begun = False

    def feed(self, octets: bytes) -> bytes:
        if self._begun:
            return octets
        self._head += octets
        if len(self._head) < PAGE:
            return b""
        self._begun = True
        width, height, _, bits_per_color, bits_per_pixel, line = struct.unpack_from(">6I", self._head, _WIDTH_AT)
        if not (0 < width <= _SIDE and 0 < height <= _SIDE and 0 < bits_per_pixel <= 240 and 0 < bits_per_color <= 16):
            raise refused("its raster says a size that no page has; send it as PDF")
        if line != (width * bits_per_pixel + 7) // 8:
            raise refused("its raster contradicts itself; send it as PDF")
        (copies,) = struct.unpack_from(">I", self._head, _COPIES_AT)
        if copies > self._copies:
            self._dropped["COPIES"] += 1
            struct.pack_into(">I", self._head, _COPIES_AT, self._copies)
        made = bytes(self._head)
        self._head.clear()
        return made

    def close(self) -> bytes:
        if not self._begun:
            raise refused("its raster ends in its head; send it again, or as PDF")
        return b""
