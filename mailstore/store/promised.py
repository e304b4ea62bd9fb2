"""Admission and split mail: what is not there yet."""

from __future__ import annotations
# ruff: noqa: ARG002

from collections.abc import AsyncIterator, Sequence

from mailstore.directory.records import PrintLimits
from mailstore.failure import TransientFailure
from mailstore.store.admission import Capability, Usage
from mailstore.store.contract import Draft, Envelope, Recipient
from mailstore.store.splitting import Part, SplitLimits, SplitMail


def _not_yet() -> TransientFailure:
    return TransientFailure("4.3.0", "not possible yet")


class Promised:
    """A part of `sql.SqlStore`."""

    async def usage(self, printer: str, sender: str = "") -> Usage:
        raise _not_yet()

    async def count_pages(self, job_id: int, pages: int, limits: PrintLimits) -> str:
        raise _not_yet()

    async def hold_for_limit(self, job_id: int, detail: str) -> bool:
        raise _not_yet()

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
        raise _not_yet()

    async def capability(self, digest: bytes) -> Capability | None:
        raise _not_yet()

    async def capabilities(self, printer: str = "") -> Sequence[Capability]:
        raise _not_yet()

    async def revoke_capability(self, number: int, by: str) -> bool:
        raise _not_yet()

    async def accept_part(
        self, draft: Draft, envelope: Envelope, recipient: Recipient, part: Part, limits: SplitLimits
    ) -> SplitMail:
        raise _not_yet()

    async def split_mails(self) -> Sequence[SplitMail]:
        raise _not_yet()

    def read_part(self, job_id: int, number: int) -> AsyncIterator[bytes]:
        raise _not_yet()

    async def part_envelopes(self, job_id: int) -> Sequence[Envelope]:
        raise _not_yet()

    async def put_together(self, job_id: int, draft: Draft, envelope: Envelope, recipient: Recipient) -> bool:
        raise _not_yet()

    async def give_up_split(self, job_id: int, reasons: Sequence[str], detail: str) -> bool:
        raise _not_yet()
