"""What printers' answers mean, oddity by oddity; and that no answer at all makes nonsense of us."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.condition import PRINTER_REASONS, PRINTER_STATES, keyword
from mailstore.report import Supply
from printerbridge import mib
from printerbridge.mib import STATUS, Look, error_bits, look

RUNNING, WARNING, DOWN = 2, 3, 5
OTHER, UNKNOWN, IDLE, PRINTING, WARMUP = 1, 2, 3, 4, 5


def told(device: Any, doing: Any, errors: Any = b"\0\0", pages: Any = 7, console: Any = b"") -> Look:
    return look(dict(zip(STATUS, (device, doing, errors, pages, console), strict=True)))


@pytest.mark.parametrize(
    ("device", "doing", "errors", "state", "reasons"),
    [
        # RFC 2790 hrPrinterStatus, the table of RFC 3805 section 2.2.13.2: normal, busy, warming up, standby.
        (RUNNING, IDLE, b"\0", "idle", ""),
        (RUNNING, PRINTING, b"\0", "processing", ""),
        (DOWN, WARMUP, b"\0", "processing", ""),
        (RUNNING, WARMUP, b"\0", "processing", ""),
        (RUNNING, OTHER, b"\0", "idle", ""),  # sleep, as PyKota (snmp.py:228) takes it
        # HP: noPaper, noToner, doorOpen, jammed, offline are down and other; low ones only warn (mib-explorer.com).
        (DOWN, OTHER, b"\x40", "stopped", "media-empty"),
        (DOWN, OTHER, b"\x10", "stopped", "marker-supply-empty"),
        (DOWN, OTHER, b"\x08", "stopped", "door-open"),
        (DOWN, OTHER, b"\x04", "stopped", "media-jam"),
        (DOWN, OTHER, b"\x02", "stopped", "offline"),
        (DOWN, OTHER, b"\x01", "stopped", "x-service-requested"),
        (WARNING, IDLE, b"\x80", "idle", "media-low-warning"),
        (WARNING, IDLE, b"\x20", "idle", "marker-supply-low-warning"),
        # PaperCut's default blocking set stops whatever hrDeviceStatus says; used-up toner is not in it.
        (WARNING, IDLE, b"\x40", "stopped", "media-empty"),
        (WARNING, IDLE, b"\x00\x80", "stopped", "input-tray-missing"),
        (WARNING, IDLE, b"\x00\x40", "stopped", "output-tray-missing"),
        (WARNING, IDLE, b"\x00\x20", "stopped", "marker-supply-missing"),
        (WARNING, IDLE, b"\x00\x08", "stopped", "output-area-full"),
        (WARNING, IDLE, b"\x10", "idle", "marker-supply-empty-warning"),
        (WARNING, IDLE, b"\x00\x10", "idle", "output-area-almost-full-warning"),
        (WARNING, IDLE, b"\x00\x04", "idle", "media-empty-warning"),  # inputTrayEmpty: one of several
        (WARNING, IDLE, b"\x00\x02", "idle", "x-maintenance-due-warning"),
        (WARNING, IDLE, b"\x40\x04", "stopped", "media-empty"),  # said twice, told once, the worse way
        # A printer that prints by its own word is not stopped by an empty tray beside it.
        (WARNING, PRINTING, b"\x40", "processing", "media-empty-warning"),
        (DOWN, PRINTING, b"\x40", "stopped", "media-empty"),
        # CUPS heeds neither bit, as unreliable (snmp-supplies.c:170): only where the device is down.
        (RUNNING, IDLE, b"\x02", "idle", ""),
        (RUNNING, IDLE, b"\x03", "idle", ""),
        (WARNING, PRINTING, b"\x01", "processing", ""),
        (DOWN, OTHER, b"\x42", "stopped", "media-empty"),  # off line because of the paper
        (DOWN, OTHER, b"\x22", "stopped", "marker-supply-low-warning offline"),
        # DSorlov/snmp_printer#17: the printer's status is not the device's; down and idle prints all the same.
        (DOWN, IDLE, b"\0", "idle", ""),
        (DOWN, OTHER, b"\0", "stopped", "other"),
        (DOWN, UNKNOWN, b"\0", "stopped", "other"),
        (DOWN, OTHER, b"\x20", "idle", "marker-supply-low-warning"),
        # 0, 1 or 2 octets, the first bit first (printing.md: "may be 0, 1, 2 bytes"); and what else there is.
        (WARNING, IDLE, b"", "idle", ""),
        (WARNING, IDLE, b"\x80\x00\xff", "idle", "media-low-warning"),
        (WARNING, IDLE, None, "idle", ""),
        (None, None, None, "idle", ""),
        (None, PRINTING, None, "processing", ""),
        (None, None, b"\x04", "stopped", "media-jam"),
        (b"5", "1.3.6", b"\x04", "stopped", "media-jam"),
    ],
)
def test_a_look(device: Any, doing: Any, errors: Any, state: str, reasons: str) -> None:
    seen = told(device, doing, errors)
    assert seen.state == state
    assert seen.reasons == tuple(reasons.split())
    assert bool(seen.text) == bool(seen.reasons)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (b"", 0),
        (b"\x40", 0x4000),
        (b"\x40\x01", 0x4001),
        (b"\x40\x01\xff", 0x4001),
        (b"0x40", 0x4000),
        (b"0x4001", 0x4001),
        (b"40 01", 0x4001),
        (b"40:01", 0x4001),
        (b"4001", 0x4001),
        (b'"40 00"', 0x4000),
        (b"40", 0x3430),  # two octets are bits, whatever they look like
        (b"zz zz", int.from_bytes(b"zz", "big")),
        (0, 0),
        (0x40, 0x4000),  # one octet as INTEGER
        (0x4001, 0x4001),
        (-128, 0x8000),  # the same, with its highest bit taken for a sign
        (-0x7FFF, 0x8001),
        (0x40010000, 0x4001),
        (1 << 70, 0),
        (-(1 << 70), 0),
        ("1.3.6", 0),
        (None, 0),
    ],
)
def test_error_bits(value: Any, bits: int) -> None:
    assert error_bits(value) == bits


@pytest.mark.parametrize(
    ("value", "pages"),
    [(0, 0), (123, 123), ((1 << 32) - 1, (1 << 32) - 1), (-2, None), (1 << 32, None), (b"12", None), (None, None)],
)
def test_pages(value: Any, pages: int | None) -> None:
    """A Counter32 or an INTEGER (apple/cups#3610); -2 is unknown."""
    assert told(RUNNING, IDLE, pages=value).pages == pages


@pytest.mark.parametrize(
    ("octets", "console"),
    [
        (b"Ready", "Ready"),
        ("Papier auffüllen".encode(), "Papier auffüllen"),
        ("Papier auffüllen".encode("latin-1"), "Papier auffüllen"),
        (b"  LOAD\r\nTRAY 1\0\0\0 ", "LOAD TRAY 1"),
        (b"\x1b[2Jgone\x07", "[2Jgone"),
        ("\u202eevil".encode(), "evil"),
        (b"x" * 5000, "x" * 80),
        (b"", ""),
        (7, ""),
        ("1.3.6.1", ""),
        (None, ""),
    ],
)
def test_the_panel(octets: Any, console: str) -> None:
    assert told(RUNNING, IDLE, console=octets).console == console


@pytest.mark.parametrize(
    "panel", ["Ready", "READY", "Bereit", "Prêt", "Sleep mode on", "Energiesparmodus", "PowerSave"]
)
def test_a_panel_at_ease_is_no_condition(panel: str) -> None:
    """The text is in any language (DSorlov/snmp_printer#17): it excuses, and is never quoted as a trouble."""
    assert told(DOWN, OTHER, console=panel.encode()).state == "idle"
    jammed = told(DOWN, OTHER, b"\x04", console=panel.encode())
    assert (jammed.reasons, jammed.text) == (("media-jam",), "paper is jammed")


def test_the_panel_is_quoted_where_it_stopped() -> None:
    assert told(DOWN, OTHER, b"\x60", console=b"LOAD A4").text == "the paper is used up (its panel shows: LOAD A4)"
    assert told(DOWN, OTHER, console=b"SERVICE 41").text == "the printer reports trouble (its panel shows: SERVICE 41)"
    assert told(WARNING, IDLE, b"\x20", console=b"ORDER TONER").text == "ink or toner is low"


def test_any_instance_is_understood() -> None:
    values: dict[str, Any] = dict(zip(mib.status(5), (DOWN, OTHER, b"\x04", 9, b"JAM"), strict=True))
    assert look(values) == Look(
        state="stopped", reasons=("media-jam",), text="paper is jammed (its panel shows: JAM)", console="JAM", pages=9
    )
    assert mib.device_of(f"{mib.PRINTERS}.5") == 5
    assert len(STATUS) == 5


def test_an_answer_without_a_printer_is_known() -> None:
    nothing = dict.fromkeys(STATUS)
    assert not mib.tells(nothing)
    assert not mib.tells({**nothing, STATUS[0]: 2})  # any host has devices
    assert mib.tells({**nothing, STATUS[3]: 0})


SUPPLY = "1.3.6.1.2.1.43.11.1.1"


def supply(**columns: Any) -> Supply:
    numbers = {"colorant": 3, "class_": 4, "kind": 5, "name": 6, "unit": 7, "most": 8, "level": 9}
    values = {f"{SUPPLY}.{numbers[name]}.1.1": value for name, value in columns.items()}
    (one,) = mib.supplies(["1.1"], {"1.3.6.1.2.1.43.12.1.1.4.1.3": b"Cyan\0", **values})
    return one


@pytest.mark.parametrize(
    ("unit", "most", "level", "share"),
    [
        (13, 1000, 250, 0.25),
        (13, 1000, 0, 0.0),
        (19, -2, 40, 0.4),  # percent of nobody knows what
        (19, 0, 40, 0.4),
        (13, -2, 40, None),
        (13, -1, -1, None),  # RFC 3805: -1 no matter, -2 unknown, -3 some; CUPS takes them for 50 %
        (13, 1000, -2, None),
        (13, 1000, -3, None),
        (13, 100, 250, 1.0),
        (None, None, 40, None),
        (None, b"100", 40, None),
        (13, 1000, b"250", None),
        (13, 1000, None, None),
        (13, 1000, -(1 << 60), None),
    ],
)
def test_levels(unit: Any, most: Any, level: Any, share: float | None) -> None:
    assert supply(kind=3, class_=3, unit=unit, most=most, level=level).level == share
    tray = {f"1.3.6.1.2.1.43.8.2.1.{column}.1.2": value for column, value in ((8, unit), (9, most), (10, level))}
    (one,) = mib.trays(["1.2"], tray)
    assert (one.name, one.media, one.level) == ("tray 2", "", share)


def test_a_waste_box_is_believed_only_if_it_knows_that_it_is_one() -> None:
    """CUPS leaves them out, for no two vendors report the same (snmp-supplies.c:295); apple/cups#4499."""
    assert supply(kind=4, class_=4, most=100, level=90).level == 0.9
    assert supply(kind=4, class_=3, most=100, level=90).level is None
    assert supply(kind=4, most=100, level=90).level is None
    assert supply(kind=4).kind == "waste-toner"


@pytest.mark.parametrize(
    ("columns", "named", "color"),
    [
        ({"name": b"Cyan Cartridge", "colorant": 3}, "Cyan Cartridge", "cyan"),
        ({"name": b"TK-5240", "colorant": 3}, "TK-5240", "cyan"),
        ({"name": b"TK-5240", "colorant": 4}, "TK-5240", ""),
        ({"name": b"Black Cartridge HP CE285A\0", "colorant": 0}, "Black Cartridge HP CE285A", "black"),
        ({"name": b"Photo Black Ink"}, "Photo Black Ink", "photo black"),
        ({"name": b"Blackened"}, "Blackened", ""),
        ({"name": b"", "kind": 15}, "fuser", ""),
        ({"kind": 99}, "supply", ""),
        ({"name": 7, "kind": b"x", "colorant": -1}, "supply", ""),
    ],
)
def test_names_and_colours_of_supplies(columns: dict[str, Any], named: str, color: str) -> None:
    one = supply(**columns)
    assert (one.name, one.color) == (named, color)


def test_types_are_those_of_the_standard() -> None:
    words = {3: "toner", 4: "waste-toner", 8: "waste-ink", 9: "opc", 15: "fuser", 21: "toner-cartridge", 32: "staples"}
    assert {number: supply(kind=number).kind for number in words} == words
    assert [supply(kind=number).kind for number in (-1, 0, 1, 2, 35)] == [""] * 5
    assert supply(kind=34).kind == "covers"


def test_two_of_one_name_are_two() -> None:
    rows = ["1.1", "1.2", "1.3"]
    values = {f"{SUPPLY}.6.{row}": b"Toner" for row in rows}
    assert [one.name for one in mib.supplies(rows, values)] == ["Toner", "Toner 2", "Toner 3"]


def test_rows_and_objects() -> None:
    assert mib.rows([f"{mib.SUPPLIES}.1.1", "1.3.6.1", f"{mib.SUPPLIES}.1.7"], mib.SUPPLIES) == ["1.1", "1.7"]
    assert len(mib.rows((f"{mib.SUPPLIES}.1.{row}" for row in range(1000)), mib.SUPPLIES)) == mib.ROWS
    values = {f"{SUPPLY}.3.1.1": 3, f"{SUPPLY}.3.1.2": 3, f"{SUPPLY}.3.1.3": 0, f"{SUPPLY}.3.1.4": -1}
    assert mib.colorant_objects(["1.1", "1.2", "1.3", "1.4"], values) == ["1.3.6.1.2.1.43.12.1.1.4.1.3"]
    assert mib.model(dict(zip(mib.model_objects(1), (b" HP\tLaserJet ", None), strict=True))) == ("HP LaserJet", "")


VALUES = st.none() | st.integers() | st.integers(-4, 300) | st.binary(max_size=300) | st.just("1.3.6.1.4.1")


@given(values=st.fixed_dictionaries(dict.fromkeys(STATUS, VALUES)))
def test_any_answer_is_a_look(values: dict[str, Any]) -> None:
    seen = look(values)
    assert seen.state in PRINTER_STATES
    assert {keyword(reason) for reason in seen.reasons} <= PRINTER_REASONS.keys()
    assert len({keyword(reason) for reason in seen.reasons}) == len(seen.reasons)
    assert (seen.state == "stopped") == any(keyword(reason) == reason for reason in seen.reasons)
    assert bool(seen.text) == bool(seen.reasons)
    for text in (seen.text, seen.console):
        assert text.isprintable()
    assert len(seen.console) <= 80
    assert look(dict(reversed(values.items()))) == seen
    assert "marker-supply-low" not in seen.reasons  # whatever else is the matter


@given(found=st.lists(st.integers(1, 40), unique=True, max_size=8), data=st.data())
def test_any_supplies_and_trays_can_be_shown(found: list[int], data: st.DataObject) -> None:
    rows = [f"1.{row}" for row in found]
    asked = [oid for row in rows for oid in (*mib.supply_objects(row), *mib.tray_objects(row))]
    values = data.draw(st.fixed_dictionaries(dict.fromkeys(asked, VALUES)))
    supplies, trays = mib.supplies(rows, values), mib.trays(rows, values)
    for all_of_them in (supplies, trays):
        assert len({one.name for one in all_of_them}) == len(rows)
        for one in all_of_them:
            assert one.name.isprintable()
            assert 0 < len(one.name) <= 70
            assert one.level is None or 0.0 <= one.level <= 1.0
    assert all(mib.device_of(oid) > 0 for oid in mib.colorant_objects(rows, values))
