"""So many things at once for each client; whoever wants one more waits until another of his own has ended.

Security: who waits is bounded by the connections that a client may have, and a client of whom nothing is under way is
forgotten.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from dataclasses import dataclass

CLIENT: ContextVar[int | None] = ContextVar("client", default=None)
"""For whom the task at hand works, as `peer.customer` counts; None is bounded by nothing here."""


@dataclass(slots=True)
class _Line:
    places: asyncio.Semaphore
    people: int = 0  # that have a place, or wait for one


class Turns:
    """Of `CLIENT`, each has `each` places."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._lines: dict[int | None, _Line] = {}

    async def take(self, seconds: float) -> int | None:
        """Whose place it is, for `leave`.  Raises `TimeoutError`."""
        client = CLIENT.get()
        if client is None:
            return None
        line = self._lines.setdefault(client, _Line(asyncio.Semaphore(self._each)))
        line.people += 1
        try:
            async with asyncio.timeout(seconds):
                await line.places.acquire()
        except BaseException:
            self._forget(client, line)
            raise
        return client

    def leave(self, client: int | None) -> None:
        if client is not None:
            line = self._lines[client]
            line.places.release()
            self._forget(client, line)

    def _forget(self, client: int, line: _Line) -> None:
        line.people -= 1
        if not line.people:
            del self._lines[client]
