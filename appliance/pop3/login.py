"""Who may log in, and from where (design: passwords in clear only where nobody listens, or where the entry allows it).

Security: names and passwords are strangers' guesses.  Each wrong one costs the same time, whether the name exists or
not, and a session has few; where a password may not be sent in clear the name is refused before it is, with one answer
for all names.
"""

from __future__ import annotations

import asyncio
import time
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer

Address = IPv4Address | IPv6Address


def peer_address(host: str) -> Address:
    """The client's address, an IPv4 one as itself where a dual-stack socket shows it mapped."""
    address = ip_address(host.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address


def may_send_in_clear(peer: Address, printer: Printer | None) -> bool:
    """Whether USER and PASS are taken from here without TLS."""
    if peer.is_loopback:
        return True
    networks = [ip_network(network, strict=False) for network in (printer.plain_from if printer else ())]
    return any(peer in network for network in networks if network.version == peer.version)


async def find(directory: Directory, name: str) -> Printer | None:
    """The printer of a user name: its own name, or one of its addresses.  Raises `TransientFailure`."""
    name = name.lower()
    return await (directory.printer_by_address(name) if "@" in name else directory.printer(name))


async def verify(directory: Directory, name: str, printer: Printer | None, password: str, delay: float) -> bool:
    """Whether it is this printer's password; a "no" takes `delay` seconds in all.  Raises `TransientFailure`."""
    began = time.monotonic()
    # A name that does not exist is asked for all the same: the directory must not be quicker to say no.
    right = await directory.verify(printer.name if printer else name.lower(), password)
    if right and printer:
        return True
    await asyncio.sleep(max(0.0, began + delay - time.monotonic()))
    return False
