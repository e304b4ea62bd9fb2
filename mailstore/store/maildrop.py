"""A POP3 session's hold on a maildrop (RFC 1939 section 4)."""

from __future__ import annotations

import logging
import time
from asyncio import Future
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence

import sqlalchemy as sa

from mailstore.job import JobState
from mailstore.mime import ACCEPTED
from mailstore.reencode import Reencoder
from mailstore.store import jobs, leases
from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.contract import Entry, Lease, LeaseLost, Role
from mailstore.store.schema import ENTRY, JOB, PRINTER_STATE
from mailstore.store.statement import Statement, given, number, word

BLOCK_OCTETS = 64 * 1024

_ENTRIES = Statement(
    sa.select(ENTRY.c.job_id, ENTRY.c.uid, ENTRY.c.size, ENTRY.c.fields, ENTRY.c.message_id)
    .join(JOB, JOB.c.id == ENTRY.c.job_id)
    .where(
        ENTRY.c.maildrop == given("which"),
        JOB.c.state == word(JobState.PENDING),
        ~sa.exists().where(PRINTER_STATE.c.printer == given("which"), PRINTER_STATE.c.paused != number(0)),
    )
    .order_by(ENTRY.c.job_id)
)

_log = logging.getLogger(__name__)


def open_rows(
    rows: Rows, name: str, owner: str, role: Role, now: float, seconds: float
) -> tuple[Lease, tuple[Entry, ...]] | None:
    """The lease and the entries of one moment, or None if somebody else holds it."""
    lease = leases.acquire(rows, leases.MAILDROP + name, owner, role, now, seconds)
    if lease is None:
        return None
    return lease, tuple(
        Entry(job_id=job_id, uid=uid, size=size, fields=fields, message_id=message_id)
        for job_id, uid, size, fields, message_id in rows.all(_ENTRIES, which=name)
    )


async def in_lines(blocks: AsyncIterator[bytes], most: int) -> AsyncIterator[bytes]:
    """A BINARYMIME message as POP3 may send it (RFC 6856 section 2.1), in blocks of at most `most` octets."""
    reencoder = Reencoder(ACCEPTED)
    async for block in blocks:
        for piece in _cut(reencoder.feed(block), most):
            yield piece
    for piece in _cut(reencoder.end(), most):
        yield piece


def _cut(octets: bytes, most: int) -> Iterator[bytes]:
    return (octets[start : start + most] for start in range(0, len(octets), most))


class HeldMaildrop:
    """See `contract.Maildrop`.

    `octets` reads a message as POP3 sends it; `ended` hears of messages nobody needs any more.
    """

    def __init__(
        self,
        committer: Committer,
        lease: Lease,
        entries: Sequence[Entry],
        seconds: float,
        octets: Callable[[int, int], AsyncIterator[bytes]],
        ended: Callable[[list[int]], Awaitable[None]],
    ) -> None:
        self._committer = committer
        self._lease = lease
        self._seconds = seconds
        self._octets = octets
        self._ended = ended
        self._open = True
        self.entries = entries

    async def read(self, entry: Entry) -> AsyncIterator[bytes]:
        yield entry.fields
        async for block in self._octets(entry.message_id, BLOCK_OCTETS):
            yield block

    async def retrieving(self, entry: Entry) -> None:
        lease, now = self._lease, time.time()
        # Not waited for: `update` and `close` come after it in the same order, and only they count.
        self._committer.submit(
            lambda rows: jobs.claim(rows, lease, entry.job_id, ("job-printing",), now), Wanted.LATER
        ).add_done_callback(_log_failure)

    async def renew(self) -> None:
        lease, now, seconds = self._lease, time.time(), self._seconds
        self._lease = await self._committer.submit(lambda rows: leases.renew(rows, lease, now, seconds), Wanted.LATER)

    async def update(self, deleted: Collection[Entry]) -> None:
        lease, now = self._lease, time.time()

        def work(rows: Rows) -> list[int]:
            messages = jobs.fetched(rows, lease, [entry.job_id for entry in deleted], now)
            leases.release(rows, lease, now)
            return messages

        messages = await self._committer.submit(work, instant="4")
        self._open = False
        await self._ended(messages)

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        lease, now = self._lease, time.time()
        await self._committer.submit(lambda rows: leases.release(rows, lease, now), Wanted.NOW)


def _log_failure(future: Future[bool]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, LeaseLost):
        _log.warning("a retrieval was not noted: %s", error)
