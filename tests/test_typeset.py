"""Plain text on paper: charsets, glyphs, rows and pages."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import ImageFont

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from printerbridge.convert import Converted, convert
from printerbridge.converters import text, typeset
from tests import documents


async def _set(
    folder: Path,
    octets: bytes,
    *,
    language: Language = Language.PDF,
    charset: str = "utf-8",
    media: str = "iso_a4_210x297mm",
) -> Converted:
    document = folder / "document"
    document.write_bytes(octets)
    return await convert(document, DocumentFormat.TEXT, [language], folder=folder, media=media, charset=charset)


async def _output(path: Path, *argv: str) -> str:
    process = await asyncio.create_subprocess_exec(*argv, str(path), "-", stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0
    return output.decode()


@pytest.mark.parametrize(
    ("charset", "encoding", "words"),
    [
        ("utf-8", "utf-8", documents.TEXT),
        ("UTF-8", "utf-8-sig", documents.TEXT),
        ("utf-16", "utf-16", documents.TEXT),
        ("iso-8859-1", "latin-1", "Größe, naïve, façade"),
        ("windows-1252", "cp1252", "10 € — “quoted”"),
        ("us-ascii", "cp1252", "10 € — “quoted”"),
        ("iso-8859-7", "iso8859-7", "Ξεσκεπάζω"),
        ("koi8-r", "koi8-r", "Съешь ещё"),
        ("utf-8", "cp1252", "wrongly declared: é"),
        ("no-such-charset", "utf-8", documents.TEXT),
        ("zip", "utf-8", documents.TEXT),
    ],
)
async def test_text_is_set_in_its_charset(tmp_path: Path, charset: str, encoding: str, words: str) -> None:
    converted = await _set(tmp_path, words.encode(encoding), charset=charset)
    assert converted.pages == 1
    shown = await _output(converted.path, "pdftotext", "-layout")
    assert shown.split() == words.split()


async def test_text_is_drawn_with_its_own_glyphs(tmp_path: Path) -> None:
    pages = []
    for char in ("Ж", "\u4e00"):  # the font has the first
        converted = await _set(tmp_path, (char * 60).encode(), language=Language.POSTSCRIPT)
        pages += documents.pages_of(converted.path, dpi=216)
    row = pages[0].point(lambda value: 255 if value < 200 else 0).getbbox()
    assert row is not None
    assert abs((row[2] - row[0]) / 3 - 60 * 6.02) < 3  # sixty columns, in points
    assert documents.difference(*pages) > 0.2


async def test_text_pages_follow_form_feeds_and_the_paper(tmp_path: Path) -> None:
    lines = "".join(f"line {number}\n" for number in range(100)) + "\fafter the feed\n\f"
    converted = await _set(tmp_path, lines.encode())
    assert converted.pages == 3
    shown = (await _output(converted.path, "pdftotext", "-layout")).split("\f")
    assert shown[0].split("\n")[0] == "line 0"
    assert shown[1].split("\n")[0] == "line 61"
    assert shown[2].strip() == "after the feed"
    letter_pages = documents.pages_of((await _set(tmp_path, lines.encode(), media="na_letter_8.5x11in")).path)
    assert {page.size for page in letter_pages} == {(612, 792)}


async def test_empty_text_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure) as caught:
        await _set(tmp_path, b" \r\n\f\n\t\n")
    assert caught.value.reason == "document-unprintable-error"


def test_rows() -> None:
    def rows(*text: str) -> list[str]:
        return list(typeset.rows(text, 10))

    assert rows("a\tb\n", "\n", "c") == ["a       b", "", "c"]
    assert rows("one two three four\n") == ["one two", "three four"]
    assert rows("0123456789abc\n") == ["0123456789", "abc"]
    assert rows("a\fb\n", "\f\n", "c\f\n") == ["a", "\f", "b", "\f", "c", "\f"]
    assert rows("_\bu\x1b[1m\x00e\u0301\u200b\ufeff\n") == ["u[1mé"]


def test_pages() -> None:
    def pages(*rows: str) -> list[list[str]]:
        return list(typeset.pages(rows, 2))

    assert pages("a", "b", "c") == [["a", "b"], ["c"]]
    assert pages("a", "b", "\f", "c", "\f") == [["a", "b"], ["c"]]
    assert pages("\f", "", "\f", "a", "\f", "\f", "b", "", "") == [["a"], [""], ["b", ""]]
    assert pages("", "\f", "\f") == []


def test_a_subset_is_a_small_font_with_the_parts_of_its_letters() -> None:
    whole = text.font().read_bytes()
    font = typeset.Font(whole)
    empty, base, accented = (font.subset(map(font.glyph, chars)) for chars in ("", "e", "é"))
    assert len(empty) < len(base) < len(accented) < len(whole) / 5
    assert font.glyph("\u4e00") == 0
    for octets in (whole, accented):
        assert ImageFont.truetype(io.BytesIO(octets)).getname()[0] in ("DejaVu Sans Mono", None)
