"""Devices that are left alone come back at their time, in order, and not all at once."""

from __future__ import annotations

import asyncio

import pytest

from printerbridge.device import Device
from printerbridge.parking import Parking
from printerbridge.retry import Backoff, Trouble


def device(number: int) -> Device:
    return Device(scheme="socket", host="192.0.2.7", port=9100 + number)


async def test_they_come_back_in_the_order_of_their_times_with_their_failures() -> None:
    parking, now = Parking(10_000), asyncio.get_running_loop().time()
    backoffs = [Backoff() for _ in range(3)]
    backoffs[1].failed(Trouble.UNREACHABLE, 0.0)
    for number, late in enumerate((0.03, 0.0, 0.02)):
        parking.park(device(number), now + late, backoffs[number])
    assert device(1) in parking
    assert len(parking) == 3
    async with asyncio.timeout(5):
        came = [await parking.back() for _ in range(3)]
    assert [one for one, _ in came] == [device(1), device(2), device(0)]
    assert [one.failures for _, one in came] == [1, 0, 0]
    assert not len(parking)


async def test_no_more_than_so_many_come_in_a_second() -> None:
    time = asyncio.get_running_loop().time
    parking, began = Parking(100), time()
    for number in range(11):
        parking.park(device(number), began, Backoff())
    for _ in range(11):
        await parking.back()
    assert time() - began >= 0.099


async def test_one_that_is_well_again_comes_back_now() -> None:
    parking, now = Parking(10_000), asyncio.get_running_loop().time()
    backoff = Backoff()
    parking.park(device(0), now + 3600, backoff)
    waiting = asyncio.create_task(parking.back())
    await asyncio.sleep(0)
    parking.hurry(device(1), now)  # is not left alone
    parking.hurry(device(0), now)
    async with asyncio.timeout(5):
        assert await waiting == (device(0), backoff)
    assert not len(parking)


async def test_one_that_was_set_up_anew_does_not_come_back_and_later_ones_do() -> None:
    parking, now = Parking(10_000), asyncio.get_running_loop().time()
    parking.park(device(0), now, Backoff())
    parking.leave(device(0))
    waiting = asyncio.create_task(parking.back())
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):
            await asyncio.shield(waiting)
    parking.park(device(0), now + 60, Backoff())
    parking.leave(device(0))
    parking.park(device(0), now, Backoff())
    async with asyncio.timeout(5):
        assert (await waiting)[0] == device(0)
    assert device(0) not in parking
