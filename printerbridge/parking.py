"""Devices that are left alone until it is time to try them again, so that a dead printer costs nothing meanwhile.

A line that waits for long holds leases that it renews, a job that it made ready, and tasks; with thousands of printers
switched off that would be all the work there is.  So it lets go of everything, and comes back at its time.  No more
than so many come back in a second: of a handful nobody waits for another, and of thousands each is tried more rarely.
No I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from dataclasses import dataclass
from typing import Final

from printerbridge.device import Device
from printerbridge.retry import Backoff

A_SECOND: Final = 20.0
"""Devices that come back."""


@dataclass(frozen=True, slots=True)
class _Parked:
    turn: int  # of its place in the schedule that counts
    backoff: Backoff


class Parking:
    """Times are those of the loop's clock."""

    def __init__(self, a_second: float = A_SECOND) -> None:
        self._pause = 1.0 / a_second
        self._parked: dict[Device, _Parked] = {}
        self._schedule: list[tuple[float, int, Device]] = []
        self._turns = itertools.count(1)
        self._changed = asyncio.Event()
        self._next_at = 0.0  # before which nobody comes back

    def __contains__(self, device: Device) -> bool:
        return device in self._parked

    def __len__(self) -> int:
        return len(self._parked)

    def park(self, device: Device, until: float, backoff: Backoff) -> None:
        """Leave it alone until then; it comes back with its failures so far."""
        turn = next(self._turns)
        self._parked[device] = _Parked(turn, backoff)
        heapq.heappush(self._schedule, (until, turn, device))
        self._changed.set()

    def hurry(self, device: Device, until: float) -> None:
        """Let it come back then, if it is left alone at all."""
        if (parked := self._parked.get(device)) is not None:
            self.park(device, until, parked.backoff)

    def leave(self, device: Device) -> None:
        """It is another one's now, or was set up anew: it comes back by itself no more."""
        self._parked.pop(device, None)

    async def back(self) -> tuple[Device, Backoff]:
        """The next whose time has come."""
        time = asyncio.get_running_loop().time
        while True:
            self._changed.clear()
            due = self._due()
            if due is not None and max(due, self._next_at) <= time():
                self._next_at = time() + self._pause
                _, _, device = heapq.heappop(self._schedule)
                return device, self._parked.pop(device).backoff
            wait = None if due is None else max(due, self._next_at) - time()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()

    def _due(self) -> float | None:
        """When the first of them is; places that count no more are left out."""
        while self._schedule:
            until, turn, device = self._schedule[0]
            parked = self._parked.get(device)
            if parked is not None and parked.turn == turn:
                return until
            heapq.heappop(self._schedule)
        return None
