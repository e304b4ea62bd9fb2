"""A program that puts a raster on paper as PDF: `raster.py PACKAGES SOURCE OUTPUT WIDTH HEIGHT`, the paper in points.

It reads PWG raster (PWG 5102.4), CUPS raster of versions 1 to 3 in both byte orders, and Apple's URF, in grey, black,
RGB and CMYK.  A page has the size that its resolution gives it, and is shrunk where it is larger than the paper.

Security: reads strangers' octets, in a confined process.  Every number of a header is checked before it is used:
resolution, width, height and the length of a row are limited, and what they make of a page together; so are pages.
One row is held at a time.  A row that runs over its end is an error, as is a page without one.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

if __name__ == "__main__":
    sys.path.extend(sys.argv.pop(1).split(os.pathsep))
    # Not found by its package: whoever is confined may not list the folders that it is in.
    _paper = importlib.util.spec_from_file_location(
        "printerbridge.programs.paper", Path(__file__).with_name("paper.py")
    )
    assert _paper is not None
    assert _paper.loader is not None
    sys.modules[_paper.name] = importlib.util.module_from_spec(_paper)
    _paper.loader.exec_module(sys.modules[_paper.name])

from printerbridge.programs.paper import Paper, Place, Samples

MAX_PAGES = 2_000
MAX_PIXELS = 600_000_000  # of one page: A1 at 600 dpi
MAX_SIDE = 200_000
MAX_ROW = 1 << 20  # octets
MAX_OCTETS = 40 << 30  # of all pages, unpacked
_RESOLUTIONS = (36, 4800)
_NEAR = 1.01

# PWG 5102.4 table 3 and CUPS's `cups_cspace_t`: components, and whether 0 is white and not black
_SPACES = {0: (1, False), 1: (3, False), 3: (1, True), 6: (4, True), 18: (1, False), 19: (3, False), 20: (3, False)}
# URF says it otherwise: grey and sRGB, then device colours
_URF_SPACES = {0: (1, False), 1: (3, False), 3: (3, False), 4: (1, False), 5: (3, False), 6: (4, True)}
_DEPTHS = {(1, 1), (1, 8), (1, 16), (3, 8), (3, 16), (4, 1), (4, 8), (4, 16)}
_SYNCS = {
    b"RaSt": (">", 420, False),
    b"tSaR": ("<", 420, False),
    b"RaS2": (">", 1796, True),
    b"2SaR": ("<", 1796, True),
    b"RaS3": (">", 1796, False),
    b"3SaR": ("<", 1796, False),
}  # byte order, octets of a header, compressed


class Damaged(Exception):
    """A raster that cannot be drawn; its text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a header says."""

    width: int
    height: int
    across: int  # dots to the inch
    down: int
    space: tuple[int, bool]
    bits: int  # of each component
    row: int  # octets
    compressed: bool
    swapped: bool = False  # 16 bits with the low octet first
    flipped: tuple[bool, bool] = (False, False)  # across and down: the back of a sheet, as some printers want it

    def __post_init__(self) -> None:
        low, high = _RESOLUTIONS
        bits = self.width * self.space[0] * self.bits
        sound = (
            1 <= self.width <= MAX_SIDE
            and 1 <= self.height <= MAX_SIDE
            and self.width * self.height <= MAX_PIXELS
            and low <= self.across <= high
            and low <= self.down <= high
            and (self.space[0], self.bits) in _DEPTHS
            and (bits + 7) // 8 <= self.row <= MAX_ROW
            and not (self.bits == 16 and self.row % 2)
        )
        if not sound:
            raise Damaged("a page has an impossible size, resolution or kind of pixels")

    @property
    def used(self) -> int:
        """The octets of a row that hold pixels."""
        return (self.width * self.space[0] * self.bits + 7) // 8

    @property
    def unit(self) -> int:
        """The octets that are repeated together."""
        return max(1, self.space[0] * self.bits // 8)


def pages(file: BinaryIO) -> Iterator[Page]:
    """The header of each page; the rows behind it are to be read before the next."""
    sync = file.read(4)
    if sync == b"UNIR" and _exactly(file, 4) == b"AST\0":
        _exactly(file, 4)  # the number of pages, which a printer that streams need not know
        while header := file.read(32):
            yield _urf(header)
        return
    if sync not in _SYNCS:
        raise Damaged("it does not begin as a raster does")
    order, length, compressed = _SYNCS[sync]
    while header := file.read(length):
        yield _cups(header, order, length, compressed=compressed)


def _urf(header: bytes) -> Page:
    if len(header) < 32:
        raise Damaged("it ends within a header")
    bits, space = header[:2]
    width, height, resolution = struct.unpack_from(">3L", header, 12)
    components, inverted = _URF_SPACES.get(space, (0, False))
    if not components or bits not in (8 * components, 16 * components):
        raise Damaged("its colours are of an unknown kind")
    return Page(
        width=width,
        height=height,
        across=resolution,
        down=resolution,
        space=(components, inverted),
        bits=bits // components,
        row=(width * bits + 7) // 8,
        compressed=True,
    )


def _cups(header: bytes, order: str, length: int, *, compressed: bool) -> Page:
    if len(header) < length:
        raise Damaged("it ends within a header")
    across, down = struct.unpack_from(f"{order}2L", header, 276)
    width, height = struct.unpack_from(f"{order}2L", header, 372)
    bits, pixel, row, planes, space = struct.unpack_from(f"{order}5L", header, 384)
    found = _SPACES.get(space)
    if found is None or pixel != bits * found[0] or (planes and found[0] > 1):
        raise Damaged("its colours are of an unknown kind")
    flipped = (False, False)
    if header.startswith(b"PwgRaster\0"):  # CrossFeedTransform and FeedTransform, PWG 5102.4 section 4.3
        flipped = tuple(sign < 0 for sign in struct.unpack_from(f"{order}2l", header, 456))
    return Page(
        width=width,
        height=height,
        across=across,
        down=down,
        space=found,
        bits=bits,
        row=row,
        compressed=compressed,
        swapped=order == "<" and bits == 16,
        flipped=flipped,
    )


def _exactly(file: BinaryIO, length: int) -> bytes:
    octets = file.read(length)
    if len(octets) < length:
        raise Damaged("it ends within a page")
    return octets


def rows(file: BinaryIO, page: Page) -> Iterator[bytes]:
    """The rows of `page`, some of them several times in one piece."""
    left = page.height
    while left:
        times = min(left, _exactly(file, 1)[0] + 1) if page.compressed else 1
        row = _unpacked(file, page) if page.compressed else _exactly(file, page.row)
        left -= times
        yield (_swapped(row) if page.swapped else row)[: page.used] * times


def _swapped(row: bytes) -> bytes:
    pairs = bytearray(len(row))
    pairs[::2], pairs[1::2] = row[1::2], row[::2]
    return bytes(pairs)


def _unpacked(file: BinaryIO, page: Page) -> bytes:
    """A row packed as PWG 5102.4 section 4.2 has it."""
    row, unit, length, read = bytearray(), page.unit, page.row, file.read
    while len(row) < length:
        code = read(1)
        if not code:
            raise Damaged("it ends within a page")
        count = code[0]
        if count < 128:
            row += _exactly(file, unit) * (count + 1)
        elif count > 128:
            row += _exactly(file, unit * (257 - count))
        else:  # the rest is white
            row += (b"\0" if page.space[1] else b"\xff") * (length - len(row))
    if len(row) > length:
        raise Damaged("a row is longer than its page is wide")
    return bytes(row)


def place(page: Page, paper: tuple[float, float]) -> Place:
    """In the middle of the paper, which is turned for a page that is wider than high."""
    width, height = 72 * page.width / page.across, 72 * page.height / page.down
    room = paper if (width > height) == (paper[0] > paper[1]) else paper[::-1]
    fits = min(room[0] / width, room[1] / height)
    if fits < 1 / _NEAR:
        width, height = width * fits, height * fits
    x, y = (room[0] - width) / 2, (room[1] - height) / 2
    a, e = (-width, x + width) if page.flipped[0] else (width, x)
    d, f = (-height, y + height) if page.flipped[1] else (height, y)
    return Place(width=room[0], height=room[1], matrix=(a, 0, 0, d, e, f))


def draw(file: BinaryIO, pdf: Paper, paper: tuple[float, float]) -> None:
    octets = 0
    for number, page in enumerate(pages(file), 1):
        octets += page.row * page.height
        if number > MAX_PAGES or octets > MAX_OCTETS:
            raise Damaged(f"it has more than {MAX_PAGES} pages, or too much on them")
        components, inverted = page.space
        samples = Samples(
            width=page.width,
            height=page.height,
            components=components,
            bits=page.bits,
            octets=rows(file, page),
            inverted=inverted and components == 1,
        )
        pdf.page(samples, place(page, paper))


def main(source: str, output: str, width: str, height: str) -> int:
    try:
        with Path(source).open("rb") as file, Path(output).open("wb") as made:
            pdf = Paper(made)
            draw(file, pdf, (float(width), float(height)))
            sys.stdout.write(f"pages: {pdf.close()}\n")
    except Damaged as damage:
        sys.stderr.write(f"the raster is damaged: {damage}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
