"""The print firewall: PWG raster is walked, page for page."""

from __future__ import annotations

import struct

import pytest

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat as F
from mailstore.failure import PermanentFailure
from printerbridge.firewall import Filter
from tests.printer_view import UEL


def run(stream: bytes, piece: int = 1 << 20) -> tuple[bytes, dict[str, int]]:
    one = Filter(F.PWG, (Language.PWG, Language.PCL), passes=lambda _: True, copies=9)
    made = b"".join([one.feed(stream[at : at + piece]) for at in range(0, len(stream), piece)]) + one.close()
    return made, dict(one.dropped)


LINE = b"\0\0\xff"


def raster(
    copies: int = 1, width: int = 8, line: int = 1, *, bits: int = 1, height: int = 1, lines: bytes = LINE
) -> bytes:
    """One page, without what stands before the first."""
    header = bytearray(1796)
    header[:10] = b"PwgRaster\0"
    struct.pack_into(">I", header, 340, copies)
    struct.pack_into(">6I", header, 372, width, height, 0, min(bits, 8), bits, line)
    return bytes(header) + lines


def test_raster_is_raster_to_its_end() -> None:
    sync, one = b"RaS2", raster()
    assert run(sync + one) == (sync + one, {})
    assert run(sync + one * 3) == (sync + one * 3, {})
    asked, given = raster(copies=99), raster(copies=9)
    assert run(sync + one + asked + one + asked) == (sync + one + given + one + given, {"COPIES": 2})
    assert run(UEL + sync + one + UEL + b"@PJL EOJ\r\n")[0] == UEL + sync + one + UEL
    color = raster(
        width=200, line=600, bits=24, height=7, lines=b"\5\x7fabc\x47def" + b"\0\x81" + b"x" * 384 + b"\x47def"
    )
    assert run(sync + color + one) == (sync + color + one, {})
    for piece in (1, 7, 500):
        assert run(sync + color + asked + color, piece) == (sync + color + given + color, {"COPIES": 1})


@pytest.mark.parametrize(
    "page",
    [
        raster(width=0),
        raster(line=2),
        raster()[:1000],
        raster() + UEL + b"\x1bEtext",
        raster() + b"\x1bE",
        raster()[:-1],
        raster(lines=b"\1\0\xff"),  # two lines of one
        raster(lines=b"\0\1\xff"),  # two octets of one
        raster(lines=b"\0\x80"),
        raster() + raster().replace(b"Pwg", b"pwg"),
        raster(lines=b"\0\0" + UEL),
    ],
)
def test_raster_that_is_not_certain_is_refused(page: bytes) -> None:
    with pytest.raises(PermanentFailure, match="send"):
        run(b"RaS2" + page)
