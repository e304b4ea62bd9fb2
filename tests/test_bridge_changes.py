"""What changes while a job is under way: it is canceled or held, its printer moves or goes, an earlier bridge died;
the directory is down."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language, WhenUncertain
from mailstore.job import Event, JobState
from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from tests.directory_server import running_directory
from tests.printshop import POSTSCRIPT, SOON, Printshop, message, printshop
from tests.sink import Peer, free_port, sink

pytestmark = pytest.mark.slow  # foreign programs


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


async def test_a_removed_printers_jobs_do_not_print(shop: Printshop) -> None:
    """Canceled between being read ahead and being sent: the journal says no, and no octet goes out."""
    first_waits = asyncio.Event()

    async def hesitant(peer: Peer) -> None:
        await peer.take_all()
        await first_waits.wait()

    async with sink(hesitant) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        await shop.printer("letterhead", printer.uri)
        first = await shop.submit("phaser", message(POSTSCRIPT))
        canceled = await shop.submit("letterhead", message(b"%! must not print"))
        await shop.until(first, JobState.PROCESSING)
        await shop.store.forget_printer("letterhead")
        first_waits.set()
        last = await shop.submit("phaser", message(POSTSCRIPT))
        jobs = await shop.ended(first, canceled, last)
        assert [job for job in printer.jobs if job] == [POSTSCRIPT, POSTSCRIPT]
    assert [job.state for job in jobs] == [JobState.COMPLETED, JobState.CANCELED, JobState.COMPLETED]


async def test_a_printer_that_moves_takes_its_jobs_along(shop: Printshop) -> None:
    async with sink() as new, shop.bridge():
        await shop.printer("phaser", f"socket://127.0.0.1:{await free_port()}")
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.told(job_id, "refuses")
        await shop.printer("phaser", new.uri)
        await shop.ended(job_id)
        assert new.jobs == [POSTSCRIPT]


async def test_a_printer_that_moves_between_two_documents_leaves_a_doubt_and_goes_on(shop: Printshop) -> None:
    async def takes_one(peer: Peer) -> None:
        if old.connections > 1:
            peer.reset()
        else:
            await peer.take_all()

    async with sink(takes_one) as old, sink() as new, shop.bridge():
        await shop.printer("phaser", old.uri)
        half = await shop.submit("phaser", message(*(POSTSCRIPT, POSTSCRIPT)))
        await shop.told(half, "waiting to send document 2")
        await shop.printer("phaser", new.uri)
        job = await shop.until(half, JobState.PROCESSING_STOPPED)
        (after,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert new.jobs == [POSTSCRIPT]
    assert "x-delivery-unknown" in job.reasons
    assert "documents from 2 on were not sent" in job.detail
    assert after.state is JobState.COMPLETED


async def test_a_printer_that_moves_leaves_its_job_under_way_behind(shop: Printshop) -> None:
    """The old device has no paper and will not end for hours: the new one prints meanwhile."""
    paper = asyncio.Event()

    async def out_of_paper(peer: Peer) -> None:
        await peer.take(1000)
        await paper.wait()
        await peer.take_all()

    document = POSTSCRIPT + b"%" * (4 << 20)
    async with sink(out_of_paper, window=4096) as old, sink() as new, shop.bridge(replace(SOON, renew=0.1)):
        await shop.printer("phaser", old.uri)
        first = await shop.submit("phaser", message(document))
        await shop.until(first, JobState.PROCESSING_STOPPED)
        await shop.printer("phaser", new.uri)
        await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        assert new.jobs == [POSTSCRIPT]
        paper.set()
        (job,) = await shop.ended(first)
        assert old.jobs == [document]
    assert job.state is JobState.COMPLETED


async def test_a_removed_printers_job_is_broken_off(shop: Printshop) -> None:
    async def stuck(peer: Peer) -> None:
        if b"endless" in await peer.take(20):
            await asyncio.Event().wait()
        await peer.take_all()

    endless = b"%!PS endless\n" + b"%" * (4 << 20)
    async with sink(stuck, window=4096) as printer, shop.bridge(replace(SOON, renew=0.1)):
        await shop.printer("phaser", printer.uri)
        await shop.printer("letterhead", printer.uri)
        removed = await shop.submit("phaser", message(endless))
        await shop.until(removed, JobState.PROCESSING, JobState.PROCESSING_STOPPED)
        await shop.store.forget_printer("phaser")
        (last,) = await shop.ended(await shop.submit("letterhead", message(POSTSCRIPT)))
        assert printer.jobs[-1] == POSTSCRIPT
        assert "ended while it was being sent" in await shop.trace(removed)
    assert await shop.states([removed, last.id]) == [JobState.CANCELED, JobState.COMPLETED]


async def test_a_held_job_does_not_print_though_it_was_made_ready(shop: Printshop) -> None:
    first_waits = asyncio.Event()

    async def hesitant(peer: Peer) -> None:
        await peer.take_all()
        await first_waits.wait()

    async with sink(hesitant) as printer, shop.bridge():
        await shop.printer("phaser", printer.uri)
        first = await shop.submit("phaser", message(POSTSCRIPT))
        held = await shop.submit("phaser", message(b"%! must not print"))
        await shop.until(first, JobState.PROCESSING)
        lease = await shop.drains.acquire("device:elsewhere", "somebody who holds jobs", 30)
        assert lease is not None
        assert await shop.drains.move(lease, held, Event.HOLD, reasons=["job-hold-until-specified"])
        last = await shop.submit("phaser", message(POSTSCRIPT))
        first_waits.set()
        await shop.ended(first, last)
        assert [job for job in printer.jobs if job] == [POSTSCRIPT, POSTSCRIPT]
    assert await shop.states([held]) == [JobState.PENDING_HELD]


@pytest.mark.parametrize(
    ("policy", "state"),
    [
        (WhenUncertain.HOLD, JobState.PROCESSING_STOPPED),
        (WhenUncertain.REPRINT, JobState.COMPLETED),
        (WhenUncertain.PRINTED, JobState.COMPLETED),
    ],
)
async def test_a_printers_entry_decides_on_what_an_earlier_bridge_left(
    shop: Printshop, policy: WhenUncertain, state: JobState
) -> None:
    async with sink() as printer:
        await shop.printer("phaser", printer.uri, Language.POSTSCRIPT, Language.TEXT, when_uncertain=policy)
        left = await shop.submit("phaser", message(POSTSCRIPT))
        lease = await shop.drains.acquire("device:elsewhere", "an earlier bridge", 30)
        assert lease is not None
        assert await shop.drains.sending(lease, left, 0)
        await shop.drains.release(lease)
        async with shop.bridge():
            (other,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT + b"other")))
            await shop.until(left, state)
        printed = printer.jobs
    assert other.state is JobState.COMPLETED
    assert printed.count(POSTSCRIPT) == (policy is WhenUncertain.REPRINT)
    assert any(b"POSSIBLE DUPLICATE" in each for each in printed) == (policy is WhenUncertain.REPRINT)


async def test_a_directory_that_is_down_at_the_start_is_told_once_and_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_directory(tmp_path) as running, sink() as printer:
        store = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=running.runtime)
        drains = await open_store(tmp_path / "data", role=Role.BRIDGE, reserve=0, runtime=running.runtime)
        shop = Printshop(store, drains, running.appliance, running.bridge, tmp_path)
        for name in ("phaser", "letterhead"):
            await shop.printer(name, printer.uri)
        await running.server.stop()
        async with shop.bridge(replace(SOON, look=0.05)):
            jobs = [await shop.submit(name, message(POSTSCRIPT)) for name in ("phaser", "letterhead")]
            async with asyncio.timeout(20):
                while "could not look for work" not in caplog.text:  # noqa: ASYNC110 - a log is no event
                    await asyncio.sleep(0.01)
                for _ in range(10):  # rings, each of which would ask again
                    jobs.append(await shop.submit("phaser", message(POSTSCRIPT)))
            await running.server.start()
            ended = await shop.ended(*jobs)
        await drains.close()
        await store.close()
    assert {job.state for job in ended} == {JobState.COMPLETED}
    assert caplog.text.count("could not look for work") <= 2  # as one sentence or another
