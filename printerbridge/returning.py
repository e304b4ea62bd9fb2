"""Devices that were left alone for a while: knocked at when their time has come, and given back to a line.

A knock is a connection that the line then sends its first document over: a printer that is there is not connected to
twice.  One that is not there costs a connection that fails, and nothing of the store.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.store.contract import Store
from printerbridge.appsocket import Connection
from printerbridge.conditions import Condition, Conditions, Source
from printerbridge.device import Device
from printerbridge.dialing import NotConnected
from printerbridge.guard import Guard
from printerbridge.parking import Parking
from printerbridge.patience import Timing
from printerbridge.retry import Backoff, Trouble

AT_ONCE: Final = 64  # knocks
_FRESH_SECONDS: Final = 2.0  # in which a knock's connection serves for a job: cards cut silent ones off


@dataclass(frozen=True, slots=True, kw_only=True)
class Back:
    """How a device came back."""

    backoff: Backoff
    connection: Connection | None = None
    at: float = 0.0  # time.monotonic

    def fresh(self) -> Connection | None:
        """The connection, if it can still be used; else it is closed."""
        if self.connection is not None and time.monotonic() - self.at > _FRESH_SECONDS:
            self.connection.close()
            return None
        return self.connection

    def drop(self) -> None:
        if self.connection is not None:
            self.connection.close()


class Returning:
    """`entries` are the printers of a device; `begin` starts its line."""

    def __init__(
        self,
        store: Store,
        conditions: Conditions,
        guard: Guard,
        timing: Timing,
        *,
        entries: Callable[[Device], Mapping[str, Printer]],
        begin: Callable[[Device, Back], None],
    ) -> None:
        self._parking = Parking()
        self._store = store
        self._conditions = conditions
        self._guard = guard
        self._timing = timing
        self._entries = entries
        self._begin = begin
        self._places = asyncio.Semaphore(AT_ONCE)

    def __contains__(self, device: Device) -> bool:
        return device in self._parking

    def leave_alone(self, device: Device, seconds: float, backoff: Backoff) -> None:
        self._parking.park(device, asyncio.get_running_loop().time() + seconds, backoff)

    def hurry(self, device: Device) -> None:
        """It is well again, by another's word."""
        self._parking.hurry(device, asyncio.get_running_loop().time())

    def forget(self, device: Device) -> None:
        """It was set up anew, or is nobody's any more."""
        self._parking.leave(device)

    async def run(self) -> None:
        """For ever."""
        async with asyncio.TaskGroup() as group:
            while True:
                await self._places.acquire()
                device, backoff = await self._parking.back()
                group.create_task(self._knock(device, backoff)).add_done_callback(lambda _: self._places.release())

    async def _knock(self, device: Device, backoff: Backoff) -> None:
        try:
            await self._try(device, backoff)
        except TransientFailure:  # the store: later
            self.leave_alone(device, self._timing.rest, backoff)

    async def _try(self, device: Device, backoff: Backoff) -> None:
        names = list(self._entries(device))
        if not await self._store.pending(names, 1):
            await self._conditions.tell(names, Source.LINE)  # nobody tries any more, so nothing is in the way
            return
        if not backoff.failures:  # it was a quiet hour
            self._begin(device, Back(backoff=backoff))
            return
        try:
            connection = await device.connect(replace(self._timing.patience, connect=self._timing.knock), self._guard)
        except NotConnected as error:
            trouble = Trouble.REFUSED if error.busy else Trouble.UNREACHABLE
            if backoff.worth_telling(trouble, self._timing.busy, time.monotonic()):
                told = Condition(state="stopped", reasons=("connecting-to-device",), text=str(error))
                await self._conditions.tell(names, Source.LINE, told)
            self.leave_alone(device, backoff.failed(trouble, time.monotonic()), backoff)
        else:
            self._begin(device, Back(backoff=backoff, connection=connection, at=time.monotonic()))
