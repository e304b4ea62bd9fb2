"""PDFs whose pages are not simply A4 upright: sizes, boxes, rotation, units, and how many there are."""

from __future__ import annotations

import io
from collections.abc import Callable

import pikepdf
from reportlab.lib.pagesizes import A0, A3, A4, A5, A6, landscape, legal, letter
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from mailstore.document_format import DocumentFormat
from printerbridge.converters import text
from tests.corpus.item import Item


def document(*pages: tuple[float, float]) -> bytes:
    """Pages with nothing symmetrical: a title, lines, a dark corner, as many bars as the page has number.

    Their font is in them, so that programs draw them alike.
    """
    pdfmetrics.registerFont(TTFont("Mono", str(text.font())))
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    for number, (width, height) in enumerate(pages, 1):
        canvas.setPageSize((width, height))
        unit = min(width, height) / 20
        canvas.setLineWidth(unit / 8)
        canvas.rect(unit / 2, unit / 2, width - unit, height - unit)
        canvas.setFont("Mono", 2 * unit)
        canvas.drawString(2 * unit, height - 3 * unit, f"Page {number}")
        canvas.setFont("Mono", 0.8 * unit)
        for line in range(6):
            canvas.drawString(2 * unit, height - (5 + 1.5 * line) * unit, "Pack my box with five")
        canvas.rect(width - 4 * unit, height - 4 * unit, 3 * unit, 3 * unit, fill=1)
        for bar in range(number % 8):
            canvas.rect((2 + 2 * bar) * unit, 2 * unit, unit, 4 * unit, fill=1)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def changed(octets: bytes, change: Callable[[pikepdf.Pdf], None], **options: object) -> bytes:
    """A PDF in which something was changed by hand, saved with options of pikepdf."""
    file = io.BytesIO()
    with pikepdf.open(io.BytesIO(octets)) as pdf:
        change(pdf)
        pdf.save(file, **options)  # type: ignore[arg-type]
    return file.getvalue()


def all_across() -> bytes:
    """Every page is landscape: turned on paper that lies upright."""
    return document(landscape(A4), landscape(A4))


def mixed_sizes() -> bytes:
    """From A6 to A3, upright and across, in one document: each page shrunk, centred or turned by itself."""
    return document(A4, A5, letter, A3, landscape(A6), landscape(A3), legal)


def two_hundred_pages() -> bytes:
    """Many pages, each another: none is lost or twice."""
    return document(*[A4] * 200)


def rotated() -> bytes:
    """/Rotate in all its values, also negative and inherited."""

    def change(pdf: pikepdf.Pdf) -> None:
        for page, degrees in zip(pdf.pages, (90, 180, 270, -90, 0), strict=True):
            page.obj.Rotate = degrees
        pdf.Root.Pages.Rotate = 180
        del pdf.pages[1].obj.Rotate

    return changed(document(*[A4] * 5), change)


def cropped() -> bytes:
    """Crop boxes: what lies outside is not printed, and a box larger than the page is cut to it."""

    def change(pdf: pikepdf.Pdf) -> None:
        pdf.pages[0].obj.CropBox = pikepdf.Array([60, 300, 560, 800])
        pdf.pages[1].obj.CropBox = pikepdf.Array([-100, -100, 900, 1000])
        pdf.pages[2].obj.CropBox = pikepdf.Array([100, 100, 400, 700])
        pdf.pages[2].obj.Rotate = 90
        pdf.pages[3].obj.TrimBox = pikepdf.Array([60, 300, 560, 800])

    return changed(document(*[A4] * 4), change)


def origin_elsewhere() -> bytes:
    """Media boxes that begin below and above zero, and one with its corners exchanged."""

    def change(pdf: pikepdf.Pdf) -> None:
        for page, box in zip(pdf.pages, ((-50, -80, 545, 762), (30, 30, 565, 830), (595, 842, 0, 0)), strict=True):
            page.obj.MediaBox = pikepdf.Array(box)

    return changed(document(*[A4] * 3), change)


def user_unit() -> bytes:
    """Pages larger than PDF can say (ISO 32000-1 table 30)."""

    def change(pdf: pikepdf.Pdf) -> None:
        for page, unit in zip(pdf.pages, (2.0, 10.0), strict=True):
            page.obj.UserUnit = unit

    return changed(document(A4, (14400, 14400)), change, min_version="1.6")


def very_large() -> bytes:
    """A poster and the largest page that PDF 1.7 allows, shrunk to the paper."""
    return document(A0, (14400, 14400), landscape(A0))


def very_small() -> bytes:
    """A label and a stamp, as large as they are in the middle of the paper."""
    return document((227, 142), (72, 72), (40, 60))


def a_hair_off() -> bytes:
    """Nearly the paper's size, as producers round it: hardly moved, hardly scaled."""
    return document((595, 842), (595.92, 841.92), (596, 843), (594, 841))


PDF = DocumentFormat.PDF
PAGES = tuple(
    Item(make=make, format=PDF, tolerance=0.4)  # coarse shapes, whose edges are all that differs
    for make in (
        all_across,
        mixed_sizes,
        two_hundred_pages,
        rotated,
        cropped,
        origin_elsewhere,
        user_unit,
        very_large,
        very_small,
        a_hair_off,
    )
)
