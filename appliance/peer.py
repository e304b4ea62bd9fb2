"""The address of a client: read, found in a network, and counted.

Security: the address is the kernel's word, but its spelling is a client's choice: one IPv4 client may come by an IPv6
socket, and one customer has as many IPv6 addresses as he likes.  Both are undone here, before anything is judged.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from mailstore.failure import PermanentFailure

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@lru_cache(maxsize=1024)
def plain_ip(text: str) -> Address:
    """The address without a scope; an IPv4 client on an IPv6 listener as IPv4 (RFC 4291 section 2.5.5.2).

    Raises `PermanentFailure` ("5.5.4").
    """
    try:
        ip = ip_address(text.partition("%")[0])
    except ValueError:
        raise PermanentFailure("5.5.4", f'"{text}" is not an IP address; write one like 192.0.2.7') from None
    return (ip.ipv4_mapped or ip) if isinstance(ip, IPv6Address) else ip


def within(ip: Address, networks: Iterable[Network]) -> bool:
    return any(ip in network for network in networks)


def customer(ip: Address) -> int:
    """Who is counted as one client: an IPv4 address, or an IPv6 /64, which is what one customer gets."""
    return int(ip) if isinstance(ip, IPv4Address) else -(int(ip) >> 64) - 1


def end_site(ip: Address) -> int | None:
    """The IPv6 /48 of an address: the most that one customer gets (RFC 6177), and anybody for the asking."""
    return None if isinstance(ip, IPv4Address) else int(ip) >> 80
