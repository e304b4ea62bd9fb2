"""Small documents to print, made here, and the means to look at the pages that come of them."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageChops, ImageFilter, ImageStat
from reportlab.lib.pagesizes import A4
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfgen.canvas import Canvas

TEXT = "Pack my box with five dozen liquor jugs. Größe, naïve, façade, €, Ξεσκεπάζω, Съешь ещё, ┌─┐"
"""Latin, Greek, Cyrillic and boxes: what plain text must show right."""


def pdf(
    pages: int = 1,
    *,
    size: tuple[float, float] = A4,
    title: str = "Page",
    transparent: bool = False,
    password: str = "",
) -> bytes:
    """A PDF of `pages` with a title, a frame, rules and grey bars; with overlapping see-through discs; encrypted."""
    file = io.BytesIO()
    encrypt = StandardEncryption(password, ownerPassword="owner", strength=128) if password else None
    canvas = Canvas(file, pagesize=size, encrypt=encrypt, invariant=1)
    width, height = size
    for number in range(1, pages + 1):
        canvas.setFont("Helvetica-Bold", 36)
        canvas.drawString(72, height - 108, f"{title} {number}")
        canvas.rect(36, 36, width - 72, height - 72)
        canvas.setFont("Times-Roman", 12)
        for line in range(12):
            canvas.drawString(72, height - 150 - 16 * line, "The quick brown fox jumps over the lazy dog. " * 2)
        for bar in range(8):
            canvas.setFillGray(bar / 8)
            canvas.rect(72 + 30 * bar, 90, 30, 60, stroke=0, fill=1)
        canvas.setFillGray(0)
        if transparent:
            canvas.setFillAlpha(0.4)
            for disc in range(5):
                canvas.setFillColorRGB(disc / 5, 0.3, 1 - disc / 5)
                canvas.circle(150 + 50 * disc, 280, 60, stroke=0, fill=1)
            canvas.setFillAlpha(1)
            canvas.setFillGray(0)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def damaged_pdf() -> bytes:
    """Looks like a PDF, and none of its objects can be found."""
    return b"%PDF-1.4\n" + b"1 0 obj << /Type /Catalog /Pages 9 0 R >>\n" * 5


def pdf_with_hidden_postscript(marker: str) -> bytes:
    """A one-page PDF whose PostScript XObject (ISO 32000-1 section 8.8.2) holds `marker` as a comment and a string."""
    hidden = f"%{marker}\n({marker}) pop\n".encode()
    drawn = b"0.5 g 72 72 200 200 re f /Hidden Do"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources 6 0 R >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /XObject /Subtype /PS /Length %d >>\nstream\n%s\nendstream" % (len(hidden), hidden),
        b"<< /XObject << /Hidden 5 0 R >> >>",
    ]
    file = bytearray(b"%PDF-1.4\n")
    offsets = []
    for number, value in enumerate(objects, 1):
        offsets.append(len(file))
        file += b"%d 0 obj\n%s\nendobj\n" % (number, value)
    table = len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    file += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    file += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(file)


def postscript(pages: int = 1, *, title: str = "Page", body: str = "") -> bytes:
    """PostScript of `pages` in A4 with a title and a box; `body` runs on each of them."""
    lines = ["%!PS-Adobe-3.0", f"%%Pages: {pages}", "%%EndComments", "<< /PageSize [595 842] >> setpagedevice"]
    for number in range(1, pages + 1):
        lines += [
            f"%%Page: {number} {number}",
            f"/Helvetica-Bold findfont 36 scalefont setfont 72 734 moveto ({title} {number}) show",
            "2 setlinewidth 72 200 400 300 rectstroke 0.5 setgray 100 250 120 120 rectfill",
            body,
            "showpage",
        ]
    return "\n".join([*lines, "%%EOF", ""]).encode("ascii")


def pages_of(document: Path, *, dpi: int = 72) -> list[Image.Image]:
    """The pages of a PostScript or PDF file in grey: PostScript by Ghostscript, PDF by poppler."""
    with TemporaryDirectory() as folder:
        with document.open("rb") as file:
            is_pdf = file.read(5) == b"%PDF-"
        if is_pdf:
            command = ["pdftoppm", "-gray", "-r", str(dpi), str(document), f"{folder}/page"]
        else:
            smooth = ["-dTextAlphaBits=4", "-dGraphicsAlphaBits=4", "-dBATCH", "-dNOPAUSE", "-q", "-dSAFER"]
            device = ["-sDEVICE=pgmraw", f"-r{dpi}", f"-sOutputFile={folder}/page-%06d.pgm"]
            command = ["gs", *smooth, *device, "-f", str(document)]
        subprocess.run(command, check=True, timeout=60, capture_output=True)
        images = []
        for path in sorted(Path(folder).glob("page-*.pgm")):
            with Image.open(path) as image:
                images.append(image.convert("L"))
        return images


def ink(page: Image.Image) -> float:
    """How dark a page is: 0 white, 1 black."""
    return 1 - ImageStat.Stat(page).mean[0] / 255


def difference(one: Image.Image, other: Image.Image) -> float:
    """How far two pages are apart where they differ most, 0 to 1, after a blur that forgives a pixel's shift.

    The same page drawn by two programs differs by about 0.1, a page with one other letter in its title by 0.5: take
    0.2 as the border.  Pages may differ by a pixel in size.
    """
    assert abs(one.width - other.width) <= 1, (one.size, other.size)
    assert abs(one.height - other.height) <= 1, (one.size, other.size)
    box = (0, 0, min(one.width, other.width), min(one.height, other.height))
    blurred = [page.crop(box).filter(ImageFilter.GaussianBlur(3)) for page in (one, other)]
    return ImageStat.Stat(ImageChops.difference(*blurred)).extrema[0][1] / 255
