"""What a printer is asked by SNMP when it is looked for, and what its answers say.  No I/O.

Objects of MIB-II (RFC 1213), the Host Resources MIB (RFC 2790), the Printer MIB (RFC 3805), the Printer Port Monitor
MIB (PWG 5107.1), and some makers' own from before that.

Security: whoever answers at an address may answer anything.  Numbers are looked at as numbers, text is cleaned and cut,
and a port counts only if it is one.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mailstore.header import clean
from printerbridge.discovery import device_id, speech
from printerbridge.discovery.proposal import RAW_PORT, Heard

Value = int | bytes | str | None

_SYS_NAME: Final = "1.3.6.1.2.1.1.5.0"
_SYS_LOCATION: Final = "1.3.6.1.2.1.1.6.0"
_DEVICE_TYPE: Final = "1.3.6.1.2.1.25.3.2.1.2.1"  # hrDeviceType.1
_DEVICE_DESCR: Final = "1.3.6.1.2.1.25.3.2.1.3.1"
_PRINTER_STATUS: Final = "1.3.6.1.2.1.25.3.5.1.1.1"  # hrPrinterStatus.1
_TYPE_PRINTER: Final = "1.3.6.1.2.1.25.3.1.5"  # hrDevicePrinter
_SERIAL: Final = "1.3.6.1.2.1.43.5.1.1.17.1"  # prtGeneralSerialNumber
_COLORANTS: Final = "1.3.6.1.2.1.43.10.2.1.6.1.1"  # prtMarkerProcessColorants
_GATEWAY: Final = "1.3.6.1.2.1.4.21.1.7.0.0.0.0"  # ipRouteNextHop of the default route

FIRST: Final = (_DEVICE_TYPE, _PRINTER_STATUS, _DEVICE_DESCR, _SYS_NAME, _SYS_LOCATION)
"""What every address of a network is asked, in one datagram."""
DEVICE_IDS: Final = (
    "1.3.6.1.4.1.2699.1.2.1.2.1.1.3.1",  # ppmPrinterIEEE1284DeviceId
    "1.3.6.1.4.1.11.2.3.9.1.1.7.0",  # Hewlett-Packard
    "1.3.6.1.4.1.641.2.1.2.1.3.1",  # Lexmark
    "1.3.6.1.4.1.10642.1.3.0",  # Zebra
)
_PORTS: Final = (
    "1.3.6.1.4.1.2699.1.2.1.3.1.1.6.1.1",  # the port of the first channel
    "1.3.6.1.4.1.641.1.5.7.11.0",  # Lexmark
    "1.3.6.1.4.1.10642.20.10.20.15.2.1.10.1",  # Zebra
    "1.3.6.1.4.1.683.6.3.1.4.17.0",  # Extended Systems
)
FAMILIES: Final = "1.3.6.1.2.1.43.15.1.1.2"  # prtInterpreterLangFamily
LEVELS: Final = "1.3.6.1.2.1.43.15.1.1.3"
CHANNELS: Final = "1.3.6.1.2.1.43.14.1.1.2"  # prtChannelType
CHANNEL_FACTS: Final = "1.3.6.1.2.1.43.14.1.1.9"  # prtChannelInformation
HARDWARE: Final = "1.3.6.1.2.1.2.2.1.6"  # ifPhysAddress
COLUMNS: Final = (FAMILIES, LEVELS, CHANNELS, CHANNEL_FACTS, HARDWARE)
"""What a printer is asked row by row."""
ROWS = 32

_CHARACTERS = 127
_PORT_9100, _TCP_CHANNELS = 11, (37, 38)  # chPort9100; chPortTCP, chBidirPortTCP
_PORT = re.compile(r"\bPort\s*[=:]\s*(\d{1,5})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All that one printer answered, by object; of the columns by row, in their order."""

    values: Mapping[str, Value]
    columns: Mapping[str, Sequence[tuple[str, Value]]] = field(default_factory=dict)


def further(address: str) -> tuple[str, ...]:
    """What the printer at `address` is asked, one by one, beside its device ID."""
    netmask = (f"1.3.6.1.2.1.4.20.1.3.{address}", _GATEWAY) if "." in address else ()  # ipAdEntNetMask
    return (_SERIAL, _COLORANTS, *_PORTS, *netmask)


def is_printer(values: Mapping[str, Value]) -> bool:
    """By the first answer."""
    kind = values.get(_DEVICE_TYPE)
    return (isinstance(kind, str) and kind.strip(".") == _TYPE_PRINTER) or isinstance(values.get(_PRINTER_STATUS), int)


def heard(address: str, answers: Answers) -> Heard:
    """What the printer at `address` said."""
    values, columns = answers.values, answers.columns
    ids = [device_id.parse(octets) for oid in DEVICE_IDS if isinstance(octets := values.get(oid), bytes) and octets]
    levels = {oid.rpartition(".")[2]: _text(value) for oid, value in columns.get(LEVELS, ())}
    spoken = speech.by_interpreters(
        (family, levels.get(oid.rpartition(".")[2], ""))
        for oid, family in columns.get(FAMILIES, ())
        if isinstance(family, int)
    )
    for one in ids:
        spoken |= one.speech
    colorants = values.get(_COLORANTS)
    return Heard(
        address=address,
        way="snmp",
        port=_port(values, columns),
        host=_text(values.get(_SYS_NAME)),
        model=next((one.model for one in ids if one.model), "") or _text(values.get(_DEVICE_DESCR)),
        location=_text(values.get(_SYS_LOCATION)),
        serial=_text(values.get(_SERIAL)) or next((one.serial for one in ids if one.serial), ""),
        color=colorants > 1 if isinstance(colorants, int) and colorants > 0 else None,
        speech=spoken,
        hardware_address=_hardware_address(value for _, value in columns.get(HARDWARE, ())),
        netmask=_ip(values.get(f"1.3.6.1.2.1.4.20.1.3.{address}")),
        gateway=_ip(values.get(_GATEWAY)),
    )


def _port(values: Mapping[str, Value], columns: Mapping[str, Sequence[tuple[str, Value]]]) -> int:
    """Its raw port, 9100 where that is one of several; 0 if it tells none."""
    facts = {oid.rpartition(".")[2]: _text(value) for oid, value in columns.get(CHANNEL_FACTS, ())}
    ports = [value for oid in _PORTS if isinstance(value := values.get(oid), int)]
    for oid, kind in columns.get(CHANNELS, ()):
        if kind == _PORT_9100:
            ports.append(RAW_PORT)
        elif kind in _TCP_CHANNELS and (found := _PORT.search(facts.get(oid.rpartition(".")[2], ""))):
            ports.append(int(found[1]))
    ports = [port for port in ports if 0 < port < 65536]
    return RAW_PORT if RAW_PORT in ports else ports[0] if ports else 0


def _text(value: Value) -> str:
    if not isinstance(value, bytes):
        return ""
    try:
        return clean(value.decode(), _CHARACTERS)
    except UnicodeDecodeError:
        return clean(value.decode("latin-1"), _CHARACTERS)


def _ip(value: Value) -> str:
    """An address that some agents tell as octets; "" for none, or for one that means none."""
    try:
        ip = ipaddress.IPv4Address(value if isinstance(value, bytes | str) else "")
    except ValueError:
        return ""
    return "" if ip.is_unspecified else str(ip)


def _hardware_address(values: Iterable[Value]) -> str:
    """The first EUI-48."""
    for value in values:
        if isinstance(value, bytes) and len(value) == 6 and any(value) and not value[0] & 1:
            return value.hex(":")
    return ""
