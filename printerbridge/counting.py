"""Pages counted by the printer itself: what its life's counter says before a job and after it."""

from __future__ import annotations

from typing import Protocol

from mailstore.directory.records import Printer
from printerbridge.mib import Look


class Looking(Protocol):
    """Whoever asks printers how they fare."""

    async def look(self, printer: Printer, *, seconds: float = 2.0) -> Look | None:
        """Now; None if it does not answer within `seconds`, or is not asked."""
