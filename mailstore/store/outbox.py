"""What people are told, and who is logged in: the part of the store's contract that is the appliance's alone.

Held to `tests/contracts/outbox.py`; the conventions are those of `contract`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Occasion(StrEnum):
    """Of what somebody may have to be told."""

    COMPLETED = "completed"  # a job whose sender may be answered
    INCOMPLETE = "incomplete"  # a job of which not all documents printed
    ABORTED = "aborted"
    UNCERTAIN = "uncertain"  # x-delivery-unknown
    HELD = "held"  # account-limit-reached
    TO_RELEASE = "to-release"  # its printer holds jobs, and its sender may be answered: he is told the code
    STOPPED = "stopped"  # a printer's printer-state-reasons changed, and there are some
    CLEAR = "clear"  # they were there and are gone


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """Something that happened, written in the transaction in which it did, and not yet turned into notices."""

    id: int  # rises
    at: float
    occasion: Occasion
    printer: str
    job_id: int  # 0 for a printer's
    reasons: tuple[str, ...]  # job-state-reasons or printer-state-reasons as they were; of CLEAR, those that are gone
    detail: str


OUTGOING_OCTETS = 64 * 1024
"""The largest mail of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMail:
    """A mail of ours, small, for one recipient; its reverse-path is null."""

    recipient: str
    octets: bytes  # whole, CRLF, at most `OUTGOING_OCTETS`
    job_id: int  # what it is about, 0 if about no job
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuedMail:
    """A mail that was taken from the outgoing queue to be delivered, under a lease of its own."""

    id: int
    token: int  # rises with each taking: a later holder fences the earlier one off
    recipient: str
    octets: bytes
    job_id: int
    attempts: int  # earlier ones
    created_at: float
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingStanding:
    """How the outgoing queue fares, for gauges and pages."""

    waiting: int
    oldest: float  # created_at of the oldest, 0.0 if none waits
    last_error: str  # of the oldest that failed, "" if none did


@dataclass(frozen=True, slots=True, kw_only=True)
class WebSession:
    """Somebody who is logged in to the page."""

    key: str  # a hash of the cookie, never the cookie
    person: str  # user name
    created_at: float
    expires_at: float


class Outbox(Protocol):
    """Occurrences, and the outgoing queue that notices wait in."""

    async def occurrences(self, limit: int) -> Sequence[Occurrence]:
        """What has not been turned into notices yet, oldest first."""

    async def tell(self, mails: Sequence[OutgoingMail], told: Collection[Occurrence]) -> None:
        """In one transaction the mails are in the queue, and these occurrences are done with.

        Raises ValueError for a mail that is too large.
        """

    async def take_outgoing(self, owner: str, limit: int, seconds: float) -> Sequence[QueuedMail]:
        """Mails whose time has come and that nobody holds, the longest due first, each leased for so long.

        One past its `expires_at` is handed out like any other: whoever takes it tries once more, or gives it up.
        """

    async def outgoing_done(self, mail: QueuedMail, note: str) -> bool:
        """Delivered, or given up: it goes, and the job's trace, if any, gets the note.  False: lost the lease."""

    async def outgoing_later(self, mail: QueuedMail, at: float, why: str) -> bool:
        """To be tried again then; counts an attempt.  False: lost the lease."""

    async def hurry_outgoing(self) -> None:
        """All that waits and nobody holds is due now: something changed that may let it through."""

    async def outgoing(self) -> OutgoingStanding: ...


class Sessions(Protocol):
    """Who is logged in to the page; sessions past their time are swept."""

    async def begin_session(self, session: WebSession) -> None: ...

    async def session(self, key: str) -> WebSession | None:
        """None when there is none, or its time is over."""

    async def end_session(self, key: str) -> None: ...

    async def end_sessions(self, person: str) -> None:
        """All of one person: his password was changed, or he was removed."""
