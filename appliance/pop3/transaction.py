# ruff: noqa: N802 - commands are methods by their verbs, as in Twisted's class
"""The TRANSACTION state of one session (RFC 1939 section 5): a maildrop that is held, and UPDATE at its end.

Security: whoever speaks here has a password, and is a printer or a person, not a friend.  Nothing is removed but by
QUIT.  A message goes out under its dots by `stuffing`; once a part of it is said, only the rest may follow, or the end
of the connection, for all else would be read as the message's own octets.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence

import structlog
from prometheus_client import Counter

from appliance.pop3.connection import Connection, Gone
from appliance.pop3.login import Account
from appliance.pop3.messages import Messages
from appliance.pop3.renewal import Renewal
from appliance.pop3.stuffing import Stuffer, Surrogate, Top
from mailstore.failure import Failure
from mailstore.store.contract import Entry, LeaseLost, Maildrop

RETRIEVED = Counter("printpost_pop3_messages_retrieved_total", "Messages sent whole by RETR.")
RETRIEVED_OCTETS = Counter("printpost_pop3_retrieved_bytes_total", "Octets of the messages sent by RETR.")
DELETED = Counter("printpost_pop3_messages_deleted_total", "Messages removed at the end of a session.")

_WRITE_OCTETS = 32 * 1024
_LINES_AT_ONCE = 500
_JOBS_LOGGED = 20


class Transaction:
    """From the login to `close`.  `came` is when it began."""

    def __init__(
        self,
        line: Connection,
        account: Account,
        maildrop: Maildrop,
        lease: float,
        log: structlog.typing.FilteringBoundLogger,
        *,
        utf8: bool,
    ) -> None:
        """`lease`: seconds for which the maildrop is held, renewed at a third of it; `utf8`: the client said UTF8."""
        self.account = account
        self.came = time.time()
        self._line = line
        self._maildrop = maildrop
        self._utf8 = utf8
        self._messages = Messages(maildrop.entries)
        self._renewal = Renewal(maildrop, lease / 3, self._lease_lost, log)
        self._log = log
        self._retrieved = self._retrieved_octets = 0
        self._retrieved_jobs: list[int] = []

    @property
    def messages(self) -> int:
        """How many are not deleted."""
        return len(self._messages)

    def summary(self) -> str:
        return f"{len(self._messages)} messages ({self._messages.octets} octets)"

    def _lease_lost(self) -> None:
        if not self._line.leaving:
            self._log.warning("pop3 maildrop lost to another session")
            self._line.abort()

    # -- commands

    def do_STAT(self) -> None:
        self._line.ok(f"{len(self._messages)} {self._messages.octets}")

    async def do_LIST(self, i: int | None = None) -> None:
        await self._list(i, lambda number, entry: f"{number} {entry.size}")

    async def do_UIDL(self, i: int | None = None) -> None:
        await self._list(i, lambda number, entry: f"{number} {entry.uid}")

    async def _list(self, number: int | None, line: Callable[[int, Entry], str]) -> None:
        if number is not None:
            self._line.ok(line(number, self._messages.entry(number)))
            return
        self._line.ok(self.summary())
        listed = iter(self._messages)
        while some := [f"{line(n, entry)}\r\n" for n, entry in itertools.islice(listed, _LINES_AT_ONCE)]:
            self._line.write("".join(some).encode())
            await asyncio.sleep(0)  # there may be room for all of it, and others wait
            await self._line.writable()
        self._line.write(b".\r\n")

    async def do_RETR(self, i: int) -> None:
        entry = self._messages.entry(i)
        await self._maildrop.retrieving(entry)
        await self._send(b"+OK %d octets\r\n" % entry.size, self._octets(entry))
        self._retrieved += 1
        self._retrieved_octets += entry.size
        if self._retrieved <= _JOBS_LOGGED:
            self._retrieved_jobs.append(entry.job_id)
        RETRIEVED.inc()
        RETRIEVED_OCTETS.inc(entry.size)

    async def do_TOP(self, i: int, size: int) -> None:
        entry = self._messages.entry(i)
        await self._send(b"+OK\r\n", _cut(self._octets(entry), Top(size)))

    def _octets(self, entry: Entry) -> AsyncIterator[bytes]:
        octets = self._maildrop.read(entry)
        # Not refused by [UTF8]: an old printer would ask for it for ever, and what is behind it would wait as long.
        return octets if self._utf8 or not entry.smtputf8 else _in_ascii(octets)

    async def _send(self, first: bytes, blocks: AsyncIterator[bytes]) -> None:
        """A multi-line response."""
        stuffer, pending, begun = Stuffer(), first, False
        try:
            async for block in blocks:
                pending += stuffer.feed(block)
                if len(pending) >= _WRITE_OCTETS:
                    self._line.write(pending)
                    pending, begun = b"", True
                    await asyncio.sleep(0)  # there may be room for all of it, and others wait
                    await self._line.heard()
        except Failure as failure:
            if not begun:
                raise
            self._log.warning("pop3 message broken off", reason=failure.text)
            self._line.abort()
            raise Gone from None
        self._line.write(pending + stuffer.end())
        await self._line.heard()

    def do_DELE(self, i: int) -> None:
        self._messages.delete(i)
        self._line.ok(f"message {i} deleted")

    def do_NOOP(self) -> None:
        self._line.ok("still here")

    def do_RSET(self) -> None:
        self._messages.reset()
        self._line.ok(self.summary())

    # -- ends

    def _tell(self) -> None:
        """One line for all that was retrieved: with a line for each, a tenth of a small message's time was its."""
        if self._retrieved:
            jobs, octets = self._retrieved_jobs, self._retrieved_octets
            self._log.info("pop3 retrieved", messages=self._retrieved, octets=octets, jobs=jobs)
        self._retrieved = self._retrieved_octets = 0
        self._retrieved_jobs = []

    async def update(self) -> bool:
        """Section 6: UPDATE is one transaction; if it fails nothing was removed, and this is False."""
        self._tell()
        deleted: Sequence[Entry] = self._messages.deleted
        if not deleted:
            return True
        try:
            await self._maildrop.update(deleted)
        except (Failure, LeaseLost) as failure:
            self._log.error("pop3 messages not removed", reason=str(failure))
            return False
        DELETED.inc(len(deleted))
        self._log.info("pop3 deleted", messages=len(deleted), jobs=[entry.job_id for entry in deleted[:_JOBS_LOGGED]])
        return True

    async def close(self) -> None:
        """Give the maildrop back.  May be called more than once."""
        self._tell()
        await self._renewal.end()
        try:
            await self._maildrop.close()
        except (Failure, LeaseLost) as failure:
            self._log.warning("pop3 maildrop not released, its lease will run out", reason=str(failure))


async def _in_ascii(blocks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    surrogate = Surrogate()
    async for block in blocks:
        yield surrogate.feed(block)


async def _cut(blocks: AsyncIterator[bytes], top: Top) -> AsyncIterator[bytes]:
    async for block in blocks:
        yield top.feed(block)
        if top.done:
            return
