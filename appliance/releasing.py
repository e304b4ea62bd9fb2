"""Releasing a job by the code that its sender was told, for whoever stands at the printer and types it.

Security: whoever reaches the page may guess, and needs no name.  A code has eight digits, and each client has few wrong
ones (`guessing`, and outside the site's networks `BY_ONE` an hour).  A botnet has many clients, so wrong codes are
counted over all of them as well: from outside `FROM_OUTSIDE` an hour, that is 1,440 a day of 100 million codes.  While
100 jobs wait, one of them is hit in 694 days, and to try every code takes 190 years.  Inside, where whoever guesses
could walk to the printer too, ten times as many; the two are counted apart, so that nobody elsewhere keeps the site's
people from their paper.  What a hit wins is a job that comes out early on its own printer, and how many pages it has:
names and senders are not told.  A code that never was, one that was used and one that is over get the same answer.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import structlog
from cachetools import TTLCache
from prometheus_client import Counter

from appliance.guessing import REMEMBERED, Guesses, TooManyGuesses
from appliance.peer import Network, customer, end_site, plain_ip, within
from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job
from mailstore.store.contract import Store
from mailstore.store.waits import CODE_DIGITS

WRONG: Final = Counter("printpost_release_codes_wrong_total", "Codes that were typed and release nothing")

FROM_OUTSIDE: Final = 60
FROM_INSIDE: Final = 600
"""Wrong codes of all clients together that are looked at within an hour."""
BY_ONE: Final = 6
"""The same of one client outside, an IPv4 address or an IPv6 /48: it takes ten to keep all others out."""
HOUR: Final = 3600.0
_NAME, _NAME_INSIDE = "+release", "+release-inside"  # as which the guesses count it; no login can have such a name
_BETWEEN = re.compile(r"[\s.-]+")
_CODE = re.compile(rf"[0-9]{{{CODE_DIGITS}}}")

log = structlog.get_logger()


class NoSuchCode(PermanentFailure):
    """No job waits for this code now."""

    def __init__(self) -> None:
        super().__init__(
            "5.1.1", "no job waits for this code; see whether it is typed right, and whether its time is over"
        )


class TooManyCodes(TooManyGuesses):
    """Too many wrong codes lately, by this client or by all."""

    def __init__(self) -> None:
        super().__init__()
        self.text = (
            "too many wrong codes were typed lately; try again in some minutes, or log in and release the job there"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A job that a code releases, as far as whoever knows the code may know."""

    job: Job
    printer: Printer | None  # None while nobody knows where it stands


class Bound:
    """Wrong ones of many: a bucket of `most`, filled again within an hour.  `clock` is a monotonic one."""

    def __init__(self, most: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock = clock
        self._left = float(most)
        self._at = clock()

    def take(self) -> None:
        """One is tried, which counts before it is judged.  Raises `TooManyCodes`."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._at) * self._most / HOUR)
        self._at = now
        if self._left < 1:
            raise TooManyCodes
        self._left -= 1

    def give_back(self) -> None:
        """It was not wrong."""
        self._left = min(self._most, self._left + 1)


class Releases:
    """Codes that are typed at the page.  `networks` are those of the site (`policy.insiders`)."""

    def __init__(
        self,
        store: Store,
        directory: Directory,
        guesses: Guesses,
        networks: Collection[Network],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._directory = directory
        self._guesses = guesses
        self._networks = tuple(networks)
        self._clock = clock
        self._clients: TTLCache[int, Bound] = TTLCache(REMEMBERED, HOUR, timer=clock)
        self._inside = Bound(FROM_INSIDE, clock=clock)
        self._outside = Bound(FROM_OUTSIDE, clock=clock)

    async def find(self, client: str, text: str) -> Found:
        """What the code that `client` typed releases.  Raises `NoSuchCode`, `TooManyCodes` or `TransientFailure`."""
        job = await self._looked_up(client, read(text))
        try:
            printer = await self._directory.printer(job.printer)
        except TransientFailure:
            printer = None
        return Found(job=job, printer=printer)

    async def release(self, client: str, text: str) -> Found:
        """Let it go on; raises as `find`."""
        found = await self.find(client, text)
        await release(self._store, found.job, f"the code, typed at {client}")
        return found

    async def _looked_up(self, client: str, code: str) -> Job:
        if not code:  # what cannot be a code is a slip of the finger
            raise NoSuchCode
        try:
            bounds = self._bounds(client)
            name = _NAME_INSIDE if self._inside in bounds else _NAME
            async with self._guesses.trying(client, name, patient=False) as trial:
                job = await self._judged(bounds, code)
                if job is not None:
                    trial.right()
        except TooManyCodes:
            raise
        except TooManyGuesses:
            raise TooManyCodes from None
        if job is None:
            WRONG.inc()
            log.info("release code that releases nothing", client=client)
            raise NoSuchCode
        return job

    async def _judged(self, bounds: Sequence[Bound], code: str) -> Job | None:
        for bound in bounds:
            bound.take()
        job, wrong = None, True
        try:
            job = await self._store.job_by_code(code)
            wrong = job is None
        except TransientFailure:
            wrong = False
            raise
        finally:
            if not wrong:
                for bound in bounds:
                    bound.give_back()
        return job

    def _bounds(self, client: str) -> Sequence[Bound]:
        """The client's own first: one that has used it up takes nothing from the others."""
        try:
            ip = plain_ip(client)
        except PermanentFailure:  # a host that is no address
            return (self._outside,)
        if within(ip, self._networks):
            return (self._inside,)
        whose = end_site(ip) or customer(ip)
        if (own := self._clients.get(whose)) is None:
            own = self._clients[whose] = Bound(BY_ONE, clock=self._clock)
        return own, self._outside


def read(text: str) -> str:
    """The code that somebody typed, however he parted its digits; "" for what cannot be one."""
    code = _BETWEEN.sub("", text[:100])
    return code if _CODE.fullmatch(code) else ""


async def by_code(store: Store, text: str, by: str) -> Job:
    """Release the job of this code for somebody who may do everything.  Raises `NoSuchCode`."""
    code = read(text)
    job = await store.job_by_code(code) if code else None
    if job is None:
        raise NoSuchCode
    await release(store, job, by)
    return job


async def release(store: Store, job: Job, by: str) -> None:
    """Raises `NoSuchCode` if somebody was quicker."""
    if not await store.unhold(job.id, by):
        raise NoSuchCode
