"""Pages as pictures, whatever language they are in, so that tests can compare what is printed and not how it is said.

PDF is drawn by pdfium, PostScript by Ghostscript; PWG raster and the raster of PCL 5 are decoded here, apart from the
product's own code.  PCL XL cannot be drawn: its pages can be counted.
"""

from __future__ import annotations

import itertools
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pypdfium2
from PIL import Image, ImageChops, ImageStat

from printerbridge import sandbox
from printerbridge.converters.contract import Converter, Media, Task
from tests.documents import difference, ink, pages_of

_NUMBERS = itertools.count()
WHITE = 0.0005  # less ink than this is none


def drawn(document: Path, *, dpi: int = 36) -> list[Image.Image]:
    """The pages of a PDF, PostScript, PWG or PCL 5 file in grey, at `dpi`."""
    head = document.read_bytes()[:64]
    if head.startswith(b"%PDF-"):
        return _pdf(document, dpi)
    if head.startswith(b"%!"):
        return pages_of(document, dpi=dpi)
    raster = pwg(document.read_bytes()) if head.startswith(b"RaS2PwgRaster\0") else pcl(document.read_bytes())
    return [_scaled(image, resolution, dpi) for image, resolution in raster]


def on_paper(raster: Sequence[Image.Image], like: Sequence[Image.Image]) -> list[Image.Image]:
    """PCL's rasters, which end with the last row and column that have ink, on pages as large as `like`."""
    pages = []
    for image, page in zip(raster, like, strict=True):
        pages.append(Image.new("L", page.size, "white"))
        pages[-1].paste(image, (0, 0))
    return pages


async def run(folder: Path, converter: Converter, source: bytes | Path, **task: Any) -> tuple[Path, sandbox.Finished]:
    """What a converter, confined as ever, makes of a document, and what it said."""
    document = folder / "source" if isinstance(source, bytes) else source
    if isinstance(source, bytes):
        document.write_bytes(source)
    name = f"made-{next(_NUMBERS)}"
    media = task.pop("media", "iso_a4_210x297mm")
    told = Task(source=str(document), output=name, media=Media.named(media), **task)
    finished = await sandbox.run(
        converter.command(told), folder=folder, timeout=60, readable=(document, *converter.readable())
    )
    return folder / name, finished


async def made(folder: Path, converter: Converter, source: bytes | Path, **task: Any) -> Path:
    """The same where nothing goes wrong."""
    path, finished = await run(folder, converter, source, **task)
    assert finished.returncode == 0, finished
    return path


def colored(document: Path, *, dpi: int = 36) -> list[Image.Image]:
    """The pages of a PDF in colour."""
    with pypdfium2.PdfDocument(document) as pdf:
        return [page.render(scale=dpi / 72, may_draw_forms=False).to_pil().convert("RGB") for page in pdf]


def sizes(document: Path) -> list[tuple[int, int]]:
    """The pages of a PDF in whole points, as they are seen."""
    with pypdfium2.PdfDocument(document) as pdf:
        return [(round(page.get_width()), round(page.get_height())) for page in pdf]


def same(ones: Sequence[Image.Image], others: Sequence[Image.Image], tolerance: float = 0.2) -> None:
    """Asserts that the pages show the same, and something at all where the first do."""
    assert len(ones) == len(others)
    for number, (one, other) in enumerate(zip(ones, others, strict=True), 1):
        assert blank(one) == blank(other), f"page {number}: ink {ink(one):.4f} and {ink(other):.4f}"
        assert difference(one, other) < tolerance, f"page {number} differs by {difference(one, other):.2f}"


def blank(page: Image.Image) -> bool:
    return ink(page) < WHITE


def hue(image: Image.Image, at: tuple[float, float]) -> tuple[int, ...]:
    """The colour at a place given in parts of width and height from the upper left, each channel 0 to 255."""
    found = image.convert("RGB").getpixel((int(at[0] * image.width), int(at[1] * image.height)))
    assert isinstance(found, tuple)
    return tuple(int(channel) for channel in found)


def gray(image: Image.Image) -> bool:
    """Whether no pixel has a colour worth speaking of."""
    red, green, blue = image.convert("RGB").split()
    return all(ImageStat.Stat(ImageChops.difference(red, band)).extrema[0][1] < 4 for band in (green, blue))


def _pdf(document: Path, dpi: int) -> list[Image.Image]:
    return [page.convert("L") for page in colored(document, dpi=dpi)]


def _scaled(image: Image.Image, resolution: int, dpi: int) -> Image.Image:
    size = (max(1, round(image.width * dpi / resolution)), max(1, round(image.height * dpi / resolution)))
    return image.convert("L").resize(size, Image.Resampling.BOX)


# -- PWG 5102.4


def pwg(octets: bytes) -> list[tuple[Image.Image, int]]:
    """The pages of 8 bit grey or RGB, and their resolution."""
    pages, at = [], 4
    while at < len(octets):
        (resolution,) = struct.unpack_from(">L", octets, at + 276)
        width, height, _, bits, pixel, row = struct.unpack_from(">6L", octets, at + 372)
        assert bits == 8
        rows, at = _pwg_rows(octets, at + 1796, height, row, pixel // 8)
        pages.append((Image.frombytes({8: "L", 24: "RGB"}[pixel], (width, height), rows), resolution))
    return pages


def _pwg_rows(octets: bytes, at: int, height: int, length: int, unit: int) -> tuple[bytes, int]:
    rows: list[bytes] = []
    while len(rows) < height:
        times, at = octets[at] + 1, at + 1
        row = b""
        while len(row) < length:
            code, at = octets[at], at + 1
            if code == 128:
                row = row.ljust(length, b"\xff")
            else:
                take = unit if code < 128 else unit * (257 - code)
                row += octets[at : at + take] * (code + 1 if code < 128 else 1)
                at += take
        rows += [row] * times
    return b"".join(rows), at


# -- PCL 5, as far as monochrome rasters go


def pcl(octets: bytes) -> list[tuple[Image.Image, int]]:
    """The printed pages, as high and wide as their raster reaches, and their resolution."""
    pages, rows, resolution = [], dict[int, bytes](), 300
    row, mode, seed = 0, 0, b""
    for group, value, command, data in _commands(octets):
        if (group, command) == ("*t", "R"):
            resolution = int(value)
        elif (group, command) == ("*p", "Y"):
            row = row + int(value) if value[0] in "+-" else int(value)
        elif (group, command) == ("*b", "M"):
            mode = int(value)
        elif (group, command) == ("*b", "Y"):
            row, seed = row + int(value), b""
        elif (group, command) == ("*b", "W"):
            seed = rows[row] = _unpacked(data, mode, seed)
            row += 1
        elif (group, command) == ("*r", "A"):
            seed = b""
        elif command == "\f":
            pages.append((_page(rows), resolution))
            rows, row, seed = {}, 0, b""
    return pages


def _commands(octets: bytes) -> Iterator[tuple[str, str, str, bytes]]:
    """Group, value, command in upper case, and the data behind a `*b#W`; a form feed is a command."""
    at = 0
    while at < len(octets):
        if octets[at] == 0x0C:
            yield "", "", "\f", b""
        if octets[at] != 0x1B or octets[at + 1 : at + 2] not in (b"*", b"&", b"("):
            at += 1 if octets[at] != 0x1B else 2
            continue
        group, at, more = octets[at + 1 : at + 3].decode(), at + 3, True
        while more:
            found = re.compile(rb"([+-]?\d*)([@-~])").match(octets, at)
            assert found, octets[at : at + 20]
            value, command, at = found[1].decode(), found[2].decode(), found.end()
            more = command.islower()
            data = b""
            if command.upper() in "WV" and group in ("*b", "&u", "(s", "*v"):
                data, at = octets[at : at + int(value or 0)], at + int(value or 0)
            yield group, value or "0", command.upper(), data


def _unpacked(data: bytes, mode: int, seed: bytes) -> bytes:
    if mode == 0:
        return data
    if mode == 2:  # TIFF packbits
        row, at = bytearray(), 0
        while at < len(data):
            code, at = data[at], at + 1
            take = 1 if code > 128 else code + 1 if code < 128 else 0
            row += data[at : at + take] * (257 - code if code > 128 else 1)
            at += take
        return bytes(row)
    assert mode == 3, mode  # what differs from the row before
    row, at, column = bytearray(seed), 0, 0
    while at < len(data):
        code, at = data[at], at + 1
        count, offset = (code >> 5) + 1, code & 31
        column, more = column + offset, offset == 31
        while more:
            column, more, at = column + data[at], data[at] == 255, at + 1
        row = row.ljust(column + count, b"\0")
        row[column : column + count] = data[at : at + count]
        at, column = at + count, column + count
    return bytes(row)


def _page(rows: dict[int, bytes]) -> Image.Image:
    width, height = max(map(len, rows.values()), default=1), max(rows, default=0) + 1
    bitmap = b"".join(rows.get(number, b"").ljust(width, b"\0") for number in range(height))
    return Image.frombytes("1", (8 * width, height), bytes(octet ^ 0xFF for octet in bitmap))


def pcl_xl_pages(octets: bytes) -> int:
    """How many pages Ghostscript's PCL XL ends: each EndPage (0x44) is told its copies as a 16 bit PageCopies."""
    return len(re.findall(rb"\xf8\x31\x44", octets))
