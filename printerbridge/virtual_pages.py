"""How many pages a document brings to paper, counted without drawing them.

Only where the octets show it: text by its lines and form feeds, PostScript by its `%%Page` comments or `showpage`, PDF
by its page objects.  A document of which the end is missing counts for the pages that were complete; of text, the
last sheet is ejected as it is; a PDF is nothing without its end.

Security: octets are strangers'; they are read in blocks, patterns have no choice to backtrack over, and the count of
pages is the only thing kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LINES: Final = 60
"""Lines of text on a page."""

COUNTED: Final = frozenset({"text", "postscript", "pdf"})
"""Languages of which pages can be counted."""

_BLOCK: Final = 1 << 20
_OVERLAP: Final = 64
_DSC_PAGE: Final = re.compile(rb"(?:^|[\r\n])%%Page: ")
_DSC_END: Final = re.compile(rb"(?:^|[\r\n])%%(?:Trailer|EOF)\b")
_SHOWPAGE: Final = re.compile(rb"(?<![\w/])(?:showpage|copypage)(?!\w)")
_PDF_PAGE: Final = re.compile(rb"/Type ?/Page(?![A-Za-z])")
_PDF_END: Final = re.compile(rb"%%EOF")


def count(source: Path, *, start: int, end: int, language: str) -> int:
    """The pages of the octets `start` to `end` of `source`; 0 where the language does not show them."""
    if language == "text":
        return _text(source, start, end)
    if language == "postscript":
        pages = _matches(_DSC_PAGE, source, start, end)
        if pages:
            return pages if _matches(_DSC_END, source, start, end) else pages - 1
        return _matches(_SHOWPAGE, source, start, end)
    if language == "pdf" and _matches(_PDF_END, source, start, end):
        return max(1, _matches(_PDF_PAGE, source, start, end))
    return 0


def _text(source: Path, start: int, end: int) -> int:
    pages, lines, ink = 0, 0, False
    for block in _blocks(source, start, end):
        for piece in re.findall(rb"[\n\x0c]|[^\n\x0c]+", block):
            if piece == b"\x0c":
                pages += bool(ink or lines)
                lines, ink = 0, False
            elif piece == b"\n":
                lines += 1
                if lines == LINES:
                    pages, lines, ink = pages + 1, 0, False
            else:
                ink = ink or bool(piece.strip(b" \t\r\x04"))
    return pages + ink


def _matches(pattern: re.Pattern[bytes], source: Path, start: int, end: int) -> int:
    found, before = 0, b""
    for block in _blocks(source, start, end):
        text = before + block
        # What stands across two blocks is counted where it ends; what ended in the first was counted there.
        found += sum(match.end() > len(before) for match in pattern.finditer(text))
        before = text[-_OVERLAP:]
    return found


def _blocks(source: Path, start: int, end: int) -> Iterator[bytes]:
    with source.open("rb") as file:
        file.seek(start)
        left = end - start
        while left > 0 and (block := file.read(min(_BLOCK, left))):
            yield block
            left -= len(block)
