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
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

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


@dataclass(frozen=True, slots=True)
class _Remembered(Generic[_V]):
    value: _V
    at: float


class LookupCache(Generic[_V]):
    """Remembers what `fetch` returned, `None` being a miss.  For one key at most one `fetch` is under way."""

    def __init__(self, fetch: Callable[[str], Awaitable[_V | None]], *, clock: Clock, hits: int = 65536) -> None:
        self._fetch = fetch
        self._clock = clock
        self._hits: LRUCache[str, _Remembered[_V]] = LRUCache(maxsize=hits)
        self._misses: TTLCache[str, None] = TTLCache(maxsize=10_000, ttl=MISSING, timer=clock)
        self._pending: dict[str, asyncio.Task[_V | None]] = {}
        self._running: set[asyncio.Task[_V | None]] = set()

    async def get(self, key: str) -> _V | None:
        """Raises `TransientFailure` if `fetch` does and nothing is remembered that would do."""
        CACHE_REQUESTS.inc()
        known = self._hits.get(key)
        age = self._clock() - known.at if known else STALE
        if (known and age < FRESH) or key in self._misses:
            CACHE_HITS.inc()
            return known.value if known and key not in self._misses else None
        task = self._pending.get(key) or self._start(key)
        if known is None or age >= STALE:
            return await asyncio.shield(task)
        try:
            async with asyncio.timeout(PATIENCE):
                return await asyncio.shield(task)
        except (TransientFailure, TimeoutError):
            CACHE_HITS.inc()
            return known.value

    def forget(self) -> None:
        """Drop everything; what is being fetched now is not remembered either."""
        self._hits.clear()
        self._misses.clear()
        self._pending.clear()

    async def close(self) -> None:
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _start(self, key: str) -> asyncio.Task[_V | None]:
        task = asyncio.create_task(self._look_up(key))
        self._pending[key] = task
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        # Those who waited may all have gone: then nobody else would take the exception.
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    async def _look_up(self, key: str) -> _V | None:
        task = asyncio.current_task()
        try:
            value = await self._fetch(key)
            if self._pending.get(key) is task:
                self._remember(key, value)
            return value
        finally:
            if self._pending.get(key) is task:
                del self._pending[key]

    def _remember(self, key: str, value: _V | None) -> None:
        if value is None:
            self._hits.pop(key, None)
            self._misses[key] = None
        else:
            self._misses.pop(key, None)
            self._hits[key] = _Remembered(value, self._clock())


class PasswordMemory:
    """Which passwords bound not long ago, by name."""

    def __init__(self, *, clock: Clock) -> None:
        self._key = secrets.token_bytes(32)
        self._known: TTLCache[str, bytes] = TTLCache(maxsize=65536, ttl=PASSWORD, timer=clock)
        self.generation = 0  # rises with every `forget`

    def knows(self, name: str, password: str) -> bool:
        known = self._known.get(name)
        return known is not None and hmac.compare_digest(known, self._digest(name, password))

    def remember(self, name: str, password: str, generation: int) -> None:
        """Believe the password, unless `forget` was called since `generation` was read."""
        if generation == self.generation:
            self._known[name] = self._digest(name, password)

    def forget(self) -> None:
        self.generation += 1
        self._known.clear()

    def _digest(self, name: str, password: str) -> bytes:
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
