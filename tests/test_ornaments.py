"""Signatures' pictures, known by standing in every mail of one sender: from mail to mail, and asked again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Body, Language, Printer
from mailstore.job import Job
from mailstore.store.contract import Envelope, Recipient, Role, Store
from mailstore.store.papers import Fate
from mailstore.store.sql import open_store
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests.directory_server import short_folder
from tests.letters import attached, inline, message, multipart, png, text
from tests.printshop import MEDIA, POSTSCRIPT
from tests.test_spool import accepted, speaks, yes

SEAL = inline(png(400, 400), "image/png", "seal.png")
DOCUMENT = attached(POSTSCRIPT, "application/postscript", "p.ps")
BROKEN = attached(b"PK\x03\x04" + bytes(60), "application/zip", "broken.zip")
PRINTER = replace(speaks(Language.POSTSCRIPT), body=Body.NEVER)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def spool(store: Store, tmp_path: Path) -> Spool:
    made = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(2, 4 << 30))
    made.open()
    return made


def mail(*parts: bytes) -> bytes:
    return message(multipart("mixed", text("Hello\n"), *parts))


async def fates(store: Store, spool: Spool, job: Job, printer: Printer = PRINTER) -> dict[str, Fate]:
    prepared = await spool.prepare(job, printer, yes)
    assert prepared is not None
    await spool.discard(prepared)
    return {one.name: one.fate for one in await store.documents(job.id)}


@pytest.mark.slow
async def test_from_the_third_mail_on_it_is_an_ornament_where_something_else_prints(store: Store, spool: Spool) -> None:
    jobs = [await accepted(store, mail(DOCUMENT, SEAL)) for _ in range(3)]
    beside = [await fates(store, spool, job) for job in jobs]
    assert [each["seal.png"] for each in beside] == [Fate.READY, Fate.READY, Fate.LEFT_OUT]
    # Asked again, as a job is that is tried or printed again, each answers as before.
    assert [await fates(store, spool, job) for job in jobs] == beside
    # All that prints of a mail always does: also beside a letter that does not, and what cannot be opened.
    assert await fates(store, spool, await accepted(store, mail(SEAL))) == {"seal.png": Fate.READY, "": Fate.LEFT_OUT}
    failing = await fates(store, spool, await accepted(store, mail(SEAL, BROKEN)))
    assert (failing["seal.png"], failing["broken.zip"]) == (Fate.READY, Fate.FAILED)
    # Who attached it, wants it.
    wanted = mail(DOCUMENT, attached(png(400, 400), "image/png", "seal.png"))
    assert (await fates(store, spool, await accepted(store, wanted)))["seal.png"] == Fate.READY


@pytest.mark.slow
async def test_one_mail_to_many_printers_is_one_and_another_sender_is_another(store: Store, spool: Spool) -> None:
    async def sent(sender: str, *printers: str) -> list[Job]:
        draft = await store.draft()
        draft.write(mail(DOCUMENT, SEAL))
        envelope = Envelope(
            reverse_path=sender, client_ip="192.0.2.9", helo="client.example.com", trust="insider", proved=sender
        )
        recipients = [
            Recipient(maildrop=name, address=f"{name}@example.com", quota=1 << 40, fields=b"") for name in printers
        ]
        jobs = [await store.job(number) for number in await store.accept(draft, envelope, recipients)]
        return [job for job in jobs if job is not None]

    async def found(jobs: list[Job]) -> set[Fate]:
        return {(await fates(store, spool, job))["seal.png"] for job in jobs}

    group = await sent("ada@example.com", "one", "two", "three", "four")
    assert len(group) == 4
    assert await found(group) == {Fate.READY}
    assert await found(await sent("ada@example.com", "one")) == {Fate.READY}
    assert await found(await sent("ada@example.com", "one")) == {Fate.LEFT_OUT}
    assert await found(await sent("bob@example.com", "one")) == {Fate.READY}
    assert await found(group) == {Fate.READY}
