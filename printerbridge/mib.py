"""What a printer's answers to SNMP mean: the Host Resources MIB (RFC 2790) and the Printer MIB (RFC 3805).  No I/O.

Printers fill these tables as they like.  What is believed, and when:

- What keeps a printer from printing is told by the bits of hrPrinterDetectedErrorState.  Some stop it always, unless it
  says in the same answer that it prints; used-up toner, `offline` and `serviceRequested` only where hrDeviceStatus is
  down, for many printers set them for years on end and print.
- hrDeviceStatus down alone stops a printer that does not say what it does (hrPrinterStatus other or unknown).  One that
  is idle or prints by its own word does so.  Running and other is sleep, and sleep is idle.
- The panel's text is for people: it is in any language, and no condition comes of it.  It only excuses: "Ready" on the
  panel of a printer that is down without a reason is ready.
- Levels below zero mean that there is no level (RFC 3805 prtMarkerSuppliesLevel).  Of a waste box the room in it is
  believed if the printer knows that it is a box; no two makers count alike there.

Security: all of it is written by whoever answers for the printer's address.  Every value may be missing, of any type,
long, negative or nonsense: what cannot be meant counts as not told.  Texts are made one short printable line, and the
rows that are looked at are few.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mailstore import charset
from mailstore.condition import in_words, keyword
from mailstore.header import clean
from mailstore.report import Supply, Tray

Value = int | bytes | str
Values = Mapping[str, Value | None]

_DEVICE_STATUS: Final = "1.3.6.1.2.1.25.3.2.1.5"  # hrDeviceStatus
_PRINTER_STATUS: Final = "1.3.6.1.2.1.25.3.5.1.1"  # hrPrinterStatus
_ERRORS: Final = "1.3.6.1.2.1.25.3.5.1.2"  # hrPrinterDetectedErrorState
_LIFE_COUNT: Final = "1.3.6.1.2.1.43.10.2.1.4"  # prtMarkerLifeCount
_CONSOLE: Final = "1.3.6.1.2.1.43.16.5.1.2"  # prtConsoleDisplayBufferText
_MODEL: Final = "1.3.6.1.2.1.25.3.2.1.3"  # hrDeviceDescr
_SERIAL: Final = "1.3.6.1.2.1.43.5.1.1.17"  # prtGeneralSerialNumber
_SUPPLIES: Final = "1.3.6.1.2.1.43.11.1.1"  # prtMarkerSuppliesEntry
_COLORANTS: Final = "1.3.6.1.2.1.43.12.1.1.4"  # prtMarkerColorantValue
_INPUTS: Final = "1.3.6.1.2.1.43.8.2.1"  # prtInputEntry

PRINTERS: Final = _PRINTER_STATUS
"""Where to look for the printer's hrDeviceIndex: it stands behind."""
SUPPLIES: Final = f"{_SUPPLIES}.5"  # prtMarkerSuppliesType
TRAYS: Final = f"{_INPUTS}.10"  # prtInputCurrentLevel
"""Columns that have an object for each row; the rows' names stand behind."""
ROWS: Final = 32
"""Supplies, and trays, that are looked at."""


def status(device: int = 1) -> tuple[str, ...]:
    """The five objects of one look at the printer with this hrDeviceIndex."""
    return (
        f"{_DEVICE_STATUS}.{device}",
        f"{_PRINTER_STATUS}.{device}",
        f"{_ERRORS}.{device}",
        f"{_LIFE_COUNT}.{device}.1",
        f"{_CONSOLE}.{device}.1",  # its first line
    )


STATUS: Final = status()
"""Where nearly all printers have them."""


def device_of(oid: str) -> int:
    """The hrDeviceIndex behind `PRINTERS`."""
    return int(oid.rpartition(".")[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a printer fared at one moment."""

    state: str  # printer-state: idle, processing or stopped
    reasons: tuple[str, ...] = ()  # printer-state-reasons; what only warns or reports says so by its suffix
    text: str = ""  # in words, "" if nothing is wrong
    console: str = ""  # what the panel shows
    pages: int | None = None  # that it has printed in its life, None where it does not count


# hrDeviceStatus and hrPrinterStatus of RFC 2790.
_RUNNING, _DOWN = 2, 5
_IDLE, _PRINTING, _WARMUP = 3, 4, 5

# hrPrinterDetectedErrorState of RFC 2790 as updated by RFC 3805, the first bit first; keywords mostly as CUPS has them.
# What stops by default is what print managers take for blocking.
_ALWAYS, _IF_DOWN, _NEVER = "always", "if down", "never"
_BITS: Final = (
    ("media-low", _NEVER),  # lowPaper
    ("media-empty", _ALWAYS),  # noPaper
    ("marker-supply-low", _NEVER),  # lowToner; PJL tells of both in these words, too
    ("marker-supply-empty", _IF_DOWN),  # noToner
    ("door-open", _ALWAYS),  # doorOpen
    ("media-jam", _ALWAYS),  # jammed
    ("offline", _IF_DOWN),
    ("x-service-requested", _IF_DOWN),  # serviceRequested
    ("input-tray-missing", _ALWAYS),
    ("output-tray-missing", _ALWAYS),
    ("marker-supply-missing", _ALWAYS),
    ("output-area-almost-full", _NEVER),  # outputNearFull
    ("output-area-full", _ALWAYS),  # outputFull
    ("media-empty", _NEVER),  # inputTrayEmpty: one of them
    ("x-maintenance-due", _NEVER),  # overduePreventMaint
)
_UNRELIABLE: Final = frozenset({"offline", "x-service-requested"})  # CUPS heeds neither at all
_AT_EASE: Final = re.compile(
    r"(ready|bereit|pr[eê]t|listo|pronto|klaar|redo|klar|sleep|standby|power ?sav|energ|veille|ruhe)", re.IGNORECASE
)
_CONSOLE_CHARACTERS = 80


def look(values: Values) -> Look:
    """What the five objects of `status` mean, in whatever instance."""
    told = {oid: value for oid, value in values.items() if value is not None}
    console = text(_below(told, _CONSOLE), _CONSOLE_CHARACTERS)
    doing = _number(_below(told, _PRINTER_STATUS))
    down = _number(_below(told, _DEVICE_STATUS)) == _DOWN
    reasons = _reasons(error_bits(_below(told, _ERRORS)), down=down, printing=doing == _PRINTING)
    at_work = doing in (_IDLE, _PRINTING, _WARMUP) or _AT_EASE.match(console)
    if down and not reasons and not at_work:
        reasons = ("other",)
    stopped = any(keyword(reason) == reason for reason in reasons)
    state = "stopped" if stopped else "processing" if doing in (_PRINTING, _WARMUP) else "idle"
    return Look(
        state=state,
        reasons=reasons,
        text=_in_words(reasons, console if stopped else ""),
        console=console,
        pages=_count(_below(told, _LIFE_COUNT)),
    )


def tells(values: Values) -> bool:
    """Whether there is anything of a printer's in an answer."""
    return any(values.get(oid) is not None for oid in values if not oid.startswith(f"{_DEVICE_STATUS}."))


def _reasons(bits: int, *, down: bool, printing: bool) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for number, (reason, stops) in enumerate(_BITS):
        if not bits & (0x8000 >> number) or (reason in _UNRELIABLE and not down):
            continue
        stopping = down if stops is _IF_DOWN else stops is _ALWAYS and (down or not printing)
        if stopping or reason not in found:
            found[reason] = reason if stopping else f"{reason}-warning"
    reasons = tuple(found.values())
    # What is off line for a reason is not off line for no reason.
    why = any(keyword(reason) == reason and reason not in _UNRELIABLE for reason in reasons)
    return tuple(reason for reason in reasons if not (why and reason in _UNRELIABLE))


def _in_words(reasons: Sequence[str], console: str) -> str:
    errors = [in_words(reason) for reason in reasons if keyword(reason) == reason]
    words = "; ".join(errors or [in_words(reason) for reason in reasons])
    return f"{words} (its panel shows: {console})" if console and not _AT_EASE.match(console) else words


_HEXADECIMAL = re.compile(rb'(?:0x|")?((?:[0-9A-Fa-f]{2}[ :]?){1,4})"?\Z')


def error_bits(value: Value | None) -> int:
    """hrPrinterDetectedErrorState as 16 bits, lowPaper the highest.

    An OCTET STRING of none, one or two octets, the first bit first; some give it written in hexadecimal, or as a number
    of as many octets.
    """
    if isinstance(value, bytes):
        if (len(value) > 2 or value[:2] == b"0x") and (written := _HEXADECIMAL.match(value)):
            value = bytes.fromhex(written[1].replace(b":", b" ").decode("ascii"))
        return int.from_bytes(value[:2].ljust(2, b"\0"), "big")
    if not isinstance(value, int) or not -(1 << 31) <= value < 1 << 32:
        return 0
    octets = 1 if -0x80 <= value <= 0xFF else 2 if -0x8000 <= value <= 0xFFFF else 4
    return error_bits((value & ((1 << (8 * octets)) - 1)).to_bytes(octets, "big")[:2])


def text(value: Value | None, longest: int) -> str:
    """One short line for people: UTF-8, else windows-1252, which old printers' ISO 8859-1 is a part of."""
    if not isinstance(value, bytes):
        return ""
    return clean(charset.decode(value[: 8 * longest], ""), longest)


def _below(told: Mapping[str, Value], column: str) -> Value | None:
    """The first value of a column."""
    start = f"{column}."
    return next((value for oid, value in told.items() if oid.startswith(start)), None)


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) else 0


def _count(value: Value | None) -> int | None:
    """A Counter32, which some give as an INTEGER."""
    return value if isinstance(value, int) and 0 <= value < 1 << 32 else None


# -- what it has left

# PrtMarkerSuppliesTypeTC of RFC 3805, from 1.
_TYPES: Final = tuple(
    word
    for line in (
        "other unknown toner waste-toner ink ink-cartridge ink-ribbon waste-ink opc developer fuser-oil solid-wax",
        "ribbon-wax waste-wax fuser corona-wire fuser-oil-wick cleaner-unit fuser-cleaning-pad transfer-unit",
        "toner-cartridge fuser-oiler water waste-water glue-water-additive waste-paper binding-supply banding-supply",
        "stitching-wire shrink-wrap paper-wrap staples inserts covers",
    )
    for word in line.split()
)
_RECEPTACLE = 4  # of prtMarkerSuppliesClass
_PERCENT = 19  # of PrtMarkerSuppliesSupplyUnitTC and PrtCapacityUnitTC
_COLORS: Final = re.compile(
    r"\b((?:photo|matte|light)[ -](?:black|cyan|magenta|gray)|black|cyan|magenta|yellow)\b", re.IGNORECASE
)
_NAME_CHARACTERS = 60


def model_objects(device: int) -> tuple[str, str]:
    """Its model and its serial number."""
    return f"{_MODEL}.{device}", f"{_SERIAL}.{device}"


def model(values: Values) -> tuple[str, str]:
    """Both, "" where it does not say."""
    told = {oid: value for oid, value in values.items() if value is not None}
    return text(_below(told, _MODEL), _NAME_CHARACTERS), text(_below(told, _SERIAL), _NAME_CHARACTERS)


def rows(oids: Iterable[str], column: str) -> list[str]:
    """The names of the rows ("1.3") of which a walk of `column` found the objects."""
    start = f"{column}."
    return [oid.removeprefix(start) for oid in oids if oid.startswith(start)][:ROWS]


def supply_objects(row: str) -> list[str]:
    """All that is asked of one supply."""
    return [f"{_SUPPLIES}.{column}.{row}" for column in (3, 4, 5, 6, 7, 8, 9)]


def colorant_objects(found: Iterable[str], values: Values) -> list[str]:
    """The names of the colours of the supplies in these rows, which are asked when those have answered."""
    asked = {row: _colorant(row, values) for row in found}
    return sorted({oid for oid in asked.values() if oid})


def tray_objects(row: str) -> list[str]:
    """All that is asked of one tray."""
    return [f"{_INPUTS}.{column}.{row}" for column in (8, 9, 10, 12, 13, 18)]


def supplies(found: Sequence[str], values: Values) -> tuple[Supply, ...]:
    """The supplies in these rows."""
    made: list[Supply] = []
    for row in found:
        kind = _number(values.get(f"{_SUPPLIES}.5.{row}"))
        word = _TYPES[kind - 1] if 3 <= kind <= len(_TYPES) else ""
        name = text(values.get(f"{_SUPPLIES}.6.{row}"), _NAME_CHARACTERS)
        level = _level(*(values.get(f"{_SUPPLIES}.{column}.{row}") for column in (7, 8, 9)))
        if word.startswith("waste") and _number(values.get(f"{_SUPPLIES}.4.{row}")) != _RECEPTACLE:
            level = None
        name = _distinct(name or word or "supply", {supply.name for supply in made})
        made.append(Supply(name=name, kind=word, color=_color(row, name, values), level=level))
    return tuple(made)


def trays(found: Sequence[str], values: Values) -> tuple[Tray, ...]:
    """The trays in these rows."""
    made: list[Tray] = []
    for row in found:
        name = text(values.get(f"{_INPUTS}.13.{row}"), _NAME_CHARACTERS)
        name = name or text(values.get(f"{_INPUTS}.18.{row}"), _NAME_CHARACTERS) or f"tray {row.rpartition('.')[2]}"
        media = text(values.get(f"{_INPUTS}.12.{row}"), _NAME_CHARACTERS)
        level = _level(*(values.get(f"{_INPUTS}.{column}.{row}") for column in (8, 9, 10)))
        made.append(Tray(name=_distinct(name, {tray.name for tray in made}), media=media, level=level))
    return tuple(made)


def _color(row: str, name: str, values: Values) -> str:
    colorant = text(values.get(_colorant(row, values)), _NAME_CHARACTERS).lower()
    if colorant and colorant not in ("none", "other", "unknown"):
        return colorant
    named = _COLORS.search(name)
    return named[1].lower().replace("-", " ") if named else ""


def _colorant(row: str, values: Values) -> str:
    """The object that its prtMarkerSuppliesColorantIndex points to; "" if it has no colour."""
    number = _number(values.get(f"{_SUPPLIES}.3.{row}"))
    return f"{_COLORANTS}.{row.partition('.')[0]}.{number}" if 0 < number < 1 << 31 else ""


def _level(unit: Value | None, most: Value | None, level: Value | None) -> float | None:
    """Negative levels are words: -1 no matter, -2 unknown, -3 some (RFC 3805 prtMarkerSuppliesLevel)."""
    if not isinstance(level, int) or level < 0:
        return None
    full = _number(most)
    if full <= 0 and _number(unit) == _PERCENT:
        full = 100
    return min(1.0, level / full) if full > 0 else None


def _distinct(name: str, taken: set[str]) -> str:
    """Two of one name must not count as one."""
    if name not in taken:
        return name
    return next(other for number in range(2, ROWS + 2) if (other := f"{name} {number}") not in taken)
