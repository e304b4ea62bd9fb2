"""People read their mail by POP3: who they are, from where, and by which programs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import pytest
import pytest_asyncio
import structlog
from prometheus_client import REGISTRY

from appliance.pop3 import session
from appliance.pop3.connection import Limits
from mailstore.directory.records import Person, Printer
from tests.pop3_house import FIELDS, SECRET, Pop3House, client, running_pop3
from tests.test_pop3_clients import run

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MAIL = b"Subject: paper is out\r\n\r\n.\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def ada(house: Pop3House) -> Person:
    return await house.person("ada", addresses=("ada@print.example.com", "a.lovelace@print.example.com"))


@pytest.mark.parametrize("user", ["ada", "ADA", "ada@print.example.com", "a.lovelace@PRINT.example.com"])
async def test_by_name_and_by_address(house: Pop3House, ada: Person, user: str) -> None:
    await house.mail(ada.maildrop, MAIL, FIELDS)
    with structlog.testing.capture_logs() as lines:
        async with client(house, user) as reader:
            assert await reader.retr(1) == FIELDS + MAIL
            await reader.ask("DELE 1")
            assert (await reader.ask("QUIT")).startswith("+OK")
    assert {line["person"] for line in lines if line["event"] == "pop3 login"} == {"ada"}
    async with client(house, user) as reader:
        assert await reader.ask("STAT") == "+OK 0 0"


async def test_a_wrong_password_and_no_such_name_are_one(house: Pop3House, ada: Person) -> None:
    async with house.serving(Limits(failure_delay=0.3, failures=9)) as service, client(service) as guesser:
        answers, took = set(), []
        for user in (ada.name, ada.addresses[0], "nobody", "nobody@print.example.com", await house.printer()):
            began = asyncio.get_running_loop().time()
            answers.add(await guesser.login(user, "wrong"))
            took.append(asyncio.get_running_loop().time() - began)
    assert answers == {"-ERR [AUTH] wrong name or password"}
    assert min(took) >= 0.3
    assert max(took) < 0.3 + 0.15


async def test_over_the_network_only_under_tls(house: Pop3House, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer's address is the one thing that loopback cannot show."""
    monkeypatch.setattr(session, "plain_ip", lambda host: ip_address("192.0.2.7"))
    old = await house.printer(plain_from=("192.0.2.0/24",))
    counter = "printpost_pop3_clear_logins_total"
    before = REGISTRY.get_sample_value(counter) or 0
    async with client(house) as reader:
        refused = await reader.ask(f"USER {ada.name}")
        assert refused.startswith("-ERR [AUTH] ")
        assert f"port {house.secure_port}" in refused
        assert await reader.ask("USER nobody") == refused
        assert await reader.ask(f"USER {await house.printer()}") == refused
        await reader.stls(house.trust)
        assert (await reader.login(ada.name)).startswith("+OK")
    async with client(house, ada.name, trust=house.trust) as reader:
        await reader.ask("QUIT")
    assert REGISTRY.get_sample_value(counter) == before
    async with client(house, old):
        pass
    assert REGISTRY.get_sample_value(counter) == before + 1


async def test_an_entry_that_changes_between_name_and_password(
    house: Pop3House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "plain_ip", lambda host: ip_address("192.0.2.7"))
    name = await house.printer(plain_from=("192.0.2.0/24",))
    async with client(house) as printer:
        assert (await printer.ask(f"USER {name}")).startswith("+OK")
        await house.directory.replace(Printer(name=name, addresses=(f"{name}@print.example.com",)))
        assert (await printer.ask(f"PASS {SECRET}")).startswith("-ERR [AUTH] passwords in clear")


async def test_without_people_only_printers_log_in(house: Pop3House, ada: Person) -> None:
    without = Pop3House(house.store, house.directory)
    name = await house.printer()
    async with without.serving() as service, client(service) as reader:
        assert (await reader.login(ada.name)).startswith("-ERR [AUTH]")
        assert (await reader.login(name)).startswith("+OK")


async def test_a_removed_user_is_out_at_once(house: Pop3House) -> None:
    gone = await house.person("gone")
    async with client(house, gone.name) as reader:
        await reader.ask("QUIT")
    assert house.people
    await house.people.remove(gone.name)
    async with client(house) as reader:
        assert (await reader.login(gone.name)).startswith("-ERR [AUTH]")


async def test_two_sessions_of_one_person(house: Pop3House, ada: Person) -> None:
    async with client(house, ada.name), client(house) as second:
        assert (await second.login(ada.addresses[1])).startswith("-ERR [IN-USE]")


async def test_fetchmail_fetches_a_persons_mail(house: Pop3House, ada: Person, tmp_path: Path) -> None:
    await house.mail(ada.maildrop, MAIL, FIELDS)
    control, taken = tmp_path / "fetchmailrc", tmp_path / "taken"
    control.touch(mode=0o600)
    assert house.certificate
    control.write_text(
        f"set invisible\nset no bouncemail\npoll localhost proto pop3 port {house.secure_port} auth password no dns\n"
        f'  user "{ada.addresses[0]}" password "{SECRET}" is nobody here no rewrite pass8bits stripcr fetchall ssl\n'
        f'  sslcertck sslcertfile "{house.certificate.files[0]}" mda "tee {taken}"\n'
    )
    await run("fetchmail", "-f", str(control), "--pidfile", str(tmp_path / "pid"), "-i", str(tmp_path / "ids"))
    assert taken.read_bytes().replace(b"\n", b"\r\n") == FIELDS + MAIL
    await house.becomes_free(ada.maildrop)
    async with client(house, ada.name) as reader:
        assert await reader.ask("STAT") == "+OK 0 0"
