"""A printer's port that a test scripts: a plain listener on loopback, each connection handed to a coroutine."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable


class Peer:
    """The printer's side of one connection, unbuffered: nothing is read that the script does not ask for."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.taken = bytearray()

    async def take(self, octets: int) -> bytes:
        """Read until `octets` more have come or the sender has closed; less than asked means it has."""
        start = len(self.taken)
        while len(self.taken) - start < octets:
            data = await asyncio.get_running_loop().sock_recv(self.sock, min(65536, octets - len(self.taken) + start))
            if not data:
                break
            self.taken += data
        return bytes(self.taken[start:])

    async def take_all(self) -> bytes:
        while await self.take(1 << 20):
            pass
        return bytes(self.taken)

    async def say(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.sock, data)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], Awaitable[None]]


class Sink:
    """Where it listens, and what each connection brought, in the order of their ends."""

    def __init__(self, listener: socket.socket, script: Script) -> None:
        self.host, self.port = listener.getsockname()[:2]
        self.script = script
        self.jobs: list[bytes] = []
        self.connections = 0
        self.arrived = asyncio.Condition()
        self.failures: list[Exception] = []

    @property
    def uri(self) -> str:
        return f"socket://[{self.host}]:{self.port}" if ":" in self.host else f"socket://{self.host}:{self.port}"

    async def count(self, jobs: int, seconds: float = 20.0) -> list[bytes]:
        """Wait until so many connections have ended."""
        async with asyncio.timeout(seconds), self.arrived:
            await self.arrived.wait_for(lambda: len(self.jobs) >= jobs)
        return self.jobs

    async def serve(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        peer = Peer(sock)
        try:
            await self.script(peer)
        except ConnectionError:
            pass  # the bridge may reset too
        except Exception as error:
            self.failures.append(error)
        finally:
            sock.close()
            async with self.arrived:
                self.jobs.append(bytes(peer.taken))
                self.arrived.notify_all()


async def swallow(peer: Peer) -> None:
    """A printer that works."""
    await peer.take_all()


@contextlib.asynccontextmanager
async def sink(
    script: Script = swallow, *, host: str = "127.0.0.1", port: int = 0, window: int = 0
) -> AsyncIterator[Sink]:
    """Listen; `window` octets bound what the kernel takes before the script reads."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if window:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
    listener.bind((host, port))
    listener.listen(100)
    listener.setblocking(False)
    made = Sink(listener, script)
    async with asyncio.TaskGroup() as group:
        tasks: list[asyncio.Task[None]] = []

        async def accept() -> None:
            while True:
                sock, _ = await asyncio.get_running_loop().sock_accept(listener)
                made.connections += 1
                tasks.append(group.create_task(made.serve(sock)))

        accepting = group.create_task(accept())
        try:
            yield made
        finally:
            listener.close()
            for task in [accepting, *tasks]:
                task.cancel()
    assert not made.failures, made.failures


async def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
