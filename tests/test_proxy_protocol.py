"""The PROXY protocol by itself, and read from a socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.balancer import read_header
from appliance.proxy_protocol import LONGEST, SIGNATURE, origin, wanted
from mailstore.failure import PermanentFailure
from tests.balancing import LOCAL, framed, proxied

BALANCER, CLIENT = "127.0.0.1", "192.0.2.7"
DEADLINE = 10.0


# -- the header by itself


def whole(header: bytes) -> bool:
    """Whether it ends there and nowhere before."""
    return wanted(header) == 0 and all(0 < wanted(header[:end]) <= len(header) - end for end in range(len(header)))


@given(st.ip_addresses(), st.binary(max_size=200))
def test_a_header_says_whose_connection_it_is(ip: object, fields: bytes) -> None:
    header = proxied(str(ip), fields=fields)
    assert whole(header)
    mapped = getattr(ip, "ipv4_mapped", None)
    assert origin(header) == (mapped or ip)


@pytest.mark.parametrize("header", [LOCAL, framed(0x20, 0x11, bytes(12)), framed(0x20, 0x31, b"what there is")])
def test_a_balancer_may_connect_for_itself(header: bytes) -> None:
    assert whole(header)
    assert origin(header) is None


@pytest.mark.parametrize(
    "header",
    [
        framed(0x21, 0x00, b""),  # a client that is not told
        framed(0x21, 0x12, bytes(12)),  # UDP
        framed(0x21, 0x22, bytes(36)),
        framed(0x21, 0x31, bytes(216)),  # a Unix socket
        framed(0x21, 0x11, bytes(11)),  # too short
        framed(0x21, 0x21, bytes(35)),
        framed(0x22, 0x11, bytes(12)),  # no such command
        framed(0x11, 0x11, bytes(12)),  # no such version
    ],
)
def test_whoever_is_not_told_is_not_let_in(header: bytes) -> None:
    assert wanted(header) == 0
    with pytest.raises(PermanentFailure, match="its PROXY header"):
        origin(header)


@pytest.mark.parametrize(
    "octets", [b"EHLO", b"PROXY TCP4 192.0.2.7", SIGNATURE[:-1] + b"\r", b"\r\n\r\n\0\r\nQUIT\r\n"]
)
def test_what_is_no_header_is_known_by_its_first_octets(octets: bytes) -> None:
    with pytest.raises(PermanentFailure, match="no PROXY header of version 2"):
        wanted(octets)


def test_a_header_has_a_length() -> None:
    assert whole(framed(0x21, 0x11, bytes(LONGEST - 16)))
    with pytest.raises(PermanentFailure, match=f"longer than {LONGEST} octets"):
        wanted(framed(0x21, 0x11, bytes(LONGEST - 15))[:16])


@given(st.binary(max_size=600))
def test_no_octets_are_read_past_the_bound_or_raise_anything_else(octets: bytes) -> None:
    for begin in (octets, SIGNATURE + octets, proxied(CLIENT)[:13] + octets):
        with contextlib.suppress(PermanentFailure):
            assert wanted(begin) <= LONGEST
            if wanted(begin) == 0:
                origin(begin)


# -- from a socket


@contextlib.asynccontextmanager
async def line() -> AsyncIterator[tuple[socket.socket, socket.socket]]:
    ends = socket.socketpair()
    try:
        for end in ends:
            end.setblocking(False)
        yield ends
    finally:
        for end in ends:
            end.close()


async def test_not_an_octet_behind_the_header_is_taken() -> None:
    async with line() as (balancer, own):
        reading = asyncio.create_task(read_header(own, ip_address(BALANCER), DEADLINE))
        for octet in proxied("2001:db8::7", fields=b"\x04\0\1x"):  # one packet each
            balancer.send(bytes((octet,)))
            await asyncio.sleep(0)
        balancer.send(b"EHLO")
        assert await asyncio.wait_for(reading, DEADLINE) == ip_address("2001:db8::7")
        assert own.recv(100) == b"EHLO"


async def test_a_header_comes_in_time_or_not_at_all() -> None:
    async with line() as (balancer, own):
        balancer.send(proxied(CLIENT)[:-1])
        with pytest.raises(PermanentFailure, match=r"no whole PROXY header within 0\.05 s"):
            await read_header(own, ip_address(BALANCER), 0.05)
        balancer.send(proxied(CLIENT)[:1])
        balancer.close()
        with pytest.raises(PermanentFailure, match="it closed before"):
            await read_header(own, ip_address(BALANCER), DEADLINE)
