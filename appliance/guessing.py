"""How many wrong passwords a client and a name have, over all the ports of a process that take passwords.

`async with guesses.trying(client, name) as trial:` stands round the judgement, and `trial.right()` within it says that
the password was right.

Security: whoever reaches a port may try passwords, over many connections at once, and names that do not exist.  A
client (an IPv4 address, an IPv6 /64) has a few wrong ones in a while; each further try waits longer than the last, one
at a time, and then there is none for the rest of the while.  A try counts before it is judged, so many at once gain
nothing.  Who has a whole IPv6 /48 has 65536 clients: beyond a few times as many together, its tries wait one at a time
as well.  Many wrong ones for one name by all clients together make those slower who have been wrong themselves, and
nobody else, so no stranger elsewhere can shut the owner out.  Behind the same address a name that has logged in from
there lately is counted for itself, so a printer that polls with the right password waits for no neighbour, but for one
who guesses at that very name.  What is remembered is bounded; what was used least goes first, and to push a count out
costs more tries than it saves.  So are those who wait: a client may hang up and leave its tries in line behind it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import structlog
from cachetools import TTLCache
from prometheus_client import Counter

from appliance.peer import Address, customer, end_site, plain_ip
from mailstore.failure import Failure, PermanentFailure, TransientFailure

DELAYED = Counter("printpost_password_guesses_delayed_total", "Passwords that waited because of wrong ones before")
REFUSED = Counter("printpost_password_guesses_refused_total", "Passwords not looked at because of wrong ones before")

WHILE: Final = 300.0
"""Seconds from the first wrong one to the end of the count."""
FREE: Final = 10
"""Wrong ones by one client."""
BY_ALL: Final = 5
"""How many times as many by all clients for one name make a client wait who has been wrong himself, and how many times
as many by an IPv6 /48 make all of it wait."""
DELAYS: Final = 10
"""Tries that wait, each longer than the one before."""
LONGEST: Final = 30.0
"""Seconds that one waits, at most."""
IN_LINE: Final = 60.0
"""Seconds for which a try waits for others of the same client that are judged."""
LINE: Final = 100
"""Tries of one client that wait so."""
REMEMBERED: Final = 10_000
"""Clients, /48s, names, and names that are counted for themselves."""
KNOWN: Final = 20_000
KNOWN_FOR: Final = 86400.0
"""Who logged in, and from where."""


log = structlog.get_logger()


class TooManyGuesses(TransientFailure):
    """Too many wrong passwords lately."""

    def __init__(self) -> None:
        super().__init__("4.7.0", "too many wrong passwords; wait five minutes and try again")


@dataclass(slots=True)
class Trial:
    """One password that is judged: wrong, unless `right` is called or the judgement fails."""

    was_right: bool = False

    def right(self) -> None:
        self.was_right = True


@dataclass(slots=True, kw_only=True)
class _Tally:
    free: int
    most: float = math.inf  # how far beyond the free ones it counts
    wrong: int = 0  # and those that are judged, which may be
    judged: int = 0  # that have begun and not ended
    waiting: int = 0
    change: asyncio.Event = field(default_factory=asyncio.Event)  # another one for each that ends

    @property
    def beyond(self) -> float:
        """How many wrong ones there were beyond the free ones; below 0, the next is free."""
        return min(self.wrong - self.free, self.most)

    def begin(self) -> None:
        self.wrong += 1
        self.judged += 1

    def end(self, *, wrong: bool) -> None:
        self.wrong -= not wrong
        self.judged -= 1
        self.change.set()
        self.change = asyncio.Event()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counts:
    """What counts one try."""

    own: _Tally  # of the client, or of the name from there
    site: _Tally | None = None  # of its /48
    name: _Tally | None = None

    def __iter__(self) -> Iterator[_Tally]:
        return (tally for tally in (self.own, self.site, self.name) if tally)

    @property
    def beyond(self) -> float:
        # One mistake must not be enough for a stranger to make the owner of a name wait.
        return max(tally.beyond for tally in self if tally is not self.name or self.own.wrong)

    @property
    def ahead(self) -> _Tally | None:
        """One of whose tries must be judged before this one, for it may be right."""
        if self.beyond < 0:
            return None
        if self.own.judged:
            return self.own
        return self.site if self.site and self.site.judged and self.site.beyond >= 0 else None


_Key = TypeVar("_Key", bound=Hashable)
_Pair = tuple[Hashable, str]


class Guesses:
    """Of one process; `clock` is a monotonic one, `first` the seconds that the first try beyond the free ones waits."""

    def __init__(self, free: int = FREE, *, clock: Callable[[], float] = time.monotonic, first: float = 1.0) -> None:
        self._free = free
        self._first = first
        self._clients: TTLCache[Hashable, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._sites: TTLCache[int, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._names: TTLCache[str, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._pairs: TTLCache[_Pair, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._known: TTLCache[_Pair, bool] = TTLCache(KNOWN, KNOWN_FOR, timer=clock)
        self._waits: set[asyncio.Timeout] = set()
        self._closed = False

    @asynccontextmanager
    async def trying(self, client: str, name: str, *, patient: bool = True) -> AsyncIterator[Trial]:
        """Judge a password within; it is entered when this client may try one for this name.

        Who is not `patient` is refused where others would wait longer and longer.  Raises `TooManyGuesses`, and
        `TransientFailure` ("4.3.2") for one that would wait when `close` was called.  A `Failure` that leaves it says
        that nobody knows whether the password was right, and it does not count.
        """
        ip, name = _address(client), name.lower()[:255]
        pair = (customer(ip) if ip else client, name)
        try:
            delay, counts = await self._begin(pair, ip, patient)
        except TooManyGuesses:
            REFUSED.inc()
            log.info("password not looked at", client=client)
            raise
        trial, wrong = Trial(), True
        try:
            if delay:
                DELAYED.inc()
                async with self._wait(None):
                    await asyncio.sleep(delay)
            yield trial
            wrong = not trial.was_right
        except Failure:
            wrong = False
            raise
        finally:
            for tally in counts:
                tally.end(wrong=wrong)
            if trial.was_right:
                self._known[pair] = True

    def close(self) -> None:
        """The ports close: nobody waits any more, and nobody will."""
        self._closed = True
        now = asyncio.get_running_loop().time()
        for wait in self._waits:
            if not wait.expired():
                wait.reschedule(now)

    async def _begin(self, pair: _Pair, ip: Address | None, patient: bool) -> tuple[float, _Counts]:
        """How long this try waits, and what counts it from now on."""
        first = self._counts(pair, ip)
        if _too_many(first.own.beyond - first.own.judged, patient) or first.own.waiting >= LINE:
            raise TooManyGuesses
        first.own.waiting += 1
        try:
            async with self._wait(IN_LINE):
                while ahead := (counts := self._counts(pair, ip)).ahead:
                    await ahead.change.wait()
        except TimeoutError:
            patient = False
        finally:
            first.own.waiting -= 1
        beyond = counts.beyond
        if _too_many(beyond, patient):
            raise TooManyGuesses
        for tally in counts:
            tally.begin()
        return min(LONGEST, self._first * 2.0**beyond) if beyond >= 0 else 0.0, counts

    @asynccontextmanager
    async def _wait(self, seconds: float | None) -> AsyncIterator[None]:
        """What is done within ends after so long, by `TimeoutError`, and when `close` is called."""
        try:
            async with asyncio.timeout(0.0 if self._closed else seconds) as wait:
                self._waits.add(wait)
                try:
                    yield
                finally:
                    self._waits.discard(wait)
        except TimeoutError:
            if self._closed:
                raise TransientFailure("4.3.2", "shutting down, try again later") from None
            raise

    def _counts(self, pair: _Pair, ip: Address | None) -> _Counts:
        if pair in self._known:
            return _Counts(own=_of(self._pairs, pair, self._free))
        site = end_site(ip) if ip else None
        together, slow = BY_ALL * self._free, DELAYS - 1  # they make slow, but never shut out
        return _Counts(
            own=_of(self._clients, pair[0], self._free),
            site=None if site is None else _of(self._sites, site, together, slow),
            name=_of(self._names, pair[1], together, slow),
        )


def _of(tallies: TTLCache[_Key, _Tally], key: _Key, free: int, most: float = math.inf) -> _Tally:
    if (tally := tallies.get(key)) is None:
        tally = tallies[key] = _Tally(free=free, most=most)
    return tally


def _too_many(beyond: float, patient: bool) -> bool:
    return beyond >= (DELAYS if patient else 0)


def _address(host: str) -> Address | None:
    try:
        return plain_ip(host)
    except PermanentFailure:  # a host that is no address
        return None
