"""What was heard of printers, in several ways, joined to one proposal for each of them.  No I/O.

Security: everything here was said by whoever is in the network, who may lie of himself and of others.  It becomes text
for people who decide, and no more: nothing is sent to an address because an answer named it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from mailstore.directory.records import Language
from printerbridge.discovery import speech
from printerbridge.discovery.speech import Speech

RAW_PORT = 9100
_BY_IPP = (Language.POSTSCRIPT, Language.PCL, Language.PCLXL)
"""What a printer that speaks it over IPP speaks at port 9100 too; PDF and rasters often not."""
_OTHERS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What one answer said of the printer at `address`; "", 0 and None for what it did not say."""

    address: str
    way: str  # dns-sd or snmp
    port: int = 0
    host: str = ""
    model: str = ""
    location: str = ""
    serial: str = ""
    color: bool | None = None
    duplex: bool | None = None
    speech: Speech = speech.NOTHING
    over_ipp: bool = False  # the languages are those of another door of the printer
    hardware_address: str = ""
    netmask: str = ""
    gateway: str = ""


def proposals(heard: Iterable[Heard]) -> list[dict[str, Any]]:
    """One JSON object for each printer with a raw port, in the order of addresses.

    A printer of which only other services were announced has none; one that answered by SNMP is taken to have it, and
    `port_told` is false unless it said so.
    """
    at: dict[str, list[Heard]] = {}
    for one in heard:
        at.setdefault(one.address, []).append(one)
    answers = [at[address] for address in sorted(at, key=_order)]
    return [_proposal(own) for own in answers if any(one.port or one.way == "snmp" for one in own)]


def _proposal(own: list[Heard]) -> dict[str, Any]:
    # What is said at the port itself counts first, then what SNMP says, then what the other services say.
    own = sorted(own, key=lambda one: (one.over_ipp, one.way == "snmp"))

    def first(name: str) -> Any:
        values = (getattr(one, name) for one in own)
        return next((value for value in values if value not in ("", None)), None)

    spoken = speech.NOTHING
    for one in own:
        if not one.over_ipp:
            spoken |= one.speech
    if not spoken.languages:
        for one in own:
            spoken |= one.speech.only(*_BY_IPP) if one.over_ipp else speech.NOTHING
    ports = [one.port for one in own if one.port]
    return {
        "address": own[0].address,
        "port": ports[0] if ports else RAW_PORT,
        "port_told": bool(ports),
        "host": first("host") or "",
        "model": first("model") or "",
        "location": first("location") or "",
        "serial": first("serial") or "",
        "languages": [language.value for language in spoken.languages],
        "other_languages": sorted(spoken.others)[:_OTHERS],
        "pjl": spoken.pjl,
        "color": first("color"),
        "duplex": first("duplex"),
        "hardware_address": first("hardware_address") or "",
        "netmask": first("netmask") or "",
        "gateway": first("gateway") or "",
        "found_by": sorted({one.way for one in own}),
    }


def _order(address: str) -> tuple[int, int]:
    ip = ipaddress.ip_address(address)
    return ip.version, int(ip)
