"""Outlook's TNEF: whatever its lengths claim, the walk ends, and what comes out is not much more than went in."""

from __future__ import annotations

from printerbridge.programs import tnef

WORDS = (
    tnef.SIGNATURE + b"\x01\x00",
    b"\x02\x02\x90\x06\x00\x0e\x00\x00\x00" + bytes(16),
    b"\x02\x05\x90\x06\x00",
    b"\x02\x0f\x80\x06\x00\x03\x00\x00\x00abc\x26\x01",
    b"\x01\x03\x90\x06\x00",
    b"\x1f\x00\x07\x37\x01\x00\x00\x00",
    b"\x0d\x00\x01\x37\x01\x00\x00\x00",
    b"\x02\x01\x09\x10\x01\x00\x00\x00",
    b"LZFu",
    b"\xff\xff\xff\xff",
)


def check(octets: bytes) -> None:
    try:
        found = tnef.found(octets)
    except ValueError:
        return
    # Values may overlap in nothing, names may grow by an encoding, and compressed text by its references.
    assert sum(len(each.octets) for each in found) <= 24 * len(octets) + 64
    for each in found:
        assert isinstance(each.name, str)
        each.name.encode("utf-8", "replace")
