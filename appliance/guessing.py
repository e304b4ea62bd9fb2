"""How many wrong passwords a client and a name have, over all the ports of a process that take passwords.

`async with guesses.trying(client, name) as trial:` stands round the judgement, and `trial.right()` within it says that
the password was right.

Security: whoever reaches a port may try passwords, over many connections at once, and names that do not exist.  A
client (an IPv4 address, an IPv6 /64) has a few wrong ones in a while; each further try waits longer than the last, one
at a time, and then there is none for the rest of the while.  A try counts before it is judged, so many at once gain
nothing.  Many wrong ones for one name by all clients together make those slower who have been wrong themselves, and
nobody else, so no stranger can shut the owner out.  Nor can one who stands behind the same address: a name that has
logged in from there lately is counted for itself, so a printer that polls with the right password never waits.  What is
remembered is bounded; what was used least goes first, and to push a count out costs more tries than it saves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cachetools import TTLCache
from prometheus_client import Counter

from appliance.peer import customer, plain_ip
from mailstore.failure import Failure, PermanentFailure, TransientFailure

DELAYED = Counter("printpost_password_guesses_delayed_total", "Passwords that waited because of wrong ones before")
REFUSED = Counter("printpost_password_guesses_refused_total", "Passwords not looked at because of wrong ones before")

WHILE: Final = 300.0
"""Seconds from the first wrong one to the end of the count."""
FREE: Final = 10
"""Wrong ones by one client."""
BY_ALL: Final = 5
"""How many times as many by all clients for one name make a client wait who has been wrong himself."""
DELAYS: Final = 10
"""Tries that wait, each longer than the one before."""
LONGEST: Final = 30.0
"""Seconds that one waits, at most."""
IN_LINE: Final = 60.0
"""Seconds for which a try waits for others of the same client that are judged."""
REMEMBERED: Final = 10_000
"""Clients, names, and names that are counted for themselves."""
KNOWN: Final = 20_000
KNOWN_FOR: Final = 86400.0
"""Who logged in, and from where."""


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


@dataclass(slots=True)
class _Tally:
    wrong: int = 0  # and those that are judged, which may be
    judged: int = 0  # that have begun and not ended
    change: asyncio.Event = field(default_factory=asyncio.Event)  # another one for each that ends

    def begin(self) -> None:
        self.wrong += 1
        self.judged += 1

    def end(self, *, wrong: bool) -> None:
        self.wrong -= not wrong
        self.judged -= 1
        self.change.set()
        self.change = asyncio.Event()


_Key = TypeVar("_Key", bound=Hashable)
_Pair = tuple[Hashable, str]


class Guesses:
    """Of one process; `clock` is a monotonic one, `first` the seconds that the first try beyond the free ones waits."""

    def __init__(self, free: int = FREE, *, clock: Callable[[], float] = time.monotonic, first: float = 1.0) -> None:
        self._free = free
        self._first = first
        self._clients: TTLCache[Hashable, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._names: TTLCache[str, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._pairs: TTLCache[_Pair, _Tally] = TTLCache(REMEMBERED, WHILE, timer=clock)
        self._known: TTLCache[_Pair, bool] = TTLCache(KNOWN, KNOWN_FOR, timer=clock)

    @asynccontextmanager
    async def trying(self, client: str, name: str, *, patient: bool = True) -> AsyncIterator[Trial]:
        """Judge a password within; it is entered when this client may try one for this name.

        Who is not `patient` is refused where others would wait longer and longer.  Raises `TooManyGuesses`.  A
        `Failure` that leaves it says that nobody knows whether the password was right, and it does not count.
        """
        pair = (_client(client), name.lower()[:255])
        delay, tallies = await self._begin(pair, patient)
        trial, wrong = Trial(), True
        try:
            if delay:
                DELAYED.inc()
                await asyncio.sleep(delay)
            yield trial
            wrong = not trial.was_right
        except Failure:
            wrong = False
            raise
        finally:
            for tally in tallies:
                tally.end(wrong=wrong)
            if trial.was_right:
                self._known[pair] = True

    async def _begin(self, pair: _Pair, patient: bool) -> tuple[float, list[_Tally]]:
        """How long this try waits, and what counts it from now on."""
        try:
            async with asyncio.timeout(IN_LINE):
                while (beyond := self._beyond(tallies := self._tallies(pair))) >= 0 and tallies[0].judged:
                    await tallies[0].change.wait()  # it may have been right
        except TimeoutError:
            patient = False
        if beyond >= (DELAYS if patient else 0):
            REFUSED.inc()
            raise TooManyGuesses
        for tally in tallies:
            tally.begin()
        return min(LONGEST, self._first * 2.0**beyond) if beyond >= 0 else 0.0, tallies

    def _tallies(self, pair: _Pair) -> list[_Tally]:
        """The one that decides, and that of the name, unless this client knows its password."""
        if pair in self._known:
            return [_of(self._pairs, pair)]
        return [_of(self._clients, pair[0]), _of(self._names, pair[1])]

    def _beyond(self, tallies: list[_Tally]) -> int:
        """How many wrong ones there were beyond the free ones; below 0, this one is free."""
        own, *names = tallies
        beyond = own.wrong - self._free
        if own.wrong and names:
            # It makes slow, but never shuts out, or one mistake would be enough for a stranger to do so.
            beyond = max(beyond, min(names[0].wrong - BY_ALL * self._free, DELAYS - 1))
        return beyond


def _of(tallies: TTLCache[_Key, _Tally], key: _Key) -> _Tally:
    if (tally := tallies.get(key)) is None:
        tally = tallies[key] = _Tally()
    return tally


def _client(host: str) -> Hashable:
    try:
        return customer(plain_ip(host))
    except PermanentFailure:  # a host that is no address
        return host
