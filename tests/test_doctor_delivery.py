"""What doctor says of how printers are served, of what they say themselves, and of jobs in doubt."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from appliance.doctor import delivery, printers
from appliance.doctor.house import House
from mailstore.directory.records import Hold, Language, Printer, Snmp, WhenUncertain
from mailstore.job import JobState
from mailstore.report import PrinterReport, Supply
from mailstore.store.contract import PrinterState, Role, Waiting
from mailstore.store.following import Progress
from mailstore.store.sql import open_store
from tests.contracts.wishes import in_doubt
from tests.test_doctor import stands

NOON = datetime(2026, 5, 18, 12).astimezone().timestamp()  # a Monday, where the machine is
NIGHT = datetime(2026, 5, 18, 23).astimezone().timestamp()


def printer(name: str = "phaser", **fields: Any) -> Printer:
    settings = {"uri": "socket://192.0.2.7:9100", "allow": ("@example.com",)} | fields
    return Printer(name=name, addresses=(f"{name}@example.com",), **settings)


def report(now: float = NOON, **fields: Any) -> PrinterReport:
    return PrinterReport(printer="phaser", **({"asked_at": now - 60, "answered_at": now - 60} | fields))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"stall_limit": 60}, "given up as stalled after 1 minute, before its end was waited for (90 seconds)"),
        ({"stall_limit": 600, "end_wait": 600}, "printer set phaser --stall-limit 1d"),
        ({"quiet_hours": ("00:00-24:00",)}, "its quiet hours never end, and nothing is printed"),
        ({"quiet_hours": ("mon,tue,wed,thu,fri 00:00-24:00", "sat,sun 00:00-24:00")}, "quiet hours never end"),
        ({"hold": Hold.ALL}, "names nobody who may, so only an administrator can: printpost printer set phaser --key"),
        ({"hold": Hold.ALL, "uri": ""}, "names nobody who may"),
        ({"pjl_one_option": True}, "is sent none: printpost printer set phaser --pjl"),
        ({"when_uncertain": WhenUncertain.RESUME}, "without PJL nothing confirms single pages"),
        (
            {"pjl": True, "pjl_one_option": True, "when_uncertain": WhenUncertain.RESUME},
            "with --pjl-one-option it is told of no range of pages: printpost printer set phaser --when-uncertain hold",
        ),
        ({"ps_echo": True, "languages": (Language.PCL, Language.PDF)}, "does not speak: printpost printer set phaser"),
        ({"snmp": Snmp.OFF, "snmp_community": "sesame"}, "nothing is done by --snmp-community: printpost"),
        (
            {"snmp": Snmp.OFF, "status_interval": 10, "snmp_port": 7},
            "nothing is done by --status-interval, --snmp-port",
        ),
        ({"uri": "", "half_close": False}, "fetches its mail by itself, and nothing is done by --half-close"),
        ({"uri": "", "quiet_hours": ("22:00-06:00",), "snmp": Snmp.OFF}, "nothing is done by --snmp, --quiet-hours"),
    ],
)
def test_what_does_not_go_together(entry: dict[str, Any], words: str) -> None:
    (told,) = delivery.served(printer(**entry), NOON)
    assert words in told
    assert "sesame" not in told


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"stall_limit": 600, "end_wait": 599},
        {"quiet_hours": ("22:00-06:00", "sat,sun 00:00-24:00")},
        {"hold": Hold.ALL, "key_user": ("ada@example.com",)},
        {"hold": Hold.ALL, "service_person": ("ada@example.com",)},
        {"hold": Hold.ALL, "sysadmin": ("ada@example.com",)},
        {"hold": Hold.CODE},
        {"pjl": True, "pjl_one_option": True, "when_uncertain": WhenUncertain.REPRINT},
        {"pjl": True, "when_uncertain": WhenUncertain.RESUME},
        {"ps_echo": True, "languages": (Language.PCL, Language.POSTSCRIPT2)},
        {"snmp": Snmp.OFF},
        {"snmp": Snmp.V2C, "snmp_community": "sesame", "status_interval": 10},
        {"uri": "", "hold": Hold.CODE, "hold_expiry": 60, "expiry": 60},
        {"uri": "", "members": ("laser",), "hold": Hold.ALL},
    ],
)
def test_what_goes_together(entry: dict[str, Any]) -> None:
    assert delivery.served(printer(**entry), NOON) == []


def toner(name: str, level: float | None, kind: str = "toner") -> Supply:
    return Supply(name=name, kind=kind, color="", level=level)


@pytest.mark.parametrize(
    ("entry", "said", "words"),
    [
        ({}, {"answered_at": NOON - 7200}, "any more, the last time 2 hours ago: is it switched on"),
        (
            {"status_interval": 29},
            {"answered_at": NOON - 7200},
            "asked every 29 seconds, which not every printer bears",
        ),
        ({}, {"supplies": (toner("Black", 0.1), toner("Cyan", 0.11))}, "Black is down to 10%: have new ones at hand"),
        ({}, {"supplies": (toner("Black\x1b[2J", 0.0),)}, "[2J is used up: have"),
        ({}, {"supplies": (toner("Box", 0.05, "waste-toner"),)}, "Box is full but for 5%"),
        ({}, {"supplies": (toner("Box", 0.0, "waste-toner"),)}, "Box is full: have"),
        (
            {},
            {"supplies": tuple(toner(name, 0.01) for name in "CMYKW")},
            "C is down to 1%, M is down to 1%, Y is down to 1%, 2 more: have",
        ),
    ],
)
def test_what_a_printer_says_is_wrong(entry: dict[str, Any], said: dict[str, Any], words: str) -> None:
    (told,) = delivery.reported(printer(**entry), report(**said), NOON)
    assert words in told


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, {}),
        ({}, {"answered_at": 0.0}),  # of one that never did it is only noted
        ({"snmp": Snmp.OFF}, {"answered_at": NOON - 7200}),
        ({"uri": ""}, {"answered_at": NOON - 7200}),  # of the time when it had a device address
        ({"quiet_hours": ("11:00-13:00",)}, {"answered_at": NOON - 7200}),
        ({}, {"supplies": (toner("Black", 0.5), toner("Cyan", None))}),
    ],
)
def test_a_printer_that_says_nothing_is_wrong(entry: dict[str, Any], said: dict[str, Any]) -> None:
    assert delivery.reported(printer(**entry), report(**said), NOON) == []
    assert delivery.reported(printer(**entry), None, NOON) == []


def test_one_that_never_answered_is_only_noted() -> None:
    never = report(answered_at=0.0)
    assert "printer set phaser --snmp-community, --snmp 2c, or --snmp off" in delivery.silent(printer(), never, NOON)
    for entry, said in (({}, report()), ({}, None), ({"snmp": Snmp.OFF}, never), ({"uri": ""}, never)):
        assert delivery.silent(printer(**entry), said, NOON) == ""


@pytest.mark.parametrize(
    ("now", "reasons", "told"),
    [
        (NIGHT, ("connecting-to-device",), 0),
        (NOON, ("connecting-to-device",), 1),
        (NIGHT, ("connecting-to-device", "media-empty"), 1),
    ],
)
def test_a_printer_that_is_switched_off_at_night_is_no_trouble(now: float, reasons: tuple[str, ...], told: int) -> None:
    state = PrinterState(printer="phaser", state="stopped", state_reasons=reasons)
    assert len(printers.fares(printer(quiet_hours=("22:00-06:00",)), state, now)) == told


def test_what_its_panel_shows_stands_beside_what_is_wrong() -> None:
    state = PrinterState(printer="phaser", state="stopped", state_reasons=("media-empty",))
    (told,) = printers.fares(printer(), state, NOON, "LADE\x1b 2 FÜLLEN")
    assert told == "it is stopped: media-empty; its panel shows: LADE 2 FÜLLEN"


@pytest.mark.parametrize(
    ("now", "oldest", "told"),
    [
        (NIGHT, NIGHT - 3 * 3600, 0),
        (NIGHT + 7 * 3600 + 1200, NIGHT, 0),  # 06:20: it has had twenty minutes
        (NIGHT + 7 * 3600 + 2400, NIGHT, 1),
        (NOON, NOON - 2000, 1),
    ],
)
def test_jobs_that_wait_for_the_end_of_quiet_hours_are_no_trouble(now: float, oldest: float, told: int) -> None:
    row = Waiting(
        printer="phaser", states={JobState.PENDING: 2}, messages=2, octets=2, oldest=oldest, last_completed=0.0
    )
    assert len(printers.waits(printer(quiet_hours=("22:00-06:00",)), row, now)) == told


@pytest.fixture
async def standing(tmp_path: Path) -> AsyncIterator[House]:
    store = await open_store(tmp_path, role=Role.BRIDGE, keep=3600, reserve=0)
    yield stands(tmp_path, store=store)
    await store.close()


async def test_of_jobs_in_doubt_is_told_what_is_known(standing: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printers, "own_interfaces", lambda: [ipaddress.ip_interface("192.0.2.10/24")])
    store = standing.store
    assert store is not None
    numbers = [await in_doubt(store) for _ in range(4)]
    known = (
        None,  # nothing was written of it
        Progress(document=0, octets=70_000, octets_total=90_000, pages=3, pages_total=12, pages_all=12),
        Progress(document=0, octets=7, octets_total=7, pages=1),
        Progress(document=2, octets=7, octets_total=9),
    )
    for number, progress in zip(numbers, known, strict=True):
        if progress is not None:
            await store.set_progress(number, progress)
    asked = time.time()
    await store.set_report(report(asked, asked_at=asked, answered_at=0.0))
    standing.printers = [printer(service_person=("ada@example.com",))]
    told = [(one.level.value, one.text) async for one in printers.printers(standing)]
    assert [level for level, _ in told] == ["warning"] * 4 + ["note"]
    texts = [text for _, text in told]
    first, _, third, last = numbers
    assert "4 jobs wait for somebody" in texts[0]
    assert f"job {last} is in doubt, 2 of its documents confirmed: printpost job retry {last} --resume" in texts[1]
    assert f"job {third} is in doubt, 1 page confirmed: printpost job retry {third} --resume" in texts[2]
    assert "in doubt, 3 of 12 pages confirmed: printpost job retry" in texts[3]
    assert "--snmp off" in texts[4]
    job = await store.job(first)
    assert job is not None
    assert f"no page is confirmed: printpost job retry {first} prints it again" in delivery.doubt(job, None)
    assert "--resume" not in delivery.doubt(job, None)
