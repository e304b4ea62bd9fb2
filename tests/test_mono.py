"""What the printer gets, looked at: grey where that is asked for, on the right paper, the same in each language."""

from __future__ import annotations

import io
import re
import struct
from pathlib import Path

import pikepdf
import pytest
from PIL import Image
from reportlab.lib.pagesizes import A3, A4, A5, landscape, letter
from reportlab.pdfgen.canvas import Canvas

from printerbridge.converters import cairo, eps, pdfwrite
from printerbridge.converters.mono import MONO
from printerbridge.converters.pcl import PCL
from printerbridge.converters.pclxl import PCLXL
from printerbridge.converters.pwg import PWG
from tests import documents, pictures

pytestmark = pytest.mark.slow  # foreign programs

MEDIA = {A4: "iso_a4_210x297mm", letter: "na_letter_8.5x11in", A5: "iso_a5_148x210mm", A3: "iso_a3_297x420mm"}
PCL_PAPER = {A4: b"26", letter: b"2", A5: b"25", A3: b"27"}
EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 1000 200 1200 350
%%EndComments
1000 200 100 150 rectfill
"""


async def test_grey_of_what_is_seen_through_looks_as_its_colours_did(tmp_path: Path) -> None:
    source = documents.pdf(2, transparent=True)
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, source)
    grey = await pictures.made(tmp_path, MONO, postscript)
    pictures.same(pictures.drawn(grey), pictures.drawn(tmp_path / "source"))
    assert not any(map(pictures.gray, pictures.colored(tmp_path / "source")))
    assert all(map(pictures.gray, pictures.colored(grey)))
    assert b"/DeviceRGB" not in grey.read_bytes()
    again = await pictures.made(tmp_path, cairo.LEVEL2, grey)
    pictures.same(pictures.drawn(again), pictures.drawn(grey))
    assert re.search(rb"^%%LanguageLevel: 2\r?$", again.read_bytes(), re.MULTILINE)


async def test_grey_of_a_photo(tmp_path: Path) -> None:
    image, file = Image.new("RGB", (300, 400), (255, 0, 0)), io.BytesIO()
    image.paste((0, 0, 255), (0, 200, 300, 400))
    image.save(file, "PDF", resolution=100, quality=95)
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, file.getvalue())
    grey = pictures.colored(await pictures.made(tmp_path, MONO, postscript))[0]
    assert pictures.gray(grey)
    upper, lower = pictures.hue(grey, (0.5, 0.4)), pictures.hue(grey, (0.5, 0.6))
    assert (upper[0], lower[0]) == pytest.approx((76, 29), abs=8)


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("size", MEDIA)
async def test_a_page_of_the_papers_size_is_not_scaled(tmp_path: Path, size: tuple[float, float], exact: bool) -> None:
    file = io.BytesIO()
    canvas = Canvas(file)
    for pages in (size, landscape(size)):
        canvas.setPageSize(pages)
        canvas.rect(40, 50, 250, 300, fill=1, stroke=0)
        canvas.showPage()
    canvas.save()
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, file.getvalue(), media=MEDIA[size], exact=exact)
    found = re.findall(rb"(-?[0-9.]+) (-?[0-9.]+) re f", postscript.read_bytes())
    assert [tuple(map(float, each)) for each in found] == [(250, 300), (300, 250)]  # the landscape page lies


@pytest.mark.parametrize("size", MEDIA)
async def test_pcl_draws_the_page_on_its_paper(tmp_path: Path, size: tuple[float, float]) -> None:
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, documents.pdf(2, size=size), media=MEDIA[size])
    path = await pictures.made(tmp_path, PCL, postscript, media=MEDIA[size])
    assert set(re.findall(rb"\x1b&l(\d+)A", path.read_bytes())) == {PCL_PAPER[size]}
    expected = pictures.drawn(tmp_path / "source")
    pictures.same(pictures.on_paper(pictures.drawn(path), expected), expected, tolerance=0.25)


@pytest.mark.parametrize("size", MEDIA)
async def test_pcl_in_colour_or_where_the_device_cannot_in_grey(tmp_path: Path, size: tuple[float, float]) -> None:
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, documents.pdf(size=size), media=MEDIA[size])
    path, finished = await pictures.run(tmp_path, PCL, postscript, media=MEDIA[size], color=True)
    assert finished.returncode == 0, finished.stdout
    planes = b"\x1b*r-3U" in path.read_bytes()  # three planes: cyan, magenta, yellow
    assert planes == (size in (A4, letter))


@pytest.mark.parametrize("color", [False, True])
async def test_pcl_xl_has_the_pages_and_is_in_colour_where_asked(tmp_path: Path, color: bool) -> None:
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, documents.pdf(3, transparent=True))
    path, finished = await pictures.run(tmp_path, PCLXL, postscript, color=color)
    assert b"pages: 3" in finished.stdout
    octets = path.read_bytes()
    assert pictures.pcl_xl_pages(octets) == 3
    spaces = set(re.findall(rb"\xc0(.)\xf8\x03\x6a", octets, re.DOTALL))  # SetColorSpace: 1 is grey, 2 is RGB
    assert (b"\x02" in spaces) == color


@pytest.mark.parametrize("size", [A4, letter])
@pytest.mark.parametrize("color", [False, True])
async def test_pwg_draws_the_page_and_names_its_paper(tmp_path: Path, size: tuple[float, float], color: bool) -> None:
    source = documents.pdf(2, size=size, transparent=True)
    postscript = await pictures.made(tmp_path, cairo.LEVEL3, source, media=MEDIA[size])
    path = await pictures.made(tmp_path, PWG, postscript, media=MEDIA[size], color=color)
    octets = path.read_bytes()
    pictures.same(pictures.drawn(path), pictures.drawn(tmp_path / "source"))
    assert [pictures.gray(page) for page, _ in pictures.pwg(octets)] == [not color] * 2
    assert octets[4 + 1732 : 4 + 1796].rstrip(b"\0").decode() == MEDIA[size]
    assert struct.unpack_from(">2L", octets, 4 + 352) == tuple(map(round, size))


@pytest.mark.parametrize("dos", [False, True])
async def test_eps_is_as_large_as_its_box(tmp_path: Path, dos: bool) -> None:
    octets = EPS
    if dos:
        preview = b"II*\0" + bytes(60)
        places = struct.pack("<6LH", 30, len(EPS), 0, 0, 30 + len(EPS), len(preview), 0xFFFF)
        octets = b"\xc5\xd0\xd3\xc6" + places + EPS + preview
    path, finished = await pictures.run(tmp_path, eps.DOS_EPS if dos else eps.EPS, octets)
    assert b"pages: 1" in finished.stdout
    assert pictures.sizes(path) == [(200, 150)]
    page = pictures.drawn(path)[0]
    assert [pictures.hue(page, (x, 0.5))[0] for x in (0.25, 0.75)] == [0, 255]


async def test_pictures_are_not_coded_again_with_loss(tmp_path: Path) -> None:
    image = Image.effect_noise((120, 120), 80)
    program = b"%%!PS\n120 120 scale 120 120 8 [120 0 0 -120 0 120] {currentfile 120 string readhexstring pop} image\n"
    program += b"%s\nshowpage\n%%%%EOF\n"
    path = await pictures.made(tmp_path, pdfwrite.PDF, program % image.tobytes().hex().encode())
    with pikepdf.open(path) as pdf:
        streams = [each for each in pdf.objects if isinstance(each, pikepdf.Stream)]
        (found,) = [each for each in streams if each.get("/Subtype") == "/Image"]
        assert found.read_bytes() == image.tobytes()
