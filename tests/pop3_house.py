"""A POP3 server over a real store and a real slapd, for tests: `running_pop3` for one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from appliance.pop3.connection import Limits
from appliance.pop3.server import Pop3Service, start_pop3
from mailstore.config import Settings
from mailstore.directory.ldap import LdapDirectory
from mailstore.directory.records import Printer
from mailstore.job import Job
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import running_directory

SECRET = "correct horse"
LIMITS = Limits(failure_delay=0.01)
FIELDS = b"Return-Path: <ada@example.com>\r\nDelivered-To: phaser@print.example.com\r\n"


class Pop3House:
    """Where it listens, and hands to put printers, mail and servers into it."""

    def __init__(self, store: SqlStore, directory: LdapDirectory) -> None:
        self.store = store
        self.directory = directory
        self.settings = Settings.model_validate({"site": {"hostname": "print.example.com"}})
        self.host, self.port = "127.0.0.1", 0
        self._names = (f"phaser{number}" for number in itertools.count(1))

    async def printer(self, **settings: object) -> str:
        """A new printer with the password SECRET; its name."""
        name = next(self._names)
        given: dict[str, object] = {"name": name, "addresses": (f"{name}@print.example.com",), **settings}
        await self.directory.add(Printer(**given), SECRET)  # type: ignore[arg-type]
        return name

    async def mail(self, printer: str, octets: bytes, fields: bytes = b"") -> int:
        """Put a message into the maildrop; the job's number."""
        return await self.mail_in_pieces(printer, [octets], fields)

    async def mail_in_pieces(self, printer: str, pieces: Iterable[bytes], fields: bytes = b"") -> int:
        draft = await self.store.draft()
        for piece in pieces:
            for start in range(0, len(piece), 65536):
                draft.write(piece[start : start + 65536])
                if draft.congested:
                    await draft.drained()
        [job] = await self.store.accept(
            draft,
            Envelope(reverse_path="ada@example.com", client_ip="127.0.0.1", helo="x", trust="insider", documents=1),
            [Recipient(maildrop=printer, address=f"{printer}@print.example.com", quota=1 << 40, fields=fields)],
        )
        return job

    async def job(self, number: int) -> Job:
        job = await self.store.job(number)
        assert job
        return job

    @contextlib.asynccontextmanager
    async def serving(self, limits: Limits = LIMITS, host: str = "127.0.0.1") -> AsyncIterator[Pop3Service]:
        """One more server, with other limits."""
        service = await start_pop3(self.settings, self.store, self.directory, host=host, port=0, limits=limits)
        try:
            yield service
        finally:
            await service.close(grace=0)

    async def free(self, printer: str) -> bool:
        """Whether nobody holds the maildrop."""
        held = await self.store.open_maildrop(printer, "test", 5.0)
        if held:
            await held.close()
        return held is not None

    async def becomes_free(self, printer: str, seconds: float = 5.0) -> None:
        async with asyncio.timeout(seconds):
            while not await self.free(printer):  # noqa: ASYNC110 - nobody tells of it
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def running_pop3(folder: Path) -> AsyncIterator[Pop3House]:
    async with running_directory(folder) as directory:
        store = await open_store(folder / "store", role=Role.APPLIANCE, reserve=0, runtime=folder / "run")
        house = Pop3House(store, directory.appliance)
        try:
            async with house.serving() as service:
                house.host, house.port = service.address
                yield house
        finally:
            await store.close()


class Client:
    """A POP3 client that says exactly what it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def say(self, *lines: str | bytes) -> None:
        """All lines in one write."""
        self.writer.write(b"".join((line.encode() if isinstance(line, str) else line) + b"\r\n" for line in lines))
        await asyncio.wait_for(self.writer.drain(), 10)

    async def line(self) -> str:
        async with asyncio.timeout(10):
            return (await self.reader.readuntil(b"\r\n"))[:-2].decode()

    async def ask(self, line: str | bytes) -> str:
        await self.say(line)
        return await self.line()

    async def lines(self) -> list[bytes]:
        """The rest of a multi-line response, unstuffed."""
        found: list[bytes] = []
        async with asyncio.timeout(30):
            while (line := await self.reader.readuntil(b"\r\n")) != b".\r\n":
                found.append(line.removeprefix(b"."))
        return found

    async def retr(self, number: int) -> bytes:
        assert (await self.ask(f"RETR {number}")).startswith("+OK")
        return b"".join(await self.lines())

    async def login(self, name: str, password: str = SECRET) -> str:
        await self.say(f"USER {name}", f"PASS {password}")
        assert (await self.line()).startswith("+OK")
        return await self.line()

    async def closed(self) -> bytes:
        """What is still said until the server closes."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionResetError:
                return b""

    def drop(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client(address: tuple[str, int] | Pop3House | Pop3Service, name: str = "") -> AsyncIterator[Client]:
    """Connected and greeted, logged in if `name` is given."""
    host, port = (
        (address.host, address.port)
        if isinstance(address, Pop3House)
        else address.address
        if isinstance(address, Pop3Service)
        else address
    )
    reader, writer = await asyncio.open_connection(host, port, limit=1 << 23)
    found = Client(reader, writer)
    try:
        assert (await found.line()).startswith("+OK")
        if name:
            assert (await found.login(name)).startswith("+OK")
        yield found
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
