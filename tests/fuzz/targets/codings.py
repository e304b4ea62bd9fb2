"""Content-Transfer-Encoding, against the standard library where that is defined, however the octets are cut."""

from __future__ import annotations

import base64
import binascii
import quopri
import re

from mailstore import codings
from tests.fuzz import pieces

WORDS = (b"=", b"==", b"=\r\n", b"=3D", b"=0", b" \r\n", b"\t", b"\r\n", b"QUJD", b"QQ==", b"QUI=", b"\n")
_ALPHABET = re.compile(rb"[A-Za-z0-9+/]*={0,2}")


def check(octets: bytes) -> None:
    stream = octets[4:]
    for encoding in ("", "8bit", "base64", "quoted-printable"):
        whole = _decoded(encoding, [stream])
        cut = _decoded(encoding, pieces(octets))
        assert cut[1] == whole[1]
        assert cut[0] == whole[0] or whole[1]  # what is broken is refused as a whole
        {"base64": _base64, "quoted-printable": _quoted_printable}.get(encoding, _identity)(stream, *whole)


def _decoded(encoding: str, cut: list[bytes]) -> tuple[bytes, str]:
    decoder = codings.decoder(encoding)
    assert decoder is not None
    found = bytearray()
    for piece in cut:
        found += decoder.decode(piece)
    rest, defect = decoder.end()
    return bytes(found + rest), defect


def _identity(stream: bytes, decoded: bytes, defect: str) -> None:
    assert decoded == stream
    assert not defect


def _base64(stream: bytes, decoded: bytes, defect: str) -> None:
    characters = re.sub(rb"[^A-Za-z0-9+/=]", b"", stream)
    assert len(decoded) <= len(characters) * 3 // 4
    if not _ALPHABET.fullmatch(characters):
        return  # padding in the middle: no two libraries agree
    try:
        expected = base64.b64decode(characters, validate=True)
    except binascii.Error:
        return
    assert not defect
    assert decoded == expected


def _quoted_printable(stream: bytes, decoded: bytes, defect: str) -> None:
    assert not defect
    assert len(decoded) <= len(stream)
    # The library takes a lone LF for a line's end and keeps blanks that a transport added at the very end.
    if b"\r" in stream or not stream.endswith(b"\n") or re.search(rb"[ \t=]\n", stream):
        return
    assert decoded == quopri.decodestring(stream)
