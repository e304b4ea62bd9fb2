"""IEEE 1284 device IDs: keys and values in one line, as printers tell them by SNMP, and `usb_*` keys in TXT records.

No I/O.

Security: a stranger's octets.  A few thousand of them are looked at; what comes out is cleaned and cut.  No
pattern repeats anything at each place again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mailstore.header import clean
from printerbridge.discovery import speech
from printerbridge.discovery.speech import Speech

_MOST = 4096  # octets that are looked at
_CHARACTERS = 127  # of a value, as entries have them (RFC 7612)
_KEYS = {
    "MFG": "manufacturer",
    "MANUFACTURER": "manufacturer",
    "MDL": "model",
    "MODEL": "model",
    "CMD": "commands",
    "COMMAND SET": "commands",
    "DES": "description",
    "DESCRIPTION": "description",
    "SN": "serial",
    "SERN": "serial",
    "SERIALNUMBER": "serial",
}
# A semicolon that was forgotten before the next key.
_FORGOTTEN = re.compile(rf"[ \t](?=(?:{'|'.join((*_KEYS, 'CLS', 'CLASS', 'CID'))})[ \t]?:)", re.IGNORECASE)
_SHORT = {"hewlett-packard": "HP", "hewlett packard": "HP", "hp": "HP"}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceId:
    """What a device ID says; "" for what it does not."""

    model: str = ""  # with its maker's name, once
    serial: str = ""
    speech: Speech = speech.NOTHING


def parse(octets: bytes) -> DeviceId:
    """Of whatever comes the parts that can be read."""
    values: dict[str, str] = {}
    text = _FORGOTTEN.sub(";", _text(octets))
    for part in re.split(r"[;\r\n\0]", text):
        key, colon, value = part.partition(":")
        name = _KEYS.get(re.sub(r"\s+", " ", key).strip().upper(), "")
        if colon and name and value.strip():
            values.setdefault(name, value.strip())
    return DeviceId(
        model=full_model(values.get("manufacturer", ""), values.get("model") or values.get("description", "")),
        serial=clean(values.get("serial", ""), _CHARACTERS),
        speech=speech.by_commands(values.get("commands", "").split(",")),
    )


def full_model(manufacturer: str, model: str) -> str:
    """`HP LaserJet 4`, whether or not the model begins with its maker."""
    maker, name = clean(manufacturer, _CHARACTERS), clean(model, _CHARACTERS)
    maker = _SHORT.get(maker.lower(), maker)
    for long, short in _SHORT.items():
        if name.lower().startswith(f"{long} "):
            name = f"{short}{name[len(long) :]}"
    if not name or name.lower().startswith(maker.lower()):
        return name or maker
    return clean(f"{maker} {name}", _CHARACTERS)


def _text(octets: bytes) -> str:
    octets = octets[:_MOST]
    # Two octets may lead that count the rest, most significant first by IEEE 1284 section 7.6, and in some the other.
    if len(octets) >= 2 and (octets[0] < 9 or octets[1] < 9):
        octets = octets[2:]
    try:
        return octets.decode()
    except UnicodeDecodeError:
        return octets.decode("latin-1")
