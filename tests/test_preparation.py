"""Jobs made ready as often as it takes, and broken off when nobody wants them any more."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mailstore.directory.records import Language
from mailstore.job import Job
from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from printerbridge.journal import Journal
from printerbridge.preparation import Preparation
from printerbridge.retry import Schedule
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests.directory_server import short_folder
from tests.printshop import MEDIA, POSTSCRIPT, message
from tests.test_spool import accepted, speaks

DEADLINE = 10.0


async def test_a_canceled_job_is_broken_off_once_however_often_it_rings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second time would break off its clearing up: a child that is being ended, a folder that is being emptied."""
    begun, clearing, cleared = asyncio.Event(), asyncio.Event(), []

    async def prepare(job: Job, *_: object, **__: object) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await clearing.wait()
            cleared.append(job.id)

    with short_folder() as runtime:
        store = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        try:
            spool = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(1, 4 << 30))
            monkeypatch.setattr(spool, "prepare", prepare)
            preparation = Preparation(
                spool, Journal(store), Schedule(first=0.05, factor=1.0, longest=0.05), asyncio.Event()
            )
            job = await accepted(store, message(POSTSCRIPT))
            running = asyncio.create_task(preparation.prepare(job, speaks(Language.POSTSCRIPT)))
            async with asyncio.timeout(DEADLINE):
                await begun.wait()
                await preparation.heed()
                assert not running.done()  # it is wanted
                assert await store.cancel(job.id, "ada")
                for _ in range(3):
                    await preparation.heed()
                    await asyncio.sleep(0)
                clearing.set()
                assert await running is None
        finally:
            await store.close()
    assert cleared == [job.id]
