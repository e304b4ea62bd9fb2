"""What a printer would take for PJL in what the firewall gives out: read by a second reader that shares no code."""

from __future__ import annotations

import re

UEL = b"\x1b%-12345X"
_LINE = re.compile(rb"[\0\x04\t\n\x0b\x0c\r ]*(@PJL[^\n]*)(?:\n|\Z)", re.IGNORECASE)


def commands(stream: bytes) -> list[bytes]:
    """Every PJL line, wherever a printer would find one, without `@PJL` and the line's end."""
    found = []
    first, *sections = stream.split(UEL)
    for section in (first, *sections):
        at = 0
        while line := _LINE.match(section, at):
            said = line[1][4:].strip()
            found.append(said)
            at = line.end()
            if re.match(rb"ENTER\b", said, re.IGNORECASE):
                break
    return found


ALLOWED = re.compile(
    rb"ENTER LANGUAGE = (?:POSTSCRIPT|PDF|PCL|PCLXL|PWGRASTER)"
    rb"|SET (?:COPIES|QTY|DUPLEX|BINDING|PAPER|MEDIASOURCE|MEDIATYPE|RESOLUTION|RENDERMODE|ECONOMODE|OUTBIN"
    rb"|BITSPERPIXEL|ORIENTATION|MANUALFEED) = [A-Z0-9]{1,20}"
)


def forbidden(stream: bytes) -> list[bytes]:
    """The commands that are not on the allow list."""
    return [said for said in commands(stream) if not ALLOWED.fullmatch(said)]
