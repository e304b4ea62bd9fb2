"""A device's name to a connected socket: looked up at each attempt, judged, and dialed.

Security: who answers for a name chooses the address.  Each address is judged after resolving, and those that pass are
connected to as they were judged, without a second look (`printerbridge.guard`).  Everything is within one deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import os
import socket

from printerbridge.guard import Guard, Ip
from printerbridge.resolver import Address, Sockaddr, resolve


class NotConnected(Exception):
    """No connection came about, so nothing was printed.  `busy`: the printer is there and refuses."""

    def __init__(self, text: str, *, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


async def dial(host: str, port: int, *, seconds: float, guard: Guard, buffer: int) -> socket.socket:
    """A connected socket, not blocking, with a send buffer of `buffer` octets.  Raises `NotConnected`."""
    try:
        async with asyncio.timeout(seconds):
            return await _connect_any(await addresses(host, port, guard), seconds, buffer)
    except TimeoutError:
        raise NotConnected(f"the printer did not answer within {seconds:g} s") from None
    except ConnectionRefusedError:
        raise NotConnected("the printer refuses connections: busy, or not listening", busy=True) from None
    except OSError as error:
        raise NotConnected(f"the printer cannot be reached: {error.strerror or error}") from None


async def addresses(host: str, port: int, guard: Guard) -> list[Address]:
    """The addresses of `host` that may be dialed, best first.  Raises `NotConnected` if none may be, and `OSError`.

    The deadline is the caller's.
    """
    return _allowed(await _resolve(host, port), guard)


async def _resolve(host: str, port: int) -> list[Address]:
    with contextlib.suppress(ValueError):
        ip = ipaddress.ip_address(host)
        if ip.version == 4:
            return [(socket.AF_INET, (host, port))]
        if not ip.scope_id:
            return [(socket.AF_INET6, (host, port, 0, 0))]
    return await resolve(host, port)


def _allowed(addresses: list[Address], guard: Guard) -> list[Address]:
    """Those that the guard lets through; they are what is connected to.  Raises `NotConnected` if there is none."""
    refusals = [guard.refusal(str(address[0]), address[1], is_ours) for _, address in addresses]
    allowed = [address for address, refusal in zip(addresses, refusals, strict=True) if not refusal]
    if not allowed:
        raise NotConnected(refusals[0] if refusals else "its name has no address")
    return allowed


def is_ours(ip: Ip) -> bool:
    """Whether this machine has the address: the kernel lets nobody bind another's."""
    with socket.socket(socket.AF_INET if ip.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(ip), 0))
        except OSError:
            return False
        return True


async def _connect_any(addresses: list[Address], seconds: float, buffer: int) -> socket.socket:
    *others, last = addresses
    for family, address in others:
        with contextlib.suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(seconds / len(addresses)):
                return await _connect_one(family, address, buffer)
    return await _connect_one(*last, buffer)


async def _connect_one(family: socket.AddressFamily, address: Sockaddr, buffer: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        await _connected(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock


async def _connected(sock: socket.socket, address: Sockaddr) -> None:
    # As the loop's sock_connect, which takes ten times longer under uvloop; no name is looked up here.
    code = sock.connect_ex(address)
    if code == errno.EINPROGRESS:
        loop = asyncio.get_running_loop()
        told: asyncio.Future[int] = loop.create_future()

        def tell() -> None:
            # At once: a moment later it might be the reset of a connection that stood.
            if not told.done():
                told.set_result(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))

        loop.add_writer(sock, tell)
        try:
            code = await told
        finally:
            loop.remove_writer(sock)
    if code:
        raise OSError(code, os.strerror(code))
