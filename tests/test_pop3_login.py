"""Who gets in, what is counted and logged of it, and sessions held to a model."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest
import pytest_asyncio
import structlog
from prometheus_client import REGISTRY

from appliance.peer import plain_ip
from appliance.pop3 import session
from appliance.pop3.connection import Limits
from appliance.pop3.login import may_send_in_clear
from mailstore.directory.records import Printer
from tests.pop3_house import FIELDS, LIMITS, SECRET, Pop3House, client, plain, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MAIL = b"Subject: x\r\n\r\n.\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


async def test_where_passwords_may_be_sent_in_clear() -> None:
    old = Printer(name="old", addresses=("old@example.com",), plain_from=("192.0.2.0/28", "2001:db8::7"))
    for host in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        assert may_send_in_clear(plain_ip(host), None)
    for host in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7"):
        assert may_send_in_clear(plain_ip(host), old)
        assert not may_send_in_clear(plain_ip(host), None)
    for host in ("192.0.2.16", "2001:db8::8", "fe80::1%eth0"):
        assert not may_send_in_clear(plain_ip(host), old)


async def test_from_elsewhere_the_name_is_refused_before_the_password(
    house: Pop3House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The peer's address is the one thing that loopback cannot show."""
    monkeypatch.setattr(session, "plain_ip", lambda host: ip_address("192.0.2.7"))
    old, new = await house.printer(plain_from=("192.0.2.7/32",)), await house.printer()
    async with client(house) as printer:
        refused = await printer.ask(f"USER {new}")
        assert refused.startswith("-ERR [AUTH] ")
        assert "TLS" in refused
        assert await printer.ask("USER nobody") == refused
        assert await printer.ask(f"PASS {SECRET}") == "-ERR USER comes before PASS"
        assert (await printer.login(old)).startswith("+OK")


async def test_from_elsewhere_auth_does_not_begin_in_clear(house: Pop3House, monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 5034 section 4.  The exception of an entry is for USER and PASS, which old printers alone need."""
    monkeypatch.setattr(session, "plain_ip", lambda host: ip_address("192.0.2.7"))
    old = await house.printer(plain_from=("192.0.2.7/32",))
    async with client(house) as printer:
        assert not [word for word in await printer.capabilities() if word.startswith("SASL")]
        assert (await printer.ask("AUTH")).startswith("+OK")
        assert await printer.lines() == []
        for line in (f"AUTH PLAIN {plain(old)}", "AUTH PLAIN"):
            assert (await printer.ask(line)).startswith("-ERR [AUTH] passwords in clear are not taken from here")
        await printer.stls(house.trust)
        assert "SASL PLAIN" in await printer.capabilities()
        assert (await printer.ask(f"AUTH PLAIN {plain(old)}")).startswith("+OK")


async def test_a_response_may_be_longer_than_a_command(house: Pop3House) -> None:
    """RFC 5034 section 4: what stands in the command is bounded by it, what answers a challenge is not."""
    name = await house.printer()
    async with client(house) as guesser:
        assert await guesser.ask(f"AUTH PLAIN {'A' * 300}") == "-ERR a command has at most 255 octets"
        for octets, refused in (
            (12284, "-ERR [AUTH] wrong name or password"),
            (12288, "-ERR a line has at most 12288"),
        ):
            assert await guesser.ask("AUTH PLAIN") == "+ "
            response = plain(name, "x" * (octets // 4 * 3 - len(name) - 2))
            assert len(response) == octets
            assert (await guesser.ask(response)).startswith(refused)
        assert (await guesser.ask(f"AUTH PLAIN {plain(name)}")).startswith("+OK")


async def test_a_client_lost_in_an_exchange_leaves_nothing(house: Pop3House) -> None:
    name = await house.printer()
    for said in ("AUTH PLAIN", "AUTH PLAIN\r\nAGEA"):
        async with client(house) as printer:
            await printer.say(said)
            printer.writer.write_eof()
            assert (await printer.closed()).startswith(b"+ \r\n")
    assert await house.free(name)


async def test_a_stranger_may_ask_for_few_names(house: Pop3House) -> None:
    async with client(house) as stranger:
        await stranger.say(*(f"USER name{number}" for number in range(50)))
        assert (await stranger.closed()).count(b"+OK") == LIMITS.bad_before


async def test_wrong_passwords_are_slow_alike_and_few(house: Pop3House) -> None:
    name = await house.printer()
    async with house.serving(Limits(failure_delay=0.2)) as service, client(service) as printer:
        took = []
        for user, password in ((name, "wrong"), ("nobody", SECRET), (name, "")):
            began = asyncio.get_running_loop().time()
            await printer.say(f"USER {user}", f"PASS {password or ' '}")
            assert (await printer.line()).startswith("+OK")
            assert await printer.line() == "-ERR [AUTH] wrong name or password"
            took.append(asyncio.get_running_loop().time() - began)
        assert await printer.closed() == b""
    assert min(took) >= 0.2
    assert max(took) < 0.2 + 0.15


async def test_login_by_address_and_in_capitals(house: Pop3House) -> None:
    name = await house.printer()
    for user in (name.upper(), f"{name}@print.example.com", f"{name}@PRINT.Example.COM"):
        async with client(house, user) as printer:
            assert (await printer.ask("QUIT")).startswith("+OK")


async def test_a_printer_drained_by_the_bridge_is_told_why(house: Pop3House) -> None:
    name = await house.printer(uri="socket://192.0.2.7:9100")
    async with client(house) as printer:
        assert (await printer.login(name)).startswith("-ERR [SYS/PERM] ")
        assert (await printer.login(name, "wrong")).startswith("-ERR [AUTH] ")
    assert await house.free(name)


async def test_over_ipv6(house: Pop3House) -> None:
    name = await house.printer()
    async with house.serving(host="::1") as service, client(service, name) as printer:
        assert service.address[0] == "::1"
        assert (await printer.ask("QUIT")).startswith("+OK")


async def test_logs_name_the_printer_and_never_a_password(house: Pop3House) -> None:
    name = await house.printer()
    job = await house.mail(name, MAIL)
    with structlog.testing.capture_logs() as lines:
        async with client(house) as printer:
            await printer.login(name, "hunter2")
            await printer.login(name)
            await printer.retr(1)
            await printer.say("DELE 1", "QUIT")
            await printer.closed()
    told = {line["event"]: line for line in lines}
    assert told["pop3 login failed"]["printer"] == name
    assert told["pop3 login"]["printer"] == name
    assert told["pop3 retrieved"]["jobs"] == told["pop3 deleted"]["jobs"] == [job]
    assert "hunter2" not in str(lines)
    assert SECRET not in str(lines)


async def test_metrics(house: Pop3House) -> None:
    names = {
        "connections_total": 1,
        "auth_attempts_total": 2,
        "auth_failures_total": 1,
        "messages_retrieved_total": 1,
        "retrieved_bytes_total": len(FIELDS + MAIL),
        "messages_deleted_total": 1,
        "connections_refused_total": 0,
        "open_connections": 0,
    }
    name = await house.printer()
    await house.mail(name, MAIL, FIELDS)
    before = {key: REGISTRY.get_sample_value(f"printpost_pop3_{key}") or 0 for key in names}
    count = "printpost_pop3_command_duration_seconds_count"
    retrievals = REGISTRY.get_sample_value(count, {"command": "RETR"}) or 0
    async with client(house) as printer:
        await printer.login(name, "wrong")
        await printer.login(name)
        await printer.retr(1)
        await printer.ask("DELE 1")
        await printer.ask("QUIT")
        await printer.closed()
    await house.becomes_free(name)
    after = {key: REGISTRY.get_sample_value(f"printpost_pop3_{key}") for key in names}
    assert {key: (after[key] or 0) - before[key] for key in names} == names
    assert REGISTRY.get_sample_value(count, {"command": "RETR"}) == retrievals + 1


@pytest.mark.parametrize("seed", range(12))
async def test_any_session_does_as_the_model(house: Pop3House, seed: int) -> None:
    """Random commands in one write: every answer, and what is left after QUIT or a lost connection."""
    dice = random.Random(seed)
    name = await house.printer()
    sizes = [dice.randint(0, 300) for _ in range(dice.randint(0, 6))]
    for size in sizes:
        await house.mail(name, b"x" * size)
    live = dict(enumerate(sizes, 1))
    said, expected = [], []
    for _ in range(80):
        verb, number = dice.choice(["STAT", "LIST", "DELE", "RSET", "NOOP", "UIDL", "LISTALL"]), dice.randint(0, 7)
        said.append({"STAT": "STAT", "RSET": "RSET", "NOOP": "NOOP", "LISTALL": "LIST"}.get(verb, f"{verb} {number}"))
        if verb == "STAT":
            expected.append(f"+OK {len(live)} {sum(live.values())}")
        elif verb == "LISTALL":
            expected += [f"+OK {len(live)} messages", *(f"{n} {size}" for n, size in sorted(live.items())), "."]
        elif verb == "RSET":
            live = dict(enumerate(sizes, 1))
            expected.append(f"+OK {len(live)} messages")
        elif verb == "NOOP":
            expected.append("+OK")
        elif number not in live:
            expected.append("-ERR")
        elif verb == "DELE":
            del live[number]
            expected.append("+OK")
        else:
            expected.append(f"+OK {number} {live[number] if verb == 'LIST' else ''}")
    async with client(house, name) as printer:
        await printer.say(*said)
        for answer in expected:
            got = await printer.line()
            assert got.startswith(answer), (got, answer)
        if seed % 2:
            await printer.ask("QUIT")
        else:
            printer.drop()
            live = dict(enumerate(sizes, 1))
    await house.becomes_free(name)
    async with client(house, name) as printer:
        assert await printer.ask("STAT") == f"+OK {len(live)} {sum(live.values())}"
