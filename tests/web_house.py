"""The page with everything real behind it, for its tests: a store, slapd, people, and uvicorn on a free port."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from appliance.tls import Certificate, open_certificate
from appliance.web.server import WebServer, start_web
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Person, Printer
from mailstore.directory.slapd import EmbeddedDirectory
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.sql import open_store
from tests.directory_server import running_directory, short_folder

GRACE_NAME, GRACE_PASSWORD = "grace", "correct horse battery"
ADA_NAME, ADA_PASSWORD = "ada", "a lovely engine"
GRACE = Person(name=GRACE_NAME, addresses=("grace@example.com",), full_name="Grace Hopper", administrator=True)
ADA = Person(name=ADA_NAME, addresses=("ada@example.com",), full_name="Ada Lovelace")
PRINTER = Printer(
    name="office",
    addresses=("office@example.com",),
    uri="socket://192.0.2.7:9100",
    allow=("@example.com",),
    location="Room 2.14",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WebHouse:
    """What runs.  `client` has no cookie yet and comes as a script does: without `Sec-Fetch-Site`."""

    settings: Settings
    store: Store
    directory: Directory
    people: People
    slapd: EmbeddedDirectory
    certificate: Certificate
    web: WebServer
    client: httpx2.AsyncClient
    bridges: Directory  # as the bridge sees it
    runtime: Path  # where its doorbell is

    @property
    def origin(self) -> str:
        return self.web.url.rstrip("/")

    @contextlib.asynccontextmanager
    async def browser(
        self, name: str = GRACE_NAME, password: str = GRACE_PASSWORD
    ) -> AsyncIterator[httpx2.AsyncClient]:
        """A client that says what a browser says, and is logged in."""
        async with self.stranger() as client:
            answer = await client.post("/login", data={"name": name, "password": password})
            assert answer.status_code == 303, answer.text
            yield client

    def stranger(self) -> httpx2.AsyncClient:
        """A browser that is not logged in."""
        return httpx2.AsyncClient(
            base_url=self.origin, headers={"Sec-Fetch-Site": "same-origin"}, verify=self.trust(), timeout=20
        )

    def trust(self) -> ssl.SSLContext:
        """A client's context that believes in the house's certificate alone."""
        return trusting(self.certificate)

    async def add(self, *printers: Printer) -> None:
        """Make printers."""
        for printer in printers:
            await self.directory.add(printer, None if printer.uri else "correct horse")
        await self.changed()

    async def changed(self) -> None:
        """The directory was changed behind the page's back, by Printpost: every process asks anew."""
        await self.store.changed()
        self.web.site.refresh()

    async def mail(
        self, printer: str = "office", name: str = "a job", sender: str = "ada@example.com", address: str = ""
    ) -> int:
        """A job that was accepted; its number."""
        draft = await self.store.draft()
        draft.write(b"Subject: a job\r\n\r\nText\r\n")
        envelope = Envelope(
            reverse_path=sender, client_ip="127.0.0.1", helo="localhost", trust="insider", name=name, documents=1
        )
        to = address or f"{printer}@example.com"
        recipient = Recipient(maildrop=printer, address=to, quota=1 << 20, fields=b"")
        return (await self.store.accept(draft, envelope, [recipient]))[0]


def trusting(certificate: Certificate) -> ssl.SSLContext:
    """A client's context that believes in this certificate alone."""
    return ssl.create_default_context(cafile=str(certificate.files[0]))


@contextlib.asynccontextmanager
async def web_house(
    folder: Path, *printers: Printer, listen: str = "127.0.0.1:0", **settings: Any
) -> AsyncIterator[WebHouse]:
    """Grace administers, Ada does not; `printers` exist."""
    made = Settings(
        **{
            "site": {"hostname": "mail.example.com", "domains": ["example.com"]},
            "web": {"listen": listen, "names": ["printers.example.com"]},
            "store": {"url": f"sqlite:{folder}", "reserve": 1 << 20},
            "proof": {"dns": ["127.0.0.1:1"], "dns_wait": 0.1},  # nobody's: tests ask no name server of the machine
            **settings,
        }
    )
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(running_directory(folder))
        people = await stack.enter_async_context(server.people())
        runtime = stack.enter_context(short_folder())
        store = await open_store(folder, role=Role.APPLIANCE, runtime=runtime)
        stack.push_async_callback(store.close)
        await people.add(GRACE, GRACE_PASSWORD)
        await people.add(ADA, ADA_PASSWORD)

        def refresh() -> None:
            server.appliance.forget()
            people.forget()

        certificate = open_certificate(made)
        web = await start_web(made, store, server.appliance, people, certificate, refresh=refresh)
        stack.push_async_callback(web.close, 2.0)
        client = httpx2.AsyncClient(base_url=web.url.rstrip("/"), verify=trusting(certificate), timeout=20)
        await stack.enter_async_context(client)
        house = WebHouse(
            settings=made,
            store=store,
            directory=server.appliance,
            people=people,
            slapd=server.server,
            certificate=certificate,
            web=web,
            client=client,
            bridges=server.bridge,
            runtime=runtime,
        )
        await house.add(*printers)
        yield house


async def closed(server: WebServer, grace: float) -> float:
    """Close it; the seconds that it took."""
    began = time.monotonic()
    async with asyncio.timeout(20):
        await server.close(grace)
    return time.monotonic() - began
