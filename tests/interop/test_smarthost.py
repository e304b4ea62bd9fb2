"""A real Postfix as smarthost: it takes notices with a null reverse-path and delivers them into a maildir."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from appliance.notices import Audience, about_job
from appliance.relay import Relay
from appliance.telling import letterhead
from mailstore.config import Settings
from mailstore.directory.people import LdapPeople
from mailstore.store.contract import Role
from mailstore.store.outbox import Occasion, OutgoingMail
from mailstore.store.sql import SqlStore, open_store
from tests.contracts.store import envelope, recipient
from tests.directory_server import make_certificate, running_directory, short_folder
from tests.interop.cups import open_to_others
from tests.interop.postfix import arrived, into_maildirs, postfix
from tests.interop.programs import until
from tests.sink import free_port
from tests.test_notices import PRINTER, job, occurrence

pytestmark = [pytest.mark.interop, pytest.mark.slow]

NAME = "Größe der Übersicht\r\nBcc: eve@example.org"


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="pp-smarthost-"))
    open_to_others(made)
    yield made
    shutil.rmtree(made, ignore_errors=True)


@pytest.fixture
async def people(tmp_path: Path) -> AsyncIterator[LdapPeople]:
    async with running_directory(tmp_path) as directory, directory.people() as made:
        yield made


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


def settings(port: int, **relay: Any) -> Settings:
    site = {"hostname": "mail.example.com", "domains": ("example.com",)}
    return Settings.model_validate({"site": site, "relay": {"smarthost": f"127.0.0.1:{port}", **relay}})


def notice(to: str, part: Audience = Audience.STAFF) -> OutgoingMail:
    happened = occurrence(Occasion.ABORTED, "document-format-error", detail="ende\n.\nfehlt: ü")
    return about_job(letterhead(settings(25)), happened, job(name=NAME), PRINTER, to=to, audience=part, now=time.time())


@contextlib.asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def emptied(store: SqlStore) -> None:
    async def holds() -> bool:
        return (await store.outgoing()).waiting == 0

    await until(holds, 30)


async def test_a_notice_arrives_as_it_was_written(store: SqlStore, people: LdapPeople, folder: Path) -> None:
    async with postfix(folder, into_maildirs(folder)) as port:
        await store.tell([notice("grace@example.org"), notice("ada@example.org", Audience.SENDER)], [])
        async with relaying(Relay(settings(port), store, people)):
            await emptied(store)
            (raw,) = await arrived(folder, "grace")
            (answer,) = await arrived(folder, "ada")
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message["return-path"] == "<>"
    assert message["subject"] == "Not printed on phaser360: Größe der Übersicht Bcc: eve@example.org"
    assert message["bcc"] is None
    assert "fehlt: ü" in message.get_content()
    assert "by postfix.example.com" in " ".join(str(message["received"]).split())
    assert b"Auto-Submitted: auto-replied" in answer


@pytest.mark.parametrize("tls", ["auto", "starttls"])
async def test_it_goes_by_starttls(store: SqlStore, people: LdapPeople, folder: Path, tls: str) -> None:
    certificate = make_certificate(folder)
    offered = {
        "smtpd_tls_cert_file": str(certificate),
        "smtpd_tls_key_file": str(folder / "key.pem"),
        "smtpd_tls_security_level": "encrypt",
    }
    async with postfix(folder, into_maildirs(folder) | offered) as port:
        await store.tell([notice("grace@example.org")], [])
        async with relaying(Relay(settings(port, tls=tls, ca=certificate), store, people)):
            await emptied(store)
            await arrived(folder, "grace")


async def test_what_postfix_refuses_is_given_up_with_its_words(
    store: SqlStore, people: LdapPeople, folder: Path
) -> None:
    draft = await store.draft()
    draft.write(b"Subject: x\r\n\r\nx\r\n")
    (number,) = await store.accept(draft, envelope(), [recipient("phaser360")])
    refusing = into_maildirs(folder) | {"smtpd_recipient_restrictions": "reject_unlisted_recipient, permit"}
    async with postfix(folder, refusing) as port:
        await store.tell(
            [OutgoingMail(recipient="nobody@example.org", octets=b"\r\n", job_id=number, expires_at=time.time() + 99)],
            [],
        )
        async with relaying(Relay(settings(port), store, people)):
            await emptied(store)
    last = (await store.trace(number))[-1].text
    assert last.startswith("notice to nobody@example.org given up:")
    assert "550 5.1.1" in last


async def test_with_postfix_down_the_queue_waits_and_drains_when_it_is_up(
    store: SqlStore, people: LdapPeople, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = await free_port()
    monkeypatch.setattr("tests.interop.postfix.free_port", lambda: _ready(port))
    await store.tell([notice("grace@example.org") for _ in range(5)], [])
    relay = Relay(settings(port), store, people, pauses=(0.5,))

    async def refused() -> bool:
        standing = await store.outgoing()
        return standing.waiting == 5 and "Connection refused" in standing.last_error

    async with relaying(relay):
        await until(refused, 30)
        async with postfix(folder, into_maildirs(folder)):
            relay.ring()
            assert len(await arrived(folder, "grace", 5)) == 5
            await emptied(store)


async def _ready(port: int) -> int:
    return port
