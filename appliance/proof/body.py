"""Body hashes of DKIM (RFC 6376 section 3.4) while the body streams by, cut anywhere.

Security: the body is a stranger's and may be of any size, one line or nothing but line ends.  Between calls at most two
octets and a count are kept; each block is worked on by searches in linear time, in slices that bound what is copied.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from hashlib import sha256

SIMPLE, RELAXED = "simple", "relaxed"

_SLICE = 64 * 1024
_ENDS = b"\r\n" * (_SLICE // 2)
_BLANKS = re.compile(rb"  ++")
_TURNED_ENDS = re.compile(rb"(?:\n\r)*+")


class BodyHash:
    """SHA-256 of a body in one canonicalization."""

    def __init__(self, canonicalization: str) -> None:
        self._relaxed = canonicalization == RELAXED
        self._hash = sha256()
        self._kept = b""  # a blank or a CR or both, of which the next octet decides
        self._ends = 0  # CRLFs that count only if something follows
        self._empty = True

    def feed(self, octets: bytes) -> None:
        """Octets of the body, at most a slice of them."""
        if self._kept:
            octets = self._kept + octets
            self._kept = b""
        if self._relaxed:
            octets = self._run_together(octets)
        elif octets.endswith(b"\r"):
            octets, self._kept = octets[:-1], b"\r"
        self._hash_lines(octets)

    def digest(self) -> bytes:
        """The body has ended.  Blanks at its end count as those of a line."""
        if self._kept.endswith(b"\r"):
            self._hash_lines(self._kept)
            self._kept = b""
        if not self._relaxed or not self._empty:
            self._hash.update(b"\r\n")  # section 3.4.3 and 3.4.4: exactly one ends it
        return self._hash.digest()

    def _run_together(self, octets: bytes) -> bytes:
        """Section 3.4.4: runs of blanks made one, those at the end of a line taken away."""
        if b"\t" in octets:
            octets = octets.replace(b"\t", b" ")
        if b" " in octets:  # base64 has none
            octets = octets.replace(b"  ", b" ")  # faster than the pattern, and mostly all there is to do
            if b"  " in octets:
                octets = _BLANKS.sub(b" ", octets)
            octets = octets.replace(b" \r\n", b"\r\n")
        end = len(octets) - octets.endswith(b"\r")
        end -= octets.endswith(b" ", 0, end)
        self._kept = octets[end:]
        return octets[:end]

    def _hash_lines(self, octets: bytes) -> None:
        ends = 0
        if len(octets) % 2 == 0 and octets == _ENDS[: len(octets)]:
            ends = len(octets)
        elif octets.endswith(b"\r\n"):
            body = octets.rstrip(b"\r\n")
            found = _TURNED_ENDS.match(octets[len(body) :][::-1])
            ends = len(found[0]) if found else 0
        if ends == len(octets):
            self._ends += ends // 2
            return
        while self._ends:
            count = min(self._ends, len(_ENDS) // 2)
            self._hash.update(memoryview(_ENDS)[: 2 * count])
            self._ends -= count
        self._hash.update(memoryview(octets)[: len(octets) - ends])
        self._ends = ends // 2
        self._empty = False


class BodyHashes:
    """All canonicalizations that the signatures of one mail ask for.

    `feed` takes what stands behind the header: the empty line first, which is no part of the body.
    """

    def __init__(self, canonicalizations: Collection[str]) -> None:
        self._hashes = {name: BodyHash(name) for name in sorted(set(canonicalizations))}
        self._skip = 2

    def feed(self, octets: bytes | bytearray | memoryview) -> None:
        if not self._hashes:
            return
        view = memoryview(octets)
        if self._skip:
            skipped = min(self._skip, len(view))
            view = view[skipped:]
            self._skip -= skipped
        for start in range(0, len(view), _SLICE):
            piece = bytes(view[start : start + _SLICE])
            for one in self._hashes.values():
                one.feed(piece)

    def digests(self) -> dict[str, bytes]:
        """The body has ended: by canonicalization, its digest."""
        return {name: one.digest() for name, one in self._hashes.items()}
