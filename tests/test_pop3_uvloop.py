"""The same server on the loop that is used where it installs."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop

from tests.pop3_house import FIELDS, SECRET, client, running_pop3

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


@pytest.mark.slow
@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_reset_behind_the_last_octets_ends_the_session(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop], caplog: pytest.LogCaptureFixture
) -> None:
    """Both come to the loop at once: it reads the octets, and on uvloop was never told of the reset."""

    def talk(address: tuple[str, int], lines: str) -> socket.socket:
        own = socket.create_connection(address, timeout=5)
        with own.makefile("rwb", buffering=0) as wire:
            assert wire.readline().startswith(b"+OK")
            for line in lines.splitlines():
                wire.write(f"{line}\r\n".encode())
                assert wire.readline().startswith(b"+OK")
        return own

    async def reset() -> None:
        async with running_pop3(tmp_path) as house, house.serving() as service:
            name = await house.printer()
            login = f"USER {name}\r\nPASS {SECRET}\r\n"
            await house.mail(name, MAIL)
            for first, last in (
                ("", b""),
                ("", b"CAP"),
                ("STLS\r\n", b"\x16\x03\x01"),
                (login, b"NO"),
                (login, b"NOOP\r\n"),
                (login, b"RETR 1\r\n"),
                (login, b"DELE 1\r\nQUIT"),
                (login, 9000 * b"NOOP\r\n"),
            ):
                own = await asyncio.to_thread(talk, service.address, first)
                own.sendall(last)
                own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                own.close()  # before the loop had its turn
                async with asyncio.timeout(5):
                    while service._sessions:  # noqa: ASYNC110 - nobody tells of it
                        await asyncio.sleep(0.005)
                await house.becomes_free(name)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(reset())
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []
