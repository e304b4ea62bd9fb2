"""What the bridge learns of a job's documents, and what it tells of itself.

Held to `tests/contracts/papers.py`; the conventions are those of `contract`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from mailstore.abilities import Abilities

REPEATED_DAYS = 90
"""For so long an ornament is remembered after it came last."""
ORNAMENT_MAILS = 2
"""In so many earlier mails of a sender a picture has stood that is taken for an ornament."""
THUMBNAILS = 8
"""The most pictures of pages that are kept of one job."""
THUMBNAIL_OCTETS = 64 << 10


class Fate(StrEnum):
    """What became of one part of a mail."""

    READY = "ready"  # made ready, not yet sent
    PRINTED = "printed"
    LEFT_OUT = "left-out"  # an ornament, an alternative to what printed, nothing that prints
    FAILED = "failed"  # it should have printed


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentRecord:
    """One document of a job, or a part that was left out of it."""

    number: int  # from 1, in the order of the mail
    name: str  # file name, "" for none
    format: str  # document-format
    pages: int  # of one copy; 0 where nobody can tell
    fate: Fate
    detail: str = ""  # how it was made ready, or why it was left out or failed


class Papers(Protocol):
    """Records go with the job's; thumbnails with its octets, so that they never outlive `kept_until`."""

    async def record_documents(self, job_id: int, documents: Sequence[DocumentRecord]) -> None:
        """What becomes of the documents, in place of what was recorded before.  Needs no sync."""

    async def documents_printed(self, job_id: int) -> None:
        """All that are `ready` are `printed`.  Needs no sync."""

    async def documents(self, job_id: int) -> Sequence[DocumentRecord]:
        """By number; empty for a job that the bridge has not made ready."""

    async def keep_thumbnail(self, job_id: int, document: int, page: int, png: bytes) -> bool:
        """Page `page`, from 1, of document `document`, in place of one that was kept before.

        False, and it is not kept, if it has more than `THUMBNAIL_OCTETS`, the job has `THUMBNAILS` already, there is no
        such job any more, its octets are gone, or the room on the disk is needed for mail.  Needs no sync.
        """

    async def thumbnails(self, job_id: int) -> Sequence[tuple[int, int]]:
        """Which there are: document and page, in order."""

    async def thumbnail(self, job_id: int, document: int, page: int) -> bytes | None:
        """The PNG."""

    async def repeated(self, job_id: int, sender: str, digests: Collection[bytes]) -> frozenset[bytes]:
        """Remember that pictures with these SHA-256 digests stood in the sender's mail; which of them had stood in
        `ORNAMENT_MAILS` that were asked of earlier.  Asked twice of a message, for whichever of its jobs, it answers
        the same.  At most 10,000 are remembered, those that came last."""

    async def set_abilities(self, abilities: Abilities) -> None:
        """What the bridge that started last can."""

    async def abilities(self) -> Abilities:
        """`UNKNOWN` before any bridge started."""
