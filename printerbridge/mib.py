"""What a printer's answers to SNMP mean: the Host Resources MIB (RFC 2790) and the Printer MIB (RFC 3805).  No I/O."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a printer fared at one moment."""

    state: str  # printer-state: idle, processing or stopped
    reasons: tuple[str, ...] = ()  # printer-state-reasons; what only warns or reports says so by its suffix
    text: str = ""  # in words, "" if nothing is wrong
    console: str = ""  # what the panel shows
    pages: int | None = None  # that it has printed in its life, None where it does not count
