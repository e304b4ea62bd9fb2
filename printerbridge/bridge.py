"""All lines together: which printer's jobs go to which device, and waking whoever has work.

The doorbell tells of new work in milliseconds; a look every few seconds finds what it missed.  A printer without a
device address is not ours: POP3 drains its maildrop.  A printer that the directory does not know keeps its jobs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Awaitable, Iterable, Sequence
from pathlib import Path

from mailstore.abilities import Abilities
from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import JobState
from mailstore.store.contract import LeaseLost, Store
from printerbridge import device, sandbox
from printerbridge.conditions import Conditions
from printerbridge.converters import office
from printerbridge.device import Device
from printerbridge.guard import Guard
from printerbridge.health import Health
from printerbridge.journal import UNKNOWN
from printerbridge.line import Line, Timing
from printerbridge.returning import Back, Returning
from printerbridge.slots import Slots
from printerbridge.spool import Spool

log = logging.getLogger(__name__)

_REFRESH_SECONDS = 60.0  # after which a change by a foreign LDAP client counts
_AFTER_FAILURE_SECONDS = 5.0
_ALL = 1_000_000


class Bridge:
    """Drains the maildrops of all printers that have a device address.

    `spool` is a folder of the data disk that is this bridge's alone; `media` the PWG name of the paper for documents
    that do not say; `converters` how many conversions may run at once, in `memory` octets together; `risky`: strangers'
    PostScript and Office documents are opened even where converters are poorly confined; `guard` knows the addresses
    never to be dialed.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        spool: Path,
        media: str,
        converters: int,
        memory: int = 4 << 30,
        risky: bool = False,
        timing: Timing | None = None,
        guard: Guard | None = None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._timing = timing or Timing()
        self._guard = guard or Guard()
        self._conditions = Conditions(store)
        self._conditions.doubted = lambda printer: self._health.hurry(printer)
        self._health = Health(store, self._conditions, self._guard, returned=self.well_again)
        self._returning = Returning(
            store,
            self._conditions,
            self._guard,
            self._timing,
            entries=lambda device: self._entries.get(device, {}),
            begin=self._begin,
        )
        self._folder = spool
        self._spool = Spool(store, spool, media=media, slots=Slots(converters, memory))
        self._risky = risky
        self._owner = f"bridge:{socket.gethostname()}:{os.getpid()}"
        self._seats: dict[str, Device] = {}  # printer -> where its jobs go
        self._entries: dict[Device, dict[str, Printer]] = {}
        self._refresh_at = 0.0  # when the entries are read next
        self._refreshing = asyncio.Lock()
        self._known = False  # the entries were read once
        self._trouble = ""  # what kept us from looking, told once
        self._lines: dict[Device, Line] = {}
        self._running: dict[Device, asyncio.Task[None]] = {}
        self._watching: list[asyncio.Task[None]] = []
        self._others: set[str] = set()  # printers that poll, or cannot be served
        self._looked_for_uncertain = False
        self._stopping = False

    async def start(self) -> None:
        """Begin to print.  Raises `PermanentFailure` if the spool folder cannot be used."""
        try:
            await asyncio.to_thread(self._spool.open)
        except OSError as error:
            raise PermanentFailure(
                "5.3.5", f"the spool folder {error.filename} cannot be used: {error.strerror}"
            ) from None
        level = await sandbox.level(self._folder)
        able = Abilities(level=level.value, safe=level.safe, risky=self._risky, office=office.available())
        self._spool.can(able)
        try:
            await self._store.set_abilities(able)
        except TransientFailure as failure:  # the disk is full, and printing makes room
            log.warning("what this bridge can open is not told to those who take mail: %s", failure.text)
        self._watching = [
            asyncio.create_task(self._spool.previews.run(), name="previews"),
            asyncio.create_task(self._listen(), name="doorbell"),
            asyncio.create_task(self._look(), name="look"),
            asyncio.create_task(self._health.run(), name="health"),
            asyncio.create_task(self._returning.run(), name="returning"),
        ]

    async def stop(self, grace: float = 20.0) -> None:
        """Finish the jobs that are being sent, for `grace` seconds at most, then break off; leases are released."""
        self._stopping = True
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        for line in self._lines.values():
            line.stop()
        running = list(self._running.values())
        if running:
            _, late = await asyncio.wait(running, timeout=grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    @property
    def lines(self) -> int:
        """How many devices are being served at the moment."""
        return len(self._running)

    # -- hearing of work

    async def _listen(self) -> None:
        async for name in self._store.rings():
            if name == "*":
                self._directory.forget()
                self._refresh_at = 0.0
                await self._guarded(self._look_once())
            else:
                await self._guarded(self._wake(name))

    async def _look(self) -> None:
        while True:
            await self._guarded(self._look_once())
            await asyncio.sleep(self._timing.look)

    async def _guarded(self, work: Awaitable[None]) -> None:
        """A look that fails is followed by another one."""
        try:
            await work
        except TransientFailure as failure:
            self._tell(failure.text)
        except Exception:
            log.exception("looking for work failed")

    def _tell(self, trouble: str) -> None:
        """Once, not every few seconds for as long as it lasts."""
        if trouble != self._trouble:
            self._trouble = trouble
            log.warning("could not look for work, known printers go on: %s", trouble)

    async def _look_once(self) -> None:
        try:
            await self._refresh()
        except TransientFailure as failure:
            self._tell(failure.text)
        if self._known and not self._looked_for_uncertain:
            await self._look_for_uncertain()
            self._looked_for_uncertain = True
        await self._wake_all(await self._store.printers_waiting())

    async def _look_for_uncertain(self) -> None:
        """Jobs that an earlier process left in doubt: their printers' entries say what becomes of them."""
        stopped = await self._store.jobs(states=[JobState.PROCESSING_STOPPED], limit=_ALL)
        await self._wake_all({job.printer for job in stopped if UNKNOWN in job.reasons})

    async def _wake_all(self, names: Iterable[str]) -> None:
        new = []
        for name in names:
            if name in self._seats:
                await self._wake(name)
            elif name not in self._others:
                new.append(name)
        for name in new:
            await self._wake(name)

    # -- who prints where

    async def _refresh(self) -> None:
        """Read the entries if it is time.  One at a time: an older answer must not replace a newer one."""
        async with self._refreshing:
            time = asyncio.get_running_loop().time
            if time() < self._refresh_at:
                return
            self._refresh_at = time() + _REFRESH_SECONDS  # before the question: a change meanwhile wants another one
            try:
                entries = await self._directory.printers()
            except BaseException:
                self._refresh_at = 0.0
                raise
            self._settle(entries)

    def _settle(self, entries: Sequence[Printer]) -> None:
        if self._trouble:
            log.info("looking for work again")
        self._known, self._trouble = True, ""
        earlier, self._entries = self._entries, {}
        self._seats.clear()
        self._others.clear()
        for entry in entries:
            self._seat(entry)
        for where, printers in earlier.items():
            if self._entries.get(where) != printers:
                self._returning.forget(where)
        served = [entry for entry in entries if entry.name in self._seats]
        self._conditions.forget_but(self._seats)
        self._health.printers(served)
        for line in self._lines.values():
            before, line.printers = line.printers, self._entries.get(line.device, {})
            if line.printers != before:
                line.wake()  # it lets go of the maildrops that are no longer its own

    def _seat(self, entry: Printer) -> None:
        where = _device_of(entry)
        if where is None:
            self._others.add(entry.name)
            return
        self._seats[entry.name] = where
        self._entries.setdefault(where, {})[entry.name] = entry

    async def _wake(self, name: str) -> None:
        if name not in self._seats and name not in self._others:
            await self._ask(name)
        where = self._seats.get(name)
        if self._stopping or where is None or where in self._returning:
            return
        if where not in self._lines:
            if (await self._store.printer_state(name)).paused:
                return  # whoever lets it go on rings
            self._begin(where)
        if (line := self._lines.get(where)) is not None:
            line.printers = self._entries.get(where, {})
            line.wake(name)

    def _begin(self, where: Device, back: Back | None = None) -> None:
        """Start the line of a device that has none."""
        if self._stopping or where in self._lines:
            if back is not None:
                back.drop()
            return
        owner = f"{self._owner}:{where.uri}"
        line = Line(
            where,
            self._store,
            self._spool,
            owner=owner,
            timing=self._timing,
            guard=self._guard,
            conditions=self._conditions,
            health=self._health,
            back=back,
        )
        line.printers = self._entries.get(where, {})
        self._lines[where] = line
        self._running[where] = asyncio.create_task(self._run(line), name=where.uri)

    def well_again(self, names: Iterable[str]) -> None:
        """These printers are said to be so: they need not wait until it is time to try them."""
        for name in names:
            if (where := self._seats.get(name)) is not None:
                self._returning.hurry(where)

    async def _ask(self, name: str) -> None:
        """A printer that was not there at the last refresh."""
        entry = await self._directory.printer(name)
        if name in self._seats or name in self._others:
            return  # all were read meanwhile
        if entry is not None:
            self._seat(entry)
        else:
            self._others.add(name)
            log.warning("jobs wait for %s, which the directory does not know", name)

    async def _run(self, line: Line) -> None:
        """One line, until it has nothing to do."""
        try:
            while not self._stopping:
                try:
                    await line.run()
                except LeaseLost as lost:
                    log.warning("%s: somebody else holds %s", line.device.uri, lost)
                except TransientFailure as failure:
                    log.warning("%s: %s", line.device.uri, failure.text)
                except Exception:
                    log.exception("%s: the line failed", line.device.uri)
                else:
                    if line.rest:
                        self._returning.leave_alone(line.device, line.rest, line.backoff)
                        return
                    if not line.woken:
                        return
                    continue
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_AFTER_FAILURE_SECONDS):
                        await line.stopped()
        finally:
            del self._lines[line.device]
            del self._running[line.device]


def _device_of(entry: Printer) -> Device | None:
    if not entry.drained_by_bridge:
        return None
    try:
        return device.parse(entry.uri)
    except PermanentFailure as failure:
        log.warning("%s: %s", entry.name, failure.text)
        return None
