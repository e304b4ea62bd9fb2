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
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from appliance.smtp.receiver import Receiver
from tests.smtp_client import DEADLINE, Site, site
from tests.smtp_model import BARE, COLLEAGUES, LIMITS, REJECTED_ALWAYS, Model

pytestmark = pytest.mark.slow

BINARY = b"\r\nContent-Type: application/postscript\r\nContent-Transfer-Encoding: binary\r\n\r\n%!PS\r\n"
ANYBODY = ("phaser360@example.com", "PHASER360@example.com", "Phaser360@EXAMPLE.com")

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
        # A printer that was named by two of its addresses prints once.
        printers = {address.replace("color@", "colour@") for address in self.model.recipients}
        assert len(numbers) == len(printers), text
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
