"""A client that says to the receiver exactly what a test wants, and a receiver on a real store and directory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from mailstore.config import Settings
from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.store.contract import Role
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import running_directory, short_folder

DEADLINE = 10.0
LETTER = b"Subject: a letter\r\n\r\ntext\r\n"

PRINTERS = (
    Printer(name="phaser360", addresses=("phaser360@example.com",), allow=("*",)),
    Printer(name="colour", addresses=("colour@example.com", "color@example.com"), allow=("@example.com",)),
    Printer(name="closed", addresses=("closed@example.com",)),
    Printer(name="small", addresses=("small@example.com",), allow=("*",), quota=2000),
)


@dataclass(kw_only=True)
class Site:
    """A store and a directory, and receivers on them."""

    folder: Path
    store: SqlStore
    directory: Directory

    def settings(self, **smtp: Any) -> Settings:
        networks = smtp.pop("networks", ("127.0.0.0/8",))
        return Settings.model_validate(
            {
                "site": {"hostname": "mail.example.com", "domains": ("example.com",), "networks": networks},
                "smtp": smtp,
                "store": {"url": f"sqlite:{self.folder}"},
            }
        )

    @contextlib.asynccontextmanager
    async def receiver(
        self, *, limits: Limits | None = None, directory: Directory | None = None, grace: float = 5.0, **smtp: Any
    ) -> AsyncIterator[Receiver]:
        receiver = await start_smtp(
            self.settings(**smtp), self.store, directory or self.directory, host="127.0.0.1", port=0, limits=limits
        )
        try:
            yield receiver
        finally:
            await receiver.close(grace)


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with running_directory(folder) as directory:
        with short_folder() as runtime:
            store = await open_store(folder / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
            try:
                for printer in PRINTERS:
                    await directory.appliance.add(printer, None)
                yield Site(folder=folder / "store", store=store, directory=directory.appliance)
            finally:
                await store.close()


class Wire:
    """One connection.  `wire` makes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @property
    def socket(self) -> Any:
        return self.writer.get_extra_info("socket")

    async def reply(self) -> str:
        """The next reply, its lines apart by line feeds."""
        lines = []
        for _ in itertools.count():
            line = (await asyncio.wait_for(self.reader.readuntil(b"\r\n"), DEADLINE))[:-2].decode()
            lines.append(line)
            if line[3:4] != "-":
                break
        return "\n".join(lines)

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await asyncio.wait_for(self.writer.drain(), DEADLINE)

    async def ask(self, command: str) -> str:
        await self.send(command.encode() + b"\r\n")
        return await self.reply()

    async def to_data(self, *recipients: str, sender: str = "ada@example.com", size: int = 0) -> None:
        """From the greeting to 354."""
        await self.ask("EHLO client.example.com")
        await self.ask(f"MAIL FROM:<{sender}> SIZE={size}")
        for recipient in recipients or ("phaser360@example.com",):
            answer = await self.ask(f"RCPT TO:<{recipient}>")
            assert answer.startswith("250"), answer
        answer = await self.ask("DATA")
        assert answer.startswith("354"), answer

    async def mail(self, message: bytes, *recipients: str) -> str:
        """A whole message, already dot-stuffed; what is answered to its end."""
        await self.to_data(*recipients)
        await self.send(message + b".\r\n")
        return await self.reply()

    async def closed(self) -> bytes:
        """What is still said before the server closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), DEADLINE)
        except ConnectionResetError:
            return b""


@contextlib.asynccontextmanager
async def wire(receiver: Receiver) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection(*receiver.address)
    made = Wire(reader, writer)
    try:
        yield made
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(condition: Any, deadline: float = DEADLINE) -> None:
    """Give the loop its turn until `condition()` holds."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0)
