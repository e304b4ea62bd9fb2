"""AppSocket: one document to raw port 9100, and the honest account of what the printer took.

Tektronix defined it: one connection is one job; the sender half-closes, the printer closes when it is done; text may
flow back all the time.  A kernel swallows megabytes that no printer has seen, so progress here is what the peer's TCP
has *acknowledged* (`tcpi_bytes_acked` of Linux, RFC 4898 `tcpEStatsAppHCThruOctetsAcked`), never what was written.

A printer without paper closes its window and keeps the connection alive, for hours.  That is reported and waited for.
TCP_USER_TIMEOUT stays unset: it would kill exactly these jobs.

Security: the peer is a printer, or whatever answers at its address.  What it sends is read and thrown away but for the
first 64 KiB, is never interpreted here, and every wait on it has a deadline.  It can waste its own line's time and
nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import cast

from mailstore.job import DeliveryProof

SEND_BUFFER = 192 << 10  # fixed, so that the kernel does not let it grow and hide what the printer has taken
BACK_CHANNEL_LIMIT = 64 << 10
_WRITE_HIGH = 128 << 10
_BYTES_ACKED = 120  # struct tcp_info: offset of tcpi_bytes_acked, Linux 4.1
_TCP_CLOSE = 7  # tcpi_state, its first octet
_TICK = 1.0
_LINGER_NONE = struct.pack("ii", 1, 0)

Stalled = Callable[[bool], Awaitable[None]]
"""Awaited with True when the printer has taken nothing for a while, with False when it goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a printer, in seconds."""

    connect: float = 30.0
    stall: float = 30.0  # without an acknowledged octet, before it is reported
    give_up: float = 86400.0  # the same, before the job is given up
    end: float = 90.0  # for the printer's closing, since its last sign of life


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A document that the printer's TCP took whole."""

    octets: int
    proof: DeliveryProof  # acked or closed
    back_channel: bytes  # the first 64 KiB of what the printer said


class NotConnected(Exception):
    """No connection came about, so nothing was printed.  `busy`: the printer is there and refuses."""

    def __init__(self, text: str, *, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


class NothingTaken(Exception):
    """The connection broke before the printer's TCP acknowledged an octet: it may be tried again."""


class Broken(Exception):
    """The connection broke after `acknowledged` octets: nobody can know what was printed."""

    def __init__(self, text: str, acknowledged: int) -> None:
        super().__init__(text)
        self.acknowledged = acknowledged


async def connect(host: str, port: int, patience: Patience | None = None) -> Connection:
    """A connection over which nothing has gone yet.  Raises `NotConnected`."""
    seconds = (patience or Patience()).connect
    try:
        async with asyncio.timeout(seconds):
            return await _connect_any(await _resolve(host, port), seconds)
    except TimeoutError:
        raise NotConnected(f"the printer did not answer within {seconds:g} s") from None
    except ConnectionRefusedError:
        raise NotConnected("the printer refuses connections: busy, or not listening", busy=True) from None
    except OSError as error:
        raise NotConnected(f"the printer cannot be reached: {error.strerror or error}") from None


_Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]


async def _resolve(host: str, port: int) -> list[_Address]:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).version == 4:
            return [(socket.AF_INET, (host, port))]
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]


async def _connect_any(addresses: list[_Address], seconds: float) -> Connection:
    failure: OSError = OSError("its name has no address")
    for family, address in addresses:
        try:
            async with asyncio.timeout(seconds / len(addresses)):
                return await _connect_one(family, address)
        except OSError as error:  # TimeoutError is one
            failure = error
    raise failure


async def _connect_one(
    family: socket.AddressFamily, address: tuple[str, int] | tuple[str, int, int, int]
) -> Connection:
    if (ip := ipaddress.ip_address(str(address[0]).partition("%")[0])).is_multicast or ip.is_unspecified:
        raise OSError(f"{ip} is no printer's address")
    loop = asyncio.get_running_loop()
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
        connection = Connection(sock.dup())
    except BaseException:
        sock.close()
        raise
    try:
        await loop.create_connection(lambda: connection, sock=sock)
    except BaseException:
        connection.abort()
        sock.close()
        raise
    return connection


def _tcp_info(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)


def _bytes_acked(sock: socket.socket) -> int:
    return int(struct.unpack_from("=Q", _tcp_info(sock), _BYTES_ACKED)[0])


class Connection(asyncio.Protocol):
    """One connection to a printer.  `send` it one document, then `close` it; or `abort` it at any time."""

    def __init__(self, watched: socket.socket) -> None:
        self._watched = watched  # a second descriptor: the transport closes its own before we could ask
        self._base = _bytes_acked(watched)  # Linux counts the SYN
        self._transport: asyncio.Transport | None = None
        self._written = 0
        self._paused = False
        self._fin = False
        self._eof_at = 0.0
        self._whole_at_eof = False
        self._lost: Exception | None = None
        self._back_channel = bytearray()
        self._heard = 0.0
        self._event = asyncio.Event()

    # -- what the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self._transport.set_write_buffer_limits(high=_WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        self._heard = asyncio.get_running_loop().time()
        self._back_channel += data[: BACK_CHANNEL_LIMIT - len(self._back_channel)]

    def eof_received(self) -> bool:
        self._eof_at = asyncio.get_running_loop().time()
        # Said before it could know the end, it proves nothing.
        self._whole_at_eof = self._fin and self.acknowledged == self._written
        self._event.set()
        return True  # some peers half-close at once and go on reading

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._event.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionResetError("closed")
        self._event.set()

    # -- what the bridge calls

    @property
    def acknowledged(self) -> int:
        """Octets of the document that the peer's TCP has acknowledged; still true after a reset."""
        acked = max(0, _bytes_acked(self._watched) - self._base)
        return min(acked, self._written)  # our FIN counts as one octet too

    async def send(self, blocks: Iterable[bytes], *, patience: Patience, stalled: Stalled | None = None) -> Sent:
        """Send one document, half-close, and wait until the printer closes.

        Raises `NothingTaken` or `Broken`.  Cancelling it leaves the connection to be aborted.
        """
        assert self._transport is not None
        watch = _Watch(self, patience, stalled)
        for block in blocks:
            while self._paused or self._lost:
                self._raise_if_lost()
                await self._wait(watch)
            self._transport.write(block)
            self._written += len(block)
        self._fin = True
        if not self._lost:
            with contextlib.suppress(OSError):  # reset this very moment: seen below
                self._transport.write_eof()
        while not (self._eof_at and self.acknowledged == self._written):
            self._raise_if_lost()
            if self.acknowledged == self._written and watch.silent(self._heard) > patience.end:
                break
            await self._wait(watch)
        await watch.end()
        proof = DeliveryProof.CLOSED if self._whole_at_eof else DeliveryProof.ACKED
        return Sent(octets=self._written, proof=proof, back_channel=bytes(self._back_channel))

    def close(self) -> None:
        """An orderly end."""
        if self._transport is not None:
            self._transport.close()
        self._watched.close()

    def abort(self) -> None:
        """Stop at once, by a reset: an orderly end would make the printer print the stump."""
        if self._watched.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._watched.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        if self._transport is not None:
            self._transport.abort()
        self._watched.close()

    def _raise_if_lost(self) -> None:
        if self._lost is None and self._eof_at and self._gone():
            self._lost = ConnectionResetError("closed by the printer")
        if self._lost is None:
            return
        text = getattr(self._lost, "strerror", None) or str(self._lost)
        if not (acknowledged := self.acknowledged):
            raise NothingTaken(f"the connection broke before the printer took anything: {text}")
        raise Broken(f"the connection broke after {acknowledged} of the octets were taken: {text}", acknowledged)

    def _gone(self) -> bool:
        """Behind the peer's end the loop does not read any more, so a reset is no event."""
        return _tcp_info(self._watched)[0] == _TCP_CLOSE and self.acknowledged < self._written

    async def _wait(self, watch: _Watch) -> None:
        """Until something happens, or a moment has passed; then look at the progress."""
        self._event.clear()
        # Acknowledgements are no event: after the peer's end, the last of them is due within a round trip.
        soon = self._eof_at and asyncio.get_running_loop().time() - self._eof_at < _TICK
        seconds = 0.005 if soon else min(_TICK, watch.patience.stall / 4, watch.patience.end / 4)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._event.wait()
        if self._lost is None:
            await watch.look()


class _Watch:
    """Tells when a printer takes nothing, and when it goes on."""

    def __init__(self, connection: Connection, patience: Patience, stalled: Stalled | None) -> None:
        self.patience = patience
        self._connection = connection
        self._stalled = stalled
        self._time = asyncio.get_running_loop().time
        self._progress_at = self._time()
        self._acknowledged = 0
        self._reported = False

    def silent(self, heard: float) -> float:
        """Seconds since the last sign of life: an acknowledged octet, or a word on the back channel."""
        return self._time() - max(self._progress_at, heard)

    async def look(self) -> None:
        acknowledged = self._connection.acknowledged
        if acknowledged != self._acknowledged:
            self._acknowledged, self._progress_at = acknowledged, self._time()
            await self.end()
            return
        if acknowledged == self._connection._written:
            return
        quiet = self._time() - self._progress_at
        if quiet > self.patience.give_up:
            raise Broken(f"the printer took nothing for {quiet:.0f} s", acknowledged)
        if quiet >= self.patience.stall and not self._reported:
            self._reported = True
            if self._stalled is not None:
                await self._stalled(True)

    async def end(self) -> None:
        if self._reported:
            self._reported = False
            if self._stalled is not None:
                await self._stalled(False)
