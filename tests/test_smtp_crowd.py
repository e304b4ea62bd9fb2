"""Those who take their time and those who take all they can, beside somebody who just wants to print."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from tests.smtp_client import LETTER, Site, Wire, site, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

SLOW = 200
EACH = 50
"""What one address may have."""
AT_ONCE = 5.0
"""Seconds; whoever is starved here waits for ever, because nobody else ever ends by himself."""
ALL = 60.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("smtp")) as made:
        yield made


@contextlib.asynccontextmanager
async def connected(receiver: Receiver, by: str) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(*receiver.address, local_addr=(by, 0))
    try:
        yield Wire(reader, writer)
    finally:
        writer.transport.abort()


async def crowd(receiver: Receiver, stack: contextlib.AsyncExitStack) -> list[Wire]:
    """From as many addresses as it takes: one half stops in a command, the other in a message."""
    slow = []
    for number in range(SLOW):
        client = await stack.enter_async_context(connected(receiver, f"127.0.0.{2 + number // EACH}"))
        assert (await client.reply()).startswith("220 ")
        if number % 2:
            await client.to_data()
        slow.append(client)
    return slow


async def trickle(slow: list[Wire]) -> None:
    """One octet of each that is still there."""
    for client in slow:
        with contextlib.suppress(ConnectionError):
            await client.send(b"N")


async def prints(receiver: Receiver) -> None:
    """An ordinary sender, from the greeting to the end."""
    async with asyncio.timeout(AT_ONCE), wire(receiver) as client:
        assert (await client.reply()).startswith("220 ")
        assert (await client.mail(LETTER)).startswith("250 2.0.0 accepted as job ")
        assert (await client.ask("QUIT")).startswith("221 ")


MAIL = b"MAIL FROM:<ada@example.com>\r\nRCPT TO:<phaser360@example.com>\r\nBDAT %d LAST\r\n%s" % (len(LETTER), LETTER)


@contextlib.asynccontextmanager
async def bulk(receiver: Receiver) -> AsyncIterator[asyncio.Event]:
    """Somebody who sends mails without end and without waiting; yields what is set by each that is accepted."""
    accepted = asyncio.Event()

    async def send(client: Wire) -> None:
        while True:
            await client.send(MAIL * 20)

    async def listen(client: Wire) -> None:
        while True:
            answer = await client.reply()
            assert answer.startswith("250 "), answer
            if "accepted as job" in answer:
                accepted.set()

    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO bulk.example.com")
        tasks = [asyncio.create_task(work(client)) for work in (send, listen)]
        try:
            yield accepted
        finally:
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            client.writer.transport.abort()
    assert all(isinstance(end, asyncio.CancelledError) for end in ends), ends


async def test_nobody_waits_for_those_who_take_their_time(house: Site) -> None:
    """Nor for one who sends all he can; and an address has no more connections than it may."""
    limits = Limits(connections=SLOW + 3, connections_per_address=EACH, messages=10**9)
    async with (
        asyncio.timeout(ALL),
        house.receiver(limits=limits) as receiver,
        contextlib.AsyncExitStack() as stack,
        bulk(receiver) as accepted,
    ):
        slow = await crowd(receiver, stack)
        more = await stack.enter_async_context(connected(receiver, "127.0.0.2"))
        assert (await more.closed()).startswith(b"421 4.7.0 too many connections from your address")
        for _ in range(5):
            await trickle(slow)
            await prints(receiver)
            accepted.clear()
            await asyncio.wait_for(accepted.wait(), AT_ONCE)  # and he goes on, too
        assert receiver.gate.total >= SLOW + 1


async def test_those_who_take_their_time_are_cut(house: Site) -> None:
    """However often they send an octet: a command and a message have an end."""
    limits = Limits(command_seconds=1.5, data_seconds=1.5, data_rate=100_000)
    async with asyncio.timeout(ALL), house.receiver(limits=limits) as receiver, contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(connected(receiver, "127.0.0.2")) for _ in range(40)]
        for number, client in enumerate(slow):
            await client.reply()
            if number % 2:
                await client.to_data()
        ends = [asyncio.create_task(client.closed()) for client in slow]
        while not all(end.done() for end in ends):
            await trickle(slow)
            await prints(receiver)
        said = [await end for end in ends]
    assert {words[:9] for words in said} == {b"421 4.4.2"}
