"""What a printer says of itself: what it has left, what its panel shows, how many pages it has printed.  No I/O.

Levels are those of the Printer MIB (RFC 3805): a share from 0.0 to 1.0 where the printer measures one, None where it
says only that there is some, or nothing at all.
"""

from __future__ import annotations

from dataclasses import dataclass

LOW = 0.1
"""The share that is left from where on somebody should see to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """Something that is used up, or fills up: `level` is what is left of it, of a waste box the room in it."""

    name: str  # as the printer calls it
    kind: str  # prtMarkerSuppliesType in its RFC 3805 words, like toner or waste-toner; "" if unknown
    color: str  # "" if it has none
    level: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Tray:
    """Where paper comes from."""

    name: str
    media: str  # as the printer calls it, "" if it does not say
    level: float | None


def is_low(level: float | None) -> bool:
    """Whether so much of a supply, or of a tray, is little; of an unknown amount nobody knows."""
    return level is not None and level <= LOW


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterReport:
    """The last word of one printer.  Texts are cleaned and short."""

    printer: str
    asked_at: float  # seconds since the epoch, of the last question
    answered_at: float = 0.0  # of the last answer; 0.0 if there was none
    model: str = ""
    serial: str = ""
    console: str = ""  # what its panel shows, in its language
    pages: int | None = None  # that it has printed in its life (prtMarkerLifeCount)
    supplies: tuple[Supply, ...] = ()
    trays: tuple[Tray, ...] = ()

    @property
    def up(self) -> bool:
        """It answered when it was asked last."""
        return self.answered_at >= self.asked_at
