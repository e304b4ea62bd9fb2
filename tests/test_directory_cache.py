"""What a process remembers of the directory."""

from __future__ import annotations

import asyncio

import pytest

from mailstore.directory.cache import (
    FRESH,
    MISSING,
    PASSWORD,
    STALE,
    CircuitBreaker,
    LookupCache,
    PasswordMemory,
    Unusable,
)
from mailstore.failure import TransientFailure


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Something to ask: it counts, and it can be down or slow."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.asked: list[str] = []
        self.down = False
        self.answering = asyncio.Event()
        self.answering.set()

    async def __call__(self, key: str) -> str | None:
        self.asked.append(key)
        value = self.values.get(key)
        await self.answering.wait()
        if self.down:
            raise TransientFailure("4.4.3", "down")
        return value


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def source() -> Source:
    return Source()


@pytest.fixture
async def cache(source: Source, clock: Clock) -> LookupCache[str]:
    return LookupCache(source, clock=clock, hits=100)


async def test_a_hit_is_believed_for_a_minute(cache: LookupCache[str], source: Source, clock: Clock) -> None:
    source.values["a"] = "old"
    assert await cache.get("a") == "old"
    source.values["a"] = "new"
    clock.now += FRESH - 1
    assert await cache.get("a") == "old"
    clock.now += 2
    assert await cache.get("a") == "new"
    assert source.asked == ["a", "a"]


async def test_a_miss_is_believed_for_ten_seconds(cache: LookupCache[str], source: Source, clock: Clock) -> None:
    assert await cache.get("a") is None
    source.values["a"] = "new"
    clock.now += MISSING - 1
    assert await cache.get("a") is None
    clock.now += 2
    assert await cache.get("a") == "new"


async def test_what_is_gone_is_not_served_stale(cache: LookupCache[str], source: Source, clock: Clock) -> None:
    source.values["a"] = "old"
    assert await cache.get("a") == "old"
    del source.values["a"]
    clock.now += FRESH + 1
    assert await cache.get("a") is None
    source.down = True
    clock.now += MISSING + 1
    with pytest.raises(TransientFailure):
        await cache.get("a")


async def test_while_the_source_is_down_a_hit_serves_an_hour(
    cache: LookupCache[str], source: Source, clock: Clock
) -> None:
    source.values["a"] = "old"
    await cache.get("a")
    source.down = True
    clock.now += STALE - 1
    assert await cache.get("a") == "old"
    clock.now += 2
    with pytest.raises(TransientFailure):
        await cache.get("a")
    with pytest.raises(TransientFailure):
        await cache.get("b")


async def test_while_the_source_hangs_a_known_answer_comes_soon(
    cache: LookupCache[str], source: Source, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailstore.directory.cache.PATIENCE", 0.01)
    source.values["a"] = "old"
    await cache.get("a")
    source.answering.clear()
    clock.now += FRESH + 1
    assert await cache.get("a") == "old"
    assert await cache.get("a") == "old"
    assert source.asked == ["a", "a"], "one question is under way, not one for each who asks"
    await cache.close()


async def test_who_asks_the_same_shares_the_answer(cache: LookupCache[str], source: Source) -> None:
    source.values["a"] = "new"
    source.answering.clear()
    waiting = [asyncio.create_task(cache.get("a")) for _ in range(20)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    source.answering.set()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert answers[1:] == ["new"] * 19
    assert isinstance(answers[0], asyncio.CancelledError)
    assert source.asked == ["a"]


async def test_what_was_asked_before_forget_is_not_remembered(cache: LookupCache[str], source: Source) -> None:
    source.values["a"] = "old"
    source.answering.clear()
    before = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    source.values["a"] = "new"
    cache.forget()
    after = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    source.answering.set()
    assert [await before, await after] == ["old", "new"]
    assert await cache.get("a") == "new"
    assert source.asked == ["a", "a"]


async def test_what_was_asked_before_forget_serves_an_outage(cache: LookupCache[str], source: Source) -> None:
    source.values["a"] = "old"
    source.answering.clear()
    asked = asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    cache.forget()
    source.answering.set()
    assert await asked == "old"
    source.down = True
    assert await cache.get("a") == "old"
    source.down = False
    source.values["a"] = "new"
    assert await cache.get("a") == "new"


async def test_after_forget_all_is_asked_anew_and_the_old_serves_an_outage(
    cache: LookupCache[str], source: Source, clock: Clock
) -> None:
    source.values["a"] = "old"
    await cache.get("a")
    cache.forget()
    source.down = True
    assert await cache.get("a") == "old"
    clock.now += STALE - 1
    cache.forget()
    assert await cache.get("a") == "old"
    source.down = False
    source.values["a"] = "new"
    assert await cache.get("a") == "new"
    del source.values["a"]
    cache.forget()
    assert await cache.get("a") is None
    source.down = True
    cache.forget()
    with pytest.raises(TransientFailure):
        await cache.get("a")


async def test_after_forget_an_old_answer_is_an_hour_old_at_most(
    cache: LookupCache[str], source: Source, clock: Clock
) -> None:
    source.values["a"] = "old"
    await cache.get("a")
    cache.forget()
    source.down = True
    clock.now += STALE + 1
    with pytest.raises(TransientFailure):
        await cache.get("a")


async def test_a_change_that_was_announced_is_waited_for(
    cache: LookupCache[str], source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailstore.directory.cache.PATIENCE", 0.0)
    source.values["a"] = "old"
    await cache.get("a")
    cache.forget()
    source.values["a"] = "new"
    source.answering.clear()
    asyncio.get_running_loop().call_later(0.02, source.answering.set)
    assert await cache.get("a") == "new"


async def test_what_cannot_be_used_is_remembered_like_a_miss(clock: Clock) -> None:
    asked: list[str] = []
    damaged = False

    async def fetch(key: str) -> str:
        asked.append(key)
        if damaged:
            raise Unusable("damaged")
        return "good"

    cache = LookupCache(fetch, clock=clock)
    assert await cache.get("a") == "good"
    damaged = True
    clock.now += FRESH + 1
    for _ in range(5):
        with pytest.raises(Unusable, match="damaged"):
            await cache.get("a")
    assert asked == ["a", "a"]
    damaged = False
    clock.now += MISSING + 1
    assert await cache.get("a") == "good"


async def test_a_flood_of_misses_pushes_no_hit_out(cache: LookupCache[str], source: Source) -> None:
    source.values["a"] = "new"
    await cache.get("a")
    for number in range(12_000):
        await cache.get(f"nobody{number}")
    source.down = True
    assert await cache.get("a") == "new"


async def test_hits_are_bounded(cache: LookupCache[str], source: Source) -> None:
    source.values = {str(number): "x" for number in range(300)}
    for key in source.values:
        await cache.get(key)
    source.asked.clear()
    for key in reversed(source.values):
        await cache.get(key)
    assert len(source.asked) == 200


def test_a_password_is_believed_ten_minutes(clock: Clock) -> None:
    memory = PasswordMemory(clock=clock)
    memory.remember("a", "sesame", memory.generation)
    assert memory.knows("a", "sesame")
    assert not memory.knows("a", "Sesame")
    assert not memory.knows("b", "sesame")
    clock.now += PASSWORD - 1
    assert memory.knows("a", "sesame")
    clock.now += 2
    assert not memory.knows("a", "sesame")


def test_a_password_that_was_tried_before_forget_is_not_remembered(clock: Clock) -> None:
    memory = PasswordMemory(clock=clock)
    before = memory.generation
    memory.forget()
    memory.remember("a", "sesame", before)
    assert not memory.knows("a", "sesame")


def test_no_password_lies_in_memory(clock: Clock) -> None:
    memory, other = PasswordMemory(clock=clock), PasswordMemory(clock=clock)
    for each in (memory, other):
        each.remember("a", "sesame", each.generation)
    assert "sesame" not in repr(vars(memory))
    assert list(vars(memory)["_known"].values()) != list(vars(other)["_known"].values())


def test_a_broken_circuit_lets_one_try_now_and_then(clock: Clock) -> None:
    breaker = CircuitBreaker(clock=clock, random=lambda: 1.0, deadline=6.0)
    breaker.admit()
    breaker.failed(clock.now)
    with pytest.raises(TransientFailure):
        breaker.admit()
    clock.now += 0.6
    breaker.admit()
    with pytest.raises(TransientFailure):
        breaker.admit()
    breaker.succeeded()
    breaker.admit()
    breaker.admit()


def test_pauses_grow_to_a_bound_and_one_outage_counts_once(clock: Clock) -> None:
    breaker = CircuitBreaker(clock=clock, random=lambda: 1.0, deadline=6.0, longest=5.0)
    began = clock.now
    clock.now += 5
    for _ in range(4):
        breaker.failed(began)
    for pause in (0.5, 1.0, 2.0, 4.0, 5.0, 5.0):
        clock.now += pause - 0.01
        with pytest.raises(TransientFailure):
            breaker.admit()
        clock.now += 0.02
        breaker.admit()
        breaker.failed(clock.now)
