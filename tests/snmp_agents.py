"""SNMP agents of printers that do not exist: GET and GETNEXT of version 1, in as much BER as that takes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import cast

Value = int | bytes | str  # str: an object identifier

_INTEGER, _OCTETS, _NULL, _OID, _SEQUENCE, _GET_NEXT, _RESPONSE = 0x02, 0x04, 0x05, 0x06, 0x30, 0xA1, 0xA2
_NO_SUCH_NAME = 2


def laserjet(more: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """The objects of one with a device ID, two interpreters and a channel, and more."""
    objects: dict[str, Value] = {
        "1.3.6.1.2.1.1.5.0": b"npi123456",
        "1.3.6.1.2.1.1.6.0": b"Second floor",
        "1.3.6.1.2.1.2.2.1.6.1": bytes(6),
        "1.3.6.1.2.1.2.2.1.6.2": bytes.fromhex("00005e005301"),
        "1.3.6.1.2.1.4.21.1.7.0.0.0.0": b"\x7f\0\0\x01",
        "1.3.6.1.2.1.25.3.2.1.2.1": "1.3.6.1.2.1.25.3.1.5",
        "1.3.6.1.2.1.25.3.2.1.3.1": b"HP LaserJet 4250",
        "1.3.6.1.2.1.25.3.5.1.1.1": 3,
        "1.3.6.1.2.1.43.5.1.1.17.1": b"CNBXX01234",
        "1.3.6.1.2.1.43.10.2.1.6.1.1": 1,
        "1.3.6.1.2.1.43.14.1.1.2.1.1": 37,
        "1.3.6.1.2.1.43.14.1.1.9.1.1": b"Port=9100",
        "1.3.6.1.2.1.43.15.1.1.2.1.1": 5,
        "1.3.6.1.2.1.43.15.1.1.2.1.2": 6,
        "1.3.6.1.2.1.43.15.1.1.3.1.1": b"",
        "1.3.6.1.2.1.43.15.1.1.3.1.2": b"3",
        "1.3.6.1.4.1.11.2.3.9.1.1.7.0": b"MFG:Hewlett-Packard;CMD:PJL,PCL,POSTSCRIPT;MDL:HP LaserJet 4250;",
    }
    return objects | dict(more or {})


class _Agent(asyncio.DatagramProtocol):
    def __init__(self, objects: Mapping[str, Value], community: bytes) -> None:
        self._objects = {_numbers(oid): value for oid, value in objects.items()}
        self._community = community
        self.asked: list[tuple[int, ...]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        _, message, _ = _read(data)
        _, version, rest = _read(message)
        _, community, rest = _read(rest)
        if community != self._community:
            return
        kind, request, _ = _read(rest)
        _, number, rest = _read(request)
        _, _, rest = _read(rest)
        _, _, rest = _read(rest)
        _, bindings, _ = _read(rest)
        oids = []
        while bindings:
            _, binding, bindings = _read(bindings)
            oids.append(_read_oid(_read(binding)[1]))
        self.asked += oids
        if kind == _GET_NEXT:
            found = [min((oid for oid in self._objects if oid > asked), default=None) for asked in oids]
        else:
            found = [oid if oid in self._objects else None for oid in oids]
        lost = next((at for at, oid in enumerate(found, 1) if oid is None), 0)
        answer = b"".join(
            _tlv(_SEQUENCE, _oid(oid) + (_tlv(_NULL, b"") if lost else self._value(oid)))
            for oid in (oids if lost else [one or () for one in found])
        )
        error = _tlv(_INTEGER, bytes([_NO_SUCH_NAME if lost else 0])) + _tlv(_INTEGER, bytes([lost]))
        response = _tlv(_RESPONSE, _tlv(_INTEGER, number) + error + _tlv(_SEQUENCE, answer))
        said = _tlv(_INTEGER, version) + _tlv(_OCTETS, community) + response
        self._transport.sendto(_tlv(_SEQUENCE, said), addr)

    def _value(self, oid: tuple[int, ...]) -> bytes:
        value = self._objects[oid]
        if isinstance(value, str):
            return _oid(_numbers(value))
        return (
            _tlv(_OCTETS, value) if isinstance(value, bytes) else _tlv(_INTEGER, value.to_bytes(4, "big", signed=True))
        )


@contextlib.asynccontextmanager
async def agents(
    at: Mapping[str, Mapping[str, Value]], community: bytes = b"public"
) -> AsyncIterator[tuple[int, Mapping[str, _Agent]]]:
    """Agents at these addresses, all on one port; yields it, and them."""
    loop = asyncio.get_running_loop()
    made: dict[str, _Agent] = {}
    port = 0
    async with contextlib.AsyncExitStack() as stack:
        for address, objects in at.items():
            agent = _Agent(objects, community)
            transport, _ = await loop.create_datagram_endpoint(
                lambda agent=agent: agent,  # type: ignore[misc]
                local_addr=(address, port),
                family=socket.AF_INET,
            )
            stack.callback(transport.close)
            port = transport.get_extra_info("sockname")[1]
            made[address] = agent
        yield port, made


def _numbers(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


def _tlv(tag: int, content: bytes) -> bytes:
    length = bytes([len(content)]) if len(content) < 128 else b"\x82" + len(content).to_bytes(2, "big")
    return bytes([tag]) + length + content


def _read(octets: bytes) -> tuple[int, bytes, bytes]:
    """Tag, content, and what follows."""
    length, at = octets[1], 2
    if length & 0x80:
        at += length & 0x7F
        length = int.from_bytes(octets[2:at], "big")
    return octets[0], octets[at : at + length], octets[at + length :]


def _oid(numbers: tuple[int, ...]) -> bytes:
    content = bytes([40 * numbers[0] + numbers[1]])
    for number in numbers[2:]:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        content += bytes(reversed(digits))
    return _tlv(_OID, content)


def _read_oid(content: bytes) -> tuple[int, ...]:
    numbers, number = [*divmod(content[0], 40)], 0
    for octet in content[1:]:
        number = number << 7 | octet & 0x7F
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    return tuple(numbers)
