"""Looking at a printed page: how far it is from its source, and a picture of it for a terminal."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
from PIL import Image, ImageChops, ImageFilter, ImageStat

DPI = 100
SAME = 0.2
"""Border of `difference`: two renderers put the same page out with about 0.1, one other letter makes 0.5."""


def difference(document: Path, picture: Path) -> float:
    """How far the first page of a PDF file is from a picture of a page where they differ most, from 0 to 1.

    Both are blurred a little, which forgives a pixel's shift and nothing that can be read.  Pages whose sizes differ by
    more than two pixels at `DPI` differ by 1.
    """
    with pypdfium2.PdfDocument(document) as pdf:
        source = pdf[0].render(scale=DPI / 72, grayscale=True).to_pil().convert("L")
    with Image.open(picture) as page:
        scale = source.width / page.width
        printed = page.convert("L").resize(
            (round(page.width * scale), round(page.height * scale)), Image.Resampling.BOX
        )
    if abs(source.height - printed.height) > 2:
        return 1.0
    box = (0, 0, source.width, min(source.height, printed.height))
    blurred = [one.crop(box).filter(ImageFilter.GaussianBlur(3)) for one in (source, printed)]
    darkest = ImageStat.Stat(ImageChops.difference(*blurred)).extrema[0][1]
    return float(darkest) / 255


def thumbnail(picture: Path, columns: int) -> str:
    """A picture as text for a terminal that has 24-bit colours, `columns` wide, two points to a character."""
    with Image.open(picture) as page:
        rows = round(columns * page.height / page.width) // 2 * 2
        points = page.convert("RGB").resize((columns, rows), Image.Resampling.LANCZOS).load()
    assert points is not None

    def cell(x: int, y: int) -> str:
        upper, lower = (";".join(map(str, points[x, line])) for line in (y, y + 1))  # type: ignore[arg-type]
        return f"\x1b[38;2;{upper}m\x1b[48;2;{lower}m▀"

    return "\n".join("".join(cell(x, y) for x in range(columns)) + "\x1b[0m" for y in range(0, rows, 2))
