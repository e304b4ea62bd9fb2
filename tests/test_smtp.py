"""The receiver, on a real store and a real directory."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import aiosmtpd.smtp
import pytest
import pytest_asyncio
from prometheus_client import REGISTRY

from appliance.smtp.connection import Connection
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from appliance.smtp.verbs import VERBS
from mailstore.directory.ldap import embedded
from mailstore.directory.openldap import Identity
from mailstore.failure import PermanentFailure
from mailstore.store.contract import PrinterState
from tests.dialogue import play
from tests.smtp_client import LETTER, Site, site, until, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

DIALOGUES = Path(__file__).parent / "dialogues" / "smtp"
LOOP = b"Received: by b; now\r\n" * 51 + b"\r\nx\r\n"
NESTED = b"Content-Type: multipart/mixed; boundary=a\r\n"
OUTSIDE = ("192.0.2.0/24",)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("smtp")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver() as made:
        yield made


async def stored(house: Site, job: int) -> bytes:
    return b"".join([block async for block in house.store.read(job)])


def number(reply: str) -> int:
    found = re.fullmatch(r"250 2\.0\.0 accepted as job (\d+)", reply)
    assert found, reply
    return int(found[1])


def open_ones(receiver: Receiver) -> list[Connection]:
    protocols = [transport.get_protocol() for transport in receiver.connections]
    return [protocol for protocol in protocols if isinstance(protocol, Connection)]


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# -- dialogues


@pytest.mark.parametrize(
    "name", sorted(file.stem for file in DIALOGUES.glob("*.txt") if file.stem not in ("outsider", "starttls"))
)
async def test_dialogue(receiver: Receiver, name: str) -> None:
    await play(DIALOGUES / f"{name}.txt", *receiver.address)


async def test_outsider_is_told_why(house: Site) -> None:
    async with house.receiver(networks=OUTSIDE) as receiver:
        await play(DIALOGUES / "outsider.txt", *receiver.address)


# -- what is kept


async def test_the_message_is_kept_as_received_under_our_trace_field(house: Site, receiver: Receiver) -> None:
    message = (
        b"Authentication-Results: mail.example.com; spf=pass\r\n"
        b"Authentication-Results: other.example; spf=fail\r\n"
        b"Subject: =?utf-8?q?na=C3=AFve?=\r\nMessage-ID: <1@example.com>\r\n\r\n..one\r\n\xe9t\xe9\r\n"
    )
    async with wire(receiver) as client:
        await client.reply()
        job = number(await client.mail(message))
    octets = await stored(house, job)
    trace, _, rest = octets.partition(b"Authentication-Results: other")
    assert re.fullmatch(
        rb"Received: from client\.example\.com \(\[127\.0\.0\.1\]\)\r\n"
        rb"\tby mail\.example\.com with ESMTP id [0-9A-F]+\r\n"
        rb"\tfor <phaser360@example\.com>;\r\n\t[^\r\n]+\r\n",
        trace,
    )
    assert rest == b".example; spf=fail\r\n" + message.partition(b"spf=fail\r\n")[2].replace(b"..one", b".one")
    record = await house.store.job(job)
    assert record is not None
    assert (record.name, record.sender, record.trust, record.documents) == ("naïve", "ada@example.com", "insider", 1)
    assert record.octets == len(octets)


async def test_recipients_do_not_see_each_other(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        reply = await client.mail(LETTER, "phaser360+copies=2@example.com", "color@example.com")
    first, second = map(int, re.findall(r"\d+", reply.rpartition("jobs")[2]))
    assert b"for <" not in await stored(house, first)
    fields: dict[int, bytes] = {}
    for printer in ("phaser360", "colour"):
        maildrop = await house.store.open_maildrop(printer, "test", 60)
        assert maildrop is not None
        fields |= {entry.job_id: entry.fields for entry in maildrop.entries}
        await maildrop.close()
    results = (
        b"Authentication-Results: mail.example.com;\r\n\tnone (client 127.0.0.1 is in the networks of this site)\r\n"
    )
    begin = b"Return-Path: <ada@example.com>\r\nDelivered-To: "
    assert fields[first] == begin + b"phaser360+copies=2@example.com\r\n" + results
    assert fields[second] == begin + b"color@example.com\r\n" + results


async def test_what_a_client_calls_itself_makes_no_header_field(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO (comment)by")
        await client.ask("MAIL FROM:<ada@example.com>")
        await client.ask("RCPT TO:<phaser360@example.com>")
        await client.ask("DATA")
        job = number(await client.ask("\r\nno header\r\n."))
    assert (await stored(house, job)).startswith(b"Received: from [127.0.0.1] ([127.0.0.1])\r\n")


# -- bad input


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (LOOP, "554 5.4.6 the message has passed more than 50 servers: a mail loop"),
        (b"Subject: " + b"x" * 300_000 + b"\r\n\r\ntext\r\n", "552 5.3.4 the header is longer than 262144 octets"),
        ((NESTED + b"\r\n--a\r\n") * 40, "554 5.6.0"),
        (b"", "554 5.6.1"),
        (b"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\n", "554 5.6.1"),
    ],
)  # fmt: skip
async def test_messages_that_are_refused(receiver: Receiver, message: bytes, status: str) -> None:
    async with wire(receiver) as client:
        await client.reply()
        assert (await client.mail(message)).startswith(status)
        assert await client.ask("NOOP") == "250 2.0.0 ok"


async def test_a_message_that_grows_too_large_is_swallowed_to_its_end(house: Site) -> None:
    refused = metric("printpost_smtp_messages_rejected_total", reason="too-large")
    async with house.receiver(max_size=1000) as receiver, wire(receiver) as client:
        await client.reply()
        assert await client.mail(LETTER + b"x" * 5000 + b"\r\n") == "552 5.3.4 a message may have 1000 octets at most"
        assert await client.ask("NOOP") == "250 2.0.0 ok"
        assert (await client.ask("MAIL FROM:<a@example.com> SIZE=1001")).startswith("552 5.3.4 ")
    assert metric("printpost_smtp_messages_rejected_total", reason="too-large") == refused + 2


async def test_far_past_the_limit_the_connection_ends(house: Site) -> None:
    async with house.receiver(max_size=1000, limits=Limits(excess=5000)) as receiver, wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(b"x" * 7000)
        assert (await client.reply()).startswith("552 5.3.4 ")
        assert await client.closed() == b""


async def test_command_lines_are_limited_and_stay_so(receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        for _ in range(50):
            assert (await client.ask("EHLO client.example.com")).startswith("250-")
        assert await client.ask(f"MAIL FROM:<ada@example.com> SIZE={'9' * 2100}") == "500 5.5.2 the line is too long"
        await client.send(b"N" * 5000)
        await client.send(b"N" * 5000 + b"\r\nNOOP\r\n")
        assert await client.reply() == "500 5.5.2 the line is too long"
        assert await client.reply() == "250 2.0.0 ok"


async def test_many_errors_end_the_connection(house: Site) -> None:
    async with house.receiver(limits=Limits(errors=3)) as receiver, wire(receiver) as client:
        await client.reply()
        for _ in range(3):
            assert (await client.ask("NONSENSE")).startswith("500")
        assert await client.closed() == b"421 4.7.0 too many errors\r\n"


async def test_recipients_are_limited(house: Site) -> None:
    async with house.receiver(limits=Limits(recipients=2)) as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com>")
        for name in ("color", "colour"):
            assert (await client.ask(f"RCPT TO:<{name}@example.com>")).startswith("250")
        assert (
            await client.ask("RCPT TO:<phaser360@example.com>") == "452 4.5.3 too many recipients, send the rest again"
        )


async def test_mails_on_one_connection_are_limited(house: Site) -> None:
    async with house.receiver(limits=Limits(messages=2)) as receiver, wire(receiver) as client:
        await client.reply()
        assert "250-LIMITS RCPTMAX=100 MAILMAX=2" in await client.ask("EHLO client.example.com")
        for _ in range(2):
            number(await client.mail(LETTER))
        await client.send(b"MAIL FROM:<ada@example.com>\r\nRCPT TO:<phaser360@example.com>\r\n")
        assert await client.closed() == b"421 4.7.0 too many mails on one connection, send the rest on another\r\n"


async def test_mails_in_a_minute_are_limited_for_strangers(house: Site) -> None:
    async with house.receiver(limits=Limits(messages_per_minute=2), networks=OUTSIDE) as receiver:
        for expected in ("250 2.1.0 ", "250 2.1.0 ", "450 4.7.1 too many mails in a minute, send the rest later"):
            async with wire(receiver) as client:
                await client.reply()
                await client.ask("EHLO client.example.com")
                assert (await client.ask("MAIL FROM:<eve@example.org>")).startswith(expected)
    async with house.receiver(limits=Limits(messages_per_minute=1)) as receiver, wire(receiver) as client:
        await client.reply()
        for _ in range(3):
            number(await client.mail(LETTER))


# -- the printer cannot take it


async def test_quota(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com> SIZE=3000")
        assert await client.ask("RCPT TO:<small@example.com>") == "552 5.2.3 larger than this printer's mailbox"
        await client.ask("RSET")
        number(await client.mail(LETTER + b"x" * 1000 + b"\r\n", "small@example.com"))
        await client.ask("MAIL FROM:<ada@example.com> SIZE=1000")
        assert await client.ask("RCPT TO:<small@example.com>") == "452 4.2.2 the printer's mailbox is full"
        await client.ask("RSET")
        assert (await client.mail(LETTER + b"x" * 1000 + b"\r\n", "small@example.com")).startswith("452 4.2.2 ")


async def test_a_printer_that_takes_no_jobs(house: Site, receiver: Receiver) -> None:
    await house.store.set_printer_state(PrinterState(printer="colour", accepting=False))
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com>")
        assert await client.ask("RCPT TO:<colour@example.com>") == "450 4.2.1 the printer takes no jobs now"
        await house.store.set_printer_state(PrinterState(printer="colour", accepting=True))
        assert (await client.ask("RCPT TO:<colour@example.com>")).startswith("250 ")


async def test_the_reserve_of_disk(house: Site, receiver: Receiver) -> None:
    spool = house.store._spool
    kept, spool.reserve = spool.reserve, 1 << 60
    try:
        async with wire(receiver) as client:
            await client.reply()
            await client.ask("EHLO client.example.com")
            await client.ask("MAIL FROM:<ada@example.com>")
            await client.ask("RCPT TO:<phaser360@example.com>")
            assert (await client.ask("DATA")).startswith("452 4.3.1 ")
    finally:
        spool.reserve = kept


async def test_no_directory(house: Site, tmp_path: Path) -> None:
    nobody = embedded(house.folder.parent / "directory", tmp_path, Identity.APPLIANCE)
    try:
        async with house.receiver(directory=nobody) as receiver, wire(receiver) as client:
            await client.reply()
            await client.ask("EHLO client.example.com")
            await client.ask("MAIL FROM:<ada@example.com>")
            assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("451 4.4.3 ")
    finally:
        await nobody.close()


async def test_a_fault_of_ours_is_no_fault_of_the_sender(tmp_path: Path) -> None:
    async with site(tmp_path) as house, house.receiver() as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com>")
        await house.store.close()
        reply = await client.ask("RCPT TO:<phaser360@example.com>")
        assert reply == "451 4.3.0 something went wrong here, try again later"


# -- connections


async def test_connections_are_limited(house: Site) -> None:
    refused = metric("printpost_smtp_connections_refused_total", reason="address")
    async with house.receiver(limits=Limits(connections_per_address=1)) as receiver:
        async with wire(receiver) as first:
            await first.reply()
            async with wire(receiver) as second:
                assert (await second.closed()).startswith(b"421 4.7.0 too many connections from your address")
            assert await first.ask("NOOP") == "250 2.0.0 ok"
        await until(lambda: not receiver.connections)
        async with wire(receiver) as third:
            assert (await third.reply()).startswith("220 ")
    assert metric("printpost_smtp_connections_refused_total", reason="address") == refused + 1
    assert receiver.gate.total == 0


async def test_a_client_that_speaks_before_the_greeting(receiver: Receiver) -> None:
    early = socket.create_connection(receiver.address)  # the loop has not had its turn to accept it
    early.sendall(b"EHLO client.example.com\r\n")
    early.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=early)
    assert await reader.read() == b"554 5.5.0 you spoke before it was your turn\r\n"
    writer.close()


async def test_a_client_that_only_closed_its_side_is_greeted(receiver: Receiver) -> None:
    early = socket.create_connection(receiver.address)
    early.shutdown(socket.SHUT_WR)
    early.setblocking(False)
    reader, writer = await asyncio.open_connection(sock=early)
    assert await reader.read() == b"220 mail.example.com ESMTP Printpost\r\n"
    writer.close()


async def test_replies_to_pipelined_commands_go_out_together(receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.send(b"MAIL FROM:<ada@example.com>\r\nRCPT TO:<phaser360@example.com>\r\nDATA\r\n")
        replies = await asyncio.wait_for(client.reader.read(4096), 10)
        assert [line[:3] for line in replies.splitlines()] == [b"250", b"250", b"354"]


async def test_a_client_that_only_passes_the_time(house: Site) -> None:
    async with house.receiver(limits=Limits(idle_commands=3)) as receiver, wire(receiver) as client:
        await client.reply()
        await client.mail(LETTER)
        await client.ask("RSET")
        number(await client.mail(LETTER))  # which begins the count anew
        for command in ("NOOP", "rset", "EHLO again.example.com"):
            assert (await client.ask(command)).startswith("250")
        assert await client.ask("VRFY ada") == "421 4.7.0 too many commands without a mail"
        assert await client.closed() == b""


async def test_a_client_that_says_nothing(house: Site) -> None:
    async with house.receiver(limits=Limits(command_seconds=0.1)) as receiver, wire(receiver) as client:
        await client.reply()
        assert await client.closed() == b"421 4.4.2 waited too long for you\r\n"


async def test_a_sender_below_the_rate_is_cut(house: Site) -> None:
    limits = Limits(data_seconds=0.2, data_rate=100_000)
    gone = metric("printpost_smtp_messages_rejected_total", reason="disconnected")
    async with house.receiver(limits=limits) as receiver, wire(receiver) as client:
        await client.reply()
        await client.to_data()
        drip = asyncio.create_task(_drip(client.writer))
        assert await client.closed() == b"421 4.4.2 waited too long for you\r\n"
        drip.cancel()
    assert metric("printpost_smtp_messages_rejected_total", reason="disconnected") == gone + 1


async def _drip(writer: asyncio.StreamWriter) -> None:
    while not writer.is_closing():
        writer.write(b"x")
        await asyncio.sleep(0.01)


async def test_a_steady_sender_outlasts_any_single_deadline(house: Site) -> None:
    limits = Limits(data_seconds=0.1, data_rate=500)
    async with house.receiver(limits=limits) as receiver, wire(receiver) as client:
        await client.reply()
        await client.to_data()
        begun = asyncio.get_running_loop().time()
        await client.send(LETTER)
        while asyncio.get_running_loop().time() < begun + 0.3:
            await client.send(b"x" * 60 + b"\r\n")
            await asyncio.sleep(0.01)
        number(await client.ask("."))


async def test_a_client_that_does_not_read(house: Site) -> None:
    async with house.receiver(limits=Limits(reply_seconds=0.2, idle_commands=10_000_000)) as receiver:
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.setblocking(False)
            await asyncio.get_running_loop().sock_connect(deaf, receiver.address)
            greeting = await asyncio.get_running_loop().sock_recv(deaf, 4096)
            assert greeting.startswith(b"220 ")
            flood = asyncio.create_task(asyncio.get_running_loop().sock_sendall(deaf, b"HELP\r\n" * 2_000_000))
            await until(lambda: not receiver.connections)
            await asyncio.wait([flood])
            assert flood.exception() is not None


# -- instant 1


class WriteLock:
    """The store's write lock, held by somebody else: a commit has to wait."""

    def __init__(self, house: Site) -> None:
        self._file = os.open(house.folder / "write.lock", os.O_RDWR)

    def __enter__(self) -> None:
        fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._file)


async def test_a_client_that_vanishes_during_the_commit_loses_nothing(house: Site, receiver: Receiver) -> None:
    before = {job.id for job in await house.store.jobs()}
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        with WriteLock(house):
            await client.send(LETTER + b".\r\n")
            await until(lambda: any(connection._busy for connection in open_ones(receiver)))
            client.socket.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
            )  # a reset, not an end
            client.writer.transport.abort()
            await until(lambda: not receiver.connections)
            assert receiver._tasks
        await until(lambda: not receiver._tasks)
        assert len({job.id for job in await house.store.jobs()} - before) == 1


async def test_a_client_that_half_closes_during_the_commit_is_answered(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        with WriteLock(house):
            await client.send(LETTER + b".\r\nQUIT\r\n")
            client.writer.write_eof()
            connection = next(iter(open_ones(receiver)))
            await until(lambda: connection._half_closed)
        number(await client.reply())
        assert await client.closed() == b"221 2.0.0 goodbye\r\n"


async def test_a_client_that_vanishes_in_the_middle_leaves_nothing(house: Site, receiver: Receiver) -> None:
    before = await house.store.jobs(limit=10_000)
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(LETTER)
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert await house.store.jobs(limit=10_000) == before
    assert house.store._spool.promised == 0


# -- shutting down


async def test_shutting_down_lets_a_message_end(house: Site) -> None:
    async with house.receiver() as receiver, wire(receiver) as idle, wire(receiver) as busy:
        await idle.reply()
        await busy.reply()
        await busy.to_data()
        closing = asyncio.create_task(receiver.close(5))
        assert await idle.closed() == b"421 4.3.2 the server is going down, try again soon\r\n"
        await busy.send(LETTER + b".\r\n")
        number(await busy.reply())
        assert await busy.closed() == b"421 4.3.2 the server is going down, try again soon\r\n"
        await closing


async def test_shutting_down_does_not_wait_for_ever(house: Site) -> None:
    async with house.receiver() as receiver, wire(receiver) as slow:
        await slow.reply()
        await slow.to_data()
        await receiver.close(0.05)
        assert await slow.closed() == b""


async def test_a_port_that_is_taken(house: Site, receiver: Receiver) -> None:
    with pytest.raises(PermanentFailure, match=r"\[smtp\] listen"):
        await start_smtp(house.settings(listen=f"127.0.0.1:{receiver.address[1]}"), house.store, house.directory)


# -- the library under us


async def test_what_we_lean_on_in_aiosmtpd() -> None:
    """Fails when the library changes under us: read its new source before changing this."""
    assert aiosmtpd.smtp.__version__.startswith("1.4.")
    assert issubclass(Connection, aiosmtpd.smtp.SMTP)
    assert issubclass(aiosmtpd.smtp.SMTP, asyncio.StreamReaderProtocol)


async def test_no_inherited_part_of_the_protocol_is_left_to_run() -> None:
    """What the transport calls is ours: the base class' versions lean on a constructor that is not called."""
    called = {"connection_made", "connection_lost", "data_received", "eof_received", "pause_writing", "resume_writing"}
    assert called <= set(vars(Connection))
    assert not [
        name
        for name, member in vars(aiosmtpd.smtp.SMTP).items()
        if name in vars(Connection) and callable(member) and name not in called | {"__init__"}
    ]
    assert "BDAT" in VERBS
