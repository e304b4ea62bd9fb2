"""Clients that would rather break the receiver than send a mail, over the wire: floods, gaps, a disk that is behind."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from appliance.smtp.channel import TOGETHER
from appliance.smtp.connection import Connection
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from mailstore.failure import TransientFailure
from mailstore.store.drafts import SpooledDraft
from tests.smtp_client import LETTER, Site, Wire, site, until, wire
from tests.test_smtp_chunks import begin, number, stored

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

BROKEN = "451 4.3.0 something went wrong here, try again later"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("hostile")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver() as made:
        yield made


def the_connection(receiver: Receiver) -> Connection:
    """The only one there is."""
    (shut_down,) = receiver.connections.values()
    connection = getattr(shut_down, "__self__", None)
    assert isinstance(connection, Connection)
    return connection


def octets_received() -> float:
    return REGISTRY.get_sample_value("printpost_smtp_received_bytes_total") or 0.0


@contextlib.asynccontextmanager
async def flood(client: Wire, commands: bytes, *, reading: bool) -> AsyncIterator[None]:
    """Commands without end, at the speed the server takes them."""

    async def send() -> None:
        while True:
            client.writer.write(commands * 1000)
            await client.writer.drain()

    async def read() -> None:
        while reading and await client.reader.read(1 << 20):
            pass

    tasks = [asyncio.create_task(work()) for work in (send, read)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        client.writer.transport.abort()


async def test_replies_to_a_flood_are_not_gathered_and_recipients_have_an_end(receiver: Receiver) -> None:
    await until(lambda: not receiver.connections)
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        connection, most = the_connection(receiver), 0
        async with flood(client, b"RCPT TO:<phaser360@example.com>\r\n", reading=False):
            async with asyncio.timeout(20):
                while receiver.connections and not connection._closing:
                    most = max(most, len(connection.channel._out))
                    await asyncio.sleep(0)
        assert 0 < most <= TOGETHER + 512
        assert connection.dialogue.recipients < 1300


@pytest.mark.parametrize("chunk", [b"BDAT 1\r\nx", b"BDAT 1\r\n\r", b"BDAT 0\r\n"])
async def test_tiny_chunks_take_nobody_elses_time(receiver: Receiver, chunk: bytes) -> None:
    """Before, each of them copied all that waited behind it: others stood still for twenty seconds."""
    async with wire(receiver) as client, wire(receiver) as other:
        await client.reply()
        await other.reply()
        await begin(client)
        async with flood(client, chunk, reading=True):
            for _ in range(20):
                began = time.monotonic()
                assert await other.ask("NOOP") == "250 2.0.0 ok"
                assert time.monotonic() - began < 0.5


async def test_small_chunks_wait_for_the_disk(house: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A chunk that came whole is answered when memory has room for the next, sooner only while there is."""
    go, first = asyncio.Event(), asyncio.get_running_loop()
    write = SpooledDraft._write

    def slow(draft: SpooledDraft, view: memoryview) -> None:
        asyncio.run_coroutine_threadsafe(go.wait(), first).result(10)
        write(draft, view)

    monkeypatch.setattr(SpooledDraft, "_write", slow)
    lines = (b"x" * 1022 + b"\r\n") * 60
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        message = LETTER
        await client.send(b"BDAT %d\r\n" % len(message) + message)
        assert (await client.reply()).startswith("250 ")
        answered = 0
        with contextlib.suppress(TimeoutError):
            while answered < 200:
                await client.send(b"BDAT %d\r\n" % len(lines) + lines)
                message += lines
                async with asyncio.timeout(0.3):
                    await client.reader.readuntil(b"\r\n")
                answered += 1
        assert 10 < answered < 60
        go.set()
        assert (await client.reply()).endswith("octets taken")
        await client.send(b"BDAT 0 LAST\r\n")
        job = number(await client.reply())
    assert await stored(house, job) == message


async def test_a_disk_that_fails_in_a_chunk(house: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await house.store.jobs(limit=10_000)

    def fail(_: SpooledDraft, __: memoryview) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpooledDraft, "_write", fail)
    chunk = b"BDAT 65536\r\n" + (b"x" * 1022 + b"\r\n") * 64
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"BDAT %d\r\n" % len(LETTER) + LETTER)
        assert (await client.reply()).startswith("250 ")
        async with asyncio.timeout(10):
            while (answer := await client.ask(chunk[:-2].decode())).startswith("250 "):
                pass
        assert answer.startswith("452 4.3.1 ")
        assert (await client.ask("BDAT 0 LAST")).startswith("503 5.5.1 a chunk of this mail was refused")
        assert (await client.ask("NOOP")) == "250 2.0.0 ok"
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert await house.store.jobs(limit=10_000) == before
    assert house.store._spool.promised == 0


async def test_a_fault_of_ours_in_a_message_lets_no_gap_through(
    house: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await house.store.jobs(limit=10_000)
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(LETTER + b"more\r\n")
        with monkeypatch.context() as patched:
            patched.setattr(SpooledDraft, "write", None)
            await client.send(b"\r\n.\r\n")
            assert await client.closed() == f"{BROKEN}\r\n".encode()
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert await house.store.jobs(limit=10_000) == before


async def test_a_fault_of_ours_makes_no_commands_of_a_chunk(
    house: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(house.store._spool, "draft", None)
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"BDAT 6\r\nQUIT\r\nNOOP\r\n")
        assert await client.reply() == BROKEN
        assert await client.reply() == "250 2.0.0 ok"
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"DATA\r\nNOOP\r\n")
        assert await client.closed() == f"{BROKEN}\r\n".encode()


async def test_shutting_down_waits_for_no_message_that_is_refused(house: Site) -> None:
    async with house.receiver() as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.send(b"BDAT 10\r\nxxxxx")
        await until(lambda: the_connection(receiver)._reception.wants_octets)
        async with asyncio.timeout(4):
            closing = asyncio.create_task(receiver.close(60))
            await until(lambda: receiver.closing)
            await client.send(b"xxxxx")
            said = b"503 5.5.1 send MAIL first\r\n421 4.3.2 the server is going down, try again soon\r\n"
            assert await client.closed() == said
            await closing


async def test_a_sender_who_was_slow_to_read_has_the_time_of_data(house: Site) -> None:
    """Its replies were full for a while; a command's time does not hold for the chunk that is coming."""
    limits = Limits(command_seconds=0.4, reply_seconds=5, data_seconds=0.4, data_rate=1000)
    async with house.receiver(limits=limits) as receiver, wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"BDAT 100000\r\n" + LETTER)
        connection = the_connection(receiver)
        await until(lambda: connection._reception.wants_octets)
        connection.pause_writing()
        connection.resume_writing()
        for _ in range(12):
            await asyncio.sleep(0.1)
            await client.send(b"x" * 998 + b"\r\n")
        await client.send(b"\r\n" * ((100_000 - len(LETTER) - 12_000) // 2) + b"x" * (len(LETTER) % 2))
        assert await client.reply() == "250 2.0.0 100000 octets taken"


STEPS = (
    b"EHLO client.example.com\r\n",
    b"MAIL FROM:<ada@example.com>\r\n",
    b"RCPT TO:<phaser360@example.com>\r\n",
    b"BDAT 20\r\nSubj",
    b"ect: half\r\n\r\nx\r\n",
    b"BDAT 2000000\r\n",
    b"x" * 998 + b"\r\n",
    (b"x" * 998 + b"\r\n") * 1999,
    b"BDAT 5 LAST\r\n12",
    b"3\r",
)


@pytest.mark.parametrize("way", ["reset", "end", "close"])
async def test_whenever_a_client_goes_nothing_is_left(house: Site, way: str) -> None:
    """By a reset, by the end of what it sends, or because the server is going down."""
    before = await house.store.jobs(limit=10_000)
    for steps in range(len(STEPS) + 1):
        async with house.receiver(grace=0) as receiver, wire(receiver) as client:
            await client.reply()
            for step in STEPS[:steps]:
                await client.send(step)
            if steps:
                connection = the_connection(receiver)
                await until(lambda connection=connection: connection.dialogue.client.helo)
            if way == "reset":
                client.writer.transport.abort()
                await until(lambda receiver=receiver: not receiver.connections)
            elif way == "end":
                client.writer.write_eof()
                await client.closed()
            else:
                await receiver.close(0)
        assert not receiver._tasks
        assert receiver.gate.total == 0
    assert await house.store.jobs(limit=10_000) == before
    assert (house.store._spool.promised, house.store._spool.queued, house.store._spool.resting) == (0, 0, 0)


async def test_twenty_megabytes_of_one_line(receiver: Receiver) -> None:
    await until(lambda: not receiver.connections)
    counted = octets_received()
    async with wire(receiver) as client:
        await client.reply()
        connection = the_connection(receiver)
        for _ in range(20):
            await client.send(b"\0" * (1 << 20))
        assert len(connection._input) <= 1 << 19
        await client.send(b"\r\nNOOP\r\n")
        assert await client.reply() == "500 5.5.2 the line is too long"
        assert await client.reply() == "250 2.0.0 ok"
        assert octets_received() - counted >= 19 << 20
    await until(lambda: not receiver.connections)
    assert octets_received() - counted == (20 << 20) + len(b"\r\nNOOP\r\n")


@pytest.mark.parametrize("between", ["STARTTLS", "EHLO again.example.com", "RSET", "HELO again.example.com"])
async def test_what_gives_a_mail_up_between_two_chunks(house: Site, receiver: Receiver, between: str) -> None:
    before = await house.store.jobs(limit=10_000)
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"BDAT %d\r\n" % len(LETTER) + LETTER)
        assert (await client.reply()).startswith("250 ")
        if between == "STARTTLS":
            await client.start_tls(house.trusting)
            await client.ask("EHLO client.example.com")
        else:
            assert (await client.ask(between)).startswith("250")
        refused = "send EHLO first" if between.startswith("HELO") else "send MAIL first"
        assert await client.ask("BDAT 0 LAST") == f"503 5.5.1 {refused}"
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert await house.store.jobs(limit=10_000) == before


async def test_a_draft_that_nobody_can_drain_ends_the_message(
    house: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: SpooledDraft) -> None:
        raise TransientFailure("4.3.0", "the disk does not answer, try again later")

    monkeypatch.setattr(SpooledDraft, "congested", property(lambda _: True))
    monkeypatch.setattr(SpooledDraft, "drained", fail)
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(LETTER + b"more\r\n")
        await client.send(b".\r\n")
        assert await client.reply() == "451 4.3.0 the disk does not answer, try again later"
        assert await client.ask("NOOP") == "250 2.0.0 ok"
