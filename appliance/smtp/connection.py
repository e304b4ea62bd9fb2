"""One SMTP connection: command lines, deadlines, the way to the data sink (RFC 5321), on aiosmtpd's class.

aiosmtpd gives the protocol class and its session.  Its reading loop, its constructor, its verbs and its DATA are
replaced: lines are dispatched where the octets arrive, a task runs only for verbs that wait, and DATA goes to
`datasink` (`tests/test_smtp.py` pins the names that this leans on).

Security: whoever reaches the port can talk here.  Lines, pipelined input, connections, errors and waiting all have
limits (`limits`).  A client that talks before it may is cut off, because that is how a web page or a smuggler talks to
a mail server; so is one that speaks HTTP.  Nothing a client does can undo a commit that has begun: it runs as a task of
the receiver, not of the connection.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Coroutine
from typing import Final, cast

import structlog
from aiosmtpd.smtp import SMTP, Session
from prometheus_client import Counter, Gauge, Histogram

from appliance import policy
from appliance.smtp import verbs
from appliance.smtp.limits import NEVER, Patience
from appliance.smtp.receiver import Receiver, talks_already
from appliance.smtp.reply import Reply
from appliance.smtp.transaction import INTERNAL, REJECTED, Client, Transaction, too_large
from mailstore.failure import Failure

CONNECTIONS = Counter("printpost_smtp_connections_total", "Connections that were made")
CONNECTIONS_REFUSED = Counter("printpost_smtp_connections_refused_total", "Connections refused for their number")
OPEN = Gauge("printpost_smtp_open_connections", "Connections that are open")
OCTETS = Counter("printpost_smtp_received_bytes_total", "Octets received by SMTP")
SECONDS = Histogram(
    "printpost_smtp_command_duration_seconds",
    "From a command, or the end of the data, to its reply",
    ["command"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)

log = structlog.get_logger()

_HTTP = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|PRI) |[A-Za-z-]+: ?|\x16\x03")


SECONDS_OF: Final = {command: SECONDS.labels(command) for command in (*verbs.VERBS, "END", "OTHER")}


class Connection(SMTP):
    """One client.

    The base constructor is not called: what it computes for each connection is the same for all of them.  What the
    inherited verbs read is set here.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.loop = receiver.loop
        self.hostname = receiver.site.settings.site.hostname
        self.receiver = receiver
        self.site = receiver.site
        self.session: Session = self._create_session()
        self.transport: asyncio.Transport | None = None
        self.dialogue = verbs.Dialogue(
            site=self.site,
            client=Client(ip="0.0.0.0", insider=False),  # noqa: S104 - nobody yet
            more_came=lambda: bool(self._input),
            discard=receiver.start,
        )
        self.ip = policy.plain_ip("0.0.0.0")  # noqa: S104
        self._input = bytearray()
        self._out = bytearray()
        self._busy = False  # a verb waits, or our replies do
        self._flooded = False  # reading is paused: by input that waits, or by a congested draft
        self._unread = False  # the client does not read what we say
        self._overlong = False
        self._half_closed = False
        self._closing = False
        self._errors = 0
        self._idle_commands = 0
        self._patience: Patience | None = None
        self._deadline = NEVER
        self._timer: asyncio.TimerHandle | None = None

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's is none by class
        self.transport = transport
        peer = transport.get_extra_info("peername")
        if not peer:  # gone already
            self._turn_away(b"")
            return
        self.ip = policy.plain_ip(peer[0])
        CONNECTIONS.inc()
        refused = verbs.SHUTTING_DOWN.text if self.receiver.closing else self.receiver.gate.enter(self.ip)
        if refused:
            CONNECTIONS_REFUSED.inc()
            self._turn_away(Reply(code=421, status="4.7.0", text=refused).octets())
            return
        OPEN.inc()
        self.receiver.enter(transport, self.shut_down)
        self.session.peer = peer
        settings = self.site.settings
        insider = policy.within(self.ip, settings.site.networks)
        limit = settings.smtp.max_size if insider else settings.smtp.max_size_outside
        self.dialogue.client = Client(ip=str(self.ip), insider=insider, max_size=limit)
        self._expect(self.site.limits.command_seconds)
        if talks_already(transport):
            self._say(verbs.NOT_IN_TURN)
        else:
            self._out += f"220 {self.hostname} ESMTP Printpost\r\n".encode()
        self._flush()

    def _turn_away(self, words: bytes) -> None:
        transport, self.transport, self._closing = self.transport, None, True
        assert transport is not None
        transport.write(words)
        transport.close()

    def connection_lost(self, _: Exception | None) -> None:
        if self.transport is None:
            return
        transport, self.transport = self.transport, None
        self._closing = True
        if self._timer:
            self._timer.cancel()
        self.receiver.gate.leave(self.ip)
        self.receiver.leave(transport)
        OPEN.dec()
        if not self._busy:
            self.dialogue.reset()

    def eof_received(self) -> bool:
        """The client sends no more, but may wait for our replies: work goes on until the input is used up."""
        self._half_closed = True
        if not self._busy:
            self._end_of_input()
        return not self._closing

    def pause_writing(self) -> None:
        self._unread = True
        self._expect(self.site.limits.reply_seconds)
        self._pause_reading()

    def resume_writing(self) -> None:
        self._unread = False
        self._expect(self.site.limits.command_seconds)
        self._resume_reading()
        self._work()

    def data_received(self, data: bytes) -> None:
        OCTETS.inc(len(data))
        if self._closing:
            return
        if self._sinking and not self._input:
            self._sink(data)
            return
        self._input += data
        if len(self._input) > self.site.limits.input:
            self._pause_reading()
        self._work()

    def _pause_reading(self) -> None:
        if self.transport is not None and not self._flooded and not self.transport.is_closing():
            self._flooded = True
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        if self.transport is not None and self._flooded and not self._unread and not self.transport.is_closing():
            self._flooded = False
            self.transport.resume_reading()

    # -- deadlines: one timer, put off lazily

    def _expect(self, seconds: float) -> None:
        self._patience = None
        self._deadline = self.loop.time() + seconds
        self._look_before(self._deadline)

    def _look_before(self, deadline: float) -> None:
        if self._timer is None or self._timer.when() > deadline:
            # A little early is no harm, and the timer then serves for the data as well.
            self._set_timer(min(deadline, self.loop.time() + self.site.limits.data_seconds))

    def _set_timer(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self.loop.call_at(when, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        now = self.loop.time()
        deadline = self._patience.deadline if self._patience else self._deadline
        if (self._busy or self._flooded) and not (self._unread or self._closing):
            deadline = now + self.site.limits.command_seconds  # the client waits for us
        if now < deadline:
            self._set_timer(deadline)
            return
        if self.transport is None:
            return
        if self._unread or self._closing:
            self.transport.abort()
        else:
            log.info("connection timed out", client=self.dialogue.client.ip)
            self._say(verbs.TIMEOUT)

    # -- dispatch

    @property
    def _sinking(self) -> bool:
        return self.dialogue.transaction is not None and self.dialogue.transaction.sink is not None and not self._busy

    def _work(self) -> None:
        """Use up the input as far as nothing has to be waited for."""
        while self._input and not (self._busy or self._closing or self._unread):
            if self._sinking:
                data, self._input = self._input, bytearray()
                self._sink(bytes(data))
                continue
            end = self._input.find(b"\n")
            if end < 0:
                if len(self._input) > self.site.limits.line:
                    self._overlong = True
                    self._input.clear()
                break
            line = bytes(self._input[: end + 1])
            del self._input[: end + 1]
            self._command(line)
        if not self._busy:
            self._flush()
        if len(self._input) <= self.site.limits.input and not self._busy:
            self._resume_reading()
        if self._half_closed and not self._busy:
            self._end_of_input()

    def _end_of_input(self) -> None:
        if self._unread:
            return
        if self.transport is not None and not self._closing:
            self._closing = True
            self.transport.close()
        self.dialogue.reset()

    def _command(self, line: bytes) -> None:
        overlong, self._overlong = self._overlong or len(line) > self.site.limits.line, False
        started = time.perf_counter()
        if overlong:
            self._answer("OTHER", Reply(code=500, status="5.5.2", text="the line is too long"), started)
            return
        if _HTTP.match(line):
            log.info("connection speaks HTTP or TLS", client=self.dialogue.client.ip)
            self._answer("OTHER", verbs.NOT_HTTP, started)
            return
        try:
            text = line[:-2].decode() if line.endswith(b"\r\n") else ""
        except UnicodeDecodeError:
            text = ""
        verb, _, argument = text.partition(" ")
        verb = verb.upper()
        method = verbs.VERBS.get(verb)
        if method is None:
            self._answer("OTHER", verbs.unknown(line, verb), started)
            return
        self._idle_commands += verb in verbs.IDLE
        if self._idle_commands > self.site.limits.idle_commands:
            self._say(verbs.TOO_IDLE)
            return
        self._expect(self.site.limits.command_seconds)
        step = method(self.dialogue, argument.strip(" "))
        if verb == "MAIL" and self.receiver.closing:
            self._say(verbs.SHUTTING_DOWN)
        elif isinstance(step, Coroutine):
            self._run(verb, step, started)
        else:
            self._answer(verb, step, started)

    def _run(self, command: str, step: Awaitable[Reply], started: float) -> None:
        """Let a verb wait; input that comes meanwhile waits too.  The task is the receiver's, so it ends as it will.

        Replies before it go out with its own (RFC 2920 section 3.2), which saves a client that pipelines most packets.
        """
        self._busy = True

        async def to_the_end() -> None:
            try:
                reply = await step
            except Exception:
                log.exception("command failed", command=command, client=self.dialogue.client.ip)
                reply = INTERNAL
            self._busy = False
            if self.transport is None:
                self.dialogue.reset()
                return
            self._answer(command, reply, started)
            if self.receiver.closing and self.dialogue.transaction is None:
                self._say(verbs.SHUTTING_DOWN)
            self._work()

        self.receiver.start(to_the_end())

    def _answer(self, command: str, reply: Reply, started: float) -> None:
        SECONDS_OF[command].observe(time.perf_counter() - started)
        if reply.reason:
            REJECTED.labels(reply.reason).inc()
        if reply.code >= 500:
            self._errors += 1
        elif reply.code == 354:
            limits = self.site.limits
            self._patience = Patience(limits.data_seconds, limits.data_rate, self.loop.time())
            self._look_before(self._patience.deadline)
        self._say(reply)
        if self._errors >= self.site.limits.errors and not self._closing:
            self._say(verbs.TOO_MANY_ERRORS)

    def _say(self, reply: Reply) -> None:
        if self._closing:
            return
        self._out += reply.octets()
        if reply.close:
            self._flush()
            self._closing = True
            self._input.clear()
            self._part(at_once=reply.code == 221 or reply is verbs.SHUTTING_DOWN)
            if not self._busy:
                self.dialogue.reset()

    def _part(self, *, at_once: bool) -> None:
        """Close.  A client that still sends would get a reset, and lose our last words: so its input is let run dry."""
        if self.transport is None:
            return
        if at_once or self._half_closed or not self.transport.can_write_eof():
            self.transport.close()
            return
        try:
            self.transport.write_eof()
        except OSError:  # the client is gone, which nobody has told us yet
            self.transport.abort()
            return
        self._unread = False
        self._resume_reading()
        self._expect(self.site.limits.parting_seconds)

    def _flush(self) -> None:
        if self._out and self.transport is not None and not self._closing:
            self.transport.write(bytes(self._out))
        self._out.clear()

    # -- data

    def _sink(self, data: bytes) -> None:
        transaction = self.dialogue.transaction
        assert transaction is not None
        sink, intake = transaction.sink, transaction.intake
        assert sink is not None
        assert intake is not None
        rest = sink.feed(data)
        if self._patience:
            self._patience.progress(len(data), self.loop.time())
        if rest is not None:
            self._input += rest
            self._patience = None
            self._run("END", self._end(transaction), time.perf_counter())
        elif sink.octets > self.dialogue.client.max_size + self.site.limits.excess:
            reply = too_large(self.dialogue.client.max_size)
            REJECTED.labels(reply.reason).inc()
            self._say(Reply(code=reply.code, status=reply.status, text=reply.text, close=True))
        elif intake.draft.congested and intake.failure is None:
            self._pause_reading()
            self.receiver.start(self._wait_for_disk(transaction))

    async def _wait_for_disk(self, transaction: Transaction) -> None:
        intake = transaction.intake
        assert intake is not None
        try:
            await intake.draft.drained()
        except Failure as failure:
            intake.failure = intake.failure or failure
        finally:  # a connection that is not read has no deadline
            if self._patience:
                self._patience.restart(self.loop.time())
            self._resume_reading()

    async def _end(self, transaction: Transaction) -> Reply:
        reply = await transaction.end()
        transaction.intake = transaction.sink = None
        self.dialogue.transaction = None
        if not reply.refused:
            self._errors = self._idle_commands = 0
        self._expect(self.site.limits.command_seconds)
        return reply

    def shut_down(self) -> None:
        """Say goodbye, unless a message is under way: then behind it."""
        if not self._busy and (self.dialogue.transaction is None or self.dialogue.transaction.sink is None):
            self._say(verbs.SHUTTING_DOWN)
