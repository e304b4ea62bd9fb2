"""Plain text on paper: charsets, glyphs, rows and pages."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pypdfium2
import pytest
from PIL import Image, ImageFont

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from printerbridge.convert import Converted, convert
from printerbridge.converters import text
from printerbridge.programs import typeset
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
        ("iso-2022-jp", "iso2022_jp", "印刷の見本 かな"),
        ("shift_jis", "cp932", "①印刷の見本"),
        ("gb2312", "gb18030", "打印测试 龘"),
        ("big5", "big5hkscs", "列印測試"),
        ("ks_c_5601-1987", "cp949", "인쇄 뷁"),
        ("iso-8859-8-i", "utf-8", "Ωmega"),
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


def _runs(dark: list[bool], gap: int) -> list[tuple[int, int]]:
    """Where the true begins and ends; a gap up to `gap` counts as nothing."""
    runs: list[tuple[int, int]] = []
    for at in (at for at, true in enumerate(dark) if true):
        if runs and at - runs[-1][1] <= gap:
            runs[-1] = (runs[-1][0], at + 1)
        else:
            runs.append((at, at + 1))
    return runs


def _rows_of_ink(page: Image.Image, gap: int = 5) -> list[list[tuple[int, int]]]:
    """For each row of text, where its dark begins and ends, in pixels from the left."""
    dark = page.point(lambda value: 255 if value < 150 else 0)
    down = [dark.crop((0, y, dark.width, y + 1)).getbbox() is not None for y in range(dark.height)]
    return [
        _runs([dark.crop((x, top, x + 1, bottom)).getbbox() is not None for x in range(dark.width)], gap)
        for top, bottom in _runs(down, 5)
    ]


@pytest.mark.slow
async def test_scripts_from_right_to_left_begin_at_the_right(tmp_path: Path) -> None:
    hello = "\u0645\u0631\u062d\u0628\u0627"
    words = f"Latin\n\n\u05e9\u05dc\u05d5\u05dd\n\n{hello} {hello}\n\nalso Latin: {hello}\n"
    converted = await _set(tmp_path, words.encode())
    (page,) = documents.pages_of(converted.path, dpi=72)
    latin, hebrew, arabic, mixed = ((row[0][0], row[-1][1]) for row in _rows_of_ink(page))
    margin, edge = 53, 595 - 53
    for row in (latin, mixed):
        assert abs(row[0] - margin) < 3
        assert row[1] < 300
    for row in (hebrew, arabic):
        assert abs(row[1] - edge) < 3
        assert row[0] > 300


@pytest.mark.slow
async def test_letters_join_and_marks_stand_on_them(tmp_path: Path) -> None:
    apart = "\u0647\u200c" * 6  # with non-joiners between, a letter looks as it does alone
    words = "\n\n".join((apart.replace("\u200c", ""), apart, apart, "x\u0323" * 8, "x" * 8))
    (page,) = documents.pages_of((await _set(tmp_path, words.encode())).path, dpi=144)
    joined, separate, again = (page.crop((800, 108 + line * 48, 1190, 132 + line * 48)) for line in range(3))
    assert documents.ink(joined) > 0.01
    assert documents.difference(separate, again) < 0.1
    assert documents.difference(joined, separate) > 0.2
    marked, plain = _rows_of_ink(page, gap=0)[3:]
    assert len(marked) == len(plain) == 8
    assert marked[0][0] == plain[0][0]


@pytest.mark.slow
async def test_every_letter_that_pango_draws_has_a_glyph(tmp_path: Path) -> None:
    converted = await _set(tmp_path, "印刷 かな 한국어 العربية עברית tiếng Việt ỳ".encode())
    document = pypdfium2.PdfDocument(converted.path)
    try:
        text = document[0].get_textpage().get_text_range()
    finally:
        document.close()
    assert "\ufffe" not in text
    assert text.split()[:3] == ["印刷", "かな", "한국어"]


@pytest.mark.slow
async def test_wide_text_has_its_pages_and_columns(tmp_path: Path) -> None:
    lines = "\u4e00\t<b>&amp;\n" + "line\n" * 99 + "\fafter the feed"
    converted = await _set(tmp_path, lines.encode())
    assert converted.pages == 3
    shown = (await _output(converted.path, "pdftotext", "-layout")).split("\f")
    assert shown[0].split("\n")[0].split() == ["\u4e00", "<b>&amp;"]
    assert shown[0].split().count("line") == 60
    assert shown[2].strip() == "after the feed"


def test_very_long_text_is_set_with_boxes() -> None:
    with pytest.raises(typeset.Unsuited):
        list(typeset.paragraphs(["\u4e00\n"] * (typeset.MAX_WIDE + 2)))
    font = typeset.Font(text.font().read_bytes())
    plain = [documents.TEXT, "\u200eBidi marks\u200f, \ufe0f\x07\u00a0controls", "e\u0301"]
    assert list(typeset.suited(plain, font)) == plain
    for char in ("\u4e00", "\u05d0", "\u0627", "x\u0323", "\u0e01"):
        with pytest.raises(typeset.Unsuited):
            list(typeset.suited([*plain, char], font))


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
