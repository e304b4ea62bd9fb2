"""A printer that cannot be reached is left alone between two tries, and costs nothing meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailstore.job import JobState
from printerbridge.bridge import Bridge
from printerbridge.retry import SCHEDULES, Schedule
from tests.printshop import POSTSCRIPT, SOON, Printshop, message, printshop
from tests.sink import free_port, sink

RESTING = replace(
    SOON, schedules=dict.fromkeys(SCHEDULES, Schedule(first=0.2, factor=1.0, longest=0.2)), rest=0.1, busy=0.3
)


async def left_alone(bridge: Bridge) -> None:
    async with asyncio.timeout(10):
        while bridge.lines:  # noqa: ASYNC110 - it rings no bell for us
            await asyncio.sleep(0.005)


async def told(shop: Printshop, *reasons: str) -> None:
    async with asyncio.timeout(10):
        while (await shop.store.printer_state("phaser")).state_reasons != reasons:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_it_comes_back_over_the_connection_that_found_it_there(tmp_path: Path) -> None:
    port = await free_port()
    async with printshop(tmp_path) as shop:
        await shop.printer("phaser", f"socket://127.0.0.1:{port}")
        async with shop.bridge(RESTING) as bridge:
            numbers = [await shop.submit("phaser", message(POSTSCRIPT)) for _ in range(2)]
            await told(shop, "connecting-to-device")  # it has been busy for so long that people hear of it
            await left_alone(bridge)
            assert await shop.drains.acquire(f"device:socket://127.0.0.1:{port}", "somebody", 0.01) is not None
            async with sink(port=port) as printer:
                jobs = await shop.ended(*numbers)
                assert printer.jobs == [POSTSCRIPT, POSTSCRIPT]
                assert printer.connections == 2
            await told(shop)
    assert [(job.state, job.attempts) for job in jobs] == [(JobState.COMPLETED, 1)] * 2


async def test_nobody_is_knocked_at_for_whom_nothing_waits(tmp_path: Path) -> None:
    port = await free_port()
    async with printshop(tmp_path) as shop:
        await shop.printer("phaser", f"socket://127.0.0.1:{port}")
        async with shop.bridge(RESTING) as bridge:
            number = await shop.submit("phaser", message(POSTSCRIPT))
            await told(shop, "connecting-to-device")
            await left_alone(bridge)
            assert await shop.store.cancel(number, "ada")
            await told(shop)  # nothing is in the way any more, as far as anybody knows
            async with sink(port=port) as printer:
                with pytest.raises(TimeoutError):
                    await printer.count(1, seconds=0.5)


async def test_a_new_address_is_tried_at_once(tmp_path: Path) -> None:
    slow = replace(RESTING, schedules=dict.fromkeys(SCHEDULES, Schedule(first=3600, factor=1.0, longest=3600)))
    async with printshop(tmp_path) as shop, sink() as printer:
        await shop.printer("phaser", f"socket://127.0.0.1:{await free_port()}")
        async with shop.bridge(slow) as bridge:
            number = await shop.submit("phaser", message(POSTSCRIPT))
            async with asyncio.timeout(10):
                while not (await shop.store.job(number)).next_attempt_at:  # type: ignore[union-attr]  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await left_alone(bridge)
            await shop.printer("phaser", printer.uri)
            (job,) = await shop.ended(number)
    assert job.state is JobState.COMPLETED


async def test_in_a_quiet_hour_nothing_is_held_for_it(tmp_path: Path) -> None:
    now = datetime.now()  # noqa: DTZ005 - quiet hours are local time
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    async with printshop(tmp_path) as shop, sink() as printer:
        await shop.printer("phaser", printer.uri, quiet_hours=(hours,))
        async with shop.bridge(replace(RESTING, idle=0.1)) as bridge:
            number = await shop.submit("phaser", message(POSTSCRIPT))
            await told(shop, "shutdown-report")
            await left_alone(bridge)
            assert printer.connections == 0
            await shop.printer("phaser", printer.uri)
            (job,) = await shop.ended(number)
            await told(shop)
    assert job.state is JobState.COMPLETED


async def test_a_printer_that_is_well_again_is_tried_at_once(tmp_path: Path) -> None:
    """As health hears it by SNMP; without that the job would wait for an hour."""
    slow = replace(RESTING, schedules=dict.fromkeys(SCHEDULES, Schedule(first=3600, factor=1.0, longest=3600)))
    port = await free_port()
    async with printshop(tmp_path) as shop:
        await shop.printer("phaser", f"socket://127.0.0.1:{port}")
        async with shop.bridge(slow) as bridge:
            number = await shop.submit("phaser", message(POSTSCRIPT))
            async with asyncio.timeout(10):
                while not (await shop.store.job(number)).next_attempt_at:  # type: ignore[union-attr]  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await left_alone(bridge)
            async with sink(port=port) as printer:
                bridge.well_again(["phaser", "nobody"])
                (job,) = await shop.ended(number)
                assert printer.jobs == [POSTSCRIPT]
    assert job.state is JobState.COMPLETED
