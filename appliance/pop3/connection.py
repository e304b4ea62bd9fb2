# ruff: noqa: N802 - Twisted's names
"""Twisted's POP3 protocol as a place for one task: lines in, answers out, both bounded, every wait with an end.

The base class calls commands from `dataReceived`, queues without bound, and stops its timer while it sends; here a task
takes a line when it is ready for one.  The task is never cancelled: a lost connection wakes it.

Security: everything read is a stranger's.  What waits to be read is bounded (reading stops), what waits to be sent is
bounded (the task stops), and a client that says nothing or takes nothing is cut.  Only a whole command and what was
taken of an answer count as life, so a client that dribbles octets is cut all the same.  When TLS begins, what was read
in clear is gone; until it stands nothing is read as a command.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from twisted.internet.protocol import connectionDone
from twisted.mail.pop3 import POP3
from twisted.python.failure import Failure
from zope.interface import implementer

from appliance.pop3.commands import LINE_OCTETS, LineBuffer
from appliance.pop3.tls import FAILED, TlsServer

_LINES_AT_ONCE = 16
_WRITTEN_AT_ONCE = 32 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a client may cost.  Times in seconds."""

    handshake: float = 15.0  # of TLS
    before_login: float = 60.0  # from the greeting, or the end of the handshake, to the login
    autologout: float = 600.0  # without a command, or without taking octets; RFC 1939 section 3: at least 10 minutes
    lease: float = 90.0  # the maildrop's, renewed at a third of it
    poll_share: float = 0.8  # of a printer's poll interval that must pass between logins
    failure_delay: float = 1.0  # of the answer to a wrong password
    failures: int = 3  # wrong passwords
    bad_before: int = 10  # senseless lines before the login
    bad_after: int = 20  # and after it
    queued: int = 100 * LINE_OCTETS  # octets of commands that wait; then reading stops
    connections: int = 2000
    connections_each: int = 50  # of one customer: many printers may stand behind one NAT


class Gone(Exception):
    """The connection is lost; the task ends."""


@implementer(IPushProducer, IHalfCloseableProtocol, IHandshakeListener)
class Connection(POP3):
    """One connection; `_serve` of the subclass is its task, `_over` what comes last."""

    def __init__(self, limits: Limits, tls: TlsServer | None = None, *, implicit: bool = False) -> None:
        """`implicit`: TLS from the first octet."""
        self._limits = limits
        self._tls = tls
        self._implicit = implicit
        self._tcp: Any = None  # under TLS, if there is any
        self._shaking = False  # a handshake is under way
        self._lines = LineBuffer()
        self._senseless = 0
        self.secure = False  # TLS
        self.lost = False  # nobody is spoken to any more
        self.leaving = False  # nothing more is obeyed
        self._ended = False  # nothing more will come in
        self._left = 2  # the connection and the task
        self._parting = False  # closed as soon as what was written is taken
        self._deaf = False  # the client hears nothing any more; what it said before is still done
        self._reading_stopped = False
        self._taken = 0  # lines
        self._out: list[bytes] = []  # written, and not with the transport yet
        self._out_octets = 0
        self._room = True  # to write
        self._wakeup: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None

    @property
    def _wire(self) -> Any:
        """The transport, whose methods Twisted left without types."""
        return self.transport

    async def _serve(self) -> None:
        raise NotImplementedError

    def _over(self) -> None:
        """The connection is closed, and `_serve` has come to its end."""
        raise NotImplementedError

    # -- what Twisted calls

    def connectionMade(self) -> None:
        self._tcp = self._wire
        self._tcp.setTcpNoDelay(True)
        self._tcp.registerProducer(self, True)
        self.allow(self._limits.before_login)
        if self._implicit:
            self.start_tls()
        self.task = asyncio.get_running_loop().create_task(self._serve())
        self.task.add_done_callback(lambda _: self._end_one())

    def dataReceived(self, data: bytes) -> None:
        self._lines.feed(data)
        if len(self._lines) > self._limits.queued and not self._reading_stopped:
            self._reading_stopped = True
            self._wire.pauseProducing()
        self._wake()

    def readConnectionLost(self) -> None:
        """The client has said all it wants to say; what it asked for is still done."""
        self._ended = True
        self._wake()

    def writeConnectionLost(self) -> None:
        """Only we could have closed that half, and we never do."""

    def handshakeCompleted(self) -> None:
        self._shaking, self.secure = False, True
        self.allow(self._limits.before_login)
        self._wake()

    def _tls_closed(self, properly: bool) -> None:
        """Nothing can be sent any more; what was asked before a closing alert (RFC 8446 section 6.1) is still done."""
        if properly:
            self._ended = self._deaf = self._room = True
        else:
            self.lost = True
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        if self._shaking:
            FAILED.inc()
        self.lost = self.lost or not self._deaf
        self.allow(None)
        self._wake()
        self._end_one()

    def _end_one(self) -> None:
        self._left -= 1
        if not self._left:
            self._over()

    def timeoutConnection(self) -> None:
        """Autologout: no answer, and nothing is removed (RFC 1939 section 3)."""
        if self._room and not (self._shaking or self._deaf or self.lost or self._parting):
            self._part()  # not cut: a slow line may still carry what the kernel has
            self.lost = True
            self._wake()
        else:
            self.abort()

    def pauseProducing(self) -> None:
        self._room = False

    def resumeProducing(self) -> None:
        self._room = True
        self._alive()
        self._wake()

    def stopProducing(self) -> None:
        self._wake()

    # -- ends

    def leave(self) -> None:
        """End between two commands, as if the client had closed."""
        self._ended = True
        self._wake()

    def abort(self) -> None:
        """End now; what was not sent is not sent."""
        self._out.clear()
        self._tcp.unregisterProducer()
        self._tcp.abortConnection()

    def _part(self) -> None:
        """End once what was written is taken, or time is up: that may be a whole message to a slow line."""
        if not (self._deaf or self.lost or self._parting):
            self._parting = True
            self._flush()
            self.allow(self._limits.autologout)
            self._wire.unregisterProducer()
            self._wire.loseConnection()
            self._tcp.loseConnection()  # the answer to our closing alert is not waited for, RFC 8446 section 6.1

    def start_tls(self) -> None:
        """What was read in clear is forgotten, and nothing is read in clear from now on."""
        assert self._tls
        self._flush()
        self._lines = LineBuffer()
        self._shaking = True
        self.allow(self._limits.handshake)
        self._tcp.unregisterProducer()
        self.transport = self._tls.begin(self._tcp, self, self._tls_closed)
        self._wire.registerProducer(self, True)

    # -- what the task calls

    @property
    def unread(self) -> int:
        """Octets that came in and were not taken as lines."""
        return len(self._lines)

    def senseless(self, most: int) -> None:
        """Count something that no honest client says often; the session ends with the last of `most`."""
        self._senseless += 1
        self.leaving = self.leaving or self._senseless >= most

    def sensible(self) -> None:
        """Count from 0 again."""
        self._senseless = 0

    def write(self, octets: bytes) -> None:
        """Goes out together with what else is said before the loop's next turn."""
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(octets)
        self._out_octets += len(octets)
        if self._out_octets >= _WRITTEN_AT_ONCE:
            self._flush()

    def ok(self, text: str) -> None:
        self.write(f"+OK {text}\r\n".encode())

    def err(self, text: str) -> None:
        self.write(f"-ERR {text}\r\n".encode())

    def allow(self, seconds: float | None) -> None:
        """How long the client may do nothing from now on."""
        self.setTimeout(seconds)  # type: ignore[no-untyped-call]

    def _alive(self) -> None:
        """The client did something."""
        self.resetTimeout()  # type: ignore[no-untyped-call]

    def listing(self, text: str, lines: Iterable[str]) -> None:
        """A multi-line response of few lines that begin with no dot."""
        self.ok(text)
        self.write("".join(f"{line}\r\n" for line in (*lines, ".")).encode())

    async def next_line(self, most: int = LINE_OCTETS) -> bytes | None:
        """The next line, of at most so many octets, None at the end of input.  Raises `LineTooLong`."""
        while not self.lost:
            self._read_on()
            if (line := self._lines.next(most)) is not None:
                await self._give_way()
                return line
            if self._ended:
                break
            await self._woken()
        return None

    def _flush(self) -> None:
        """Send what was written, at once where that can be: to ask the reactor when costs more than a small answer.

        What cannot be sent now waits with the transport, and that the connection is lost only the reactor finds out.
        """
        octets, wire = b"".join(self._out), self._wire
        self._out.clear()
        self._out_octets = 0
        # Nothing may overtake what waits already.
        if octets and wire is self._tcp and wire.connected and not (wire.dataBuffer or wire._tempDataLen):
            sent = wire.writeSomeData(octets)
            octets = octets[sent:] if isinstance(sent, int) else octets
        if octets:
            wire.write(octets)

    async def _give_way(self) -> None:
        """Let others run now and then while commands wait: answering them need not stop for anything."""
        self._taken += 1
        if self._taken % _LINES_AT_ONCE == 0:
            await asyncio.sleep(0)

    def _read_on(self) -> None:
        if self._reading_stopped and len(self._lines) <= self._limits.queued // 2:
            self._reading_stopped = False
            self._wire.resumeProducing()

    async def writable(self) -> None:
        """Wait until there is room to write.  Raises `Gone`."""
        while not (self._room or self.lost):
            await self._woken()
        if self.lost:
            raise Gone

    async def heard(self) -> None:
        """Wait until there is room to write, for what must not be lost.  Raises `Gone`."""
        await self.writable()
        if self._deaf:
            raise Gone

    async def _shaken(self) -> None:
        """Wait for the end of a handshake.  Raises `Gone`."""
        while self._shaking and not self.lost:
            await self._woken()
        if self.lost:
            raise Gone

    async def _woken(self) -> None:
        self._wakeup = asyncio.get_running_loop().create_future()
        await self._wakeup
        self._wakeup = None

    def _wake(self) -> None:
        if self._wakeup and not self._wakeup.done():
            self._wakeup.set_result(None)
