"""A program that sets plain text in a fixed-width font: `typeset.py PACKAGES FONT SOURCE OUTPUT ENCODING WIDTH HEIGHT`.

It writes a PDF by the standard library alone, so that it starts fast.  Tabs stand at every eighth column, form feeds
end pages, long lines break at a space where there is one, overstruck characters (X backspace Y) show the last.

Text with characters that the font lacks, or in a script that is more than one letter after another from left to right,
is drawn by Pango with whatever fonts there are (`html.py`), each line in the direction of its first letter; unless it
is very long, when such characters show as boxes.

Security: reads strangers' octets, in a confined process.  Text is read in bounded pieces and each page is written when
it is full, so memory does not grow with the document; the pages are counted and limited.  The font is the system's own.
"""

from __future__ import annotations

import codecs
import importlib.util
import re
import struct
import sys
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

FONT_SIZE = 10.0  # points
LEADING = 12.0
MAX_PAGES = 10_000
_PIECE = 1 << 14  # characters; a longer line is set as several
MAX_WIDE = 30_000  # lines that Pango is asked for: 500 pages, in 20 seconds
_OVERSTRUCK = re.compile(".\b")


def rows(text: Iterable[str], columns: int) -> Iterator[str]:
    """The rows of `text`, which comes in lines or pieces of them; "\\f" stands for the end of a page."""
    for line in text:
        parts = line.rstrip("\n").split("\f")
        for index, part in enumerate(parts):
            if index:
                yield "\f"
            if part or len(parts) == 1:  # nothing beside a form feed is no row
                yield from _wrapped(_clean(part), columns)


def _clean(line: str) -> str:
    line = unicodedata.normalize("NFC", _OVERSTRUCK.sub("", line).expandtabs(8)).rstrip()
    if line.isascii() and line.isprintable():
        return line
    # Cc and Cf, controls and formats, have no width; neither has a mark that NFC could not compose.
    kept = (char for char in line if unicodedata.category(char) not in ("Cc", "Cf", "Mn", "Me"))
    return "".join(" " if char.isspace() else char for char in kept).rstrip()


def _wrapped(line: str, columns: int) -> Iterator[str]:
    while len(line) > columns:
        space = line.rfind(" ", columns // 2, columns + 1)
        cut = space if space > 0 else columns
        yield line[:cut].rstrip()
        line = line[cut:].lstrip() if space > 0 else line[cut:]
    yield line


def pages(rows: Iterable[str], height: int) -> Iterator[list[str]]:
    """`rows` in pages of at most `height`; pages with nothing on them count only between others."""
    page: list[str] = []
    printed, blank = False, 0
    for row in rows:
        if row == "\f" or len(page) == height:
            if any(page):
                yield from ([""] for _ in range(blank))
                yield page
                printed, blank = True, 0
            elif printed:
                blank += 1
            page = []
        if row != "\f":
            page.append(row)
    if any(page):
        yield from ([""] for _ in range(blank))
        yield page


class Font:
    """A TrueType font (ISO/IEC 14496-22), as far as setting fixed-width text needs it."""

    # What a PDF wants of an embedded TrueType font (ISO 32000-1 section 9.9)
    _KEPT = (b"cvt ", b"fpgm", b"glyf", b"head", b"hhea", b"hmtx", b"loca", b"maxp", b"prep")

    def __init__(self, octets: bytes) -> None:
        count = struct.unpack_from(">H", octets, 4)[0]
        directory = (struct.unpack_from(">4s4xLL", octets, 12 + 16 * index) for index in range(count))
        self._tables = {tag: octets[offset : offset + length] for tag, offset, length in directory}
        head, hhea = self._tables[b"head"], self._tables[b"hhea"]
        self.units: int = struct.unpack_from(">H", head, 18)[0]
        self.box: tuple[int, ...] = struct.unpack_from(">4h", head, 36)
        self.ascent: int = struct.unpack_from(">h", hhea, 4)[0]
        self.descent: int = struct.unpack_from(">h", hhea, 6)[0]
        self._glyphs = dict(self._mapped())
        metrics = struct.unpack_from(">H", hhea, 34)[0]  # the last one is that of all further glyphs
        self.advance: int = struct.unpack_from(">H", self._tables[b"hmtx"], 4 * min(self.glyph("0"), metrics - 1))[0]
        self._loca = self._located()

    def _mapped(self) -> Iterator[tuple[int, int]]:
        cmap = self._tables[b"cmap"]
        for index in range(struct.unpack_from(">H", cmap, 2)[0]):
            at = struct.unpack_from(">L", cmap, 8 + 8 * index)[0]
            if struct.unpack_from(">H", cmap, at)[0] == 12:  # segmented coverage, all of Unicode
                for group in range(struct.unpack_from(">L", cmap, at + 12)[0]):
                    first, last, glyph = struct.unpack_from(">LLL", cmap, at + 16 + 12 * group)
                    yield from zip(range(first, last + 1), range(glyph, glyph + last - first + 1), strict=True)
                return

    def _located(self) -> tuple[int, ...]:
        loca = self._tables[b"loca"]
        if struct.unpack_from(">h", self._tables[b"head"], 50)[0]:
            return struct.unpack(f">{len(loca) // 4}L", loca)
        return tuple(2 * half for half in struct.unpack(f">{len(loca) // 2}H", loca))

    def glyph(self, char: str) -> int:
        """The glyph that draws `char`; 0, a box, if there is none."""
        return self._glyphs.get(ord(char), 0)

    def has(self, char: str) -> bool:
        """Whether the font can draw `char`."""
        return ord(char) in self._glyphs

    def _outline(self, glyph: int) -> bytes:
        return self._tables[b"glyf"][self._loca[glyph] : self._loca[glyph + 1]]

    def _components(self, glyph: int) -> Iterator[int]:
        outline = self._outline(glyph)
        if not outline or struct.unpack_from(">h", outline)[0] >= 0:
            return
        at, flags = 10, 0x20
        while flags & 0x20:  # MORE_COMPONENTS
            flags, component = struct.unpack_from(">HH", outline, at)
            yield component
            scale = 2 if flags & 0x08 else 4 if flags & 0x40 else 8 if flags & 0x80 else 0
            at += (8 if flags & 0x01 else 6) + scale

    def subset(self, glyphs: Iterable[int]) -> bytes:
        """A font with the outlines of `glyphs` only, under their old numbers."""
        wanted, open_ = set[int](), [0, *glyphs]
        while open_:
            if (glyph := open_.pop()) not in wanted:
                wanted.add(glyph)
                open_ += self._components(glyph)
        glyf, loca = bytearray(), [0]
        for glyph in range(len(self._loca) - 1):
            if glyph in wanted:
                glyf += self._outline(glyph)
            loca.append(len(glyf))
        head = bytearray(self._tables[b"head"])
        struct.pack_into(">h", head, 50, 1)
        changed = {b"glyf": bytes(glyf), b"loca": struct.pack(f">{len(loca)}L", *loca), b"head": bytes(head)}
        return _truetype({tag: changed.get(tag, self._tables[tag]) for tag in self._KEPT if tag in self._tables})


def _truetype(tables: dict[bytes, bytes]) -> bytes:
    power = len(tables).bit_length() - 1
    header = struct.pack(">LHHHH", 0x10000, len(tables), 16 << power, power, 16 * len(tables) - (16 << power))
    directory, body = b"", b""
    start = len(header) + 16 * len(tables)
    for tag, table in tables.items():
        padded = table + bytes(-len(table) % 4)
        checksum = sum(struct.unpack(f">{len(padded) // 4}L", padded)) & 0xFFFFFFFF
        directory += struct.pack(">4sLLL", tag, checksum, start + len(body), len(table))
        body += padded
    return header + directory + body


class PDF:
    """Writes a PDF (ISO 32000-1) of text pages to `file`, page by page; `close` writes the font and the end."""

    _CATALOG, _TREE, _TYPE0, _CID, _DESCRIPTOR, _PROGRAM, _UNICODE = range(1, 8)

    def __init__(self, file: BinaryIO, font: Font, width: float, height: float) -> None:
        self._file, self._font, self.width, self.height = file, font, width, height
        self._offsets = dict[int, int]()
        self._used = dict[int, str]()
        self._pages = list[int]()
        self.margin = min(54.0, 0.09 * min(width, height))
        self.columns = max(1, int((width - 2 * self.margin) / (FONT_SIZE * font.advance / font.units)))
        self.rows = max(1, int((height - 2 * self.margin) / LEADING))
        file.write(b"%PDF-1.5\n%\xe2\xe3\xcf\xd3\n")

    def _object(self, number: int, value: str, stream: bytes | None = None) -> None:
        self._offsets[number] = self._file.tell()
        self._file.write(f"{number} 0 obj\n".encode())
        if stream is None:
            self._file.write(f"<< {value} >>".encode())
        else:
            packed = zlib.compress(stream)
            self._file.write(f"<< {value} /Filter /FlateDecode /Length {len(packed)} >>\nstream\n".encode())
            self._file.write(packed + b"\nendstream")
        self._file.write(b"\nendobj\n")

    def page(self, rows: list[str]) -> None:
        top = self.height - self.margin - FONT_SIZE * self._font.ascent / self._font.units
        drawn = [f"BT /F {FONT_SIZE:g} Tf {LEADING:g} TL {self.margin:.2f} {top:.2f} Td"]
        drawn += [f"<{self._encoded(row)}> Tj T*" if row else "T*" for row in rows]
        number = self._UNICODE + 1 + 2 * len(self._pages)
        self._pages.append(number)
        self._object(number, f"/Type /Page /Parent {self._TREE} 0 R /Contents {number + 1} 0 R")
        self._object(number + 1, "", "\n".join([*drawn, "ET"]).encode())

    def _encoded(self, row: str) -> str:
        glyphs = [self._font.glyph(char) for char in row]
        self._used.update(zip(glyphs, row, strict=True))
        return struct.pack(f">{len(glyphs)}H", *glyphs).hex()

    def close(self) -> int:
        """The number of pages."""
        self._write_font()
        kids = " ".join(f"{number} 0 R" for number in self._pages)
        box = f"[0 0 {self.width:g} {self.height:g}]"
        inherited = f"/MediaBox {box} /Resources << /Font << /F {self._TYPE0} 0 R >> >>"
        self._object(self._TREE, f"/Type /Pages /Count {len(self._pages)} /Kids [{kids}] {inherited}")
        self._object(self._CATALOG, f"/Type /Catalog /Pages {self._TREE} 0 R")
        table = self._file.tell()
        size = len(self._offsets) + 1
        self._file.write(f"xref\n0 {size}\n0000000000 65535 f \n".encode())
        for number in range(1, size):
            self._file.write(f"{self._offsets[number]:010} 00000 n \n".encode())
        trailer = f"<< /Size {size} /Root {self._CATALOG} 0 R >>"
        self._file.write(f"trailer\n{trailer}\nstartxref\n{table}\n%%EOF\n".encode())
        return len(self._pages)

    def _write_font(self) -> None:
        font, name = self._font, "/PRINTP+DejaVuSansMono"
        ascent, descent, advance, *box = (
            round(1000 * units / font.units) for units in (font.ascent, font.descent, font.advance, *font.box)
        )
        self._object(
            self._TYPE0,
            f"/Type /Font /Subtype /Type0 /BaseFont {name} /Encoding /Identity-H "
            f"/DescendantFonts [{self._CID} 0 R] /ToUnicode {self._UNICODE} 0 R",
        )
        self._object(
            self._CID,
            f"/Type /Font /Subtype /CIDFontType2 /BaseFont {name} /CIDToGIDMap /Identity /DW {advance} "
            "/CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> "
            f"/FontDescriptor {self._DESCRIPTOR} 0 R",
        )
        self._object(
            self._DESCRIPTOR,
            f"/Type /FontDescriptor /FontName {name} /Flags 5 /FontBBox [{' '.join(map(str, box))}] /ItalicAngle 0 "
            f"/Ascent {ascent} /Descent {descent} /CapHeight {ascent} /StemV 80 /FontFile2 {self._PROGRAM} 0 R",
        )
        program = font.subset(self._used)
        self._object(self._PROGRAM, f"/Length1 {len(program)}", program)
        self._object(self._UNICODE, "", _to_unicode(self._used).encode())


def _to_unicode(used: dict[int, str]) -> str:
    """The CMap that lets a reader search and copy (ISO 32000-1 section 9.10.3)."""
    lines = [
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap",
        "/CMapName /Printpost def /CMapType 2 def",
        "1 begincodespacerange <0000> <ffff> endcodespacerange",
    ]
    pairs = [f"<{glyph:04x}> <{char.encode('utf-16-be').hex()}>" for glyph, char in sorted(used.items())]
    for start in range(0, len(pairs), 100):  # at most a hundred in one block
        block = pairs[start : start + 100]
        lines += [f"{len(block)} beginbfchar", *block, "endbfchar"]
    return "\n".join([*lines, "endcmap CMapName currentdict /CMap defineresource pop end end"])


def _mended(error: UnicodeError) -> tuple[str, int]:
    """Octets that are wrong in the declared charset are most often windows-1252."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


class Unsuited(Exception):
    """There is text that cannot be set letter by letter in the font."""


def suited(pieces: Iterable[str], font: Font) -> Iterator[str]:
    """`pieces`, as long as they can be set.  Raises `Unsuited`."""
    known = set[str]()
    for piece in pieces:
        if not piece.isascii():
            for char in set(unicodedata.normalize("NFC", piece)) - known:
                if not _suits(char, font):
                    raise Unsuited
                known.add(char)
        yield piece


def _suits(char: str, font: Font) -> bool:
    category = unicodedata.category(char)
    if category in ("Cc", "Cf", "Cs", "Co", "Cn", "Zs", "Zl", "Zp") or "\ufe00" <= char <= "\ufe0f":
        return True  # nothing to be seen, with any font
    return not category.startswith("M") and unicodedata.bidirectional(char) not in ("R", "AL", "AN") and font.has(char)


def paragraphs(pieces: Iterable[str]) -> Iterator[str]:
    """HTML of the lines of a text.  Raises `Unsuited` if there are too many."""
    feed = ""
    for count, line in enumerate(pieces):
        if count > MAX_WIDE:
            raise Unsuited
        for index, part in enumerate(line.rstrip("\n").split("\f")):
            feed = " class=feed" if index else feed
            if not part and index:
                continue
            kept = "".join(char for char in _OVERSTRUCK.sub("", part).expandtabs(8) if char >= " ").rstrip()
            strong = (unicodedata.bidirectional(char) for char in kept)
            first = next((way for way in strong if way in ("L", "R", "AL")), "L")  # UAX #9, P2
            direction = "" if first == "L" else " dir=rtl"
            text = kept.replace("&", "&amp;").replace("<", "&lt;")
            yield f"<p{feed}{direction}>{text or '<br>'}"
            feed = ""


def draw_wide(text: Iterable[str], file: BinaryIO, packages: str, pdf: PDF) -> int:
    """Draw `text` by Pango as if it were set, and return the number of pages.  Raises `Unsuited` if it is too long."""
    lines = "".join(paragraphs(text))
    html = _letters()
    html.prepare(packages)

    def style(scale: float) -> str:
        width, height, margin = (length / scale for length in (pdf.width, pdf.height, pdf.margin))
        return (
            f"@page {{ size: {width}pt {height}pt; margin: {margin}pt }}"
            " body { margin: 0 } .feed { break-before: page }"
            f"p {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; orphans: 1; widows: 1;"
            f" font: {FONT_SIZE}pt/{LEADING}pt DejaVu Sans Mono, monospace }}"
        )

    return int(html.draw(f"<!doctype html>{lines}", style, file, html.Fetcher({})))


def _letters() -> Any:
    spec = importlib.util.spec_from_file_location("letters", Path(__file__).with_name("html.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def set_narrow(text: Iterable[str], pdf: PDF) -> int:
    """Set `text` letter by letter and return the number of pages.  Raises `ValueError` if there are too many."""
    for count, page in enumerate(pages(rows(text, pdf.columns), pdf.rows), 1):
        if count > MAX_PAGES:
            raise ValueError(f"more than {MAX_PAGES} pages")
        pdf.page(page)
    return pdf.close()


def main(packages: str, font: str, source: str, output: str, encoding: str, width: str, height: str) -> int:
    codecs.register_error("mended", _mended)
    letters, size = Font(Path(font).read_bytes()), (float(width), float(height))
    for way in ("narrow", "wide", "boxes"):
        with (
            Path(source).open(encoding=encoding, errors="mended") as text,
            Path(output).open("wb") as file,
        ):
            pieces = iter(lambda file=text: file.readline(_PIECE), "")  # type: ignore[misc]
            pdf = PDF(file, letters, *size)
            try:
                if way == "wide":
                    file.truncate(file.seek(0))
                    count = draw_wide(pieces, file, packages, pdf)
                else:
                    count = set_narrow(suited(pieces, letters) if way == "narrow" else pieces, pdf)
            except Unsuited:
                continue
            sys.stdout.write(f"pages: {count}\n")
            return 0
    return 1


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
