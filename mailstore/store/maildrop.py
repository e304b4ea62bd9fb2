"""A POP3 session's hold on a maildrop (RFC 1939 section 4)."""

from __future__ import annotations

import logging
import time
from asyncio import Future
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa

from mailstore.job import JobState
from mailstore.store import fetching, leases
from mailstore.store.committer import Committer, Rows, Steps, Wanted
from mailstore.store.contract import Entry, Lease, LeaseLost, Maildrop, Role
from mailstore.store.reader import Reader
from mailstore.store.schema import ENTRY, JOB, MESSAGE, PRINTER_STATE
from mailstore.store.statement import Statement, given, number, word

BLOCK_OCTETS = 64 * 1024

_ON_LOOP = 200
"""Entries that are read on the loop; what a maildrop has beyond them is read in the reader's thread, in blocks."""
_IN_THREAD = 500

_SERVED = (
    ENTRY.c.maildrop == given("which"),
    JOB.c.state == word(JobState.PENDING),
    ~sa.exists().where(PRINTER_STATE.c.printer == given("which"), PRINTER_STATE.c.paused != number(0)),
)
_ENTRIES = Statement(
    sa.select(ENTRY.c.job_id, ENTRY.c.uid, ENTRY.c.size, ENTRY.c.fields, ENTRY.c.message_id, MESSAGE.c.smtputf8)
    .join(JOB, JOB.c.id == ENTRY.c.job_id)
    .join(MESSAGE, MESSAGE.c.id == ENTRY.c.message_id)
    .where(*_SERVED, ENTRY.c.job_id > given("after"))
    .order_by(ENTRY.c.job_id)
    .limit(given("most"))
    .offset(number(0))
)
_ANY_ENTRY = Statement(
    sa.select(ENTRY.c.job_id).join(JOB, JOB.c.id == ENTRY.c.job_id).where(*_SERVED).limit(number(1)).offset(number(0))
)

_log = logging.getLogger(__name__)


class Maildrops:
    """Opens maildrops for the POP3 sessions of one process.

    `octets` reads a message as POP3 sends it; `ended` hears of messages nobody needs any more.

    Most polls find nothing.  Such a session holds its maildrop in memory alone and writes nothing.  Other sessions see
    that, for they are all in the one appliance that a store has.  The bridge does not, and need not: the session's list
    stays empty, so nothing that the bridge drains meanwhile can be fetched or deleted by it.
    """

    def __init__(
        self,
        committer: Committer,
        reader: Reader,
        role: Role,
        octets: Callable[[int, int], bytes | AsyncIterator[bytes]],
        ended: Callable[[list[int]], Awaitable[None]],
    ) -> None:
        self._committer = committer
        self._reader = reader
        self._role = role
        self._octets = octets
        self._ended = ended
        self._empty: dict[str, EmptyMaildrop] = {}
        self._opening: Counter[str] = Counter()  # leases that are being asked for

    async def open(self, name: str, owner: str, seconds: float) -> Maildrop | None:
        """See `contract.Store.open_maildrop`."""
        now = time.time()
        held = self._empty.get(name)
        if held and held.owner != owner and held.expires > now:
            return None
        self._empty.pop(name, None)
        # While a lease is being asked for, nobody knows who has the maildrop: whoever comes asks behind it.
        if self._role is Role.APPLIANCE and not self._opening[name] and self._nothing_in(name):
            self._empty[name] = held = EmptyMaildrop(self._empty, name, owner, seconds)
            return held
        self._opening[name] += 1
        try:
            return await self._lease(name, owner, now, seconds)
        finally:
            self._opening[name] -= 1
            if not self._opening[name]:
                del self._opening[name]

    def _nothing_in(self, name: str) -> bool:
        lease = self._reader.one(leases.GET, which=leases.MAILDROP + name)
        return (lease is None or not lease[0]) and self._reader.one(_ANY_ENTRY, which=name) is None

    async def _lease(self, name: str, owner: str, now: float, seconds: float) -> Maildrop | None:
        lease = await self._committer.submit(
            lambda rows: leases.acquire(rows, leases.MAILDROP + name, owner, self._role, now, seconds), Wanted.NOW
        )
        if lease is None:
            return None
        held = HeldMaildrop(self._committer, lease, seconds, self._octets, self._ended)
        try:
            held.entries = tuple(await self._entries(name))
        except BaseException:
            await held.close()
            raise
        return held

    async def _entries(self, name: str) -> list[Entry]:
        """Read when the lease is there: what comes in or goes meanwhile is in them, or not."""
        entries = _entries(self._reader.all(_ENTRIES, which=name, after=0, most=_ON_LOOP))
        more = len(entries) == _ON_LOOP
        while more:
            after = entries[-1].job_id
            block = await self._reader.run(lambda after=after: self._far(name, after))  # type: ignore[misc]
            entries += block
            more = len(block) == _IN_THREAD
        return entries

    def _far(self, name: str, after: int) -> list[Entry]:
        return _entries(self._reader.far(_ENTRIES, which=name, after=after, most=_IN_THREAD))


def _entries(rows: list[Any]) -> list[Entry]:
    return [
        Entry(job_id=job_id, uid=uid, size=size, fields=fields, message_id=message_id, smtputf8=bool(smtputf8))
        for job_id, uid, size, fields, message_id, smtputf8 in rows
    ]


class EmptyMaildrop:
    """See `contract.Maildrop`; it stands under its name in `held` while it is open, and nothing is in it."""

    def __init__(self, held: dict[str, EmptyMaildrop], name: str, owner: str, seconds: float) -> None:
        self._held = held
        self._name = name
        self._seconds = seconds
        self.owner = owner
        self.expires = time.time() + seconds
        self.entries: Sequence[Entry] = ()

    def read(self, entry: Entry) -> AsyncIterator[bytes]:
        raise _not_in(entry)

    async def retrieving(self, entry: Entry) -> None:
        raise _not_in(entry)

    async def renew(self) -> None:
        if self._held.get(self._name) is not self:
            raise LeaseLost(self._name)
        self.expires = time.time() + self._seconds

    async def update(self, deleted: Collection[Entry]) -> None:
        for entry in deleted:
            raise _not_in(entry)
        await self.close()

    async def close(self) -> None:
        if self._held.get(self._name) is self:
            del self._held[self._name]


def _not_in(entry: Entry) -> ValueError:
    return ValueError(f"job {entry.job_id} is not in this maildrop")


class HeldMaildrop:
    """See `contract.Maildrop`, and `Maildrops`."""

    def __init__(
        self,
        committer: Committer,
        lease: Lease,
        seconds: float,
        octets: Callable[[int, int], bytes | AsyncIterator[bytes]],
        ended: Callable[[list[int]], Awaitable[None]],
    ) -> None:
        self._committer = committer
        self._lease = lease
        self._seconds = seconds
        self._octets = octets
        self._ended = ended
        self._open = True
        self._retrieved = 0
        self._claims: list[int] = []  # of the claim that was submitted last, while it has not begun
        self.entries: Sequence[Entry] = ()

    async def read(self, entry: Entry) -> AsyncIterator[bytes]:
        octets = self._octets(entry.message_id, BLOCK_OCTETS)
        if isinstance(octets, bytes):
            yield entry.fields + octets
            return
        yield entry.fields
        async for block in octets:
            yield block

    async def retrieving(self, entry: Entry) -> None:
        self._retrieved += 1
        self._claims.append(entry.job_id)
        if len(self._claims) == fetching.AT_ONCE:
            self._claims = []
        elif len(self._claims) == 1:
            self._claim(self._claims)

    def _claim(self, claims: list[int]) -> None:
        """Submit them, and those that join before the rows are written."""
        lease, now = self._lease, time.time()

        def close() -> None:
            if self._claims is claims:
                self._claims = []

        def work(rows: Rows) -> None:
            close()
            fetching.retrieving(rows, lease, claims, now)

        def done(future: Future[None]) -> None:
            close()  # it may have failed before it began
            _log_failure(future)

        # Not waited for: `update` and `close` come after it in the same order, and only they count.
        self._committer.submit(work, Wanted.LATER).add_done_callback(done)

    async def renew(self) -> None:
        lease, now, seconds = self._lease, time.time(), self._seconds
        self._lease = await self._committer.submit(lambda rows: leases.renew(rows, lease, now, seconds), Wanted.LATER)

    async def update(self, deleted: Collection[Entry]) -> None:
        lease, now = self._lease, time.time()

        def steps(rows: Rows) -> Steps[list[int]]:
            messages = yield from fetching.fetched(rows, lease, [entry.job_id for entry in deleted], now)
            while leases.give_back(rows, lease, now, fetching.AT_ONCE):  # what was retrieved and stays
                yield
            leases.release(rows, lease, now)
            return messages

        if max(len(deleted), self._retrieved) > fetching.AT_ONCE:
            messages = await self._committer.submit_long(steps, instant="4")
        else:
            messages = await self._committer.submit(lambda rows: _at_once(steps(rows)), instant="4")
        self._open = False
        await self._ended(messages)

    async def close(self) -> None:
        if not self._open:
            return
        self._open = False
        lease, now = self._lease, time.time()
        for _ in range(0, self._retrieved, fetching.AT_ONCE):
            if not await self._committer.submit(
                lambda rows: leases.give_back(rows, lease, now, fetching.AT_ONCE), Wanted.NOW
            ):
                break
        await self._committer.submit(lambda rows: leases.release(rows, lease, now), Wanted.NOW)


def _at_once(steps: Steps[list[int]]) -> list[int]:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            messages: list[int] = end.value
            return messages


def _log_failure(future: Future[None]) -> None:
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, LeaseLost):
        _log.warning("a retrieval was not noted: %s", error)
