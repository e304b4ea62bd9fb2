"""The print firewall: cuts change nothing, filtering twice is filtering once, and no command comes out but ours."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure
from mailstore.sniff import sniff
from printerbridge.firewall import COMMANDS, Filter, PlainText, Unwrapper, tell
from tests.fuzz import pieces
from tests.printer_view import UEL, forbidden

WORDS = (
    UEL,
    b"@PJL ",
    b"@PJL SET COPIES=3\r\n",
    b"@PJL SET HOLD=ON\r\n",
    b"@PJL FSDOWNLOAD SIZE=9\r\n",
    b"@PJL ENTER LANGUAGE=PCL\r\n",
    b"@PJL ENTER LANGUAGE=PCLXL\r\n",
    b"@PJL ENTER LANGUAGE=POSTSCRIPT\r\n",
    b"@PJL EOJ\r\n",
    b"\x1bE",
    b"\x1bz",
    b"\x1b*b5W",
    b"\x1b*b2m3w",
    b"\x1b&f1y10X",
    b"\x1b*c5F",
    b"\x1b&l9X",
    b"\x1b%0B",
    b"\x1b%0A",
    b"\x1b&n6Wd",
    b") HP-PCL XL;2;0\n",
    b"\xc1\x09\x00\xf8\x31",
    b"\xc8\xc1\x02\x00",
    b"\xfb\x04",
    b"%!PS\n",
    b"%PDF-1.4\n",
    b"RaS2PwgRaster\0",
)
LANGUAGES = (Language.POSTSCRIPT, Language.PCL, Language.PCLXL, Language.PWG)


def filtered(source: DocumentFormat, cut: list[bytes]) -> bytes | str:
    one = Filter(source, LANGUAGES, passes=lambda _: True, copies=7)
    try:
        made = b"".join([one.feed(piece) for piece in cut]) + one.close()
    except PermanentFailure as failure:
        return f"{failure.status} {failure.reason}"
    assert set(one.dropped) <= COMMANDS
    assert "\n" not in tell(one.dropped)
    return made


def unwrapped(cut: list[bytes]) -> bytes | str:
    one = Unwrapper()
    try:
        return b"".join([one.feed(piece) for piece in cut]) + one.close()
    except PermanentFailure as failure:
        return f"{failure.status} {failure.reason}"


def plain(cut: list[bytes]) -> bytes:
    text = PlainText("utf-8")
    return b"".join([text.feed(piece) for piece in cut]) + text.close()


def check(octets: bytes) -> None:
    stream = octets[4:]
    source = sniff(stream)
    made = filtered(source, [stream])
    again = filtered(source, pieces(octets))
    assert again == made
    assert isinstance(made, bytes) or made == "5.7.1 document-security-error"
    if isinstance(made, bytes) and source is not DocumentFormat.TEXT:
        assert forbidden(made) == []
        if made:
            assert filtered(source, [made]) == made
    alone = unwrapped([stream])
    assert unwrapped(pieces(octets)) == alone
    text = plain([stream])
    assert plain(pieces(octets)) == text
    assert text.isascii()
    assert not set(text) & {*range(9), 11, *range(14, 32), 127}
    assert b"@PJL" not in text.upper()
