"""RFC 6856: names, passwords and messages in UTF-8, and clients that never heard of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.pop3_house import Pop3House, client, plain, running_pop3

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

RAW = "From: 用户@例え.jp\r\nSubject: Prüfung\r\n\r\nÄpfel\r\n".encode()
SHOWN = b"From: ......@.......jp\r\nSubject: Pr..fung\r\n\r\n" + "Äpfel\r\n".encode()
FIELDS = "Return-Path: <用户@例え.jp>\r\n".encode()
SHOWN_FIELDS = b"Return-Path: <......@.......jp>\r\n"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pop3House]:
    async with running_pop3(tmp_path_factory.mktemp("pop3")) as running:
        yield running


async def test_a_client_that_said_utf8_gets_the_message_as_it_is(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, RAW, FIELDS, smtputf8=True)
    async with client(house) as reader:
        assert (await reader.ask("UTF8")).startswith("+OK")
        assert (await reader.login(name)).startswith("+OK")
        assert await reader.retr(1) == FIELDS + RAW


async def test_any_other_gets_the_header_in_ascii_at_the_same_size(house: Pop3House) -> None:
    name = await house.printer()
    await house.mail(name, RAW, FIELDS, smtputf8=True)
    async with client(house, name) as printer:
        size = int((await printer.ask("LIST 1")).split()[-1])
        shown = await printer.retr(1)
        assert shown == SHOWN_FIELDS + SHOWN
        assert len(shown) == size
        assert (await printer.ask("TOP 1 0")).startswith("+OK")
        assert b"".join(await printer.lines()) == (SHOWN_FIELDS + SHOWN).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


async def test_what_was_not_sent_as_utf8_is_left_alone(house: Pop3House) -> None:
    """Old programs send Latin-1 in headers; what they mean by it is between them and the printer."""
    name = await house.printer()
    mail = b"Subject: Pr\xfcfung\r\n\r\n"
    await house.mail(name, mail)
    async with client(house, name) as printer:
        assert await printer.retr(1) == mail


async def test_names_and_passwords_are_utf8_with_and_without_the_command(house: Pop3House) -> None:
    ada = await house.person("ada")
    assert house.people
    await house.people.set_password(ada.name, "Grüße 世界")
    for said in ("NOOP", "UTF8"):
        async with client(house) as reader:
            assert (await reader.ask(said)).startswith("+OK" if said == "UTF8" else "-ERR")
            assert await reader.login("müller@print.example.com", "Grüße") == "-ERR [AUTH] wrong name or password"
            assert (await reader.login(ada.name, "Grüße 世界")).startswith("+OK")
            assert (await reader.ask("QUIT")).startswith("+OK")
        async with client(house) as reader:
            assert (await reader.ask(f"AUTH PLAIN {plain(ada.name, 'Grüße 世界')}")).startswith("+OK")
            assert (await reader.ask("QUIT")).startswith("+OK")
