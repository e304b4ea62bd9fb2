"""What a document looks like on paper by the rules, drawn by another program than those that convert it, and how far a
result is from that.

The rules: a page larger than the paper is shrunk, a smaller one stands in the middle, one that lies across is turned to
the left.  A result that lies across is turned before it is compared, as printers do.
"""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pypdfium2
from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageSequence

from mailstore.document_format import DocumentFormat

DPI = 50
FINE = 2  # so many times finer is drawn, since programs draw small things each in their own way
BLUR = 1.5
PAPER = (595.28, 841.89)
MARGIN = 18.0  # points round a picture that does not say how large it is
_EPS = frozenset({DocumentFormat.EPS, DocumentFormat.DOS_EPS})
_PICTURES = frozenset(getattr(DocumentFormat, name) for name in ("JPEG", "PNG", "TIFF", "GIF", "WEBP"))


def of(octets: bytes, kind: DocumentFormat) -> list[Image.Image]:
    """The pages of a document on paper."""
    if octets[:1024].find(b"%PDF-") >= 0:
        return of_pdf(octets)
    if kind in _PICTURES:
        return of_picture(octets)
    assert kind is DocumentFormat.POSTSCRIPT or kind in _EPS, kind
    return of_program(octets, "-dEPSCrop" if kind in _EPS else "-dSAFER")


def of_pdf(octets: bytes) -> list[Image.Image]:
    """By pdfium, as it prints them."""
    with pypdfium2.PdfDocument(io.BytesIO(octets)) as pdf:
        pdf.init_forms()
        pages = []
        for page in pdf:
            width, height = page.get_width(), page.get_height()
            scale = _scale(width, height) * FINE * DPI / 72
            drawn = page.render(scale=scale, may_draw_forms=True, optimize_mode="print").to_pil()
            pages.append(on_paper(drawn, across=width > height))
        return pages


def of_program(octets: bytes, option: str) -> list[Image.Image]:
    """By Ghostscript, each page at its own size."""
    return [_sized(page, *(side * 72 / FINE / DPI for side in page.size)) for page in of_postscript(octets, option)]


def of_postscript(octets: bytes, option: str = "-dSAFER") -> list[Image.Image]:
    """The pages of a program in colour, finer: grey is then made of them as of everything else."""
    with TemporaryDirectory() as folder:
        smooth = ["-dTextAlphaBits=4", "-dGraphicsAlphaBits=4"]
        output = ["-sDEVICE=ppmraw", f"-r{FINE * DPI}", f"-sOutputFile={folder}/%04d.ppm"]
        command = ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", option, *smooth, *output, "-"]
        subprocess.run(command, input=octets, check=True, capture_output=True, timeout=60)
        pages = []
        for path in sorted(Path(folder).iterdir()):
            with Image.open(path) as image:
                pages.append(image.convert("RGB"))
        return pages


def of_picture(octets: bytes) -> list[Image.Image]:
    """By Pillow: as large as it says, else up to a margin; all pages of a TIFF, the first of what moves."""
    with Image.open(io.BytesIO(octets)) as image:
        pages = []
        for frame in ImageSequence.Iterator(image):
            x, y = (float(number) for number in frame.info.get("dpi", (0, 0)))
            seen = ImageOps.exif_transpose(frame.copy())
            assert seen is not None
            if seen.mode == "I;16":
                seen = seen.convert("I").point(lambda value: value / 257)
            seen = _on_white(seen)
            width, height = (seen.width * 72 / x, seen.height * 72 / y) if x else (0, 0)
            says = x and width < PAPER[0] and height < PAPER[1]
            pages.append(_sized(seen, *((width, height) if says else _filling(*seen.size)), turns=not says))
            if image.format != "TIFF":
                break
        return pages


def _filling(width: float, height: float) -> tuple[float, float]:
    room = [side - 2 * MARGIN for side in (PAPER[::-1] if width > height else PAPER)]
    scale = min(room[0] / width, room[1] / height)
    return width * scale, height * scale


def _on_white(image: Image.Image) -> Image.Image:
    white = Image.new("RGB", image.size, "white")
    seen = image.convert("RGBA") if image.has_transparency_data else image.convert("RGB")
    white.paste(seen, mask=seen if seen.mode == "RGBA" else None)
    return white


def _scale(width: float, height: float) -> float:
    room = PAPER[::-1] if width > height else PAPER
    return min(1.0, room[0] / width, room[1] / height)


def _sized(image: Image.Image, width: float, height: float, *, turns: bool = True) -> Image.Image:
    """A picture of a page that is so large in points, on paper."""
    by = _scale(width, height) * FINE * DPI / 72
    size = (max(1, round(width * by)), max(1, round(height * by)))
    return on_paper(image.convert("RGB").resize(size, Image.Resampling.BOX), across=turns and width > height)


def on_paper(drawn: Image.Image, *, across: bool) -> Image.Image:
    """A page, drawn finer, in the middle of a sheet."""
    size = [round(side * FINE * DPI / 72) for side in PAPER]
    sheet = Image.new("RGB", (size[1], size[0]) if across else (size[0], size[1]), "white")
    sheet.paste(drawn.convert("RGB"), ((sheet.width - drawn.width) // 2, (sheet.height - drawn.height) // 2))
    return upright(sheet)


def upright(page: Image.Image) -> Image.Image:
    """A page that was drawn finer, at `DPI` and as the paper lies."""
    page = page.reduce(FINE)
    return page.transpose(Image.Transpose.ROTATE_90) if page.width > page.height else page


def apart(one: Image.Image, other: Image.Image, *, enough: float = 0.0) -> float:
    """How far two pages are apart where they differ most, 0 to 1; not more exactly than `enough`.

    Each pixel has to lie between the lightest and the darkest of the nine round the same place of the other page: so
    edges may be drawn in their own way, and by a pixel elsewhere, but nothing may be missing, added or another shade.
    """
    assert abs(one.width - other.width) <= 1, (one.size, other.size)
    assert abs(one.height - other.height) <= 1, (one.size, other.size)
    box = (0, 0, min(one.width, other.width), min(one.height, other.height))
    pages = [page.crop(box).convert("L").filter(ImageFilter.GaussianBlur(BLUR)) for page in (one, other)]
    worst = _most(ImageChops.difference(*pages))
    if worst <= enough:
        return worst
    worst = 0.0
    for page, against in (pages, pages[::-1]):
        light, dark = against.filter(ImageFilter.MaxFilter(3)), against.filter(ImageFilter.MinFilter(3))
        worst = max(worst, _most(ImageChops.subtract(page, light)), _most(ImageChops.subtract(dark, page)))
    return worst


def _most(image: Image.Image) -> float:
    found = image.getextrema()[1]
    assert isinstance(found, int | float)
    return found / 255
