"""The virtual printer's SNMP agent: v1 and v2c (RFC 1157, RFC 3416) over UDP, read-only.

What it tells is the device's own state at that moment, in the objects of the Host Resources MIB (RFC 2790), the Printer
MIB (RFC 3805) and the PWG's Port Monitor MIB (PWG 5107.1), as printers tell it.

Security: whoever reaches the port may ask, and may forge whom the answer goes to.  A datagram gets one answer of at
most `ANSWER_OCTETS`, and never more variables than it asked for; without the community it gets none.  What is too long
or cannot be decoded is dropped; decoding is bounded by the length of the datagram, and nothing of it is kept or set.
"""

from __future__ import annotations

import asyncio
import bisect
from collections.abc import Sequence
from typing import Any, Final, cast

from pyasn1.codec.ber import decoder, encoder  # type: ignore[import-untyped]
from pyasn1.error import PyAsn1Error  # type: ignore[import-untyped]
from pyasn1.type import namedtype, tag, univ  # type: ignore[import-untyped]

from printerbridge.virtual_device import Device
from printerbridge.virtual_mib import Counter, Oid, Ticks, Value, objects
from printerbridge.virtual_personality import Personality

ANSWER_OCTETS: Final = 1472
"""What fits into one Ethernet frame."""

QUESTION_OCTETS: Final = 1472
ASKED: Final = 64
"""The most variables of one question."""

_V1, _V2C = 0, 1
_TOO_BIG, _NO_SUCH_NAME, _NOT_WRITABLE = 1, 2, 17  # RFC 3416 section 3
_NO_SUCH_OBJECT, _END_OF_MIB_VIEW = b"\x80\x00", b"\x82\x00"
_NULL = b"\x05\x00"

Bindings = list[tuple[Oid, bytes]]


def _context(number: int) -> tag.Tag:
    return tag.Tag(tag.tagClassContext, tag.tagFormatConstructed, number)


class _Binding(univ.Sequence):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1 calls it so
        namedtype.NamedType("name", univ.ObjectIdentifier()), namedtype.NamedType("value", univ.Any())
    )


class _Bindings(univ.SequenceOf):  # type: ignore[misc]
    componentType = _Binding()  # noqa: N815


class _Pdu(univ.Sequence):  # type: ignore[misc]
    """Of a GetBulk the second and third are non-repeaters and max-repetitions."""

    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1 calls it so
        namedtype.NamedType("request-id", univ.Integer()),
        namedtype.NamedType("error-status", univ.Integer()),
        namedtype.NamedType("error-index", univ.Integer()),
        namedtype.NamedType("variable-bindings", _Bindings()),
    )


_KINDS: Final = {"get": 0, "next": 1, "response": 2, "set": 3, "bulk": 5}


class _Pdus(univ.Choice):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1 calls it so
        *(namedtype.NamedType(name, _Pdu().subtype(implicitTag=_context(number))) for name, number in _KINDS.items())
    )


class _Message(univ.Sequence):  # type: ignore[misc]
    componentType = namedtype.NamedTypes(  # noqa: N815 - pyasn1 calls it so
        namedtype.NamedType("version", univ.Integer()),
        namedtype.NamedType("community", univ.OctetString()),
        namedtype.NamedType("data", _Pdus()),
    )


_MESSAGE: Final = _Message()
_RESPONSE: Final = _Pdu().subtype(implicitTag=_context(_KINDS["response"]))


class Agent(asyncio.DatagramProtocol):
    """Answers for one device.  `community` is the only one that is heard."""

    def __init__(self, device: Device, kind: Personality, *, community: str = "public") -> None:
        self._device = device
        self._kind = kind
        self._community = community.encode()
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._transport is not None and (reply := self.answer(data)):
            self._transport.sendto(reply, addr)

    def answer(self, datagram: bytes) -> bytes:
        """The answer to one datagram, b"" where none is due."""
        if len(datagram) > QUESTION_OCTETS:
            return b""
        try:
            message, rest = decoder.decode(datagram, asn1Spec=_MESSAGE)
            version, kind = int(message["version"]), message["data"].getName()
            pdu = message["data"].getComponent()
            asked = [tuple(one["name"]) for one in pdu["variable-bindings"]]
            numbers = [int(pdu[name]) for name in ("request-id", "error-status", "error-index")]
            heard = bytes(message["community"]) == self._community
        except (PyAsn1Error, ValueError, IndexError, TypeError, RecursionError, OverflowError):
            return b""
        wanted = version in (_V1, _V2C) and kind != "response" and not (kind == "bulk" and version == _V1)
        if rest or not heard or not wanted or not -(1 << 31) <= numbers[0] < 1 << 31:
            return b""
        return self._answered(version, kind, numbers, asked)

    def _answered(self, version: int, kind: str, numbers: Sequence[int], asked: list[Oid]) -> bytes:
        refused: Bindings = [(oid, _NULL) for oid in asked]
        if len(asked) > ASKED:
            return self._response(version, numbers[0], _TOO_BIG, 0, [])
        if kind == "set":
            return self._response(
                version, numbers[0], _NO_SUCH_NAME if version == _V1 else _NOT_WRITABLE, min(1, len(asked)), refused
            )
        tree = [(oid, _encoded(value)) for oid, value in objects(self._device, self._kind)]
        if kind == "bulk":
            return self._bulk(tree, numbers, asked)
        found = [_exact(tree, oid) if kind == "get" else _after(tree, oid) for oid in asked]
        missing = (_NO_SUCH_OBJECT, _END_OF_MIB_VIEW)
        if version == _V1:  # RFC 1157 section 4.1.2: all or nothing
            at = next((number for number, (_, value) in enumerate(found, 1) if value in missing), 0)
            if at:
                return self._response(version, numbers[0], _NO_SUCH_NAME, at, refused)
        reply = self._response(version, numbers[0], 0, 0, found)
        return reply if len(reply) <= ANSWER_OCTETS else self._response(version, numbers[0], _TOO_BIG, 0, [])

    def _bulk(self, tree: Bindings, numbers: Sequence[int], asked: list[Oid]) -> bytes:
        """RFC 3416 section 4.2.3; what does not fit is left out at the end."""
        once, times = max(0, numbers[1]), max(0, numbers[2])
        found = [_after(tree, oid) for oid in asked[:once]]
        last = asked[once:]
        room = ANSWER_OCTETS - 100  # for the message around the variables
        octets = sum(map(_octets, found))
        while last and times and octets < room:
            times -= 1
            row = [_after(tree, oid) for oid in last]
            if all(value == _END_OF_MIB_VIEW for _, value in row):
                times = 0
            last = [oid for oid, _ in row]
            for one in row:
                octets += _octets(one)
                if octets < room:
                    found.append(one)
        reply = self._response(_V2C, numbers[0], 0, 0, found)
        return reply if len(reply) <= ANSWER_OCTETS else self._response(_V2C, numbers[0], _TOO_BIG, 0, [])

    def _response(self, version: int, request: int, error: int, index: int, bindings: Bindings) -> bytes:
        pdu = _RESPONSE.clone()
        pdu["request-id"], pdu["error-status"], pdu["error-index"] = request, error, index
        made = pdu["variable-bindings"]
        made.clear()
        for number, (oid, value) in enumerate(bindings):
            one = _Binding()
            one["name"], one["value"] = oid, univ.Any(value)
            made[number] = one
        message = _Message()
        message["version"], message["community"] = version, self._community
        message["data"]["response"] = pdu
        reply: bytes = encoder.encode(message)
        return reply


def _octets(binding: tuple[Oid, bytes]) -> int:
    """At most so many, with all its heads."""
    oid, value = binding
    return 5 * len(oid) + len(value) + 8


def _exact(tree: Bindings, oid: Oid) -> tuple[Oid, bytes]:
    at = bisect.bisect_left(tree, oid, key=lambda one: one[0])
    return tree[at] if at < len(tree) and tree[at][0] == oid else (oid, _NO_SUCH_OBJECT)


def _after(tree: Bindings, oid: Oid) -> tuple[Oid, bytes]:
    at = bisect.bisect_right(tree, oid, key=lambda one: one[0])
    return tree[at] if at < len(tree) else (oid, _END_OF_MIB_VIEW)


_APPLICATION: Final = {Counter: 1, Ticks: 3}  # RFC 2578 section 7.1


def _encoded(value: Value) -> bytes:
    made: Any
    if isinstance(value, Counter | Ticks):
        number = tag.Tag(tag.tagClassApplication, tag.tagFormatSimple, _APPLICATION[type(value)])
        made = univ.Integer(int(value)).subtype(implicitTag=number)
    elif isinstance(value, int):
        made = univ.Integer(value)
    elif isinstance(value, bytes):
        made = univ.OctetString(value)
    else:
        made = univ.ObjectIdentifier(value)
    octets: bytes = encoder.encode(made)
    return octets
