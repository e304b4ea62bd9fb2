"""Networks, as people write them: in the configuration, in rules, in printers' entries."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network


def network(text: str) -> IPv4Network | IPv6Network:
    """The network that is meant; one of IPv4 clients, written as IPv6 (RFC 4291 section 2.5.5.2), as IPv4.

    A client's address is compared as IPv4 then, and would never be in it; nor in one with a zone, for zones are
    taken off clients.  Raises `ValueError`.
    """
    if "%" in text:
        raise ValueError(f"a network has no zone: leave away the % and what follows it in {text!a}")
    read = ip_network(text, strict=False)
    mapped = read.network_address.ipv4_mapped if isinstance(read, IPv6Network) else None
    return ip_network((mapped, read.prefixlen - 96)) if mapped and read.prefixlen >= 96 else read
