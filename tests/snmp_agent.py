"""SNMP agents for tests: one that has the objects it is given, as printers do, and can be told to misbehave.

Its octets are made here by hand, so that they can also be wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

GET, GETNEXT, RESPONSE = 0xA0, 0xA1, 0xA2
INTEGER, BIT_STRING, OCTETS, NULL, IDENTIFIER, SEQUENCE = 2, 3, 4, 5, 6, 0x30
COUNTER, GAUGE, NO_SUCH_OBJECT, END_OF_VIEW = 0x41, 0x42, 0x80, 0x82


def tlv(tag: int, content: bytes) -> bytes:
    """One value in BER."""
    length = len(content)
    if length < 128:
        return bytes([tag, length]) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content


def integer(number: int, tag: int = INTEGER) -> bytes:
    return tlv(tag, number.to_bytes(number.bit_length() // 8 + 1, "big", signed=True))


def octets(content: bytes) -> bytes:
    return tlv(OCTETS, content)


def identifier(oid: str) -> bytes:
    numbers = [int(number) for number in oid.split(".")]
    content = bytes([40 * numbers[0] + numbers[1]])
    for number in numbers[2:]:
        groups = [number & 127]
        while number := number >> 7:
            groups.append(0x80 | number & 127)
        content += bytes(reversed(groups))
    return tlv(IDENTIFIER, content)


def _split(content: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(content):
        tag, length, at = content[at], content[at + 1], at + 2
        if length & 0x80:
            length, at = int.from_bytes(content[at : at + (length & 127)], "big"), at + (length & 127)
        found.append((tag, content[at : at + length]))
        at += length
    return found


def _oid(content: bytes) -> str:
    numbers, number = [content[0] // 40, content[0] % 40], 0
    for octet in content[1:]:
        number = number << 7 | octet & 127
        if not octet & 0x80:
            numbers.append(number)
            number = 0
    return ".".join(map(str, numbers))


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    version: int  # 0: SNMPv1, 1: SNMPv2c
    community: bytes
    kind: int
    number: bytes
    oids: tuple[str, ...]
    asker: tuple[str, int] = ("", 0)

    def answer(self, values: Mapping[str, bytes], status: int = 0, index: int = 0, *, number: bytes = b"") -> bytes:
        """The datagram of a response; `values` are BER."""
        bindings = b"".join(tlv(SEQUENCE, identifier(oid) + value) for oid, value in values.items())
        head = tlv(INTEGER, number or self.number) + integer(status) + integer(index)
        body = integer(self.version) + octets(self.community) + tlv(RESPONSE, head + tlv(SEQUENCE, bindings))
        return tlv(SEQUENCE, body)


def read(datagram: bytes) -> Request:
    (version, community, pdu) = _split(_split(datagram)[0][1])
    number, _, _, bindings = _split(pdu[1])
    oids = tuple(_oid(_split(binding)[0][1]) for _, binding in _split(bindings[1]))
    return Request(version=version[1][0], community=community[1], kind=pdu[0], number=number[1], oids=oids)


Answering = Callable[[Request], list[bytes]]


@dataclass(slots=True, kw_only=True)
class Agent(asyncio.DatagramProtocol):
    """`objects`: BER by identifier.  `answering` in place of the answers that follow from them."""

    objects: dict[str, bytes] = field(default_factory=dict)
    community: bytes = b"public"
    answering: Answering | None = None
    lost: int = 0  # of the next requests
    requests: list[Request] = field(default_factory=list)
    port: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        request = replace(read(data), asker=addr)
        self.requests.append(request)
        self.asked.set()
        if self.lost:
            self.lost -= 1
            return
        assert self.transport
        for answer in (self.answering or self.answers)(request):
            self.transport.sendto(answer, addr)

    def answers(self, request: Request) -> list[bytes]:
        if request.community != self.community:
            return []
        values = {}
        for index, oid in enumerate(request.oids, 1):
            found = self._next(oid) if request.kind == GETNEXT else oid if oid in self.objects else None
            if found is not None:
                values[found] = self.objects[found]
            elif request.version == 0:  # noSuchName
                return [request.answer(dict.fromkeys(request.oids, tlv(NULL, b"")), 2, index)]
            else:
                values[oid] = tlv(END_OF_VIEW if request.kind == GETNEXT else NO_SUCH_OBJECT, b"")
        return [request.answer(values)]

    def _next(self, oid: str) -> str | None:
        later = [other for other in self.objects if numbers(other) > numbers(oid)]
        return min(later, key=numbers, default=None)


def numbers(oid: str) -> tuple[int, ...]:
    return tuple(map(int, oid.split(".")))


@contextlib.asynccontextmanager
async def agent(objects: Mapping[str, bytes] | None = None, answering: Answering | None = None) -> AsyncIterator[Agent]:
    """One that listens on loopback."""
    made = Agent(objects=dict(objects or {}), answering=answering)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: made, local_addr=("127.0.0.1", 0))
    try:
        yield made
    finally:
        transport.close()
        await asyncio.sleep(0)  # now it is closed


HR, PRT = "1.3.6.1.2.1.25.3", "1.3.6.1.2.1.43"


def printer(
    device: int = 1, *, doing: int = 3, status: int = 2, errors: bytes = b"\0", pages: int = 100
) -> dict[str, bytes]:
    """The objects of a printer with one supply, a waste box and a tray."""
    one = f"{PRT}.11.1.1"
    supplies = {3: (1, 0), 4: (3, 4), 5: (3, 4), 7: (19, 13), 8: (100, 1000), 9: (40, 250)}
    tray = {2: 4, 8: 8, 9: 250, 10: 125}
    return {
        f"{HR}.2.1.3.{device}": octets(b"Example Laser 7"),
        f"{HR}.2.1.5.{device}": integer(status),
        f"{HR}.5.1.1.{device}": integer(doing),
        f"{HR}.5.1.2.{device}": octets(errors),
        f"{PRT}.5.1.1.17.{device}": octets(b"EX-0007"),
        **{f"{PRT}.8.2.1.{column}.{device}.1": integer(value) for column, value in tray.items()},
        f"{PRT}.8.2.1.12.{device}.1": octets(b"iso_a4_210x297mm"),
        f"{PRT}.8.2.1.13.{device}.1": octets(b"Tray 1"),
        f"{PRT}.8.2.1.18.{device}.1": octets(b"Upper tray"),
        f"{PRT}.10.2.1.4.{device}.1": integer(pages, COUNTER),
        **{
            f"{one}.{column}.{device}.{row + 1}": integer(two[row])
            for column, two in supplies.items()
            for row in (0, 1)
        },
        f"{one}.6.{device}.1": octets(b"Toner cartridge"),
        f"{one}.6.{device}.2": octets(b"Waste box"),
        f"{PRT}.12.1.1.4.{device}.1": octets(b"black"),
        f"{PRT}.16.5.1.2.{device}.1": octets(b"Ready"),
    }
