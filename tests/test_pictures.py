"""Pictures on paper: right side up, whole, in their colours, and as large as they say."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageCms, ImageDraw
from PIL.Image import Transpose

from printerbridge.converters.contract import Converter
from printerbridge.converters.pictures import GIF, JPEG, PNG, TIFF, WEBP
from tests import pictures

pytestmark = pytest.mark.slow  # foreign programs

UPRIGHT, ACROSS = (595, 842), (842, 595)
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 255, 0)
CORNERS = (RED, GREEN, BLUE, YELLOW)  # upper left, upper right, lower left, lower right
TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_90,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_270,
}


def card(width: int = 240, height: int = 160) -> Image.Image:
    """Four quarters in four colours, so that it has no symmetry."""
    image = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(image)
    for number, color in enumerate(CORNERS):
        x, y = number % 2 * width // 2, number // 2 * height // 2
        draw.rectangle((x, y, x + width // 2, y + height // 2), fill=color)
    return image


def octets(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def box(page: Image.Image) -> tuple[int, int, int, int]:
    """Where something is on a page, in its pixels."""
    found = ImageChops.invert(page.convert("L")).point(lambda value: 255 if value > 16 else 0).getbbox()
    assert found
    return found


def shows(page: Image.Image, expected: Image.Image, *, off: int = 40) -> None:
    """Asserts that what is on the page looks as `expected`, whatever its size."""
    found = page.convert("RGB").crop(box(page))
    assert found.width / found.height == pytest.approx(expected.width / expected.height, rel=0.06)
    for x in (0.2, 0.4, 0.6, 0.8):
        for y in (0.2, 0.4, 0.6, 0.8):
            pair = zip(pictures.hue(found, (x, y)), pictures.hue(expected, (x, y)), strict=True)
            assert all(abs(one - other) <= off for one, other in pair), (x, y)


@pytest.mark.parametrize("orientation", [1, 6, 3, 5])
async def test_a_photo_lies_as_its_camera_was_held(tmp_path: Path, orientation: int) -> None:
    stored = card().transpose(TURNS[orientation]) if orientation > 1 else card()
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = await pictures.made(tmp_path, JPEG, octets(stored, "JPEG", exif=exif, quality=95, subsampling=0))
    assert pictures.sizes(path) == [ACROSS]
    shows(pictures.colored(path)[0], card())


async def test_a_jpeg_is_not_coded_again(tmp_path: Path) -> None:
    photo = octets(card(), "JPEG", progressive=True)
    assert photo in (await pictures.made(tmp_path, JPEG, photo)).read_bytes()


async def test_cmyk_of_photoshop_is_not_shown_as_its_negative(tmp_path: Path) -> None:
    path = await pictures.made(tmp_path, JPEG, octets(card().convert("CMYK"), "JPEG", quality=95))
    shows(pictures.colored(path)[0], card(), off=130)
    assert not pictures.gray(pictures.colored(path)[0])


async def test_a_profile_of_another_kind_of_colour_is_left_out(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    good, finished = await pictures.run(tmp_path, JPEG, octets(card(), "JPEG", icc_profile=profile))
    assert finished.returncode == 0
    assert b"ICCBased" in good.read_bytes()
    wrong = await pictures.made(tmp_path, JPEG, octets(card().convert("L"), "JPEG", icc_profile=profile))
    assert b"ICCBased" not in wrong.read_bytes()


@pytest.mark.parametrize(
    ("kind", "image", "options", "expected"),
    [
        (PNG, card(), {}, card()),
        (PNG, card().quantize(8), {}, card()),
        (GIF, card(), {"save_all": True, "append_images": [Image.new("RGB", (240, 160))]}, card()),
        (WEBP, card(), {"lossless": True}, card()),
        (TIFF, card(), {"compression": "tiff_lzw"}, card()),
        (TIFF, card(), {"compression": "jpeg", "quality": 95}, card()),
        (TIFF, card().convert("CMYK"), {}, card()),
        (PNG, Image.linear_gradient("L").convert("I;16").point(lambda v: v * 257), {}, Image.linear_gradient("L")),
        (TIFF, Image.linear_gradient("L").convert("F"), {}, Image.linear_gradient("L")),
    ],
    ids=["rgb", "palette", "gif", "webp", "lzw", "tiff-jpeg", "tiff-cmyk", "16-bit", "float"],
)
async def test_every_kind_of_pixels(
    tmp_path: Path, kind: Converter, image: Image.Image, options: dict[str, object], expected: Image.Image
) -> None:
    path, finished = await pictures.run(tmp_path, kind, octets(image, kind.source.name, **options))
    assert finished.returncode == 0, finished.stderr
    assert b"pages: 1" in finished.stdout
    page = pictures.colored(path, dpi=72)[0]
    shows(page, expected, off=130 if image.mode == "CMYK" else 40) if expected.mode == "RGB" else ramp(page)


def ramp(page: Image.Image) -> None:
    """Asserts that a page gets lighter from its picture's top to its foot, evenly."""
    x0, y0, x1, y1 = box(page)
    found = [page.convert("L").getpixel(((x0 + x1) // 2, y0 + int((y1 - y0) * part))) for part in (0.1, 0.5, 0.9)]
    assert found == pytest.approx([24, 124, 223], abs=14)


async def test_what_is_seen_through_is_seen_on_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (100, 100), (0, 0, 0, 0))
    image.paste((255, 0, 0, 128), (0, 0, 50, 100))
    page = pictures.colored(await pictures.made(tmp_path, PNG, octets(image, "PNG")))[0]
    x0, _, x1, _ = box(page)
    assert pictures.hue(page, ((x0 + x1) / 2 / page.width, 0.5)) == pytest.approx((255, 127, 127), abs=4)
    assert x1 < page.width * 0.55


async def test_all_pages_of_a_fax_in_their_proportion(tmp_path: Path) -> None:
    sheet = Image.new("1", (1728, 1075), 1)  # 8.47 by 10.97 inches
    ImageDraw.Draw(sheet).rectangle((200, 100, 1500, 700), fill=0)
    thumbnail = Image.new("1", (20, 20), 0)
    fax = octets(
        sheet, "TIFF", compression="group4", dpi=(204, 98), save_all=True, append_images=[sheet, thumbnail, sheet]
    )
    path, finished = await pictures.run(tmp_path, TIFF, fax)
    assert b"pages: 4" in finished.stdout
    assert pictures.sizes(path) == [UPRIGHT] * 4
    page = pictures.drawn(path)[0]
    x0, y0, x1, y1 = box(page)
    scale = 595.28 / (1728 / 204 * 72)  # to the paper's width
    assert (x1 - x0, y1 - y0) == pytest.approx((1300 / 204 * 36 * scale, 600 / 98 * 36 * scale), abs=2)


@pytest.mark.parametrize(
    ("size", "dpi", "inches", "page"),
    [
        ((300, 150), 150, (2.0, 1.0), UPRIGHT),  # as it says
        ((2480, 3508), 300, (8.27, 11.69), UPRIGHT),  # a scan of the paper itself
        ((400, 300), 1, (8.0, 6.0), ACROSS),  # implausible: no finer than 50 dots to the inch
        ((1600, 1200), 72, (10.36, 7.77), ACROSS),  # a camera's default: up to the margin
        ((16, 16), None, (0.32, 0.32), UPRIGHT),
    ],
)
async def test_the_size_on_paper(
    tmp_path: Path, size: tuple[int, int], dpi: int | None, inches: tuple[float, float], page: tuple[int, int]
) -> None:
    options = {"dpi": (dpi, dpi)} if dpi else {}
    path = await pictures.made(tmp_path, PNG, octets(Image.new("L", size, 40), "PNG", **options))
    assert pictures.sizes(path) == [page]
    x0, y0, x1, y1 = box(pictures.drawn(path, dpi=72)[0])
    assert ((x1 - x0) / 72, (y1 - y0) / 72) == pytest.approx(inches, abs=0.05)
    width, height = page
    assert (x0 + x1, y0 + y1) == pytest.approx((width, height), abs=3)


def black(side: int) -> bytes:
    """A whole PNG of `side` times `side` black pixels, without ever having them all: small to send, huge to open."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (side + 7) // 8)  # its filter, and a bit for each pixel
    rows = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    framed = (
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def test_the_bomb_is_a_picture() -> None:
    with Image.open(io.BytesIO(black(60))) as image:
        assert (image.size, image.mode, image.getcolors()) == ((60, 60), "1", [(3600, 0)])


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda: octets(card(2000, 1500), "JPEG")[:9000], b"damaged"),
        (lambda: octets(card(2000, 1500), "PNG")[:3000], b"damaged"),
        (lambda: black(60_000), b"million pixels"),
        (lambda: b"\x89PNG\r\n\x1a\n" + bytes(100), b"damaged"),
        (lambda: b"%!PS\nshowpage\n", b"no known kind"),
    ],
    ids=["cut jpeg", "cut png", "bomb", "no header", "no picture"],
)
async def test_what_is_no_picture_is_refused_in_words(
    tmp_path: Path, source: Callable[[], bytes], words: bytes
) -> None:
    _, finished = await pictures.run(tmp_path, PNG, source())
    assert finished.returncode == 1
    assert words in finished.stderr
    assert finished.stderr.count(b"\n") == 1
