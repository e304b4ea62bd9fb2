"""What the virtual printer says beside port 9100: its status by SNMP, and by UDP 9101 as Tektronix's AppSocket has it.

There any datagram, even an empty one, is answered by a text in no defined format.

Security: whoever reaches these ports may ask and may forge the sender's address; one datagram gets one short answer,
and an answer gets none: two printers would talk without end.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from mailstore.config_values import split_endpoint
from printerbridge.virtual_device import Device
from printerbridge.virtual_personality import Personality

Endpoint = bool | int | str
"""Where to answer: True, any free port beside the printer; a port there; or "HOST:PORT".  False and "": nowhere."""


class Status(asyncio.DatagramProtocol):
    """UDP 9101."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._transport is not None and not data.startswith(b"%%["):
            self._transport.sendto(self.text(), addr)

    def text(self) -> bytes:
        now = self._device.now
        status = f"PrinterError: {now.said}" if now.stops else f"status: {'busy' if self._device.printing else 'idle'}"
        return f"%%[ {status} ]%%\r\n".encode("ascii")


class Beside:
    """Both, as far as they are wanted."""

    def __init__(self, device: Device, kind: Personality, *, snmp: Endpoint, status: Endpoint, community: str) -> None:
        self._device = device
        self._kind = kind
        self._snmp = snmp
        self._status = status
        self._community = community
        self._transports: list[asyncio.DatagramTransport] = []
        self.snmp: tuple[str, int] | None = None
        self.status: tuple[str, int] | None = None

    async def open(self, host: str) -> None:
        """Answer from now on.  Raises `OSError`."""
        if self._snmp is not False and self._snmp != "":
            from printerbridge.virtual_snmp import Agent

            agent = Agent(self._device, self._kind, community=self._community)
            self.snmp = await self._answer(agent, host, self._snmp)
        if self._status is not False and self._status != "":
            self.status = await self._answer(Status(self._device), host, self._status)

    async def _answer(self, protocol: asyncio.DatagramProtocol, host: str, where: Endpoint) -> tuple[str, int]:
        place = split_endpoint(where) if isinstance(where, str) else (host, 0 if where is True else int(where))
        address = (place[0] or "0.0.0.0", place[1])  # noqa: S104 - ":161" asks for it
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: protocol, local_addr=address)
        self._transports.append(transport)
        bound: tuple[str, int] = transport.get_extra_info("sockname")[:2]
        return bound

    def close(self) -> None:
        for transport in self._transports:
            transport.close()
        self._transports.clear()
