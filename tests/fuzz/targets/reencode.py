"""BINARYMIME to lines: what comes out is lines and nothing else, holds the same parts, and stays as it is again."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

import re

from mailstore.failure import PermanentFailure
from mailstore.mime import Data, Limits, Part, Walker
from mailstore.reencode import Reencoder
from tests.fuzz import pieces
from tests.fuzz.targets.walk import WORDS as WALK

WORDS = (*WALK, b"Content-Transfer-Encoding: binary\r\n", b"Content-Transfer-Encoding: 8bit\r\n", b"\0", b"\n", b"\r")
LIMITS = Limits(header=1024, depth=4, parts=12, boundary=40)
_BARE = re.compile(rb"\r(?!\n)|(?<!\r)\n|\0")


def check(octets: bytes) -> None:
    stream = octets[4:]
    whole = _lines([stream])
    cut = _lines(pieces(octets))
    if isinstance(whole, str):
        assert isinstance(cut, str)  # of two faults the cuts decide which is told
        return
    assert cut == whole
    assert not _BARE.search(whole)
    assert whole.endswith(b"\r\n") or not stream
    assert _lines([whole]) == whole
    before, after = _parts(stream), _parts(whole)
    assert [part[:2] for part in after] == [part[:2] for part in before]
    for (_, media_type, labelled, content), (_, _, _, made) in zip(before, after, strict=True):
        binary = labelled and not media_type.startswith(("multipart/", "message/"))  # those must not be encoded
        # The last line of a message gets an end; what is binary is kept to the octet.
        assert made == content or (not binary and made == content + b"\r\n")


def _lines(cut: list[bytes]) -> bytes | str:
    reencoder = Reencoder(LIMITS)
    try:
        return b"".join([*(reencoder.feed(piece) for piece in cut), reencoder.end()])
    except PermanentFailure as failure:
        assert failure.status in ("5.6.0", "5.3.4")
        return failure.text


def _parts(stream: bytes) -> list[tuple[str, str, bool, bytes]]:
    """Path, media type, whether it is labelled binary, and the content."""
    walker = Walker(limits=LIMITS)
    found: list[tuple[str, str, bool, bytes]] = []
    for event in (*walker.feed(stream), *walker.close()):
        if isinstance(event, Part):
            found.append((event.path, event.media_type, event.encoding == "binary", b""))
        elif isinstance(event, Data):
            path, media_type, binary, content = found.pop()
            found.append((path, media_type, binary, content + event.octets))
    return found
