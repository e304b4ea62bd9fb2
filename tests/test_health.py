"""Looking after printers: who is asked when, what is told and written of it, and what is not."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import time
import types
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from mailstore.directory.records import Printer, Snmp
from mailstore.report import PrinterReport
from mailstore.store.contract import PrinterState, Role, Store
from mailstore.store.sql import open_store
from printerbridge import health as module
from printerbridge import roster
from printerbridge.asking import Questions
from printerbridge.conditions import Condition, Conditions, Source
from printerbridge.health import Health
from printerbridge.mib import STATUS
from printerbridge.snmp import Agent
from printerbridge.virtual import VirtualPrinter
from tests import snmp_agent
from tests.directory_server import short_folder
from tests.snmp_agent import HR, PRT, agent, integer, octets, printer


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        opened = await open_store(tmp_path, role=Role.BRIDGE, reserve=0, runtime=runtime)
        try:
            yield opened
        finally:
            await opened.close()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """First looks are not spread over a minute, and looks follow each other quickly."""
    monkeypatch.setattr(roster, "_SPREAD_SECONDS", 0.0)
    monkeypatch.setattr(roster, "_SHORTEST_SECONDS", 0.05)


def entry(other: snmp_agent.Agent | int, name: str = "phaser", **more: Any) -> Printer:
    port = other if isinstance(other, int) else other.port
    settings = {"uri": "socket://127.0.0.1:9100", "snmp_port": port, "status_interval": 0, **more}
    return Printer(name=name, addresses=(f"{name}@example.com",), **settings)


@contextlib.asynccontextmanager
async def looking(
    store: Store, *entries: Printer, seconds: float = 0.5, at_once: int = 64, returned: Any = None
) -> AsyncIterator[Health]:
    health = Health(store, Conditions(store), seconds=seconds, at_once=at_once, returned=returned)
    health.printers(entries)
    running = asyncio.create_task(health.run())
    try:
        yield health
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running


async def reported(store: Store, wanted: Callable[[PrinterReport], object], name: str = "phaser") -> PrinterReport:
    async with asyncio.timeout(10):
        while True:
            report = await store.report(name)
            if report is not None and wanted(report):
                return report
            await asyncio.sleep(0.01)


async def fares(store: Store, wanted: Callable[[PrinterState], object], name: str = "phaser") -> PrinterState:
    async with asyncio.timeout(10):
        while True:
            state = await store.printer_state(name)
            if wanted(state):
                return state
            await asyncio.sleep(0.01)


async def test_a_printer_that_answers_is_known_with_all_that_it_has(store: Store) -> None:
    async with agent(printer(errors=b"\x40", status=5, doing=1)) as other, looking(store, entry(other)):
        report = await reported(store, lambda report: report.trays)
        assert report.up
        assert (report.model, report.serial, report.console, report.pages) == (
            "Example Laser 7",
            "EX-0007",
            "Ready",
            100,
        )
        assert [(one.name, one.kind, one.color, one.level) for one in report.supplies] == [
            ("Toner cartridge", "toner", "black", 0.4),
            ("Waste box", "waste-toner", "", 0.25),
        ]
        assert [(one.name, one.media, one.level) for one in report.trays] == [("Tray 1", "iso_a4_210x297mm", 0.5)]
        state = await fares(store, lambda state: state.state == "stopped")
        assert state.state_reasons == ("media-empty",)
        other.objects |= printer(doing=4)
        await fares(store, lambda state: (state.state, state.state_reasons) == ("processing", ()))
        assert other.requests[0].oids == STATUS


async def test_a_printer_that_is_not_the_first_device_is_found(store: Store) -> None:
    objects = {**printer(5), f"{HR}.2.1.5.1": integer(2), f"{HR}.2.1.3.1": octets(b"a processor")}
    async with agent(objects) as other, looking(store, entry(other)):
        report = await reported(store, lambda report: report.supplies)
        assert (report.model, report.pages) == ("Example Laser 7", 100)


async def test_silence_is_no_trouble_but_withdraws_what_was_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "LONGEST_SECONDS", 0.0)
    jammed = printer(errors=b"\x04", status=5, doing=1)
    async with agent(jammed) as other, looking(store, entry(other), seconds=0.05):
        await fares(store, lambda state: state.state_reasons == ("media-jam",))
        before = await reported(store, lambda report: report.supplies)
        other.answering = lambda request: []
        down = await reported(store, lambda report: not report.up)
        assert dataclasses.replace(down, asked_at=before.asked_at, answered_at=before.answered_at) == before
        asked = len(other.requests)
        state = await fares(store, lambda state: not state.state_reasons)
        assert state.state == "idle"
        assert len(other.requests) - asked <= 2 * 3
        other.answering = None
        await reported(store, lambda report: report.up)
        await fares(store, lambda state: state.state_reasons == ("media-jam",))


async def test_a_printer_that_never_answered_has_no_last_answer(store: Store) -> None:
    async with agent(printer()) as other:
        other.answering = lambda request: []
        async with looking(store, entry(other), seconds=0.05):
            never = await reported(store, lambda report: not report.up)
        assert (never.answered_at, never.asked_at > 0) == (0.0, True)


async def test_what_was_known_before_a_restart_is_kept(store: Store) -> None:
    async with agent(printer()) as other:
        async with looking(store, entry(other)):
            before = await reported(store, lambda report: report.supplies)
        async with looking(store, entry(other)) as health:
            asked = len(other.requests)
            assert await health.look(entry(other))
            async with asyncio.timeout(5):
                while len(other.requests) < asked + 4:
                    other.asked.clear()
                    await other.asked.wait()
            assert {request.oids for request in other.requests[asked:]} == {STATUS}  # what it has left is known
            assert await store.report("phaser") == before  # and nothing new is to be written
        other.answering = lambda request: []
        async with looking(store, entry(other), seconds=0.05):
            down = await reported(store, lambda report: not report.up)
        assert (down.supplies, down.model, down.answered_at) == (before.supplies, before.model, before.answered_at)


async def test_an_agent_that_is_no_printer_is_asked_less_often(store: Store) -> None:
    objects = {f"{HR}.2.1.5.1": integer(2), "1.3.6.1.2.1.1.1.0": octets(b"a file server")}
    async with agent(objects) as other, looking(store, entry(other)) as health:
        assert not (await reported(store, lambda report: report)).up
        assert await health.look(entry(other)) is None
        other.objects = {}
        assert await health.look(entry(other)) is None


async def test_two_entries_of_one_printer_are_asked_once(store: Store) -> None:
    async with agent(printer(errors=b"\x04", status=5, doing=1)) as other:
        named = {"uri": "socket://127.0.0.1:9101", "status_interval": 600}
        two = (entry(other, status_interval=600), entry(other, "duplex", **named))
        async with looking(store, *two):
            for name in ("phaser", "duplex"):
                assert (await reported(store, lambda report: report.supplies, name)).printer == name
                await fares(store, lambda state: state.state == "stopped", name)
        assert sum(request.oids == STATUS for request in other.requests) == 1


@pytest.mark.parametrize(
    "more",
    [
        {"snmp": Snmp.OFF},
        {"uri": ""},
        {"uri": "socket://224.0.0.1"},
        {"quiet_hours": ("00:00-24:00",)},
    ],
)
async def test_who_is_not_to_be_asked_is_not(store: Store, more: dict[str, Any]) -> None:
    async with agent(printer()) as other, agent(printer()) as asked:
        alone = entry(other, **more)
        async with looking(store, alone, entry(asked, "second")) as health:
            await reported(store, lambda report: report.supplies, "second")
            assert await health.look(alone) is None
        assert other.requests == []
        assert await store.report("phaser") is None


async def test_asking_ends_with_the_setting_and_what_was_said_goes(store: Store) -> None:
    async with agent(printer(errors=b"\x04", status=5, doing=1)) as other, looking(store, entry(other)) as health:
        await fares(store, lambda state: state.state_reasons == ("media-jam",))
        health.printers([entry(other, snmp=Snmp.OFF)])
        await fares(store, lambda state: not state.state_reasons)
        health.printers([entry(other, snmp_community="other")])
        other.community = b"other"
        await fares(store, lambda state: state.state_reasons == ("media-jam",))
        assert other.requests[-1].community == b"other"
        health.printers([])
        while health._roster.seats:  # noqa: ASYNC110 - it takes a moment
            await asyncio.sleep(0)

        def asked() -> int:
            return sum(request.oids == STATUS for request in other.requests)

        before = asked()
        assert await health.look(entry(other, snmp_community="other"))
        assert asked() == before + 1


async def test_a_change_of_the_interval_counts_at_once(store: Store) -> None:
    async with agent(printer()) as other, looking(store, entry(other, status_interval=86400)) as health:
        await reported(store, lambda report: report.supplies)
        other.asked.clear()
        asked = len(other.requests)
        health.printers([entry(other, status_interval=0)])
        async with asyncio.timeout(5):
            await other.asked.wait()
        assert other.requests[asked].oids == STATUS


async def test_a_look_now_tells_all(store: Store) -> None:
    async with agent(printer(doing=4, pages=123)) as other:
        asked = entry(other, status_interval=86400)
        async with looking(store, asked) as health:
            await reported(store, lambda report: report.supplies)
            look = await health.look(asked)
            assert look is not None
            assert (look.state, look.reasons, look.pages, look.console) == ("processing", (), 123, "Ready")
            other.objects |= printer(errors=b"\x08", doing=1, status=5)
            look = await health.look(asked)
            assert look is not None
            assert (look.state, look.reasons) == ("stopped", ("door-open",))
            await fares(store, lambda state: state.state_reasons == ("door-open",))


async def test_whoever_waits_for_pages_waits_in_vain_only_so_often(store: Store) -> None:
    async with agent() as other:
        other.answering = lambda request: []
        asked = entry(other, status_interval=86400)
        async with looking(store, asked, seconds=0.05) as health:
            await reported(store, lambda report: report)
            for _ in range(2):
                began = time.monotonic()
                assert await health.look(asked, seconds=0.05) is None
                assert time.monotonic() - began < 0.5
            requests = len(other.requests)
            assert await health.look(asked, seconds=30) is None
            assert len(other.requests) == requests


async def test_only_what_changed_is_written(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[PrinterReport] = []
    writing = store.set_report

    async def counting(report: PrinterReport) -> None:
        written.append(report)
        await writing(report)

    monkeypatch.setattr(store, "set_report", counting)
    async with agent(printer()) as other:
        asked = entry(other, status_interval=86400)
        async with looking(store, asked) as health:
            await reported(store, lambda report: report.supplies)
            so_far = len(written)
            for pages in range(100, 120):
                other.objects |= {f"{PRT}.10.2.1.4.1.1": integer(pages)}
                assert await health.look(asked)
            assert len(written) == so_far <= 3
            monkeypatch.setattr(module, "_PAGES_SECONDS", 0.0)
            assert await health.look(asked)
            assert [report.pages for report in written[so_far:]] == []  # as many as last time
            other.objects |= {f"{PRT}.10.2.1.4.1.1": integer(121)}
            assert await health.look(asked)
            assert [report.pages for report in written[so_far:]] == [121]


async def test_looks_at_once_are_bounded_and_the_silent_ones_hold_nobody_up_for_ever(store: Store) -> None:
    async with agent(printer()) as well, agent() as other:
        other.answering = lambda request: []
        silent = [entry(other, f"silent{number}", snmp_community=f"c{number}") for number in range(20)]
        async with looking(store, *silent, entry(well), seconds=0.1, at_once=4) as health:
            await reported(store, lambda report: report.up)
            for number in range(20):
                assert not (await reported(store, lambda report: report, f"silent{number}")).up
            assert health._places._value <= 4


async def test_first_looks_are_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "_SPREAD_SECONDS", 60.0)
    made = roster.Roster(lambda where: Questions(Agent(where.host, version=where.version, community="", seconds=1.0)))
    entries = [entry(161, f"p{number}", snmp_community=f"c{number}", status_interval=60) for number in range(3000)]
    await made.take_in(entries)
    now = asyncio.get_running_loop().time()
    due = sorted(seat.due - now for seat in made.seats.values())
    assert max(sum(second <= one < second + 1 for one in due) for second in range(60)) < 120
    assert -1 < due[0] < 2
    assert 58 < due[-1] < 61


async def test_a_new_community_counts_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roster, "_SPREAD_SECONDS", 60.0)
    async with agent(printer()) as other:
        other.community = b"secret"
        async with looking(store, entry(other, status_interval=3600), seconds=0.1) as health:
            assert not (await reported(store, lambda report: report)).up
            health.printers([entry(other, status_interval=3600, snmp_community="secret")])
            async with asyncio.timeout(2):
                await reported(store, lambda report: report.up)


async def test_a_quiet_printer_is_asked_when_its_quiet_time_is_over(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = time.time() + 0.3
    for where in (module, roster):
        monkeypatch.setattr(where, "quiet_until", lambda spans, now: ends if spans and now < ends else 0.0)
    async with agent(printer()) as other, looking(store, entry(other, quiet_hours=("22:00-06:00",))):
        report = await reported(store, lambda report: report.up)
        assert report.asked_at >= ends
        assert report.asked_at < ends + 2


@pytest.mark.parametrize("version", [Snmp.V1, Snmp.V2C])
async def test_the_virtual_printer_fares_as_it_is_told(store: Store, version: Snmp) -> None:
    virtual = VirtualPrinter(None, render=False, snmp=True)
    host, port = await virtual.start("127.0.0.1", 0)
    try:
        assert virtual.snmp_address
        asked = entry(virtual.snmp_address[1], uri=f"socket://{host}:{port}", snmp=version, status_interval=600)
        async with looking(store, asked) as health:
            assert (await reported(store, lambda report: report.supplies)).model
            for reason in ("media-empty", "media-jam", "door-open"):
                virtual.set_condition(reason)
                look = await health.look(asked)
                assert look is not None
                assert (look.state, look.reasons) == ("stopped", (reason,))
            virtual.set_condition("")
            look = await health.look(asked)
            assert look is not None
            assert (look.state, look.reasons, look.pages) == ("idle", (), 0)
    finally:
        await virtual.close()


async def test_who_comes_back_is_told_of_once(store: Store) -> None:
    back: list[list[str]] = []
    async with agent(printer()) as other:
        two = (entry(other, status_interval=86400), entry(other, "duplex", status_interval=86400))
        async with looking(store, *two, returned=back.append) as health:
            await reported(store, lambda report: report.supplies)
            await health.look(two[0])
            assert back == []  # it was never away
            other.objects |= printer(errors=b"\x40", status=5, doing=1)
            await health.look(two[0])
            other.objects |= printer(errors=b"\x04", status=5, doing=1)
            await health.look(two[0])
            assert back == []
            other.objects |= printer()
            await health.look(two[0])
            await health.look(two[0])
            assert back == [["phaser", "duplex"]]
            other.answering = lambda request: []
            assert await health.look(two[0], seconds=0.05) is None
            other.answering = None
            other.objects |= printer(errors=b"\x04", status=5, doing=1)
            await health.look(two[0])
            assert back == [["phaser", "duplex"]]  # it is there, but not well
            other.objects |= printer()
            await health.look(two[0])
            assert back == [["phaser", "duplex"]] * 2


async def test_a_printer_that_prints_though_it_said_that_it_stands_is_asked_again(store: Store) -> None:
    conditions = Conditions(store)
    async with agent(printer(errors=b"\x40", status=5, doing=1)) as other:
        health = Health(store, conditions)
        conditions.doubted = health.hurry
        health.printers([entry(other, status_interval=86400)])
        running = asyncio.create_task(health.run())
        try:
            await fares(store, lambda state: state.state_reasons == ("media-empty",))
            other.objects |= printer()
            await conditions.tell(["phaser"], Source.LINE)  # a job came out well
            await fares(store, lambda state: state.state == "idle")
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running


async def test_a_silent_printer_for_which_jobs_wait_is_asked_more_often(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roster, "AWAITED_SECONDS", 0.1)
    back: list[list[str]] = []
    conditions = Conditions(store)
    async with agent(printer()) as other:
        health = Health(store, conditions, seconds=0.02, returned=back.append)
        health.printers([entry(other)])
        running = asyncio.create_task(health.run())
        try:
            await reported(store, lambda report: report.supplies)
            await conditions.tell(
                ["phaser"], Source.LINE, Condition(state="stopped", reasons=("connecting-to-device",))
            )
            other.answering, asked = (lambda request: []), len(other.requests)
            async with asyncio.timeout(5):  # else the tenth question came after 20 s
                while len(other.requests) < asked + 20:
                    other.asked.clear()
                    await other.asked.wait()
            assert back == []
            other.answering = None
            async with asyncio.timeout(2):
                while not back:
                    other.asked.clear()
                    await other.asked.wait()
                    await asyncio.sleep(0)
            assert back == [["phaser"]]
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_quiet_night_is_looked_at_again_for_clocks_that_are_set() -> None:
    made = roster.Roster(lambda where: Questions(Agent(where.host, version=where.version, community="", seconds=1.0)))
    await made.take_in([entry(161, quiet_hours=("00:00-24:00",), status_interval=60)])
    ((where, seat),) = made.seats.items()
    made.visited(where, seat, seat.turn, awaited=False)
    assert 0 < seat.due - asyncio.get_running_loop().time() <= 960


async def test_a_clock_that_is_put_back_makes_no_answer_of_silence_and_no_silence_of_an_answer(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with agent(printer()) as other:
        asked = entry(other, status_interval=86400)
        async with looking(store, asked, seconds=0.1) as health:
            before = await reported(store, lambda report: report.supplies)
            real = time.time
            monkeypatch.setattr(module, "time", types.SimpleNamespace(time=lambda: real() - 7200))
            other.answering = lambda request: []
            assert await health.look(asked) is None
            down = await reported(store, lambda report: not report.up)
            assert down.asked_at < before.asked_at
            other.answering = None
            assert await health.look(asked)
            up = await reported(store, lambda report: report.up)
            assert up.answered_at < before.answered_at


async def test_an_answer_that_comes_too_late_says_nothing_of_who_is_asked_no_more(store: Store) -> None:
    jammed = printer(errors=b"\x04", status=5, doing=1)
    async with agent(jammed) as other, agent(printer()) as second:
        other.answering = lambda request: []
        alone = entry(other, status_interval=86400)
        async with looking(store, alone, seconds=5.0) as health:
            await other.asked.wait()  # by the visit
            other.asked.clear()
            looks = asyncio.create_task(health.look(alone, seconds=5.0))
            await other.asked.wait()
            health.printers([entry(other, snmp=Snmp.OFF), entry(second, "second")])
            await reported(store, lambda report: report.up, "second")
            other.answering = None
            for request in list(other.requests):  # now it answers
                assert other.transport
                other.transport.sendto(other.answers(request)[0], request.asker)
            told = await looks
            assert told is not None
            assert told.state == "stopped"
            assert (await store.printer_state("phaser")).state_reasons == ()
            assert await store.report("phaser") is None


async def test_what_an_earlier_process_heard_of_who_is_asked_no_more_is_over(store: Store) -> None:
    await store.set_condition("phaser", "stopped", ["media-jam"], "paper is jammed")
    await store.set_condition("busy", "stopped", ["media-empty"], "no paper")
    await fares(store, lambda state: state.state_reasons, "busy")
    async with agent(printer(errors=b"\x40", status=5, doing=1)) as other:
        off = entry(other, snmp=Snmp.OFF)
        async with looking(store, off, entry(other, "busy")):
            await fares(store, lambda state: (state.state, state.state_reasons) == ("idle", ()))
            assert (await store.printer_state("busy")).state_reasons == ("media-empty",)


async def test_entries_are_taken_in_while_others_go_on() -> None:
    made = roster.Roster(lambda where: Questions(Agent(where.host, version=where.version, community="", seconds=1.0)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    going_on = asyncio.create_task(others())
    await made.take_in([entry(161, f"p{number}", snmp_community=f"c{number}") for number in range(2000)])
    going_on.cancel()
    assert turns >= 20
    assert await made.take_in([entry(161, "p0", snmp=Snmp.OFF), entry(161, "p1")]) == {"p0"}
    assert len(made.seats) == 1


def sockets() -> int:
    found = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # of the folder itself
            found += str(link.readlink()).startswith("socket:")
    return found


async def shut_down_while_asked(store: Store) -> None:
    async with agent() as other:
        other.answering = lambda request: []
        before = sockets()
        many = [entry(other, f"p{number}", snmp_community=f"c{number}") for number in range(200)]
        async with looking(store, *many, seconds=30.0, at_once=128):
            while len(other.requests) < 128:
                other.asked.clear()
                await other.asked.wait()
            began = time.monotonic()
        assert time.monotonic() - began < 2.0
        assert sockets() == before


async def test_shutting_down_waits_for_no_look(store: Store) -> None:
    await shut_down_while_asked(store)


def test_shutting_down_waits_for_no_look_on_uvloop(tmp_path: Path) -> None:
    async def work() -> None:
        with short_folder() as runtime:
            opened = await open_store(tmp_path, role=Role.BRIDGE, reserve=0, runtime=runtime)
            try:
                await shut_down_while_asked(opened)
            finally:
                await opened.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work())
