"""Plain text to rows and pages: nothing is wider or longer than the paper, no letter is lost, no control is left."""

from __future__ import annotations

import unicodedata

from printerbridge.programs import typeset

WORDS = (b"\x0c", b"\n", b"\t", b"x\x08", b"\xcc\x81", b"\xe2\x80\x8b", b" ", b"word " * 8, b"\xc2\xa0", b"\r\n")


def check(octets: bytes) -> None:
    columns, height = 1 + (octets[0] if octets else 0) % 80, 1 + len(octets) % 60
    text = octets[1:].decode("utf-8", "replace")
    rows = list(typeset.rows(text.splitlines(keepends=True), columns))
    for row in rows:
        if row == "\f":
            continue
        assert len(row) <= columns
        assert not any(unicodedata.category(letter) in ("Cc", "Cf", "Mn", "Me") for letter in row)
    pages = list(typeset.pages(iter(rows), height))
    assert all(0 < len(page) <= height for page in pages)
    assert not pages or (any(pages[0]) and any(pages[-1]))
    printed = "".join("".join(page) for page in pages)
    assert printed.replace(" ", "") == "".join(row for row in rows if row != "\f").replace(" ", "")
    if text.isascii() and text.replace("\n", "").isprintable():
        assert printed.replace(" ", "") == text.replace("\n", "").replace(" ", "")
