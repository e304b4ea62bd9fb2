"""The form of a printer's settings: what stands in its fields, what they mean, and what two people changed.  No I/O.

A filled-in form is a text for each field; lists stand one to a line.  What a form does not hold stays as it is.

Security: the fields come from a browser.  Names that are not in `FIELDS` are dropped, so that nobody sets what the
form does not show; every value goes through the readers that guard the directory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from appliance import policy
from mailstore import hours
from mailstore.directory import serving, values
from mailstore.directory.entry import named_limits, with_limits
from mailstore.directory.records import NO_LIMITS, Body, Hold, Language, Printer, PrintLimits, Raw, Snmp, WhenUncertain
from mailstore.failure import PermanentFailure
from mailstore.ticket_words import to_words

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
_TOLD = 3  # lines of one field of which it is said what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One setting.  `read` raises ValueError or `PermanentFailure`; `show` is its inverse."""

    label: str
    read: Callable[[str], Any]
    show: Callable[[Any], str] = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a filled-in form means: settings by name, and for each field that cannot be meant, why."""

    changes: Mapping[str, Any]
    errors: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A field that somebody else changed meanwhile.  `both`: so did whoever looks at the form."""

    name: str
    label: str
    theirs: str
    yours: str
    both: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """The form after somebody else's change: what only they changed is taken over, what both did stays as typed."""

    texts: Mapping[str, str]
    differences: list[Difference] = field(default_factory=list)


def texts(printer: Printer) -> dict[str, str]:
    """The form as `printer` fills it in."""
    return {name: one.show(getattr(printer, name)) for name, one in FIELDS.items()}


def filled(pairs: Iterable[tuple[str, Any]], prefix: str = "") -> dict[str, str]:
    """The form that a browser sent: fields of the same name are lines, names that are none of ours are dropped."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        if name.startswith(prefix) and name.removeprefix(prefix) in FIELDS and isinstance(value, str):
            found.setdefault(name.removeprefix(prefix), []).append(value)
    return {name: "\n".join(filter(None, lines)).replace("\r\n", "\n") for name, lines in found.items()}


def read(form: Mapping[str, str], printer: Printer) -> Reading:
    """What the form asks of `printer`.  All fields are looked at, so that all that is wrong is told at once."""
    changes: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, text in form.items():
        try:
            changes[name] = FIELDS[name].read(text)
        except (ValueError, PermanentFailure) as error:
            errors[name] = _sentence(error)
    _read_netmask(changes, errors, printer)
    if chosen := changes.get("languages"):  # boxes have no order, and the one there was is a preference
        changes["languages"] = tuple(sorted(chosen, key=lambda one: _place(one, printer.languages)))
    return Reading(changes=changes, errors=errors)


def marks(form: Mapping[str, str]) -> str:
    """How the form is, in few octets: what a page carries along to tell later what its reader has seen."""
    return " ".join(f"{name}:{_mark(name, text)}" for name, text in form.items())


def merge(seen: str, typed: Mapping[str, str], now: Mapping[str, str]) -> Merged:
    """`seen` is the `marks` of the form as it was offered, `typed` how it came back, `now` how the entry is today."""
    was = dict(mark.split(":", 1) for mark in seen.split() if ":" in mark)
    merged = dict(now) | dict(typed)
    differences = []
    for name, theirs in now.items():
        yours = typed.get(name, theirs)
        mark = _mark(name, theirs)
        if mark in (was.get(name, mark), _mark(name, yours)):
            continue
        both = _mark(name, yours) != was[name]
        if not both:
            merged[name] = theirs
        differences.append(
            Difference(name=name, label=FIELDS[name].label, theirs=theirs, yours=merged[name], both=both)
        )
    return Merged(texts=merged, differences=differences)


def read_size(text: str) -> int:
    """Octets: "1 GiB", "500 MB" (taken as MiB, as in the configuration) or a number."""
    match = re.fullmatch(r"([0-9]{1,16}) *([kmgt]?)(?:i?b)?", text.strip().lower())
    if not match:
        raise ValueError(f"{text[:40]!a} is not a size: write it like 1 GiB or 500 MiB")
    return values.read_quota(str(int(match[1]) * _UNITS[match[2]]))


def show_size(octets: int) -> str:
    """The same number again, in the largest unit that loses nothing."""
    unit = next(unit for unit in ("t", "g", "m", "k", "") if octets % _UNITS[unit] == 0)
    return f"{octets // _UNITS[unit]} {unit.upper()}iB" if unit else str(octets)


def _mark(name: str, text: str) -> str:
    """Of what the field means: the order of lines is the directory's, but for the first address and paper."""
    lines = _lines(text)
    told = (lines[:1] if name in ("addresses", "media") else []) + sorted(lines)
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _lines(text: str) -> list[str]:
    return list(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def _each(read_one: Callable[[str], str], must: str = "") -> Callable[[str], tuple[Any, ...]]:
    """A reader of lines, each by `read_one`; tells what is wrong with each of them, and `must` if there is none."""

    def read_all(text: str) -> tuple[str, ...]:
        kept, wrong = [], []
        for line in _lines(text):
            try:
                kept.append(read_one(line))
            except (ValueError, PermanentFailure) as error:
                wrong.append(_sentence(error))
        if wrong:
            more = f"; and {len(wrong) - _TOLD} more" if len(wrong) > _TOLD else ""
            raise ValueError("; ".join(wrong[:_TOLD]) + more)
        if must and not kept:
            raise ValueError(must)
        return values.check_each(kept, read_one)

    return read_all


def _rule(line: str) -> str:
    policy.parse_rule(line)
    return values.read_rule(line)


def _one(read_one: Callable[[str], Any]) -> Callable[[str], Any]:
    return lambda text: read_one(text.strip()) if text.strip() else ""


def _number(read_one: Callable[[str], int]) -> Callable[[str], int]:
    return lambda text: read_one(text.strip())


def _period(label: str, name: str) -> Field:
    return Field(label=label, read=lambda text: serving.read_period(text, name), show=serving.show_period)


def _read_netmask(changes: dict[str, Any], errors: dict[str, str], printer: Printer) -> None:
    """A netmask is read by the address that it belongs to."""
    address = changes.get("network_address", printer.network_address)
    netmask = changes.get("netmask", printer.netmask)
    if not netmask or "network_address" in errors:
        return
    try:
        changes["netmask"] = values.read_netmask(netmask, address)
    except ValueError as error:
        errors["netmask"] = str(error)


def _place(language: Language, order: Sequence[Language]) -> int:
    return order.index(language) if language in order else len(order)


def _language(line: str) -> Language:
    try:
        return Language(line)
    except ValueError:
        known = ", ".join(language.value for language in Language)
        raise ValueError(f"{line[:40]!a} is no language that Printpost knows: there are {known}") from None


def _languages(text: str) -> tuple[Language, ...]:
    if not (lines := _lines(text)):
        raise ValueError("choose at least one language that the printer speaks")
    return tuple(_language(line) for line in lines)


def _choice(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def read_choice(text: str) -> Any:
        try:
            return kind(text)
        except ValueError:
            raise ValueError("choose one of those that are offered") from None

    return read_choice


def _show_choice(choice: StrEnum) -> str:
    return choice.value


def _show_flag(flag: bool) -> str:
    return "on" if flag else ""


def _limits(text: str) -> PrintLimits:
    numbers: dict[str, int] = {}
    for line in _lines(text):
        name, number = values.read_limit(line.replace(" ", ""))
        if numbers.setdefault(name, number) != number:
            raise ValueError(f"{name} stands there twice: keep one of the two")
    return with_limits(NO_LIMITS, numbers)


def _show_limits(limits: PrintLimits) -> str:
    return "\n".join(f"{name}={number}" for name, number in named_limits(limits).items())


def _sentence(error: Exception) -> str:
    return error.text if isinstance(error, PermanentFailure) else str(error)


_show_lines: Callable[[Iterable[str]], str] = "\n".join

FIELDS: Mapping[str, Field] = {
    "allow": Field(label="Who may send", read=_each(_rule), show=_show_lines),
    "deny": Field(label="Who may not", read=_each(_rule), show=_show_lines),
    "members": Field(label="Its printers", read=_each(values.read_name), show=_show_lines),
    "limits": Field(label="Limits", read=_limits, show=_show_limits),
    "unverified_ok": Field(label="Nothing to prove", read=bool, show=_show_flag),
    "poll_interval": Field(label="Polls every", read=_number(values.read_poll_interval)),
    "sysadmin": Field(label="SysAdmin", read=_each(values.read_address), show=_show_lines),
    "service_person": Field(label="Service", read=_each(values.read_address), show=_show_lines),
    "key_user": Field(label="Key User", read=_each(values.read_address), show=_show_lines),
    "tell_printed": Field(label="Job Printed", read=bool, show=_show_flag),
    "uri": Field(label="Device address", read=_one(values.read_uri)),
    "languages": Field(label="Languages", read=_languages, show=_show_lines),
    "pjl": Field(label="Speaks PJL", read=bool, show=_show_flag),
    "body": Field(label="The letter itself", read=_choice(Body), show=_show_choice),
    "ticket": Field(label="How jobs print", read=values.read_ticket, show=to_words),
    "color": Field(label="Prints in colour", read=bool, show=_show_flag),
    "media": Field(label="Paper", read=_each(values.read_media), show=_show_lines),
    "max_copies": Field(
        label="Copies at most",
        read=lambda text: values.read_max_copies(text.strip() or "0"),
        show=lambda copies: str(copies) if copies else "",
    ),
    "confidential": Field(label="Confidential", read=bool, show=_show_flag),
    "raw": Field(label="As it came", read=_choice(Raw), show=_show_choice),
    "unfiltered": Field(label="Every command", read=_choice(Raw), show=_show_choice),
    "when_uncertain": Field(label="When a delivery is uncertain", read=_choice(WhenUncertain), show=_show_choice),
    "half_close": Field(label="Our side is closed behind the document", read=bool, show=_show_flag),
    "end_wait": _period("Waits for its end", "end_wait"),
    "stall_limit": _period("Given up when it stalls for", "stall_limit"),
    "pjl_one_option": Field(label="One option a line of PJL", read=bool, show=_show_flag),
    "ps_echo": Field(label="Its PostScript answers", read=bool, show=_show_flag),
    "count_pages": Field(label="Pages are counted by SNMP", read=bool, show=_show_flag),
    "snmp": Field(label="SNMP", read=_choice(Snmp), show=_show_choice),
    "snmp_community": Field(label="SNMP community", read=lambda text: serving.read_community(text.strip() or "public")),
    "snmp_port": Field(label="SNMP port", read=_number(serving.read_snmp_port)),
    "status_interval": _period("Asked every", "status_interval"),
    "quiet_hours": Field(label="Quiet hours", read=_each(hours.read_span), show=_show_lines),
    "hold": Field(label="Jobs wait to be released", read=_choice(Hold), show=_show_choice),
    "hold_expiry": _period("Held jobs are given up after", "hold_expiry"),
    "expiry": _period("Jobs are given up after", "expiry"),
    "quota": Field(label="Room for waiting jobs", read=read_size, show=show_size),
    "addresses": Field(
        label="Addresses",
        read=_each(values.read_own_address, "a printer needs an address, such as phaser360@example.com"),
        show=_show_lines,
    ),
    "plain_from": Field(label="Without TLS from", read=_each(values.read_network), show=_show_lines),
    "location": Field(label="Place", read=_one(values.read_text)),
    "model": Field(label="Model", read=_one(values.read_text)),
    "network_address": Field(label="IP address", read=_one(values.read_ip)),
    "netmask": Field(label="Netmask", read=_one(str)),
    "gateway": Field(label="Gateway", read=_one(values.read_ip)),
    "hardware_address": Field(label="Hardware address", read=_one(values.read_hardware_address)),
}
"""By the name that the setting has in `Printer`, in the order of the form."""
