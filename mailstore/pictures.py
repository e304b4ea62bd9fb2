"""Pictures by their first octets: how large they are, and whether that is the size of an ornament.  Pure.

Security: reads strangers' octets, a bounded prefix, at fixed places, and never decompresses.  A picture that lies about
its size can only be left out or be printed.
"""

from __future__ import annotations

from typing import Final

from mailstore.document_format import DocumentFormat

_F = DocumentFormat
PICTURES: Final = frozenset({_F.JPEG, _F.PNG, _F.GIF, _F.WEBP})
"""What a letter shows, and what its ornaments are in.  A TIFF is a fax or comes from a scanner: a document."""

_DOT = 16  # pixels: less is nothing to see, but how a sender counts his readers
_SMALL = 40_000  # pixels: the icons and logos of signatures
_BANNER = 200  # pixels of the short side, where the other is three times as long

_NO_SIZE = frozenset({0xC4, 0xC8, 0xCC})  # of JPEG's markers C0 to CF those that begin no frame (ITU-T T.81 B.1.1.3)


def size(head: bytes, format_: DocumentFormat) -> tuple[int, int] | None:
    """Width and height in pixels; None if the picture's first octets do not say."""
    match format_:
        case _F.PNG if len(head) >= 24:
            found = int.from_bytes(head[16:20]), int.from_bytes(head[20:24])
        case _F.GIF if len(head) >= 10:
            found = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
        case _F.JPEG:
            return _jpeg(head)
        case _F.WEBP if len(head) >= 30:
            found = _webp(head)
        case _:
            return None
    return found if all(found) else None


def is_dot(pixels: tuple[int, int] | None) -> bool:
    """Whether there is nothing to see."""
    return pixels is not None and pixels[0] * pixels[1] <= _DOT


def is_ornament(pixels: tuple[int, int] | None) -> bool:
    """Whether it has the size or the shape of a logo, an icon or a banner.  Of unknown size it is none."""
    if pixels is None:
        return False
    short, long = sorted(pixels)
    return short * long <= _SMALL or (short <= _BANNER and long >= 3 * short)


def _jpeg(head: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker = head[at + 1]
        if marker == 0xFF:  # a fill octet
            at += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in _NO_SIZE:
            found = int.from_bytes(head[at + 7 : at + 9]), int.from_bytes(head[at + 5 : at + 7])
            return found if all(found) else None
        at += 2 + max(2, int.from_bytes(head[at + 2 : at + 4]))
    return None


def _webp(head: bytes) -> tuple[int, int]:
    """RFC 9649 section 2.  Zeros if it does not say."""
    match head[12:16]:
        case b"VP8X":
            return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        case b"VP8 ":
            width, height = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
            return width & 0x3FFF, height & 0x3FFF
    return 0, 0
