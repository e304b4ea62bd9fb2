"""Pictures as cameras, scanners, faxes and the web make them."""

from __future__ import annotations

import io

from PIL import Image

from mailstore.document_format import DocumentFormat
from tests.corpus.bitmaps import card, fax
from tests.corpus.item import Item


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photo() -> bytes:
    """A camera's JPEG, held upright: it says so in its Exif, and nothing of its size."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return _saved(card(900, 600).transpose(Image.Transpose.ROTATE_90), "JPEG", exif=exif, quality=92)


def progressive_grey() -> bytes:
    """A progressive JPEG in grey."""
    return _saved(card(600, 400).convert("L"), "JPEG", progressive=True, dpi=(100, 100))


def cmyk() -> bytes:
    """A JPEG of four inks."""
    return _saved(card(600, 400).convert("CMYK"), "JPEG", dpi=(100, 100), quality=95)


def palette() -> bytes:
    """A PNG with a palette, interlaced by who made it or not."""
    return _saved(card(600, 400).quantize(32), "PNG", dpi=(100, 100))


def see_through() -> bytes:
    """A PNG with an alpha channel: seen on white."""
    image = card(400, 300)
    image.putalpha(Image.linear_gradient("L").resize((400, 300)))
    return _saved(image, "PNG", dpi=(100, 100))


def deep() -> bytes:
    """A PNG of 16 bits."""
    ramp = Image.linear_gradient("L").resize((400, 300)).convert("I").point(lambda value: value * 257)
    return _saved(ramp.convert("I;16"), "PNG", dpi=(100, 100))


def fax_pages() -> bytes:
    """A fax of three pages with pixels higher than wide."""
    sheet = fax(1600, 1000)
    turned = sheet.transpose(Image.Transpose.ROTATE_180)
    return _saved(sheet, "TIFF", compression="group4", dpi=(204, 98), save_all=True, append_images=[turned, sheet])


def tiff_inks() -> bytes:
    """A TIFF of four inks, compressed by LZW."""
    return _saved(card(600, 400).convert("CMYK"), "TIFF", compression="tiff_lzw", dpi=(100, 100))


def gif() -> bytes:
    """A GIF that moves: its first picture."""
    return _saved(card(500, 400).quantize(64), "GIF", save_all=True, append_images=[Image.new("P", (500, 400))])


def webp() -> bytes:
    """A WebP with loss."""
    return _saved(card(500, 700), "WEBP", quality=90)


_MADE = {
    DocumentFormat.JPEG: (photo, progressive_grey, cmyk),
    DocumentFormat.PNG: (palette, see_through, deep),
    DocumentFormat.TIFF: (fax_pages, tiff_inks),
    DocumentFormat.GIF: (gif,),
    DocumentFormat.WEBP: (webp,),
}
IMAGES = tuple(
    Item(make=make, format=kind, name=f"{kind.name.lower()}-{make.__name__.replace('_', '-')}")
    for kind, makers in _MADE.items()
    for make in makers
)
