"""BDAT over the wire, on a real store and a real directory; the dialogues `chunks*` and `binary` say the rest."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from tests.smtp_client import LETTER, Site, Wire, site, submission, until, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

BINARY = b"Content-Type: application/postscript\r\nContent-Transfer-Encoding: binary\r\n\r\n%!PS\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("chunks")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver() as made:
        yield made


async def begin(client: Wire, body: str = "8BITMIME", recipient: str = "phaser360@example.com") -> None:
    """From EHLO to where chunks may come."""
    await client.ask("EHLO client.example.com")
    assert await client.ask(f"MAIL FROM:<ada@example.com> BODY={body}") == "250 2.1.0 sender ok"
    assert await client.ask(f"RCPT TO:<{recipient}>") == "250 2.1.5 recipient ok"


async def chunk(client: Wire, octets: bytes, *, last: bool = False) -> str:
    await client.send(b"BDAT %d%b\r\n" % (len(octets), b" LAST" if last else b"") + octets)
    return await client.reply()


def number(reply: str) -> int:
    found = re.fullmatch(r"250 2\.0\.0 accepted as job (\d+)", reply)
    assert found, reply
    return int(found[1])


async def stored(house: Site, job: int) -> bytes:
    """Without our trace field."""
    octets = b"".join([block async for block in house.store.read(job)])
    assert b" with ESMTP" in octets
    return re.sub(rb"\AReceived: .*(\r\n\t.*)*\r\n", b"", octets)


def disconnected() -> float:
    return REGISTRY.get_sample_value("printpost_smtp_messages_rejected_total", {"reason": "disconnected"}) or 0.0


async def test_a_message_in_one_chunk_and_in_many(house: Site, receiver: Receiver) -> None:
    message = LETTER + b".\r\n..\r\nQUIT\r\n"
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        first = number(await chunk(client, message, last=True))
        await begin(client)
        for octet in message:
            assert await chunk(client, bytes([octet])) == "250 2.0.0 1 octets taken"
        second = number(await chunk(client, b"", last=True))
    assert await stored(house, first) == message == await stored(house, second)


async def test_text_whose_last_line_is_open_is_ended(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        job = number(await chunk(client, LETTER + b"the end", last=True))
    assert await stored(house, job) == LETTER + b"the end\r\n"


@pytest.mark.parametrize("tail", [b"", b"\r", b"\n", b"\r\n", b"\n\r\0"])
async def test_binary_is_kept_bit_by_bit_and_measured_as_pop3_sends_it(
    house: Site, receiver: Receiver, tail: bytes
) -> None:
    message = BINARY + random.Random(3030).randbytes(20_000) + tail
    async with wire(receiver) as client:
        await client.reply()
        await begin(client, "BINARYMIME", "colour@example.com")
        assert await chunk(client, message[:777]) == "250 2.0.0 777 octets taken"
        job = number(await chunk(client, message[777:], last=True))
    assert await stored(house, job) == message
    maildrop = await house.store.open_maildrop("colour", "test", 60)
    assert maildrop is not None
    entry = maildrop.entries[-1]
    fetched = b"".join([block async for block in maildrop.read(entry)])
    await maildrop.close()
    assert entry.size == len(fetched)
    assert b"Content-Transfer-Encoding: base64" in fetched


async def test_what_is_too_large_is_refused_at_its_chunk_and_swallowed(house: Site) -> None:
    async with house.receiver(max_size=1000) as receiver, wire(receiver) as client:
        await client.reply()
        await begin(client)
        assert (await chunk(client, b"x" * 900)).startswith("250 ")
        await client.send(b"BDAT 200\r\n" + b"QUIT\r\n" * 33 + b"\r\n" + b"BDAT 6 LAST\r\nQUIT\r\nNOOP\r\n")
        assert await client.reply() == "552 5.3.4 a message may have 1000 octets at most"
        assert (await client.reply()).startswith("503 5.5.1 a chunk of this mail was refused")
        assert await client.reply() == "250 2.0.0 ok"
        await begin(client)
        number(await chunk(client, LETTER, last=True))


@pytest.mark.parametrize("wanted", [True, False])
async def test_far_past_the_limit_the_connection_ends(house: Site, wanted: bool) -> None:
    limits = Limits(excess=5000)
    async with house.receiver(max_size=1000, limits=limits) as receiver, wire(receiver) as client:
        await client.reply()
        if wanted:
            await begin(client)
        await client.send(b"BDAT 99999999999999999999 LAST\r\n" + b"x" * 7000)
        assert await client.closed() == b"552 5.3.4 a message may have 1000 octets at most\r\n" or not wanted


async def test_chunks_that_were_sent_before_the_client_knew_are_no_errors(house: Site) -> None:
    async with house.receiver(limits=Limits(errors=3, idle_commands=20)) as receiver, wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"BDAT 3\r\n\n\n\n" + b"BDAT 6\r\nQUIT\r\n" * 9 + b"BDAT 1 LAST\r\nx")
        assert (await client.reply()).startswith("550 5.6.0 ")
        for _ in range(10):
            assert (await client.reply()).startswith("503 ")
        await begin(client)
        assert (await chunk(client, LETTER)).startswith("250 ")
        assert (await client.ask("RSET")).startswith("250 ")
        await begin(client)
        await client.send(b"BDAT 3\r\n\n\n\n" + b"BDAT 0\r\n" * 20)
        assert (await client.closed()).endswith(b"\r\n421 4.7.0 too many commands without a mail\r\n")


async def test_no_draft_no_message(house: Site, receiver: Receiver) -> None:
    spool = house.store._spool
    kept, spool.reserve = spool.reserve, 1 << 60
    try:
        async with wire(receiver) as client:
            await client.reply()
            await begin(client)
            assert (await chunk(client, b"QUIT\r\n")).startswith("452 4.3.1 ")
            assert (await chunk(client, b"QUIT\r\n", last=True)).startswith("503 5.5.1 ")
            assert await client.ask("NOOP") == "250 2.0.0 ok"
    finally:
        spool.reserve = kept


@pytest.mark.parametrize(
    "line", [b"BDAT 6\n", b"BDAT6\r\n", b"BDAT\t6\r\n", b"bdat\r\n", b"BDAT 6" + b" " * 3000 + b"\r\n"]
)
async def test_where_nobody_can_tell_what_is_a_chunk_the_connection_ends(receiver: Receiver, line: bytes) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(line + b"NOOP\r\n")
        assert await client.closed() == b"501 5.5.4 write BDAT 1000, or BDAT 1000 LAST\r\n"


async def test_a_chunk_below_the_rate_and_a_pause_between_chunks(house: Site) -> None:
    gone = disconnected()
    async with house.receiver(limits=Limits(data_seconds=0.2, data_rate=100_000)) as receiver:
        async with wire(receiver) as client:
            await client.reply()
            await begin(client)
            await client.send(b"BDAT 1000\r\nx")
            assert await client.closed() == b"421 4.4.2 waited too long for you\r\n"
        async with wire(receiver) as client:
            await client.reply()
            await begin(client)
            assert (await chunk(client, LETTER)).startswith("250 ")
            assert await client.closed() == b"421 4.4.2 waited too long for you\r\n"
    assert disconnected() == gone + 2


async def test_a_large_chunk_waits_for_the_disk_and_comes_whole(house: Site, receiver: Receiver) -> None:
    message = LETTER + (b"x" * 70 + b"\r\n") * 300_000
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        assert await chunk(client, message[: 10 << 20]) == f"250 2.0.0 {10 << 20} octets taken"
        job = number(await chunk(client, message[10 << 20 :], last=True))
    assert await stored(house, job) == message


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("chunked", [False, True])
async def test_much_comes_whole_and_the_connection_goes_on_behind_it(
    house: Site, receiver: Receiver, tls: bool, chunked: bool
) -> None:
    lines = random.Random(5321).choices([b".\r\n", b"..a\r\n", b"\r\n", b"x" * 998 + b"\r\n"], k=20_000)
    message = LETTER + b"".join(lines)
    stuffed = LETTER + b"".join(b"." + line if line.startswith(b".") else line for line in lines) + b".\r\n"
    door, context = ("submissions", house.trusting) if tls else ("smtp", None)
    async with wire(receiver, door, context) as client, wire(receiver) as other:
        await client.reply()
        assert not tls or await client.log_in() == "235 2.7.0 welcome"
        await begin(client)
        if chunked:
            octets = b"BDAT %d LAST\r\n" % len(message) + message
        else:
            assert (await client.ask("DATA")).startswith("354")
            octets = stuffed
        await client.send(octets[: len(octets) // 2])
        assert (await other.reply()).startswith("220 ")
        await client.send(octets[len(octets) // 2 :] + b"NOOP\r\n")
        job = number(await client.reply())
        assert await client.reply() == "250 2.0.0 ok"
        number(await client.mail(LETTER))
    assert await stored(house, job) == message


async def test_a_client_that_vanishes_in_a_large_message(house: Site, receiver: Receiver) -> None:
    before = await house.store.jobs(limit=10_000)
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(LETTER + (b"x" * 70 + b"\r\n") * 50_000)
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert await house.store.jobs(limit=10_000) == before


async def test_chunks_under_tls(house: Site, receiver: Receiver) -> None:
    async with submission(house, receiver) as client:
        await begin(client, recipient="members@example.com")
        await client.send(b"BDAT %d\r\n" % len(LETTER) + LETTER + b"BDAT 0 LAST\r\n")
        assert await client.reply() == f"250 2.0.0 {len(LETTER)} octets taken"
        job = number(await client.reply())
    assert await stored(house, job) == LETTER


async def test_a_client_that_half_closes_behind_its_last_chunk_is_answered(receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        await client.send(b"BDAT %d\r\n" % len(LETTER) + LETTER + b"BDAT 0 LAST\r\nQUIT\r\n")
        client.writer.write_eof()
        assert (await client.reply()).startswith("250 ")
        number(await client.reply())
        assert await client.closed() == b"221 2.0.0 goodbye\r\n"


@pytest.mark.parametrize("behind", [b"", b"BDAT 100\r\nx"])
async def test_a_client_that_vanishes_leaves_nothing(house: Site, receiver: Receiver, behind: bytes) -> None:
    before = await house.store.jobs(limit=10_000)
    async with wire(receiver) as client:
        await client.reply()
        await begin(client)
        assert (await chunk(client, LETTER)).startswith("250 ")
        await client.send(behind)
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert await house.store.jobs(limit=10_000) == before
    assert house.store._spool.promised == 0


async def test_shutting_down_lets_a_message_end_that_stands_between_two_chunks(house: Site) -> None:
    async with house.receiver() as receiver, wire(receiver) as client:
        await client.reply()
        await begin(client)
        assert (await chunk(client, LETTER)).startswith("250 ")
        closing = asyncio.create_task(receiver.close(5))
        await until(lambda: receiver.closing)
        number(await chunk(client, b"more\r\n", last=True))
        assert await client.closed() == b"421 4.3.2 the server is going down, try again soon\r\n"
        await closing
