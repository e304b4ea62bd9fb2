"""Reservations for printers in the words of a DHCP, BOOTP or RARP server, and the file that a JetDirect card fetches.

Printpost is no such server itself: it writes what the site's own takes in.  A JetDirect card gets the name of its
configuration file in vendor tag 144 of the BOOTP or DHCP answer and fetches it by TFTP; its access list then lets only
the bridge print.  No I/O.

Security: names, places and people's words go into files whose syntax they could break out of.  A printer's name is
letters, digits and hyphens, addresses are read as such, and all other text loses what is not printable ASCII before it
becomes the rest of a line; JSON is written by the library.
"""

from __future__ import annotations

import ipaddress
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any, Final

from mailstore.directory.records import Printer, Snmp

TAG = 144
"""The option in which a JetDirect card looks for its configuration file's name; 150 is who has the file."""
_TFTP_TAG: Final = 150
FOLDER: Final = "printpost"
"""Where the files are below the TFTP server's root."""
MOST_ALLOWED: Final = 10
"""Entries of a JetDirect card's access list."""

_OTHER_WORDS = re.compile(r"[0-9]+[smhdw]?|infinite|ignore")  # of dnsmasq's dhcp-host
_LINE = 64  # characters of a JetDirect card's name, location and contact
_COMMUNITY = 32
_LEAST_IDLE, _MOST_IDLE = 300, 3600  # seconds; the latter is JetDirect's own limit


class Format(StrEnum):
    """Whose words."""

    DNSMASQ = "dnsmasq"
    KEA = "kea"
    BOOTPTAB = "bootptab"
    ETHERS = "ethers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """One printer's place in its network."""

    name: str
    hardware_address: str
    interface: IPv4Interface  # /32 where the netmask does not matter
    gateway: IPv4Address | None
    file: str  # its configuration file below the TFTP server's root, "" for none
    tftp: IPv4Address | None  # who has it, None for whoever answers

    @property
    def address(self) -> IPv4Address:
        return self.interface.ip

    @property
    def network(self) -> IPv4Network:
        return self.interface.network


def lacking(printer: Printer, style: Format) -> str:
    """Why there is no reservation for it, with what to do; "" if there can be one."""
    if printer.is_group:
        return f"{printer.name} is a group, and has no place in a network"
    if ":" in printer.network_address:
        return f"{printer.name} has an IPv6 address, and {style} reserves IPv4 ones"
    wanted = {
        "--hardware-address": (printer.hardware_address, "00:00:5e:00:53:01"),
        "--network-address": (printer.network_address, "192.0.2.7"),
        **({} if style is Format.ETHERS else {"--netmask": (printer.netmask, "255.255.255.0")}),
    }
    missing = [f"{option} {example}" for option, (value, example) in wanted.items() if not value]
    if missing:
        facts = ", ".join(word.partition(" ")[0][2:].replace("-", " ") for word in missing)
        return f"{printer.name} lacks its {facts}: printpost printer set {printer.name} {' '.join(missing)}"
    if printer.gateway and ipaddress.ip_address(printer.gateway).version != 4:
        return f"{printer.name} has an IPv6 gateway: printpost printer set {printer.name} --gateway 192.0.2.1"
    return ""


def reservation(printer: Printer, *, file: bool = False, tftp: IPv4Address | None = None) -> Reservation:
    """Of a printer that lacks nothing."""
    return Reservation(
        name=printer.name,
        hardware_address=printer.hardware_address,
        interface=IPv4Interface(f"{printer.network_address}/{printer.netmask or 32}"),
        gateway=IPv4Address(printer.gateway) if printer.gateway else None,
        file=file_name(printer) if file else "",
        tftp=tftp if file else None,
    )


def file_name(printer: Printer) -> str:
    return f"{FOLDER}/{printer.name}.cfg"


def written(style: Format, reservations: Iterable[Reservation]) -> str:
    """The text for the server's configuration."""
    ordered = sorted(reservations, key=lambda one: one.address)
    return _WRITERS[style](ordered)


def jetdirect(printer: Printer, bridges: Sequence[IPv4Address]) -> str:
    """The configuration file of one card: who it is, and that it lets in nobody but `bridges`, ten at most.

    The keywords are those of the first cards that fetched one, which later ones still take.
    """
    contact = next(iter((*printer.service_person, *printer.sysadmin)), "")
    known = {"name": printer.name, "location": printer.location, "contact": contact}
    lines = ["# Written by: printpost printer dhcp-config"]
    lines += [f"{key}: {shown}" for key, text in known.items() if (shown := _ascii(text, _LINE))]
    lines += [f"allow: {bridge}" for bridge in bridges]
    lines.append(f"idle-timeout: {idle_timeout(printer)}")
    community = _ascii(printer.snmp_community, _COMMUNITY)
    if printer.snmp is not Snmp.OFF and community == printer.snmp_community != "public":
        lines.append(f"get-community-name: {community}")
    return "".join(f"{line}\n" for line in lines)


def idle_timeout(printer: Printer) -> int:
    """Seconds after which the card may hang up: well behind the bridge, which waits `end_wait` for a word of it."""
    return min(_MOST_IDLE, max(_LEAST_IDLE, 2 * printer.end_wait))


def _dnsmasq(reservations: Sequence[Reservation]) -> str:
    lines = [
        f"# If nothing else serves {network}: dhcp-range={network.network_address},static,{network.netmask}"
        for network in dict.fromkeys(one.network for one in reservations)
    ]
    for one in reservations:
        tag = f"tag:{one.name}"
        # A bare word here may also be a lease time, or say that the host is not to be answered.
        called = "" if _OTHER_WORDS.fullmatch(one.name) else f",{one.name}"
        lines.append(f"dhcp-host={one.hardware_address},set:{one.name},{one.address}{called}")
        if not called:
            lines.append(f'dhcp-option={tag},12,"{one.name}"')
        lines.append(f"dhcp-option={tag},option:netmask,{one.network.netmask}")
        if one.gateway:
            lines.append(f"dhcp-option={tag},option:router,{one.gateway}")
        if one.file:  # "force": old cards do not ask for it
            lines.append(f'dhcp-option-force={tag},{TAG},"{one.file}"')
        if one.tftp:
            lines.append(f"dhcp-option-force={tag},{_TFTP_TAG},{one.tftp}")
    return "".join(f"{line}\n" for line in lines)


def _kea(reservations: Sequence[Reservation]) -> str:
    networks: dict[IPv4Network, list[Mapping[str, Any]]] = {}
    for one in reservations:
        networks.setdefault(one.network, []).append(_kea_host(one))
    definitions = [
        {"name": "jetdirect-file", "code": TAG, "type": "string", "space": "dhcp4"},
        {"name": "jetdirect-tftp", "code": _TFTP_TAG, "type": "ipv4-address", "space": "dhcp4"},
    ]
    subnets = [
        {"id": number, "subnet": str(network), "reservations": hosts}
        for number, (network, hosts) in enumerate(networks.items(), 1)
    ]
    return json.dumps({"Dhcp4": {"option-def": definitions, "subnet4": subnets}}, indent=2) + "\n"


def _kea_host(one: Reservation) -> Mapping[str, Any]:
    options: list[Mapping[str, Any]] = []
    if one.gateway:
        options.append({"name": "routers", "data": str(one.gateway)})
    if one.file:
        options.append({"name": "jetdirect-file", "data": one.file, "always-send": True})
    if one.tftp:
        options.append({"name": "jetdirect-tftp", "data": str(one.tftp), "always-send": True})
    return {
        "hw-address": one.hardware_address,
        "ip-address": str(one.address),
        "hostname": one.name,
        **({"next-server": str(one.tftp)} if one.tftp else {}),
        "option-data": options,
    }


def _bootptab(reservations: Sequence[Reservation]) -> str:
    entries = []
    for one in reservations:
        fields = [
            f"{one.name}",
            "hn",
            "ht=ether",
            "vm=rfc1048",
            f"ha={one.hardware_address.replace(':', '').upper()}",
            f"ip={one.address}",
            f"sm={one.network.netmask}",
            *([f"gw={one.gateway}"] if one.gateway else []),
            *([f"sa={one.tftp}"] if one.tftp else []),
            *([f'T{TAG}="{one.file}"'] if one.file else []),
        ]
        entries.append(":\\\n\t:".join(fields) + ":\n")
    return "".join(entries)


def _ethers(reservations: Sequence[Reservation]) -> str:
    return "".join(f"{one.hardware_address} {one.address}\n" for one in reservations)


_WRITERS: Final[Mapping[Format, Callable[[Sequence[Reservation]], str]]] = {
    Format.DNSMASQ: _dnsmasq,
    Format.KEA: _kea,
    Format.BOOTPTAB: _bootptab,
    Format.ETHERS: _ethers,
}


def _ascii(text: str, limit: int) -> str:
    """The rest of a line for a card that knows only ASCII: letters without their accents, blanks for what is none."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode("ascii")
    return " ".join("".join(one if one.isprintable() else " " for one in plain).split())[:limit].strip()
