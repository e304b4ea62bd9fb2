"""Paper and trays by the names and numbers that each printer language has for them.  No I/O.

What a number means beyond the first few is each maker's own; where there was a choice, these are those of HP's manuals
for PCL and PJL, whose languages they are, and for PostScript the order in which most makers count.

Security: only looks up names that `mailstore.ticket_words` let through; nothing goes out but what stands in the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mailstore.ticket_words import SIZES

_TRAYS: Final = range(1, 21)

PJL_PAPER: Final = {
    SIZES[short]: word
    for short, word in {
        "a3": "A3",
        "a4": "A4",
        "a5": "A5",
        "a6": "A6",
        "b5": "B5",
        "jis-b4": "JISB4",
        "jis-b5": "JISB5",
        "letter": "LETTER",
        "legal": "LEGAL",
        "ledger": "LEDGER",
        "executive": "EXECUTIVE",
        "com10": "COM10",
        "monarch": "MONARCH",
        "dl": "DL",
        "c5": "C5",
    }.items()
}
"""Of `SET PAPER`, by the PWG name."""

PCL_PAPER: Final = {
    SIZES[short]: number
    for short, number in {
        "executive": 1,
        "letter": 2,
        "legal": 3,
        "ledger": 6,
        "a6": 24,
        "a5": 25,
        "a4": 26,
        "a3": 27,
        "jis-b5": 45,
        "jis-b4": 46,
        "monarch": 80,
        "com10": 81,
        "dl": 90,
        "c5": 91,
        "b5": 100,
    }.items()
}
"""Of PCL 5's page size, ESC &l#A, by the PWG name."""

PJL_SOURCES: Final = {
    "auto": ("SET MANUALFEED = OFF", "SET MEDIASOURCE = AUTOSELECT"),
    "manual": ("SET MANUALFEED = ON",),
    **{f"tray-{number}": (f"SET MEDIASOURCE = TRAY{number}",) for number in _TRAYS},
}
"""What PJL says for a tray."""

PCL_SOURCES: Final = {
    "main": 1,
    "manual": 2,
    "alternate": 4,
    "large-capacity": 5,
    "envelope": 6,
    "auto": 7,
    "tray-1": 4,
    "tray-2": 1,
    "tray-3": 5,
    **{f"tray-{number}": number + 4 for number in range(4, 10)},
}
"""Of PCL 5's paper source, ESC &l#H."""

PCLXL_SOURCES: Final = {
    "auto": 1,
    "manual": 2,
    "main": 4,
    "alternate": 5,
    "large-capacity": 7,
    "envelope": 6,
    "tray-1": 3,
    "tray-2": 4,
    "tray-3": 5,
    "tray-4": 7,
    **{f"tray-{number}": number + 3 for number in range(5, 21)},  # external trays count from 8
}
"""Of PCL XL's attribute MediaSource."""

PWG_SOURCES: Final = {
    "auto": 0,
    "main": 1,
    "alternate": 2,
    "large-capacity": 3,
    "manual": 4,
    "envelope": 5,
    **{f"tray-{number}": 19 + number for number in _TRAYS},
}
"""Of MediaPosition in a page header of PWG raster (PWG 5102.4 section 4.3.1.1)."""

POSTSCRIPT_SOURCES: Final = {
    "auto": "dup/ManualFeed false put dup/MediaPosition null put",
    "manual": "dup/ManualFeed true put",
    "main": "dup/MediaPosition 0 put",
    "alternate": "dup/MediaPosition 1 put",
    **{f"tray-{number}": f"dup/MediaPosition {number - 1} put" for number in _TRAYS},
}
"""What is put into the dictionary of setpagedevice (PostScript Language Reference, section 6.2.1)."""


def media_position(numbers: Mapping[str, int], source: str) -> list[str]:
    """For Ghostscript's devices that write into each page from where it comes; `source` is a tray, "" for any."""
    return [f"-dMediaPosition={numbers[source]}"] if source else []
