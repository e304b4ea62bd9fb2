"""Each address of a named network is asked, once, whether it is a printer; those that are, what they are.

One small datagram an address, two hundred a second at most, and some forty to each printer: no switch, and no printer's
slow processor, is bothered by that.  Only networks that somebody named are swept.

Security: see `objects`.  An answer takes part only at the address that was asked.  What must not be dialed is not asked
either, and broadcast addresses are left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from mailstore.directory.records import Snmp
from printerbridge.dialing import is_ours
from printerbridge.discovery import objects
from printerbridge.discovery.objects import Answers, Value
from printerbridge.discovery.proposal import RAW_PORT, Heard
from printerbridge.guard import Guard
from printerbridge.snmp import Agent, NoAnswer

Network = IPv4Network | IPv6Network

MOST = 4096
"""Addresses in one sweep: a /20."""
_A_SECOND = 100  # questions; who does not answer is asked twice
_AT_ONCE = 400
_PATIENCE = 2.0  # seconds for the first answer
_FURTHER = 10.0  # and for many objects, of a printer


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What came of a sweep."""

    heard: list[Heard]
    asked: int  # addresses
    answered: int


def check(networks: Iterable[Network]) -> None:
    """Raises `ValueError` with a sentence if they have more addresses than one sweep asks."""
    count = sum(network.num_addresses for network in networks)
    if count > MOST:
        raise ValueError(f"these networks have {count} addresses, and {MOST} are asked at most: name smaller ones")


async def sweep(
    networks: Sequence[Network], guard: Guard, *, community: str, port: int = 161, seconds: float = _PATIENCE
) -> Swept:
    """Ask them all; whoever does not answer within so many seconds is nobody.  Raises `ValueError` as `check`."""
    check(networks)
    pace, turn = _Pace(), asyncio.Semaphore(_AT_ONCE)
    found: list[Heard | None] = []

    async def one(address: str) -> None:
        async with turn:
            agent = Agent(address, port, version=Snmp.V1, community=community, seconds=seconds, guard=guard)
            asking = _Asking(address, agent, pace)
            if (values := await asking.first()) is not None:
                found.append(await asking.heard(values))

    addresses = list(_addresses(networks, guard))
    async with asyncio.TaskGroup() as group:
        for address in addresses:
            group.create_task(one(address))
    return Swept(heard=[heard for heard in found if heard], asked=len(addresses), answered=len(found))


def _addresses(networks: Iterable[Network], guard: Guard) -> Iterator[str]:
    seen: set[str] = set()
    for network in networks:
        for address in map(str, network.hosts()):
            if address not in seen and not guard.refusal(address, RAW_PORT, is_ours):
                seen.add(address)
                yield address


class _Pace:
    """Lets so many go in a second, evenly."""

    def __init__(self) -> None:
        self._next = 0.0

    async def wait(self, questions: int) -> None:
        now = asyncio.get_running_loop().time()
        self._next = max(self._next, now) + questions / _A_SECOND
        await asyncio.sleep(self._next - now)


class _Asking:
    """One address and what it is asked."""

    def __init__(self, address: str, agent: Agent, pace: _Pace) -> None:
        self._address = address
        self._agent = agent
        self._pace = pace

    async def first(self) -> dict[str, Value] | None:
        """None if nobody answers."""
        await self._pace.wait(1)
        try:
            return await self._agent.get(objects.FIRST)
        except NoAnswer:
            return None

    async def heard(self, values: dict[str, Value]) -> Heard | None:
        """None if it is no printer."""
        values |= await self._get(objects.DEVICE_IDS)
        # Printers from before the Host Resources MIB have a device ID, if any.
        if not objects.is_printer(values) and not any(values.get(oid) for oid in objects.DEVICE_IDS):
            return None
        values |= await self._get(objects.further(self._address))
        columns = {oid: await self._walk(oid) for oid in objects.COLUMNS}
        return objects.heard(self._address, Answers(values=values, columns=columns))

    async def _get(self, oids: Sequence[str]) -> dict[str, Value]:
        await self._pace.wait(len(oids))
        try:
            return await self._agent.get(oids, seconds=_FURTHER)
        except NoAnswer:
            return {}

    async def _walk(self, oid: str) -> Sequence[tuple[str, Value]]:
        await self._pace.wait(objects.ROWS // 4)
        try:
            return await self._agent.walk(oid, objects.ROWS, seconds=_FURTHER)
        except NoAnswer:
            return []
