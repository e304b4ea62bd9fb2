"""Rasters for printers drawn again: each kind of pixels, order and packing; and those that lie about themselves."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from printerbridge.converters.raster import CUPS_RASTER, PWG, URF
from printerbridge.programs import raster
from printerbridge.programs.paper import Paper
from tests import pictures

UPRIGHT, ACROSS = (595, 842), (842, 595)
WIDTH, HEIGHT, DPI = 620, 877, 75  # A4
SPACES = {"sgray": (18, 1, 8), "srgb": (19, 3, 8), "black": (3, 1, 8), "black1": (3, 1, 1), "cmyk": (6, 4, 8)}


def page(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Red above, a black bar at the left below."""
    image = Image.new("RGB", (width, height), "white")
    image.paste((255, 0, 0), (0, 0, width, height // 4))
    image.paste((0, 0, 0), (0, height // 2, width // 4, height))
    return image


def samples(image: Image.Image, space: str) -> bytes:
    inverted = {"black": "L", "black1": "1"}.get(space)
    if inverted:
        return bytes(octet ^ 0xFF for octet in image.convert(inverted).tobytes())
    return image.convert({"sgray": "L", "srgb": "RGB", "cmyk": "CMYK"}[space]).tobytes()


def packed(rows: bytes, length: int, unit: int, white: bytes) -> bytes:
    """As PWG 5102.4 section 4.2 has it: rows repeated, runs, and the rest of a row white."""
    made, at = bytearray(), 0
    while at < len(rows):
        row, times = rows[at : at + length], 1
        while times < 256 and rows[at + times * length : at + (times + 1) * length] == row:
            times += 1
        made.append(times - 1)
        at += times * length
        tail = len(row.rstrip(white))
        tail += -tail % unit
        column = 0
        while column < tail:
            value, run = row[column : column + unit], 1
            while run < 128 and row[column + run * unit : column + (run + 1) * unit] == value:
                run += 1
            if run == 1 and column + unit < tail:  # two pixels as they are
                made += bytes([255]) + row[column : column + 2 * unit]
                run = 2
            else:
                made += bytes([run - 1]) + value
            column += run * unit
        if column < length:
            made.append(128)
    return bytes(made)


def cups(space: str, image: Image.Image, *, sync: bytes = b"RaS2", flipped: bool = False) -> bytes:
    number, components, bits = SPACES[space]
    order, length = ("<" if sync.endswith(b"SaR") else ">"), 420 if b"t" in sync else 1796
    row = (image.width * components * bits + 7) // 8
    header = bytearray(length)
    struct.pack_into(f"{order}2L", header, 276, DPI, DPI)
    struct.pack_into(f"{order}2L", header, 372, *image.size)
    struct.pack_into(f"{order}5L", header, 384, bits, components * bits, row, 0, number)
    if flipped:
        header[:10] = b"PwgRaster\0"
        struct.pack_into(f"{order}2l", header, 456, -1, -1)
    octets = samples(image, space)
    if b"2" in sync:
        octets = packed(octets, row, max(1, components * bits // 8), b"\xff" if number in (18, 19) else b"\0")
    return bytes(header) + octets


def urf(image: Image.Image, space: str) -> bytes:
    number, bits = {"sgray": (0, 8), "srgb": (1, 24)}[space]
    header = struct.pack(">4B8x3L8x", bits, number, 1, 4, *image.size, DPI)
    return header + packed(samples(image, space), image.width * bits // 8, bits // 8, b"\xff")


def looks_right(found: Image.Image, space: str) -> None:
    red, black = pictures.hue(found, (0.5, 0.1)), pictures.hue(found, (0.1, 0.8))
    assert black == pytest.approx((0, 0, 0), abs=60)
    assert pictures.hue(found, (0.6, 0.7)) == (255, 255, 255)
    if space in ("srgb", "cmyk"):
        assert red[0] > 200
        assert max(red[1:]) < 60
    elif space != "black1":  # where it is dithered
        assert red == pytest.approx((76, 76, 76), abs=3)


@pytest.mark.slow
@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("sync", [b"RaS2", b"3SaR", b"tSaR"])
async def test_cups_raster_of_each_version(tmp_path: Path, space: str, sync: bytes) -> None:
    octets = sync + cups(space, page(), sync=sync) * 2
    path, finished = await pictures.run(tmp_path, CUPS_RASTER, octets)
    assert b"pages: 2" in finished.stdout, finished.stderr
    assert pictures.sizes(path) == [UPRIGHT, UPRIGHT]
    for found in pictures.colored(path):
        looks_right(found, space)


@pytest.mark.slow
@pytest.mark.parametrize("space", ["sgray", "srgb"])
async def test_urf(tmp_path: Path, space: str) -> None:
    octets = b"UNIRAST\0" + bytes(4) + urf(page(), space) + urf(page(HEIGHT, WIDTH), space)
    path = await pictures.made(tmp_path, URF, octets)
    assert pictures.sizes(path) == [UPRIGHT, ACROSS]
    for found in pictures.colored(path):
        looks_right(found, space)


@pytest.mark.slow
async def test_the_back_of_a_sheet_is_turned_upright(tmp_path: Path) -> None:
    turned = page().transpose(Image.Transpose.ROTATE_180)
    octets = b"RaS2" + cups("srgb", turned, flipped=True)
    looks_right(pictures.colored(await pictures.made(tmp_path, PWG, octets))[0], "srgb")


@pytest.mark.slow
async def test_small_stays_small_and_large_is_shrunk(tmp_path: Path) -> None:
    octets = b"RaS2" + cups("sgray", page(310, 438)) + cups("sgray", page(1240, 1754))
    small, large = pictures.drawn(await pictures.made(tmp_path, PWG, octets))
    assert pictures.hue(small, (0.1, 0.1)) == (255, 255, 255)
    assert pictures.hue(small, (0.5, 0.3))[0] == pytest.approx(76, abs=3)
    looks_right(large, "sgray")


def _read(octets: bytes) -> list[int]:
    """How many octets each page has, as the program reads them."""
    file = io.BytesIO(octets)
    return [sum(map(len, raster.rows(file, each))) for each in raster.pages(file)]


WHOLE = b"RaS2" + cups("sgray", page(8, 4))


def _with(at: int, *numbers: int) -> bytes:
    made = bytearray(WHOLE)
    struct.pack_into(f">{len(numbers)}L", made, 4 + at, *numbers)
    return bytes(made)


@pytest.mark.parametrize(
    "octets",
    [
        b"RaS9" + WHOLE[4:],
        WHOLE[:1000],
        WHOLE[:-1],
        _with(276, 0, 75),
        _with(276, 75, 1_000_000),
        _with(372, 0, 4),
        _with(372, 2**32 - 1, 4),
        _with(372, 150_000, 150_000),
        _with(384, 8, 8, 7),
        _with(384, 8, 8, 2**31),
        _with(384, 5, 5, 8),
        _with(400, 99),
        WHOLE[:1800] + bytes([0, 127, 0]),
        b"UNIRAST\0" + bytes(4) + bytes(32),
        b"UNIRAST\0" + bytes(20),
    ],
)
def test_a_raster_that_lies_is_damaged(octets: bytes) -> None:
    assert _read(WHOLE) == [32]
    with pytest.raises(raster.Damaged):
        _read(octets)


@given(st.binary(max_size=300))
def test_any_octets_are_drawn_or_damaged(octets: bytes) -> None:
    for head in (WHOLE[:1800], b"UNIRAST\0" + bytes(4), b""):
        file = io.BytesIO()
        try:
            raster.draw(io.BytesIO(head + octets), Paper(file), (595.0, 842.0))
        except raster.Damaged:
            continue


@pytest.mark.slow
async def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    _, finished = await pictures.run(tmp_path, PWG, WHOLE[:-1])
    assert finished.returncode == 1
    assert finished.stderr == b"the raster is damaged: it ends within a page\n"
