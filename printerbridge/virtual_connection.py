"""One connection of the virtual printer: octets in, replies out, and the fault it meets.

Security: anybody who reaches the port may send anything, for as long as they like.  Memory is one buffer, whatever the
job's size; every wait has a deadline but the ones a fault asks for; replies that a client does not read are dropped
after `SEND_SECONDS`.  Octets go to the spool file unread; only the PJL between documents is looked at.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Final

from printerbridge.virtual_capture import Capture
from printerbridge.virtual_faults import CONNECT, EOF, Fault
from printerbridge.virtual_personality import Personality
from printerbridge.virtual_pjl import Broken, Command, Document, Fares, Found, JobStream
from printerbridge.virtual_sockets import darken, gone, lighten, reset_at_close, shut

BUFFER_OCTETS: Final = 256 << 10
HEAD_OCTETS: Final = 4096
SEND_SECONDS: Final = 10.0
_SLOW_STEPS: Final = 10  # reads a second
_CTRL_T: Final = b"\x14"  # asks a PostScript printer for its status, beside the job
_BUSY: Final = b"%%[ status: busy; source: AppSocket ]%%\r\n"
_CHATTER: Final = b"%%[ status: busy; source: Printpost virtual printer ]%%\r\n" * 16
_CHATTER_SECONDS: Final = 0.01
_NOWHERE: Final = 1 << 62
_TAIL_OCTETS: Final = 256


class Ended(StrEnum):
    """How a connection ended."""

    EOF = "eof"  # the client closed its side: the whole job is here
    RESET = "reset"
    IDLE = "idle"  # nothing came for too long: a printer takes that for the end
    CLOSED = "closed"  # we closed before the client did
    SWITCHED_OFF = "switched-off"


class Reception:
    """Reads one job.

    `found` is awaited for every PJL command and document, for how the printer fares and what breaks the job when a
    fault strikes, in order; it may hold up the reading.  `dark` is called when the printer vanishes.

    Attributes: `dropped`, nothing of it is to be printed; `whole`, the job's end was seen, the connection's or the
    language's own; `vanished`, the client was left in the dark; `struck`, the fault has done its worst.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        fault: Fault | None,
        kind: Personality,
        spool: Path | None,
        idle_timeout: float,
        found: Callable[[Found], Awaitable[None]],
        dark: Callable[[], None],
        capture: Capture | None = None,
    ) -> None:
        self.started = time.time()
        self.first_octet = 0.0
        self.ended_at = 0.0
        self.ended = Ended.SWITCHED_OFF
        self.octets = 0
        self.digest = hashlib.sha256()
        self.head = b""
        self.whole = False
        self.vanished = False
        self.struck = False
        self.dropped = fault is not None and fault.name == "swallow"
        self._sock = sock
        self._fault = fault
        self._name = fault.name if fault is not None else ""
        self._place = _place(fault)
        self._spool = spool
        self._idle_timeout = fault.seconds if fault is not None and self._name == "idle-timeout" else idle_timeout
        self._found = found
        self._dark = dark
        self._capture = capture
        self._stream = JobStream()
        self._tail = b""
        self._fin = False  # the client's was seen
        self._cut: int | None = None  # where somebody or something broke the job
        self._chatter: asyncio.Task[None] | None = None
        self._resumed = asyncio.Event()
        self._kind = kind
        self._deaf = self.dropped or not kind.answers

    @property
    def asks(self) -> bool:
        """Whether a PostScript program has something to say at its end."""
        return b"flush" in self._tail

    def resume(self) -> None:
        """Somebody loaded paper, or mended what stalled."""
        self._resumed.set()

    async def resumed(self) -> None:
        """Until `resume`; then packets pass again."""
        await self._resumed.wait()
        lighten(self._sock)

    async def read(self, buffer: bytearray) -> None:
        """Read until the job's end; sets `ended`.  The socket stays open."""
        spool = self._spool.open("xb", buffering=0) if self._spool is not None else None
        try:
            with spool or contextlib.nullcontext():
                self.ended = await self._read(memoryview(buffer), spool.write if spool is not None else len)
        finally:
            self.ended_at = time.time()
        self.whole = self._cut is None and (
            self._fin or self._stream.between or self._tail.rstrip(b"\x04\r\n").endswith(b"%%EOF")
        )
        if self._name == "power-cycle" and self.struck:
            return
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
                return await self._seen_off()
            if self._kind.postscript and not bytes(buffer[:count]).strip(_CTRL_T):
                await self.say(_BUSY)
                continue
            await self._take(buffer[:count], write)

    async def _seen_off(self) -> Ended:
        """The client has closed its side."""
        self._fin = True
        if self._fault is None or self._fault.moment != EOF or self.struck:
            return Ended.EOF
        return await self._strike() or Ended.EOF

    async def _take(self, data: memoryview, write: Callable[[memoryview], int | None]) -> None:
        if not self.octets:
            self.first_octet = time.time()
        if len(self.head) < HEAD_OCTETS:
            self.head += data[: HEAD_OCTETS - len(self.head)]
        self._tail = (self._tail + data[-_TAIL_OCTETS:])[-_TAIL_OCTETS:]
        self.octets += len(data)
        self.digest.update(data)
        if self._capture is not None:
            self._capture.note("client", data)
        left = data
        while left:  # a disk that is getting full takes some of it
            left = left[write(left) or 0 :]
        for item in self._stream.feed(data):
            await self._pass_on(item)
        if self._fault is not None and self._name == "slow":
            await asyncio.sleep(len(data) / self._fault.octets)

    def _room(self, most: int) -> int:
        """How many octets may be read before the fault strikes; 0: now."""
        if self._fault is not None and self._name == "slow":
            return min(most, max(1, self._fault.octets // _SLOW_STEPS))
        if self.struck:
            return most
        return max(0, min(most, self._place - self.octets))

    async def _strike(self) -> Ended | None:
        """Misbehave as told.  None: it is over, read on."""
        assert self._fault is not None
        self.struck = True
        match self._name:
            case "reset-after" | "swallow" | "power-cycle":
                # What was in memory is lost with the power.
                self.dropped = self.dropped or self._name == "power-cycle"
                reset_at_close(self._sock)
                return Ended.RESET
            case "close-early":
                shut(self._sock)
                return Ended.CLOSED
            case "half-close":
                self.dropped = True
                return Ended.EOF
            case "media-empty":
                return await self._out_of_paper()
            case "idle-timeout":
                return await self._pause()
            case "vanish":
                return await self._vanish()
            case "engaged":
                return None if await self.stall(self._fault.seconds) else Ended.RESET
            case "chatter":
                self._chatter = asyncio.get_running_loop().create_task(self._talk())
                return None
            case "mute":
                self._deaf = True
                return None
            case "job-error" | "panel-cancel":
                await self._break()
                return None
        return None if await self.stall() else Ended.RESET

    async def _pass_on(self, item: Command | Document) -> None:
        if isinstance(item, Document):
            if self._name == "media-empty" and not self.struck and self._place != _NOWHERE:
                # A job shorter than the argument lacks paper as well.
                self.struck = True
                self.ended = await self._out_of_paper() or self.ended
            if self.dropped or (self._cut is not None and item.start >= self._cut):
                return
            if self._cut is not None:
                item = replace(item, end=min(item.end, self._cut))
        await self._found(item)

    async def _out_of_paper(self) -> Ended | None:
        await self._found(Fares(condition="media-empty"))
        loaded = await self.stall()
        # Whoever gives up leaves the printer to the next one, with paper: what it has comes out.
        await self._found(Fares(condition=""))
        return None if loaded else Ended.RESET

    async def _pause(self) -> Ended:
        """Read nothing, and take the silence for the client's."""
        assert self._fault is not None
        if not await self.stall(self._fault.seconds):
            return Ended.RESET
        shut(self._sock)
        return Ended.IDLE

    async def _vanish(self) -> Ended | None:
        darken(self._sock)
        self.vanished = True
        self._dark()
        try:
            async with asyncio.timeout(self._idle_timeout):
                await self.resumed()
        except TimeoutError:
            return Ended.IDLE
        self.vanished = False
        return None

    async def _break(self) -> None:
        """The job ends here, for whatever comes after."""
        self._cut = self.octets
        canceled = self._name == "panel-cancel"
        await self._found(Broken(result="USER_CANCELED" if canceled else "RESOURCE_CANCELED"))

    async def _talk(self) -> None:
        while not self._deaf:
            await self.say(_CHATTER)
            await asyncio.sleep(_CHATTER_SECONDS)

    async def stall(self, seconds: float | None = None) -> bool:
        """Read nothing until `resume`, or for `seconds`; False if the client reset the connection meanwhile."""
        waits = [asyncio.ensure_future(wait) for wait in (gone(self._sock), self._resumed.wait())]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            return self._resumed.is_set() or not waits[0].done()
        finally:
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    async def say(self, reply: bytes) -> None:
        """Send on the back channel.  A client that does not read, or has gone, hears nothing more."""
        if self._deaf or not reply:
            return
        try:
            async with asyncio.timeout(SEND_SECONDS):
                await asyncio.get_running_loop().sock_sendall(self._sock, reply)
            if self._capture is not None:
                self._capture.note("printer", reply)
        except (TimeoutError, OSError):
            self._deaf = True

    def hang_up(self) -> None:
        """Say nothing more; call before the socket closes."""
        self._deaf = True
        if self._chatter is not None:
            self._chatter.cancel()


def _place(fault: Fault | None) -> int:
    """After how many octets a fault strikes; far out for one that does not strike while octets come."""
    if fault is None or fault.name in ("slow", "never-close", "refuse") or fault.moment == EOF:
        return _NOWHERE
    return 0 if fault.moment == CONNECT else fault.octets
