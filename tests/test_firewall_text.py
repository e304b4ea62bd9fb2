"""The print firewall: plain text is plain, for printers that print it as it comes."""

from __future__ import annotations

import pytest

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat as F
from printerbridge.firewall import Filter, PlainText, plain_text


@pytest.mark.parametrize(
    ("text", "charset", "printed"),
    [
        ("Grüße, „Ada“ \u2013 5 €\n", "utf-8", b'Grusse, "Ada" - 5 EUR\r\n\f'),
        ("Grüße\r\nzwei\rdrei", "iso-8859-1", b"Grusse\r\nzwei\r\ndrei\f"),
        ("a\x1bz\x04\0\x07\x7f\x9bb\tc\f", "utf-8", b"azb\tc\f"),
        ("@PJL RDYMSG\n@pj@pjl", "utf-8", b"@ PJL RDYMSG\r\n@pj@ pjl\f"),
        ("@\x00PJL", "utf-8", b"@ PJL\f"),
        ("\n %!PS\nshowpage", "utf-8", b"\r\n % !PS\r\nshowpage\f"),
        ("", "utf-8", b"\f"),
        ("日本", "utf-8", b"??\f"),
    ],
)
def test_plain_text_is_plain(text: str, charset: str, printed: bytes) -> None:
    octets = text.encode(charset)
    assert b"".join(plain_text([octets], charset)) == printed
    assert b"".join(plain_text([octets[at : at + 1] for at in range(len(octets))], charset)) == printed
    one = Filter(F.TEXT, (Language.TEXT,), passes=lambda _: True, charset=charset)
    assert one.feed(octets) + one.close() == printed


@pytest.mark.parametrize(
    ("octets", "charset", "printed"),
    [
        ("Grüße Öl\n".encode("cp437"), "cp437", "Grüße Öl\r\n\f".encode("cp437")),  # 81 and 99 are letters there
        ("Grüße\bx".encode("latin-1"), "iso-8859-15", "Grüße\bx\f".encode("latin-1")),
        (b"a\x9bb\x85\x81", "iso-8859-2", b"ab\f"),
        (b"5 \x80\x81", "windows-1252", b"5 \x80\x81\f"),  # 81 is nothing there, and a letter of mislabelled cp437
        (b"\xfca\x1bz\x7f\0@PJL", "latin-1", b"\xfcaz@ PJL\f"),
        ("Grüße".encode(), "utf-8", b"Grusse\f"),
        (b"+ABs-z+AEA-PJL", "utf-7", b"z@ PJL\f"),
        (b"\x1b$B\x1b(Bz\x1bz", "iso-2022-jp", b"zz\f"),
        ("\x1bz日本".encode("shift_jis"), "shift_jis", b"z??\f"),
        (b"\xff\xfe\x1b\0z\0", "utf-16", b"z\f"),
    ],
)
def test_letters_of_those_whose_programs_pass_stay_as_they_came(octets: bytes, charset: str, printed: bytes) -> None:
    one = Filter(F.TEXT, (Language.TEXT,), passes=lambda _: True, charset=charset, letters=True)
    assert one.feed(octets) + one.close() == printed
    pieces = [octets[at : at + 1] for at in range(len(octets))]
    assert b"".join(plain_text(pieces, charset, as_it_came=True)) == printed


@pytest.mark.parametrize(("charset", "codec"), [("utf-16", "utf-16-be"), ("utf-32", "utf-32-be")])
def test_a_missing_byte_order_mark_is_no_fault(charset: str, codec: str) -> None:
    octets = "Grüße\x1b".encode(codec)
    for piece in (1, 3, 100):
        pieces = [octets[at : at + piece] for at in range(0, len(octets), piece)]
        assert b"".join(plain_text(pieces, charset)) == b"Grusse\f"


def test_an_unknown_charset_is_read_as_utf_8() -> None:
    text = PlainText("x-no-such-charset")
    assert text.feed(b"a") + text.close() == b"a\f"
