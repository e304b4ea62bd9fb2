r"""What one server could take for the end of a message and another for text; what could get past TLS or a login.

Every false end stands before the commands of a second mail.  Whatever it is, and however the network cuts it, there is
one answer: the message is refused for its line ends, or it is one message with all of that in it.  The commands are
never read as commands.  Cuts at every place are `test_datasink`'s; POP3 under STLS is `test_pop3_tls`'s.
"""

from __future__ import annotations

import base64
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from mailstore.job import Job
from tests.smtp_client import LETTER, Site, Wire, plain, site, submission, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FIELDS = (
    rb"Return-Path: <[^\r\n]+>\r\nDelivered-To: phaser360@example\.com\r\n"
    rb"Authentication-Results: mail\.example\.com;\r\n\tnone \(client 127\.0\.0\.1 is in [a-z ]+\)\r\n"
)
BEGINNING = b"Subject: a\r\n\r\n%!PS\r\ntext"
SECOND = (
    b"MAIL FROM:<eve@example.com>\r\nRCPT TO:<phaser360@example.com>\r\nDATA\r\n"
    b"Subject: smuggled\r\n\r\nit was never sent\r\n"
)
BARE = (
    *(b"\n.\n", b"\r.\r", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n.\r", b"\r.\n", b"\n.\r"),
    *(b"\r\r\n.\r\r\n", b"\r\n.\r\r\n", b"\n\n.\r\n", b"\r\n\r.\r\n", b"\r\n\n.\r\n", b"\r\n.\n\r\n"),
    *(b"\n..\n", b"\n..\r\n", b"\r\n..\n", b"\n\r.\n\r", b"\x00\n.\r\n"),
)
CLEAN = (
    *(b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\x00.\x00", b"\r\n..\r\n", b"\r\n...\r\n", b"\r\n .\r\n", b"\r\n. \r\n"),
    *(b"\r\n\t.\r\n", b"\r\n.\t\r\n", b"\x0b.\x0b", b"\x0c.\x0c", b"\r\n.\x0c\r\n", b"\xc2\x85.\xc2\x85", b"\x85.\x85"),
    *(
        b"\xe2\x80\xa8.\xe2\x80\xa8",
        b"\r\n\xef\xbb\xbf.\r\n",
        b"\r\n\xef\xbc\x8e\r\n",
        b"\r\n\x1a\r\n",
        b"\r\n\x04\r\n",
    ),
    *(b"\r\n\xff.\r\n", b"\r\n.\x08\r\n", b"\r\n=2E\r\n", b"\r\n&#46;\r\n", b"\x1e.\x1e", b"\r\n.=\r\n"),
)
ENDS = [pytest.param(end, id=repr(end)[2:-1]) for end in (*BARE, *CLEAN)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("smuggling")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver(limits=Limits(denial_seconds=0.01)) as made:
        yield made


async def all_jobs(house: Site) -> list[Job]:
    return sorted(await house.store.jobs(limit=10_000), key=lambda job: job.id)


async def stored(house: Site, job: Job) -> bytes:
    """Without our trace field."""
    octets = b"".join([block async for block in house.store.read(job.id)])
    return re.sub(rb"\AReceived: [^\r]*\r\n(?:\t[^\r]*\r\n)*", b"", octets)


async def replies(client: Wire) -> list[str]:
    """All that is said to what was sent."""
    await client.send(b"VRFY end\r\n")
    said = []
    while not (reply := await client.reply()).startswith("252 "):
        said.append(reply)
    return said


async def in_pieces(client: Wire, octets: bytes) -> None:
    """Every octet in a segment, or a record, of its own."""
    for octet in octets:
        await client.send(bytes([octet]))


async def one_answer(house: Site, client: Wire, before: list[Job], message: bytes, end: bytes) -> None:
    """The message that was sent was refused for its line ends if `end` is one of `BARE`, else is kept as one."""
    said, after = await replies(client), await all_jobs(house)
    assert len(said) == 1, said
    if end in BARE:
        assert said[0].startswith("550 5.6.0 the message holds a "), said
        assert after == before
    else:
        assert said[0].startswith("250 2.0.0 accepted as job "), said
        (job,) = after[len(before) :]
        assert (job.sender, job.name) == ("ada@example.com", "a")
        assert await stored(house, job) == message


async def to_rcpt(client: Wire) -> None:
    await client.ask("EHLO client.example.com")
    await client.ask("MAIL FROM:<ada@example.com>")
    assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("250 ")


# -- DATA


@pytest.mark.parametrize("way", ["whole", "segments", "records"])
@pytest.mark.parametrize("end", ENDS)
async def test_no_false_end_ends_a_message(house: Site, receiver: Receiver, end: bytes, way: str) -> None:
    before = await all_jobs(house)
    message = BEGINNING + end + SECOND
    async with wire(receiver) as client:
        await client.reply()
        if way == "records":
            await client.ask("EHLO client.example.com")
            await client.start_tls(house.trusting)
        await client.to_data()
        if way == "whole":
            await client.send(message + b".\r\n")
        else:
            at = message.index(SECOND)
            await client.send(message[: at - len(end) - 1])
            await in_pieces(client, message[at - len(end) - 1 : at + 5])
            await client.send(message[at + 5 :])
            await in_pieces(client, b".\r\n")
        await one_answer(house, client, before, message.replace(b"\r\n.", b"\r\n"), end)


@pytest.mark.parametrize("end", ENDS)
async def test_nor_in_a_header_field(house: Site, receiver: Receiver, end: bytes) -> None:
    before = await all_jobs(house)
    message = b"Subject: a\r\nX-Field: value" + end + b" " + SECOND
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(message + b".\r\n")
        await one_answer(house, client, before, message.replace(b"\r\n.", b"\r\n"), end)


@pytest.mark.parametrize("first", [b".\n", b".\r", b".\r\r\n", b"\n.\r\n", b"\r.\r\n"])
async def test_nor_at_the_very_start(house: Site, receiver: Receiver, first: bytes) -> None:
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await in_pieces(client, first)
        await client.send(SECOND + b".\r\n")
        await one_answer(house, client, before, b"", BARE[0])


@pytest.mark.parametrize("first", [b"..\r\n", b". \r\n", b" .\r\n", b".a\r\n", b"..a.\r\n"])
async def test_a_dot_in_the_first_line_of_the_body(house: Site, receiver: Receiver, first: bytes) -> None:
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        await client.to_data()
        await client.send(b"Subject: a\r\n\r\n" + first + b"%!PS\r\n" + SECOND + b".\r\n")
        message = b"Subject: a\r\n\r\n" + first.removeprefix(b".") + b"%!PS\r\n" + SECOND
        await one_answer(house, client, before, message, CLEAN[0])


@pytest.mark.parametrize("way", ["segments", "records"])
async def test_the_true_end_in_any_number_of_pieces(house: Site, receiver: Receiver, way: str) -> None:
    """And what stands behind it is a command, once."""
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        if way == "records":
            await client.ask("EHLO client.example.com")
            await client.start_tls(house.trusting)
        await client.to_data()
        await in_pieces(client, b"Subject: a\r\n\r\ntext\r\n.\r\nMAIL FROM:<ada@example.com>\r\nNOOP\r\n")
        said = await replies(client)
    assert [reply[:3] for reply in said] == ["250", "250", "250"]
    assert len(await all_jobs(house)) == len(before) + 1


@pytest.mark.parametrize("parameters", ["", "BODY=7BIT", "BODY=8BITMIME", "SMTPUTF8", "BODY=8BITMIME SMTPUTF8 SIZE=9"])
@pytest.mark.parametrize("end", [b"\r\n.\n", b"\n.\r\n", b"\r\n\x00.\r\n", b"\r\n..\r\n"])
async def test_whatever_mail_says_of_the_body(house: Site, receiver: Receiver, end: bytes, parameters: str) -> None:
    before = await all_jobs(house)
    message = BEGINNING + b"\xe9" + end + SECOND
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        for command in (f"MAIL FROM:<ada@example.com> {parameters}", "RCPT TO:<phaser360@example.com>"):
            assert (await client.ask(command)).startswith("250 ")
        assert (await client.ask("DATA")).startswith("354 ")
        await client.send(message + b".\r\n")
        await one_answer(house, client, before, message.replace(b"\r\n.", b"\r\n"), end)


@pytest.mark.parametrize("command", [b"DATA\n", b"data\n", b"DATA \n", b"DATA\0\r\n", b"DATA\xff\r\n", b"DATA\r\r\n"])
async def test_a_data_that_is_none_is_followed_by_no_command(house: Site, receiver: Receiver, command: bytes) -> None:
    """Another server may have taken it for one, and what follows for a message."""
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        await to_rcpt(client)
        await client.send(command + b"RSET\r\n" + SECOND + b".\r\nNOOP\r\n")
        said = await client.closed()
    assert said.startswith(b"5")
    assert said.count(b"\r\n") == 1
    assert await all_jobs(house) == before


# -- BDAT


def chunks(message: bytes, size: int) -> bytes:
    """BDAT commands and chunks of at most `size`, pipelined."""
    cut = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"BDAT %d%s\r\n%s" % (len(c), b" LAST" if n == len(cut) - 1 else b"", c) for n, c in enumerate(cut))


ALL_ENDS = [*ENDS, pytest.param(b"\r\n.\r\n", id="the true one")]


@pytest.mark.parametrize("size", [7, 10_000])
@pytest.mark.parametrize("end", ALL_ENDS)
async def test_chunks_end_where_they_were_counted(house: Site, receiver: Receiver, end: bytes, size: int) -> None:
    before = await all_jobs(house)
    message = BEGINNING + end + SECOND
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.send(b"MAIL FROM:<ada@example.com>\r\nRCPT TO:<phaser360@example.com>\r\n" + chunks(message, size))
        said = (await replies(client))[2:]
    assert len(said) == -(-len(message) // size)
    assert not [reply for reply in said if not re.match(r"250 2\.0\.0 |550 5\.6\.0 |503 5\.5\.1 a chunk of ", reply)]
    new = (await all_jobs(house))[len(before) :]
    if end in BARE:
        assert new == []
        assert [reply for reply in said if reply.startswith("550 5.6.0 the message holds a ")]
    else:
        assert [(job.sender, await stored(house, job)) for job in new] == [("ada@example.com", message)]


@pytest.mark.parametrize("end", ALL_ENDS)
async def test_binary_is_octets(house: Site, receiver: Receiver, end: bytes) -> None:
    before = await all_jobs(house)
    binary = b"Content-Type: application/postscript\r\nContent-Transfer-Encoding: binary\r\n\r\n%!PS" + end + SECOND
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        begin = b"MAIL FROM:<ada@example.com> BODY=BINARYMIME\r\nRCPT TO:<phaser360@example.com>\r\n"
        await client.send(begin + chunks(binary, 10_000))
        said = await replies(client)
    assert len(said) == 3
    assert said[2].startswith("250 2.0.0 accepted as job "), said
    assert [await stored(house, job) for job in (await all_jobs(house))[len(before) :]] == [binary]


async def test_binary_never_comes_by_data(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<ada@example.com> BODY=BINARYMIME")
        await client.ask("RCPT TO:<phaser360@example.com>")
        assert (await client.ask("DATA")).startswith("503 5.5.1 ")


@pytest.mark.parametrize(
    "size",
    ["", "+9", "-9", "9.0", "0x9", "9 LAST LAST", "9 LASTING", "9,LAST", "9\tLAST", "\t9", "9\0", "9\n", "NaN",
     "\u0669", "LAST", "1_0"],
)  # fmt: skip
async def test_a_chunk_without_a_count_ends_the_connection(house: Site, receiver: Receiver, size: str) -> None:
    """Nobody can tell where it ends, so nothing behind it is read."""
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        await to_rcpt(client)
        await client.send(f"BDAT {size}\r\n".encode() + SECOND + b".\r\nNOOP\r\n")
        said = await client.closed()
    assert said[:3] in (b"501", b"500"), said
    assert said.count(b"\r\n") == 1
    assert await all_jobs(house) == before


@pytest.mark.parametrize("size", ["18446744073709551625", "4294967305", "99999999999999999999"])
async def test_a_count_does_not_wrap(house: Site, receiver: Receiver, size: str) -> None:
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        await to_rcpt(client)
        await client.send(f"BDAT {size} LAST\r\n".encode() + b"123456789" + SECOND + b".\r\nNOOP\r\n")
        client.writer.write_eof()
        assert await client.closed() == b""
    assert await all_jobs(house) == before


# -- STARTTLS and AUTH


@pytest.mark.parametrize("door", ["smtp", "submission"])
@pytest.mark.parametrize(
    "behind",
    [b"N", b"NOOP\r\n", b"\r\n", b"\n", b"\0", b"EHLO eve\r\nMAIL FROM:<eve@example.com>\r\n", b"\x16\x03\x01"],
)
async def test_nothing_may_stand_behind_starttls(receiver: Receiver, door: str, behind: bytes) -> None:
    async with wire(receiver, door) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.send(b"STARTTLS\r\n" + behind)
        assert await client.closed() == b"554 5.5.0 you spoke before it was your turn\r\n"


async def test_what_was_said_in_clear_does_not_count_under_tls(house: Site, receiver: Receiver) -> None:
    before = await all_jobs(house)
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<eve@example.com>")
        await client.ask("RCPT TO:<phaser360@example.com>")
        assert (await client.ask("BDAT 0")).startswith("250 ")
        await client.start_tls(house.trusting)
        said = [await client.ask(command) for command in ("RCPT TO:<phaser360@example.com>", "DATA", "BDAT 0 LAST")]
        assert [reply[:3] for reply in said] == ["503", "503", "503"]
        assert await client.ask("MAIL FROM:<ada@example.com>") == "503 5.5.1 send EHLO first"
    assert await all_jobs(house) == before


async def test_lines_within_auth_are_never_commands(house: Site, receiver: Receiver) -> None:
    """One reply to each, and none of them begins a mail."""
    async with submission(house, receiver, login="") as client:
        await client.ask("EHLO client.example.com")
        await client.send(b"AUTH LOGIN\r\nMAIL FROM:<eve@example.com>\r\nNOOP\r\n")
        assert [reply[:9] for reply in await replies(client)] == ["334 VXNlc", "501 5.5.2", "250 2.0.0"]
        await client.send(b"AUTH PLAIN\r\n*\r\nRCPT TO:<phaser360@example.com>\r\n")
        assert [reply[:3] for reply in await replies(client)] == ["334", "501", "503"]
        await client.send(b"AUTH LOGIN\r\nYWRh\r\nQUIT\r\nNOOP\r\n")  # QUIT is base64, and a wrong password
        assert [reply[:3] for reply in await replies(client)] == ["334", "334", "535", "250"]


@pytest.mark.parametrize("secret", ["x\r\nMAIL FROM:<eve@example.com>", "x\nNOOP", "x\r\n235 2.7.0 welcome"])
async def test_a_line_end_within_credentials_makes_no_line(house: Site, receiver: Receiver, secret: str) -> None:
    async with submission(house, receiver, login="") as client:
        await client.ask("EHLO client.example.com")
        for user, password in (("ada", secret), (secret, "x")):
            await client.send(f"AUTH PLAIN {plain(user, password)}\r\n".encode())
            (reply,) = await replies(client)
            assert reply.startswith("535 5.7.8 ")


async def test_a_login_is_not_begun_in_clear_and_ended_under_tls(house: Site, receiver: Receiver) -> None:
    async with wire(receiver, "submission") as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        assert (await client.ask("AUTH LOGIN")).startswith("538 ")
        await client.start_tls(house.trusting)
        await client.ask("EHLO client.example.com")
        assert (await client.ask(base64.b64encode(b"ada").decode())).startswith("500 ")


# -- addresses in the fields that we write


@pytest.mark.parametrize(
    "sender", ['"a> b"@example.com', r'"a\>\\b"@example.com', '"Bcc: x"@example.com', "a\u200db@example.com"]
)
async def test_an_address_makes_one_line(house: Site, receiver: Receiver, sender: str) -> None:
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        assert (await client.ask(f"MAIL FROM:<{sender}> SMTPUTF8")).startswith("250 ")
        assert (await client.ask('RCPT TO:<"phaser360"@example.com>')).startswith("250 ")
        await client.ask("DATA")
        await client.send(LETTER + b".\r\n")
        job = int((await client.reply()).rpartition(" ")[2])
    maildrop = await house.store.open_maildrop("phaser360", "test", 60)
    assert maildrop is not None
    (fields,) = [entry.fields for entry in maildrop.entries if entry.job_id == job]
    await maildrop.close()
    assert re.fullmatch(FIELDS, fields)
