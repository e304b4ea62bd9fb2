"""The virtual printer's body: its page counter, what its panel shows, and what keeps it from printing.  No I/O."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from mailstore.failure import PermanentFailure
from printerbridge.virtual_pjl import LOAD_PAPER, READY, Display


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """How a printer fares.

    `display`: what the panel shows, by HP's status codes; `bit`: of hrPrinterDetectedErrorState (RFC 2790), None for
    none; `stops`: no page comes out; `said`: what a PostScript printer calls it on its back channel.
    """

    display: Display
    bit: int | None = None
    stops: bool = True
    said: str = ""


CONDITIONS: Final[dict[str, Condition]] = {
    "": Condition(display=READY, stops=False),
    "media-empty": Condition(display=LOAD_PAPER, bit=1, said="out of paper"),
    "media-low-warning": Condition(display=Display(code=10001, text="TRAY 1 LOW"), bit=0, stops=False),
    "marker-supply-low-warning": Condition(display=Display(code=10006, text="TONER LOW"), bit=2, stops=False),
    "marker-supply-empty": Condition(display=Display(code=40010, text="NO TONER CARTRIDGE"), bit=3, said="out of ink"),
    "door-open": Condition(display=Display(code=40021, text="CLOSE COVER"), bit=4, said="cover open"),
    "media-jam": Condition(display=Display(code=40022, text="PAPER JAM"), bit=5, said="paper jam"),
    "offline": Condition(display=Display(code=40079, text="OFFLINE"), bit=6, said="off line"),
    "output-area-full": Condition(display=Display(code=40019, text="OUTPUT BIN FULL"), bit=12, said="tray full"),
    "sleep": Condition(display=Display(code=35078, text="POWERSAVE ON"), stops=False),
}
"""By `printer-state-reasons` keyword; "" is well, and "sleep" is no reason but how printers spend the night."""


class Device:
    """Attributes: `pages`, the life-long page counter; `condition`, a keyword of `CONDITIONS`; `printing`."""

    def __init__(self) -> None:
        self.pages = 0
        self.condition = ""
        self.printing = False
        self._changed = asyncio.Event()

    @property
    def now(self) -> Condition:
        return CONDITIONS[self.condition]

    def fare(self, condition: str) -> None:
        """Fare so from now on.  Raises `PermanentFailure` ("5.5.4") for a word that is not in `CONDITIONS`."""
        if condition not in CONDITIONS:
            known = ", ".join(filter(None, CONDITIONS))
            raise PermanentFailure(
                "5.5.4", f"condition {condition!r} is unknown. A printer is well (''), or one of: {known}"
            )
        self.condition = condition
        self._changed.set()
        self._changed = asyncio.Event()

    async def change(self) -> None:
        """Until it fares otherwise."""
        await self._changed.wait()
