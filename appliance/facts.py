"""Network facts: what a printer's entry says of its network, and what cannot work by it.  No I/O.

PhaserLink wanted address, netmask and gateway typed in at the printer, and most printers that never printed had one of
the three wrong.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    collapse_addresses,
)
from urllib.parse import urlsplit

from mailstore.directory.records import Printer

Interface = IPv4Interface | IPv6Interface
_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network


def warnings(printer: Printer, own: Sequence[Interface]) -> list[str]:
    """Sentences on what cannot work, each with what to do; `own` are this machine's addresses with their networks."""
    address = _address(printer.network_address) or _literal(printer)
    if address is None or address.is_loopback:
        return []
    network = _network(address, printer.netmask)
    return [
        sentence
        for sentence in (
            _two_addresses(printer),
            _no_host(address, network),
            _gateway(address, network, _address(printer.gateway)),
            _apart(printer, address, network, own),
        )
        if sentence
    ]


def everywhere(networks: Iterable[_Network]) -> list[_Network]:
    """Of which address families these networks, taken together, leave nothing out."""
    found = list(networks)
    whole: tuple[_Network, ...] = (
        *collapse_addresses(one for one in found if isinstance(one, IPv4Network)),
        *collapse_addresses(one for one in found if isinstance(one, IPv6Network)),
    )
    return [one for one in whole if one.prefixlen == 0]


def _two_addresses(printer: Printer) -> str:
    literal, told = _literal(printer), _address(printer.network_address)
    if literal is None or told is None or literal == told:
        return ""
    return f"jobs are sent to {literal}, but its network facts say that it is {told}: correct one of the two"


def _no_host(address: _Address, network: _Network | None) -> str:
    if network is None or network.num_addresses <= 2 or address.version == 6:
        return ""
    if address in (network.network_address, network.broadcast_address):
        return f"{address} is no host's address in {network}: correct the address or the netmask"
    return ""


def _gateway(address: _Address, network: _Network | None, gateway: _Address | None) -> str:
    # A router of IPv6 is best named by its link-local address, which is in no other network.
    if gateway is None or gateway.is_link_local:
        return ""
    if gateway == address:
        return f"the gateway {gateway} is the printer's own address: enter the router's"
    if network is not None and gateway.version == address.version and gateway not in network:
        return (
            f"the gateway {gateway} is outside of the printer's network {network}, so the printer cannot use it:"
            " correct gateway or netmask"
        )
    return ""


def _apart(printer: Printer, address: _Address, network: _Network | None, own: Sequence[Interface]) -> str:
    """Whether the two need a router and the printer has none."""
    ours = [one for one in own if one.version == address.version and not (one.is_loopback or one.is_link_local)]
    if printer.gateway or not ours or not printer.network_address:
        return ""
    if any(address in one.network and (network is None or one.ip in network) for one in ours):
        return ""
    here = ", ".join(str(one.network) for one in ours)
    return (
        f"it stands in {network or address} and this machine in {here}, and it has no gateway: its answers do not come"
        " back; enter a gateway at the printer and in its entry"
    )


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _literal(printer: Printer) -> _Address | None:
    """The address that its device address names, None if that is a name or there is none."""
    return _address(urlsplit(printer.uri).hostname or "") if printer.uri else None


def _network(address: _Address, netmask: str) -> _Network | None:
    if not netmask:
        return None
    try:
        return ipaddress.ip_interface(f"{address}/{netmask}").network
    except ValueError:
        return None
