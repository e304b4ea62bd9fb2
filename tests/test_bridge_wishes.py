"""What people want of a job or a printer, obeyed at the ring: canceling, holding, pausing, deciding; and addresses."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.records import Language
from mailstore.job import JobState
from printerbridge.guard import Guard
from printerbridge.line import Timing
from printerbridge.pjl import UEL
from printerbridge.virtual_connection import Ended
from tests.printshop import POSTSCRIPT, SOON, Printshop, message, printshop
from tests.sink import Peer, sink
from tests.test_bridge import virtual_printer

pytestmark = pytest.mark.slow  # foreign programs

LAZY = replace(SOON, look=60.0)  # nothing is found but by the ring
BY = "ada"


@pytest_asyncio.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Printshop]:
    async with printshop(tmp_path) as made:
        yield made


@pytest.mark.parametrize("pjl", [False, True])
async def test_a_large_job_that_a_slow_printer_gets_is_canceled_at_once(
    shop: Printshop, tmp_path: Path, pjl: bool
) -> None:
    timing = replace(Timing(), look=60.0)  # as in earnest
    document = POSTSCRIPT + b"%" * (30 << 20)
    async with virtual_printer(tmp_path / "paper", "slow:262144*1") as (printer, uri), shop.bridge(timing):
        await shop.printer("phaser", uri, pjl=pjl)
        large = await shop.submit("phaser", message(document))
        following = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.told(large, "sending: attempt 1")
        started = time.monotonic()
        assert await shop.store.cancel(large, BY)
        received = await printer.job(1)
        (done,) = await shop.ended(following)
        assert time.monotonic() - started < 4
        trace = await shop.trace(large)
    assert done.state is JobState.COMPLETED
    assert await shop.states([large]) == [JobState.CANCELED]
    assert received.octets < 4 << 20
    assert received.ended in ((Ended.EOF, Ended.RESET) if pjl else (Ended.RESET,))
    assert "canceled by ada" in trace
    assert "ended while it was being sent; document 1: the connection broke" in trace
    assert "the job was canceled" in trace


async def test_a_pjl_printer_that_takes_data_is_told_in_order_that_the_job_is_over(shop: Printshop) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()
    ended: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def takes_its_time(peer: Peer) -> None:
        await peer.take(500_000)
        arrived.set()
        await go_on.wait()
        try:
            while await peer.take(50_000):  # noqa: ASYNC110 - a slow printer
                await asyncio.sleep(0.01)
        except ConnectionResetError:
            ended.set_result(False)
            raise
        ended.set_result(True)

    async with sink(takes_its_time, window=65536) as printer, shop.bridge(LAZY):
        await shop.printer("phaser", printer.uri, pjl=True)
        job_id = await shop.submit("phaser", message(POSTSCRIPT + b"%" * (8 << 20)))
        async with asyncio.timeout(10):
            await arrived.wait()
        assert await shop.store.cancel(job_id, BY)
        go_on.set()
        async with asyncio.timeout(5):
            assert await ended
        (received,) = await printer.count(1)
    assert len(received) < 9 << 20
    assert received.endswith(
        b"%" + UEL + b'@PJL EOJ NAME = "%d-1 a job"\r\n' % job_id + UEL + b"@PJL USTATUSOFF\r\n" + UEL
    )


async def test_a_job_that_waits_for_paper_is_canceled_and_the_line_goes_on(shop: Printshop, tmp_path: Path) -> None:
    async with virtual_printer(tmp_path / "paper", "media-empty*1") as (_, uri), shop.bridge(LAZY):
        await shop.printer("phaser", uri, pjl=True)
        job_id = await shop.submit("phaser", message(POSTSCRIPT + b"%" * (4 << 20)))
        await shop.fares("phaser", "media-empty")
        assert await shop.store.cancel(job_id, BY)
        (done,) = await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)), seconds=5)
        await shop.fares("phaser")
    assert done.state is JobState.COMPLETED
    assert await shop.states([job_id]) == [JobState.CANCELED]


async def test_a_conversion_without_end_is_canceled_at_once(shop: Printshop) -> None:
    endless = b"%!PS-Adobe-3.0\n{} loop\n"
    async with sink() as printer, shop.bridge(LAZY):
        await shop.printer("laser", printer.uri, Language.PDF)
        job_id = await shop.submit("laser", message(endless))
        await shop.until(job_id, JobState.PROCESSING)
        started = time.monotonic()
        assert await shop.store.cancel(job_id, BY)
        (done,) = await shop.ended(await shop.submit("laser", message(POSTSCRIPT + b"0 0 9 9 rectfill showpage\n")))
        assert time.monotonic() - started < 5
    assert await shop.states([job_id]) == [JobState.CANCELED]
    assert done.state in (JobState.COMPLETED, JobState.ABORTED)


async def test_pausing_holds_the_line_and_resuming_goes_on_at_once(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge(LAZY):
        await shop.printer("phaser", printer.uri)
        await shop.ended(await shop.submit("phaser", message(POSTSCRIPT)))
        await shop.store.set_paused("phaser", True)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        with pytest.raises(TimeoutError):
            await shop.ended(job_id, seconds=0.7)
        assert printer.connections == 1
        started = time.monotonic()
        await shop.store.set_paused("phaser", False)
        await shop.ended(job_id)
        assert time.monotonic() - started < 1


async def test_a_pause_takes_effect_before_the_next_job(shop: Printshop) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hesitant(peer: Peer) -> None:
        await peer.take(1)
        arrived.set()
        await go_on.wait()
        await peer.take_all()

    async with sink(hesitant) as printer, shop.bridge(LAZY):
        await shop.printer("phaser", printer.uri)
        first, second = [await shop.submit("phaser", message(POSTSCRIPT)) for _ in range(2)]
        async with asyncio.timeout(10):
            await arrived.wait()
        await shop.store.set_paused("phaser", True)
        go_on.set()
        await shop.ended(first)
        with pytest.raises(TimeoutError):
            await shop.ended(second, seconds=0.5)
        assert printer.connections == 1
        await shop.store.set_paused("phaser", False)
        await shop.ended(second)


async def test_a_held_job_is_passed_over_and_prints_when_released(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge(LAZY):
        await shop.printer("phaser", printer.uri)
        await shop.store.set_paused("phaser", True)
        held, other = [await shop.submit("phaser", message(POSTSCRIPT + name)) for name in (b"held", b"other")]
        assert await shop.store.hold(held, BY)
        await shop.store.set_paused("phaser", False)
        await shop.ended(other)
        assert await shop.states([held]) == [JobState.PENDING_HELD]
        assert await shop.store.unhold(held, BY)
        await shop.ended(held, seconds=2)
        assert printer.jobs == [POSTSCRIPT + b"other", POSTSCRIPT + b"held"]


@pytest.mark.parametrize("printed", [True, False])
async def test_somebody_decides_on_a_job_in_doubt(shop: Printshop, printed: bool) -> None:
    async def breaks_once(peer: Peer) -> None:
        if printer.connections > 1:
            await peer.take_all()
        else:
            await peer.take(10)
            peer.reset()

    async with sink(breaks_once) as printer, shop.bridge(LAZY):
        await shop.printer("phaser", printer.uri, Language.POSTSCRIPT, Language.TEXT)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.told(job_id, "x-delivery-unknown")
        assert await shop.store.decide(job_id, BY, printed=printed)
        (job,) = await shop.ended(job_id, seconds=3)
        received = printer.jobs[1:]
    assert job.state is JobState.COMPLETED
    if printed:
        assert received == []
    else:
        assert b"POSSIBLE DUPLICATE" in received[0]
        assert received[1] == POSTSCRIPT


async def test_print_again_prints_again(shop: Printshop) -> None:
    async with sink() as printer, shop.bridge(LAZY):
        await shop.printer("phaser", printer.uri)
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        await shop.ended(job_id)
        again = await shop.store.print_again(job_id, BY)
        (job,) = await shop.ended(again, seconds=2)
        assert printer.jobs == [POSTSCRIPT] * 2
    assert job.state is JobState.COMPLETED


async def test_an_address_that_must_not_be_dialed_is_told_and_waited_for(shop: Printshop) -> None:
    async with sink() as ours, sink() as printer, shop.bridge(guard=Guard([f"0.0.0.0:{ours.port}"])):
        await shop.printer("phaser", ours.uri)
        await shop.printer("cloud", "socket://169.254.169.254:9100")
        job_id = await shop.submit("phaser", message(POSTSCRIPT))
        secret = await shop.submit("cloud", message(POSTSCRIPT))
        await shop.told(job_id, "is Printpost itself")
        await shop.told(secret, "metadata")
        state = await shop.fares("phaser", "connecting-to-device")
        waiting = await shop.until(job_id, JobState.PENDING)
        assert ours.connections == 0
        await shop.printer("phaser", printer.uri)
        await shop.ended(job_id)
        await shop.fares("phaser")
    assert "is Printpost itself" in state.detail
    assert "give the printer's own address" in waiting.detail
