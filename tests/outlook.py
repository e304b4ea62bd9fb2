"""TNEF as Outlook makes it: winmail.dat of attachments, properties and messages in messages ([MS-OXTNEF])."""

from __future__ import annotations

import struct

LONG_NAME, BODY, HTML, RTF, DATA, METHOD, CID = 0x3707, 0x1000, 0x1013, 0x1009, 0x3701, 0x3705, 0x3712
_MESSAGE_ID = bytes.fromhex("0703020000000000c000000000000046")


def attribute(number: int, value: bytes) -> bytes:
    level = 2 if number & 0xFFFF in (0x9002, 0x9005, 0x800F, 0x8010) else 1
    return struct.pack("<BLL", level, number, len(value)) + value + struct.pack("<H", sum(value) & 0xFFFF)


def _padded(value: bytes) -> bytes:
    return struct.pack("<LL", 1, len(value)) + value + bytes(-len(value) % 4)


def properties(values: dict[int, str | bytes | int], *, objects: tuple[int, ...] = ()) -> bytes:
    """A list of properties, with a named one and one of several values first, which a reader has to get past."""
    octets = struct.pack("<L", len(values) + 2)
    octets += struct.pack("<HH16sLL", 0x1F, 0x8001, bytes(16), 1, 10) + "Name\0".encode("utf-16-le") + b"\0\0"
    octets += _padded("x\0".encode("utf-16-le"))
    octets += struct.pack("<HHLLL", 0x1003, 0x6001, 2, 1, 2)
    for number, value in values.items():
        if isinstance(value, int):
            octets += struct.pack("<HHl", 3, number, value)
        elif isinstance(value, str):
            octets += struct.pack("<HH", 0x1F, number) + _padded(value.encode("utf-16-le") + b"\0\0")
        else:
            octets += struct.pack("<HH", 0x0D if number in objects else 0x102, number) + _padded(value)
    return octets


def attachment(title: str, data: bytes, name: str = "", content_id: str = "") -> bytes:
    more: dict[int, str | bytes | int] = {LONG_NAME: name} if name else {}
    if content_id:
        more[CID] = content_id
    return (
        attribute(0x00069002, bytes(14))
        + attribute(0x0006800F, data)
        + attribute(0x00018010, title.encode("cp1252") + b"\0")
        + (attribute(0x00069005, properties(more)) if more else b"")
    )


def embedded(inside: bytes) -> bytes:
    """An attached message."""
    values: dict[int, str | bytes | int] = {METHOD: 5, DATA: _MESSAGE_ID + inside}
    return attribute(0x00069002, bytes(14)) + attribute(0x00069005, properties(values, objects=(DATA,)))


def tnef(*attributes: bytes) -> bytes:
    version = attribute(0x00089006, struct.pack("<L", 0x10000))
    return (
        b"\x78\x9f\x3e\x22\x01\x00"
        + version
        + attribute(0x00069007, struct.pack("<LL", 1252, 0))
        + b"".join(attributes)
    )


def message(values: dict[int, str | bytes | int]) -> bytes:
    """What the message itself says."""
    return attribute(0x00069003, properties(values))
