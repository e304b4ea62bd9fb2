"""A printer's datagram: it is unreadable, or makes numbers, octets and identifiers within the protocol's bounds."""

from __future__ import annotations

from printerbridge import snmp_message as message

WORDS = (
    b"\x02\x01\x00",
    b"\x02\x01\x01",
    b"\x04\x06public",
    b"\xa2\x1c",
    b"\x30\x0e",
    b"\x30\x80",
    b"\x30\x82\x05\xc0",
    b"\x06\x08\x2b\x06\x01\x02\x01\x01\x01\x00",
    b"\x06\x01\xff",
    b"\x05\x00",
    b"\x41\x04\xff\xff\xff\xff",
    b"\x44\x07\x9f\x78\x04",
    b"\x82\x00",
)


def check(octets: bytes) -> None:
    for version in (0, 1):
        try:
            told = message.answer(octets, version)
        except message.Unreadable:
            continue
        assert len(told.variables) <= 64
        for oid, value in told.variables:
            numbers = [int(number) for number in oid.split(".")]
            assert 2 <= len(numbers) <= 128
            assert all(0 <= number < 1 << 32 for number in numbers)
            assert value is None or isinstance(value, int | bytes | str)
            assert not isinstance(value, int) or -(1 << 71) <= value < 1 << 72
        # What is asked can be read as an identifier again.
        if told.variables:
            message.question(message.GET, version, "public", 1, [oid for oid, _ in told.variables])
