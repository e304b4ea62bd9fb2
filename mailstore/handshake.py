"""The door of an HTTPS listener: handshakes that are counted before they begin, and a word to whoever forgot the "s".

Security: a handshake costs us more than the client, and a client that never begins one costs a descriptor of the whole
process.  uvicorn counts a connection only once it is under TLS, and waits a minute for that; here each one has its
place from the moment it is accepted, and a few seconds.  What comes in clear is not read: its first octet is looked at,
answered by the same sentence for everybody, and thrown away.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable

SECONDS = 10.0
"""For a handshake, from the connection on."""
PARTING_SECONDS = 1.0
_PAUSE = 0.5  # when no descriptor is left
_HANDSHAKE = b"\x16"  # the content type of a TLS record with a ClientHello (RFC 8446 section 5.1)
_TEXT = b"This is an HTTPS port: write https:// instead of http:// before its name.\n"
_PLAIN = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(_TEXT), _TEXT)
)


class Door:
    """Stands for an `asyncio.Server`.  `full` says whether another connection is too many, given those under way."""

    def __init__(
        self,
        listener: socket.socket,
        tls: ssl.SSLContext,
        protocol: Callable[[], asyncio.Protocol],
        full: Callable[[int], bool],
    ) -> None:
        self._listener = listener.dup()  # a descriptor that is watched must not be closed by others
        self._tls = tls
        self._protocol = protocol
        self._full = full
        self._shaking: set[asyncio.Task[None]] = set()
        self._accepting = asyncio.create_task(self._accept())

    def close(self) -> None:
        """Take nothing new; handshakes under way are broken off."""
        for task in (self._accepting, *self._shaking):
            task.cancel()

    async def wait_closed(self) -> None:
        await asyncio.wait([self._accepting, *self._shaking])

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        with self._listener:
            while True:
                try:
                    connection, _ = await loop.sock_accept(self._listener)
                except OSError:  # the client has gone, or there is no descriptor for it
                    await asyncio.sleep(_PAUSE)
                    continue
                if self._full(len(self._shaking)):
                    connection.close()
                    continue
                task = asyncio.create_task(self._let_in(connection))
                self._shaking.add(task)
                task.add_done_callback(self._shaking.discard)

    async def _let_in(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        try:
            connection.setblocking(False)
            async with asyncio.timeout(SECONDS):
                first = await _first_octet(connection)
            if first != _HANDSHAKE:
                async with asyncio.timeout(PARTING_SECONDS):
                    await _say_how(connection, first)
                return
            await loop.connect_accepted_socket(
                self._protocol,
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=SECONDS,
                ssl_shutdown_timeout=PARTING_SECONDS,
            )
        except (OSError, TimeoutError):  # ssl.SSLError among them: the client's affair, and no error
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise


async def _first_octet(connection: socket.socket) -> bytes:
    """What comes first, left where it is; b"" if the client ends."""
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(connection, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(connection)
    with contextlib.suppress(BlockingIOError):
        return connection.recv(1, socket.MSG_PEEK)
    return b""


async def _say_how(connection: socket.socket, first: bytes) -> None:
    """An answer to HTTP in clear; what the client still sends is read, or the answer would be lost."""
    loop = asyncio.get_running_loop()
    with connection:
        if first:
            await loop.sock_sendall(connection, _PLAIN)
            connection.shutdown(socket.SHUT_WR)
            while await loop.sock_recv(connection, 4096):
                pass
