"""How long octets and records stay after the end."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence

import sqlalchemy as sa

from mailstore.failure import TransientFailure
from mailstore.mime import ACCEPTED
from mailstore.reencode import Reencoder
from mailstore.store import documented, followed, forgetting, sessions
from mailstore.store.blobs import Blobs, Place, Placed, gone
from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.drafts import Spool
from mailstore.store.listing import of_printer
from mailstore.store.reader import Reader
from mailstore.store.schema import CONTENT, EVENT, JOB, MESSAGE
from mailstore.store.statement import Statement, given, number, word

RECORD_SECONDS = 90 * 86400.0
AT_ONCE = 200
"""Messages per transaction that drops octets or records: others get their turn in between."""

_log = logging.getLogger(__name__)

_PLACE = (MESSAGE.c.place, MESSAGE.c.octets, MESSAGE.c.reference, MESSAGE.c.start)

PLACED = Statement(
    sa.select(*_PLACE, CONTENT.c.data, MESSAGE.c.pop3_octets)
    .join(CONTENT, CONTENT.c.message_id == MESSAGE.c.id, isouter=True)
    .where(MESSAGE.c.id == given("message"))
)
PLACED_FOR_JOB = Statement(
    sa.select(*_PLACE, CONTENT.c.data)
    .select_from(JOB)
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .join(CONTENT, CONTENT.c.message_id == MESSAGE.c.id, isouter=True)
    .where(JOB.c.id == given("job"), of_printer(JOB.c.printer))
)
_UNTIL = Statement(
    sa.select(JOB.c.completed_at, MESSAGE.c.place, MESSAGE.c.waiting, MESSAGE.c.ended_at)
    .join(MESSAGE, MESSAGE.c.id == JOB.c.message_id)
    .where(JOB.c.id == given("job"), of_printer(JOB.c.printer))
)
NAMED = Statement(
    sa.select(sa.func.max(MESSAGE.c.start + MESSAGE.c.octets)).where(
        MESSAGE.c.reference == given("which"), MESSAGE.c.reference != word("")
    )
)
EXPIRED = Statement(
    sa.select(MESSAGE.c.id)
    .where(MESSAGE.c.waiting == number(0), MESSAGE.c.place == given("where"), MESSAGE.c.ended_at <= given("until"))
    .order_by(MESSAGE.c.ended_at)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_KEPT = Statement(
    sa.select(*_PLACE).where(
        MESSAGE.c.id == given("message"),
        MESSAGE.c.waiting == number(0),
        MESSAGE.c.place != word(Place.GONE),
        MESSAGE.c.ended_at <= given("until"),
    )
)
_GONE = Statement(
    sa.update(MESSAGE)
    .where(MESSAGE.c.id == given("message"))
    .values(place=word(Place.GONE), reference=word(""), start=number(0))
)
_DROP_CONTENT = Statement(sa.delete(CONTENT).where(CONTENT.c.message_id == given("message")))
_JOBS_OF = Statement(sa.select(JOB.c.id).where(JOB.c.message_id == given("message")))
_DROP_EVENTS = Statement(sa.delete(EVENT).where(EVENT.c.job_id == given("job")))
_DROP_JOBS = Statement(sa.delete(JOB).where(JOB.c.message_id == given("message")))
_DROP_MESSAGE = Statement(sa.delete(MESSAGE).where(MESSAGE.c.id == given("message")))


def placed_of(row: tuple[str, int, str, int, bytes | None]) -> Placed:
    """A row of `PLACED_FOR_JOB`."""
    place, octets, reference, start, data = row
    return Placed(place=Place(place), octets=octets, reference=reference, start=start, data=data or b"")


def drop_octets(rows: Rows, messages: list[int], until: float) -> list[Placed]:
    """Let go of the octets of those messages that no job needs any more, and whose last one ended before `until`.

    What lies in files is to be removed once this is committed.
    """
    dropped = []
    for message_id in messages:
        found = rows.one(_KEPT, message=message_id, until=until)
        if found is None:
            continue
        dropped.append(placed_of((*found, None)))
        rows.change(_GONE, message=message_id)
        rows.change(_DROP_CONTENT, message=message_id)
        rows.change(documented.DROP_THUMBNAILS_OF, message=message_id)
    return dropped


def drop_records(rows: Rows, until: float) -> int:
    """Forget what ended before `until`; returns how many messages."""
    found = rows.all(EXPIRED, where=Place.GONE.value, until=until, most=AT_ONCE)
    for (message_id,) in found:
        for (job_id,) in rows.all(_JOBS_OF, message=message_id):
            rows.change(_DROP_EVENTS, job=job_id)
            rows.change(documented.DROP_DOCUMENTS, job=job_id)
            rows.change(followed.DROP_PROGRESS, job=job_id)
        rows.change(_DROP_JOBS, message=message_id)
        rows.change(_DROP_MESSAGE, message=message_id)
    return len(found)


async def _in_lines(blocks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """A BINARYMIME message as POP3 may send it (RFC 6856 section 2.1), in blocks of at most `most` octets."""
    reencoder = Reencoder(ACCEPTED)
    async for block in blocks:
        for piece in _cut(reencoder.feed(block), most):
            yield piece
    for piece in _cut(reencoder.end(), most):
        yield piece


def _cut(octets: bytes, most: int) -> Iterator[bytes]:
    return (octets[start : start + most] for start in range(0, len(octets), most))


class Keeping:
    """A part of `sql.SqlStore`: octets at rest, from their last job's end to their going."""

    committer: Committer
    _reader: Reader
    _spool: Spool
    _blobs: Blobs
    _keep: float

    async def read(self, job_id: int) -> AsyncIterator[bytes]:
        row = self._reader.one(PLACED_FOR_JOB, job=job_id)
        if row is None:
            raise gone()
        async for block in self._blobs.read(placed_of(row)):
            yield block

    def _read_for_pop3(self, message_id: int, block: int) -> bytes | AsyncIterator[bytes]:
        """As it is, at once, what lies in the database; else in blocks."""
        row = self._reader.one(PLACED, message=message_id)
        if row is None:
            raise gone()
        place, octets, reference, start, data, pop3_octets = row
        if data is not None and not pop3_octets:
            return bytes(data)
        blocks = self._blobs.read(placed_of((place, octets, reference, start, data)), block)
        return _in_lines(blocks, block) if pop3_octets else blocks

    async def kept_until(self, job_id: int) -> float:
        await self.committer.caught_up()
        row = self._reader.one(_UNTIL, job=job_id)
        if row is None:
            return 0.0
        completed_at, place, waiting, ended_at = row
        if not completed_at or place == Place.GONE:
            return 0.0
        # While another job needs the octets their time has not even begun.
        return float(max(ended_at, time.time()) if waiting else ended_at) + self._keep

    async def free_octets(self) -> int:
        return self._spool.free()

    async def used_octets(self) -> int:
        return self._spool.used()

    async def sweep(self, now: float) -> int:
        removed, until = 0, now - self._keep
        for place in (Place.INLINE, Place.SEGMENT, Place.FILE):
            while found := self._reader.all(EXPIRED, where=place.value, until=until, most=AT_ONCE):
                removed += await self._drop([message for (message,) in found], until)

        def drop(rows: Rows) -> int:
            sessions.drop_expired(rows, now)
            return drop_records(rows, now - RECORD_SECONDS)

        while await self.committer.submit(drop, Wanted.LATER):
            pass
        await forgetting.sweep(self.committer, self._reader, now)
        await self._reader.run(lambda: self._blobs.tidy(self._named))
        return removed

    async def _drop(self, messages: list[int], until: float) -> int:
        dropped = await self.committer.submit(lambda rows: drop_octets(rows, messages, until), Wanted.NOW)
        await self._remove(dropped)
        return len(dropped)

    async def _remove(self, dropped: Sequence[Placed]) -> None:
        """Octets whose rows are gone."""
        for placed in dropped:
            if placed.place is not Place.INLINE:
                await asyncio.to_thread(self._blobs.remove, placed, erase=self._keep == 0)

    async def _ended(self, messages: list[int]) -> None:
        """Jobs of these messages ended: octets that no other job needs go at once if nothing is to be kept."""
        if self._keep == 0:
            try:
                for start in range(0, len(messages), AT_ONCE):
                    await self._drop(messages[start : start + AT_ONCE], math.inf)
            except TransientFailure as failure:  # the end itself is durable, and nobody may be told otherwise
                _log.warning("octets that are not to be kept stay until the next sweep: %s", failure.text)

    def _named(self, reference: str) -> int:
        ((end,),) = self._reader.far(NAMED, which=reference)
        return -1 if end is None else int(end)
