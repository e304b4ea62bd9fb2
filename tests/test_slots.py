"""Places for conversions: bounded, fair, and never lost."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from printerbridge.slots import LEAST, SMALL, Slots

BOOK, LETTER = SMALL + 1, SMALL
PLENTY = 64 * LEAST
DEADLINE = 5.0


class Crowd:
    """Documents that are converted until they are told to end."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside: list[str] = []
        self._ends: dict[str, asyncio.Event] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def comes(self, name: str, octets: int) -> None:
        self._ends[name] = asyncio.Event()
        self._tasks[name] = asyncio.create_task(self._converts(name, octets))
        await settle()

    async def _converts(self, name: str, octets: int) -> None:
        async with self.slots.take(octets) as memory:
            assert memory == self.slots.share
            self.inside.append(name)
            try:
                await self._ends[name].wait()
            finally:
                self.inside.remove(name)

    async def ends(self, name: str) -> None:
        self._ends[name].set()
        await asyncio.wait_for(self._tasks.pop(name), DEADLINE)
        await settle()

    async def cancelled(self, name: str) -> None:
        task = self._tasks.pop(name)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait_for(task, DEADLINE)
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("converters", "memory", "places", "share"),
    [
        (2, 4 << 30, 2, 2 << 30),
        (8, 2 << 30, 8, 256 << 20),
        (64, 1 << 30, 4, 256 << 20),
        (2, 100 << 20, 1, 100 << 20),
        (1, 4 << 30, 1, 4 << 30),
    ],
)
def test_memory_is_shared(converters: int, memory: int, places: int, share: int) -> None:
    slots = Slots(converters, memory)
    assert (slots.places, slots.share) == (places, share)
    assert slots.places * slots.share <= memory


async def test_a_letter_does_not_wait_for_books() -> None:
    crowd = Crowd(Slots(3, PLENTY))
    for name in ("book-1", "book-2", "book-3"):
        await crowd.comes(name, BOOK)
    assert crowd.inside == ["book-1", "book-2"]
    await crowd.comes("letter", LETTER)
    assert crowd.inside == ["book-1", "book-2", "letter"]
    await crowd.ends("letter")
    await crowd.ends("book-1")
    assert crowd.inside == ["book-2", "book-3"]


async def test_a_book_does_not_wait_for_letters_that_came_later() -> None:
    crowd = Crowd(Slots(2, PLENTY))
    await crowd.comes("letter-1", LETTER)
    await crowd.comes("letter-2", LETTER)
    await crowd.comes("book", BOOK)
    await crowd.comes("letter-3", LETTER)
    await crowd.ends("letter-1")
    assert crowd.inside == ["letter-2", "book"]


async def test_with_one_place_all_go_in_order() -> None:
    crowd = Crowd(Slots(1, PLENTY))
    for name, octets in (("a", BOOK), ("b", LETTER), ("c", BOOK)):
        await crowd.comes(name, octets)
    for name in "abc":
        assert crowd.inside == [name]
        await crowd.ends(name)
    assert crowd.inside == []


async def test_who_is_cancelled_leaves_no_gap() -> None:
    crowd = Crowd(Slots(2, PLENTY))
    for name in ("a", "b", "c", "d"):
        await crowd.comes(name, LETTER)
    await crowd.cancelled("c")  # who waits
    await crowd.cancelled("a")  # who runs
    assert crowd.inside == ["b", "d"]
    await crowd.ends("b")
    await crowd.ends("d")
    await crowd.comes("e", BOOK)
    assert crowd.inside == ["e"]


async def test_who_is_cancelled_when_his_turn_has_just_come_gives_it_on() -> None:
    slots = Slots(1, PLENTY)
    first = slots.take(LETTER)
    await first.__aenter__()
    crowd = Crowd(slots)
    await crowd.comes("a", LETTER)
    await crowd.comes("b", LETTER)
    await first.__aexit__(None, None, None)  # a's turn, of which it has not heard
    await crowd.cancelled("a")
    assert crowd.inside == ["b"]


class Patient:
    """Somebody who takes only what is left over."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.inside, self.recalled = False, 0
        self.task = asyncio.create_task(self._draws())

    async def _draws(self) -> None:
        try:
            async with self.slots.spare() as memory:
                assert memory == self.slots.share
                self.inside = True
                await asyncio.Event().wait()
        except TimeoutError:
            self.recalled += 1
        finally:
            self.inside = False

    async def gone(self) -> None:
        self.task.cancel()
        await asyncio.wait_for(asyncio.gather(self.task, return_exceptions=True), DEADLINE)


@pytest.mark.parametrize(("converters", "octets"), [(1, LETTER), (1, BOOK), (2, BOOK), (2, LETTER)])
async def test_what_nobody_waits_for_makes_room_at_once(converters: int, octets: int) -> None:
    crowd = Crowd(Slots(converters, PLENTY))
    patient = Patient(crowd.slots)
    await settle()
    assert patient.inside
    for number in range(converters - 1):
        await crowd.comes(f"{number}", LETTER)
    assert patient.inside  # there was a place left
    await crowd.comes("last", octets)
    await asyncio.wait_for(patient.task, DEADLINE)
    await settle()
    assert (patient.inside, patient.recalled) == (False, 1)
    assert "last" in crowd.inside
    assert len(crowd.inside) == converters


async def test_who_takes_what_is_left_over_waits_behind_everybody() -> None:
    crowd = Crowd(Slots(1, PLENTY))
    await crowd.comes("a", LETTER)
    patient = Patient(crowd.slots)
    await crowd.comes("b", BOOK)
    await crowd.ends("a")
    assert crowd.inside == ["b"]
    await crowd.ends("b")
    assert patient.inside
    await patient.gone()
    await crowd.comes("c", LETTER)
    assert crowd.inside == ["c"]


async def test_a_place_that_was_just_lent_is_asked_back() -> None:
    crowd = Crowd(Slots(1, PLENTY))
    patient = Patient(crowd.slots)
    await asyncio.sleep(0)  # its turn came, and it has not heard of it
    await crowd.comes("a", LETTER)
    await asyncio.wait_for(patient.task, DEADLINE)
    await settle()
    assert crowd.inside == ["a"]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 4),
    st.lists(
        st.tuples(st.sampled_from(["comes", "ends", "cancelled"]), st.booleans(), st.integers(0, 20)), max_size=40
    ),
)
def test_places_are_never_lost_nor_made(converters: int, steps: list[tuple[str, bool, int]]) -> None:
    async def play() -> None:
        crowd = Crowd(Slots(converters, PLENTY))
        there: list[tuple[str, bool]] = []
        for number, (what, large, which) in enumerate(steps):
            if what == "comes":
                there.append((f"{number}", large))
                await crowd.comes(f"{number}", BOOK if large else LETTER)
            elif crowd.inside if what == "ends" else there:
                names = crowd.inside if what == "ends" else [name for name, _ in there]
                name = names[which % len(names)]
                there = [one for one in there if one[0] != name]
                await (crowd.ends(name) if what == "ends" else crowd.cancelled(name))
            books = {name for name, large in there if large}
            inside = set(crowd.inside)
            most_books = max(1, converters - 1)
            assert len(inside) <= converters
            assert len(inside & books) <= most_books
            could = min(converters, len(there) - max(0, len(books) - most_books))
            assert len(inside) == could
        for name, _ in there:
            await crowd.cancelled(name)
        assert crowd.inside == []

    asyncio.run(play())
