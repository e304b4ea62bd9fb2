"""Makes appliance/sample.pdf, the page that the demo prints: python -m tests.make_sample"""

from __future__ import annotations

from pathlib import Path

from reportlab.lib.colors import HexColor
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

A4 = (595, 842)  # whole points, so that renderers have nothing to round
TARGET = Path(__file__).parent.parent / "appliance" / "sample.pdf"

WAY = ("mail", "SMTP", "maildrop", "bridge", "9100", "paper")
TEXT = (
    "You are looking at a print job that was an e-mail a moment ago.",
    "",
    "A sender attached a PDF and mailed it to phaser360@demo.example.  Printpost looked the",
    "printer up in its directory, saw that the sender may print there, wrote the message to disk",
    'and only then said "250".  The bridge took the PDF out of the mail, turned it into the',
    "language that the printer speaks, and sent it to port 9100.",
    "",
    "Nothing of this was made up for the demonstration but the names and the printer itself.",
)


def make(target: Path) -> None:
    for name in ("Vera", "VeraBd"):  # embedded, so that every renderer draws the same letters
        registerFont(TTFont(name, f"{name}.ttf"))
    canvas = Canvas(str(target), pagesize=A4, invariant=1)
    canvas.setTitle("A page by e-mail")
    canvas.setAuthor("Printpost")
    width, height = A4
    canvas.setFillColor(HexColor("#12324a"))
    canvas.rect(40, height - 132, width - 80, 92, stroke=0, fill=1)  # printers leave a margin
    canvas.setFillColor(HexColor("#ffffff"))
    canvas.setFont("VeraBd", 34)
    canvas.drawString(60, height - 88, "A page by e-mail")
    canvas.setFont("Vera", 13)
    canvas.drawString(60, height - 112, "Printpost gives every printer an e-mail address")
    canvas.setFillColor(HexColor("#1b1b1b"))
    canvas.setFont("Vera", 10.5)
    for number, line in enumerate(TEXT):
        canvas.drawString(56, height - 175 - 19 * number, line)
    _way(canvas, height - 390)
    _test_chart(canvas, 90)
    canvas.save()


def _way(canvas: Canvas, y: float) -> None:
    """One job's way as boxes and arrows."""
    box, gap = 66, 17
    for number, name in enumerate(WAY):
        x = 56 + number * (box + gap)
        canvas.setStrokeColor(HexColor("#12324a"))
        canvas.setFillColor(HexColor("#e7eef4"))
        canvas.setLineWidth(1.5)
        canvas.roundRect(x, y, box, 40, 6, stroke=1, fill=1)
        canvas.setFillColor(HexColor("#12324a"))
        canvas.setFont("Vera", 10.5)
        canvas.drawCentredString(x + box / 2, y + 16, name)
        if number:
            canvas.line(x - gap + 2, y + 20, x - 3, y + 20)
            canvas.line(x - 8, y + 24, x - 3, y + 20)
            canvas.line(x - 8, y + 16, x - 3, y + 20)


def _test_chart(canvas: Canvas, y: float) -> None:
    """What shows whether a page is whole: colours, greys, fine lines and small type."""
    for number, colour in enumerate(("#00aeef", "#ec008c", "#fff200", "#231f20", "#ed1c24", "#00a651", "#2e3192")):
        canvas.setFillColor(HexColor(colour))
        canvas.rect(56 + number * 69, y + 170, 69, 60, stroke=0, fill=1)
    for step in range(17):
        canvas.setFillGray(step / 16)
        canvas.rect(56 + step * 28.4, y + 110, 28.4, 40, stroke=0, fill=1)
    canvas.setStrokeGray(0)
    for step in range(24):
        canvas.setLineWidth(0.1 + step * 0.08)
        canvas.line(56 + step * 20, y + 50, 66 + step * 20, y + 95)
    canvas.setFillGray(0)
    x = 56.0
    for size in (4, 5, 6, 7, 8, 9, 10, 12, 14, 18):
        canvas.setFont("Vera", size)
        canvas.drawString(x, y + 15, f"{size} pt")
        x += canvas.stringWidth(f"{size} pt", "Vera", size) + 14
    canvas.setLineWidth(1)
    canvas.rect(40, 40, A4[0] - 80, A4[1] - 190, stroke=1, fill=0)


if __name__ == "__main__":
    make(TARGET)
