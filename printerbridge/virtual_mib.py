"""What the virtual printer's SNMP objects hold, from its present state.  No I/O.

Numbers are those of the Host Resources MIB (RFC 2790), the Printer MIB (RFC 3805) and PWG 5107.1.
"""

from __future__ import annotations

import time
from typing import Final

from printerbridge.virtual_device import Device
from printerbridge.virtual_personality import Personality

SERIAL: Final = "PPV0042"
SHEETS: Final = 500
"""What tray 1 holds; one sheet a page, and somebody fills it up."""
TONER: Final = 10_000
"""Pages of a toner cartridge."""


class Counter(int):
    """A Counter32."""


class Ticks(int):
    """TimeTicks: hundredths of a second."""


Oid = tuple[int, ...]
Value = int | bytes | Oid

_MIB: Final = (1, 3, 6, 1, 2, 1)
_HOST: Final = (*_MIB, 25, 3)
_PRT: Final = (*_MIB, 43)
_PRINTER_TYPE: Final = (*_HOST, 1, 5)
_DEVICE_ID: Final = (1, 3, 6, 1, 4, 1, 2699, 1, 2, 1, 2, 1, 1, 3, 1)
_BORN: Final = time.monotonic()
_RUNNING, _WARNING, _DOWN = 2, 3, 5
_OTHER, _IDLE, _PRINTING = 1, 3, 4
_TRAY_EMPTY: Final = 13  # the bit inputTrayEmpty
_SOME_LEFT: Final = -3  # RFC 3805: at least one
_UNKNOWN: Final = -2
_PERCENT, _IMPRESSIONS, _SHEETS = 19, 7, 8


def objects(device: Device, kind: Personality) -> list[tuple[Oid, Value]]:
    """Every object with its value, in order."""
    found = [*_system(kind), *_host(device, kind), *_printer(device, kind), *_supplies(device), *_trays(device)]
    return sorted(found, key=lambda one: one[0])


def _system(kind: Personality) -> list[tuple[Oid, Value]]:
    values: dict[int, Value] = {
        1: f"{kind.model}; serial {SERIAL}".encode(),  # sysDescr
        2: (0, 0),  # sysObjectID: no maker's
        3: Ticks(int((time.monotonic() - _BORN) * 100) & 0xFFFFFFFF),  # sysUpTime
        4: b"",  # sysContact
        5: b"virtual",  # sysName
        6: b"Virtual, on this machine",  # sysLocation
        7: 72,  # sysServices
    }
    return [((*_MIB, 1, number, 0), value) for number, value in values.items()]


def _host(device: Device, kind: Personality) -> list[tuple[Oid, Value]]:
    now = device.now
    status = _DOWN if now.stops else _WARNING if now.bit is not None else _RUNNING
    doing = _OTHER if now.stops or device.condition == "sleep" else _PRINTING if device.printing else _IDLE
    return [
        ((*_HOST, 2, 1, 1, 1), 1),  # hrDeviceIndex
        ((*_HOST, 2, 1, 2, 1), _PRINTER_TYPE),
        ((*_HOST, 2, 1, 3, 1), kind.model.encode()),  # hrDeviceDescr
        ((*_HOST, 2, 1, 4, 1), (0, 0)),
        ((*_HOST, 2, 1, 5, 1), status),  # hrDeviceStatus
        ((*_HOST, 2, 1, 6, 1), Counter(0)),
        ((*_HOST, 5, 1, 1, 1), doing),  # hrPrinterStatus
        ((*_HOST, 5, 1, 2, 1), _errors(device, kind.error_octets)),
    ]


def _errors(device: Device, octets: int) -> bytes:
    """hrPrinterDetectedErrorState: the first bit is the highest of the first octet."""
    bits = {device.now.bit} | ({_TRAY_EMPTY} if device.condition == "media-empty" else set())
    value = sum(0x8000 >> bit for bit in bits if bit is not None)
    return value.to_bytes(2, "big")[:octets]


def _printer(device: Device, kind: Personality) -> list[tuple[Oid, Value]]:
    commands = ",".join(kind.commands)
    return [
        ((*_PRT, 5, 1, 1, 16, 1), b"virtual"),  # prtGeneralPrinterName
        ((*_PRT, 5, 1, 1, 17, 1), SERIAL.encode()),
        ((*_PRT, 10, 2, 1, 3, 1, 1), _IMPRESSIONS),  # prtMarkerCounterUnit
        ((*_PRT, 10, 2, 1, 4, 1, 1), device.pages if kind.integer_count else Counter(device.pages)),
        ((*_PRT, 16, 5, 1, 2, 1, 1), device.now.display.text.encode()),  # prtConsoleDisplayBufferText
        (_DEVICE_ID, f"MFG:Printpost;MDL:{kind.model};CMD:{commands};CLS:PRINTER;SN:{SERIAL};".encode()),
    ]


def _supplies(device: Device) -> list[tuple[Oid, Value]]:
    """Black toner, and a waste box of which nobody knows how full it is."""
    left = TONER - device.pages % TONER
    if device.condition == "marker-supply-low-warning":
        left = min(left, TONER // 20)
    elif device.condition == "marker-supply-empty":
        left = 0
    rows: tuple[tuple[Value, ...], ...] = (
        (1, 1, 3, 3, b"Black Toner", _IMPRESSIONS, TONER, left),  # supplyThatIsConsumed, toner
        (1, 0, 4, 4, b"Waste Toner Box", _PERCENT, 100, _UNKNOWN),  # receptacleThatIsFilled, wasteToner
    )
    columns = (2, 3, 4, 5, 6, 7, 8, 9)
    found: list[tuple[Oid, Value]] = [((*_PRT, 12, 1, 1, 4, 1, 1), b"black")]  # prtMarkerColorantValue
    for number, row in enumerate(rows, 1):
        found += [((*_PRT, 11, 1, 1, column, 1, number), value) for column, value in zip(columns, row, strict=True)]
    return found


def _trays(device: Device) -> list[tuple[Oid, Value]]:
    left = SHEETS - device.pages % SHEETS
    if device.condition == "media-empty":
        left = 0
    elif device.condition == "media-low-warning":
        left = min(left, SHEETS // 20)
    rows: tuple[tuple[Value, ...], ...] = (
        (_SHEETS, SHEETS, left, b"iso-a4-white", b"Tray 1", b"Cassette"),
        (_SHEETS, SHEETS, 0 if left == 0 else _SOME_LEFT, b"iso-a4-white", b"Tray 2", b"Multi-purpose tray"),
    )
    columns = (8, 9, 10, 12, 13, 18)
    return [
        ((*_PRT, 8, 2, 1, column, 1, number), value)
        for number, row in enumerate(rows, 1)
        for column, value in zip(columns, row, strict=True)
    ]
