"""Balancers in front of the doors for mail: who is the client then, and who is not believed."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import struct
from collections.abc import AsyncIterator
from ipaddress import ip_network
from pathlib import Path

import pytest
import pytest_asyncio
from prometheus_client.registry import REGISTRY
from structlog.testing import capture_logs

from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from tests.balancing import LOCAL, proxied
from tests.smtp_client import DEADLINE, LETTER, Site, Wire, plain, site, until

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

BALANCER = "127.0.0.1"
STRANGER = "127.0.0.2"
CLIENT = "192.0.2.7"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("smtp")) as running:
        yield running


@contextlib.asynccontextmanager
async def balanced(house: Site, limits: Limits | None = None, proxies: str = BALANCER) -> AsyncIterator[Receiver]:
    """Doors that all know the balancer."""
    settings = house.settings(networks=("127.0.0.0/8", "198.51.100.0/24"))
    doors = ("smtp", "submission", "submissions")
    named = {"proxies": (ip_network(proxies),)}
    made = settings.model_copy(update={door: getattr(settings, door).model_copy(update=named) for door in doors})
    receiver = await start_smtp(
        made, house.store, house.directory, people=house.people, certificate=house.certificate, limits=limits
    )
    try:
        yield receiver
    finally:
        await receiver.close(1.0)


@contextlib.asynccontextmanager
async def connected(receiver: Receiver, *, door: str = "smtp", by: str = BALANCER) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(*receiver.addresses[door], local_addr=(by, 0))
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("printpost_smtp_connections_refused_total", {"reason": reason}) or 0.0


async def last_letter(house: Site, answer: str) -> tuple[str, str]:
    """The trust of the job that was made, and its trace field."""
    number = int(answer.rpartition(" ")[2])
    job = await house.store.job(number)
    assert job is not None
    octets = b"".join([block async for block in house.store.read(number)])
    return job.trust, octets.partition(b"\r\n\tby")[0].decode()


async def test_a_client_is_whom_the_balancer_brings(house: Site) -> None:
    """Not the balancer, whose address is the site's own: not for the rules, and not in the trace field."""
    async with balanced(house) as receiver:
        async with connected(receiver) as client:
            await client.send(proxied(CLIENT))
            assert (await client.reply()).startswith("220 ")
            assert f"SIZE {50 << 20}" in await client.ask("EHLO client.example.com")
            await client.ask("MAIL FROM:<ada@example.com>")
            assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("550 5.7.1")
        async with connected(receiver) as client:
            await client.send(proxied("198.51.100.9"))
            await client.reply()
            trust, trace = await last_letter(house, await client.mail(LETTER))
    assert trust == "insider"
    assert "198.51.100.9" in trace
    assert BALANCER not in trace


async def test_the_balancer_itself_keeps_its_address(house: Site) -> None:
    async with balanced(house) as receiver, connected(receiver) as client:
        await client.send(LOCAL)
        await client.reply()
        trust, trace = await last_letter(house, await client.mail(LETTER))
    assert trust == "insider"
    assert BALANCER in trace


async def test_a_header_octet_by_octet(house: Site) -> None:
    async with balanced(house) as receiver, connected(receiver) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in proxied(CLIENT):
            await client.send(bytes((octet,)))
        assert (await client.reply()).startswith("220 ")
        assert (await client.ask("NOOP")) == "250 2.0.0 ok"


async def test_who_talks_behind_the_header_before_the_greeting_is_cut(house: Site) -> None:
    async with balanced(house) as receiver, connected(receiver) as client:
        await client.send(proxied(CLIENT) + b"EHLO client.example.com\r\n")
        assert (await client.closed()).startswith(b"554 5.5.0 you spoke before it was your turn")


@pytest.mark.parametrize("words", [b"EHLO client.example.com\r\n", b"PROXY TCP4 192.0.2.7 192.0.2.25 40000 25\r\n"])
async def test_a_balancer_without_a_header_is_closed(house: Site, words: bytes) -> None:
    before = refused("balancer")
    async with balanced(house) as receiver, connected(receiver) as client:
        with capture_logs() as logs:
            await client.send(words)
            assert await client.closed() == b""
    assert [line["balancer"] for line in logs if line["log_level"] == "warning"] == [BALANCER]
    assert refused("balancer") == before + 1


async def test_a_balancer_that_says_nothing_is_closed(house: Site) -> None:
    async with balanced(house, Limits(proxy_seconds=0.05)) as receiver, connected(receiver) as client:
        assert await client.closed() == b""
        assert receiver.gate.total == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_a_balancer_may_look_whether_somebody_listens(house: Site, reset: bool) -> None:
    """Every other second: nothing that the log, or an alert, should be full of."""
    before = refused("balancer")
    async with balanced(house) as receiver:
        with capture_logs() as logs:
            async with connected(receiver) as client:
                await until(lambda: receiver.handshakes == 1)
                if reset:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await until(lambda: receiver.handshakes == 0)
    assert logs == []
    assert refused("balancer") == before


async def test_a_header_from_anybody_else_is_a_senseless_line(house: Site) -> None:
    async with balanced(house) as receiver, connected(receiver, by=STRANGER) as client:
        assert (await client.reply()).startswith("220 ")
        await client.send(proxied(CLIENT) + b"\r\n")
        answers = [await client.reply() for _ in range(5)]
        assert all(answer.startswith("500 ") for answer in answers), answers
        trust, trace = await last_letter(house, await client.mail(LETTER))
    assert trust == "insider"
    assert STRANGER in trace


async def test_a_door_without_balancers_believes_nobody(house: Site) -> None:
    async with house.receiver() as receiver, connected(receiver) as client:
        await client.reply()
        await client.send(proxied(CLIENT))
        assert (await client.reply()).startswith("500 ")


async def test_clients_are_counted_and_not_the_balancer(house: Site) -> None:
    async with (
        balanced(house, Limits(connections_per_address=1)) as receiver,
        connected(receiver) as first,
        connected(receiver) as second,
        connected(receiver) as third,
    ):
        for client, ip in ((first, CLIENT), (second, CLIENT), (third, "192.0.2.8")):
            await client.send(proxied(ip))
        assert (await first.reply()).startswith("220 ")
        assert (await second.closed()).startswith(b"421 4.7.0 too many connections from your address")
        assert (await third.reply()).startswith("220 ")


async def test_balancers_that_say_nothing_do_not_gather(house: Site) -> None:
    async with (
        balanced(house, Limits(connections=2)) as receiver,
        connected(receiver) as first,
        connected(receiver),
        connected(receiver) as third,
    ):
        assert await third.closed() == b""
        assert receiver.handshakes == 2
        await first.send(proxied(CLIENT))
        assert (await first.reply()).startswith("220 ")


async def test_a_login_by_way_of_a_balancer(house: Site) -> None:
    """By STARTTLS, and under TLS from the first octet behind the header."""
    async with balanced(house) as receiver:
        async with connected(receiver, door="submission") as client:
            await client.send(proxied(CLIENT))
            await client.reply()
            await client.ask("EHLO client.example.com")
            await client.start_tls(house.trusting)
            assert await client.log_in() == "235 2.7.0 welcome"
        async with connected(receiver, door="submissions") as client:
            await client.send(proxied(CLIENT))
            await asyncio.wait_for(client.writer.start_tls(house.trusting, server_hostname="localhost"), DEADLINE)
            assert (await client.reply()).startswith("220 ")
            with capture_logs() as logs:
                await client.ask("EHLO client.example.com")
                assert (await client.ask(f"AUTH PLAIN {plain('ada', 'wrong')}")).startswith("535 ")
        await until(lambda: receiver.gate.total == 0)
    assert [line["client"] for line in logs if line["event"] == "login denied"] == [CLIENT]


async def test_going_down_waits_for_no_header(house: Site) -> None:
    async with balanced(house) as receiver, connected(receiver) as client:
        await until(lambda: receiver.handshakes == 1)
        async with asyncio.timeout(DEADLINE):
            await receiver.close(0)
        assert await client.closed() == b""


HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 10s
  timeout server 10s
listen mail
  bind 127.0.0.1:{port}
  server printpost 127.0.0.1:{to} source 127.0.0.1 {check} send-proxy-v2
"""


async def test_haproxy_brings_clients(house: Site, tmp_path: Path) -> None:
    """The one who invented the protocol; its check of our health is no client."""
    haproxy = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert haproxy, "apt-get install haproxy"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with balanced(house) as receiver:
        file = tmp_path / "haproxy.cfg"
        file.write_text(HAPROXY.format(port=port, to=receiver.address[1], check="check inter 50ms"))
        process = await asyncio.create_subprocess_exec(haproxy, "-db", "-q", "-f", str(file))
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    with contextlib.suppress(ConnectionError):
                        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.3", 0))
                        client = Wire(reader, writer)
                        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
                            assert (await client.reply()).startswith("220 ")
                            break
                        writer.close()
                    await asyncio.sleep(0.01)  # nothing tells when it listens, and knows us to be well
            trust, trace = await last_letter(house, await client.mail(LETTER))
            writer.close()
        finally:
            process.terminate()
            await process.wait()
    assert trust == "insider"
    assert "127.0.0.3" in trace
