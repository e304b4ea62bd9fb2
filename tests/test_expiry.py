"""Jobs whose time is over, with clocks of the test's own, a real store and a real directory."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from appliance import expiry
from appliance.expiry import AT_ONCE, LEAP, SETTLES, Expiry
from mailstore.directory.contract import Directory
from mailstore.directory.records import Hold, Printer
from mailstore.failure import TransientFailure
from mailstore.job import JobState
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.outbox import Occasion
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import RunningDirectory, running_directory, short_folder

DAY = 86400.0
OFFICE = Printer(
    name="office",
    addresses=("office@example.com",),
    uri="socket://192.0.2.7:9100",
    hold=Hold.CODE,
    hold_expiry=int(DAY),
    expiry=int(3 * DAY),
)
SLOW = replace(OFFICE, name="slow", addresses=("slow@example.com",), expiry=int(30 * DAY), hold_expiry=int(30 * DAY))
YEARS = 5 * 365 * DAY


@dataclass(kw_only=True)
class House:
    """A store, a directory, and clocks that the test sets on."""

    store: SqlStore
    server: RunningDirectory
    passed: float = 0.0  # seconds that truly passed
    wrong: float = 0.0  # and by which the clock is ahead of that besides

    def __post_init__(self) -> None:
        self.began = time.time()
        self.expiry = self.started()

    def started(self, directory: Directory | None = None) -> Expiry:
        """A process that begins now."""
        wall = lambda: self.began + self.passed + self.wrong  # noqa: E731
        return Expiry(self.store, directory or self.server.appliance, wall=wall, monotonic=lambda: self.passed)

    async def after(self, seconds: float, *, steps: int = 1) -> int:
        """So much later, after looks in between; how many jobs went."""
        gone = 0
        for _ in range(steps):
            self.passed += seconds / steps
            gone += await self.expiry.look()
        return gone

    async def mail(self, *printers: str, hold: Hold = Hold.NONE) -> list[int]:
        draft = await self.store.draft()
        draft.write(b"Subject: a job\r\n\r\ntext\r\n")
        envelope = Envelope(reverse_path="ada@example.com", client_ip="192.0.2.1", helo="x", trust="insider")
        recipients = [
            Recipient(maildrop=name, address=f"{name}@example.com", quota=1 << 20, fields=b"", hold=hold)
            for name in printers
        ]
        return [int(number) for number in await self.store.accept(draft, envelope, recipients)]

    async def states(self) -> dict[int, JobState]:
        return {job.id: job.state for job in await self.store.jobs(limit=10_000)}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with running_directory(tmp_path) as server:
        with short_folder() as runtime:
            store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=runtime)
            try:
                for printer in (OFFICE, SLOW):
                    await server.appliance.add(printer, None)
                yield House(store=store, server=server)
            finally:
                await store.close()


async def test_each_printer_and_what_is_held_has_a_time_of_its_own(house: House) -> None:
    (waits,) = await house.mail("office")
    held, other = await house.mail("office", "slow", hold=Hold.CODE)
    assert await house.after(DAY - 60) == 0
    assert await house.after(120) == 1
    assert await house.states() == {
        waits: JobState.PENDING,
        held: JobState.ABORTED,
        other: JobState.PENDING_HELD,
    }
    assert await house.after(2 * DAY) == 1
    assert (await house.states())[waits] is JobState.ABORTED
    job = await house.store.job(held)
    assert job is not None
    assert "job-canceled-after-timeout" in job.reasons
    told = [(one.occasion, one.job_id) for one in await house.store.occurrences(10)]
    assert told == [(Occasion.ABORTED, held), (Occasion.ABORTED, waits)]
    assert await house.after(27 * DAY + 60) == 1
    assert (await house.states())[other] is JobState.ABORTED


async def test_after_a_start_the_printer_has_its_chance_first(house: House) -> None:
    await house.mail("office")
    house.passed += 30 * DAY
    house.expiry = house.started()  # the machine was off
    assert await house.after(0.0) == 0
    assert await house.after(SETTLES - 1) == 0
    assert await house.after(2) == 1


async def test_a_clock_that_leaps_ahead_throws_nothing_away(house: House) -> None:
    (before,) = await house.mail("office")
    await house.after(DAY)
    house.wrong = YEARS
    assert await house.after(60) == 0
    assert await house.after(SETTLES + 60) == 0  # and not when that is over, either: it is a day old, not five years
    assert await house.after(2 * DAY - SETTLES - 300) == 0
    assert await house.after(600) == 1
    assert (await house.states())[before] is JobState.ABORTED


async def test_what_comes_after_a_leap_has_its_whole_time_by_the_new_clock() -> None:
    """The reckoning alone: what came before each leap is younger by it."""
    clock, ours = [1000.0], [0.0]
    made = Expiry(None, None, wall=lambda: clock[0], monotonic=lambda: ours[0])  # type: ignore[arg-type]

    def on(seconds: float, leap: float = 0.0) -> float:
        clock[0] += seconds + leap
        ours[0] += seconds
        return made._read_clock()

    assert made._before(on(100), 50) == 1050
    now = on(100, YEARS)
    assert made._before(now, 50) == 1150  # of those 50 seconds the clock of before the leap tells
    assert made._before(on(100), 50) == 1250 + YEARS
    assert made._before(on(0), 150) == 1150
    now = on(10, 2 * YEARS)
    assert made._before(now, 250) == 1060
    assert made._before(now, 5) == 1305 + YEARS
    assert made._before(on(LEAP), LEAP - 5) == now + 5
    assert made._before(on(10, LEAP - 1), 50) == now + 2 * LEAP - 41  # no leap: clocks drift, and are corrected


async def test_a_clock_that_is_set_back_makes_nothing_go(house: House) -> None:
    house.wrong = YEARS
    house.expiry = house.started()
    await house.mail("office")
    house.wrong = -YEARS
    assert await house.after(20 * DAY, steps=3) == 0


async def test_while_the_directory_is_silent_nothing_ends(house: House) -> None:
    await house.mail("office")
    await house.server.server.stop()
    with pytest.raises(TransientFailure):
        await house.server.appliance.printer("office")
    assert await house.after(100 * DAY) == 0
    await house.server.server.start()
    house.expiry = house.started(house.server.bridge)  # whom no failure of before makes wait
    assert await house.after(SETTLES + 1) == 1


async def test_more_than_the_store_takes_at_once_go_in_one_look(house: House) -> None:
    for _ in range(AT_ONCE // 4 + 1):
        for _ in range(4):
            await house.mail("office")
    assert await house.after(4 * DAY) == AT_ONCE + 4


async def test_printers_that_wait_for_nothing_old_cost_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    looked_up = house.server.appliance.printer

    async def printer(name: str) -> Printer | None:
        asked.append(name)
        return await looked_up(name)

    monkeypatch.setattr(house.server.appliance, "printer", printer)
    monkeypatch.setattr(expiry, "LEAST", DAY / 2)
    await house.mail("office")
    (number,) = await house.mail("slow")
    assert await house.store.cancel(number, "test")
    assert await house.after(SETTLES + 1) == 0
    assert asked == []
    assert await house.after(DAY) == 0
    assert asked == ["office"]


async def test_who_was_removed_has_nothing_to_expire(house: House) -> None:
    await house.mail("gone")
    assert await house.after(100 * DAY) == 0


async def test_people_s_mail_is_left_alone(house: House) -> None:
    await house.mail("person:ada")
    assert await house.after(1000 * DAY) == 0
    assert (await house.store.standing("person:ada"))[1] > 0
