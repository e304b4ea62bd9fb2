"""The SMTP dialogue in any order over a real socket, against a model that knows the standards and our recipients.

The model says the code of every reply before it is read.  After each step the store holds what was answered with 250 at
the end of the data, octet for octet, and nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from tests.smtp_client import DEADLINE, Site, site

pytestmark = pytest.mark.slow

LIMITS = Limits(recipients=3, errors=12, idle_commands=30)
BARE = re.compile(rb"(?<!\r)\n|\r(?!\n)")
BINARY = b"\r\nContent-Type: application/postscript\r\nContent-Transfer-Encoding: binary\r\n\r\n%!PS\r\n"
REJECTED_ALWAYS = {
    "nobody@example.com": 550,
    "ada@example.org": 550,  # not ours: no relaying
    "ada%example.org@example.com": 550,
    "closed@example.com": 550,  # allows nobody
    "no address": 501,
}
ANYBODY = ("phaser360@example.com", "PHASER360@example.com", "phaser360+copies=2@example.com")
COLLEAGUES = ("colour@example.com", "color@example.com")

ENDS = {
    "QUIT": 221,
    "GET / HTTP/1.1": 554,
    "Host: mail.example.com": 554,
    **dict.fromkeys(("BDAT", "BDAT x", "BDAT -1", "BDAT 10 FIRST", "BDAT 0x10", f"BDAT {'1' * 30}"), 501),
}
"""What closes, for nobody can tell where that message or chunk ends."""

senders = st.sampled_from(["ada@example.com", "ada@example.com", "eve@example.org", ""])
parameters = st.sampled_from(
    ["", "", "", " SIZE=100", " SIZE=9999999999999", " BODY=8BITMIME", " BODY=BINARYMIME", " SMTPUTF8", " X=1"]
)
mails = st.builds(lambda sender, more: f"MAIL FROM:<{sender}>{more}", senders, parameters) | st.sampled_from(
    [f"MAIL FROM:<{sender}>" for sender in ("no address", "größe@example.com")]
    + ["MAIL FROM:<größe@example.com> SMTPUTF8"]
)
rcpts = st.sampled_from([*ANYBODY, *ANYBODY, *COLLEAGUES, *COLLEAGUES, *REJECTED_ALWAYS]).map(
    lambda address: f"RCPT TO:<{address}>"
)
begun = st.sampled_from(["MAIL FROM:<ada@example.com>", "MAIL FROM:<ada@example.com> BODY=BINARYMIME"])
plain = st.sampled_from(["RSET", "NOOP", "NOOP text", "VRFY ada", "HELP", "EXPN all", "AUTH PLAIN", "", "\0", "5"])
garbage = st.text("0123456789!#$%&() xyz\0é", min_size=1, max_size=80)
overlong = st.integers(2049, 9000).map(lambda length: "NOOP " + "x" * length)
commands = st.one_of(mails, begun, begun, rcpts, rcpts, rcpts, rcpts, plain, garbage, overlong)
lines = st.sampled_from(
    [b".", b"..", b".text", b"text", b"", b"QUIT", "Größe".encode(), b"MAIL FROM:<eve@example.org>"]
)
bodies = st.lists(lines, max_size=8).map(lambda found: b"Subject: x\r\n\r\nprint me\r\n" + b"\r\n".join([*found, b""]))
spoiled = st.builds(
    lambda body, wrong: body + wrong + b".\r\nRSET\r\n", bodies, st.sampled_from([b"\n", b"\r", b"\r\r\n", b"\n\n"])
)
messages = st.one_of(bodies, bodies, spoiled)


@dataclass
class Model:
    """What the server must think of one connection."""

    tls: bool = False
    helo: bool = False
    extended: bool = False
    mail: bool = False
    sender: str = ""
    binary: bool = False
    recipients: set[str] = field(default_factory=set)
    chunks: bytes | None = None  # what has come by BDAT
    failed: bool = False  # a chunk was refused, and its message may go on
    errors: int = 0
    idle: int = 0
    closed: bool = False

    def reset(self) -> None:
        self.mail, self.binary, self.recipients, self.chunks, self.failed = False, False, set(), None, False

    def answers(self, command: str, *, more: bool = False) -> list[int]:
        """The replies to one command line; `more` came with it.  354 is the caller's to follow."""
        verb, _, argument = command.partition(" ")
        if verb in ("HELO", "EHLO", "RSET", "NOOP", "VRFY", "HELP"):
            self.idle += 1
            if self.idle > LIMITS.idle_commands:
                return self.closing(421)
        code = 500 if len(command.encode()) + 2 > LIMITS.line else self._code(verb, argument, more)
        return self.counted(code) if not self.closed else [code]

    def counted(self, code: int) -> list[int]:
        self.errors += code >= 500
        return [code, *self.closing(421)] if self.errors >= LIMITS.errors else [code]

    def closing(self, code: int) -> list[int]:
        self.closed = True
        return [code]

    def _code(self, verb: str, argument: str, more: bool) -> int:
        known = {"NOOP": 250, "VRFY": 252, "HELP": 214, "EXPN": 502, "AUTH": 502}
        if verb in known:
            return known[verb]
        if verb == "RSET":
            self.reset()
            return 250
        if verb in ("HELO", "EHLO"):
            return self._greeted(verb, more)
        if verb == "MAIL":
            return self._mail(*argument.removeprefix("FROM:<").split(">"))
        if verb == "RCPT":
            return self._rcpt(argument[4:-1])
        if verb == "DATA":
            return self._data(argument, more)
        if verb == "STARTTLS":
            return self._starttls(argument, more)
        return 500

    def _greeted(self, verb: str, more: bool) -> int:
        if more:  # RFC 2920 section 3.1
            return self.closing(554)[0]
        self.reset()
        self.helo, self.extended = True, verb == "EHLO"
        return 250

    def _mail(self, sender: str, parameter: str) -> int:
        if not self.helo or self.mail:
            return 503
        if " " in sender or ("ö" in sender and not (self.extended and parameter)):
            return 501
        if parameter and (not self.extended or parameter == " X=1"):
            return 555
        if len(parameter) > 15 and parameter.startswith(" SIZE"):
            return 552
        self.mail, self.sender, self.binary = True, sender, parameter == " BODY=BINARYMIME"
        self.failed = False
        return 250

    def _rcpt(self, address: str) -> int:
        if not self.mail or self.chunks is not None:
            return 503
        refused = REJECTED_ALWAYS.get(address)
        if refused and address in ("ada@example.org", "no address"):
            return refused
        key = address.lower()
        if key in self.recipients:
            return 250
        if len(self.recipients) >= LIMITS.recipients:
            return 452
        if refused or not self.sender or (address in COLLEAGUES and not self.sender.endswith("@example.com")):
            return 550  # the null reverse-path proves no sender
        self.recipients.add(key)
        return 250

    def _data(self, argument: str, more: bool) -> int:
        if not argument and self.recipients and self.chunks is None and not self.binary:
            return 354
        if more:  # what follows is a message, and must not be read as commands
            return self.closing(554)[0]
        return 501 if argument else 503

    def _starttls(self, argument: str, more: bool) -> int:
        if more:  # RFC 3207 section 5
            return self.closing(554)[0]
        if argument:
            return 501
        if self.tls or not self.extended:
            return 503
        self.reset()
        self.tls, self.helo, self.extended = True, False, False
        return 220

    def chunk(self, octets: bytes, *, last: bool) -> list[int]:
        """The replies to BDAT, without the verdict on a whole message: there they are [] and `chunks` holds it."""
        if self.failed and self.extended and not self.mail:  # RFC 3030 section 2: sent before the client knew
            self.idle += 1
            self.failed = not last
            return [503]
        if not (self.extended and self.recipients):
            self.reset()
            self.failed = not last
            return self.counted(503)
        self.chunks = (self.chunks or b"") + octets
        if not self.binary and BARE.search(self.chunks if last else self.chunks.removesuffix(b"\r")):
            self.reset()
            self.failed = not last
            return self.counted(550)
        return [] if last else [250]

    def accepted(self) -> None:
        self.errors = self.idle = 0
        self.reset()


class Machine(RuleBasedStateMachine):
    """One run: connections one after the other."""

    def __init__(self, house: Site, receiver: Receiver, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.house, self.receiver, self.loop = house, receiver, loop
        self.jobs = self._waiting()
        self.connections = 0
        self.connect()

    def _await(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(DEADLINE)

    def _waiting(self) -> int:
        return sum(sum(each.states.values()) for each in self._await(self.house.store.waiting()))

    async def _stored(self, job: int) -> bytes:
        return b"".join([block async for block in self.house.store.read(job)])

    # -- the wire

    def connect(self) -> None:
        self.model = Model()
        self._use(socket.create_connection(self.receiver.address, timeout=DEADLINE))
        assert self._reply()[0] == 220
        self.connections += 1
        if self.connections % 4:  # or else most of what is tried would only be out of order
            self._say(b"EHLO client.example.com\r\n", self.model.answers("EHLO"))

    def open(self) -> None:
        """Connect again if the connection is closed; nothing more was said on it."""
        if self.model.closed:
            with contextlib.suppress(ConnectionResetError, ssl.SSLError):
                assert self.said.read() == b""
            self._hang_up()
            self.connect()

    def _use(self, wire: socket.socket) -> None:
        self.wire = wire
        self.said = cast("BinaryIO", wire.makefile("rb"))

    def _reply(self) -> tuple[int, str]:
        line = self.said.readline()
        while line[3:4] == b"-":
            line = self.said.readline()
        assert line.endswith(b"\r\n"), line
        return int(line[:3]), line[4:-2].decode()

    def _say(self, octets: bytes, expected: Sequence[int]) -> None:
        self.wire.sendall(octets)
        self._further(expected)

    def _verdict(self, message: bytes, code: int) -> None:
        """What is said to a whole message, and what the store holds then."""
        answer, text = self._reply()
        assert answer == code, (message, text, self.model)
        if code != 250:
            self._further(self.model.counted(code)[1:])
            self.model.reset()
            return
        numbers = [int(number) for number in re.findall(r"\d+", text.partition("accepted as job")[2])]
        assert len(numbers) == len(self.model.recipients), text
        self.jobs += len(numbers)
        for number in numbers:
            trace, _, kept = self._await(self._stored(number)).partition(b"Subject: x\r\n")
            assert b"Subject: x\r\n" + kept == message
            assert trace.startswith(b"Received: from ")
            assert trace.count(b"\r\n") == len(re.findall(rb"(?m)^(?:Received: |\t).+\r\n", trace))
        self.model.accepted()

    def _further(self, expected: Sequence[int]) -> None:
        codes = [self._reply() for _ in expected]
        assert [code for code, _ in codes] == list(expected), (codes, self.model)

    # -- steps

    @rule(verb=st.sampled_from(["EHLO", "EHLO", "EHLO", "HELO"]))
    def greet(self, verb: str) -> None:
        self.open()
        self._say(f"{verb} client.example.com\r\n".encode(), self.model.answers(verb))

    @rule(
        group=st.lists(commands, min_size=1, max_size=6), end=st.sampled_from(["", "", "DATA x", "EHLO x", "STARTTLS"])
    )
    def pipeline(self, group: list[str], end: str) -> None:
        """Commands in one write.  What may not stand before others stands last, or is cut off with what follows."""
        self.open()
        said = [*group, end, "NOOP"] if end else group
        expected: list[int] = []
        for command in said:
            if not self.model.closed:
                expected += self.model.answers(command, more=command == end != "")
        self._say("".join(f"{command}\r\n" for command in said).encode(), expected)

    @rule(recipients=st.lists(rcpts, min_size=1, max_size=4), message=messages, more=st.booleans())
    def send_by_data(self, recipients: list[str], message: bytes, more: bool) -> None:
        """As far as it comes: MAIL is said only if there is none; `more` puts a NOOP behind the message."""
        self.open()
        group = [*([] if self.model.mail else ["MAIL FROM:<ada@example.com>"]), *recipients, "DATA"]
        expected: list[int] = []
        for command in group:
            if not self.model.closed:
                expected += self.model.answers(command)
        self._say("".join(f"{command}\r\n" for command in group).encode(), expected)
        if expected[-1] != 354:
            return
        stuffed = re.sub(rb"(?<=\r\n)\.", b"..", message)
        ended = b"" if message.endswith(b"\r\n") else b"\r\n"
        self.wire.sendall(stuffed + ended + b".\r\n" + b"NOOP\r\n" * more)
        self._verdict(message, 550 if BARE.search(message) else 250)
        if more and not self.model.closed:
            self._further(self.model.answers("NOOP"))

    @rule(
        begin=st.lists(st.one_of(begun, rcpts, rcpts), max_size=4),
        octets=messages,
        at=st.lists(st.integers(0, 400), max_size=3),
        last=st.sampled_from([True, True, False]),
    )
    def send_by_bdat(self, begin: list[str], octets: bytes, at: list[int], last: bool) -> None:
        """A message cut into chunks anywhere, all in one write; what has come by BDAT before it is its beginning."""
        self.open()
        said, expected, whole = b"", list[int](), None
        for command in begin:
            said += command.encode() + b"\r\n"
            expected += [] if self.model.closed else self.model.answers(command)
        if self.model.chunks:
            octets = octets.partition(b"\r\n\r\n")[2]
        elif self.model.binary:
            octets = octets.replace(b"\r\n\r\nprint me\r\n", BINARY)
        borders = sorted({0, len(octets), *(border for border in at if border < len(octets))})
        pieces = [octets[start:end] for start, end in pairwise(borders)]
        for piece in pieces:
            ends = last and piece is pieces[-1]
            said += b"BDAT %d%b\r\n%b" % (len(piece), b" LAST" * ends, piece)
            answers = [] if self.model.closed else self.model.chunk(piece, last=ends)
            if ends and not answers and not self.model.closed:
                whole = self.model.chunks
            expected += answers
        self._say(said, expected)
        if whole is not None:
            self._verdict(whole if whole.endswith(b"\r\n") or self.model.binary else whole + b"\r\n", 250)

    @rule(argument=st.sampled_from(["", "", "", " now"]))
    def starttls(self, argument: str) -> None:
        self.open()
        expected = self.model.answers(f"STARTTLS{argument}")
        self._say(f"STARTTLS{argument}\r\n".encode(), expected)
        if expected == [220]:
            self.said.close()
            self._use(self.house.trusting.wrap_socket(self.wire, server_hostname="localhost"))

    @rule(group=st.lists(commands, max_size=4), end=st.sampled_from(sorted(ENDS)))
    def end(self, group: list[str], end: str) -> None:
        """The server closes, and what stands behind is no command."""
        self.open()
        expected: list[int] = []
        for command in group:
            if not self.model.closed:
                expected += self.model.answers(command)
        if not self.model.closed:
            expected += self.model.closing(ENDS[end])
        self._say(
            "".join(f"{command}\r\n" for command in [*group, end, "MAIL FROM:<eve@example.org>"]).encode(), expected
        )

    @precondition(lambda self: not self.model.tls)
    @rule(group=st.lists(commands, max_size=4))
    def close_one_half(self, group: list[str]) -> None:
        """What was said before is answered all the same."""
        self.open()
        expected: list[int] = []
        for command in group:
            if not self.model.closed:
                expected += self.model.answers(command)
        self.wire.sendall("".join(f"{command}\r\n" for command in group).encode())
        self.wire.shutdown(socket.SHUT_WR)
        self._further(expected)
        self.model.closed = True

    @precondition(lambda self: not self.model.closed and self.model.helo and not self.model.mail)
    @rule(message=bodies, chunk=st.booleans())
    def go_in_the_middle(self, message: bytes, chunk: bool) -> None:
        """The line breaks before the end of a message: it has never been."""
        chunk = chunk and self.model.extended
        group = ["MAIL FROM:<ada@example.com>", "RCPT TO:<phaser360@example.com>", *([] if chunk else ["DATA"])]
        expected = [code for command in group for code in self.model.answers(command)]
        self._say("".join(f"{command}\r\n" for command in group).encode(), expected)
        self.wire.sendall(b"BDAT 9999 LAST\r\n" * chunk + message.replace(b"\r\n.", b"\r\n..") + b"\r\n")
        self._hang_up()
        self.connect()

    @invariant()
    def the_store_holds_what_was_accepted(self) -> None:
        assert self._waiting() == self.jobs

    def _hang_up(self) -> None:
        self.said.close()
        self.wire.close()

    def teardown(self) -> None:
        self._hang_up()


async def test_every_dialogue_goes_as_the_standards_say(tmp_path: Path) -> None:
    bounded = settings(
        max_examples=50, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True
    )
    async with site(tmp_path) as house, house.receiver(limits=LIMITS) as receiver:
        loop = asyncio.get_running_loop()
        machine = cast("type[Machine]", partial(Machine, house, receiver, loop))  # it is only called
        await asyncio.to_thread(run_state_machine_as_test, machine, settings=bounded)
