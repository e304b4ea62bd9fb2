"""The PROXY protocol, version 2: the octets by which a balancer says whose connection it hands on (no I/O).

The protocol is HAProxy's (`proxy-protocol.txt`, section 2.2): a signature of twelve octets, version and command, family
and transport, a length, the addresses, and further fields that are skipped.

Security: whoever may say these octets may call himself anything, also one of the site's own.  So they are read only
from addresses that the configuration names; that is the caller's affair.  A header is read to its last octet and no
further, and what is not whole, not of this version, longer than `LONGEST` or of a client that is not told is refused:
such a client would pass for the balancer, which is often one of the site.
"""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.peer import Address, plain_ip
from mailstore.failure import PermanentFailure

SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
LOCAL: Final = SIGNATURE + b"\x20\0\0\0"
"""The header of a balancer that connects for itself."""
LONGEST: Final = 536
"""Octets: what fits into the smallest packet that every network carries, which is what a balancer may send."""

_HEAD: Final = 16
_OWN, _PROXY = 0x20, 0x21
_TCP4, _TCP6 = 0x11, 0x21


def wanted(received: bytes | bytearray) -> int:
    """How many octets more to read for the header that begins with these; 0 when it is whole.

    Raises `PermanentFailure` ("5.5.2") when it cannot become one.
    """
    begin = bytes(received[: len(SIGNATURE)])
    if begin != SIGNATURE[: len(begin)]:
        raise PermanentFailure("5.5.2", "what it says is no PROXY header of version 2")
    if len(received) < _HEAD:
        return _HEAD - len(received)
    whole = _HEAD + int.from_bytes(received[14:_HEAD], "big")
    if whole > LONGEST:
        raise PermanentFailure("5.5.2", f"its PROXY header is longer than {LONGEST} octets")
    return whole - len(received)


def origin(header: bytes | bytearray) -> Address | None:
    """Whose connection it is, by a whole header; None for the balancer's own, as when it looks whether we are well.

    Raises `PermanentFailure` ("5.5.2").
    """
    command, family, octets = struct.unpack_from("!BBH", header, len(SIGNATURE))
    if command == _OWN:  # section 2.2: what stands behind it does not matter then
        return None
    if command != _PROXY:
        raise PermanentFailure("5.5.2", f"its PROXY header has the version and command {command:#04x}")
    if family == _TCP4 and octets >= 12:
        return IPv4Address(bytes(header[_HEAD : _HEAD + 4]))
    if family == _TCP6 and octets >= 36:
        return plain_ip(str(IPv6Address(bytes(header[_HEAD : _HEAD + 16]))))
    raise PermanentFailure("5.5.2", "its PROXY header names no TCP client: let it hand on TCP by IPv4 and IPv6 alone")
