"""AppSocket: one document to raw port 9100, and the honest account of what the printer took.

Tektronix defined it: one connection is one job; the sender half-closes, the printer closes when it is done; text may
flow back all the time.  A kernel swallows megabytes that no printer has seen, so progress here is what the peer's TCP
has *acknowledged* (`tcpi_bytes_acked` of Linux, RFC 4898 `tcpEStatsAppHCThruOctetsAcked`), never what was written.

A printer without paper closes its window and keeps the connection alive, for hours.  That is reported and waited for.
TCP_USER_TIMEOUT stays unset: it would kill exactly these jobs.

A printer is listened to while the job goes (`printerbridge.exchange`): while it says that it waits for somebody it is
waited for, and our side stays open until it has said what it can say of the job's end.

Security: the peer is a printer, or whatever answers at its address.  What it sends is read and thrown away but for the
first 64 KiB, is never interpreted here, and every wait on it has a deadline, also when it never stops talking.  What
it, or a document that it runs, says faster than printers speak is left in the kernel for a moment, so that it wastes
its own line's time and nobody else's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from mailstore.job import DeliveryProof
from printerbridge.dialing import dial
from printerbridge.exchange import Exchange
from printerbridge.guard import Guard
from printerbridge.patience import Patience as Patience

SEND_BUFFER = 192 << 10  # fixed, so that the kernel does not let it grow and hide what the printer has taken
BACK_CHANNEL_LIMIT = 64 << 10
_HEARD_AT_ONCE = 4096
_HEARD_MOST = 16 << 10  # octets heard in one moment: a status has a hundred
_MOMENT = 0.1  # seconds
_PAUSE = 0.5  # behind the end of a message
_BYTES_ACKED = 120  # struct tcp_info: offset of tcpi_bytes_acked, Linux 4.1
_TCP_ESTABLISHED, _TCP_CLOSE = 1, 7  # tcpi_state, its first octet
_TICK = 1.0
_PART_SECONDS = 1.0  # for a printer to take in order that a job ends in its middle
_LINGER_NONE = struct.pack("ii", 1, 0)

Stalled = Callable[[bool], Awaitable[None]]
"""Awaited with True when the printer has taken nothing for a while, with False when it goes on."""

Looked = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A document that the printer's TCP took whole."""

    octets: int
    proof: DeliveryProof
    back_channel: bytes  # the first 64 KiB of what the printer said
    pages: int | None = None  # that the printer counted, if it said so
    result: str = ""  # of PJL: OK, or why the printer ended the job
    errors: str = ""  # what the document's program did wrong, by the printer's word
    failed: bool = False  # it was not printed whole for that
    unsaid: bool = False  # it answered, and did not say that it got to the end


class NothingTaken(Exception):
    """The connection broke before the printer's TCP acknowledged an octet: it may be tried again."""


class Broken(Exception):
    """The connection broke after `acknowledged` octets: nobody can know what was printed."""

    def __init__(self, text: str, acknowledged: int) -> None:
        super().__init__(text)
        self.acknowledged = acknowledged


class GivenUp(Exception):
    """The printer made no progress for as long as anybody waits, with `acknowledged` octets taken."""

    def __init__(self, text: str, acknowledged: int) -> None:
        super().__init__(text)
        self.acknowledged = acknowledged


async def connect(host: str, port: int, patience: Patience | None = None, guard: Guard | None = None) -> Connection:
    """A connection over which nothing has gone yet.  Raises `NotConnected`, also where `guard` does not let go."""
    seconds = (patience or Patience()).connect
    return Connection(await dial(host, port, seconds=seconds, guard=guard or Guard(), buffer=SEND_BUFFER))


def _tcp_info(sock: socket.socket) -> bytes:
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)


class Connection:
    """One connection to a printer.  `send` it one document, then `close` it; or `abort` it at any time.

    It works on the bare socket: what a transport would hold back could not be told from what the kernel holds.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._base = self._bytes_acked()  # Linux counts the SYN
        self._written = 0
        self._fin = False  # nothing more is to be sent
        self._eof_at = 0.0
        self._whole_at_eof = False
        self._lost: OSError | None = None
        self._conversation: Exchange | None = None
        self._said_all = False  # the document is written, and what goes behind it
        self._back_channel = bytearray()
        self._heard = 0.0
        self._moment = 0.0  # when it began
        self._said_now = 0  # octets since then
        self.broken_off = False  # by us
        self._event = asyncio.Event()
        self._loop.add_reader(sock, self._readable)

    def _bytes_acked(self) -> int:
        return int(struct.unpack_from("=Q", _tcp_info(self._sock), _BYTES_ACKED)[0])

    def _readable(self) -> None:
        try:
            data = self._sock.recv(_HEARD_AT_ONCE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost = error
        else:
            if data:
                self._heard = self._loop.time()
                self._back_channel += data[: BACK_CHANNEL_LIMIT - len(self._back_channel)]
                self._listen(data)
                self._rest_ears(len(data))
                return
            self._eof_at = self._loop.time()
            # Said before it could know the end, it proves nothing.
            self._whole_at_eof = self._fin and self.acknowledged == self._written
        self._loop.remove_reader(self._sock)
        self._event.set()

    @property
    def gone(self) -> bool:
        """Whether the printer has closed it already, or reset it."""
        return _tcp_info(self._sock)[0] != _TCP_ESTABLISHED

    def _rest_ears(self, octets: int) -> None:
        """Leave in the kernel what comes faster than printers speak, until the moment is over."""
        if self._heard - self._moment > _MOMENT:
            self._moment, self._said_now = self._heard, 0
        self._said_now += octets
        if self._said_now > _HEARD_MOST:
            self._loop.remove_reader(self._sock)
            self._loop.call_at(self._moment + _MOMENT, self._listen_on)

    def _listen_on(self) -> None:
        if self._sock.fileno() >= 0 and self._lost is None:
            self._loop.add_reader(self._sock, self._readable)

    def listen_to_silence(self, conversation: Exchange) -> None:
        if self._heard and self._loop.time() - self._heard >= _PAUSE:
            conversation.pause()

    def _listen(self, data: bytes) -> None:
        if self._conversation is not None and self._conversation.hear(data, whole=self._said_all and self.complete):
            self._event.set()

    @property
    def acknowledged(self) -> int:
        """Octets of the document that the peer's TCP has acknowledged; still true after a reset."""
        return max(0, min(self._bytes_acked() - self._base, self._written))  # our FIN counts as one octet too

    @property
    def complete(self) -> bool:
        """Whether the peer's TCP has acknowledged all that was written."""
        return self.acknowledged == self._written

    async def send(
        self,
        blocks: Iterable[bytes],
        *,
        patience: Patience,
        stalled: Stalled | None = None,
        conversation: Exchange | None = None,
        half_close: bool = True,
        looked: Looked | None = None,
    ) -> Sent:
        """Send one document, half-close, and wait until the printer closes.

        With a `conversation` the document goes dressed, and what the printer says of it is heard out first.  Without
        `half_close` our side stays open until the printer closes, has said all, or is waited for no longer.  `looked`
        is awaited now and then.  Raises `NothingTaken`, `Broken` or `GivenUp`; cancelled, the connection stays open.
        """
        self._conversation = conversation
        watch = _Watch(self, patience, stalled, conversation, looked)
        for block in conversation.dress(blocks) if conversation is not None else blocks:
            await self._write(block, watch)
        self._said_all = True
        if conversation is not None:
            await self._hear_out(conversation, watch)
            watch.begin()
        self._finish(half_close)
        while not (self._eof_at and self.complete):
            if conversation is not None and conversation.settled:
                out = not half_close and conversation.proof is DeliveryProof.JOB_END  # and it knows of no end of ours
                if out or self._lost is not None or watch.over(self._heard, patience.answer):
                    break
            else:
                self._raise_if_lost()
                if self.complete and watch.over(self._heard, patience.end):
                    break
            await self._wait(watch)
        await watch.end()
        return self._account(conversation)

    async def _hear_out(self, conversation: Exchange, watch: _Watch) -> None:
        """Keep our side open until the printer said what it can, or it is not to be expected any more."""
        while conversation.awaited and not self._eof_at:
            self._raise_if_lost()
            patience = watch.patience.end if conversation.patient else watch.patience.answer
            if self.complete and watch.over(self._heard, patience):
                break
            await self._wait(watch)
        if not self._eof_at and (last := conversation.farewell):
            with contextlib.suppress(OSError):  # full, or gone: it is no part of the document
                self._written += self._sock.send(last)

    def _account(self, conversation: Exchange | None) -> Sent:
        proof = DeliveryProof.CLOSED if self._whole_at_eof else DeliveryProof.ACKED
        sent = Sent(octets=self._written, proof=proof, back_channel=bytes(self._back_channel))
        if conversation is None:
            return sent
        proof = max(proof, conversation.proof, key=tuple(DeliveryProof).index)
        pages, result, errors = conversation.pages, conversation.result, conversation.errors
        unsaid = conversation.proof is DeliveryProof.NONE and conversation.patient and conversation.awaited
        told = replace(sent, pages=pages, result=result, errors=errors, failed=conversation.failed)
        return replace(told, proof=proof, unsaid=unsaid)

    async def _write(self, block: bytes, watch: _Watch) -> None:
        view = memoryview(block)
        while view:
            self._raise_if_lost()
            try:
                count = self._sock.send(view)
            except BlockingIOError:
                self._loop.add_writer(self._sock, self._event.set)
                try:
                    await self._wait(watch)
                finally:
                    self._loop.remove_writer(self._sock)
            except OSError as error:
                self._lost = self._lost or error
            else:
                self._written += count
                view = view[count:]

    def _finish(self, half_close: bool) -> None:
        self._fin = True
        if half_close and self._lost is None:
            try:
                self._sock.shutdown(socket.SHUT_WR)
            except OSError as error:  # reset this very moment
                self._lost = error

    def close(self) -> None:
        """An orderly end.  May be called more than once."""
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock)
            self._sock.close()

    def abort(self) -> None:
        """Stop at once, by a reset: an orderly end would make the printer print the stump."""
        if self._sock.fileno() >= 0:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
        self.close()

    def break_off(self, why: str) -> None:
        """Let whoever sends end at once with `NothingTaken` or `Broken`: the job is not wanted any more."""
        self.broken_off = self._lost is None
        self._lost = self._lost or OSError(errno.ECANCELED, why)
        self._event.set()

    async def part(self) -> None:
        """End in the middle of a document: where PJL can say so in order, else by a reset.

        A printer that is reset may stand in the middle of a job until its own time is over; told by PJL it is ready for
        the next.  One that takes no more octets is not waited for.
        """
        last = b""
        if self._conversation is not None:
            last = self._conversation.farewell if self._said_all else self._conversation.breaking_off
        if not last or not self.broken_off or self._eof_at:
            return self.abort()
        try:
            async with asyncio.timeout(_PART_SECONDS):
                await self._loop.sock_sendall(self._sock, last)
                self._written += len(last)
                self._sock.shutdown(socket.SHUT_WR)
                while not self.complete:  # noqa: ASYNC110 - an acknowledgement is no event
                    await asyncio.sleep(0.01)
        except (TimeoutError, OSError):
            self.abort()

    def _raise_if_lost(self) -> None:
        # Behind the peer's end nothing more can be read, so a reset is no event.
        if self._lost is None and self._eof_at and not self.complete and _tcp_info(self._sock)[0] == _TCP_CLOSE:
            self._lost = ConnectionResetError(errno.ECONNRESET, "closed by the printer")
        if self._lost is None:
            return
        text = self._lost.strerror or str(self._lost)
        if not (acknowledged := self.acknowledged):
            raise NothingTaken(f"the connection broke before the printer took anything: {text}")
        raise Broken(f"the connection broke after the printer took {acknowledged} octets: {text}", acknowledged)

    async def _wait(self, watch: _Watch) -> None:
        """Until something happens, or a moment has passed; then look at the progress."""
        if self._lost is None:
            # Acknowledgements are no event: after the peer's end, the last of them is due within a round trip.
            soon = self._eof_at and self._loop.time() - self._eof_at < _TICK
            patience = watch.patience
            seconds = 0.005 if soon else min(_TICK, patience.stall / 4, patience.end / 4, patience.answer / 4)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._event.wait()
            self._event.clear()
            await watch.look()


class _Watch:
    """Tells when a printer takes nothing, and when it goes on."""

    def __init__(
        self,
        connection: Connection,
        patience: Patience,
        stalled: Stalled | None,
        conversation: Exchange | None,
        looked: Looked | None,
    ) -> None:
        self.patience = patience
        self._looked = looked
        self._connection = connection
        self._stalled = stalled
        self._conversation = conversation
        self._time = asyncio.get_running_loop().time
        self._acknowledged = 0
        self._reported = False
        self.begin()

    def begin(self) -> None:
        """Another thing is waited for from now on."""
        self._progress_at = self._time()

    def over(self, heard: float, seconds: float) -> bool:
        """Whether a printer that took all is waited for no longer.  `heard`: when it last spoke, a sign of life.

        One that said what it waits for is waited for as long as one that takes nothing.
        """
        quiet = self._time() - self._progress_at
        if self._conversation is not None and self._conversation.stands:
            return False
        # A status every half minute, which somebody once switched on, would otherwise hold the line for ever.
        return self._time() - max(self._progress_at, heard) > seconds or quiet > self.patience.give_up

    async def look(self) -> None:
        acknowledged = self._connection.acknowledged
        if self._looked is not None:
            await self._looked()
        if self._conversation is not None:
            self._connection.listen_to_silence(self._conversation)
        if acknowledged != self._acknowledged:
            if self._conversation is not None and self._time() - self._progress_at > _TICK:
                self._conversation.goes_on()
            self._acknowledged, self._progress_at = acknowledged, self._time()
            await self.end()
            return
        stands = self._conversation.stands if self._conversation is not None else ""
        if self._connection.complete and not stands:
            return
        quiet = self._time() - self._progress_at
        if quiet > self.patience.give_up:
            text = f"the printer {f'waited ({stands})' if stands else 'took nothing'} for {quiet:.0f} s"
            raise GivenUp(text, acknowledged)
        if self._connection.complete:
            return
        if quiet >= self.patience.stall and not self._reported:
            self._reported = True
            if self._stalled is not None:
                await self._stalled(True)

    async def end(self) -> None:
        if self._reported:
            self._reported = False
            if self._stalled is not None:
                await self._stalled(False)
