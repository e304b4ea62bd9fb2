"""Devices that were left alone for a while: knocked at when their time has come, and given back to a line.

A knock is a connection that the line then sends its first document over: a printer that is there is not connected to
twice.  One that is not there costs a connection that fails, and nothing of the store.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.hours import quiet_until
from mailstore.store.contract import Store
from printerbridge.appsocket import Connection
from printerbridge.conditions import Condition, Conditions, Source
from printerbridge.device import Device
from printerbridge.dialing import NotConnected
from printerbridge.guard import Guard
from printerbridge.parking import Parking
from printerbridge.patience import Timing
from printerbridge.retry import Backoff, Trouble

log = logging.getLogger(__name__)

AT_ONCE: Final = 64  # knocks
_FRESH_SECONDS: Final = 2.0  # in which a knock's connection serves for a job: cards cut silent ones off


class Back:
    """How a device came back: with its failures so far, and over a `connection` if it was knocked at.

    Whoever does not ask for that in time finds it closed: a printer talks to one at a time, and nobody else gets
    through while a job is being converted.
    """

    def __init__(self, backoff: Backoff, connection: Connection | None = None) -> None:
        self.backoff = backoff
        self._connection = connection
        self._timer = asyncio.get_running_loop().call_later(_FRESH_SECONDS, self.drop) if connection else None

    def fresh(self) -> Connection | None:
        """The connection, if it can still be used; it is the caller's then."""
        if self._connection is not None and self._connection.gone:
            self.drop()
        connection, self._connection = self._connection, None
        self.drop()
        return connection

    def drop(self) -> None:
        """It is not wanted any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


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
        self._knocking: set[Device] = set()

    def __contains__(self, device: Device) -> bool:
        return device in self._parking or device in self._knocking

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
        self._knocking.add(device)
        try:
            await self._try(device, backoff)
        except Exception as error:
            if not isinstance(error, TransientFailure):  # the store: later
                log.exception("%s: knocking failed", device.uri)
            self.leave_alone(device, self._timing.rest, backoff)
        finally:
            self._knocking.discard(device)

    async def _try(self, device: Device, backoff: Backoff) -> None:
        entries = self._entries(device)
        names = list(entries)
        if not await self._store.pending(names, 1):
            await self._conditions.tell(names, Source.LINE)  # nobody tries any more, so nothing is in the way
            return
        opened = [name for name, printer in entries.items() if await self._open(printer)]
        if not backoff.failures or not await self._store.pending(opened, 1):
            # It was a quiet hour, or is one, or nothing is to be sent: the line knows what to tell.
            self._begin(device, Back(backoff))
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
            self._begin(device, Back(backoff, connection))

    async def _open(self, printer: Printer) -> bool:
        """Whether its jobs are to be sent now."""
        quiet = printer.quiet_hours and quiet_until(printer.quiet_hours, time.time())
        return not quiet and not (await self._store.printer_state(printer.name)).paused
