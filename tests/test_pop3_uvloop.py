"""The same server on the loop that is used where it installs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import uvloop

from tests.pop3_house import FIELDS, client, running_pop3

MAIL = b"Subject: x\r\n\r\n" + b".line\r\n" * 50_000


@pytest.mark.slow
def test_a_session_on_uvloop(tmp_path: Path) -> None:
    async def prepare() -> str:
        async with running_pop3(tmp_path) as house:
            name = await house.printer()
            for _ in range(3):
                await house.mail(name, MAIL, FIELDS)
            return name

    async def fetch(name: str) -> None:
        async with running_pop3(tmp_path) as house:
            async with client(house, name) as lost:
                assert await lost.retr(1) == FIELDS + MAIL
                lost.drop()
            await house.becomes_free(name)
            async with client(house, name) as printer:
                for number in (1, 2, 3):
                    assert await printer.retr(number) == FIELDS + MAIL
                    assert (await printer.ask(f"DELE {number}")).startswith("+OK")
                assert (await printer.ask("QUIT")).startswith("+OK")
            async with client(house, name) as printer:
                assert await printer.ask("STAT") == "+OK 0 0"

    name = asyncio.run(prepare())
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fetch(name))


@pytest.mark.slow
def test_tls_on_uvloop(tmp_path: Path) -> None:
    async def fetch() -> None:
        async with running_pop3(tmp_path) as house:
            name = await house.printer()
            await house.mail(name, MAIL)
            async with client(house) as lost:
                await lost.stls(house.trust)
                await lost.login(name)
                assert await lost.retr(1) == MAIL
                lost.drop()
            await house.becomes_free(name)
            async with client(house, name, trust=house.trust) as printer:
                assert await printer.retr(1) == MAIL
                await printer.ask("DELE 1")
                assert (await printer.ask("QUIT")).startswith("+OK")
            async with client(house, name, trust=house.trust) as printer:
                assert await printer.ask("STAT") == "+OK 0 0"

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(fetch())
