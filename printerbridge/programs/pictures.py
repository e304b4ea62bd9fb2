"""A program that puts a picture on paper as PDF: `pictures.py PACKAGES SOURCE OUTPUT WIDTH HEIGHT`, in points.

JPEG stays as it is, octet for octet; everything else is decoded and kept without loss.  All pages of a TIFF are drawn,
of what moves the first picture.  What is seen through is seen on white.

A picture is as large as its resolution says if that is plausible, and never larger than the paper; a photograph without
one, or one that is far too large, fills the paper up to a margin.  The paper is turned where the picture wants that.

Security: reads strangers' octets through Pillow's decoders, in a confined process.  The decoders are those of six
formats; sizes are read before anything is decoded and limited, as is the number of pages; pixels are converted in
strips, so that one decoded page is all that is held.  Of a JPEG the decoder of the next program reads what this one
has read through to its end.  Of metadata only numbers are taken, and an ICC profile that fits the picture.
"""

from __future__ import annotations

import importlib.util
import os
import struct
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

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

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from printerbridge.programs.paper import Paper, Place, Samples

FORMATS = ("JPEG", "PNG", "TIFF", "GIF", "WEBP")
MAX_PIXELS = 128_000_000  # of one page; more than A1 at 300 dpi
MAX_PAGES = 2_000
MARGIN = 18.0  # points
COARSEST = 50.0  # pixels to the inch: an icon does not fill the paper
_PLAUSIBLE = (30.0, 4800.0)
_OVER = 1.25  # so many times the paper's size is a page made for other paper, not a photograph
_STRIP = 1 << 22  # octets
_PROFILE_OCTETS = 4 << 20
_SPACE_SIGNATURES = {3: b"RGB ", 4: b"CMYK"}
_DIRECT = {"1": (1, 1), "L": (1, 8), "RGB": (3, 8), "CMYK": (4, 8)}  # components and bits
_DAMAGED = (  # what Pillow raises for damaged files
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)
_SUBFILE = 254  # TIFF 6.0 section 8: bit 0 is a smaller copy of another page, bit 2 a mask
_RESOLUTION_UNIT = 296
_ORIENTATION = 0x0112

# TIFF 6.0 section 8, Orientation: what takes the unit square with the stored picture to the one with the shown picture.
_TURNS = {
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}
_UPRIGHT = (1, 0, 0, 1, 0, 0)


class Unprintable(Exception):
    """A picture that is not drawn; its text says why."""


def _pages(image: Image.Image) -> Iterator[Image.Image]:
    """`image` at each page that is to be drawn."""
    if image.format != "TIFF":
        yield image
        return
    index = 0
    while True:
        try:
            image.seek(index)
        except EOFError:
            return
        if index >= MAX_PAGES:
            raise Unprintable(f"the picture has more than {MAX_PAGES} pages")
        subfile = _tag(image, _SUBFILE)
        if not (isinstance(subfile, int) and subfile & 0b101):
            yield image
        index += 1


def _tag(image: Image.Image, tag: int) -> object:
    return image.tag_v2.get(tag) if isinstance(image, TiffImagePlugin.TiffImageFile) else None


# -- size and place


def _resolution(image: Image.Image) -> tuple[float, float] | None:
    """Pixels to the inch across and down, None if the picture does not say so plausibly."""
    if _tag(image, _RESOLUTION_UNIT) == 1 or image.info.get("jfif_unit") == 0:
        return None  # a proportion only
    try:
        x, y = (float(number) for number in image.info["dpi"])
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None
    low, high = _PLAUSIBLE
    return (x, y) if low <= x <= high and low <= y <= high and 0.2 <= x / y <= 5 else None


def _proportion(image: Image.Image) -> float:
    """How many times as high as wide a pixel is."""
    told = image.info.get("jfif_density") if image.info.get("jfif_unit") == 0 else None
    if _tag(image, _RESOLUTION_UNIT) == 1:
        told = (_tag(image, TiffImagePlugin.X_RESOLUTION), _tag(image, TiffImagePlugin.Y_RESOLUTION))
    try:
        x, y = (float(number) for number in told or (1, 1))
        return x / y if 0.2 <= x / y <= 5 else 1.0
    except (TypeError, ValueError, ZeroDivisionError):
        return 1.0


def size(image: Image.Image, turned: bool, paper: tuple[float, float]) -> tuple[float, float, bool]:
    """Width and height in points as the picture is shown, and whether the paper is to be turned for it."""
    resolution = _resolution(image)
    x, y = resolution or (72.0 * _proportion(image), 72.0)
    width, height = 72 * image.width / x, 72 * image.height / y
    if turned:
        width, height = height, width
    if resolution and width <= paper[0] * 1.01 and height <= paper[1] * 1.01:
        return width, height, False
    across = (width > height) != (paper[0] > paper[1]) and width != height
    room = paper[::-1] if across else paper
    fits = min(room[0] / width, room[1] / height)
    if resolution and fits >= 1 / _OVER:
        fits = min(1.0, fits)
    else:
        fits = min((room[0] - 2 * MARGIN) / width, (room[1] - 2 * MARGIN) / height)
        if not resolution:
            fits = min(fits, y / COARSEST)
    return width * fits, height * fits, across


def _orientation(image: Image.Image) -> int:
    if image.format == "TIFF":  # Pillow has turned it
        return 1
    try:
        found = image.getexif().get(_ORIENTATION, 1)
    except (OSError, *_DAMAGED):  # damaged metadata spoil no picture
        return 1
    return found if found in _TURNS else 1


def place(image: Image.Image, paper: tuple[float, float]) -> Place:
    orientation = _orientation(image)
    width, height, across = size(image, orientation >= 5, paper)
    page = paper[::-1] if across else paper
    a, b, c, d, e, f = _TURNS.get(orientation, _UPRIGHT)
    x, y = (page[0] - width) / 2, (page[1] - height) / 2
    matrix = (a * width, b * height, c * width, d * height, e * width + x, f * height + y)
    return Place(width=page[0], height=page[1], matrix=matrix)


# -- pixels


def samples(image: Image.Image, source: Path) -> Samples:
    if image.format in ("JPEG", "MPO") and image.mode in ("L", "RGB", "CMYK"):
        return _as_it_is(image, source)
    image.load()
    mode = _printed_mode(image)
    components, bits = _DIRECT[mode]
    return Samples(
        width=image.width,
        height=image.height,
        components=components,
        bits=bits,
        octets=_strips(image, mode),
        profile=_profile(image, components) if image.mode == mode else b"",
    )


def _as_it_is(image: Image.Image, source: Path) -> Samples:
    width, height = image.size
    components, bits = _DIRECT[image.mode]
    # Adobe's CMYK is inverted (Adobe Technical Note 5116, section 18).
    inverted, profile = image.mode == "CMYK" and "adobe" in image.info, _profile(image, components)
    image.draft(None, (width // 8, height // 8))
    image.load()  # reads it through: it is whole
    return Samples(
        width=width,
        height=height,
        components=components,
        bits=bits,
        octets=_blocks(source),
        filter="DCTDecode",
        inverted=inverted,
        profile=profile,
    )


def _blocks(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        while block := file.read(1 << 18):
            yield block


def _profile(image: Image.Image, components: int) -> bytes:
    """The ICC profile (ISO 15076-1 section 7.2) if it is one for these components."""
    found = image.info.get("icc_profile")
    if not isinstance(found, bytes) or not 128 < len(found) <= _PROFILE_OCTETS:
        return b""
    fits = found[16:20] == _SPACE_SIGNATURES.get(components) and found[36:40] == b"acsp"
    return found if fits else b""


def _printed_mode(image: Image.Image) -> str:
    if _transparent(image):
        return "L" if image.mode == "LA" else "RGB"
    if image.mode in _DIRECT:
        return image.mode
    return "L" if image.mode[0] in "IF" else "RGB"


def _transparent(image: Image.Image) -> bool:
    keyed = image.mode in ("1", "L", "P", "RGB") and "transparency" in image.info
    return keyed or image.mode in ("RGBA", "LA", "PA", "RGBa", "La")


def _strips(image: Image.Image, mode: str) -> Iterator[bytes]:
    levels = _levels(image)
    rows = max(1, _STRIP // (4 * image.width))
    for top in range(0, image.height, rows):
        strip = image.crop((0, top, image.width, min(image.height, top + rows)))
        if _transparent(image):
            strip = strip.convert("RGBA")
            strip = Image.alpha_composite(Image.new("RGBA", strip.size, "white"), strip)
        elif levels is not None:
            strip = strip.convert("F").point(levels)
        yield (strip if strip.mode == mode else strip.convert(mode)).tobytes()


def _levels(image: Image.Image) -> Callable[[float], float] | None:
    """What takes values to 0 to 255, rounded; None where they have 8 bits already."""
    if image.mode.startswith("I;16"):
        return lambda value: value * (1 / 257) + 0.5
    if image.mode not in ("I", "F"):
        return None
    low, high = image.getextrema()
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    if image.mode == "I" and low >= 0 and high <= 65535:
        return lambda value: value * (1 / 257) + 0.5
    factor = 255 / (high - low) if high > low else 1.0
    return lambda value: value * factor + (0.5 - low * factor)


def main(source: str, output: str, width: str, height: str) -> int:
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    path, paper = Path(source), (float(width), float(height))
    try:
        with Image.open(path, formats=FORMATS) as image, Path(output).open("wb") as file:
            pdf = Paper(file)
            for page in _pages(image):
                where = place(page, paper)
                pdf.page(samples(page, path), where)
            sys.stdout.write(f"pages: {pdf.close()}\n")
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        sys.stderr.write(f"the picture has more than {MAX_PIXELS // 1_000_000} million pixels\n")
    except UnidentifiedImageError:
        sys.stderr.write("the picture is of no known kind, or damaged\n")
    except MemoryError:
        sys.stderr.write("MemoryError\n")
    except (Unprintable, OSError, *_DAMAGED) as error:
        sys.stderr.write(f"the picture is damaged: {str(error)[:200]!r}\n")
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
