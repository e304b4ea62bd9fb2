"""TXT records of printers: RFC 6763 section 6, with the keys of Bonjour Printing 1.2.  No I/O.

Security: anybody on the link may send them.  A record is at most a datagram; a bounded number of its strings is looked
at, each cleaned and cut before anybody sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from mailstore.header import clean
from printerbridge.discovery import device_id, speech
from printerbridge.discovery.speech import Speech

_STRINGS = 64
_CHARACTERS = 127
_KEY = re.compile(rb"[\x20-\x3c\x3e-\x7e]+")  # RFC 6763 section 6.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a record says of a printer; "" and None for what it does not."""

    model: str = ""
    location: str = ""
    serial: str = ""
    color: bool | None = None
    duplex: bool | None = None
    speech: Speech = speech.NOTHING


def parse(record: bytes) -> dict[str, str]:
    """The values by key in lower case; the first of two counts, "" where a key stands without."""
    values: dict[str, str] = {}
    for string in _strings(record):
        key, _, value = string.partition(b"=")
        if _KEY.fullmatch(key):
            values.setdefault(key.decode("ascii").lower(), value.decode("utf-8", "replace"))
    return values


def told(record: bytes) -> Told:
    values = parse(record)
    product = values.get("product", "").strip()
    if product.startswith("(") and product.endswith(")"):  # a PostScript string, says Bonjour Printing
        product = product[1:-1]
    by_usb = device_id.full_model(values.get("usb_mfg", ""), values.get("usb_mdl", ""))
    return Told(
        model=clean(values.get("ty", ""), _CHARACTERS) or by_usb or clean(product, _CHARACTERS),
        location=clean(values.get("note", ""), _CHARACTERS),
        serial=clean(values.get("usb_sn", ""), _CHARACTERS),
        color=_flag(values.get("color", "")),
        duplex=_flag(values.get("duplex", "")),
        speech=speech.by_formats(values.get("pdl", "")) | speech.by_commands(values.get("usb_cmd", "").split(",")),
    )


def _strings(record: bytes) -> Iterator[bytes]:
    at = 0
    for _ in range(_STRINGS):
        if at >= len(record):
            return
        length = record[at]
        yield record[at + 1 : at + 1 + length]
        at += 1 + length


def _flag(value: str) -> bool | None:
    return {"t": True, "f": False}.get(value.strip().lower()[:1])
