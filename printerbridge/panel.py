"""What printers say in words, on their panel or by a message, as `printer-state-reasons`.  No I/O."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = (
    (re.compile(r"\b(JAM|MISFEED)", re.IGNORECASE), "media-jam"),
    (re.compile(r"\b(DOOR|COVER)\b", re.IGNORECASE), "door-open"),
    (re.compile(r"\b(BIN|TRAY)\b.*\bFULL\b", re.IGNORECASE), "output-area-full"),
    (re.compile(r"\bOFF ?LINE\b", re.IGNORECASE), "offline"),
    (re.compile(r"\b(NO|MISSING)\b.*\bTRAY\b|\bTRAY\b.*\b(OUT|MISSING)\b", re.IGNORECASE), "input-tray-missing"),
    (re.compile(r"\bMANUAL\b", re.IGNORECASE), "media-needed"),
    (re.compile(r"\bLOAD\b|\bNO PAPER\b|\bPAPER OUT\b|\bOUT OF (PAPER|MEDIA)\b", re.IGNORECASE), "media-empty"),
    (re.compile(r"\b(TONER|INK)\b", re.IGNORECASE), "marker-supply-empty"),
)


def reason_of(text: str) -> str:
    """The keyword for words that say what keeps a printer from printing, "other" if nobody knows them."""
    return next((keyword for words, keyword in _WORDS if words.search(text)), "other")
