"""TLS, logins, people and the postmaster, on a real store, a real directory and real handshakes.

`test_smtp_uvloop` runs the same on the other loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import itertools
import os
import re
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from prometheus_client import REGISTRY

from appliance.guessing import Guesses
from appliance.smtp.beginning import _not_his_own
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from mailstore.directory.ldap import LdapDirectory
from mailstore.directory.logins import Pace
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.own_people import OwnPeople
from mailstore.directory.people import LdapPeople
from mailstore.directory.server import LdapServer
from mailstore.directory.slapd import socket_url
from mailstore.failure import PermanentFailure
from tests.dialogue import play
from tests.directory_server import FOREIGN_BASE, foreign_directory, running_directory
from tests.smtp_client import ADA, LETTER, PASSWORDS, ROOT, Site, Wire, plain, site, submission, until, wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

DIALOGUES = Path(__file__).parent / "dialogues" / "smtp"
QUICK = Limits(denial_seconds=0.05)
HELLO = b"\x16\x03\x01\x00\x04abcd"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with site(tmp_path_factory.mktemp("submission")) as made:
        yield made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def receiver(house: Site) -> AsyncIterator[Receiver]:
    async with house.receiver(limits=QUICK) as made:
        yield made


@pytest.fixture(autouse=True)
def nothing_goes_wrong(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception reaches the loop, whatever a test's client does."""
    yield
    assert [record.getMessage() for record in caplog.records if record.name in ("asyncio", "uvloop")] == []


def number(reply: str) -> int:
    found = re.fullmatch(r"250 2\.0\.0 accepted as job (\d+)", reply)
    assert found, reply
    return int(found[1])


async def waiting(house: Site, maildrop: str) -> list[bytes]:
    """What lies in a person's maildrop; it is emptied."""
    held = await house.store.open_maildrop(maildrop, "test", 60)
    assert held is not None
    messages = [b"".join([block async for block in held.read(entry)]) for entry in held.entries]
    await held.update(list(held.entries))
    return messages


def metric(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


# -- dialogues


NAMES = [
    str(file.relative_to(DIALOGUES))
    for file in sorted(DIALOGUES.rglob("*.txt"))
    if file.name.startswith("starttls") or file.parent != DIALOGUES
]


@pytest.mark.parametrize("name", NAMES)
async def test_dialogue(house: Site, receiver: Receiver, name: str) -> None:
    door = Path(name).parent.name or "smtp"
    await play(DIALOGUES / name, *receiver.addresses[door], tls=house.trusting)


# -- TLS


async def test_nothing_in_clear_counts_under_tls_wherever_the_network_cuts_it(house: Site, receiver: Receiver) -> None:
    """The second write comes while our "220" is on its way: it is read as a handshake, and is none."""
    jobs = len(await house.store.jobs())
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        assert (await client.ask("STARTTLS")).startswith("220 ")
        await client.send(b"EHLO eve\r\nMAIL FROM:<eve@example.com>\r\n")
        assert b"250" not in await client.closed()
    await until(lambda: not receiver.connections)
    assert len(await house.store.jobs()) == jobs


async def test_the_client_may_speak_at_once_under_tls(house: Site, receiver: Receiver) -> None:
    """A client of TLS 1.3 sends its first command with the end of its handshake."""
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.start_tls(house.trusting)
        assert "STARTTLS" not in await client.ask("EHLO client.example.com")


async def test_the_trace_tells_tls_and_login(house: Site, receiver: Receiver) -> None:
    with structlog.testing.capture_logs() as lines:
        async with wire(receiver) as client:
            await client.reply()
            await client.ask("EHLO client.example.com")
            await client.start_tls(house.trusting)
            first = number(await client.mail(LETTER))
        async with submission(house, receiver) as client:
            second = number(await client.mail(LETTER, "members@example.com"))
    agreed = [line for line in lines if line["event"] == "TLS agreed"]
    assert [(line["client"], line["version"]) for line in agreed] == [("127.0.0.1", "TLSv1.3")] * 2
    assert all(line["cipher"].startswith("TLS_") for line in agreed)
    for job, words in ((first, b"with ESMTPS id"), (second, b"with ESMTPSA id")):
        assert words in b"".join([block async for block in house.store.read(job)])


async def test_a_handshake_has_a_deadline(house: Site) -> None:
    failed = metric("printpost_smtp_tls_failures_total")
    async with house.receiver(limits=Limits(handshake_seconds=0.1)) as receiver:
        async with wire(receiver, "submissions") as silent, wire(receiver) as stopping:
            await stopping.reply()
            await stopping.ask("EHLO client.example.com")
            await stopping.ask("STARTTLS")
            await stopping.send(HELLO[:3])
            assert await silent.closed() == await stopping.closed() == b""
        await until(lambda: not receiver.gate.total)
    assert metric("printpost_smtp_tls_failures_total") == failed + 2


async def test_handshakes_count_as_connections(house: Site) -> None:
    async with house.receiver(limits=Limits(connections_per_address=1)) as receiver:
        async with wire(receiver, "submissions"):
            await until(lambda: receiver.gate.total)
            async with wire(receiver) as second:
                assert (await second.closed()).startswith(b"421 4.7.0 too many connections")
            async with wire(receiver, "submissions") as third:
                assert await third.closed() == b""  # no words in clear where TLS is expected
        await until(lambda: not receiver.connections)


async def test_without_descriptors_nobody_is_counted(house: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A count that stays would shut the door for good."""

    def none_left(_: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    async with house.receiver(limits=Limits(connections=1)) as receiver:
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", none_left)
            for _ in range(3):
                with contextlib.closing(socket.create_connection(receiver.addresses["submissions"])) as refused:
                    refused.setblocking(False)
                    with contextlib.suppress(ConnectionError):
                        assert await asyncio.wait_for(receiver.loop.sock_recv(refused, 1), 5) == b""
        assert receiver.gate.total == 0
        async with submission(house, receiver):
            pass


def client_hello(context: ssl.SSLContext) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    return outgoing.read()


async def test_a_handshake_that_is_cut_anywhere_leaves_nothing(house: Site) -> None:
    hello = client_hello(house.trusting)
    cuts = (0, 1, 4, 5, 6, len(hello) // 2, len(hello) - 1, len(hello))
    async with house.receiver() as receiver:
        for cut, door, reset in itertools.product(cuts, ("smtp", "submissions"), (False, True)):
            async with wire(receiver, door) as client:
                if door == "smtp":
                    await client.reply()
                    await client.ask("EHLO client.example.com")
                    await client.ask("STARTTLS")
                await client.send(hello[:cut])
                if reset:
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    client.writer.transport.abort()
            await until(lambda: not (receiver.gate.total or receiver.connections), 5)


async def test_what_is_no_handshake(receiver: Receiver) -> None:
    for octets in (b"EHLO client.example.com\r\n", HELLO, b"GET / HTTP/1.1\r\n\r\n", b""):
        async with wire(receiver, "submissions") as client:
            await client.send(octets)
            client.writer.write_eof()
            assert b"220" not in await client.closed()
    await until(lambda: not receiver.connections)


async def test_a_client_that_does_not_believe_us(house: Site, receiver: Receiver) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        async with wire(receiver, "submissions", ssl.create_default_context()):
            pass
    async with wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        with pytest.raises(ssl.SSLCertVerificationError):
            await client.start_tls(ssl.create_default_context())
    await until(lambda: not receiver.connections)


async def test_a_browser_under_tls(house: Site, receiver: Receiver) -> None:
    async with wire(receiver, "submissions", house.trusting) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: localhost\r\n\r\nEHLO client.example.com\r\n")
        said = await client.closed()
    assert said == b"220 mail.example.com ESMTP Printpost\r\n554 5.5.1 this is a mail server\r\n"


async def test_half_closing_under_tls_ends_the_connection_and_no_commit(house: Site, receiver: Receiver) -> None:
    jobs = len(await house.store.jobs())
    async with wire(receiver, "smtp") as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        await client.start_tls(house.trusting)
        await client.to_data()
        await client.send(LETTER + b".\r\n")
        client.writer.close()
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert len(await house.store.jobs()) == jobs + 1


async def test_a_reset_under_tls(house: Site, receiver: Receiver) -> None:
    async with submission(house, receiver) as client:
        await client.to_data("members@example.com")
        await client.send(LETTER)
        client.writer.transport.abort()
    await until(lambda: not receiver.connections and not receiver._tasks)
    assert house.store._spool.promised == 0


async def test_a_large_message_under_tls_arrives_whole(house: Site, receiver: Receiver) -> None:
    lines = b"".join(b"%07d of a text that is long enough to fill some records\r\n" % n for n in range(60_000))
    async with submission(house, receiver) as client:
        job = number(await client.mail(b"Subject: long\r\n\r\n" + lines, "members@example.com"))
    assert b"".join([block async for block in house.store.read(job)]).endswith(lines)


async def test_shutting_down_under_tls(house: Site) -> None:
    async with contextlib.AsyncExitStack() as stack:
        receiver = await stack.enter_async_context(house.receiver())
        idle, busy = [await stack.enter_async_context(submission(house, receiver)) for _ in range(2)]
        await stack.enter_async_context(wire(receiver, "submissions"))  # in its handshake
        await busy.to_data("members@example.com")
        closing = asyncio.create_task(receiver.close(0.5))
        assert await idle.closed() == b"421 4.3.2 the server is going down, try again soon\r\n"
        await busy.send(LETTER + b".\r\n")
        number(await busy.reply())
        assert await busy.closed() == b"421 4.3.2 the server is going down, try again soon\r\n"
        await closing


async def test_shutting_down_waits_for_no_handshake(house: Site) -> None:
    """Whoever sent STARTTLS and nothing more has no message under way."""
    async with house.receiver() as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        assert (await client.ask("STARTTLS")).startswith("220 ")
        await asyncio.wait_for(receiver.close(60), 2)
        assert await client.closed() == b""
        assert (receiver.gate.total, receiver.connections) == (0, {})


async def test_a_changed_certificate_is_shown_to_the_next_client(house: Site, receiver: Receiver) -> None:
    certificate, before = house.certificate, house.trusting
    async with submission(house, receiver) as old:
        await certificate.look(certificate.not_after - 86400)
        with pytest.raises(ssl.SSLCertVerificationError):
            async with wire(receiver, "submissions", before):
                pass
        async with submission(house, receiver):
            assert await old.ask("NOOP") == "250 2.0.0 ok"


# -- logins


async def test_a_wrong_password_costs_time_and_is_counted(house: Site) -> None:
    names = ("printpost_smtp_auth_attempts_total", "printpost_smtp_auth_failures_total")
    before = [metric(name) for name in names]
    limits = Limits(denial_seconds=0.3)
    async with house.receiver(limits=limits) as receiver, submission(house, receiver, login="") as client:
        await client.ask("EHLO client.example.com")
        for name in ("ada", "nobody"):
            began = asyncio.get_running_loop().time()
            assert (await client.ask(f"AUTH PLAIN {plain(name, 'wrong')}")).startswith("535 5.7.8 ")
            assert 0.29 < asyncio.get_running_loop().time() - began < 2
        assert (await client.log_in()).startswith("235 ")
    assert [metric(name) for name in names] == [before[0] + 3, before[1] + 2]


async def test_odd_user_names_are_wrong_ones(house: Site) -> None:
    names = (
        "",
        " ",
        "*",
        ")(uid=*",
        "a" * 5000,
        "\x01",
        "\r\n",
        "@",
        "a@",
        "a@b@c",
        '"x y"@example.com',
        "cn=ada",
        "é",
    )
    async with (
        house.receiver(limits=Limits(denial_seconds=0, logins=100), guesses=Guesses(len(names) + 1)) as receiver,
        submission(house, receiver, login="") as client,
    ):
        await client.ask("EHLO client.example.com")
        for name in names:
            assert (await client.ask(f"AUTH PLAIN {plain(name, 'correct horse')}")).startswith("535 5.7.8 "), name
        assert (await client.log_in("ADA", "correct horse")).startswith("235 ")


async def test_no_password_is_ever_logged(house: Site, receiver: Receiver) -> None:
    with structlog.testing.capture_logs() as lines:
        async with submission(house, receiver, login="") as client:
            for name, password in (("ada", "wr0ngpassword"), ("ada", "correct horse")):
                await client.log_in(name, password)
            await client.ask("AUTH PLAIN wr0ngpassword")
        async with wire(receiver, "submission") as client:
            await client.reply()
            await client.ask("EHLO client.example.com")
            await client.ask(f"AUTH PLAIN {plain('ada', 'wr0ngpassword')}")
    assert lines
    assert not [line for line in lines if "wr0ng" in str(line) or "horse" in str(line) or plain("ada", "") in str(line)]


async def test_lines_of_an_exchange_are_bounded(house: Site, receiver: Receiver) -> None:
    async with submission(house, receiver, login="") as client:
        await client.ask("EHLO client.example.com")
        assert (await client.ask(f"AUTH PLAIN {plain('ada', 'x' * 9000)}")).startswith("535 ")
        await client.ask("AUTH PLAIN")
        assert await client.ask("A" * 12300) == "500 5.5.6 the line is too long for an authentication"
        assert await client.ask(f"AUTH PLAIN {'A' * 12300}") == "500 5.5.2 the line is too long"
        await client.ask("AUTH PLAIN")
        await client.send(b"A" * 20000)
        await client.send(b"A" * 20000 + b"\r\nNOOP\r\n")
        assert (await client.reply()).startswith("500 5.5.6 ")
        assert await client.reply() == "250 2.0.0 ok"
        assert (await client.log_in()).startswith("235 ")
        assert await client.ask(f"NOOP {'A' * 3000}") == "500 5.5.2 the line is too long"


async def test_nobody_can_log_in_while_the_directory_is_down(house: Site, tmp_path: Path) -> None:
    server = LdapServer(socket_url(tmp_path), Identity.APPLIANCE.dn, "secret")
    nobody = LdapPeople(OwnPeople(server, SUFFIX, clock=asyncio.get_running_loop().time, pace=Pace()))
    try:
        async with house.receiver(people=nobody) as receiver:
            async with submission(house, receiver, login="") as client:
                assert await client.log_in() == "454 4.7.0 nobody can log in now, try again later"
            async with wire(receiver) as client:
                await client.reply()
                await client.ask("EHLO client.example.com")
                await client.ask("MAIL FROM:<>")
                assert (await client.ask("RCPT TO:<postmaster>")).startswith("451 4.4.3 ")
    finally:
        await nobody.close()


async def test_a_login_proves_its_address_and_makes_an_insider(house: Site) -> None:
    async with house.receiver(networks=("192.0.2.0/24",)) as receiver:
        async with wire(receiver) as client:
            await client.reply()
            await client.ask("EHLO client.example.com")
            await client.ask("MAIL FROM:<ada@example.com>")
            assert (await client.ask("RCPT TO:<phaser360@example.com>")).startswith("550 5.7.1 this sender may not ")
        async with submission(house, receiver) as client:
            ehlo = await client.ask("EHLO client.example.com")
            assert f"SIZE {house.settings().smtp.max_size}\n" in ehlo  # not that of outsiders
            job = number(await client.mail(LETTER, "members@example.com"))
    record = await house.store.job(job)
    assert record is not None
    assert (record.trust, record.login, record.answerable, record.sender) == ("insider", "ada", True, "ada@example.com")


async def test_nobody_sends_as_a_printer_whatever_the_sites_own_directory_says(house: Site, tmp_path: Path) -> None:
    """Our own people cannot have a printer's address; the site's directory may give anybody any."""
    addresses = "mail: Phaser360@example.com\nmail: mallory@corp.example\n"
    entry = f"dn: uid=mallory,{FOREIGN_BASE}\nobjectClass: inetOrgPerson\nuid: mallory\ncn: Mallory\nsn: M\n"
    entry += f"{addresses}userPassword: yrollam\n"
    dead = LdapDirectory(socket_url(tmp_path), SUFFIX, Identity.APPLIANCE.dn, "secret")
    async with (
        foreign_directory(tmp_path, entries=entry, only_people=True) as foreign,
        running_directory(tmp_path / "theirs") as directory,
        directory.people(foreign.people()) as people,
        house.receiver(people=people) as receiver,
        house.receiver(people=people, directory=dead) as blind,
    ):
        async with submission(house, receiver, login="") as client:
            assert await client.log_in("mallory", "yrollam") == "235 2.7.0 welcome"
            for sender in ("phaser360@example.com", "PHASER360@Example.com"):
                answer = await client.ask(f"MAIL FROM:<{sender}>")
                words = " is the printer phaser360, and mallory may not send as it; ask the administrator"
                assert answer.lower() == f"553 5.7.1 {sender.lower()}{words}"
                assert await client.ask("RCPT TO:<members@example.com>") == "503 5.5.1 send MAIL first"
            assert await client.ask("MAIL FROM:<mallory@corp.example>") == "250 2.1.0 sender ok"
            assert await client.ask("RCPT TO:<members@example.com>") == "250 2.1.5 recipient ok"
        async with submission(house, blind, login="") as client:  # who is a printer cannot be known now
            assert await client.log_in("mallory", "yrollam") == "235 2.7.0 welcome"
            assert (await client.ask("MAIL FROM:<mallory@corp.example>")).startswith("451 4.4.3 ")
            await dead.close()


@pytest.mark.parametrize(
    ("fields", "answerable"),
    [
        (b"", True),
        (b"Auto-Submitted: no\r\n", True),
        (b"Auto-Submitted: NO (typed by Ada)\r\nPrecedence: first-class\r\n", True),
        (b"Auto-Submitted: auto-generated\r\n", False),
        (b'auto-submitted:\r\n auto-notified; owner-email="ada@example.com"\r\n', False),
        (b"Auto-Submitted:\r\n", False),
        (b"Auto-Submitted: no\r\nAuto-Submitted: auto-generated\r\n", False),
        (b"Precedence: Bulk\r\n", False),
        (b"Precedence: list\r\n", False),
        (b"Precedence:junk \r\n", False),
        (b"List-Id: Printers <printers.example.com>\r\n", False),
    ],
)
async def test_what_a_program_sent_is_not_answered(
    house: Site, receiver: Receiver, fields: bytes, answerable: bool
) -> None:
    async with submission(house, receiver) as client:
        record = await house.store.job(number(await client.mail(fields + LETTER, "members@example.com")))
    assert record is not None
    assert record.answerable is answerable


async def test_who_has_no_address_sends_nothing() -> None:
    """Printpost gives everybody one; the site's own directory may not."""
    refused = _not_his_own(dataclasses.replace(ADA, addresses=()), "ada@example.com")
    assert refused is not None
    assert refused.octets() == b"553 5.7.1 ada has no mail address to send from; ask the administrator for one\r\n"


async def test_a_login_is_what_the_directory_says_today(house: Site) -> None:
    """Whoever keeps his connection open keeps no right that was taken from him."""
    async with house.receiver() as receiver, submission(house, receiver) as client:
        try:
            await house.people.replace(dataclasses.replace(ADA, addresses=("ada@example.com",)))
            former = await client.ask("MAIL FROM:<ada.lovelace@example.com>")
            kept = await client.ask("MAIL FROM:<ada@example.com>")
            await client.ask("RSET")
        finally:
            await house.people.remove("ada")
            ended = await client.ask("MAIL FROM:<ada@example.com>")
            await house.people.add(ADA, PASSWORDS["ada"])
        assert former.startswith("553 5.7.1 a login sends from its own addresses only")
        assert kept == "250 2.1.0 sender ok"
        assert ended == "421 4.7.0 your login has ended; connect and log in again"
        assert await client.closed() == b""


async def test_a_login_is_not_believed_for_ever(house: Site) -> None:
    """The password may have been changed because somebody else knows it."""
    async with house.receiver(limits=Limits(login_seconds=0)) as receiver, submission(house, receiver) as client:
        assert (await client.ask("MAIL FROM:<ada@example.com>")).startswith("421 4.7.0 your login has ended")


async def test_a_network_proves_no_address(house: Site, receiver: Receiver) -> None:
    async with wire(receiver) as client:
        await client.reply()
        record = await house.store.job(number(await client.mail(LETTER)))
    assert record is not None
    assert (record.trust, record.login, record.answerable) == ("insider", "", False)


# -- people


async def test_people_write_to_people_and_printers(house: Site, receiver: Receiver) -> None:
    film = b"Content-Type: video/mpeg\r\n\r\nxx\r\n"
    before = len(await house.store.jobs())
    async with submission(house, receiver, login="root") as client:
        assert await client.ask("MAIL FROM:<root@example.com>") == "250 2.1.0 sender ok"
        assert (await client.ask("RCPT TO:<Ada+films@example.com>")).startswith("250 ")
        await client.ask("DATA")
        assert await client.ask((film + b".").decode()) == "250 2.0.0 accepted"
        await client.ask("RSET")
    assert len(await house.store.jobs()) == before
    (kept,) = await waiting(house, ADA.maildrop)
    results = b"Authentication-Results: mail.example.com;\r\n\tauth=pass smtp.auth=root\r\n"
    begin = b"Return-Path: <root@example.com>\r\nDelivered-To: Ada+films@example.com\r\n"
    assert kept.startswith(begin + results + b"Received: ")
    assert kept.endswith(film)
    async with submission(house, receiver) as client:
        answer = await client.mail(film, "ada@example.com", "members@example.com")
        assert answer.startswith("554 5.6.1 the message holds nothing that can be printed")
        recipients = ("ada@example.com", "members@example.com", "root@example.com", "ada.lovelace@example.com")
        number(await client.mail(LETTER, *recipients))
    assert [len(await waiting(house, person.maildrop)) for person in (ADA, ROOT)] == [1, 1]


async def test_a_full_maildrop(house: Site, receiver: Receiver) -> None:
    async with submission(house, receiver) as client:
        await client.ask("MAIL FROM:<ada@example.com> SIZE=200000")
        assert await client.ask("RCPT TO:<ada@example.com>") == "552 5.2.3 larger than this person's mailbox"
        await client.ask("RSET")
        for _ in range(2):  # what was not declared will never fit either, so it is not worth another try
            unfit = LETTER + 1010 * (b"x" * 98 + b"\r\n")
            answer = await client.mail(unfit, "ada@example.com")
            assert answer == "552 5.3.4 a message may have 100000 octets at most"
        assert (await client.mail(LETTER + b"x" * 80_000 + b"\r\n", "ada@example.com")).startswith("250 ")
        await client.ask("MAIL FROM:<ada@example.com> SIZE=50000")
        assert await client.ask("RCPT TO:<ada@example.com>") == "452 4.2.2 this person's mailbox is full"
    await waiting(house, ADA.maildrop)


# -- the postmaster


async def to_postmaster(client: Wire, recipient: str, message: bytes = LETTER, sender: str = "") -> str:
    await client.ask(f"MAIL FROM:<{sender}>")
    answer = await client.ask(f"RCPT TO:<{recipient}>")
    if answer.startswith("250"):
        answer = await client.ask("DATA")
        await client.send(message + b".\r\n")
        answer = await client.reply()
    await client.ask("RSET")
    return answer


async def test_the_postmaster_can_be_reached_by_everybody(house: Site) -> None:
    film = b"Content-Type: video/mpeg\r\n\r\nxx\r\n"
    async with house.receiver(networks=("192.0.2.0/24",)) as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        for recipient in ("postmaster", "POSTMASTER@Example.COM", "abuse@example.com"):
            assert await to_postmaster(client, recipient, film) == "250 2.0.0 accepted"
        assert (await to_postmaster(client, "abuse")).startswith("501 5.1.3 ")
        assert (await to_postmaster(client, "postmaster@elsewhere.example")).startswith("550 5.7.1 ")
    kept = await waiting(house, ROOT.maildrop)
    assert [re.findall(rb"Delivered-To: (\S+)", message)[0] for message in kept] == [
        b"postmaster@example.com",
        b"POSTMASTER@Example.COM",
        b"abuse@example.com",
    ]
    assert await waiting(house, ADA.maildrop) == []


async def test_mail_to_the_postmaster_goes_alone(house: Site) -> None:
    async with house.receiver() as receiver, wire(receiver) as client:
        await client.reply()
        await client.ask("EHLO client.example.com")
        for first, second in (("postmaster", "phaser360@example.com"), ("phaser360@example.com", "abuse@example.com")):
            await client.ask("MAIL FROM:<ada@example.com>")
            assert (await client.ask(f"RCPT TO:<{first}>")).startswith("250 ")
            assert (await client.ask(f"RCPT TO:<{second}>")).startswith("452 4.5.3 ")
            assert (await client.ask(f"RCPT TO:<{first}>")).startswith("250 ")
            await client.ask("RSET")


async def test_what_the_postmaster_gets_is_small_and_rare(house: Site) -> None:
    limits = Limits(postmaster_octets=1000, postmaster_hourly=5, postmaster_hourly_per_client=2)
    async with house.receiver(limits=limits) as receiver, wire(receiver) as client, wire(receiver) as other:
        for each in (client, other):
            await each.reply()
            await each.ask("EHLO client.example.com")
        await client.ask("MAIL FROM:<> SIZE=1001")
        assert (
            await client.ask("RCPT TO:<postmaster>")
            == "552 5.3.4 a message to the postmaster may have 1000 octets at most"
        )
        await client.ask("RSET")
        large = await to_postmaster(client, "postmaster", b"x" * 2000 + b"\r\n")
        assert large == "552 5.3.4 a message may have 1000 octets at most"
        await other.ask("MAIL FROM:<>")
        await other.ask("RCPT TO:<postmaster>")  # asked in time, but the others were quicker
        for _ in range(2):
            assert await to_postmaster(client, "postmaster") == "250 2.0.0 accepted"
        too_often = "450 4.7.1 too many messages to the postmaster, come again later"
        assert await to_postmaster(client, "postmaster") == too_often
        await other.ask("DATA")
        assert await other.ask("x\r\n.") == too_often
    assert len(await waiting(house, ROOT.maildrop)) == 2


async def test_strangers_do_not_stand_between_the_site_and_its_postmaster(house: Site) -> None:
    """They use up their own allowance, and no more than half of an administrator's room."""
    limits = Limits(postmaster_octets=20_000, postmaster_hourly=3, postmaster_hourly_per_client=3)
    await house.people.replace(dataclasses.replace(ROOT, quota=60_000))
    letter = LETTER + 150 * (b"x" * 98 + b"\r\n")
    try:
        async with house.receiver(limits=limits, networks=("192.0.2.0/24",)) as receiver:
            async with wire(receiver) as stranger:
                await stranger.reply()
                await stranger.ask("EHLO client.example.com")
                assert await to_postmaster(stranger, "postmaster", letter) == "250 2.0.0 accepted"
                refused = await to_postmaster(stranger, "postmaster", letter)
                assert refused == "452 4.2.2 the postmaster's mailbox is full"
                assert len(await waiting(house, ROOT.maildrop)) == 1
                for _ in range(2):
                    assert await to_postmaster(stranger, "postmaster") == "250 2.0.0 accepted"
                assert (await to_postmaster(stranger, "postmaster")).startswith("450 4.7.1 ")
            async with submission(house, receiver) as client:
                for _ in range(2):
                    sent = await to_postmaster(client, "postmaster@example.com", letter, "ada@example.com")
                    assert sent == "250 2.0.0 accepted"
    finally:
        await waiting(house, ROOT.maildrop)
        await house.people.replace(ROOT)


async def test_a_site_without_an_administrator(house: Site, receiver: Receiver) -> None:
    await house.people.remove("root")
    try:
        async with wire(receiver) as client:
            await client.reply()
            await client.ask("EHLO client.example.com")
            assert await to_postmaster(client, "postmaster") == "451 4.3.5 there is no postmaster yet, try again later"
    finally:
        await house.people.add(ROOT, "battery staple")


# -- the doors


async def test_without_people_or_a_certificate_nobody_can_log_in(house: Site) -> None:
    for given in ({}, {"certificate": house.certificate}, {"people": house.people}):
        receiver = await start_smtp(house.settings(), house.store, house.directory, **given)
        try:
            assert list(receiver.addresses) == ["smtp"]
            async with wire(receiver) as client:
                await client.reply()
                offered = await client.ask("EHLO client.example.com")
                assert ("STARTTLS" in offered) is ("certificate" in given)
                if not given:
                    assert await client.ask("STARTTLS") == "502 5.5.1 not offered here"
        finally:
            await receiver.close(0)


async def test_a_port_of_submission_that_is_taken(house: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = house.settings()
        port = taken.getsockname()[1]
        busy = settings.submissions.model_copy(update={"listen": f"127.0.0.1:{port}"})
        with pytest.raises(PermanentFailure, match=r"\[submissions\] listen"):
            await start_smtp(
                settings.model_copy(update={"submissions": busy}),
                house.store,
                house.directory,
                people=house.people,
                certificate=house.certificate,
            )
