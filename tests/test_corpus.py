"""Every document of the corpus on paper: what comes out of a conversion looks as the document itself.

The document is drawn by another program than those that convert it (`tests/corpus/truth.py`), the result as a printer
would; page is compared with page.  Where words are the truth, they are looked for in the PDF on the way, and the result
is compared with that PDF.
"""

from __future__ import annotations

import subprocess
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.convert import Converted, convert
from tests import pictures
from tests.corpus import bitmaps, graphics, images, letters, pages, producers, programs, shipped, structure, truth
from tests.corpus.item import Item

pytestmark = pytest.mark.slow  # foreign programs

MEDIA = "iso_a4_210x297mm"
TOLERANCE = 0.2  # a line of text that is missing differs by more
HALFTONE = 0.3  # of dots, in which PCL 5 has its greys
DRAWN = (Language.POSTSCRIPT, Language.PDF, Language.PCL, Language.PWG, Language.POSTSCRIPT2, Language.PCLXL)
CORPUS = (
    *pages.PAGES,
    *graphics.GRAPHICS,
    *bitmaps.BITMAPS,
    *structure.STRUCTURE,
    *producers.PRODUCERS,
    *shipped.SHIPPED,
    *programs.PROGRAMS,
    *shipped.SHIPPED_PROGRAMS,
    shipped.SHIPPED_EPS,
    *programs.RASTERS,
    *images.IMAGES,
    *letters.TEXTS,
    *letters.PAGES_OF_WEB,
)


def cells() -> Iterator[tuple[Item, Language]]:
    """Every document to PostScript, the first of each format to all languages, a third of the others to one more."""
    seen, turn = set[DocumentFormat](), 0
    for item in CORPUS:
        if item.format not in seen:
            seen.add(item.format)
            yield from ((item, language) for language in DRAWN)
        else:
            turn += 1
            yield item, DRAWN[0]
            if turn % 3 == 0:
                yield item, DRAWN[1 + turn // 3 % (len(DRAWN) - 1)]
    for number, item in enumerate(letters.OFFICE):
        yield item, DRAWN[number]


CELLS = [pytest.param(item, language, id=f"{item.label}-{language}") for item, language in cells()]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("corpus")


@pytest.fixture(scope="module")
def made(folder: Path) -> dict[str, Path]:
    """Documents that were made already, by their names."""
    return {}


def source(item: Item, folder: Path, made: dict[str, Path]) -> Path:
    if item.label not in made:
        path = made[item.label] = folder / item.label
        path.write_bytes(item.make())
    return made[item.label]


async def converted(item: Item, language: Language, document: Path, folder: Path) -> Converted:
    return await convert(
        document,
        item.format,
        [language],
        folder=folder,
        media=MEDIA,
        charset=item.charset,
        color=language is not Language.PCL,  # of which the decoder knows black only
        as_is=False,
        keep_pdf=True,
    )


def looks(result: Converted, like: list[Image.Image]) -> list[Image.Image]:
    dpi = truth.FINE * truth.DPI
    if result.language is Language.PCL:
        sheets = [Image.new("L", (round(595.28 * dpi / 72), round(841.89 * dpi / 72))) for _ in like]
        return [truth.upright(page) for page in pictures.on_paper(pictures.drawn(result.path, dpi=dpi), sheets)]
    if result.language in (Language.POSTSCRIPT, Language.POSTSCRIPT2):
        return [truth.upright(page) for page in truth.of_postscript(result.path.read_bytes())]
    if result.language is Language.PDF:
        return [truth.upright(page) for page in pictures.colored(result.path, dpi=dpi)]
    return [truth.upright(page.convert("RGB")) for page in pictures.drawn(result.path, dpi=dpi)]


def words(pdf: Path) -> list[str]:
    found = subprocess.run(["pdftotext", pdf, "-"], capture_output=True, check=True, timeout=30).stdout.decode()
    return "".join(each for each in found if unicodedata.category(each) != "Cf").split()


def expected(item: Item, document: Path, result: Converted) -> list[Image.Image]:
    if item.words:
        assert result.pdf
        found = words(result.pdf)
        assert all(word in found for word in item.words), found
        return truth.of_pdf(result.pdf.read_bytes())
    return truth.of(item.whole() if item.whole else document.read_bytes(), item.format)


@pytest.mark.parametrize(("item", "language"), CELLS)
async def test_what_is_printed_looks_as_the_document(
    item: Item, language: Language, folder: Path, made: dict[str, Path]
) -> None:
    document = source(item, folder, made)
    result = await converted(item, language, document, folder)
    like = expected(item, document, result)
    assert like
    assert result.pages == len(like)
    if language is Language.PCLXL:
        assert pictures.pcl_xl_pages(result.path.read_bytes()) == len(like)
        return
    found = looks(result, like)
    assert len(found) == len(like)
    tolerance = max(item.tolerance, HALFTONE if language is Language.PCL else TOLERANCE)
    for number, (one, other) in enumerate(zip(found, like, strict=True), 1):
        off = truth.apart(one, other, enough=tolerance)
        assert off <= tolerance, f"page {number} differs by {off:.2f}"
    result.path.unlink()


def without_a_line(page: Image.Image) -> Image.Image:
    ink = page.convert("L").point(lambda value: 255 if value < 200 else 0)
    rows = [ink.crop((0, y, page.width, y + 1)).getbbox() is not None for y in range(page.height)]
    start = rows.index(True, page.height // 3)
    start = rows.index(True, rows.index(False, start))
    end = rows.index(False, start)
    assert 3 <= end - start <= 16, "no line of text"
    changed = page.copy()
    ImageDraw.Draw(changed).rectangle((0, start - 1, page.width, end), fill="white")
    return changed


def without_a_picture(page: Image.Image) -> Image.Image:
    changed = page.copy()
    ImageDraw.Draw(changed).rectangle((0, 0, page.width, page.height // 4), fill="white")
    return changed


def shifted(page: Image.Image) -> Image.Image:
    return ImageChops.offset(page, 3, 3)


def paler(page: Image.Image) -> Image.Image:
    return Image.blend(page, Image.new(page.mode, page.size, "white"), 0.5)


@pytest.mark.parametrize("damage", [without_a_line, without_a_picture, shifted, paler])
async def test_a_page_that_lacks_something_is_told(
    damage: Callable[[Image.Image], Image.Image], folder: Path, made: dict[str, Path]
) -> None:
    item = next(each for each in letters.PAGES_OF_WEB if each.make is letters.newsletter)
    document = source(item, folder, made)
    result = await converted(item, Language.POSTSCRIPT, document, folder)
    like = expected(item, document, result)
    found = looks(result, like)
    assert truth.apart(found[0], like[0]) <= TOLERANCE
    assert truth.apart(damage(found[0]), like[0]) > HALFTONE
