"""A balancer's header: read to its last octet and no further, whatever it says, and by a plain reading the same."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from appliance.proxy_protocol import LONGEST, SIGNATURE, origin, wanted
from mailstore.failure import PermanentFailure

WORDS = (SIGNATURE, b"\x21\x11\x00\x0c", b"\x21\x21\x00\x24", b"\x20\x00\x00\x00", b"PROXY TCP4 ", b"\xff\xff")


def check(octets: bytes) -> None:
    read = bytearray()
    try:
        while (more := wanted(read)) and len(read) < len(octets):
            assert 0 < more <= LONGEST
            read += octets[len(read) : len(read) + more]
            assert len(read) <= LONGEST
        found = None if more else origin(read)
    except PermanentFailure as failure:
        assert failure.status == "5.5.2"
        return
    assert SIGNATURE.startswith(read[:12])
    if more:
        return
    assert len(read) == 16 + read[14] * 256 + read[15]
    if found is None:
        assert read[12] == 0x20
    elif read[13] == 0x11:
        assert found == IPv4Address(bytes(read[16:20]))
    else:
        source = IPv6Address(bytes(read[16:32]))
        assert found == (source.ipv4_mapped or source)
