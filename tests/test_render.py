from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image, ImageChops, ImageStat
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase.pdfmetrics import registerFont
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from printerbridge.render import IMAGE_DPI, Rendering, postscript_errors, render, sniff_language

PAGE = b"/Times-Roman findfont 60 scalefont setfont 72 500 moveto (%d) show 72 100 200 200 rectfill showpage\n"


@pytest.mark.parametrize(
    ("prefix", "language"),
    [
        (b"%!PS-Adobe-3.0\n", "postscript"),
        (b"\x04%!\n", "postscript"),
        (b"%PDF-1.7\n", "pdf"),
        (b"\r\nsome junk\n%PDF-1.4", "pdf"),
        (b") HP-PCL XL;2;0\n", "pclxl"),
        (b"\x1bE\x1b&l0O", "pcl"),
        (b"RaS2PwgRaster\0", "pwg"),
        ("Grüße\r\n".encode(), "text"),
        (b"\x00\x01\x02", "octets"),
        (b"", "octets"),
    ],
)
def test_languages_are_told_by_their_first_octets(prefix: bytes, language: str) -> None:
    assert sniff_language(prefix) == language


def test_ghostscripts_errors_become_a_printers() -> None:
    said, error = postscript_errors(b"before\nError: /undefined in foo\nOperand stack:\n  many more lines\n")
    assert said.startswith(b"before\n%%[ Error: undefined; OffendingCommand: foo ]%%\r\n%%[ Flushing: rest of job")
    assert b"Operand" not in said
    assert error == "PostScript error undefined in foo"
    assert postscript_errors(b"Errors: none\n") == (b"Errors: none\n", "")


async def draw(
    tmp_path: Path, document: bytes, language: str = "", *, around: bytes = b"", timeout: float = 30
) -> Rendering:
    source = tmp_path / "job-0001.prn"
    await asyncio.to_thread(source.write_bytes, around + document + around)
    start = len(around)
    return await render(
        source,
        start=start,
        end=start + len(document),
        language=language,
        stem=tmp_path / "job-0001",
        first_page=1,
        timeout=timeout,
    )


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def pdf(pages: int) -> bytes:
    file = io.BytesIO()
    registerFont(TTFont("Vera", "Vera.ttf"))  # embedded, so that every renderer draws the same letters
    canvas = Canvas(file, pagesize=A4)
    for number in range(1, pages + 1):
        canvas.setFont("Vera", 60)
        canvas.drawString(72, 500, f"Page {number}")
        canvas.setFillColorRGB(0.8, 0.1, 0.1)
        canvas.circle(300, 250, 40 * number, fill=1)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def reference(document: bytes, page: int) -> Image.Image:
    """The page as a third renderer draws it."""
    with pypdfium2.PdfDocument(document) as opened:
        picture: Image.Image = opened[page].render(scale=IMAGE_DPI / 72).to_pil()
        return picture.convert("L")


def same(image: Path, expected: Image.Image) -> None:
    """The same picture, but for the edges of letters, and not a white page."""
    with Image.open(image) as opened:
        drawn = opened.convert("L")
    assert max(abs(a - b) for a, b in zip(drawn.size, expected.size, strict=True)) <= 1
    common = (0, 0, min(drawn.width, expected.width), min(drawn.height, expected.height))
    drawn, expected = drawn.crop(common), expected.crop(common)
    ink = _difference(Image.new("L", expected.size, 255), expected)
    assert ink > 2
    assert _difference(drawn, expected) < ink / 12


def _difference(one: Image.Image, other: Image.Image) -> float:
    """The mean difference of two grey pictures, 0 to 255."""
    return ImageStat.Stat(ImageChops.difference(one, other)).mean[0]


@pytest.mark.slow
async def test_a_pdf_comes_out_as_it_is(tmp_path: Path) -> None:
    document = pdf(2)
    drawn = await draw(tmp_path, document)
    assert (drawn.language, drawn.pages, drawn.error) == ("pdf", 2, "")
    assert drawn.pdf == tmp_path / "job-0001.pdf"
    assert drawn.pdf.read_bytes() == document
    assert [image.name for image in drawn.images] == ["job-0001-1.png", "job-0001-2.png"]
    for number, image in enumerate(drawn.images):
        same(image, reference(document, number))


@pytest.mark.slow
async def test_postscript_comes_out_as_the_pdf_it_was_made_from(tmp_path: Path) -> None:
    source = tmp_path / "source.pdf"
    document = pdf(1)
    source.write_bytes(document)
    child = await asyncio.create_subprocess_exec(
        "pdftocairo", "-ps", "-level2", str(source), str(tmp_path / "source.ps")
    )
    assert await asyncio.wait_for(child.wait(), 30) == 0
    drawn = await draw(tmp_path, (tmp_path / "source.ps").read_bytes())
    assert (drawn.language, drawn.pages, drawn.error) == ("postscript", 1, "")
    same(drawn.images[0], reference(document, 0))


@pytest.mark.slow
async def test_a_document_is_cut_out_of_its_job(tmp_path: Path) -> None:
    document = b"\x04%!\n" + PAGE % 1 + PAGE % 2 + b"(%%[ cookie: 1 ]%%) print flush\n\x04"
    drawn = await draw(tmp_path, document, "POSTSCRIPT", around=b"\x00 not for the interpreter )")
    assert (drawn.pages, drawn.output, drawn.error) == (2, b"%%[ cookie: 1 ]%%", "")


@pytest.mark.slow
async def test_a_second_document_does_not_replace_the_first(tmp_path: Path) -> None:
    first = await draw(tmp_path, pdf(1))
    again = await render(
        tmp_path / "job-0001.prn",
        start=0,
        end=(tmp_path / "job-0001.prn").stat().st_size,
        language="PDF",
        stem=tmp_path / "job-0001",
        first_page=2,
        timeout=30,
    )
    assert [first.pdf, again.pdf] == [tmp_path / "job-0001.pdf", tmp_path / "job-0001.2.pdf"]
    assert [image.name for image in again.images] == ["job-0001-2.png"]


@pytest.mark.slow
async def test_a_program_without_pages(tmp_path: Path) -> None:
    drawn = await draw(tmp_path, b"%!\n1 1 add =\n")
    assert (drawn.pages, drawn.pdf, drawn.output, drawn.error) == (0, None, b"2\n", "")


@pytest.mark.slow
async def test_pages_before_an_error_are_printed(tmp_path: Path) -> None:
    drawn = await draw(tmp_path, b"%!\n" + PAGE % 1 + b"nonsense\n" + PAGE % 2)
    assert (drawn.pages, drawn.error) == (1, "PostScript error undefined in nonsense")
    assert drawn.output.startswith(b"%%[ Error: undefined; OffendingCommand: nonsense ]%%")


@pytest.mark.slow
async def test_a_loop_ends_at_the_deadline(tmp_path: Path) -> None:
    drawn = await draw(tmp_path, b"%!\n{} loop\n", timeout=0.5)
    assert drawn.pages == 0
    assert "longer than 0.5 seconds" in drawn.error


@pytest.mark.slow
@pytest.mark.parametrize(
    "program",
    [
        b"(/etc/passwd) (r) file 1000 string readstring pop print flush",
        b"(%pipe%id) (r) file 1000 string readstring pop print flush",
        b"(/tmp/x) (w) file (owned) writestring",
        b"(job-0001.pdf) deletefile",
    ],
)
async def test_postscript_gets_at_no_file(tmp_path: Path, program: bytes) -> None:
    drawn = await draw(tmp_path, b"%!\n" + program + b"\n")
    assert "PostScript error" in drawn.error
    assert b"root" not in drawn.output


@pytest.mark.slow
async def test_a_broken_pdf(tmp_path: Path) -> None:
    drawn = await draw(tmp_path, b"%PDF-1.7\n" + b"nothing of the kind\n" * 10)
    assert (drawn.language, drawn.pages, drawn.images) == ("pdf", 0, ())
    assert drawn.error == "the PDF cannot be read"


@pytest.mark.slow
async def test_a_page_as_large_as_a_house(tmp_path: Path) -> None:
    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(200_000, 200_000))
    canvas.drawString(0, 0, "x")
    canvas.save()
    drawn = await draw(tmp_path, file.getvalue())
    assert (drawn.pages, drawn.images, drawn.error) == (1, (), "the pages could not be drawn")


async def test_text_is_kept_as_text(tmp_path: Path) -> None:
    drawn = await draw(tmp_path, b"Hello, paper.\r\n", around=b"\x1b%-12345X")
    assert (drawn.language, drawn.pages, drawn.text) == ("text", 0, tmp_path / "job-0001.txt")
    assert (tmp_path / "job-0001.txt").read_bytes() == b"Hello, paper.\r\n"


@pytest.mark.parametrize(("document", "language"), [(b"\x1bE hello \x1bE", "pcl"), (b"\0\1", "octets")])
async def test_what_cannot_be_drawn_is_only_named(tmp_path: Path, document: bytes, language: str) -> None:
    assert await draw(tmp_path, document) == Rendering(language=language)
    assert names(tmp_path) == ["job-0001.prn"]


async def test_the_language_that_pjl_names_counts(tmp_path: Path) -> None:
    assert (await draw(tmp_path, b"%!PS\n", "PCL")).language == "pcl"
