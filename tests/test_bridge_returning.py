"""A printer that cannot be reached is left alone between two tries, and costs nothing meanwhile."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mailstore.job import JobState
from printerbridge.appsocket import connect
from printerbridge.bridge import Bridge
from printerbridge.retry import SCHEDULES, Backoff, Schedule
from printerbridge.returning import Back
from tests.printshop import POSTSCRIPT, SOON, Printshop, message, printshop
from tests.sink import Peer, free_port, sink

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


async def parked(shop: Printshop, bridge: Bridge) -> int:
    """The number of a job whose printer did not answer and is left alone."""
    number = await shop.submit("phaser", message(POSTSCRIPT))
    async with asyncio.timeout(10):
        while not (await shop.store.job(number)).next_attempt_at:  # type: ignore[union-attr]  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await left_alone(bridge)
    return number


async def test_a_dead_printer_has_its_quiet_hours(tmp_path: Path) -> None:
    """It was switched off with a job waiting: nobody knocks all night, and nobody is told that it is gone."""
    port = await free_port()
    now = datetime.now()  # noqa: DTZ005 - quiet hours are local time
    hours = f"{now - timedelta(hours=1):%H:%M}-{now + timedelta(hours=2):%H:%M}"
    resting = replace(RESTING, schedules=dict.fromkeys(SCHEDULES, Schedule(first=1.0, factor=1.0, longest=1.0)))
    async with printshop(tmp_path) as shop:
        entry = await shop.printer("phaser", f"socket://127.0.0.1:{port}")
        async with shop.bridge(replace(resting, idle=0.1)) as bridge:
            number = await parked(shop, bridge)
            (device,) = bridge._entries
            bridge._entries[device] = {"phaser": replace(entry, quiet_hours=(hours,))}
            async with sink(port=port) as printer:
                bridge.well_again(["phaser"])
                await told(shop, "shutdown-report")
                await left_alone(bridge)
                assert printer.connections == 0
                assert await shop.states([number]) == [JobState.PENDING]


async def test_a_paused_printer_is_not_knocked_at(tmp_path: Path) -> None:
    port = await free_port()
    async with printshop(tmp_path) as shop:
        await shop.printer("phaser", f"socket://127.0.0.1:{port}")
        async with shop.bridge(replace(RESTING, idle=0.1)) as bridge:
            number = await parked(shop, bridge)
            await shop.store.set_paused("phaser", True)
            async with sink(port=port) as printer:
                with pytest.raises(TimeoutError):
                    await printer.count(1, seconds=0.6)
                assert printer.connections == 0
                await shop.store.set_paused("phaser", False)
                (job,) = await shop.ended(number)
                assert printer.connections == 1
    assert job.state is JobState.COMPLETED


async def test_a_connection_that_nobody_asks_for_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """A conversion may take minutes, and the printer talks to one at a time."""
    monkeypatch.setattr("printerbridge.returning._FRESH_SECONDS", 0.05)
    async with sink() as printer:
        back = Back(Backoff(), await connect(printer.host, printer.port))
        await printer.count(1, seconds=5)
        assert back.fresh() is None
        back.drop()


async def test_a_connection_that_the_printer_closed_is_not_sent_over() -> None:
    async def impatient(peer: Peer) -> None:
        """It closes what says nothing."""

    async with sink(impatient) as printer:
        connection = await connect(printer.host, printer.port)
        back = Back(Backoff(), connection)
        await printer.count(1, seconds=5)
        assert connection.gone
        assert back.fresh() is None
    async with sink() as printer:
        back = Back(Backoff(), await connect(printer.host, printer.port))
        fresh = back.fresh()
        assert fresh is not None
        assert back.fresh() is None  # once
        fresh.close()
