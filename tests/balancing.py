"""What a balancer says: PROXY headers of version 2, made here octet by octet."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv6Address, ip_address

from appliance.proxy_protocol import SIGNATURE


def framed(command: int, family: int, block: bytes) -> bytes:
    """A header with this block behind its length."""
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def proxied(client: str, *, fields: bytes = b"", family: int | None = None, command: int = 0x21) -> bytes:
    """The header for a client at this address, with further fields."""
    ip = ip_address(client)
    kind, own = (socket.AF_INET6, "2001:db8::25") if isinstance(ip, IPv6Address) else (socket.AF_INET, "192.0.2.25")
    ends = ip.packed + socket.inet_pton(kind, own) + struct.pack("!HH", 40000, 25)
    usual = 0x21 if kind == socket.AF_INET6 else 0x11
    return framed(command, usual if family is None else family, ends + fields)


LOCAL = framed(0x20, 0, b"")
"""The balancer connects for itself."""
