"""Sizes of pictures and what pages refer to: nothing raises, and cuts change nothing."""

from __future__ import annotations

from mailstore.pictures import PICTURES, is_dot, is_ornament, size
from mailstore.references import References
from tests.fuzz import pieces

WORDS = (
    b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
    b"GIF89a",
    b"\xff\xd8\xff\xe0\0\x10",
    b"\xff\xc0\0\x11",
    b"RIFF\0\0\0\0WEBPVP8 ",
    b"VP8L",
    b"VP8X",
    b"cid:",
    b"CID:a%40b",
    b'"cid:&amp;"',
)


def check(octets: bytes) -> None:
    stream = octets[4:]
    for format_ in PICTURES:
        found = size(stream, format_)
        assert found is None or all(pixels >= 0 for pixels in found)
        assert not (is_dot(found) and not is_ornament(found))
    assert _referred(pieces(octets)) == _referred([stream])


def _referred(cut: list[bytes]) -> tuple[str, ...]:
    references = References(20)
    for piece in cut:
        references.feed(piece)
    found = references.close()
    assert len(found) <= 20
    return found
