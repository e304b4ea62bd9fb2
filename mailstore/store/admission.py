"""What is counted and remembered of who prints what: limits, capability addresses, mails that came before.

Held to `tests/contracts/admission.py`; the conventions are those of `contract`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mailstore.directory.records import PrintLimits

DUPLICATE_SECONDS = 3600.0
"""For so long the same mail makes no second job."""
SIGNATURE_SECONDS = 30 * 86400.0
"""For so long a DKIM signature that alone proved a mail is remembered, for each printer that it came to."""


class Accepted(int):
    """A job's number; `earlier` if it is that of a job that was there before, and the mail made none."""

    earlier: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was taken in and printed of late: in the last hour, pages in the last 24 hours; in steps of five minutes."""

    jobs: int = 0
    octets: int = 0
    pages: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """An address `printer+TOKEN@` by which whoever knows it may print.  The token itself is kept nowhere."""

    id: int
    printer: str
    note: str  # what it is for, in the words of who made it
    made_by: str
    created_at: float
    expires_at: float = 0.0  # 0.0: never
    max_jobs: int = 0  # 0: any number
    max_pages: int = 0
    jobs: int = 0  # mails that came by it, one to a group counts once; what is printed again does not
    pages: int = 0  # that these had
    revoked_at: float = 0.0
    revoked_by: str = ""

    def why_not(self, now: float) -> str:
        """Why it does not let anybody print (any more), "" if it does."""
        if self.revoked_at:
            return "it was revoked"
        if self.expires_at and now >= self.expires_at:
            return "its time is over"
        if self.max_jobs and self.jobs >= self.max_jobs:
            return "it has had all its jobs"
        if self.max_pages and self.pages >= self.max_pages:
            return "it has had all its pages"
        return ""


class Admission(Protocol):
    """Counts and memories, all durable.  Nothing is counted of a printer that has no limits."""

    async def usage(self, printer: str, sender: str = "") -> Usage:
        """Of the printer; with `sender`, a canonical address, of what this proved sender printed there."""

    async def count_pages(self, job_id: int, pages: int, limits: PrintLimits, *, printed: bool = False) -> str:
        """The job has so many pages: count them, or say in a sentence which limit of pages it would pass ("": none).

        Counted for the printer, its proved sender and its capability, in all once for a job, however often it is
        asked.  A job that somebody released from such a hold is counted and passes (`Job.waived`).  What is `printed`
        is counted whatever the limits: it holds this job no more, but the next ones.  Raises `TransientFailure`.
        """

    async def hold_for_limit(self, job_id: int, detail: str) -> bool:
        """`pending` or `processing`, before instant 3, to `pending-held` with `account-limit-reached`; an occurrence.

        Whoever holds the lease of its device calls it.  False if the job is no longer in such a state.
        """

    async def add_capability(
        self,
        printer: str,
        digest: bytes,
        *,
        made_by: str,
        note: str = "",
        expires_at: float = 0.0,
        max_jobs: int = 0,
        max_pages: int = 0,
    ) -> Capability:
        """`digest` is the SHA-256 of the token in lower case."""

    async def capability(self, digest: bytes) -> Capability | None:
        """By its token's digest, also one that is over."""

    async def capabilities(self, printer: str = "") -> Sequence[Capability]:
        """Newest first; those revoked or over for 90 days are gone."""

    async def revoke_capability(self, number: int, by: str) -> bool:
        """False if there is none of this number, or it was revoked before."""
