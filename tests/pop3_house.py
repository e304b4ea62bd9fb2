"""A POP3 server with TLS over a real store and a real slapd, for tests: `running_pop3` for one event loop."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

from appliance.guessing import Guesses
from appliance.pop3.connection import Limits
from appliance.pop3.server import Pop3Service, start_pop3
from appliance.tls import Certificate, open_certificate
from mailstore.config import Pop3, Settings
from mailstore.directory.contract import People
from mailstore.directory.ldap import LdapDirectory
from mailstore.directory.logins import Pace
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.own_people import OwnPeople
from mailstore.directory.people import LdapPeople
from mailstore.directory.records import Person, Printer
from mailstore.directory.server import LdapServer
from mailstore.directory.slapd import secret, socket_url
from mailstore.job import Job
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import RunningDirectory, running_directory

SECRET = "correct horse"
LIMITS = Limits(failure_delay=0.01, poll_share=0.0)
FIELDS = b"Return-Path: <ada@example.com>\r\nDelivered-To: phaser@print.example.com\r\n"


class Pop3House:
    """Where it listens, and hands to put printers, mail and servers into it."""

    def __init__(
        self,
        store: SqlStore,
        directory: LdapDirectory,
        people: People | None = None,
        certificate: Certificate | None = None,
        settings: Settings | None = None,
    ) -> None:
        self.store = store
        self.directory = directory
        self.people = people
        self.certificate = certificate
        self.settings = settings or Settings.model_validate({"site": {"hostname": "print.example.com"}})
        self.host, self.port = "127.0.0.1", 0
        self.secure_port = 0
        self._names = (f"phaser{number}" for number in itertools.count(1))

    @property
    def trust(self) -> ssl.SSLContext:
        """A client that believes our certificate alone."""
        assert self.certificate
        return ssl.create_default_context(cafile=str(self.certificate.files[0]))

    async def printer(self, **settings: object) -> str:
        """A new printer with the password SECRET; its name."""
        name = next(self._names)
        given: dict[str, object] = {"name": name, "addresses": (f"{name}@print.example.com",), **settings}
        await self.directory.add(Printer(**given), SECRET)  # type: ignore[arg-type]
        return name

    async def person(self, name: str, **settings: object) -> Person:
        """A new user with the password SECRET."""
        assert self.people
        given: dict[str, object] = {"name": name, "addresses": (f"{name}@print.example.com",), **settings}
        person = Person(**given)  # type: ignore[arg-type]
        await self.people.add(person, SECRET)
        return person

    async def mail(self, printer: str, octets: bytes, fields: bytes = b"", *, smtputf8: bool = False) -> int:
        """Put a message into the maildrop; the job's number."""
        return await self.mail_in_pieces(printer, [octets], fields, smtputf8=smtputf8)

    async def mail_in_pieces(
        self, printer: str, pieces: Iterable[bytes], fields: bytes = b"", *, smtputf8: bool = False
    ) -> int:
        draft = await self.store.draft()
        for piece in pieces:
            for start in range(0, len(piece), 65536):
                draft.write(piece[start : start + 65536])
                if draft.congested:
                    await draft.drained()
        [job] = await self.store.accept(
            draft,
            Envelope(
                reverse_path="ada@example.com",
                client_ip="127.0.0.1",
                helo="x",
                trust="insider",
                smtputf8=smtputf8,
                documents=1,
            ),
            [Recipient(maildrop=printer, address=f"{printer}@print.example.com", quota=1 << 40, fields=fields)],
        )
        return job

    async def job(self, number: int) -> Job:
        job = await self.store.job(number)
        assert job
        return job

    @contextlib.asynccontextmanager
    async def serving(
        self, limits: Limits | None = LIMITS, host: str = "127.0.0.1", guesses: Guesses | None = None
    ) -> AsyncIterator[Pop3Service]:
        """One more server, with other limits."""
        service = await start_pop3(
            self.settings.model_copy(
                update={
                    "pop3": Pop3(
                        listen=f"[{host}]:0" if ":" in host else f"{host}:0", proxies=self.settings.pop3.proxies
                    )
                }
            ),
            self.store,
            self.directory,
            people=self.people,
            certificate=self.certificate,
            guesses=guesses or Guesses(1000),
            limits=limits,
        )
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
    settings = Settings.model_validate(
        {
            "site": {"hostname": "print.example.com"},
            "store": {"url": f"sqlite:{folder / 'store'}"},
            "pop3s": {"listen": "127.0.0.1:0"},
        }
    )
    async with running_directory(folder) as directory:
        people = own_people(directory)
        store = await open_store(settings.store.folder, role=Role.APPLIANCE, reserve=0, runtime=folder / "run")
        house = Pop3House(store, directory.appliance, people, open_certificate(settings), settings)
        try:
            async with house.serving() as service:
                house.host, house.port = service.address
                house.secure_port = service.addresses["pop3s"][1]
                yield house
        finally:
            await store.close()
            await people.close()


def own_people(directory: RunningDirectory) -> LdapPeople:
    password = secret(directory.folder, Identity.APPLIANCE)
    server = LdapServer(socket_url(directory.runtime), Identity.APPLIANCE.dn, password)
    return LdapPeople(OwnPeople(server, SUFFIX, clock=time.monotonic, pace=Pace()))


def plain(name: str, password: str = SECRET, *, acting_as: str = "") -> str:
    """The response of SASL's PLAIN, RFC 4616 section 2."""
    return b64encode("\0".join((acting_as, name, password)).encode()).decode()


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
            except (ConnectionResetError, ssl.SSLError):
                return b""

    async def stls(self, trust: ssl.SSLContext) -> None:
        """STLS, and then TLS."""
        assert (await self.ask("STLS")).startswith("+OK")
        async with asyncio.timeout(10):
            await self.writer.start_tls(trust, server_hostname="print.example.com")

    async def capabilities(self) -> list[str]:
        assert (await self.ask("CAPA")).startswith("+OK")
        return [line.decode().rstrip() for line in await self.lines()]

    def drop(self) -> None:
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def client(
    where: tuple[str, int] | Pop3House | Pop3Service, name: str = "", trust: ssl.SSLContext | None = None
) -> AsyncIterator[Client]:
    """Connected and greeted, under TLS from the first octet with `trust`, logged in if `name` is given."""
    host, port = _address(where, bool(trust))
    reader, writer = await asyncio.open_connection(
        host, port, limit=1 << 23, ssl=trust, server_hostname="print.example.com" if trust else None
    )
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


@contextlib.asynccontextmanager
async def narrow_client(where: tuple[str, int]) -> AsyncIterator[Client]:
    """Connected and greeted; what it is not asked for stays with the server but for a few thousand octets."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # before it connects, or the window is as large as ever
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, where)
    reader, writer = await asyncio.open_connection(sock=wire, limit=1024)
    found = Client(reader, writer)
    try:
        assert (await found.line()).startswith("+OK")
        yield found
    finally:
        found.drop()


def _address(where: tuple[str, int] | Pop3House | Pop3Service, secure: bool) -> tuple[str, int]:
    if isinstance(where, Pop3House):
        return where.host, where.secure_port if secure else where.port
    if isinstance(where, Pop3Service):
        return where.addresses["pop3s" if secure else "pop3"]
    return where
