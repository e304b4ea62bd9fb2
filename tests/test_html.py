"""HTML letters on paper: what they show, and that they reach nothing."""

from __future__ import annotations

import asyncio
import base64
import io
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from PIL import Image

from printerbridge import sandbox
from printerbridge.converters import python, text
from printerbridge.converters.contract import Media, Task
from printerbridge.converters.html import HTML
from printerbridge.programs import html
from tests import documents

pytestmark = pytest.mark.slow  # WeasyPrint takes half a second to start

A4 = "iso_a4_210x297mm"


def _picture(color: str = "black", size: tuple[int, int] = (100, 100)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


async def _draw(
    folder: Path,
    letter: str | bytes,
    *,
    media: str = A4,
    charset: str = "utf_8",
    shown: tuple[tuple[str, bytes], ...] = (),
    timeout: float = 60,
) -> tuple[sandbox.Finished, Path]:
    source, work = folder / "letter", folder / "work"
    source.write_bytes(letter if isinstance(letter, bytes) else letter.encode())
    work.mkdir(exist_ok=True)
    pictures = []
    for number, (content_id, octets) in enumerate(shown):
        (folder / f"shown-{number}").write_bytes(octets)
        pictures.append((content_id, str(folder / f"shown-{number}")))
    task = Task(
        source=str(source),
        output="letter.pdf",
        media=Media.named(media),
        charset=charset,
        shown=tuple(pictures),
    )
    readable = (*HTML.readable(), source, *(Path(path) for _, path in pictures))
    finished = await sandbox.run(
        HTML.command(task), folder=work, timeout=timeout, readable=readable, limits=HTML.limits
    )
    return finished, work / "letter.pdf"


async def _pages(folder: Path, letter: str | bytes, **settings: object) -> list[Image.Image]:
    finished, path = await _draw(folder, letter, **settings)  # type: ignore[arg-type]
    assert finished.returncode == 0, finished.stderr
    pages = documents.pages_of(path)
    assert finished.stdout == b"pages: %d\n" % len(pages)
    return pages


async def _text(path: Path) -> str:
    process = await asyncio.create_subprocess_exec(
        "pdftotext", "-layout", str(path), "-", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    return output.decode()


def _dark(page: Image.Image) -> tuple[int, int, int, int]:
    """Where the dark of a page lies, in points."""
    box = page.point(lambda value: 255 if value < 128 else 0).getbbox()
    assert box is not None
    return box


@asynccontextmanager
async def _listener() -> AsyncIterator[tuple[int, list[bytes]]]:
    """A web server of a sender who wants to know: its port, and what it was asked."""
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(100))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], asked
    finally:
        server.close()
        await server.wait_closed()


# What it shows

SLIP = """<html><head><style>.head {background: #c0c0c0} td {padding: 4px}</style></head><body>
<table class="head" width="100%"><tr><td><img src="cid:logo%40library" alt="Library" width="100" height="100"></td>
<td><h1>Resource Request</h1></td></tr></table>
<p>Title: Ευκλείδου Στοιχεία</p><p>Barcode: <img src="http://192.0.2.1/barcode.png" alt="*31234*"></p></body></html>"""


async def test_a_library_slip_shows_its_logo_and_what_stands_for_pictures_far_away(tmp_path: Path) -> None:
    (page,) = await _pages(tmp_path, SLIP, shown=(("<logo@library>", _picture()),))
    text = await _text(tmp_path / "work" / "letter.pdf")
    assert "Ευκλείδου Στοιχεία" in text
    assert "*31234*" in text
    assert "Library" not in text
    left, top, *_ = _dark(page)
    logo = page.crop((left + 1, top + 1, left + 73, top + 73))  # 100 CSS pixels are 75 points
    assert documents.ink(logo) > 0.95
    assert 0.2 < documents.ink(page.crop((400, 45, 550, 55))) < 0.3  # the colour behind the table
    assert documents.ink(page.crop((0, 300, 595, 842))) == 0


async def test_without_its_picture_the_text_for_it_is_shown(tmp_path: Path) -> None:
    await _pages(tmp_path, SLIP, shown=(("another@library", _picture()),))
    assert "Library" in await _text(tmp_path / "work" / "letter.pdf")


async def test_pictures_within_the_letter_are_shown_and_not_wider_than_the_paper(tmp_path: Path) -> None:
    inside = base64.b64encode(_picture(size=(3000, 60))).decode()
    (page,) = await _pages(tmp_path, f'<img src="data:image/png;base64,\n{inside}">', media="om_roll_80x200mm")
    left, _, right, _ = _dark(page)
    assert page.width == 227
    assert left >= 10
    assert right <= 227 - 10
    assert right - left > 190


async def test_what_is_wider_than_the_paper_is_shrunk(tmp_path: Path) -> None:
    cells = "".join(f"<td width=200 style='background:black'>{number}</td>" for number in range(4))
    (page,) = await _pages(tmp_path, f"<table width=800><tr>{cells}</tr></table>END")
    left, _, right, _ = _dark(page)
    assert left >= 30
    assert 550 < right <= 595 - 30


async def test_a_wide_newsletter_flows_on_a_narrow_roll(tmp_path: Path) -> None:
    cells = "".join(f"<td width=500>column {number} {'word ' * 20}</td>" for number in range(2))
    pages = await _pages(tmp_path, f"<table width=1000><tr>{cells}</tr></table>", media="om_roll_80x200mm")
    left, _, right, _ = _dark(pages[0])
    assert left >= 8
    assert right <= 227 - 8
    assert "column" in await _text(tmp_path / "work" / "letter.pdf")


async def test_endless_height_is_no_paper(tmp_path: Path) -> None:
    letter = "<body bgcolor=#eeeeee><p>first<div style='height: 20000px'></div><p>last"
    assert len(await _pages(tmp_path, letter)) == 2
    assert len(await _pages(tmp_path, "<div style='border: 1px solid; height: 20px'></div>")) == 1
    finished, path = await _draw(tmp_path, "<body bgcolor=#eeeeee><div style='height:500px'></div>")
    assert finished.stdout == b"pages: 0\n"
    assert path.stat().st_size == 0


async def test_the_paper_is_the_printers_whatever_the_letter_says(tmp_path: Path) -> None:
    style = "<style>@page { size: 2000mm 3000mm !important; margin: 0 } @page :first { size: A0 }</style>"
    for media, size in ((A4, (595, 842)), ("na_letter_8.5x11in", (612, 792))):
        (page,) = await _pages(tmp_path, f"{style}<p>text", media=media)
        assert all(abs(one - other) <= 1 for one, other in zip(page.size, size, strict=True))
        assert _dark(page)[0] > 30


async def test_scripts_of_the_world(tmp_path: Path) -> None:
    hello = "\u0645\u0631\u062d\u0628\u0627"
    letter = f"<p>中文 かな 한국어<p dir=rtl>{hello} {hello}"
    (page,) = await _pages(tmp_path, letter)
    assert _dark(page)[2] > 595 - 40  # from the right
    assert "中文 かな 한국어" in await _text(tmp_path / "work" / "letter.pdf")


@pytest.mark.parametrize(
    ("octets", "charset", "words"),
    [
        ("<p>Größe".encode("cp1252"), "cp1252", "Größe"),
        ("<p>Größe".encode(), "utf_8", "Größe"),
        ("\ufeff<meta charset=koi8-r><p>Größe".encode(), "cp1252", "Größe"),
        ("<meta charset=koi8-r><p>Съешь".encode("koi8-r"), "cp1252", "Съешь"),
        ("<meta charset=utf-8><p>Größe".encode("cp1252"), "iso8859_15", "Größe"),
        (
            '<meta http-equiv="Content-Type" content="text/html; charset=ISO-2022-JP"><p>印刷'.encode("iso2022_jp"),
            "utf_8",
            "印刷",
        ),
        ("<meta charset=koi8-r><p>Größe".encode(), "utf_8", "Größe"),
        ("<p>Größe".encode("utf-16"), "utf_16", "Größe"),
    ],
)
def test_the_charset_is_that_of_the_octets_the_mail_or_the_letter(octets: bytes, charset: str, words: str) -> None:
    assert html.decoded(octets, charset).endswith(words)


# What it does not reach

REACHING = """<!doctype html><html><head><base href="http://127.0.0.1:{port}/"><link rel=stylesheet href="style.css">
<link rel=stylesheet href="http://127.0.0.1:{port}/a.css"><link rel=attachment href="file://{secret}">
<link rel=attachment href="data:text/plain,attached"><meta http-equiv=refresh content="0;url=http://127.0.0.1:{port}/">
<style>@import "http://127.0.0.1:{port}/b.css"; @import url(file://{secret});
@font-face {{ font-family: far; src: url(http://127.0.0.1:{port}/far.woff) }}
body {{ background: url(http://127.0.0.1:{port}/c.png); font-family: far, sans-serif }}
li {{ list-style-image: url(file://{picture}) }} p::before {{ content: url(file://{picture}) }}</style></head><body>
<p>seen</p><ul><li>item</ul><img src="file://{picture}" alt="one"><img src="{picture}" alt="two">
<img src="http://127.0.0.1:{port}/d.png" alt="three"><img src="//127.0.0.1:{port}/e.png" alt="four">
<img srcset="http://127.0.0.1:{port}/f.png 2x" src="FILE:{picture}" alt="five">
<object data="file://{secret}">six</object><embed src="http://127.0.0.1:{port}/g"><iframe src="file://{secret}"></iframe>
<svg width=100 height=100 xmlns:xlink="http://www.w3.org/1999/xlink"><image width=100 height=100 href="file://{picture}"/>
<use href="http://127.0.0.1:{port}/h.svg#x"/><style>@import url(http://127.0.0.1:{port}/i.css);</style></svg>
<img alt="seven" src='data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100"
 xmlns:xlink="http://www.w3.org/1999/xlink"><image width="100" height="100" xlink:href="file://{picture}"/>
<image width="100" height="100" xlink:href="http://127.0.0.1:{port}/j.png"/></svg>'>
<img alt="eight" src='data:image/svg+xml,<!DOCTYPE s [<!ENTITY e SYSTEM "file://{secret}">]><svg
 xmlns="http://www.w3.org/2000/svg" width="100" height="20"><text y="10">&e;</text></svg>'>
<a href="http://127.0.0.1:{port}/link">link</a> <a rel=attachment href="data:text/plain,attached">attached</a>
<script>document.location = "http://127.0.0.1:{port}/script"</script></body></html>"""


async def test_a_letter_reaches_neither_the_network_nor_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where nothing but the program itself is in its way."""
    monkeypatch.setattr(sandbox, "_level", sandbox.Level.RLIMITS)
    secret, picture = tmp_path / "secret.txt", tmp_path / "secret.png"
    secret.write_text("the secret")
    picture.write_bytes(_picture())
    async with _listener() as (port, asked):
        letter = REACHING.format(port=port, secret=secret, picture=picture)
        (page,) = await _pages(tmp_path, letter)
    assert asked == []
    text = await _text(tmp_path / "work" / "letter.pdf")
    for word in ("seen", "item", "one", "two", "three", "four", "five", "six", "link"):
        assert word in text
    assert "secret" not in text
    assert documents.ink(page) < 0.01  # a black square would be more
    octets = (tmp_path / "work" / "letter.pdf").read_bytes()
    for forbidden in (b"/URI", b"/EmbeddedFile", b"127.0.0.1", b"/JavaScript", str(tmp_path).encode()):
        assert forbidden not in octets


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "http://192.0.2.1/",
        "ftp://192.0.2.1/",
        "/etc/passwd",
        "letter",
        "cid:other",
        "cid:../../etc/passwd",
        "data:text/plain,text",
        "data:font/woff;base64,d09GRgABAAAAAA==",
        "data:",
        "jar:file:///etc/passwd",
    ],
)
def test_nothing_but_pictures_and_styles_of_the_letter_is_fetched(url: str) -> None:
    with pytest.raises(ValueError, match=r"not in the letter|neither picture"):
        html.Fetcher({"logo": "/etc/passwd"})(url)


# What it survives


@pytest.mark.parametrize(
    "letter",
    [
        "<div>" * 3000 + "deep" + "</div>" * 3000,
        "<table><tr><td>" * 150 + "deep",
        "<p style='width: 1e300px; margin: -1e300px; font-size: 1e9px'>x</p><p>deep",
        "<b>" * 500 + "deep",
    ],
    ids=["divs", "tables", "numbers", "formatting"],
)
async def test_a_letter_that_cannot_be_laid_out_is_still_read(tmp_path: Path, letter: str) -> None:
    finished, path = await _draw(tmp_path, letter)
    assert finished.returncode == 0, finished.stderr[-300:]
    assert "deep" in await _text(path)


def test_a_letter_that_takes_too_long_is_printed_as_text(tmp_path: Path) -> None:
    """In a process of its own, with less patience."""
    (tmp_path / "letter").write_text("<table><tr><td>one<td>two</table><p>three &amp; <b>four</b>" * 600)
    words = ("letter", "letter.pdf", "utf-8", "300", "300")
    command = python.command("html", *words, packages=True)
    at = command.index("-B") + 1
    lines = (
        "import runpy, sys",
        "program = runpy.run_path(sys.argv[1], run_name='program')",
        "program['main'].__globals__['PATIENCE'] = 0.3",
        "sys.exit(program['main'](*sys.argv[2:]))",
    )
    command[at:at] = ["-c", "\n".join(lines)]
    ended = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=100)
    assert ended.returncode == 0, ended.stderr[-500:]
    shown = subprocess.run(["pdftotext", "letter.pdf", "-"], cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert shown.stdout.decode().split()[:5] == ["one", "two", "three", "&", "four"]
    assert shown.stdout.count(b"one two\n") == shown.stdout.count(b"three & four\n") == 600


async def test_a_picture_of_too_many_pixels_is_not_opened(tmp_path: Path) -> None:
    file = io.BytesIO()
    Image.new("1", (20_000, 20_000)).save(file, "PNG")
    await _pages(tmp_path, "<img src=cid:bomb alt=bomb>", shown=(("bomb", file.getvalue()),))
    assert "bomb" in await _text(tmp_path / "work" / "letter.pdf")


async def test_a_letter_larger_than_any_is_refused(tmp_path: Path) -> None:
    finished, _ = await _draw(tmp_path, b" " * (html.MAX_LETTER + 1))
    assert (finished.returncode, finished.stderr) == (1, b"the letter is too large\n")


async def test_no_font_of_a_letters_own_is_read_whatever_it_calls_itself(tmp_path: Path) -> None:
    font = base64.b64encode(text.font().read_bytes()).decode()
    face = f"@font-face {{ font-family: own; src: url('data:text/css;base64,{font}') }}"
    letter = "<!doctype html><style>{} p {{ font-family: own, sans-serif }}</style><p>What fonts are is code."
    (one,), (other,) = [await _pages(tmp_path, letter.format(style)) for style in (face, "")]
    assert one.tobytes() == other.tobytes()
