"""The virtual printer's port, and what a fault does to sockets.

The port is bound from start to close, and listens only while the printer is free; a dark one answers no packet, not
even to refuse.  Darkness is a classic BPF program that drops every packet for this socket before TCP sees it
(`socket(7)`, SO_ATTACH_FILTER); it needs no privilege.

Security: it listens where it is told to, and nowhere else; nothing of what comes is read here.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import struct
from array import array
from collections.abc import Callable
from typing import Any, Final

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h
_SO_DETACH_FILTER: Final = 27
_BPF_RET: Final = 0x06  # linux/bpf_common.h: return the constant k, the octets to let through
_CARD_OCTETS: Final = 32 << 10  # a faulty card's receive buffer, so that a stall is felt soon


def darken(sock: socket.socket) -> None:
    """Let no packet reach this socket any more: what comes is not even acknowledged."""
    program = array("B", struct.pack("=HBBI", _BPF_RET, 0, 0, 0))
    address, _ = program.buffer_info()  # the kernel copies what stands there
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("@HP", 1, address))


def lighten(sock: socket.socket) -> None:
    """Let packets through again."""
    with contextlib.suppress(OSError):  # it was not dark
        sock.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)


def reset_at_close(sock: socket.socket) -> None:
    """Linger 0 makes close() send RST, even if nothing is left unread."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def shut(sock: socket.socket) -> None:
    """Say that nothing more is said, if there is still anybody to say it to."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_WR)


async def gone(sock: socket.socket) -> None:
    """Until the client has reset or wholly closed the connection; reads nothing."""
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    with select.epoll() as watch:
        # Only HUP and ERR, which epoll always tells: octets may wait unread, and a half-closed client waits for us.
        watch.register(sock.fileno(), 0)
        loop.add_reader(watch.fileno(), event.set)
        try:
            await event.wait()
        finally:
            loop.remove_reader(watch.fileno())


class Port:
    """A TCP address that is owned whether anybody listens there or not.  Raises `OSError` if it cannot be had."""

    def __init__(self, family: socket.AddressFamily, address: Any, buffer: int) -> None:
        self._sock = _bound(family, address)
        self._buffer = buffer
        self._small = False  # its receive buffer was made as small as a card's
        self.listening = False

    @property
    def address(self) -> tuple[str, int]:
        address: tuple[str, int] = self._sock.getsockname()[:2]
        return address

    def listen(self, ready: Callable[[], None], *, small: bool, dark: bool) -> None:
        """Let clients in, `ready` is called when one waits; `dark`: leave them in the dark."""
        if dark:
            darken(self._sock)
        else:
            lighten(self._sock)
        if small or self._small:
            self._small = small
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _CARD_OCTETS if small else self._buffer)
        self._sock.listen(1)
        if not dark:
            asyncio.get_running_loop().add_reader(self._sock.fileno(), ready)
        self.listening = True

    def unlisten(self) -> None:
        """Refuse connections, but keep the port: Linux lets a socket that was shut down listen again."""
        if self.listening:
            self.listening = False
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.shutdown(socket.SHUT_RDWR)

    def accept(self) -> socket.socket:
        """The client that waits.  Raises `OSError`."""
        sock, _ = self._sock.accept()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def close(self) -> None:
        self.unlisten()
        self._sock.close()


def _bound(family: socket.AddressFamily, address: Any) -> socket.socket:
    """A socket that owns the address, not listening yet."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        if address[1] == 0:
            # Only a port that was asked for by number outlasts the shutdown of a listening socket.
            with sock:
                return _bound(family, sock.getsockname())
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
