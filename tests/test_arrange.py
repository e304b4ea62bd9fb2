"""Pages on paper as asked for: which, how large, how many on a sheet, which way; and nothing else of the document."""

from __future__ import annotations

import io
import itertools
from pathlib import Path

import pikepdf
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A3, A4, A5, landscape, letter
from reportlab.pdfgen.canvas import Canvas

from mailstore.ticket import Orientation, Scaling, Ticket
from printerbridge.converters.arrange import ARRANGE
from printerbridge.programs import arrange
from tests import documents, pictures

UPRIGHT, ACROSS = (595, 842), (842, 595)
PAPER = (595.28, 841.89)


def document(*pages: tuple[float, float]) -> bytes:
    """Pages with a frame, a mark in the upper left corner, and as many bars as the page has number."""
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    for number, (width, height) in enumerate(pages, 1):
        canvas.setPageSize((width, height))
        canvas.setLineWidth(6)
        canvas.rect(3, 3, width - 6, height - 6)
        canvas.rect(0, height - 90, 90, 90, fill=1)
        for bar in range(number):
            canvas.rect(120 + 24 * bar, 60, 12, height / 3, fill=1)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def changed(octets: bytes, number: int = 1, **keys: object) -> bytes:
    """The document with `keys` set in its page `number`."""
    file = io.BytesIO()
    with pikepdf.open(io.BytesIO(octets)) as pdf:
        for key, value in keys.items():
            pdf.pages[number - 1].obj[f"/{key}"] = value
        pdf.save(file)
    return file.getvalue()


async def arranged(folder: Path, octets: bytes, ticket: Ticket = Ticket()) -> Path:  # noqa: B008 - it is frozen
    return await pictures.made(folder, ARRANGE, octets, ticket=ticket)


def marked(page: Image.Image, x: float, y: float) -> bool:
    """Whether a page is dark at a place given in parts of it."""
    return pictures.hue(page, (x, y))[0] < 100


# Where pages go


def test_ranges_beyond_the_end_choose_nothing() -> None:
    assert arrange.chosen([], 3) == [0, 1, 2]
    assert arrange.chosen([(2, 2), (4, 99_999)], 5) == [1, 3, 4]
    assert arrange.chosen([(6, 9)], 5) == []


@pytest.mark.parametrize(
    ("count", "pages", "sheet", "first"),
    [
        (2, A4, ACROSS, "left"),
        (2, landscape(A4), UPRIGHT, "above"),
        (4, A4, UPRIGHT, "left"),
        (9, landscape(A4), ACROSS, "left"),
        (16, A4, UPRIGHT, "left"),
    ],
)
def test_pages_on_a_sheet_are_as_large_as_they_can_be(
    count: int, pages: tuple[float, float], sheet: tuple[int, int], first: str
) -> None:
    wish = arrange.Wish(paper=PAPER, number_up=count)
    size, cells = arrange.layout(wish, [pages] * count, from_right=False)
    assert tuple(map(round, size)) == sheet
    assert len(cells) == count
    one, two = cells[:2]
    assert (one.x < two.x and one.y == two.y) if first == "left" else (one.y > two.y and one.x == two.x)
    mirrored = arrange.layout(wish, [pages] * count, from_right=True)[1]
    assert (mirrored[0].x > mirrored[1].x) == (first == "left")
    for a, b in itertools.pairwise(cells):
        assert a.x + a.width <= b.x or b.x + b.width <= a.x or b.y + b.height <= a.y


@pytest.mark.parametrize(
    ("scaling", "page", "expected"),
    [
        ("auto", A4, 1.0),
        ("auto", (600.0, 842.0), 1.0),  # a hair too large is left
        ("auto", A5, 1.0),
        ("auto", A3, 0.707),
        ("fit", A5, 1.414),
        ("fill", letter, 1.063),
        ("none", A3, 1.0),
    ],
)
def test_scaling(scaling: str, page: tuple[float, float], expected: float) -> None:
    assert arrange.scale(page, PAPER, scaling) == pytest.approx(expected, rel=0.003)


# Drawn


@pytest.mark.slow
async def test_a_page_of_the_papers_size_stays_as_it_is(tmp_path: Path) -> None:
    source = document(A4, landscape(A4))
    path = await arranged(tmp_path, source)
    assert pictures.sizes(path) == [UPRIGHT, ACROSS]
    pictures.same(pictures.drawn(path, dpi=72), pictures.drawn(tmp_path / "source", dpi=72), tolerance=0.05)


@pytest.mark.slow
async def test_only_the_pages_asked_for(tmp_path: Path) -> None:
    source = document(*[A4] * 6)
    path = await arranged(tmp_path, source, Ticket(page_ranges=((2, 3), (6, 99))))
    whole = pictures.drawn(tmp_path / "source")
    pictures.same(pictures.drawn(path), [whole[1], whole[2], whole[5]], tolerance=0.05)
    assert documents.difference(whole[1], whole[2]) > 0.2
    _, finished = await pictures.run(tmp_path, ARRANGE, source, ticket=Ticket(page_ranges=((7, 9),)))
    assert finished.returncode == 1
    assert finished.stderr == b"none of the pages asked for: the document has 6\n"


@pytest.mark.slow
async def test_number_up_keeps_the_order(tmp_path: Path) -> None:
    path, finished = await pictures.run(tmp_path, ARRANGE, document(*[A4] * 3), ticket=Ticket(number_up=2))
    assert b"pages: 2" in finished.stdout
    assert pictures.sizes(path) == [ACROSS, ACROSS]
    sheet, last = pictures.drawn(path, dpi=72)
    single = pictures.drawn(tmp_path / "source", dpi=72)
    halves = [sheet.crop((0, 0, 421, 595)), sheet.crop((421, 0, 842, 595)), last.crop((0, 0, 421, 595))]
    for half, page in zip(halves, single, strict=True):
        found = half.crop(_frame(half)).resize((200, 280))
        assert documents.difference(found, page.crop(_frame(page)).resize((200, 280))) < 0.25
    assert pictures.blank(last.crop((430, 0, 842, 595)))


def _frame(page: Image.Image) -> tuple[int, int, int, int]:
    found = page.point(lambda value: 255 if value < 128 else 0).getbbox()
    assert found
    return found


@pytest.mark.slow
async def test_boxes_rotation_and_units_are_heeded(tmp_path: Path) -> None:
    crop = pikepdf.Array([0, 421, 297, 842])  # the quarter with the mark
    source = changed(document(A4, A4, A4), 1, CropBox=crop)
    source = changed(source, 2, Rotate=90)
    source = changed(source, 3, CropBox=crop, UserUnit=2.0)
    path = await arranged(tmp_path, source)
    assert pictures.sizes(path) == [UPRIGHT, ACROSS, UPRIGHT]
    cropped, rotated, large = pictures.drawn(path)
    assert marked(cropped, 0.28, 0.28)  # in the middle, as large as it was
    assert not marked(cropped, 0.05, 0.05)
    assert marked(rotated, 0.97, 0.05)
    assert marked(large, 0.2, 0.15)
    assert not marked(large, 0.4, 0.3)


@pytest.mark.slow
async def test_fit_none_and_orientation(tmp_path: Path) -> None:
    source = document(A5)
    fitted = pictures.drawn(await arranged(tmp_path, source, Ticket(scaling=Scaling.FIT)))[0]
    assert marked(fitted, 0.1, 0.05)
    assert not marked(pictures.drawn(await arranged(tmp_path, source))[0], 0.1, 0.05)
    across = await arranged(tmp_path, document(A4), Ticket(orientation=Orientation.LANDSCAPE))
    assert pictures.sizes(across) == [ACROSS]
    page = pictures.drawn(across)[0]
    assert marked(page, 0.28, 0.05)  # upright between white edges
    assert pictures.blank(page.crop((0, 0, page.width // 5, page.height)))
    cut = pictures.drawn(await arranged(tmp_path, document(A3), Ticket(scaling=Scaling.NONE)))[0]
    assert not marked(cut, 0.02, 0.02)


# What is left of a document


def form() -> bytes:
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    canvas.drawString(60, 780, "Name")
    canvas.acroForm.textfield(name="name", x=100, y=700, width=300, height=60, value="Ada Lovelace", fontSize=36)
    canvas.acroForm.checkbox(name="yes", x=100, y=600, size=60, checked=True)
    canvas.save()
    return file.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("bare", [False, True], ids=["with appearance", "without"])
async def test_what_was_written_into_a_form_is_printed(tmp_path: Path, bare: bool) -> None:
    file = io.BytesIO()
    with pikepdf.open(io.BytesIO(form())) as pdf:
        for field in pdf.pages[0].Annots.as_list() if bare else ():
            if field.T == "name":
                del field["/AP"]
        pdf.save(file)
    page = pictures.drawn(await arranged(tmp_path, file.getvalue()), dpi=72)[0]
    assert not pictures.blank(page.crop((110, 842 - 755, 390, 842 - 705)))
    assert not pictures.blank(page.crop((104, 842 - 656, 156, 842 - 604)))


@pytest.mark.slow
async def test_nothing_but_pages_is_left(tmp_path: Path) -> None:
    file = io.BytesIO()
    with pikepdf.open(io.BytesIO(document(A4))) as pdf:
        pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.JavaScript, JS="app.alert('SECRET')")
        pdf.Root.Names = pikepdf.Dictionary(JavaScript=pikepdf.Dictionary(Names=["a", pdf.Root.OpenAction]))
        pdf.pages[0].obj.AA = pikepdf.Dictionary(O=pdf.Root.OpenAction)
        pdf.attachments["secret.txt"] = b"SECRET"
        pdf.docinfo["/Author"] = "SECRET"
        pdf.save(file)
    path = await arranged(tmp_path, file.getvalue())
    with pikepdf.open(path) as pdf:
        assert set(pdf.Root.keys()) == {"/Type", "/Pages"}
        assert set(pdf.pages[0].obj.keys()) == {"/Type", "/Parent", "/MediaBox", "/Contents", "/Resources"}
        assert not pdf.docinfo.keys()
        said = b"".join(each.unparse(resolved=True) for each in pdf.objects if not isinstance(each, pikepdf.Stream))
        assert b"SECRET" not in said
        assert b"JavaScript" not in said


@pytest.mark.slow
async def test_a_layer_that_is_off_stays_off(tmp_path: Path) -> None:
    file = io.BytesIO()
    with pikepdf.open(io.BytesIO(document(A4))) as pdf:
        layer = pdf.make_indirect(pikepdf.Dictionary(Type=pikepdf.Name.OCG, Name="off"))
        pdf.Root.OCProperties = pikepdf.Dictionary(OCGs=[layer], D=pikepdf.Dictionary(OFF=[layer]))
        pdf.pages[0].Resources.Properties = pikepdf.Dictionary(L=layer)
        pdf.pages[0].contents_add(b"/OC /L BDC 0 0 595 842 re f EMC")
        pdf.save(file)
    path = await arranged(tmp_path, file.getvalue())
    assert documents.ink(pictures.drawn(path)[0]) < 0.3


# What cannot be arranged


@pytest.mark.slow
async def test_encrypted_is_told_from_damaged(tmp_path: Path) -> None:
    said = {}
    for name, octets in {"encrypted": documents.pdf(password="x"), "damaged": documents.damaged_pdf()}.items():
        _, finished = await pictures.run(tmp_path, ARRANGE, octets)
        assert finished.returncode == 1
        said[name] = finished.stderr
    assert b"Incorrect password" in said["encrypted"]
    assert b"Incorrect password" not in said["damaged"]
    assert b"damaged" in said["damaged"]


@pytest.mark.slow
async def test_a_document_cut_short_is_mended_or_refused(tmp_path: Path) -> None:
    whole = documents.pdf(3)
    whole_path = tmp_path / "whole.pdf"
    whole_path.write_bytes(whole)
    mended = await arranged(tmp_path, whole[: len(whole) * 9 // 10])  # its table of objects is lost
    pictures.same(pictures.drawn(mended), pictures.drawn(whole_path), tolerance=0.05)
    _, finished = await pictures.run(tmp_path, ARRANGE, whole[: len(whole) // 2])  # what is on its pages
    assert finished.returncode == 1
    assert b"lost" in finished.stderr
