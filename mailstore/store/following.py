"""How jobs get on and printers fare while the bridge looks: the part of the contract that it writes and people read.

Nothing of it wants a sync of its own.  Held to `tests/contracts/following.py`; the conventions are those of `contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailstore.report import PrinterReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the last attempt of a job has come, as far as the printer confirmed it.

    Documents here are sendings: the sender's, copy by copy, no banner.  `pages` of the present one lie in the tray by
    the printer's own word (PJL USTATUS PAGE); those of the documents before it count in `pages_before`, if they ended
    with a proof.
    """

    document: int  # that is being sent, from 0
    octets: int  # of it that the printer's TCP acknowledged
    octets_total: int  # of it
    pages: int = 0
    pages_total: int = 0  # of it, 0 where nobody can tell
    pages_before: int = 0
    pages_all: int = 0  # of the whole job, 0 where nobody can tell

    @property
    def confirmed(self) -> int:
        """Pages of the job that are on paper by the printer's word."""
        return self.pages_before + self.pages

    @property
    def resumable(self) -> bool:
        """Whether it is known behind which page to go on."""
        return self.document > 0 or (self.pages > 0 and (not self.pages_total or self.pages <= self.pages_total))

    @property
    def behind(self) -> str:
        """Where to go on, in words; "" where that is not known."""
        if not self.resumable:
            return ""
        page = f"page {self.pages + 1}" if self.pages else ""
        document = f"document {self.document + 1}" if self.document else ""
        return " of ".join(part for part in (page, document) if part)


class Following(Protocol):
    """What is written here is not waited for; a crash may lose the last moments of it, never make it say too much."""

    async def set_progress(self, job_id: int, progress: Progress) -> None:
        """In place of what was known before.  It stays when the job is in doubt and goes with the job's record."""

    async def progress(self, job_id: int) -> Progress | None:
        """None for a job of which nothing was sent."""

    async def set_report(self, report: PrinterReport) -> None:
        """In place of the one before; goes with `forget_printer`."""

    async def report(self, printer: str) -> PrinterReport | None:
        """None for a printer that was never asked."""

    async def reports(self) -> Sequence[PrinterReport]:
        """All, by name."""
