from __future__ import annotations

from pathlib import Path

import pytest

from printerbridge import virtual_pages

DSC = b"%!PS-Adobe-3.0\n%%Page: 1 1\n(a) show showpage\n%%Page: 2 2\nshowpage\n%%Trailer\n%%EOF\n"
LINE = b"x" * 70 + b"\r\n"


@pytest.mark.parametrize(
    ("language", "octets", "pages"),
    [
        ("text", b"", 0),
        ("text", b" \r\n\x04", 0),
        ("text", b"hello", 1),
        ("text", b"one\x0ctwo\x0c", 2),
        ("text", b"one\x0c\r\n\x0cthree", 3),
        ("text", LINE * 60, 1),
        ("text", LINE * 61, 2),
        ("text", LINE * 60 * 500, 500),
        ("postscript", DSC, 2),
        ("postscript", DSC[: DSC.index(b"%%Page: 2") + 20], 1),
        ("postscript", b"%!\nshowpage\nshowpage", 2),
        ("postscript", b"%!\n/showpage {} def showpages myshowpage\n", 0),
        ("postscript", b"%!\n" + (b"% filler\n" * 8000 + b"showpage\n") * 40, 40),
        ("pdf", b"%PDF-1.4\n1 0 obj<</Type/Pages>> <</Type /Page >> <</Type/Page/X 1>>\n%%EOF\n", 2),
        ("pdf", b"%PDF-1.4\n1 0 obj<</Type /Page >>", 0),
        ("pcl", b"\x1bEhello\x0c", 0),
    ],
)
def test_pages_that_the_octets_show(tmp_path: Path, language: str, octets: bytes, pages: int) -> None:
    file = tmp_path / "job"
    file.write_bytes(b"showpage \x0c" + octets + b"\x0c showpage")
    assert virtual_pages.count(file, start=10, end=10 + len(octets), language=language) == pages
