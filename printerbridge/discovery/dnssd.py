"""Printers that announce themselves on the links of this machine: DNS-SD (RFC 6763) over multicast DNS (RFC 6762).

Security: whoever is on the link may announce anything, in any number, also in another's name.  Instances and those
that are asked about at once are bounded here, records by the library; an instance whose name is none is left out; of
the addresses that an answer names, those that must not be dialed are not proposed, nor loopback, behind which stand
this machine's other services; and nothing is sent to any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from zeroconf import Error, InterfaceChoice, IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from mailstore.header import clean
from printerbridge.dialing import is_ours
from printerbridge.discovery import txt
from printerbridge.discovery.proposal import Heard
from printerbridge.guard import Guard, plain

RAW = "_pdl-datastream._tcp.local."
OTHERS = ("_printer._tcp.local.", "_ipp._tcp.local.")
"""Services that say more of a printer that has the raw one."""

_INSTANCES = 1000
_AT_ONCE = 32
_ADDRESSES = 8  # of one instance
_NOTES = 8
_HOST = 63  # characters


@dataclass(slots=True)
class Announced:
    """What was announced while somebody listened."""

    heard: list[Heard]
    notes: list[str]  # sentences on what was left out


async def listen(seconds: float, guard: Guard, interfaces: Sequence[str] = ()) -> Announced:
    """Ask on the links of `interfaces`, own addresses, or on all, and gather what is answered within the time.

    Raises `OSError` where this machine cannot do multicast.
    """
    try:
        multicast = AsyncZeroconf(interfaces=list(interfaces) or InterfaceChoice.All)
    except Error as error:
        raise OSError(str(error)) from None
    gathering = _Gathering(guard, loopback=bool(interfaces) and all(map(_on_loopback, interfaces)))
    try:
        browser = AsyncServiceBrowser(multicast.zeroconf, [RAW, *OTHERS], handlers=[gathering.changed])
        await asyncio.sleep(seconds)
        await browser.async_cancel()
    finally:
        await gathering.end()
        await multicast.async_close()
    return Announced(heard=gathering.heard, notes=gathering.notes())


class _Gathering:
    def __init__(self, guard: Guard, *, loopback: bool) -> None:
        self.heard: list[Heard] = []
        self._guard = guard
        self._loopback = loopback  # it is the link that is listened to
        self._seen: set[tuple[str, str]] = set()
        self._asking: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._too_many = self._nameless = 0
        self._refused: dict[str, str] = {}  # by address, why

    def changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        """The library calls it with these names of parameters."""
        if state_change is ServiceStateChange.Removed or (service_type, name) in self._seen:
            return
        if len(self._seen) >= _INSTANCES:
            self._too_many += 1
            return
        self._seen.add((service_type, name))
        task = asyncio.ensure_future(self._ask(zeroconf, service_type, name))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def end(self) -> None:
        for task in (asking := list(self._asking)):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*asking, return_exceptions=True)

    def notes(self) -> list[str]:
        notes = [f"An answer named {address}, which is not proposed: {why}." for address, why in self._refused.items()]
        if self._too_many:
            notes.append(f"More than {_INSTANCES} services were announced; {self._too_many} were left out.")
        if self._nameless:
            notes.append(f"{self._nameless} services were left out, whose names are none.")
        return notes

    async def _ask(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        try:
            info = AsyncServiceInfo(service_type, name)
            # Most tell all at once, and wait for nobody who has others asked for what is not there.
            if not (answered := info.load_from_cache(zeroconf)):
                async with self._turn:
                    answered = await info.async_request(zeroconf, 3000)
        except Error:
            self._nameless += 1
            return
        address = self._address(info) if answered else ""
        if not address:
            return
        said = txt.told(info.text or b"")
        self.heard.append(
            Heard(
                address=address,
                way="dns-sd",
                port=(info.port or 0) if service_type == RAW else 0,
                host=_host(info.server or ""),
                model=said.model or _host(name.removesuffix(f".{service_type}")),
                location=said.location,
                serial=said.serial,
                color=said.color,
                duplex=said.duplex,
                speech=said.speech,
                over_ipp=service_type != RAW,
            )
        )

    def _address(self, info: AsyncServiceInfo) -> str:
        """The first that may be dialed, of IPv4 before IPv6; "" if there is none."""
        refused: dict[str, str] = {}
        for packed in info.addresses_by_version(IPVersion.All)[:_ADDRESSES]:
            ip = plain(ipaddress.ip_address(packed))
            why = self._guard.refusal(str(ip), info.port or 0, is_ours)
            if not why and ip.is_loopback and not self._loopback:
                refused[str(ip)] = "it means this machine, wherever it was said"
                continue
            if not why:
                return str(ip)
            # The sentence of the guard is for whoever wrote the address into an entry.
            told = why.partition(": it ")[2].partition(";")[0]
            refused[str(ip)] = f"it {told or 'is Printpost itself'}"
        if len(self._refused) < _NOTES:
            self._refused |= refused
        return ""


def _on_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _host(name: str) -> str:
    return clean(name.removesuffix(".").removesuffix(".local"), _HOST)
