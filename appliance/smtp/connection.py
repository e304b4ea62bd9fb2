"""One SMTP connection: what its transport says, when it waits and when it ends (RFC 5321), on aiosmtpd's class.

aiosmtpd gives the protocol class.  Its reading loop, its constructor, its session, its verbs and its DATA are replaced:
lines are dispatched where the octets arrive (`lines`, `command`), a task runs only for verbs that wait, and messages go
to `reception` (`tests/test_smtp.py` pins what this leans on).

Security: whoever reaches the port can talk here.  Lines, pipelined input, connections, errors and waiting all have
limits (`limits`).  A client that talks before it may is cut off, because that is how a web page or a smuggler talks to
a mail server; so is one that speaks HTTP.  What came before a TLS handshake never counts after it.  Nothing a client
does can undo a commit that has begun: it runs as a task of the receiver, not of the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from typing import Final, cast

import structlog
from aiosmtpd.smtp import SMTP
from prometheus_client import Counter, Gauge

from appliance.peer import Address, plain_ip, within
from appliance.smtp import verbs
from appliance.smtp.channel import Channel
from appliance.smtp.client import Client
from appliance.smtp.command import SECONDS_OF, meant
from appliance.smtp.deadline import Deadline
from appliance.smtp.dialogue import Dialogue, Step
from appliance.smtp.door import Door
from appliance.smtp.handshake import shake_hands, tell_secured
from appliance.smtp.lines import Line, Lines
from appliance.smtp.receiver import Receiver, talks_already
from appliance.smtp.reception import Reception, Taken
from appliance.smtp.reply import SHUTTING_DOWN, Reply
from appliance.smtp.transaction import INTERNAL, REJECTED

CONNECTIONS = Counter("printpost_smtp_connections_total", "Connections that were made")
OPEN = Gauge("printpost_smtp_open_connections", "Connections that are open")
OCTETS = Counter("printpost_smtp_received_bytes_total", "Octets received by SMTP")

TURN: Final = 50
"""So many commands and chunks of one connection are worked off, then it is the others' turn."""

COUNTED_TOGETHER: Final = 65536  # octets

_NOWHERE: Final = plain_ip("0.0.0.0")  # noqa: S104
_NOBODY: Final = Client(ip=str(_NOWHERE), insider=False)

BROKEN: Final = replace(INTERNAL, close=True)
"""Of a fault of ours, where what follows might be read as what it is not, and a message have a gap."""

log = structlog.get_logger()


class Connection(SMTP):
    """One client.

    The base constructor is not called: what it computes for each connection is the same for all of them.  What the
    inherited verbs read is set here.
    """

    def __init__(self, receiver: Receiver, door: Door, *, counted: Address | None = None) -> None:
        """`counted` is the client's address if the gate has let him in already."""
        self.loop = receiver.loop
        self.hostname = receiver.site.settings.site.hostname
        self.receiver = receiver
        self.site = receiver.site
        self.channel = Channel()
        self._door = door
        self.was_made = False  # from then on the gate's count is ours
        self._counted = counted
        self.dialogue = Dialogue(
            site=self.site,
            client=_NOBODY,
            more_came=lambda: bool(self._input),
            closing=lambda: receiver.closing,
            discard=receiver.start,
        )
        self.ip = _NOWHERE
        self._input = Lines()
        self._uncounted = 0  # octets that came, which the metric does not know of
        self._busy = False  # a verb waits, or our replies do
        self._half_closed = False
        self._closing = False
        self._deadline = Deadline(self.loop, self.site.limits, held=self._client_waits, passed=self._time_is_up)
        self._reception = Reception(self.dialogue, self.channel, self._deadline, receiver.start)

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self.channel.transport = transport
        peer = transport.get_extra_info("peername")
        self.was_made = True
        CONNECTIONS.inc()
        if self._counted is None:
            refused = self._refusal(peer)
            if refused is not None:
                self._turn_away(refused)
                return
        else:
            self.ip = self._counted
        OPEN.inc()
        self.receiver.enter(transport, self.shut_down)
        settings, door = self.site.settings, self._door
        insider = within(self.ip, self.site.insiders)
        limit = settings.smtp.max_size if insider or door.login else settings.smtp.max_size_outside
        tls = door.implicit_tls
        self.dialogue.client = Client(ip=str(self.ip), insider=insider, door=door, tls=tls, max_size=limit)
        self._deadline.expect(self.site.limits.command_seconds)
        if tls:
            tell_secured(transport, str(self.ip))
        if not tls and talks_already(transport):
            self._say(verbs.NOT_IN_TURN)
        else:
            self.channel.say(f"220 {self.hostname} ESMTP Printpost\r\n".encode())
        self.channel.flush()
        if self._counted is not None and self.receiver.closing:
            self._say(SHUTTING_DOWN)

    def _refusal(self, peer: tuple[str, int] | None) -> bytes | None:
        """What is said to a client that is not let in; None, and it is counted, for one that is."""
        if not peer:  # gone already
            return b""
        self.ip = plain_ip(peer[0])
        refused = self.receiver.admit(self.ip)
        return refused.octets() if refused else None

    def _turn_away(self, words: bytes) -> None:
        self.channel.say(words)
        self.channel.flush()
        self.channel.close()
        self.channel.transport, self._closing = None, True

    def connection_lost(self, _: Exception | None) -> None:
        transport, self.channel.transport = self.channel.transport, None
        if transport is None:
            return
        self._closing = True
        OCTETS.inc(self._uncounted)
        self._deadline.cancel()
        self.receiver.gate.leave(self.ip)
        self.receiver.leave(transport)
        OPEN.dec()
        if not self._busy:
            self.dialogue.reset()

    def eof_received(self) -> bool:
        """Work goes on until the input is used up, for the client may wait; under TLS only a commit goes on."""
        self._half_closed = True
        self._closing = self._closing or self.dialogue.client.tls
        if not self._busy:
            self._end_of_input()
        return not self._closing

    def pause_writing(self) -> None:
        self.channel.unread = True
        self._deadline.expect(self.site.limits.reply_seconds)
        self.channel.pause()

    def resume_writing(self) -> None:
        self.channel.unread = False
        self._deadline.expect(self.site.limits.command_seconds)
        if self._reception.wants_octets:
            self._deadline.expect_data()
        self._work()

    def data_received(self, data: bytes) -> None:
        self._count(len(data))
        if self._closing:
            return
        if self._reception.wants_octets and not (self._busy or self._input):
            self._receive(data)
            if self._reception.wants_octets:
                return
        else:
            self._input.add(data)
        if len(self._input) > self.site.limits.input:
            self.channel.pause()
        self._work()

    def _count(self, octets: int) -> None:
        self._uncounted += octets
        if self._uncounted >= COUNTED_TOGETHER:
            OCTETS.inc(self._uncounted)
            self._uncounted = 0

    # -- deadlines

    def _client_waits(self) -> bool:
        return (self._busy or self.channel.paused) and not (self.channel.unread or self._closing)

    def _time_is_up(self) -> None:
        if self.channel.unread or self._closing:
            self.channel.abort()
        else:
            log.info("connection timed out", client=self.dialogue.client.ip)
            self._say(verbs.TIMEOUT)

    # -- TLS

    def _begin_tls(self) -> None:
        """What comes from here on is the handshake, and our replies so far are out."""
        self.channel.flush()
        self._busy = True
        self.channel.pause()
        self.receiver.start_handshake(self._secure())

    async def _secure(self) -> None:
        plain, certificate = self.channel.transport, self.site.certificate
        assert certificate is not None
        secured = None
        try:
            if plain is not None:
                secured = await shake_hands(plain, self, certificate, self.site.limits, self.dialogue.client.ip)
        finally:
            self._busy = False
            if plain is None or secured is None or self.channel.transport is None:
                self.connection_lost(None)
                self.dialogue.reset()
            else:
                self._secured(plain, secured)

    def _secured(self, plain: asyncio.Transport, secured: asyncio.Transport) -> None:
        self.receiver.enter(secured, self.shut_down, instead_of=plain)
        tell_secured(secured, self.dialogue.client.ip)
        self.channel.secured(secured)
        self.dialogue.secured()
        self._deadline.expect(self.site.limits.command_seconds)
        if self.receiver.closing:
            self._say(SHUTTING_DOWN)
        self._work()

    # -- commands and messages

    def _work(self) -> None:
        """Use up the input as far as nothing has to be waited for, and others need not wait for us."""
        left = TURN
        while self._input and not (self._busy or self._closing or self.channel.unread):
            left -= 1
            if not left:
                self._busy = True
                self.loop.call_soon(self._go_on)
            elif self._reception.wants_octets:
                self._receive(self._input.take_octets(self._reception.wanted))
            elif line := self._input.take(self.dialogue.line):
                self._obey(line)
            else:
                break
        if self._busy:
            return
        if self.receiver.closing:
            self.shut_down()
        if not self._closing:
            self.channel.flush()
        if len(self._input) <= self.site.limits.input and not self._reception.held_up:
            self.channel.resume()
        if self._half_closed:
            self._end_of_input()

    def _go_on(self) -> None:
        self._busy = False
        if self.channel.transport is None:
            self.dialogue.reset()
        else:
            self._work()

    def _obey(self, line: Line) -> None:
        started = time.perf_counter()
        try:
            command, step = meant(self.dialogue, line)
        except Exception:
            log.exception("command failed", client=self.dialogue.client.ip)
            command, step = "OTHER", BROKEN
        if command not in ("OTHER", "BDAT"):
            self._deadline.expect(self.site.limits.command_seconds)
        self._take(command, step, started)

    def _end_of_input(self) -> None:
        if self.channel.unread:
            return
        if not self._closing:
            self._closing = True
            self.channel.close()
        self.dialogue.reset()

    def _receive(self, octets: bytes) -> None:
        started = time.perf_counter()
        try:
            taken = self._reception.take(octets)
        except Exception:
            log.exception("message failed", client=self.dialogue.client.ip)
            taken = Taken(b"", "END", BROKEN)
        if taken:
            self._input.add(taken.rest)
            self._take(taken.command, taken.step, started)

    def _take(self, command: str, step: Step, started: float) -> None:
        if isinstance(step, Coroutine):
            self._run(command, step, started)
        else:
            self._answer(command, step, started)

    def _run(self, command: str, step: Awaitable[Reply | None], started: float) -> None:
        """Let a verb wait; input that comes meanwhile waits too.  The task is the receiver's, so it ends as it will.

        Replies before it go out with its own (RFC 2920 section 3.2), which saves a client that pipelines most packets.
        """
        self._busy = True

        async def to_the_end() -> None:
            reply: Reply | None
            try:
                reply = await step
            except Exception:
                log.exception("command failed", command=command, client=self.dialogue.client.ip)
                reply = INTERNAL if command == "RCPT" else BROKEN
            self._busy = False
            if self.channel.transport is not None:
                self._answer(command, reply, started)
                if command == "END":  # whoever waits for this one sends it again; what he sent behind it may wait
                    self.channel.flush()
            self._go_on()

        self.receiver.start(to_the_end())

    def _answer(self, command: str, reply: Reply | None, started: float) -> None:
        if reply is None:  # a chunk has been announced, perhaps an empty one
            self._deadline.expect_data()
            self._receive(b"")
            return
        SECONDS_OF[command].observe(time.perf_counter() - started)
        if reply.reason:
            REJECTED.labels(reply.reason).inc()
        if reply is verbs.CHUNK_FAILED:  # RFC 3030 section 2: chunks that were sent before the client knew
            self.dialogue.idle_commands += 1
        elif reply.code >= 500:
            self.dialogue.errors += 1
        elif reply.code == 354:
            self._deadline.expect_data()
        self._say(reply)
        if reply.code == 220:
            self._begin_tls()
        if self.dialogue.errors >= self.site.limits.errors:
            self._say(verbs.TOO_MANY_ERRORS)

    def _say(self, reply: Reply) -> None:
        if self._closing:
            return
        self.channel.say(reply.octets())
        if reply.close:
            self.channel.flush()
            self._closing = True
            self._input.clear()
            if reply.code == 221 or reply is SHUTTING_DOWN or self._half_closed:
                self.channel.close()
            elif self.channel.half_close():
                self._deadline.expect(self.site.limits.parting_seconds)
            if not self._busy:
                self.dialogue.reset()

    def shut_down(self) -> None:
        """Say goodbye, unless a message is under way: then behind it."""
        if not (self._busy or self._reception.under_way):
            self._say(SHUTTING_DOWN)
