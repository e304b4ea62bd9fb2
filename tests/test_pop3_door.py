"""Who is let to the POP3 port: balancers in front, guessers, and how many at once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, ip_network

import pytest
import pytest_asyncio

from appliance.guessing import DELAYED, LONGEST, Guesses
from appliance.pop3.connection import Limits
from appliance.pop3.server import Pop3Service
from appliance.proxy_protocol import SIGNATURE
from mailstore.config import LimitsSettings, Pop3, Pop3s
from tests.balancing import proxied
from tests.pop3_house import SECRET, Client, Pop3House, client, plain, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def behind(house: Pop3House) -> AsyncIterator[Pop3Service]:
    """A server behind a balancer on loopback, in plain and under TLS."""
    own = house.settings
    here = (ip_network("127.0.0.0/8"),)
    balanced = Pop3House(house.store, house.directory, house.people, house.certificate)
    balanced.settings = own.model_copy(
        update={
            "pop3": Pop3(listen="127.0.0.1:0", proxies=here),
            "pop3s": Pop3s(listen="127.0.0.1:0", proxies=here),
        }
    )
    async with balanced.serving(Limits(handshake=0.5, failure_delay=0.01, poll_share=0.0)) as service:
        yield service


def header(client_ip: str, command: int = 0x21) -> bytes:
    addresses = IPv4Address(client_ip).packed + IPv4Address("192.0.2.1").packed + b"\x80\x00\x00\x6e"
    return SIGNATURE + bytes((command, 0x11, 0, len(addresses))) + addresses


@contextlib.asynccontextmanager
async def connected(service: Pop3Service, first: bytes, way: str = "pop3") -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection(*service.addresses[way])
    writer.write(first)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_the_client_behind_a_balancer_is_the_one_it_names(house: Pop3House, behind: Pop3Service) -> None:
    old, new = await house.printer(plain_from=("192.0.2.9/32",)), await house.printer()
    async with connected(behind, header("192.0.2.9") + f"USER {old}\r\nPASS {SECRET}\r\n".encode()) as printer:
        assert [(await printer.line())[:3] for _ in range(3)] == ["+OK"] * 3
        async with connected(behind, header("192.0.2.10") + b"CAPA\r\n") as stranger:
            assert (await stranger.line()).startswith("+OK")
            assert (await stranger.line()).startswith("+OK")
            assert not [line for line in await stranger.lines() if line.startswith(b"SASL")]
            assert (await stranger.ask(f"USER {new}")).startswith("-ERR [AUTH]")
            await house.store.committer.settled()
            assert (await house.store.printer_state(old)).poll_clear


async def test_a_header_may_come_octet_by_octet_and_before_tls(house: Pop3House, behind: Pop3Service) -> None:
    name = await house.printer()
    async with connected(behind, b"", "pop3s") as printer:
        for octet in header("192.0.2.9"):
            printer.writer.write(bytes((octet,)))
            await printer.writer.drain()
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            await printer.writer.start_tls(house.trust, server_hostname="print.example.com")
        assert (await printer.line()).startswith("+OK")
        assert (await printer.ask(f"AUTH PLAIN {plain(name)}")).startswith("+OK 0 messages")


async def test_the_hello_may_stand_in_the_packet_of_the_header(house: Pop3House, behind: Pop3Service) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = house.trust.wrap_bio(incoming, outgoing, server_hostname="print.example.com")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    async with connected(behind, header("192.0.2.9") + outgoing.read(), "pop3s") as printer:
        async with asyncio.timeout(10):
            while True:
                incoming.write(await printer.reader.read(65536))
                try:
                    tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    pass
            printer.writer.write(outgoing.read())
            greeting = b""
            while not greeting:
                try:
                    greeting = tls.read()
                except ssl.SSLWantReadError:
                    incoming.write(await printer.reader.read(65536))
        assert greeting.startswith(b"+OK ")


async def test_a_balancers_own_connection_is_its_own(behind: Pop3Service) -> None:
    async with connected(behind, header("192.0.2.9", command=0x20) + b"CAPA\r\nQUIT\r\n") as probe:
        assert b"\r\nSASL PLAIN\r\n" in await probe.closed()  # loopback's


@pytest.mark.parametrize(
    "first", [b"CAPA\r\n", b"PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\n", header("192.0.2.9", command=0x22), SIGNATURE[:5]]
)
async def test_what_is_no_header_ends_the_connection(behind: Pop3Service, first: bytes) -> None:
    async with connected(behind, first) as lost:
        assert await lost.closed() == b""
        assert not behind._announcing


async def test_those_that_say_nothing_are_bounded(house: Pop3House) -> None:
    balanced = Pop3House(house.store, house.directory)
    balanced.settings = house.settings.model_copy(
        update={"pop3": Pop3(listen="127.0.0.1:0", proxies=(ip_network("127.0.0.1/32"),))}
    )
    async with contextlib.AsyncExitStack() as clients:
        async with balanced.serving(Limits(connections=2)) as service:
            silent = [await clients.enter_async_context(connected(service, b"")) for _ in range(3)]
            assert await silent[2].closed() == b""
        for one in silent:  # and they do not hold up the end
            assert await one.closed() == b""


async def test_an_ipv6_48_has_half_of_all(house: Pop3House) -> None:
    balanced = Pop3House(house.store, house.directory)
    balanced.settings = house.settings.model_copy(
        update={"pop3": Pop3(listen="127.0.0.1:0", proxies=(ip_network("127.0.0.1/32"),))}
    )
    async with (
        balanced.serving(Limits(connections=3, connections_each=1)) as service,
        connected(service, proxied("2001:db8:1:1::1")) as first,
        connected(service, proxied("2001:db8:1:2::1")) as second,
        connected(service, proxied("2001:db8:1:3::1")) as third,
        connected(service, proxied("2001:db8:2::1")) as other,
    ):
        begun = [(await one.line())[:4] for one in (first, second, third, other)]
        assert begun == ["+OK ", "+OK ", "-ERR", "+OK "]
        for one in (first, second, other):
            await one.say("QUIT")
            await one.closed()
        assert not service._tally


async def test_nobody_else_is_believed_to_be_a_balancer(house: Pop3House) -> None:
    async with house.serving() as service, connected(service, header("192.0.2.9") + b"QUIT\r\n") as liar:
        answers = await liar.closed()
        assert answers.startswith(b"+OK ")
        assert b"-ERR" in answers


async def test_wrong_passwords_count_over_connections(house: Pop3House) -> None:
    name, other = await house.printer(), await house.printer()
    guesses = Guesses(4, first=0.001)
    async with house.serving(guesses=guesses) as service:
        async with client(service, other) as printer:  # whoever knew his password here goes on
            await printer.ask("QUIT")
        refused = ""
        for _ in range(20):
            async with client(service) as guesser:
                refused = await guesser.login(name, "wrong")
                if refused.startswith("-ERR [SYS/TEMP]"):
                    assert await guesser.closed() == b""
                    break
        assert refused == "-ERR [SYS/TEMP] too many wrong passwords; wait five minutes and try again"
        async with client(service) as guesser:
            assert (await guesser.ask(f"AUTH PLAIN {plain(name)}")).startswith("-ERR [SYS/TEMP]")
        async with client(service, other):
            pass


async def test_going_down_waits_for_no_guesser(house: Pop3House) -> None:
    name = await house.printer()
    async with contextlib.AsyncExitStack() as stack:
        service = await stack.enter_async_context(house.serving(guesses=Guesses(1, first=LONGEST)))
        assert (await (await stack.enter_async_context(client(service))).login(name, "wrong")).startswith("-ERR [AUTH]")
        before = DELAYED._value.get()
        waiting = [await stack.enter_async_context(client(service)) for _ in range(2)]
        for one in waiting:
            await one.ask(f"USER {name}")
            await one.say("PASS wrong")
        async with asyncio.timeout(10):
            while DELAYED._value.get() == before:  # noqa: ASYNC110 - nothing tells it
                await asyncio.sleep(0)
            await service.close(grace=5)


async def test_limits_are_the_configurations(house: Pop3House) -> None:
    own = Pop3House(house.store, house.directory)
    own.settings = house.settings.model_copy(update={"limits": LimitsSettings(pop3_connections_per_client=1)})
    async with own.serving(None) as service, client(service), connected(service, b"") as second:
        assert await second.closed() == b"-ERR [SYS/TEMP] too many connections, try again later\r\n"
