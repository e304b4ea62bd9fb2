"""Each word of CAPA is a promise (RFC 2449): all are tried here, and one that is not tried fails."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from appliance.pop3.capabilities import language
from appliance.pop3.connection import Limits
from mailstore.job import JobState
from tests.pop3_house import SECRET, Client, Pop3House, client, plain, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

MAIL = b"Subject: x\r\n\r\none\r\ntwo\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


Try = Callable[[Pop3House, Client, str], Awaitable[None]]


async def top(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.login(name)).startswith("+OK")
    assert (await reader.ask("TOP 1 1")).startswith("+OK")
    assert b"".join(await reader.lines()) == b"Subject: x\r\n\r\none\r\n"


async def uidl(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.login(name)).startswith("+OK")
    assert re.fullmatch(r"\+OK 1 [!-~]{1,70}", await reader.ask("UIDL 1"))


async def user(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.login(name)).startswith("+OK")


async def sasl(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.ask(f"AUTH PLAIN {plain(name)}")).startswith("+OK")


async def response_codes(house: Pop3House, reader: Client, name: str) -> None:
    async with client(house, name):
        assert (await reader.login(name)).startswith("-ERR [IN-USE] ")


async def auth_response_code(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.login(name, "wrong")).startswith("-ERR [AUTH] ")


async def pipelining(house: Pop3House, reader: Client, name: str) -> None:
    await reader.say(f"USER {name}", f"PASS {SECRET}", "STAT", "QUIT")
    assert (await reader.closed()).count(b"+OK") == 4


async def nothing_expires(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.login(name)).startswith("+OK")
    assert await reader.retr(1) == MAIL
    await reader.ask("QUIT")
    await house.store.sweep(4e9)
    async with client(house, name) as again:
        assert await again.retr(1) == MAIL
    [job] = await house.store.jobs(printer=name)
    assert job.state is not JobState.COMPLETED


async def utf8(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.ask("UTF8")).startswith("+OK")
    assert (await reader.ask("USER müller")).startswith("+OK")
    assert (await reader.login(name)).startswith("+OK")


async def lang(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.ask("LANG")).startswith("+OK")
    assert await reader.lines() == [b"en English\r\n"]
    assert (await reader.ask("LANG en")).startswith("+OK en ")


async def stls(house: Pop3House, reader: Client, name: str) -> None:
    await reader.stls(house.trust)
    assert "STLS" not in await reader.capabilities()
    assert (await reader.login(name)).startswith("+OK")


async def login_delay(house: Pop3House, reader: Client, name: str) -> None:
    async with house.serving(Limits(failure_delay=0.01)) as strict:
        async with client(strict, name) as first:
            await first.ask("QUIT")
        async with client(strict) as second:
            assert (await second.login(name)).startswith("-ERR [LOGIN-DELAY] the poll interval is 100 seconds")


async def implementation(house: Pop3House, reader: Client, name: str) -> None:
    assert (await reader.login(name)).startswith("+OK")
    assert "IMPLEMENTATION Printpost" in await reader.capabilities()


TRIED: dict[str, Try] = {
    "TOP": top,
    "UIDL": uidl,
    "USER": user,
    "SASL PLAIN": sasl,
    "RESP-CODES": response_codes,
    "AUTH-RESP-CODE": auth_response_code,
    "PIPELINING": pipelining,
    "EXPIRE NEVER": nothing_expires,
    "UTF8 USER": utf8,
    "LANG": lang,
    "STLS": stls,
    "LOGIN-DELAY 100 USER": login_delay,
    "IMPLEMENTATION Printpost": implementation,
}


@pytest.mark.parametrize("word", TRIED)
async def test_what_is_promised_is_so(house: Pop3House, word: str) -> None:
    name = await house.printer(poll_interval=100)
    await house.mail(name, MAIL)
    async with client(house) as reader:
        assert word in await reader.capabilities()
        await TRIED[word](house, reader, name)


async def test_nothing_else_is_promised(house: Pop3House) -> None:
    name = await house.printer(poll_interval=100)
    async with client(house) as clear, client(house, trust=house.trust) as secure:
        assert set(await clear.capabilities()) == TRIED.keys()
        assert set(await secure.capabilities()) == TRIED.keys() - {"STLS"}
        assert (await clear.login(name)).startswith("+OK")
        # RFC 2449 section 5: after the login the delay is the printer's own, and RFC 2595 ends STLS there.
        assert set(await clear.capabilities()) == TRIED.keys() - {"STLS", "LOGIN-DELAY 100 USER"} | {"LOGIN-DELAY 100"}


async def test_languages_are_found_by_lookup() -> None:
    found = {wanted: language(wanted) for wanted in ("*", "en", "EN", "en-GB", "en-Latn-US", "e", "", "-", "de", "den")}
    assert [wanted for wanted, tag in found.items() if tag == "en"] == ["*", "en", "EN", "en-GB", "en-Latn-US"]
    assert {tag for tag in found.values() if tag != "en"} == {None}
