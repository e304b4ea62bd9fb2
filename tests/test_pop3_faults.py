"""The faults of Twisted's POP3 server, each by name: ours must be free of it, and the stock class must show it.

A case for "stock" that passes is an error too: then a new Twisted has mended something, and our code may go.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.pop3.connection import Connection, Limits
from appliance.pop3.session import Session
from tests.pop3_house import SECRET, Client, Pop3House, narrow_client, running_pop3
from tests.stock_pop3 import StockHouse, running_stock_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

HEADER = b"Subject: x\r\n\r\n"


class House:
    """One of the two servers."""

    def __init__(self, house: Pop3House | StockHouse, limit: float) -> None:
        self.house = house
        self.limit = limit

    async def printer(self, *messages: bytes) -> str:
        if isinstance(self.house, StockHouse):
            return await self.house.printer(*messages)
        name = await self.house.printer()
        for message in messages:
            await self.house.mail(name, message)
        return name

    @contextlib.asynccontextmanager
    async def client(self, name: str = "") -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection(self.house.host, self.house.port, limit=1 << 23)
        try:
            client = Client(reader, writer)
            self.greeting = await client.line()
            if name:
                assert (await client.ask(f"USER {name}")).startswith("+OK")
                assert (await client.ask(f"PASS {SECRET}")).startswith("+OK")
            yield client
        finally:
            writer.transport.abort()

    async def becomes_free(self, name: str, seconds: float = 3.0) -> None:
        async with asyncio.timeout(seconds):
            while not await self.house.free(name):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.01)


TIMEOUT = 0.4
SHOWN = (AssertionError, TimeoutError, asyncio.IncompleteReadError, pytest.fail.Exception)
"""How a fault shows itself; anything else is a fault of the test."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ours(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest_asyncio.fixture(
    loop_scope="module",
    params=["ours", pytest.param("stock", marks=[pytest.mark.xfail(strict=True, raises=SHOWN), pytest.mark.slow])],
)
async def house(request: pytest.FixtureRequest, ours: Pop3House) -> AsyncIterator[House]:
    if request.param == "ours":
        limits = Limits(failure_delay=0.01, autologout=TIMEOUT)
        async with ours.serving(limits) as service:
            before = ours.host, ours.port
            ours.host, ours.port = service.address
            yield House(ours, TIMEOUT)
            ours.host, ours.port = before
    else:
        async with running_stock_pop3(SECRET, TIMEOUT) as stock:
            yield House(stock, TIMEOUT)


async def test_the_stock_server_works_where_it_can() -> None:
    async with running_stock_pop3(SECRET) as running:
        house = House(running, 0)
        name = await house.printer(b"Subject: x\n\none\n.two\n")
        async with house.client(name) as client:
            assert (await client.ask("STAT")).startswith("+OK 1 ")
            assert await client.retr(1) == HEADER + b"one\r\n.two\r\n"
            assert (await client.ask("DELE 1")).startswith("+OK")
            assert (await client.ask("QUIT")).startswith("+OK")
        await house.becomes_free(name)


async def one_answer(client: Client, line: str) -> str:
    async with asyncio.timeout(2):
        return await client.ask(line)


# -- 1


@pytest.mark.parametrize("border", [0, 16384, 32768, 65536])
async def test_1_a_message_cannot_speak_for_the_server(house: House, border: int) -> None:
    """A dot that begins a line and a block: what follows it would be the server's next reply."""
    forged = b".\r\n+OK 1 666\r\n"
    message = forged if border == 0 else HEADER.ljust(border - 2, b"x") + b"\r\n" + forged
    if isinstance(house.house, StockHouse):  # it wants LF at rest, so that the border falls where it should
        message = message.replace(b"\r\n", b"\n").ljust(border, b"x")
        message = forged.replace(b"\r\n", b"\n") if border == 0 else message[: border - 1] + b"\n" + b".\n+OK 1 666\n"
    name = await house.printer(message)
    async with house.client(name) as client:
        await client.say("RETR 1", "NOOP")
        assert (await client.line()).startswith("+OK")
        assert b"+OK 1 666\r\n" in await client.lines()
        assert not (await client.line()).endswith("666")


# -- 2


@pytest.mark.parametrize("message", [HEADER + b"a\r\nb\r\n", HEADER + b"a\nb\rc\r\n", HEADER + b"\x00\xff\n\r\n"])
async def test_2_octets_are_left_alone(house: House, message: bytes) -> None:
    name = await house.printer(message)
    async with house.client(name) as client:
        assert await client.retr(1) == message


# -- 3


async def test_3_apop_is_not_promised(house: House) -> None:
    async with house.client():
        assert not re.search("<.+@.+>", house.greeting)


# -- 4


async def test_4_capabilities_are_true(house: House) -> None:
    async with house.client() as client:
        await client.say("CAPA")
        await client.line()
        words = {line.split()[0] for line in await client.lines()}
    assert b"PIPELINING" in words
    assert not words & {b"PIPELINE", b"CELERITY", b"AUSPEX", b"POTENCE"}


# -- 5


@pytest.mark.parametrize("line", ["DELE foo", "DELE", "STAT 1 2 3", "LIST 1 2 3", "TOP 1", "RETR", "NOOP NOOP"])
async def test_5_a_malformed_command_is_answered(house: House, line: str) -> None:
    name = await house.printer(HEADER)
    async with house.client(name) as client:
        assert (await one_answer(client, line)).startswith("-ERR")
        assert (await one_answer(client, "NOOP")).startswith("+OK")


async def test_5_a_sasl_initial_response_is_answered(house: House) -> None:
    async with house.client() as client:
        assert (await one_answer(client, "AUTH PLAIN AGEAYg==")).startswith("-ERR")
        assert (await one_answer(client, "CAPA")).startswith("+OK")


async def test_5_message_0_is_not_the_last(house: House) -> None:
    name = await house.printer(HEADER, HEADER)
    async with house.client(name) as client:
        assert (await one_answer(client, "DELE 0")).startswith("-ERR")


# -- 6


async def test_6_deleted_messages_are_neither_counted_nor_listed(house: House) -> None:
    name = await house.printer(HEADER + b"1\r\n", HEADER + b"2\r\n")
    async with house.client(name) as client:
        await client.ask("DELE 1")
        assert (await client.ask("STAT")).split()[:3] == ["+OK", "1", str(len(HEADER) + 3)]
        for command in ("LIST", "UIDL"):
            await client.say(command)
            await client.line()
            assert [line.split()[0] for line in await client.lines()] == [b"2"]
            assert (await client.ask(f"{command} 1")).startswith("-ERR")


# -- 7


async def test_7_what_follows_a_pipelined_error_is_answered(house: House) -> None:
    name = await house.printer(HEADER)
    async with house.client(name) as client:
        await client.say("STAT", "BOGUS", "NOOP", "NOOP")
        async with asyncio.timeout(2):
            answers = [(await client.line())[:3] for _ in range(4)]
        assert answers == ["+OK", "-ER", "+OK", "+OK"]


# -- 8


async def test_8_a_pipelined_login_is_awaited(house: House) -> None:
    name = await house.printer(HEADER)
    async with house.client() as client:
        await client.say(f"USER {name}", f"PASS {SECRET}", "STAT")
        assert [(await client.line())[:3] for _ in range(3)] == ["+OK"] * 3


async def test_8_a_second_login_in_a_session_is_refused_and_leaks_no_lock(house: House) -> None:
    name = await house.printer(HEADER)
    async with house.client(name) as client:
        assert (await client.ask(f"USER {name}")).startswith("-ERR")
        assert (await client.ask(f"PASS {SECRET}")).startswith("-ERR")
    await house.becomes_free(name)


async def test_8_a_client_lost_while_logging_in_leaks_no_lock(house: House) -> None:
    name = await house.printer(HEADER)
    async with house.client() as client:
        await client.ask(f"USER {name}")
        await client.say(f"PASS {SECRET}")
    await asyncio.sleep(0.05)
    await house.becomes_free(name)


# -- 9


async def test_9_a_reader_that_stalls_loses_the_maildrop(house: House) -> None:
    name = await house.printer(HEADER + b"x" * 20_000_000)
    async with narrow_client((house.house.host, house.house.port)) as client:
        for line in (f"USER {name}", f"PASS {SECRET}"):
            assert (await client.ask(line)).startswith("+OK")
        assert not await house.house.free(name)
        await client.say("RETR 1")
        await house.becomes_free(name, 2.5)


async def test_9_commands_that_wait_are_bounded(house: House) -> None:
    """A client that never reads can send no more than what the kernel and our bound take."""
    name = await house.printer(HEADER + b"x" * 20_000_000)
    async with house.client(name) as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await client.say("RETR 1")
        assert await _is_stopped(client)


async def _is_stopped(client: Client) -> bool:
    """Whether the server takes no more of 12 MB of commands, or hangs up; False when it has taken them all."""
    said = [0]

    async def talk() -> None:
        for _ in range(1000):
            await client.say(*["NOOP" + " " * 240] * 50)
            said[0] += 1

    talking = asyncio.create_task(talk())
    while not talking.done():
        before = said[0]
        await asyncio.wait([talking], timeout=1)
        if said[0] == before:
            talking.cancel()
            await asyncio.wait([talking])
            return True
    return isinstance(talking.exception(), ConnectionError)


# -- 10


async def test_10_top_of_a_body_line_longer_than_a_block(house: House) -> None:
    message = HEADER + b"x" * 40_000 + b"\r\nsecond\r\nthird\r\n"
    if isinstance(house.house, StockHouse):
        message = message.replace(b"\r\n", b"\n")
    name = await house.printer(message)
    async with house.client(name) as client:
        await client.say("TOP 1 2")
        await client.line()
        assert (await client.lines())[-2:] == [b"x" * 40_000 + b"\r\n", b"second\r\n"]


@pytest.mark.parametrize("border", [16384, 65536])
async def test_10_top_0_where_a_block_ends_in_the_header_end(house: House, border: int) -> None:
    """Every place of the border inside the four octets."""
    sent = []
    for cut in (1, 2, 3):
        header = b"X: ".ljust(border - cut, b"x") + b"\r\n\r\n"
        if isinstance(house.house, StockHouse):
            header = b"X: ".ljust(border - 1, b"x") + b"\n\n"
        name = await house.printer(header + b"body\r\n" * 3)
        async with house.client(name) as client:
            await client.say("TOP 1 0")
            await client.line()
            sent.append(b"".join(await client.lines()).rstrip(b"\r\n").endswith(b"body"))
    assert not any(sent)


# -- 11


async def test_11_an_empty_maildrop_is_one(house: House) -> None:
    name = await house.printer()
    async with house.client(name) as client:
        assert (await client.ask("STAT")).startswith("+OK 0 0")


# -- 12


async def test_12_stls_is_refused_where_there_is_none(ours: Pop3House) -> None:
    """And where there is some it cannot be injected into: see `test_pop3_tls`."""
    without = Pop3House(ours.store, ours.directory)
    async with without.serving() as service:
        without.host, without.port = service.address
        async with House(without, 0).client() as client:
            assert (await client.ask("STLS")) == "-ERR STLS is not offered"
            assert "STLS" not in await client.capabilities()


# -- the base class


async def test_names_of_the_base_that_ours_relies_on() -> None:
    """What is replaced must still be what Twisted calls, and none of our own names may be one of Twisted's."""
    from twisted.mail.pop3 import POP3

    replaced = {"connectionMade", "dataReceived", "connectionLost", "timeoutConnection"}
    replaced |= {"stopProducing"}  # of the interface that both keep
    called = {"setTimeout", "resetTimeout", "transport"}
    base = {name for kind in POP3.__mro__ for name in vars(kind)}
    assert replaced | called <= base
    instance = Session.__new__(Session)
    Connection.__init__(instance, Limits())
    own = vars(instance).keys() | (vars(Session).keys() | vars(Connection).keys())
    shared = {name for name in own & base if not name.startswith(("__", "do_"))}
    assert shared <= replaced | {"_implements", "_abc_impl"}, shared - replaced
