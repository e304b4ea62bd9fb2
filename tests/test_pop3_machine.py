"""POP3 sessions over a real socket, held to a model that knows each answer beforehand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from appliance.guessing import Guesses
from appliance.pop3.connection import Limits
from appliance.pop3.server import Pop3Service
from tests.pop3_house import FIELDS, SECRET, Client, Pop3House, plain, running_pop3

pytestmark = pytest.mark.slow

T = TypeVar("T")
MANY = 1_000_000
LIMITS = Limits(failure_delay=0.0, poll_share=0.0, failures=MANY, bad_before=MANY, bad_after=MANY)
MAILS = (
    b"Subject: x\r\n\r\n.\r\n..\r\nline\r\n",
    b"\r\nbody\r\n",
    b"Subject: only a header\r\n",
    b"A: b\r\n\r\n" + b".dots\r\n" * 3000,
)

numbers = st.sampled_from([1, 1, 2, 2, 3, 0, 4])
of_a_message = st.builds("{} {}".format, st.sampled_from(["LIST", "UIDL", "RETR", "DELE", "DELE"]), numbers)
commands = st.one_of(
    of_a_message,
    of_a_message,
    st.builds("TOP {} {}".format, numbers, st.integers(0, 3)),
    st.sampled_from(["STAT", "LIST", "UIDL", "RSET", "RSET"]),
    st.sampled_from(
        ["NOOP", "LANG *", "UTF8", "BOGUS", "RETR", "DELE x", "USER", "PASS", "AUTH", "PASS wrong", "QUIT"]
    ),
)
HABITS = (
    ("DELE 1", "STAT", "RSET", "STAT", "LIST"),
    ("DELE 1", "LIST", "UIDL", "RETR 2", "DELE 2", "UIDL"),
    ("DELE 2", "DELE 2", "LIST 2", "RSET", "RETR 2"),
    ("UIDL", "RETR 1", "DELE 1", "QUIT"),
    ("DELE 1", "DELE 2", "QUIT"),
)
"""What by chance alone would be said too seldom to tell a server that forgets from one that does not."""
talks = st.lists(st.one_of(st.tuples(commands), st.sampled_from(HABITS)), min_size=1, max_size=6).map(
    lambda said: [line for lines in said for line in lines]
)


@dataclass(frozen=True, slots=True)
class Answer:
    """How the first line begins, and the lines that follow it; None if none do."""

    begins: str
    rest: bytes | None = None


@dataclass(slots=True)
class Session:
    """What the server must know of the connection."""

    named: bool = False
    logged_in: bool = False
    over: bool = False
    mails: list[tuple[int, bytes]] = field(default_factory=list)
    marks: set[int] = field(default_factory=set)

    @property
    def left(self) -> list[tuple[int, int, bytes]]:
        return [(n, job, mail) for n, (job, mail) in enumerate(self.mails, 1) if n not in self.marks]

    @property
    def sum(self) -> int:
        return sum(len(mail) for _, _, mail in self.left)


class Sessions(RuleBasedStateMachine):
    """One printer's maildrop, and whoever comes for it."""

    house: Pop3House
    service: Pop3Service
    runner: asyncio.Runner

    def __init__(self) -> None:
        super().__init__()
        self.name = self.run(self.house.printer())
        self.maildrop: list[tuple[int, bytes]] = []
        self.uids: dict[int, str] = {}
        self.client: Client | None = None
        self.session = Session()
        for mail in MAILS[:2]:
            self.mail_comes(mail)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def teardown(self) -> None:
        if self.client:
            self.drop()

    # -- what happens

    @rule(mail=st.sampled_from(MAILS))
    def more_mail_comes(self, mail: bytes) -> None:
        self.mail_comes(mail)

    def mail_comes(self, mail: bytes) -> None:
        self.maildrop.append((self.run(self.house.mail(self.name, mail, FIELDS)), FIELDS + mail))

    @precondition(lambda self: self.client is None)
    @rule(first=st.sampled_from([["USER", "PASS", "UIDL"], ["AUTH", "UIDL"], ["UTF8", "AUTH"], []]))
    def connect(self, first: list[str]) -> None:
        self.client = self.run(self._connected())
        self.session = Session()
        self.run(self._say(first))

    @precondition(lambda self: self.client is not None)
    @rule(lines=talks)
    def more_is_said(self, lines: list[str]) -> None:
        """All in one write; each is answered in its turn, and after QUIT nothing is."""
        self.run(self._say(lines))
        if self.session.over:
            self.client = None

    @precondition(lambda self: self.client is not None)
    @rule()
    def drop(self) -> None:
        assert self.client
        self.client.drop()
        self.client = None
        self.run(self.house.becomes_free(self.name))

    @precondition(lambda self: self.client is not None)
    @rule()
    def another_comes(self) -> None:
        self.run(self._another_comes())

    # -- what is expected

    async def _connected(self) -> Client:
        reader, writer = await asyncio.open_connection(*self.service.address, limit=1 << 20)
        client = Client(reader, writer)
        assert (await client.line()).startswith("+OK")
        return client

    async def _another_comes(self) -> None:
        other = await self._connected()
        answer = await other.login(self.name)
        assert answer.startswith("-ERR [IN-USE]" if self.session.logged_in else "+OK"), answer
        await other.ask("QUIT")
        await other.closed()
        other.drop()

    async def _say(self, lines: list[str]) -> None:
        assert self.client
        secrets = {"USER": f"USER {self.name}", "PASS": f"PASS {SECRET}", "AUTH": f"AUTH PLAIN {plain(self.name)}"}
        await self.client.say(*(secrets.get(line, line) for line in lines))
        for line in lines:
            expected = self._expected(line)
            first = await self.client.line()
            assert first.startswith(expected.begins), (line, first, expected)
            if expected.rest is not None:
                rest = b"".join(await self.client.lines())
                if line == "UIDL":
                    rest = self._seen_uids(rest)
                assert rest == expected.rest, (line, rest)
            if line.startswith("UIDL ") and first.startswith("+OK"):
                _, number, uid = first.split()
                self._seen(int(number), uid)
            if self.session.over:
                assert await self.client.closed() == b""
                self.client.drop()
                return

    def _seen_uids(self, listed: bytes) -> bytes:
        for line in listed.decode().splitlines():
            number, uid = line.split()
            self._seen(int(number), uid)
        return b"".join(line.partition(b" ")[0] + b"\r\n" for line in listed.splitlines())

    def _seen(self, number: int, uid: str) -> None:
        """RFC 1939 section 7: a message's own, in every session."""
        job = self.session.mails[number - 1][0]
        assert self.uids.setdefault(job, uid) == uid
        assert len(set(self.uids.values())) == len(self.uids)

    def _expected(self, line: str) -> Answer:
        verb, *arguments = line.split(" ")
        if verb == "QUIT":
            return self._quit()
        if verb in ("BOGUS", "LANG"):
            return Answer("-ERR unknown command" if verb == "BOGUS" else "+OK en ")
        return self._in_transaction(verb, arguments) if self.session.logged_in else self._before(verb, arguments)

    def _quit(self) -> Answer:
        gone = {self.session.mails[n - 1][0] for n in self.session.marks}
        self.maildrop = [(job, mail) for job, mail in self.maildrop if job not in gone]
        self.session.over, self.session.logged_in = True, False
        return Answer("+OK bye")

    def _before(self, verb: str, arguments: list[str]) -> Answer:
        if verb == "UTF8":
            return Answer("+OK")
        if verb == "USER":
            self.session.named = True
            return Answer("+OK send PASS")
        if verb == "PASS" and not self.session.named:
            return Answer("-ERR USER comes before PASS")
        if verb not in ("PASS", "AUTH"):
            return Answer("-ERR log in first")
        if arguments:
            self.session.named = False
            return Answer("-ERR [AUTH]")
        self.session.logged_in = True
        self.session.mails = list(self.maildrop)
        return Answer(f"+OK {len(self.session.left)} messages ({self.session.sum} octets)")

    def _in_transaction(self, verb: str, arguments: list[str]) -> Answer:
        session = self.session
        if verb in ("USER", "PASS", "AUTH", "UTF8"):
            return Answer("-ERR you are logged in already")
        if verb == "STAT":
            return Answer(f"+OK {len(session.left)} {session.sum}")
        if verb in ("NOOP", "RSET"):
            if verb == "RSET":
                session.marks.clear()
            return Answer("+OK")
        if not arguments and verb in ("LIST", "UIDL"):
            sizes = (f"{n} {len(mail)}" if verb == "LIST" else str(n) for n, _, mail in session.left)
            return Answer("+OK", "".join(f"{line}\r\n" for line in sizes).encode())
        if not arguments or arguments == ["x"]:
            return Answer("-ERR usage: ")
        return self._of_a_message(verb, *map(int, arguments))

    def _of_a_message(self, verb: str, number: int, lines: int = 0) -> Answer:
        session = self.session
        if not 1 <= number <= len(session.mails):
            return Answer("-ERR no such message")
        if number in session.marks:
            return Answer(f"-ERR message {number} is deleted")
        mail = session.mails[number - 1][1]
        if verb == "DELE":
            session.marks.add(number)
            return Answer(f"+OK message {number} deleted")
        if verb == "RETR":
            return Answer(f"+OK {len(mail)} octets", mail)
        if verb == "TOP":
            header, empty, body = (b"\r\n" + mail).partition(b"\r\n\r\n")
            return Answer("+OK", (header + empty)[2:] + b"".join(body.splitlines(keepends=True)[:lines]))
        return Answer(f"+OK {number} {len(mail)}" if verb == "LIST" else f"+OK {number} ")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[type[Sessions]]:
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        try:
            house = runner.run(stack.enter_async_context(running_pop3(tmp_path)))
            service = runner.run(stack.enter_async_context(house.serving(LIMITS, guesses=Guesses(MANY))))
            yield type("OverTheWire", (Sessions,), {"house": house, "service": service, "runner": runner})
        finally:
            runner.run(stack.aclose())


def test_every_session_does_as_the_model(machine: type[Sessions]) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=15,
            deadline=None,
            database=None,
            phases=[Phase.generate],  # the first that fails tells enough, and to shorten it takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
