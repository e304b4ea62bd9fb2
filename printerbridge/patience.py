"""How long printers are waited for: what a line waits for by default, and what a printer's entry says instead."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Final

from mailstore.directory.records import Printer
from printerbridge.retry import SCHEDULES, Schedule, Trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait for a printer, in seconds."""

    connect: float = 30.0
    stall: float = 30.0  # without an acknowledged octet, before it is reported
    give_up: float = 86400.0  # the same, before the job is given up
    end: float = 90.0  # for the printer's closing, or its word that the job ended, since its last sign of life
    answer: float = 10.0  # for any word from a printer that should speak PJL, and for its closing after the last word


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Everything that a line waits for, in seconds."""

    patience: Patience = field(default_factory=Patience)
    schedules: dict[Trouble, Schedule] = field(default_factory=lambda: dict(SCHEDULES))
    lease: float = 30.0
    renew: float = 10.0
    idle: float = 30.0  # how long an idle line keeps its leases
    look: float = 5.0  # between looks at what the doorbell may have missed
    busy: float = 60.0  # how long a printer may refuse before people are told
    count: float = 1.0  # between two looks at a page counter that has to rise
    rest: float = 5.0  # a wait of so long is spent without leases, and without a job that was made ready
    knock: float = 5.0  # for the first connection after such a wait


_USUAL: Final = {each.name: each.default for each in fields(Printer)}


def of_printer(patience: Patience, printer: Printer) -> Patience:
    """What the entry says, where it says anything but the usual."""
    end, limit = printer.end_wait, printer.stall_limit
    if end == _USUAL["end_wait"] and limit == _USUAL["stall_limit"]:
        return patience
    return replace(
        patience,
        end=patience.end if end == _USUAL["end_wait"] else float(end),
        give_up=patience.give_up if limit == _USUAL["stall_limit"] else float(limit),
    )
