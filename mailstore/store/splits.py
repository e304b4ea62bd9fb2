"""Split mails as they are read."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import sqlalchemy as sa

from mailstore.store import parts
from mailstore.store.arriving import Envelope
from mailstore.store.blobs import gone
from mailstore.store.keeping import PLACED, Keeping, placed_of
from mailstore.store.schema import MESSAGE, PART
from mailstore.store.splitting import SplitMail
from mailstore.store.statement import Statement, given

_SAID = (
    *("reverse_path", "client_ip", "helo", "trust", "smtputf8", "body", "login", "answerable", "name"),
    *("header_message_id", "documents", "pop3_octets", "envid", "ret", "submitter", "proof", "proved"),
)
_ENVELOPES = Statement(
    sa.select(*(MESSAGE.c[name] for name in _SAID))
    .join(PART, PART.c.message_id == MESSAGE.c.id)
    .where(PART.c.job_id == given("job"))
    .order_by(PART.c.number)
)
_PART = Statement(sa.select(PART.c.message_id).where(PART.c.job_id == given("job"), PART.c.number == given("which")))


class Splits(Keeping):
    """A part of `sql.SqlStore`."""

    async def split_mails(self) -> Sequence[SplitMail]:
        far = self._reader.far

        def look() -> list[SplitMail]:
            return [
                parts.split_mail(row, [number for number, _ in far(parts.NUMBERS, job=row[0])])
                for row in far(parts.ALL)
            ]

        return [split for split in await self._reader.run(look) if split.parts]  # what went meanwhile has none

    async def read_part(self, job_id: int, number: int) -> AsyncIterator[bytes]:
        found = self._reader.one(_PART, job=job_id, which=number)
        row = self._reader.one(PLACED, message=found[0]) if found else None
        if row is None:
            raise gone()
        async for block in self._blobs.read(placed_of(row[:5])):
            yield block

    async def part_envelopes(self, job_id: int) -> Sequence[Envelope]:
        return [_envelope(row) for row in self._reader.all(_ENVELOPES, job=job_id)]


def _envelope(row: Sequence[Any]) -> Envelope:
    said = dict(zip(_SAID, row, strict=True))
    return Envelope(**said | {name: bool(said[name]) for name in ("smtputf8", "answerable")})
