"""Pictures of pages beside the printing: bounded, made once, and worth no job's delay."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from mailstore.directory.records import Language, Printer
from mailstore.failure import TransientFailure
from mailstore.job import Job
from mailstore.store.contract import Role, Store
from mailstore.store.papers import THUMBNAILS
from mailstore.store.sql import open_store
from printerbridge import previews as module
from printerbridge.previews import Previews
from printerbridge.ready import Prepared, Shown
from printerbridge.sandbox import Limits
from printerbridge.slots import LEAST, Slots
from printerbridge.spool import Spool
from printerbridge.thumbnails import thumbnails
from tests.directory_server import short_folder
from tests.documents import pdf
from tests.printshop import MEDIA, message
from tests.test_spool import accepted, folders, prepared_of, speaks

DEADLINE = 30.0


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "spool"
    made.mkdir()
    return made


@contextlib.asynccontextmanager
async def drawing(previews: Previews) -> AsyncIterator[None]:
    task = asyncio.create_task(previews.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def drawn(previews: Previews) -> None:
    async with drawing(previews), asyncio.timeout(DEADLINE):
        await previews.drained()


def prepared(job: Job, tmp_path: Path, documents: int = 1, *, pages: int = 1, octets: bytes = b"") -> Prepared:
    shown = []
    for number in range(1, documents + 1):
        path = tmp_path / f"made-{number}.pdf"
        path.write_bytes(octets or pdf(pages))
        shown.append(Shown(document=number, pdf=path, pages=pages))
    return Prepared(job=job, shown=shown)


async def test_a_job_is_shown_and_nothing_stays_in_the_folder(store: Store, folder: Path, tmp_path: Path) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    previews = Previews(store, folder, Slots(2, 4 << 30))
    offered = prepared(job, tmp_path, 2, pages=2)
    previews.offer(offered)
    for number in (1, 2):
        (tmp_path / f"made-{number}.pdf").unlink()  # as the job's own folder goes when it is printed
    assert offered.shown == []
    assert len(folders(folder)) == 2
    await drawn(previews)
    assert await store.thumbnails(job.id) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    picture = await store.thumbnail(job.id, 1, 1)
    assert picture
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert folders(folder) == []


async def test_a_job_that_is_made_ready_again_is_drawn_once(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    previews = Previews(store, folder, Slots(2, 4 << 30))
    await store.keep_thumbnail(job.id, 1, 1, b"the first")
    previews.offer(prepared(job, tmp_path))
    await drawn(previews)
    assert await store.thumbnail(job.id, 1, 1) == b"the first"
    assert folders(folder) == []


async def test_there_are_few_of_a_job(store: Store, folder: Path, tmp_path: Path) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    previews = Previews(store, folder, Slots(2, 4 << 30))
    previews.offer(prepared(job, tmp_path, module.DOCUMENTS + 3, pages=4))
    assert len(folders(folder)) == module.DOCUMENTS
    await drawn(previews)
    assert len(await store.thumbnails(job.id)) == THUMBNAILS


async def test_the_queue_is_bounded_and_what_finds_no_room_leaves_nothing(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    previews = Previews(store, folder, Slots(2, 4 << 30))
    for number in range(module.WAITING + 10):
        previews.offer(prepared(replace(job, id=number + 1), tmp_path, octets=b"%PDF-1.4\n"))
    assert len(folders(folder)) == module.WAITING


async def test_what_waits_holds_little_of_the_disk(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    octets = pdf()
    monkeypatch.setattr(module, "OCTETS", 3 * len(octets) + 1)
    previews = Previews(store, folder, Slots(2, 4 << 30))
    for number in range(5):
        previews.offer(prepared(replace(job, id=job.id + number), tmp_path, octets=octets))
    assert len(folders(folder)) == 3
    await drawn(previews)
    for number in range(5):
        previews.offer(prepared(replace(job, id=job.id + number), tmp_path, octets=octets))
    assert len(folders(folder)) == 3  # the room of those that were drawn was given back


async def test_a_folder_that_is_full_costs_the_job_nothing(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    job = await accepted(store, message(b"%!PS\n"))
    previews = Previews(store, folder, Slots(2, 4 << 30))
    offered = prepared(job, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", full)
        previews.offer(offered)
    assert offered.shown == []
    previews.offer(prepared(job, tmp_path))
    await drawn(previews)
    assert await store.thumbnails(job.id) == [(1, 1)]


async def test_one_that_cannot_be_drawn_or_kept_keeps_the_next_from_nothing(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    previews = Previews(store, folder, Slots(2, 4 << 30))
    keep, failures = store.keep_thumbnail, [TransientFailure("4.3.1", "full"), ValueError("a bug")]

    async def failing(job_id: int, document: int, page: int, png: bytes) -> bool:
        if failures:
            raise failures.pop()
        return await keep(job_id, document, page, png)

    monkeypatch.setattr(store, "keep_thumbnail", failing)
    damaged = prepared(job, tmp_path, octets=b"%PDF-1.4\nnot really")
    previews.offer(damaged)
    for _ in range(3):
        previews.offer(prepared(job, tmp_path))
    await drawn(previews)
    assert failures == []
    assert await store.thumbnails(job.id) == [(1, 1)]
    assert folders(folder) == []


async def test_when_the_bridge_stops_nothing_is_left_in_the_folder(store: Store, folder: Path, tmp_path: Path) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    slots = Slots(1, 4 << 30)
    previews = Previews(store, folder, slots)
    for number in range(3):
        previews.offer(prepared(replace(job, id=job.id + number), tmp_path))
    async with slots.take(1), drawing(previews):  # the first one waits for a place
        await asyncio.sleep(0)
    assert folders(folder) == []


async def test_a_conversion_that_wants_the_place_gets_it_and_the_picture_is_begun_anew(
    store: Store, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await accepted(store, message(b"%!PS\n"))
    slots = Slots(1, LEAST)
    begun, given = asyncio.Event(), list[int]()

    async def slow(pdf: Path, pages: int, *, folder: Path, timeout: float, limits: Limits) -> list[tuple[int, bytes]]:
        given.append(limits.memory)
        if len(given) == 1:
            begun.set()
            await asyncio.Event().wait()
        return await thumbnails(pdf, pages, folder=folder, timeout=timeout)

    monkeypatch.setattr(module, "thumbnails", slow)
    previews = Previews(store, folder, slots)
    previews.offer(prepared(job, tmp_path))
    async with drawing(previews), asyncio.timeout(DEADLINE):
        await begun.wait()
        async with slots.take(1):
            assert await store.thumbnails(job.id) == []
        await previews.drained()
    assert given == [LEAST, LEAST]  # its share of the memory of all
    assert await store.thumbnails(job.id) == [(1, 1)]


@pytest.mark.slow
@pytest.mark.parametrize("confidential", [False, True])
async def test_of_confidential_printers_nothing_is_offered(store: Store, tmp_path: Path, confidential: bool) -> None:
    spool = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(2, 4 << 30))
    spool.open()
    printer: Printer = replace(speaks(Language.POSTSCRIPT), confidential=confidential)
    ready = await prepared_of(spool, await accepted(store, message(pdf(2))), printer)
    assert [(one.document, one.pages) for one in ready.shown] == ([] if confidential else [(1, 2)])
    spool.previews.offer(ready)
    await spool.discard(ready)
    await drawn(spool.previews)
    assert len(await store.thumbnails(ready.job.id)) == (0 if confidential else 2)
    assert folders(tmp_path / "spool") == []
