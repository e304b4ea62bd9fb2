"""How a printer is served: the settings of delivery, of its health and of what waits, in its LDAP entry.

Only what is not as usual stands in the entry.

Security: reads what foreign directories say.  An unreadable `printpostHold` refuses the printer, for its jobs could
lie open in a tray; where SNMP cannot be read it is off, lest a community be shown to whom it is not meant for; all else
that is malformed is as usual.  The community is a password of a kind: it stands in no message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from mailstore import hours
from mailstore.directory.records import Hold, Printer, Snmp
from mailstore.directory.values import MalformedEntry, Source, check, check_each, read_flag
from mailstore.failure import PermanentFailure

_UNITS = {"day": 86400, "hour": 3600, "minute": 60, "second": 1}
_SECONDS = {"": 1, "sec": 1, "min": 60} | {
    word: size for unit, size in _UNITS.items() for word in (unit[0], unit, f"{unit}s")
}
_YEAR = 365 * 86400


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """A setting that is a time, in whole seconds."""

    attribute: str
    least: int
    most: int
    what: str  # as people say


PERIODS: Mapping[str, Period] = {
    "end_wait": Period(attribute="printpostEndWait", least=1, most=3600, what="a wait for the end"),
    "stall_limit": Period(attribute="printpostStallLimit", least=60, most=30 * 86400, what="a limit of a stall"),
    "status_interval": Period(attribute="printpostStatusInterval", least=10, most=86400, what="a status interval"),
    "hold_expiry": Period(attribute="printpostHoldExpiry", least=60, most=_YEAR, what="an expiry of held jobs"),
    "expiry": Period(attribute="printpostExpiry", least=60, most=_YEAR, what="an expiry of jobs"),
}
"""By the field of `Printer`."""
_FLAGS = {
    "half_close": "printpostHalfClose",
    "pjl_one_option": "printpostPJLOneOption",
    "ps_echo": "printpostPSEcho",
    "count_pages": "printpostCountPages",
}
_SNMP = {"snmp": "printpostSNMP", "snmp_community": "printpostSNMPCommunity", "snmp_port": "printpostSNMPPort"}
_QUIET_HOURS = "printpostQuietHours"
_HOLD = "printpostHold"
SERVING = (*_FLAGS, *PERIODS, *_SNMP, "quiet_hours", "hold")
"""The fields of `Printer` that this file knows.  A group has none of them: its members do."""
ATTRIBUTES = (*_FLAGS.values(), *(one.attribute for one in PERIODS.values()), *_SNMP.values(), _QUIET_HOURS, _HOLD)
USUAL: Mapping[str, Any] = {field.name: field.default for field in fields(Printer) if field.name in SERVING}
"""What these fields are where an entry says nothing."""


def to_attributes(printer: Printer) -> dict[str, list[str]]:
    """As `entry.to_attributes`, of these settings."""
    unusual = {name: getattr(printer, name) for name in unlike_usual(printer)}
    return {
        **{attribute: [str(unusual[name]).upper()] if name in unusual else [] for name, attribute in _FLAGS.items()},
        **{one.attribute: [str(unusual[name])] if name in unusual else [] for name, one in PERIODS.items()},
        **{attribute: [str(unusual[name])] if name in unusual else [] for name, attribute in _SNMP.items()},
        _QUIET_HOURS: list(printer.quiet_hours),
        _HOLD: [printer.hold.value] if "hold" in unusual else [],
    }


def unlike_usual(printer: Printer) -> list[str]:
    """The names of these settings that somebody has changed."""
    return [name for name in SERVING if getattr(printer, name) != USUAL[name]]


def with_serving(printer: Printer, source: Source) -> Printer:
    """The printer as the entry says that it be served.  Raises `MalformedEntry`."""
    said = source.must_each(_HOLD, read_hold)
    if len(said) > 1:
        raise MalformedEntry(f"{_HOLD} says two things")
    if printer.members:
        if said and said[0] is not Hold.NONE:
            raise MalformedEntry(f"it has both printpostMember and {_HOLD}: jobs are held at its members")
        return printer
    changes: dict[str, Any] = {
        **{name: source.one(attribute, read_flag, USUAL[name]) for name, attribute in _FLAGS.items()},
        **{name: source.one(one.attribute, _period_reader(name), USUAL[name]) for name, one in PERIODS.items()},
        **_snmp(source),
        "quiet_hours": tuple(sorted(source.each(_QUIET_HOURS, hours.read_span))),
        "hold": said[0] if said else Hold.NONE,
    }
    return replace(printer, **changes)


def checked_serving(printer: Printer) -> dict[str, Any]:
    """These settings of `printer` in their usual form.  Raises `PermanentFailure` ("5.5.4")."""
    if printer.members and (device := unlike_usual(printer)):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in device)
        raise PermanentFailure("5.5.4", f"{printer.name} is a group: give {options} to its members")
    return {
        **{name: check(str(getattr(printer, name)), _period_reader(name)) for name in PERIODS},
        "snmp_community": check(printer.snmp_community, read_community),
        "snmp_port": check(str(printer.snmp_port), read_snmp_port),
        # LDAP gives them in any order.
        "quiet_hours": tuple(sorted(check_each(printer.quiet_hours, hours.read_span))),
    }


def read_period(text: str, name: str) -> int:
    """Seconds of the period that is the field `name`: "90", "90s", "15 minutes", "8h" or "7 days".

    Raises ValueError with a sentence.
    """
    one, match = PERIODS[name], re.fullmatch(r"([0-9]{1,10}) ?([a-z]*)", text.strip().lower())
    seconds = int(match[1]) * _SECONDS.get(match[2], 0) if match else 0
    if not one.least <= seconds <= one.most:
        bounds = f"{show_period(one.least)} to {show_period(one.most)}"
        raise ValueError(f"{text[:40]!a} is not {one.what}: give {bounds}, like 90s, 15m, 8h or 7d")
    return seconds


def show_period(seconds: int) -> str:
    """The same again in words, in the largest unit that loses nothing."""
    word, size = next((word, size) for word, size in _UNITS.items() if seconds % size == 0)
    return f"{seconds // size} {word}" if seconds == size else f"{seconds // size} {word}s"


def read_hold(value: str) -> Hold:
    """Whether jobs wait to be released: none, all or code."""
    try:
        return Hold(value.strip().lower())
    except ValueError:
        known = ", ".join(hold.value for hold in Hold)
        raise ValueError(f"{value[:40]!a} does not say whether jobs are held: write one of {known}") from None


def read_snmp(value: str) -> Snmp:
    """In which version, 1 or 2c, or off."""
    try:
        return Snmp(value.strip().lower().removeprefix("v"))
    except ValueError:
        raise ValueError(f"{value[:40]!a} is no version of SNMP that Printpost speaks: write 1, 2c or off") from None


def read_community(value: str) -> str:
    """The community string; no message holds it."""
    if not re.fullmatch(r"[!-~]{1,255}", value):
        raise ValueError("that is no SNMP community: give 1 to 255 letters, digits and signs of ASCII, without spaces")
    return value


def read_snmp_port(value: str) -> int:
    """A UDP port."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 1 <= int(value) <= 65535:
        raise ValueError(f"{value[:40]!a} is no UDP port: give 1 to 65535; an SNMP agent has 161")
    return int(value)


def _period_reader(name: str) -> Callable[[str], int]:
    return lambda text: read_period(text, name)


def _snmp(source: Source) -> dict[str, Any]:
    """Off, if anything of it cannot be read."""
    told = len(source.complaints)
    said = {
        "snmp": source.one(_SNMP["snmp"], read_snmp, USUAL["snmp"]),
        "snmp_community": source.one(_SNMP["snmp_community"], read_community, USUAL["snmp_community"]),
        "snmp_port": source.one(_SNMP["snmp_port"], read_snmp_port, USUAL["snmp_port"]),
    }
    return said if len(source.complaints) == told else said | {"snmp": Snmp.OFF}
