"""Pictures of pages: drawn by a real child, checked and encoded here."""

from __future__ import annotations

import asyncio
import io
import itertools
import random
import zlib
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from reportlab.pdfgen.canvas import Canvas

from mailstore.store.papers import THUMBNAIL_OCTETS
from printerbridge import thumbnails as pictures
from printerbridge.converters import python
from printerbridge.sandbox import Limits
from printerbridge.thumbnails import HEIGHT, LIMITS, PAGES, WIDTH, Samples, png, thumbnails
from tests import documents

TIMEOUT = 30.0


def opened(octets: bytes) -> Image.Image:
    """Decoded to the last chunk; a wrong checksum raises."""
    assert len(octets) <= THUMBNAIL_OCTETS
    image = Image.open(io.BytesIO(octets))
    assert image.format == "PNG"
    image.load()
    return image


async def drawn(folder: Path, pdf: bytes, pages: int, *, limits: Limits = LIMITS) -> list[tuple[int, Image.Image]]:
    document, work = folder / "document.pdf", folder / "work"
    document.write_bytes(pdf)
    work.mkdir()
    made = await thumbnails(document, pages, folder=work, timeout=TIMEOUT, limits=limits)
    assert list(work.iterdir()) == []  # nothing stays
    return [(number, opened(octets)) for number, octets in made]


def coloured(*sizes: tuple[float, float]) -> bytes:
    """Pages of these sizes in points; the upper half is red on the first, green on the second, blue on the third."""
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    for size, colour in zip(sizes, itertools.cycle([(1, 0, 0), (0, 1, 0), (0, 0, 1)]), strict=False):
        canvas.setPageSize(size)
        canvas.setFillColorRGB(*colour)
        canvas.rect(0, size[1] / 2, size[0], size[1] / 2, stroke=0, fill=1)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


# -- drawing


async def test_the_first_pages_are_drawn_as_they_are(tmp_path: Path) -> None:
    a4 = (595, 842)
    made = await drawn(tmp_path, coloured(*[a4] * (PAGES + 2)), PAGES + 2)
    assert [number for number, _ in made] == [*range(1, PAGES + 1)]
    for (_, image), upper in zip(made, [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 0, 0)], strict=True):
        assert image.mode == "RGB"
        assert image.width == WIDTH
        assert abs(image.height - WIDTH * 842 / 595) <= 1
        for x in (0, WIDTH // 2, WIDTH - 1):
            assert image.getpixel((x, 5)) == upper
            assert image.getpixel((x, image.height - 5)) == (255, 255, 255)


async def test_a_page_without_colours_is_grey_and_like_the_page(tmp_path: Path) -> None:
    ((_, image),) = await drawn(tmp_path, documents.pdf(title="Page"), 1)
    assert image.mode == "L"
    octets = image.tobytes()
    assert max(octets) == 255
    row = octets[image.width * round(WIDTH * (842 - 120) / 595) :][: image.width]
    bars = [row[round(WIDTH * (72 + 30 * bar + 15) / 595)] for bar in range(8)]
    assert bars == pytest.approx([255 * bar / 8 for bar in range(8)], abs=2)


async def test_only_as_many_as_the_document_has(tmp_path: Path) -> None:
    assert [number for number, _ in await drawn(tmp_path, documents.pdf(2), 9)] == [1, 2]


async def test_no_page_no_picture(tmp_path: Path) -> None:
    assert await thumbnails(tmp_path / "nowhere", 0, folder=tmp_path, timeout=TIMEOUT) == []


@pytest.mark.parametrize("size", [(842, 595), (100, 10_000), (14_400, 20), (3, 3)])
async def test_pages_of_every_shape_fit(tmp_path: Path, size: tuple[float, float]) -> None:
    ((_, image),) = await drawn(tmp_path, coloured(size), 1)
    scale = min(WIDTH / size[0], HEIGHT / size[1])
    assert image.width == pytest.approx(max(1, min(WIDTH, size[0] * scale)), abs=1)
    assert image.height == pytest.approx(max(1, min(HEIGHT, size[1] * scale)), abs=1)


@pytest.mark.parametrize(
    "pdf", [b"", b"no PDF at all", documents.damaged_pdf(), documents.pdf(password="secret")], ids=len
)
async def test_what_cannot_be_drawn_has_no_picture(
    tmp_path: Path, pdf: bytes, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await drawn(tmp_path, pdf, 1) == []
    assert "pictures of a document's pages are missing" in caplog.text + capsys.readouterr().out


async def test_a_folder_that_is_gone_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "document.pdf").write_bytes(documents.pdf())
    assert await thumbnails(tmp_path / "document.pdf", 1, folder=tmp_path / "gone", timeout=TIMEOUT) == []


# -- a child that was taken over


PAGE = b"P5\n2 2\n255\n\x00\x40\x80\xff"


@pytest.fixture
def taken_over(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the child does instead, as a line for the shell."""
    script: list[str] = []

    def command(*_: object, **__: object) -> Sequence[str]:
        return ["sh", "-c", script[0]]

    monkeypatch.setattr(python, "command", command)
    return script


def shell(octets: bytes) -> str:
    return "printf '" + "".join(f"\\{octet:03o}" for octet in octets) + "'"


@pytest.mark.parametrize(
    "octets",
    [
        PAGE + b"\0",  # longer than it says
        PAGE[:-1],
        b"P5\n161 2\n255\n" + bytes(322),
        b"P5\n2 321\n255\n" + bytes(642),
        b"P5\n0 2\n255\n",
        b"P5\n02 2\n255\n" + bytes(4),
        b"P5\n2 2\n65535\n" + bytes(8),
        b"P6\n2 2\n255\n" + bytes(4),
        b"P4\n8 1\n255\n" + bytes(8),
        b"P5 2 2 255 " + bytes(4),
        b"P5\n\xd9\xa2 2\n255\n" + bytes(4),
        b"\x89PNG\r\n\x1a\n" + bytes(40),
        b"",
    ],
)
async def test_what_is_not_what_it_says_is_no_picture(tmp_path: Path, taken_over: list[str], octets: bytes) -> None:
    taken_over.append(f"{shell(octets)} > page-1; {shell(PAGE)} > page-2")
    assert await drawn(tmp_path, b"", 4) == []


async def test_what_is_what_it_says_are_samples(tmp_path: Path, taken_over: list[str]) -> None:
    taken_over.append(f"{shell(PAGE)} > page-1; {shell(PAGE)} > page-2; {shell(PAGE)} > page-5; {shell(PAGE)} > other")
    (_, first), (number, _) = await drawn(tmp_path, b"", 4)
    assert (number, first.size, first.tobytes()) == (2, (2, 2), PAGE[-4:])


@pytest.mark.parametrize(
    "script",
    ["ln -s secret page-1", "ln secret page-1", "mkfifo page-1", "mkdir page-1"],
)
async def test_nothing_but_a_file_is_read(
    tmp_path: Path, taken_over: list[str], script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken_over.append(f"{shell(PAGE)} > secret; {script}; exit")
    left = set[str]()
    made = pictures._made

    def looked(work: Path) -> list[tuple[int, bytes]]:
        left.update(path.name for path in work.iterdir())
        return made(work)

    monkeypatch.setattr(pictures, "_made", looked)
    async with asyncio.timeout(TIMEOUT):  # a pipe would be waited for
        assert await drawn(tmp_path, b"", 4, limits=Limits(processes=8)) == []
    assert left >= {"page-1", "secret"}  # so much it could do


async def test_pages_that_were_drawn_in_time_stay(tmp_path: Path, taken_over: list[str]) -> None:
    taken_over.append(f"{shell(PAGE)} > page-1; while :; do :; done")
    document = tmp_path / "document.pdf"
    document.write_bytes(b"")
    made = await thumbnails(document, 4, folder=tmp_path, timeout=1.0)
    assert [number for number, _ in made] == [1]


# -- encoding


@pytest.mark.parametrize(("components", "mode"), [(1, "L"), (3, "RGB")])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 3), (WIDTH, 30)])
def test_a_picture_comes_back_as_it_was(components: int, mode: str, width: int, height: int) -> None:
    octets = random.Random(7).randbytes(width * height * components)
    image = opened(png(Samples(width=width, components=components, octets=octets)))
    assert (image.size, image.mode, image.tobytes()) == ((width, height), mode, octets)


def test_a_photograph_is_kept_as_differences_without_loss() -> None:
    """Too large as it is; smooth down the page, so that the differences are small."""
    chance = random.Random(7)
    row = chance.randbytes(3 * WIDTH)
    octets = b"".join(bytes((value + line) % 256 for value in row) for line in range(HEIGHT))
    assert len(zlib.compress(octets, 9)) > THUMBNAIL_OCTETS
    assert opened(png(Samples(width=WIDTH, components=3, octets=octets))).tobytes() == octets


def test_what_is_still_too_large_has_fewer_colours() -> None:
    octets = random.Random(7).randbytes(3 * WIDTH * HEIGHT)  # nothing is larger
    image = opened(png(Samples(width=WIDTH, components=3, octets=octets)))
    assert image.size == (WIDTH, HEIGHT)
    before = Image.frombytes("RGB", image.size, octets)
    difference = ImageStat.Stat(ImageChops.difference(before, image)).extrema
    assert max(highest for _, highest in difference) < 128


async def test_a_photograph_on_paper(tmp_path: Path) -> None:
    """Through the whole way, with all its colours lost but a few."""
    noise = Image.frombytes("RGB", (WIDTH, HEIGHT), random.Random(7).randbytes(3 * WIDTH * HEIGHT))
    file, source = io.BytesIO(), tmp_path / "noise.png"
    noise.save(source)
    canvas = Canvas(file, pagesize=(WIDTH, HEIGHT), invariant=1)
    canvas.drawImage(str(source), 0, 0, WIDTH, HEIGHT)
    canvas.save()
    ((_, image),) = await drawn(tmp_path, file.getvalue(), 1)
    difference = ImageStat.Stat(ImageChops.difference(noise, image)).mean
    assert max(difference) < 48
