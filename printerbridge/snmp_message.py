"""SNMP messages of versions 1 and 2c as octets: questions made, answers read (RFC 1157, RFC 3416).  No I/O.

Only what they need of the Basic Encoding Rules (ITU-T X.690; RFC 3417 section 8): lengths are definite.

Security: answers are written by whoever answers for a printer's address.  Reading goes once through a datagram, never
deeper than its five levels and never past the end of what encloses it; there are no more variables than we could have
asked for, and identifiers are no longer than the protocol allows.  What is built wrongly is `Unreadable` as a whole; a
value of an unknown or impossible kind is as if it was not there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

GET, GET_NEXT = 0xA0, 0xA1
_RESPONSE: Final = 0xA2

_BOOLEAN, _INTEGER, _BITS, _OCTETS, _NULL, _IDENTIFIER, _SEQUENCE = 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x30
# RFC 2578 section 7.1
_IP_ADDRESS, _COUNTER32, _GAUGE32, _TIME_TICKS, _COUNTER64 = 0x40, 0x41, 0x42, 0x43, 0x46
_UNSIGNED: Final = frozenset({_BOOLEAN, _COUNTER32, _GAUGE32, _TIME_TICKS, _COUNTER64})

_VARIABLES: Final = 64  # of one answer: six times what is asked
_NUMBERS: Final = 128  # of one identifier; each less than 2 ** 32 (RFC 2578 section 3.5)
_INTEGER_OCTETS: Final = 9  # a Counter64 with the zero before it

Value = int | bytes | str
"""str: an object identifier ("1.3.6..."), or an IP address."""


class Unreadable(Exception):
    """The datagram is no answer in SNMP."""


class Answer(NamedTuple):
    """`status`: error-status, 0 for none.  `variables`: identifiers with their values, None for what is not there."""

    number: int
    status: int
    variables: list[tuple[str, Value | None]]


def question(kind: int, version: int, community: str, number: int, oids: Iterable[str]) -> bytes:
    """A GET or GET_NEXT of these objects.  `version`: 0 is version 1, 1 is 2c.  `number`: request-id, 31 bits."""
    bindings = b"".join(_tlv(_SEQUENCE, _identifier(oid) + b"\x05\0") for oid in oids)
    pdu = _tlv(_INTEGER, number.to_bytes(4, "big")) + b"\x02\1\0\x02\1\0" + _tlv(_SEQUENCE, bindings)
    head = _tlv(_INTEGER, bytes([version])) + _tlv(_OCTETS, community.encode())
    return _tlv(_SEQUENCE, head + _tlv(kind, pdu))


def answer(datagram: bytes, version: int) -> Answer:
    """What a datagram says.  Raises `Unreadable`."""
    try:
        tag, start, end = _one(datagram, 0, len(datagram))
        if tag != _SEQUENCE or end != len(datagram):
            raise Unreadable("no message")
        told, (community, _, _), (kind, start, end) = _several(datagram, start, end, 3)
        if _number(datagram, told) != version or community != _OCTETS or kind != _RESPONSE:
            raise Unreadable("no response in this version")
        number, status, _, (tag, start, end) = _several(datagram, start, end, 4)
        if tag != _SEQUENCE:
            raise Unreadable("no variables")
        variables = [_variable(datagram, *one) for one in _each(datagram, start, end, _VARIABLES)]
        return Answer(_number(datagram, number), _number(datagram, status), variables)
    except IndexError:
        raise Unreadable("it ends too early") from None


_Part = tuple[int, int, int]
"""A tag, and where its content starts and ends."""


def _one(octets: bytes, at: int, end: int) -> _Part:
    """The part that starts there.  Raises `Unreadable` if it goes on after `end`, and `IndexError`."""
    tag, length = octets[at], octets[at + 1]
    at += 2
    if length & 0x80:
        count = length & 0x7F
        if not 0 < count <= 4:
            raise Unreadable("a length of an odd kind")
        length = int.from_bytes(octets[at : at + count], "big")
        at += count
    if at + length > end:
        raise Unreadable("a part is longer than the whole")
    return tag, at, at + length


def _each(octets: bytes, start: int, end: int, most: int) -> Iterator[_Part]:
    while start < end:
        if not most:
            raise Unreadable("too many parts")
        most -= 1
        part = _one(octets, start, end)
        yield part
        start = part[2]


def _several(octets: bytes, start: int, end: int, count: int) -> list[_Part]:
    parts = list(_each(octets, start, end, count))
    if len(parts) != count:
        raise Unreadable("parts are missing")
    return parts


def _number(octets: bytes, part: _Part) -> int:
    tag, start, end = part
    if tag != _INTEGER or not 0 < end - start <= _INTEGER_OCTETS:
        raise Unreadable("no number")
    return int.from_bytes(octets[start:end], "big", signed=True)


def _variable(octets: bytes, tag: int, start: int, end: int) -> tuple[str, Value | None]:
    if tag != _SEQUENCE:
        raise Unreadable("no variable")
    (kind, start, end), (tag, begin, finish) = _several(octets, start, end, 2)
    if kind != _IDENTIFIER:
        raise Unreadable("no name")
    return _read_identifier(octets[start:end]), _value(tag, octets[begin:finish])


def _value(tag: int, content: bytes) -> Value | None:
    """Unsigned numbers are read so even where the zero before them was forgotten."""
    if tag == _INTEGER or tag in _UNSIGNED:
        within = 0 < len(content) <= _INTEGER_OCTETS
        return int.from_bytes(content, "big", signed=tag == _INTEGER) if within else None
    if tag == _OCTETS:
        return content
    if tag == _BITS:  # RFC 1442, which some old agents follow: how many bits are not used, and the bits
        return content[1:]
    if tag == _IP_ADDRESS and len(content) == 4:
        return ".".join(map(str, content))
    if tag == _IDENTIFIER:
        try:
            return _read_identifier(content)
        except Unreadable:
            return None
    return None


def _read_identifier(content: bytes) -> str:
    """X.690 section 8.19."""
    numbers: list[int] = []
    number = 0
    for octet in content:
        number = number << 7 | octet & 0x7F
        if number >> 32:
            raise Unreadable("an identifier's number is too large")
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    if not numbers or content[-1] & 0x80 or len(numbers) >= _NUMBERS:
        raise Unreadable("no identifier")
    first = min(2, numbers[0] // 40)
    return ".".join(map(str, (first, numbers[0] - 40 * first, *numbers[1:])))


@functools.lru_cache(maxsize=1024)
def _identifier(oid: str) -> bytes:
    first, second, *others = map(int, oid.split("."))
    content = bytearray()
    for number in (40 * first + second, *others):
        groups = [number & 0x7F]
        while number := number >> 7:
            groups.append(0x80 | number & 0x7F)
        content += bytes(reversed(groups))
    return _tlv(_IDENTIFIER, bytes(content))


def _tlv(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content
