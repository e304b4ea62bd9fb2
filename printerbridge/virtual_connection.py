"""One connection of the virtual printer: octets in, replies out, and the fault it meets.

Security: anybody who reaches the port may send anything, for as long as they like.  Memory is one buffer, whatever the
job's size; every wait has a deadline but the ones a fault asks for; replies that a client does not read are dropped
after `SEND_SECONDS`.  Octets go to the spool file unread; only the PJL between documents is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import select
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from printerbridge.virtual_faults import Fault
from printerbridge.virtual_pjl import LOAD_PAPER, READY, Command, Display, Document, JobStream

BUFFER_OCTETS: Final = 256 << 10
HEAD_OCTETS: Final = 4096
SEND_SECONDS: Final = 10.0
_SLOW_STEPS: Final = 10  # reads a second


class Ended(StrEnum):
    """How a connection ended."""

    EOF = "eof"  # the client closed its side: the whole job is here
    RESET = "reset"
    IDLE = "idle"  # nothing came for too long: a printer takes that for the end
    CLOSED = "closed"  # we closed before the client did
    SWITCHED_OFF = "switched-off"


class Reception:
    """Reads one job.

    `found` is awaited for every PJL command and document, and for what the panel shows when a fault strikes, in order;
    it may hold up the reading.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        fault: Fault | None,
        spool: Path | None,
        idle_timeout: float,
        found: Callable[[Command | Document | Display], Awaitable[None]],
    ) -> None:
        self.started = time.time()
        self.first_octet = 0.0
        self.ended_at = 0.0
        self.ended = Ended.SWITCHED_OFF
        self.octets = 0
        self.digest = hashlib.sha256()
        self.head = b""
        self._sock = sock
        self._fault = fault
        self._struck = False  # the fault has done its worst, and somebody said go on
        self._spool = spool
        self._idle_timeout = idle_timeout
        self._found = found
        self._stream = JobStream()
        self._resumed = asyncio.Event()
        self._deaf = fault is not None and fault.name == "mute"

    def resume(self) -> None:
        """Somebody loaded paper, or mended what stalled."""
        self._resumed.set()

    async def read(self, buffer: bytearray) -> None:
        """Read until the job's end; sets `ended`.  The socket stays open."""
        spool = self._spool.open("xb", buffering=0) if self._spool is not None else None
        try:
            with spool or contextlib.nullcontext():
                self.ended = await self._read(memoryview(buffer), spool.write if spool is not None else len)
        finally:
            self.ended_at = time.time()
        for item in self._stream.end():
            await self._pass_on(item)

    async def _read(self, buffer: memoryview, write: Callable[[memoryview], int | None]) -> Ended:
        loop = asyncio.get_running_loop()
        while True:
            room = self._room(len(buffer))
            if room == 0:
                ended = await self._strike()
                if ended is not None:
                    return ended
                continue
            try:
                async with asyncio.timeout(self._idle_timeout):
                    count = await loop.sock_recv_into(self._sock, buffer[:room])
            except TimeoutError:
                return Ended.IDLE
            except OSError:
                return Ended.RESET
            if count == 0:
                return Ended.EOF
            await self._take(buffer[:count], write)

    async def _take(self, data: memoryview, write: Callable[[memoryview], int | None]) -> None:
        if not self.octets:
            self.first_octet = time.time()
        if len(self.head) < HEAD_OCTETS:
            self.head += data[: HEAD_OCTETS - len(self.head)]
        self.octets += len(data)
        self.digest.update(data)
        left = data
        while left:  # a disk that is getting full takes some of it
            left = left[write(left) or 0 :]
        for item in self._stream.feed(data):
            await self._pass_on(item)
        if self._fault is not None and self._fault.name == "slow":
            await asyncio.sleep(len(data) / self._fault.octets)

    def _room(self, most: int) -> int:
        """How many octets may be read before the fault strikes; 0: now."""
        if self._fault is None or self._struck:
            return most
        match self._fault.name:
            case "slow":
                return min(most, max(1, self._fault.octets // _SLOW_STEPS))
            case "accept-then-stall" | "reset-after" | "close-early" | "media-empty":
                return max(0, min(most, self._fault.octets - self.octets))
        return most

    async def _strike(self) -> Ended | None:
        """Misbehave as told.  None: it is over, read on."""
        assert self._fault is not None
        self._struck = True
        match self._fault.name:
            case "reset-after":
                # Linger 0 makes close() send RST, even if nothing is left unread.
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return Ended.RESET
            case "close-early":
                with contextlib.suppress(OSError):
                    self._sock.shutdown(socket.SHUT_WR)
                return Ended.CLOSED
            case "media-empty":
                return await self._out_of_paper()
        return None if await self.stall() else Ended.RESET

    async def _pass_on(self, item: Command | Document) -> None:
        out_of_paper = self._fault is not None and self._fault.name == "media-empty" and not self._struck
        if out_of_paper and isinstance(item, Document):
            # A job shorter than the argument lacks paper as well.
            self._struck = True
            self.ended = await self._out_of_paper() or self.ended
        await self._found(item)

    async def _out_of_paper(self) -> Ended | None:
        await self._found(LOAD_PAPER)
        if not await self.stall():
            return Ended.RESET
        await self._found(READY)
        return None

    async def stall(self) -> bool:
        """Read nothing until `resume`; False if the client reset the connection meanwhile."""
        gone = asyncio.Event()
        loop = asyncio.get_running_loop()
        with select.epoll() as watch:
            # Only HUP and ERR, which epoll always tells: octets may wait unread, and a half-closed client waits for us.
            watch.register(self._sock.fileno(), 0)
            loop.add_reader(watch.fileno(), gone.set)
            waits = [asyncio.ensure_future(event.wait()) for event in (gone, self._resumed)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                loop.remove_reader(watch.fileno())
                for wait in waits:
                    wait.cancel()
        return self._resumed.is_set()

    async def say(self, reply: bytes) -> None:
        """Send on the back channel.  A client that does not read, or has gone, hears nothing more."""
        if self._deaf or not reply:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self._sock, reply)
        except (TimeoutError, OSError):
            self._deaf = True

    def hang_up(self) -> None:
        """Say nothing more; call before the socket closes."""
        self._deaf = True
