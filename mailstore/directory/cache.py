"""What a process remembers of the directory, and when it stops asking a dead one.

Security: RCPT commands of strangers decide what is looked up.  Hits and misses are remembered apart, so that a
dictionary attack cannot push the site's printers out, and both are bounded.  Of a password only a keyed hash is kept,
under a key that lives and dies with the process.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from cachetools import LRUCache, TTLCache
from prometheus_client import Counter

from mailstore.failure import TransientFailure

CACHE_REQUESTS = Counter("printpost_directory_cache_requests_total", "Look-ups in the directory cache.")
CACHE_HITS = Counter("printpost_directory_cache_hits_total", "Look-ups that the directory cache answered.")

FRESH = 60.0  # seconds for which a hit is believed
MISSING = 10.0  # seconds for which a miss is believed
STALE = 3600.0  # seconds for which a hit is better than no answer
PATIENCE = 1.0  # seconds that a question waits whose old answer would do
PASSWORD = 600.0  # seconds for which a password that bound is believed

_V = TypeVar("_V")
Clock = Callable[[], float]


class Unusable(TransientFailure):
    """The directory answered, and what it has cannot be used: an answer to be remembered, not an outage."""

    def __init__(self, text: str) -> None:
        super().__init__("4.3.5", text)


class Questions(Generic[_V]):
    """What is being asked: of equal questions at one time only the first is put."""

    def __init__(self) -> None:
        self._pending: dict[Hashable, asyncio.Task[_V]] = {}
        self._running: set[asyncio.Task[_V]] = set()

    async def ask(self, key: Hashable, put: Callable[[], Coroutine[Any, Any, _V]]) -> _V:
        """What `put()` returns, or what it returns to the one who asked before.  It goes on though all may leave."""
        return await asyncio.shield(self._pending.get(key) or self._start(key, put()))

    def forget(self) -> None:
        """Who asks from now on puts a question of its own."""
        self._pending.clear()

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, key: Hashable, question: Coroutine[Any, Any, _V]) -> asyncio.Task[_V]:
        def ended(task: asyncio.Task[_V]) -> None:
            self._running.discard(task)
            if self._pending.get(key) is task:
                del self._pending[key]
            if not task.cancelled():
                task.exception()  # seen, even if all who waited have gone

        task = self._pending[key] = asyncio.create_task(question)
        self._running.add(task)
        task.add_done_callback(ended)
        return task


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[_V]):
    value: _V
    at: float
    generation: int


class LookupCache(Generic[_V]):
    """Remembers what `fetch` returned, `None` being a miss.  For one key at most one `fetch` is under way."""

    def __init__(self, fetch: Callable[[str], Awaitable[_V | None]], *, clock: Clock, hits: int = 65536) -> None:
        self._fetch = fetch
        self._clock = clock
        self._hits: LRUCache[str, _Remembered[_V]] = LRUCache(maxsize=hits)
        # Why what is there cannot be used; "" if nothing is there.
        self._misses: TTLCache[str, str] = TTLCache(maxsize=10_000, ttl=MISSING, timer=clock)
        self._questions: Questions[_V | None] = Questions()
        self._generation = 0  # rises with every `forget`

    async def get(self, key: str) -> _V | None:
        """Raises `Unusable` if `fetch` does, `TransientFailure` if it does and nothing is remembered that would do."""
        CACHE_REQUESTS.inc()
        if (reason := self._misses.get(key)) is not None:
            CACHE_HITS.inc()
            if reason:
                raise Unusable(reason)
            return None
        known = self._hits.get(key)
        age = self._clock() - known.at if known else STALE
        if known is None or age >= STALE:
            return await self._ask(key)
        changed = known.generation != self._generation
        if age < FRESH and not changed:
            CACHE_HITS.inc()
            return known.value
        try:
            # The answer to a change that was announced is waited for as long as it may take.
            async with asyncio.timeout(None if changed else PATIENCE):
                return await self._ask(key)
        except Unusable:
            raise
        except (TransientFailure, TimeoutError):
            CACHE_HITS.inc()
            return known.value

    def forget(self) -> None:
        """Ask anew from now on.  What is remembered, or being fetched, is only there for an outage."""
        self._generation += 1
        self._misses.clear()
        self._questions.forget()

    async def close(self) -> None:
        await self._questions.close()

    async def _ask(self, key: str) -> _V | None:
        return await self._questions.ask(key, lambda: self._look_up(key))

    async def _look_up(self, key: str) -> _V | None:
        generation = self._generation
        try:
            value = await self._fetch(key)
        except Unusable as unusable:
            if generation == self._generation:
                self._miss(key, unusable.text)
            raise
        if value is not None:
            # Fetched while somebody changed the directory, it is asked for anew and serves until there is an answer.
            known = self._hits.get(key)
            if known is None or known.generation <= generation:
                self._hits[key] = _Remembered(value, self._clock(), generation)
        elif generation == self._generation:
            self._miss(key, "")
        return value

    def _miss(self, key: str, reason: str) -> None:
        self._hits.pop(key, None)
        self._misses[key] = reason


class PasswordMemory:
    """Which passwords bound not long ago, by name."""

    def __init__(self, *, clock: Clock) -> None:
        self._key = secrets.token_bytes(32)
        self._known: TTLCache[str, bytes] = TTLCache(maxsize=65536, ttl=PASSWORD, timer=clock)
        self.generation = 0  # rises with every `forget`

    def knows(self, name: str, password: str) -> bool:
        known = self._known.get(name)
        return known is not None and hmac.compare_digest(known, self.digest(name, password))

    def remember(self, name: str, password: str, generation: int) -> None:
        """Believe the password, unless `forget` was called since `generation` was read."""
        if generation == self.generation:
            self._known[name] = self.digest(name, password)

    def forget(self) -> None:
        self.generation += 1
        self._known.clear()

    def digest(self, name: str, password: str) -> bytes:
        """What stands for the two in this process's memory."""
        return hmac.digest(self._key, f"{name}\0{password}".encode("utf-8", "surrogatepass"), hashlib.sha256)


class CircuitBreaker:
    """Lets calls through while they succeed, then only one now and then: a dead server costs hardly any waiting."""

    def __init__(self, *, clock: Clock, random: Callable[[], float], deadline: float, longest: float = 5.0) -> None:
        self.now = clock
        self._random = random
        self._deadline = deadline
        self._longest = longest
        self._failures = 0
        self._broke = float("-inf")
        self._next = float("-inf")

    def admit(self) -> None:
        """Raises `TransientFailure` ("4.4.3") while it is not yet time to try again."""
        if not self._failures:
            return
        if self.now() < self._next:
            raise TransientFailure("4.4.3", "the directory does not answer")
        self._next = self.now() + self._deadline  # this one tries, the others wait for what becomes of it

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, began: float) -> bool:
        """A call that began at `began` was lost.  False if it is one more of an outage that is known."""
        if self._failures and began < self._broke:
            return False
        self._failures += 1
        self._broke = self.now()
        pause = min(self._longest, 0.5 * 2 ** min(self._failures - 1, 10))
        self._next = self._broke + pause * (0.5 + 0.5 * self._random())
        return True
