"""Input that has come and is not used up: command lines (RFC 5321 section 2.3.8), and what stands behind them.

Security: a line may be endless; past the limit its octets are thrown away as they come, and the line is told to be too
long when its end has come.  How much may wait is for the reader of the network to say.
"""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    octets: bytes  # with its line feed; of one that is too long, some from its beginning
    too_long: bool


class Lines:
    """Octets in the order they came in.  Its length is what waits."""

    __slots__ = ("_octets", "_too_long")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._too_long = False

    def __len__(self) -> int:
        return len(self._octets)

    def add(self, octets: bytes | bytearray) -> None:
        self._octets += octets

    def clear(self) -> None:
        self._octets.clear()

    def take_octets(self, most: int) -> bytes:
        """What waits, whatever it is; no more than `most`, so that many small chunks are not copied again and again."""
        octets = bytes(memoryview(self._octets)[:most])
        del self._octets[:most]
        return octets

    def take(self, limit: int) -> Line | None:
        """The next line, if it has come whole; it may have `limit` octets."""
        end = self._octets.find(b"\n") + 1
        if not end:
            if len(self._octets) > limit:
                self._too_long = True
                del self._octets[limit:]
            return None
        too_long, self._too_long = self._too_long or end > limit, False
        octets = bytes(self._octets[:end])
        del self._octets[:end]
        return Line(octets, too_long)
