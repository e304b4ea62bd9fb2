from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from prometheus_client.registry import REGISTRY

from appliance import guessing
from appliance.guessing import BY_ALL, DELAYS, FREE, LONGEST, WHILE, Guesses, TooManyGuesses
from mailstore.failure import TransientFailure

DEADLINE = 5.0


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Slept:
    """What `asyncio.sleep` was asked for, which took no time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        sleep = asyncio.sleep

        async def at_once(seconds: float) -> None:
            self.seconds.append(seconds)
            await sleep(0)

        monkeypatch.setattr(asyncio, "sleep", at_once)


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    return Slept(monkeypatch).seconds


async def tried(guesses: Guesses, client: str, name: str, *, right: bool = False, patient: bool = True) -> bool:
    """Whether there was a try."""
    try:
        async with guesses.trying(client, name, patient=patient) as trial:
            if right:
                trial.right()
    except TooManyGuesses:
        return False
    return True


async def many(guesses: Guesses, number: int, client: Callable[[int], str], name: Callable[[int], str]) -> list[bool]:
    return [await tried(guesses, client(count), name(count)) for count in range(number)]


def only(text: str) -> Callable[[int], str]:
    return lambda _: text


async def test_each_try_beyond_the_free_ones_waits_longer_and_then_there_is_none(slept: list[float]) -> None:
    clock = Clock()
    guesses = Guesses(3, clock=clock)
    delayed, refused = (
        REGISTRY.get_sample_value(f"printpost_password_guesses_{what}_total") or 0.0 for what in ("delayed", "refused")
    )
    assert await many(guesses, 3, only("192.0.2.1"), str) == [True] * 3
    assert slept == []
    assert await many(guesses, DELAYS + 2, only("192.0.2.1"), str) == [True] * DELAYS + [False] * 2
    assert slept == [1, 2, 4, 8, 16, *[LONGEST] * 5]
    assert REGISTRY.get_sample_value("printpost_password_guesses_delayed_total") == delayed + DELAYS
    assert REGISTRY.get_sample_value("printpost_password_guesses_refused_total") == refused + 2
    assert await tried(guesses, "192.0.2.2", "0")
    assert not await tried(guesses, "::ffff:192.0.2.1", "somebody else")  # the same client
    clock.now += WHILE + 1
    slept.clear()
    assert await many(guesses, 3, only("192.0.2.1"), str) == [True] * 3
    assert slept == []


async def test_a_while_begins_with_the_first_wrong_one() -> None:
    """A printer with an old password that polls every minute is never too often wrong."""
    clock = Clock()
    guesses = Guesses(6, clock=clock)
    for _ in range(30):
        assert await tried(guesses, "192.0.2.1", "phaser360", patient=False)
        clock.now += 60


async def test_a_network_of_ipv6_is_one_client() -> None:
    guesses = Guesses(4, clock=Clock())
    clients = [f"2001:db8::{number:x}" for number in range(5)]
    assert [await tried(guesses, client, client, patient=False) for client in clients] == [True] * 4 + [False]
    assert await tried(guesses, "2001:db8:0:1::1", "somebody", patient=False)


async def test_right_ones_cost_nothing(slept: list[float]) -> None:
    guesses = Guesses(2)
    for number in range(10):
        assert await tried(guesses, "192.0.2.1", f"user{number}", right=True)
    assert slept == []


async def test_what_nobody_judged_does_not_count() -> None:
    guesses = Guesses(1)
    for _ in range(5):
        with pytest.raises(TransientFailure, match="no directory"):
            async with guesses.trying("192.0.2.1", "ada", patient=False):
                raise TransientFailure("4.4.3", "no directory")
    assert await tried(guesses, "192.0.2.1", "ada", patient=False)
    assert not await tried(guesses, "192.0.2.1", "ada", patient=False)


async def test_who_hangs_up_before_the_verdict_was_wrong() -> None:
    guesses = Guesses(1)
    judging = asyncio.Event()

    async def try_one() -> None:
        async with guesses.trying("192.0.2.1", "ada"):
            judging.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(try_one())
    async with asyncio.timeout(DEADLINE):
        await judging.wait()
        task.cancel()
        await asyncio.wait([task])
    assert not await tried(guesses, "192.0.2.1", "ada", patient=False)


async def test_strangers_cannot_shut_the_owner_of_a_name_out(slept: list[float]) -> None:
    guesses = Guesses(FREE)
    most = BY_ALL * FREE + DELAYS
    assert all(await many(guesses, most, lambda number: f"198.51.100.{number}", only("phaser360")))
    assert slept == []
    assert await tried(guesses, "192.0.2.1", "PHASER360", right=True)
    assert slept == []
    assert await tried(guesses, "198.51.100.1", "phaser360")  # who was wrong himself waits
    assert slept == [LONGEST]
    assert await tried(guesses, "198.51.100.1", "somebody else")
    assert slept == [LONGEST]


async def test_nor_can_a_neighbour_behind_the_same_address(slept: list[float]) -> None:
    guesses = Guesses(3)
    assert await tried(guesses, "192.0.2.1", "phaser360", right=True)
    await many(guesses, 3 + DELAYS, only("192.0.2.1"), str)
    assert not await tried(guesses, "192.0.2.1", "colour", right=True)
    slept.clear()
    for _ in range(10):
        assert await tried(guesses, "192.0.2.1", "phaser360", right=True)
    assert slept == []
    assert await many(guesses, 3 + DELAYS + 1, only("192.0.2.1"), only("phaser360")) == [True] * (3 + DELAYS) + [False]
    assert slept[:2] == [1, 2]  # it is guessed at no faster than others


async def test_many_at_once_gain_nothing_and_right_ones_wait_their_turn() -> None:
    guesses = Guesses(4)
    verdicts = asyncio.Queue[bool]()
    judging = asyncio.Semaphore(0)

    async def try_one(number: int) -> bool:
        try:
            async with guesses.trying("192.0.2.1", f"user{number}", patient=False) as trial:
                judging.release()
                if await verdicts.get():
                    trial.right()
        except TooManyGuesses:
            return False
        return True

    tasks = [asyncio.create_task(try_one(number)) for number in range(9)]
    async with asyncio.timeout(DEADLINE):
        for _ in range(4):
            await judging.acquire()
        await asyncio.sleep(0)
        assert judging.locked()
        for _ in range(2):
            verdicts.put_nowait(False)
        verdicts.put_nowait(True)
        await judging.acquire()  # one more may try
        for _ in range(2):
            verdicts.put_nowait(False)
        assert sorted(await asyncio.gather(*tasks)) == [False] * 4 + [True] * 5


async def test_those_who_wait_stand_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delays add up, however many connections there are."""
    monkeypatch.setattr(guessing, "LONGEST", 0.02)
    guesses = Guesses(1, first=0.02)
    assert await tried(guesses, "192.0.2.1", "ada")
    began = asyncio.get_running_loop().time()
    assert all(await asyncio.gather(*(tried(guesses, "192.0.2.1", "ada") for _ in range(4))))
    assert asyncio.get_running_loop().time() - began >= 4 * 0.02


async def test_a_line_does_not_stand_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "IN_LINE", 0.02)
    guesses = Guesses(1)
    end = asyncio.Event()

    async def never_judged() -> None:
        async with guesses.trying("192.0.2.1", "ada"):
            await end.wait()

    task = asyncio.create_task(never_judged())
    await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        assert not await tried(guesses, "192.0.2.1", "ada")
        end.set()
        await task


async def test_who_is_sure_to_be_refused_does_not_wait_for_it() -> None:
    """Neither a browser, for a mail program of the same client that is made to wait, nor those behind many others."""
    guesses = Guesses(1, first=LONGEST)
    assert await tried(guesses, "192.0.2.1", "ada")
    waiting = [asyncio.create_task(tried(guesses, "192.0.2.1", "ada")) for _ in range(guessing.LINE + 1)]
    await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE):
        assert not await tried(guesses, "192.0.2.1", "ada", patient=False)
        assert not await tried(guesses, "192.0.2.1", "ada")
        assert await tried(guesses, "192.0.2.2", "grace")
        guesses.close()
        await asyncio.gather(*waiting, return_exceptions=True)


async def test_whoever_waits_goes_when_the_ports_close() -> None:
    guesses = Guesses(1, first=LONGEST)
    assert await tried(guesses, "192.0.2.1", "ada")
    waiting = [asyncio.create_task(tried(guesses, "192.0.2.1", "ada")) for _ in range(3)]
    await asyncio.sleep(0)
    guesses.close()
    async with asyncio.timeout(DEADLINE):
        ends = await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(TransientFailure, match="shutting down"):
            await tried(guesses, "192.0.2.1", "ada")
    assert [(type(end), str(end)) for end in ends] == [
        (TransientFailure, "4.3.2 shutting down, try again later"),
    ] * 3


async def test_a_site_with_65536_networks_gains_little(slept: list[float]) -> None:
    """One guess from each /64 of a /48, each for another name."""
    guesses = Guesses(2, clock=Clock())
    free = BY_ALL * 2

    def network(number: int) -> str:
        return f"2001:db8:7:{number:x}::1"

    assert await tried(guesses, network(0xFFFF), "ada", right=True)
    assert all(await many(guesses, free, network, str))
    assert slept == []
    assert all(await many(guesses, DELAYS + 1, lambda number: network(0x100 + number), lambda number: f"user{number}"))
    assert slept == [1, 2, 4, 8, 16, *[LONGEST] * 6]  # slow, and never shut out
    slept.clear()
    assert await tried(guesses, network(0xFFFF), "ada", right=True)
    assert await tried(guesses, "2001:db8:8::1", "grace")
    assert slept == []


async def test_and_waits_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "LONGEST", 0.02)
    guesses = Guesses(1, first=0.02)
    clients = [f"2001:db8:7:{number:x}::1" for number in range(BY_ALL + 4)]
    for client in clients[:BY_ALL]:
        assert await tried(guesses, client, client)
    began = asyncio.get_running_loop().time()
    assert all(await asyncio.gather(*(tried(guesses, client, client) for client in clients[BY_ALL:])))
    assert asyncio.get_running_loop().time() - began >= 4 * 0.02


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guessing, "REMEMBERED", 5)
    monkeypatch.setattr(guessing, "KNOWN", 5)
    guesses = Guesses(1)
    for number in range(50):
        assert await tried(guesses, f"198.51.100.{number}", f"user{number}", right=number % 2 == 0)
    kept = (guesses._clients, guesses._names, guesses._pairs, guesses._known)
    assert [len(one) for one in kept] == [5, 5, 0, 5]
    assert await tried(guesses, "192.0.2.1", "somebody new", patient=False)
