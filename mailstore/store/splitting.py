"""Split mail (RFC 2046 section 5.2.2) at rest: parts that wait for each other outside the maildrop.

A split mail is known by its sender, its printer and its id.  While parts are missing it is one job, `pending-held` with
`job-incoming`; its parts count against the maildrop's quota and are in no POP3 session.  Held to
`tests/contracts/splitting.py`; the conventions are those of `contract`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from mailstore.store.arriving import Draft, Envelope, Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What a message/partial says of itself."""

    id: str
    number: int  # from 1
    total: int = 0  # 0: not said


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitLimits:
    """What a split mail may have."""

    parts: int
    octets: int
    seconds: float  # from the first part to the last


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitMail:
    """A mail whose parts come one by one.  Numbers in `parts` rise."""

    job_id: int
    printer: str
    id: str
    sender: str  # the proved address, canonical
    parts: tuple[int, ...]
    total: int  # 0: no part has said it yet
    octets: int
    until: float  # when the others must have come

    @property
    def complete(self) -> bool:
        return bool(self.total) and len(self.parts) == self.total


class SplitMails(Protocol):
    """Parts that wait."""

    async def accept_part(
        self, draft: Draft, envelope: Envelope, recipient: Recipient, part: Part, limits: SplitLimits
    ) -> SplitMail:
        """Instant 1 for a part; returns how its split mail stands then.  Known by `envelope.proved` and the maildrop.

        The first part makes the job.  A part that is there already is not taken twice: the earlier one stays; so does
        one that came within the hour before and whose whole was put together: then nothing waits for it.
        Jobs and capabilities count with it, octets with each part.  Raises as `Store.accept` does, and
        `PermanentFailure` ("5.6.0") if the part contradicts the others (number beyond the total, another total, another
        address of the printer), ("5.3.4") if it would pass a limit, or comes too late, and `TransientFailure` ("4.2.2")
        if too many of the sender's wait there already: then the others stay as they were.
        """

    async def split_mails(self) -> Sequence[SplitMail]:
        """All that are not put together yet, oldest first."""

    def read_part(self, job_id: int, number: int) -> AsyncIterator[bytes]:
        """The stored octets of one part, in blocks of 128 KiB."""

    async def part_envelopes(self, job_id: int) -> Sequence[Envelope]:
        """What was said and concluded of each part, by number."""

    async def put_together(self, job_id: int, draft: Draft, envelope: Envelope, recipient: Recipient) -> bool:
        """The whole takes the place of its parts, durable in one transaction: the job is `pending`, with an entry.

        Quota and signatures are asked again, other limits were when the parts came.  False if it is no longer
        `job-incoming` (somebody canceled it).  Raises as `accept` does, `PermanentFailure` ("5.6.0") if the same mail
        made a job within the hour before, and ValueError if a part is missing.
        """

    async def give_up_split(self, job_id: int, reasons: Sequence[str], detail: str) -> bool:
        """The job is aborted, an occurrence, and its parts go.  False if it is no longer `job-incoming`."""
