"""A client that says to the receiver exactly what a test wants, and a receiver on a real store and directory."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.guessing import Guesses
from appliance.smtp.limits import Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.server import start_smtp
from appliance.tls import Certificate, open_certificate
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Person, Printer
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
    Printer(name="members", addresses=("members@example.com",), allow=("authenticated",)),
)

ADA = Person(name="ada", addresses=("ada@example.com", "ada.lovelace@example.com"), quota=100_000)
ROOT = Person(name="root", addresses=("root@example.com",), administrator=True, quota=1_000_000)
NO_DNS = ("127.0.0.1:9",)
"""Where no name server is: strangers cannot be proved, for now."""
PASSWORDS = {"ada": "correct horse", "root": "battery staple"}


def settings(folder: Path, **smtp: Any) -> Settings:
    networks, domains = smtp.pop("networks", ("127.0.0.0/8",)), smtp.pop("domains", ("example.com",))
    anywhere = {"listen": "127.0.0.1:0"}
    proof = {"dns": smtp.pop("dns", NO_DNS), "dns_wait": 0.2, "forwarders": smtp.pop("forwarders", ())}
    return Settings.model_validate(
        {
            "site": {"hostname": "mail.example.com", "domains": domains, "networks": networks},
            "smtp": anywhere | smtp,
            "proof": proof,
            "submission": anywhere,
            "submissions": anywhere,
            "store": {"url": f"sqlite:{folder}"},
        }
    )


@dataclass(kw_only=True)
class Site:
    """A store, a directory with people, a certificate, and receivers on them."""

    folder: Path
    store: SqlStore
    directory: Directory
    people: People
    certificate: Certificate

    def settings(self, **smtp: Any) -> Settings:
        return settings(self.folder, **smtp)

    @property
    def trusting(self) -> ssl.SSLContext:
        """For a client that believes our certificate, and no other."""
        return ssl.create_default_context(cafile=str(self.certificate.files[0]))

    @contextlib.asynccontextmanager
    async def receiver(
        self,
        *,
        limits: Limits | None = None,
        directory: Directory | None = None,
        people: People | None = None,
        guesses: Guesses | None = None,
        grace: float = 5.0,
        **smtp: Any,
    ) -> AsyncIterator[Receiver]:
        receiver = await start_smtp(
            self.settings(**smtp),
            self.store,
            directory or self.directory,
            people=people or self.people,
            certificate=self.certificate,
            limits=limits,
            guesses=guesses,
        )
        try:
            yield receiver
        finally:
            await receiver.close(grace)


@contextlib.asynccontextmanager
async def site(folder: Path) -> AsyncIterator[Site]:
    async with running_directory(folder) as directory, directory.people() as people:
        for person in (ADA, ROOT):
            await people.add(person, PASSWORDS[person.name])
        with short_folder() as runtime:
            store = await open_store(folder / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
            try:
                for printer in PRINTERS:
                    await directory.appliance.add(printer, None)
                yield Site(
                    folder=folder / "store",
                    store=store,
                    directory=directory.appliance,
                    people=people,
                    certificate=open_certificate(settings(folder / "store")),
                )
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

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """STARTTLS and the handshake."""
        answer = await self.ask("STARTTLS")
        assert answer == "220 2.0.0 begin TLS", answer
        await asyncio.wait_for(self.writer.start_tls(context, server_hostname="localhost"), DEADLINE)

    async def log_in(self, name: str = "ada", password: str = "") -> str:
        """EHLO, and AUTH PLAIN; what is answered to it."""
        await self.ask("EHLO client.example.com")
        return await self.ask(f"AUTH PLAIN {plain(name, password or PASSWORDS[name])}")

    async def closed(self) -> bytes:
        """What is still said before the server closes."""
        try:
            return await asyncio.wait_for(self.reader.read(), DEADLINE)
        except (ConnectionResetError, ssl.SSLError):
            return b""


def plain(name: str, password: str, acting_as: str = "") -> str:
    """The response of SASL PLAIN, in base64."""
    return base64.b64encode(f"{acting_as}\0{name}\0{password}".encode()).decode()


@contextlib.asynccontextmanager
async def wire(receiver: Receiver, door: str = "smtp", tls: ssl.SSLContext | None = None) -> AsyncIterator[Wire]:
    """A connection; with `tls`, under TLS from the first octet."""
    name = "localhost" if tls else None
    reader, writer = await asyncio.open_connection(*receiver.addresses[door], ssl=tls, server_hostname=name)
    made = Wire(reader, writer)
    try:
        yield made
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def submission(house: Site, receiver: Receiver, login: str = "ada") -> AsyncIterator[Wire]:
    """Somebody logged in at the door of implicit TLS, or nobody yet, who has been greeted."""
    async with wire(receiver, "submissions", house.trusting) as client:
        assert (await client.reply()).startswith("220 ")
        if login:
            assert await client.log_in(login) == "235 2.7.0 welcome"
        yield client


async def until(condition: Any, deadline: float = DEADLINE) -> None:
    """Give the loop its turn until `condition()` holds."""
    async with asyncio.timeout(deadline):
        while not condition():  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0)
