"""Addresses that the bridge never dials, whatever a printer's entry names.  No I/O.

Security: a printer's address comes from the directory, but it may be a name, and whoever answers for the name chooses
the address.  It is judged after resolving, by whoever connects, and that very address is connected to: a second answer
of the name server changes nothing.  Refused are addresses that are nobody's in particular, those where clouds tell
secrets to whoever asks, and our own listeners: a job sent to our SMTP port would become a job.  Loopback else stays
allowed, for tunnels and the virtual printer.  IPv4 in the clothes of IPv6 is judged as IPv4, and refused where it
cannot be told which.  Behind address translation our own ports have addresses that cannot be known here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from mailstore.config_values import split_endpoint

Ip = IPv4Address | IPv6Address

_REFUSED: Final[tuple[tuple[IPv4Network | IPv6Network, str], ...]] = tuple(
    (ip_network(network), why)
    for network, why in (
        ("0.0.0.0/8", "means no host in particular"),
        ("::/128", "means no host in particular"),
        ("224.0.0.0/4", "is for many hosts at once (multicast)"),
        ("ff00::/8", "is for many hosts at once (multicast)"),
        ("255.255.255.255/32", "is for all hosts at once (broadcast)"),
        ("240.0.0.0/4", "belongs to no host (reserved)"),  # RFC 1112 section 4
        ("169.254.169.254/32", "is where clouds tell secrets (metadata)"),
        ("fd00:ec2::254/128", "is where clouds tell secrets (metadata)"),  # Amazon
        ("fd20:ce::254/128", "is where clouds tell secrets (metadata)"),  # Google
        ("100.100.100.200/32", "is where clouds tell secrets (metadata)"),  # Alibaba
        ("192.0.0.192/32", "is where clouds tell secrets (metadata)"),  # Oracle
        ("168.63.129.16/32", "is where clouds tell secrets (metadata)"),  # Azure
        ("169.254.0.0/16", "holds on one cable only (link-local), and no DHCP server gave it"),
        ("fe80::/10", "holds on one cable only (link-local)"),
        # Whom they lead to is an IPv4 address somewhere inside, which translators and tunnels find as they are set up.
        ("64:ff9b:1::/48", "is a translator's of this site (NAT64)"),  # RFC 8215
        ("2002::/16", "is the end of a tunnel (6to4)"),  # RFC 3056, RFC 7526
        ("2001::/32", "is the end of a tunnel (Teredo)"),  # RFC 4380
    )
)
_IPV4_INSIDE: Final = tuple(
    map(
        IPv6Network,
        (
            "::ffff:0:0/96",  # RFC 4291 section 2.5.5.2
            "::/96",  # section 2.5.5.1
            "::ffff:0:0:0/96",  # RFC 2765 section 2.1
            "64:ff9b::/96",  # RFC 6052 section 2.1
        ),
    )
)
_NO_IPV4: Final = frozenset(map(IPv6Address, ("::", "::1")))


class Guard:
    """`listens` are our own listeners, "HOST:PORT" each, as they stand in the configuration."""

    def __init__(self, listens: Iterable[str] = ()) -> None:
        self._own: dict[int, list[Ip | None]] = {}  # port -> where we listen, None for everywhere
        for listen in listens:
            host, port = split_endpoint(listen)
            self._own.setdefault(port, []).append(_address(host))

    def refusal(self, address: str, port: int, own: Callable[[Ip], bool]) -> str:
        """Why `address`, as the resolver gave it, is not connected to, and what to do; "" if it may be.

        `own` tells whether an address is one of this machine's; it is asked only where it matters.
        """
        ip = plain(ip_address(address.partition("%")[0]))
        for network, why in _REFUSED:
            if ip in network:
                return f"{ip} is no printer's address: it {why}; give the printer's own address in its entry"
        for listens in self._own.get(port, ()):
            if listens == ip or (listens is None and (ip.is_loopback or own(ip))):
                return (
                    f"{ip} port {port} is Printpost itself, not a printer; give the printer's own address in its entry"
                )
        return ""


def plain(ip: Ip) -> Ip:
    """The IPv4 address that stands inside an IPv6 one, else the address itself."""
    if isinstance(ip, IPv6Address) and ip not in _NO_IPV4 and any(ip in network for network in _IPV4_INSIDE):
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip


def _address(host: str) -> Ip | None:
    """None for everywhere; a name counts as that too, for it may mean any of ours."""
    try:
        ip = plain(ip_address(host))
    except ValueError:
        return None
    return None if ip.is_unspecified else ip
