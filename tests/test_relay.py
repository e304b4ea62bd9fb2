"""The outgoing queue of a real store, delivered to users of a real directory and to mail servers that misbehave."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from prometheus_client import REGISTRY

from appliance import relay as relay_module
from appliance.relay import Relay
from mailstore.config import ConfigError, Settings
from mailstore.directory.people import LdapPeople
from mailstore.directory.records import Person
from mailstore.store import contract
from mailstore.store.contract import Role
from mailstore.store.outbox import OutgoingMail
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import RunningDirectory, make_certificate, running_directory, short_folder
from tests.sink import Peer, free_port, sink

ADA = Person(name="ada", addresses=("ada@example.com",))
ROOT = Person(name="admin", addresses=("admin@example.com",), administrator=True)
SECOND = Person(name="second", addresses=("second@example.com",), administrator=True)
PASSWORD = "correct horse battery staple"
LETTER = b"Subject: Printed\r\nMessage-ID: <n@mail.example.com>\r\n\r\n.a line with a dot\r\n.\r\ntext\r\n"


# -- a mail server


@dataclass(kw_only=True)
class Server:
    """What an SMTP server got, and what it says instead of 250."""

    port: int = 0
    replies: dict[str, str] = field(default_factory=dict)  # recipient -> reply to RCPT; "DATA" -> to the data
    mails: list[tuple[str, str, bytes]] = field(default_factory=list)  # MAIL FROM, recipient, octets
    logins: list[tuple[bytes, bytes]] = field(default_factory=list)
    greeted: list[str] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    connections: int = 0
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.greeted.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if refusal := self.replies.get(address):
            return refusal
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if refusal := self.replies.get("DATA"):
            return refusal
        assert isinstance(envelope.content, bytes)
        for recipient in envelope.rcpt_tos:
            self.mails.append((envelope.mail_from or "", recipient, envelope.content))
        self.encrypted.append(session.ssl is not None)
        self.came.set()
        return "250 2.0.0 queued as 42"

    def login(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append((data.login, data.password))
        return AuthResult(success=data.password == PASSWORD.encode(), handled=False)


@contextlib.asynccontextmanager
async def server(port: int = 0, *, implicit: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Server]:
    made = Server()

    def protocol() -> SMTP:
        made.connections += 1
        return SMTP(
            made,
            hostname="smarthost.example.com",
            loop=loop,
            authenticator=made.login,
            auth_exclude_mechanism=["LOGIN"],
            **options,
        )

    loop = asyncio.get_running_loop()
    listening = await loop.create_server(protocol, "127.0.0.1", port, ssl=implicit)
    made.port = listening.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        listening.close()


# -- the house


@dataclass(kw_only=True)
class House:
    store: SqlStore
    people: LdapPeople
    directory: RunningDirectory
    ahead: float = 0.0

    def settings(self, **relay: Any) -> Settings:
        return Settings.model_validate(
            {"site": {"hostname": "mail.example.com", "domains": ("example.com",)}, "relay": relay}
        )

    def relay(
        self, port: int = 0, *, deadline: float = 5.0, pauses: Sequence[float] = (0.0, 1000.0), **relay: Any
    ) -> Relay:
        if port:
            relay["smarthost"] = f"127.0.0.1:{port}"
        return Relay(
            self.settings(**relay),
            self.store,
            self.people,
            pauses=pauses,
            deadline=deadline,
            clock=lambda: time.time() + self.ahead,
        )

    async def queue(self, *recipients: str, octets: bytes = LETTER, kept: float = 3600.0, job: int = 0) -> None:
        await self.store.tell(
            [
                OutgoingMail(recipient=one, octets=octets, job_id=job, expires_at=time.time() + kept)
                for one in recipients
            ],
            [],
        )

    async def waiting(self) -> tuple[int, str]:
        standing = await self.store.outgoing()
        return standing.waiting, standing.last_error

    async def maildrop(self, person: Person) -> list[bytes]:
        held = await self.store.open_maildrop(person.maildrop, "test", 60.0)
        assert held is not None
        mails = [b"".join([block async for block in held.read(entry)]) for entry in held.entries]
        await held.close()
        return mails

    @contextlib.asynccontextmanager
    async def running(self, relay: Relay) -> AsyncIterator[None]:
        task = asyncio.create_task(relay.run())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def until(self, holds: Callable[[int, str], bool], seconds: float = 10.0) -> None:
        """Until the queue's length and last error are so."""
        try:
            async with asyncio.timeout(seconds):
                while not holds(*await self.waiting()):  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"the queue is {await self.waiting()}") from None


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running_directory(tmp_path) as directory, directory.people() as people:
        with short_folder() as runtime:
            store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
            try:
                await people.add(ADA, PASSWORD)
                yield House(store=store, people=people, directory=directory)
            finally:
                await store.close()


@pytest.fixture
def certified(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's TLS for 127.0.0.1, and who signed it."""
    (tmp_path / "tls").mkdir()
    certificate = make_certificate(tmp_path / "tls")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, tmp_path / "tls" / "key.pem")
    return context, certificate


def count(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"printpost_outgoing_{name}_total", labels) or 0.0


# -- our own users


async def test_a_user_finds_it_in_his_maildrop(house: House) -> None:
    before = count("delivered", way="maildrop")
    await house.queue("Ada@Example.com")
    assert await house.relay().take() == 1
    (mail,) = await house.maildrop(ADA)
    assert mail == b"Return-Path: <>\r\nDelivered-To: Ada@Example.com\r\n" + LETTER
    assert await house.waiting() == (0, "")
    assert await house.store.jobs() == []
    assert count("delivered", way="maildrop") == before + 1


async def test_a_subaddress_is_the_users_too(house: House) -> None:
    await house.queue("ada+printers@example.com")
    await house.relay().take()
    assert len(await house.maildrop(ADA)) == 1


async def test_postmaster_is_every_administrator(house: House) -> None:
    for person in (ROOT, SECOND):
        await house.people.add(person, PASSWORD)
    await house.queue("postmaster@example.com", "Postmaster@mail.example.com")
    await house.relay().take()
    assert [len(await house.maildrop(one)) for one in (ADA, ROOT, SECOND)] == [0, 2, 2]


async def test_a_full_maildrop_waits_for_room(house: House) -> None:
    await house.queue("ada@example.com")
    await house.relay().take()
    (first,) = await house.maildrop(ADA)
    await house.people.replace(Person(name="ada", addresses=("ada@example.com",), quota=2 * len(first) - 1))
    await house.queue("ada@example.com")
    await house.relay().take()
    waiting, why = await house.waiting()
    assert waiting == 1
    assert why
    await house.people.replace(ADA)
    await house.relay().take()
    assert len(await house.maildrop(ADA)) == 2
    assert await house.waiting() == (0, "")


async def test_an_administrator_who_never_reads_keeps_it_from_no_other(house: House) -> None:
    full = Person(name="full", addresses=("full@example.com",), administrator=True, quota=100)
    for person in (full, SECOND):
        await house.people.add(person, PASSWORD)
    await house.queue("postmaster@example.com")
    await house.relay().take()
    assert [len(await house.maildrop(one)) for one in (full, SECOND)] == [0, 1]
    assert await house.waiting() == (0, "")


async def test_nobodys_mail_waits_with_a_reason_until_he_is_added(house: House) -> None:
    await house.queue("grace@example.com")
    await house.relay().take()
    assert await house.waiting() == (1, "no [relay] smarthost is set and grace@example.com is no user here")
    grace = Person(name="grace", addresses=("grace@example.com",))
    await house.people.add(grace, PASSWORD)
    await house.relay().take()
    assert len(await house.maildrop(grace)) == 1


async def test_with_the_directory_down_everything_waits(house: House) -> None:
    await house.queue("ada@example.com")
    await house.directory.server.stop()
    await house.relay().take()
    waiting, why = await house.waiting()
    assert (waiting, "directory" in why) == (1, True)


async def test_what_nobody_wants_expires_with_a_warning(house: House) -> None:
    before = count("failures", result="given-up")
    await house.queue("grace@example.com", kept=60.0)
    relay = house.relay()
    await relay.take()
    assert (await house.waiting())[0] == 1
    house.ahead = 61.0
    await relay.take()
    assert await house.waiting() == (0, "")
    assert count("failures", result="given-up") == before + 1


# -- the smarthost


async def test_several_mails_go_over_one_connection(house: House) -> None:
    async with server() as smarthost:
        await house.queue(*(f"user{n}@example.org" for n in range(20)))
        relay = house.relay(smarthost.port)
        assert await relay.take() == 20
        async with house.running(relay):
            await house.until(lambda waiting, _: waiting == 0)
    assert smarthost.connections == 1
    assert smarthost.greeted == ["mail.example.com"]
    assert [recipient for _, recipient, _ in smarthost.mails] == [f"user{n}@example.org" for n in range(20)]
    assert {(sender, octets) for sender, _, octets in smarthost.mails} == {("<>", LETTER)}


async def test_our_own_user_does_not_go_out(house: House) -> None:
    async with server() as smarthost:
        await house.queue("ada@example.com", "grace@example.org")
        async with house.running(house.relay(smarthost.port)):
            await house.until(lambda waiting, _: waiting == 0)
    assert [recipient for _, recipient, _ in smarthost.mails] == ["grace@example.org"]
    assert len(await house.maildrop(ADA)) == 1


async def test_a_ring_wakes_it(house: House) -> None:
    async with server() as smarthost:
        relay = house.relay(smarthost.port)
        async with house.running(relay):
            await house.until(lambda waiting, _: waiting == 0)
            await house.queue("grace@example.org")
            relay.ring()
            async with asyncio.timeout(4):  # the look without a ring is later
                await smarthost.came.wait()


@pytest.mark.parametrize("where", ["bad@example.org", "DATA"])
async def test_what_the_server_refuses_for_good_is_given_up_and_noted(house: House, where: str) -> None:
    number = await _job(house)
    async with server() as smarthost:
        smarthost.replies[where] = "550 5.1.1 no such user \x1b[31m"
        await house.queue("bad@example.org", job=number)
        relay = house.relay(smarthost.port)
        async with house.running(relay):
            await house.until(lambda waiting, _: waiting == 0)
            del smarthost.replies[where]
            await house.queue("good@example.org", job=number)
            relay.ring()
            await house.until(lambda waiting, _: waiting == 0)
    assert [recipient for _, recipient, _ in smarthost.mails] == ["good@example.org"]
    said = [event.text for event in await house.store.trace(number)]
    assert (
        said[-2] == f"notice to bad@example.org given up: 127.0.0.1:{smarthost.port} said 550 5.1.1 no such user [31m"
    )
    assert said[-1] == "notice to good@example.org sent: 250 2.0.0 queued as 42"


async def _job(house: House) -> int:
    draft = await house.store.draft()
    draft.write(LETTER)
    envelope = contract.Envelope(reverse_path="bad@example.org", client_ip="192.0.2.1", helo="x", trust="insider")
    one = contract.Recipient(maildrop="phaser360", address="phaser360@example.com", quota=10**9, fields=b"")
    (number,) = await house.store.accept(draft, envelope, [one])
    return number


async def test_a_refusal_for_now_keeps_that_mail_and_not_the_others(house: House) -> None:
    async with server() as smarthost:
        smarthost.replies["slow@example.org"] = "451 4.7.1 come back later"
        await house.queue("slow@example.org", "grace@example.org")
        relay = house.relay(smarthost.port, pauses=(0.0,))
        async with house.running(relay):
            await house.until(lambda waiting, why: (waiting, "come back later" in why) == (1, True))
            assert [recipient for _, recipient, _ in smarthost.mails] == ["grace@example.org"]
            smarthost.replies.clear()
            relay.ring()
            await house.until(lambda waiting, _: waiting == 0, 20.0)
    assert [recipient for _, recipient, _ in smarthost.mails] == ["grace@example.org", "slow@example.org"]


async def test_a_server_that_is_down_and_comes_back_gets_everything(house: House) -> None:
    port = await free_port()
    await house.queue("one@example.org", "two@example.org")
    relay = house.relay(port, pauses=(0.0,))
    async with house.running(relay):
        await house.until(lambda waiting, why: (waiting, why) == (2, f"127.0.0.1:{port}: Connection refused"))
        async with server(port) as smarthost:
            relay.ring()
            await house.until(lambda waiting, _: waiting == 0, 20.0)
    assert sorted(recipient for _, recipient, _ in smarthost.mails) == ["one@example.org", "two@example.org"]


async def test_whoever_waits_for_others_is_soon_taken_again(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "WAITING", 1)
    await house.queue("one@example.org", "two@example.org", "three@example.org")
    relay = house.relay(1)  # which does not run: nothing leaves
    assert [await relay.take() for _ in range(4)] == [3, 2, 2, 2]


async def test_a_smarthost_that_wants_a_login_first_costs_no_mail(house: House) -> None:
    async with server() as smarthost:
        smarthost.replies["one@example.org"] = "530 5.7.0 Authentication required"
        await house.queue("one@example.org")
        async with house.running(house.relay(smarthost.port)):
            await house.until(lambda waiting, why: waiting == 1 and "Authentication required" in why)


async def test_a_smarthost_that_cannot_be_a_name_is_said_to_be_that(house: House) -> None:
    await house.queue("one@example.org")
    async with house.running(house.relay(smarthost="mail..example.com:25")):
        await house.until(lambda _, why: why == "[relay] smarthost: mail..example.com:25 is no host's name")


async def _hang(peer: Peer) -> None:
    await peer.take_all()


async def _stall_after_mail(peer: Peer) -> None:
    await peer.say(b"220 smarthost.example.com\r\n")
    await peer.take(len(b"EHLO mail.example.com\r\n"))
    await peer.say(b"250 smarthost.example.com\r\n")
    await peer.take_all()


async def _turn_away(peer: Peer) -> None:
    await peer.say(b"554 5.3.2 not today\r\n")
    await peer.take_all()


async def _hang_up(peer: Peer) -> None:
    await peer.say(b"220 smarthost.example.com\r\n")
    await peer.take(len(b"EHLO mail.example.com\r\n"))


async def _babble(peer: Peer) -> None:
    await peer.say(b"\x00\xff\r\n" * 10)
    await peer.take_all()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (_hang, "does not answer in time"),
        (_stall_after_mail, "does not answer in time"),
        (_turn_away, "not today"),
        (_hang_up, ""),
        (_babble, ""),
    ],
)
async def test_a_server_out_of_order_keeps_nobody_elses_mail_waiting(
    house: House, script: Callable[[Peer], Any], expected: str
) -> None:
    async with sink(script) as smarthost:
        await house.queue("grace@example.org", "ada@example.com")
        async with house.running(house.relay(smarthost.port, deadline=0.3)):
            async with asyncio.timeout(5):
                while not await house.maildrop(ADA):  # noqa: ASYNC110 - the store tells nobody
                    await asyncio.sleep(0.01)
            await house.until(lambda waiting, why: waiting == 1 and why != "" and expected in why)


async def test_it_ends_whenever_it_is_told_to(house: House) -> None:
    async with server() as smarthost:
        for _ in range(20):
            smarthost.came.clear()
            await house.queue("grace@example.org")
            async with asyncio.timeout(10), house.running(house.relay(smarthost.port)):
                await smarthost.came.wait()  # its end meets the reply to the data


async def test_two_relays_do_not_deliver_one_mail_twice(house: House) -> None:
    async with server() as smarthost:
        await house.queue(*(f"user{n}@example.org" for n in range(30)))
        async with house.running(house.relay(smarthost.port)), house.running(house.relay(smarthost.port)):
            await house.until(lambda waiting, _: waiting == 0)
    assert len(smarthost.mails) == len({recipient for _, recipient, _ in smarthost.mails}) == 30


# -- TLS and passwords


async def _sent(house: House, port: int, **relay: Any) -> str:
    """Try one mail once; "" when it went, else why not."""
    await house.queue("grace@example.org")
    async with house.running(house.relay(port, **relay)):
        await house.until(lambda waiting, why: not waiting or why != "")
    return (await house.waiting())[1]


@pytest.mark.parametrize(
    ("tls", "ca", "offered", "expected", "encrypted"),
    [
        ("auto", False, True, "", True),  # as good as in clear, and better against those who only listen
        ("auto", True, True, "", True),
        ("auto", False, False, "", False),
        ("starttls", True, True, "", True),
        ("starttls", False, True, "not to be trusted", None),
        ("starttls", True, False, "offers no STARTTLS", None),
        ("none", False, True, "", False),
    ],
)
async def test_starttls(
    house: House,
    certified: tuple[ssl.SSLContext, Path],
    tls: str,
    ca: bool,
    offered: bool,
    expected: str,
    encrypted: bool | None,
) -> None:
    context, authority = certified
    async with server(tls_context=context if offered else None) as smarthost:
        why = await _sent(house, smarthost.port, tls=tls, **({"ca": authority} if ca else {}))
    assert expected in why
    assert bool(why) is bool(expected)
    assert smarthost.encrypted == ([] if encrypted is None else [encrypted])


@pytest.mark.parametrize("ca", [True, False])
async def test_implicit_tls_wants_a_certificate_to_trust(
    house: House, certified: tuple[ssl.SSLContext, Path], ca: bool
) -> None:
    context, authority = certified
    async with server(implicit=context) as smarthost:
        why = await _sent(house, smarthost.port, tls="implicit", **({"ca": authority} if ca else {}))
    assert (why == "") is ca
    assert "not to be trusted" in why or ca
    assert len(smarthost.mails) == ca


@pytest.mark.parametrize(
    ("encrypts", "trusted", "tls", "expected"),
    [
        (False, False, "auto", "offers no STARTTLS"),
        (True, False, "auto", "not to be trusted"),
        (True, True, "auto", ""),
        (True, True, "starttls", ""),
        (False, False, "none", ""),
    ],
)
async def test_a_password_goes_out_under_tls_only(
    house: House,
    certified: tuple[ssl.SSLContext, Path],
    tmp_path: Path,
    encrypts: bool,
    trusted: bool,
    tls: str,
    expected: str,
) -> None:
    context, authority = certified
    (tmp_path / "password").write_text(PASSWORD + "\n")
    relay: dict[str, Any] = {"user": "printpost", "password_file": tmp_path / "password", "tls": tls}
    if trusted:
        relay["ca"] = authority
    async with server(tls_context=context if encrypts else None, auth_require_tls=encrypts) as smarthost:
        why = await _sent(house, smarthost.port, **relay)
    assert (expected in why, bool(why)) == (True, bool(expected))
    assert smarthost.logins == ([] if expected else [(b"printpost", PASSWORD.encode())])
    assert len(smarthost.mails) == (not expected)


async def test_a_new_password_counts_at_once(
    house: House, certified: tuple[ssl.SSLContext, Path], tmp_path: Path
) -> None:
    context, authority = certified
    file = tmp_path / "password"
    account: dict[str, Any] = {"user": "printpost", "password_file": file, "ca": authority}
    async with server(tls_context=context) as smarthost:
        await house.queue("grace@example.org")
        relay = house.relay(smarthost.port, pauses=(0.0,), **account)
        async with house.running(relay):
            await house.until(lambda _, why: "[relay] password_file" in why)
            file.write_text("wrong")
            relay.ring()
            await house.until(lambda _, why: "535" in why)
            file.write_text(PASSWORD)
            relay.ring()
            await house.until(lambda waiting, _: waiting == 0)
    assert len(smarthost.mails) == 1


def test_a_user_without_a_password_is_refused(tmp_path: Path) -> None:
    settings = Settings.model_validate({"relay": {"smarthost": "127.0.0.1:25", "user": "printpost"}})
    with pytest.raises(ConfigError, match="password_file"):
        Relay(settings, None, None)  # type: ignore[arg-type]
