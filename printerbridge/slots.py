"""How many conversions may run at once, and how much memory each may take, so that all together keep within a bound.

One slot is kept for small documents, so that a page of text does not wait behind two books.  Who came first goes first,
but for small documents that pass large ones into the slot that is theirs.  What nobody waits for, pictures of pages,
gets a place that is left over, and loses it as soon as a conversion has none.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

SMALL = 1 << 20
"""Octets of a document that counts as small."""
LEAST = 256 << 20
"""Octets of memory below which hardly a converter works: then fewer run at once."""


class Slots:
    """`converters` places that share `memory` octets.  `memory` below `LEAST` is one place with as much as there is."""

    def __init__(self, converters: int, memory: int) -> None:
        self.places = max(1, min(converters, memory // LEAST))
        self.share = memory // self.places
        self._large = max(1, self.places - 1)  # places for large documents
        self._running = self._running_large = 0
        self._waiting: deque[tuple[bool, asyncio.Future[None]]] = deque()
        self._patient: deque[asyncio.Future[None]] = deque()  # waiting for what is left over
        self._lent: list[asyncio.Timeout] = []

    @asynccontextmanager
    async def take(self, octets: int) -> AsyncIterator[int]:
        """Hold a place for a document of so many octets, waiting for one; gives the memory that it may take.

        One document holds one place: who takes a second while holding the first may wait for himself.
        """
        large = octets > SMALL
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((large, turn))
        self._admit()
        try:
            await turn
            yield self.share
        finally:
            self._leave(turn, large=large)

    @asynccontextmanager
    async def spare(self) -> AsyncIterator[int]:
        """Hold a place that nobody else wants, waiting for one; gives the memory that it may take.

        Cancels what is done in it, and raises `TimeoutError`, when somebody who `take`s finds no place.
        """
        turn = asyncio.get_running_loop().create_future()
        self._patient.append(turn)
        self._admit()
        try:
            await turn
            async with asyncio.timeout(None) as lent:
                self._lent.append(lent)
                try:
                    if self._waiting and self._running == self.places:  # since the turn came
                        self._recall()
                    yield self.share
                finally:
                    if lent in self._lent:
                        self._lent.remove(lent)
        finally:
            self._leave(turn, large=False)

    def _leave(self, turn: asyncio.Future[None], *, large: bool) -> None:
        if turn.done() and not turn.cancelled():
            self._running -= 1
            self._running_large -= large
        else:
            turn.cancel()
        self._admit()

    def _recall(self) -> None:
        while self._lent:
            self._lent.pop().reschedule(asyncio.get_running_loop().time())

    def _admit(self) -> None:
        passed: deque[tuple[bool, asyncio.Future[None]]] = deque()
        while self._waiting and self._running < self.places:
            large, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            if large and self._running_large >= self._large:
                passed.append((large, turn))
                continue
            self._running += 1
            self._running_large += large
            turn.set_result(None)
        self._waiting.extendleft(reversed(passed))
        if self._waiting and self._running == self.places:
            self._recall()
        while self._patient and not self._waiting and self._running < self.places:
            turn = self._patient.popleft()
            if not turn.cancelled():
                self._running += 1
                turn.set_result(None)
