"""What a document should look like on paper, drawn by another program than those that convert it, and how far a result
is from that.

The rules: a page larger than the paper is shrunk, a smaller one stands in the middle, one that lies across is turned to
the left; where the page has the paper's size nothing is done.  A result that lies across is turned before it is compared:
printers do that.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import pypdfium2
from PIL import Image, ImageChops, ImageFilter

DPI = 50
FINE = 2  # so many times finer is drawn, since programs draw small things each in their own way
PAPER = (595.28, 841.89)
BLUR = 1.5


def of_pdf(octets: bytes) -> list[Image.Image]:
    """The pages of a PDF on paper, drawn by pdfium."""
    with pypdfium2.PdfDocument(io.BytesIO(octets)) as pdf:
        pdf.init_forms()
        return [_placed(page) for page in pdf]


def _placed(page: pypdfium2.PdfPage) -> Image.Image:
    width, height = page.get_width(), page.get_height()
    across = width > height
    room = PAPER[::-1] if across else PAPER
    scale = min(1.0, room[0] / width, room[1] / height)
    drawn = page.render(scale=scale * FINE * DPI / 72, may_draw_forms=True, optimize_mode="print")
    return on_paper(drawn.to_pil(), across=across)


def on_paper(drawn: Image.Image, *, across: bool) -> Image.Image:
    """A picture of a page at its size, in the middle of a sheet that lies upright."""
    sheet = Image.new("RGB", pixels(across=across), "white")
    sheet.paste(drawn.convert("RGB"), ((sheet.width - drawn.width) // 2, (sheet.height - drawn.height) // 2))
    return upright(sheet)


def pixels(*, across: bool = False) -> tuple[int, int]:
    width, height = (round(side * FINE * DPI / 72) for side in PAPER)
    return (height, width) if across else (width, height)


def upright(page: Image.Image) -> Image.Image:
    """A page drawn so much finer, at `DPI` and as the paper lies."""
    page = page.reduce(FINE)
    return page.transpose(Image.Transpose.ROTATE_90) if page.width > page.height else page


def apart(one: Image.Image, other: Image.Image) -> float:
    """How far two pages are apart where they differ most, 0 to 1.

    Each pixel has to lie between the lightest and the darkest of the nine round the same place of the other page: so
    edges may be drawn in their own way, and by a pixel elsewhere, but nothing may be missing, added or another shade.
    """
    box = (0, 0, min(one.width, other.width), min(one.height, other.height))
    pages = [page.crop(box).convert("L").filter(ImageFilter.GaussianBlur(BLUR)) for page in (one, other)]
    worst = 0
    for page, against in (pages, pages[::-1]):
        light, dark = against.filter(ImageFilter.MaxFilter(3)), against.filter(ImageFilter.MinFilter(3))
        for beyond in (ImageChops.subtract(page, light), ImageChops.subtract(dark, page)):
            worst = max(worst, int(beyond.getextrema()[1]))  # type: ignore[arg-type]
    return worst / 255
