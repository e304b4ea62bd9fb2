"""Looking at a printed page: how far it is from its source, and a picture of it for a terminal."""

from __future__ import annotations

from pathlib import Path

import pypdfium2
from PIL import Image, ImageChops, ImageFilter, ImageStat

DPI = 150
SAME = 0.42
"""Border of `difference`: two renderers put the same page out with up to 0.36, one other small word makes 0.5."""
_BLUR = 1.5


def difference(document: Path, picture: Path) -> float:
    """How far the first page of a PDF file is from a picture of a page at `DPI`, where they differ most, from 0 to 1.

    Both are blurred a little, which forgives how a renderer draws an edge and nothing that can be read.  Pages whose
    sizes differ by more than a pixel differ by 1.
    """
    with pypdfium2.PdfDocument(document) as pdf:
        source = pdf[0].render(scale=DPI / 72, grayscale=True).to_pil().convert("L")
    with Image.open(picture) as page:
        printed = page.convert("L")
    if abs(source.width - printed.width) > 1 or abs(source.height - printed.height) > 1:
        return 1.0
    box = (0, 0, min(source.width, printed.width), min(source.height, printed.height))
    blurred = [one.crop(box).filter(ImageFilter.GaussianBlur(_BLUR)) for one in (source, printed)]
    return float(ImageStat.Stat(ImageChops.difference(*blurred)).extrema[0][1]) / 255


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
