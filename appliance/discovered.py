"""What the bridge found in the network, as entries that somebody could make of it.  No I/O.

Security: the lines come from another process, and what is in them from whoever is in the network: each field is read
as an entry's would be, and one that cannot be meant is left out.  The command that is shown is quoted for a shell, and
nothing that was found is in it unquoted.  Nobody may print on what is added from here until a rule says so.
"""

from __future__ import annotations

import ipaddress
import json
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from appliance.facts import Interface
from mailstore.config_values import bracketed
from mailstore.directory.records import Language, Printer, Snmp
from mailstore.directory.values import read_hardware_address, read_ip, read_name, read_netmask, read_text, read_uri
from mailstore.header import clean

_TEXT = 127  # octets, as entries have them
_NAME = 40  # characters of a name that is made up
_SEVERAL = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One printer in the network."""

    address: str
    uri: str
    fields: Mapping[str, Any]  # of `Printer`, as far as they were told: what an entry would say
    host: str
    serial: str
    duplex: bool | None
    port_told: bool  # else the port is the usual one, and nobody said that it has it
    other_languages: tuple[str, ...]  # which Printpost does not make
    found_by: tuple[str, ...]  # dns-sd, snmp


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposed:
    """A printer, and what its entry is or could be called."""

    name: str
    known: bool  # it has an entry, of this name
    found: Found
    elsewhere: bool  # announced on a link that its address is not on

    def command(self) -> list[str]:
        """The words that make the entry."""
        words = ["printpost", "printer", "add", self.name]
        fields = {"uri": "", "languages": ("WHICH",), **self.found.fields}  # which is refused until somebody writes it
        for field, value in fields.items():
            option = "--language" if field == "languages" else f"--{field.replace('_', '-')}"
            if isinstance(value, bool):
                words.append(option)
            else:
                for one in value if isinstance(value, tuple) else (value,):
                    words += [option, str(one)]
        return words

    def entry(self, domains: Sequence[str]) -> Printer:
        """What the command would make."""
        return Printer(name=self.name, addresses=tuple(f"{self.name}@{d}" for d in domains), **self.found.fields)

    def as_json(self) -> dict[str, Any]:
        found = self.found
        return {
            "name": self.name,
            "known": self.known,
            **{name: found.fields.get(name, "") for name in ("uri", "model", "location")},
            "languages": [language.value for language in found.fields.get("languages", ())],
            "other_languages": list(found.other_languages),
            "pjl": found.fields.get("pjl", False),
            "color": found.fields.get("color", False),
            "duplex": found.duplex,
            "host": found.host,
            "serial": found.serial,
            **{name: found.fields.get(name, "") for name in ("hardware_address", "netmask", "gateway")},
            "port_told": found.port_told,
            "elsewhere": self.elsewhere,
            "found_by": list(found.found_by),
            "command": "" if self.known else shlex.join(self.command()),
        }


def read(line: bytes) -> Found | str | None:
    """A line of the bridge: a printer, a note for people, None for its end.  Raises `ValueError` for any other."""
    try:
        told = json.loads(line)
    except RecursionError:
        raise ValueError("nested too deep") from None
    told = told if isinstance(told, dict) else {}
    if told.get("end") is True:
        return None
    if isinstance(told.get("note"), str):
        return clean(told["note"], 300)
    address = read_ip(str(told.get("address")))
    uri = read_uri(f"socket://{bracketed(address)}:{told.get('port')}")
    return Found(
        address=address,
        uri=uri,
        fields=_fields(told, address, uri),
        host=_line(told.get("host")),
        serial=_line(told.get("serial")),
        duplex=told["duplex"] if isinstance(told.get("duplex"), bool) else None,
        port_told=told.get("port_told") is True,
        other_languages=tuple(one for one in map(_line, _list(told.get("other_languages"))) if one),
        found_by=tuple(one for one in map(_line, _list(told.get("found_by"))) if one),
    )


def propose(
    found: Iterable[Found], entries: Iterable[Printer], hosts: Mapping[str, Collection[str]], own: Sequence[Interface]
) -> list[Proposed]:
    """Each with a name of its own; `hosts` are the addresses of the names that entries dial."""
    entries = list(entries)
    taken = {entry.name for entry in entries}
    taken |= {address.partition("@")[0] for entry in entries for address in entry.addresses}
    known, tried = _by_place(entries, hosts), Counter[str]()
    proposed = []
    for one in found:
        entry = next((known[place] for place in _places(one) if place in known), None)
        name = entry.name if entry else _name(one, taken, tried)
        taken.add(name)
        ip = ipaddress.ip_address(one.address)
        # Multicast DNS stays on the link, whose addresses are ours too (RFC 6762 section 11).
        elsewhere = one.found_by == ("dns-sd",) and bool(own) and not any(ip in interface.network for interface in own)
        proposed.append(Proposed(name=name, known=entry is not None, found=one, elsewhere=elsewhere))
    return proposed


def with_snmp(found: Found, version: Snmp, community: str, port: int) -> Found:
    """With how it was asked, where that is not how everybody is."""
    usual = Printer(name="", addresses=())
    asked = {"snmp": version, "snmp_community": community, "snmp_port": port}
    more = {name: value for name, value in asked.items() if value != getattr(usual, name)}
    if "snmp" not in found.found_by or not more:
        return found
    return replace(found, fields={**found.fields, **more})


def _fields(told: Mapping[str, Any], address: str, uri: str) -> dict[str, Any]:
    known = {language.value: language for language in Language}
    languages = tuple(dict.fromkeys(known[one] for one in map(_line, _list(told.get("languages"))) if one in known))
    hardware = _read(told.get("hardware_address"), read_hardware_address)
    fields = {
        "uri": uri,
        "languages": languages,
        "pjl": told.get("pjl") is True,
        "color": told.get("color") is True,
        "location": _line(told.get("location")),
        "model": _line(told.get("model")),
        "hardware_address": hardware,
        "network_address": address if hardware else "",
        "netmask": _read(told.get("netmask"), lambda mask: read_netmask(mask, address)) if hardware else "",
        "gateway": _read(told.get("gateway"), read_ip) if hardware else "",
    }
    return {name: value for name, value in fields.items() if value}


_Place = tuple[str, str, int | None]


def _by_place(entries: Iterable[Printer], hosts: Mapping[str, Collection[str]]) -> Mapping[_Place, Printer]:
    """Of several entries that are one printer the first."""
    known: dict[_Place, Printer] = {}
    for entry in entries:
        if entry.uri:
            parts = urlsplit(entry.uri)
            host = parts.hostname or ""
            places = [("dialed", address, parts.port) for address in (host, *hosts.get(host, ()))]
        else:  # it fetches its mail, or is a group
            facts = {"hardware": entry.hardware_address, "polls": entry.network_address}
            places = [(kind, told, None) for kind, told in facts.items() if told]
        for place in places:
            known.setdefault(place, entry)
    return known


def _places(found: Found) -> list[_Place]:
    """Where an entry of it would be, the surest first."""
    return [
        ("dialed", found.address, urlsplit(found.uri).port),
        ("hardware", found.fields.get("hardware_address", ""), None),
        ("polls", found.address, None),
    ]


def _name(found: Found, taken: Collection[str], tried: Counter[str]) -> str:
    """Of its model, or else of what it is called in the network, or of its address; with a number if it has to be.

    `tried`: how many of each were looked at before.
    """
    for text in (found.fields.get("model", ""), found.host.partition(".")[0], f"printer {found.address}"):
        base = re.sub(r"[^a-z0-9]+", "-", text.lower())[:_NAME].strip("-")
        while base:
            tried[base] += 1
            name = base if tried[base] == 1 else f"{base}-{tried[base]}"
            if name not in taken and _read(name, read_name):
                return name
    raise AssertionError("an address is always a name")


def _read(value: object, read: Callable[[str], str]) -> str:
    """As an entry has it, "" for what it could not have."""
    try:
        return read(value) if isinstance(value, str) and value else ""
    except ValueError:
        return ""


def _line(value: object) -> str:
    cleaned = clean(value, _TEXT) if isinstance(value, str) else ""
    return _read(cleaned.encode("utf-8", "replace")[:_TEXT].decode("utf-8", "ignore"), read_text)


def _list(value: object) -> list[Any]:
    return value[:_SEVERAL] if isinstance(value, list) else []
