"""A message that is arriving: in memory while small, then in a file without a name.

The file has no name until it is accepted, so whatever ends the process leaves nothing behind.  Threads write it from
buffers that grow with what arrives, and of which a few are kept to be used again.

Security: strangers choose how much arrives, how fast, and when to stall.  Memory is bounded for all drafts together:
what rests in them by `RESTING_OCTETS` (beyond it the drafts that were idle longest go to their files), what waits for
the disk by `QUEUED_OCTETS` as long as the receiver minds `congested`; the disk always comes round, so nobody waits for
a sender.  The disk is bounded by the reserve, which is looked at again before each write.
"""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.store.place import close_unnamed, make_folder, open_unnamed
from mailstore.store.worker import as_failure, disk_full, sync

MEMORY_OCTETS = 512 * 1024
"""The border between a segment and a file of its own.  Messages a second, segment / file, as measured by
tests/benchmarks/store_borders.py: 130 KB 2684 / 630, 250 KB 1149 / 627, 500 KB 588 / 601, 1 MB 123 / 426 (two cores
shared with other work)."""

BUFFER_OCTETS = 512 * 1024
BUFFERS = 4
"""So many of one draft may wait for the disk."""
IDLE_BUFFERS = 8
"""So many are kept: memory that the kernel need not clear again."""

RESTING_OCTETS = 24 * 1024 * 1024
QUEUED_OCTETS = 16 * 1024 * 1024

LOOK_SECONDS = 0.2
"""So long the free space is believed when a message is announced.  Files and segments look themselves before they grow,
so meanwhile only what lies in the database can go unseen: some thousand small messages, a fraction of the reserve."""

SYNC_OCTETS = 64 * 1024 * 1024
"""How much may lie unsynced in the kernel: the last sync, for which the client waits, stays short on any disk."""


class Spool:
    """The disk as drafts see it: room above the reserve, and threads that write."""

    def __init__(self, folder: Path, reserve: int) -> None:
        make_folder(folder)
        self.folder = folder
        self.reserve = reserve
        self.promised = 0  # octets that open drafts said they would need and have not written
        self.threads = ThreadPoolExecutor(4, thread_name_prefix="printpost-draft")
        self._available, self._looked_at = 0, -math.inf
        self.resting = 0  # octets in drafts that nobody writes to the disk
        self.queued = 0  # octets in buffers that wait for the disk, or are being written
        self.idle: list[bytearray] = []
        self.line: dict[SpooledDraft, None] = {}  # drafts that may be sent to their files, idle longest first
        self.waiting: set[SpooledDraft] = set()  # for the disk

    def free(self) -> int:
        """Free octets above the reserve, as the file system has them now."""
        found = os.statvfs(self.folder)
        self._available, self._looked_at = found.f_bavail * found.f_frsize, time.monotonic()
        return self._available - self.reserve

    def used(self) -> int:
        """Octets in use on the same file system, by whatever."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def draft(self, expected: int) -> SpooledDraft:
        """Raises `TransientFailure` ("4.3.1")."""
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            self.free()
        if self._available - self.reserve - self.promised - expected < 0:
            raise disk_full()
        return SpooledDraft(self, expected)

    def make_room(self) -> None:
        while self.resting > RESTING_OCTETS and self.line:
            next(iter(self.line)).spill()

    def wrote(self, buffers: Iterable[bytearray]) -> None:
        """These buffers no longer wait for the disk."""
        for buffer in buffers:
            self.queued -= len(buffer)
            if len(buffer) == BUFFER_OCTETS and len(self.idle) < IDLE_BUFFERS:
                self.idle.append(buffer)
        for draft in self.waiting:
            draft.progress.set()

    def close(self) -> None:
        self.threads.shutdown()


class SpooledDraft:
    """See `contract.Draft`.  `sealed` ends it for `accept`."""

    def __init__(self, spool: Spool, expected: int) -> None:
        self._spool = spool
        self._promised = expected
        spool.promised += expected
        self._loop = asyncio.get_running_loop()
        self.octets = 0
        self.memory = bytearray()  # all of it while there is no file, then the buffer being filled
        self.descriptor = -1
        self.progress = asyncio.Event()
        self._filled = 0  # of `memory`
        self._resting = 0  # what the spool counts of `memory`
        self._full: list[tuple[bytearray, int]] = []
        self._offset = 0
        self._unsynced = 0
        self._writing = False
        self._taken = False
        self._closed = False
        self._failure: TransientFailure | None = None

    @property
    def congested(self) -> bool:
        return (
            self._failure is not None
            or len(self._full) + 2 * self._writing >= BUFFERS
            or self._spool.queued >= QUEUED_OCTETS
        )

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        self.octets += len(view)
        if self._failure is not None:
            return
        if self.descriptor < 0 and self.octets <= MEMORY_OCTETS:
            self.memory += view
            self._filled = len(self.memory)
        else:
            self._write_on(view)
        self._rest()
        self._spool.line.pop(self, None)
        if self.memory and not self._taken:
            self._spool.line[self] = None
        self._spool.make_room()

    def _write_on(self, view: memoryview) -> None:
        if self.descriptor < 0:
            self.spill()
        while view and self._failure is None:
            if not self._filled and self._spool.idle:
                self.memory = self._spool.idle.pop()
            count = min(len(view), BUFFER_OCTETS - self._filled)
            self.memory[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]
            if self._filled == BUFFER_OCTETS:
                self._pass_on()

    async def drained(self) -> None:
        self._spool.waiting.add(self)
        try:
            await self._until(lambda: self._failure is not None or not self.congested)
        finally:
            self._spool.waiting.discard(self)
        self.check()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self.progress.clear()
            await self.progress.wait()

    @property
    def failed(self) -> bool:
        return self._failure is not None

    def check(self) -> None:
        """Raises `TransientFailure` if anything could not be kept so far."""
        if self._failure is not None:
            raise self._failure

    async def sealed(self) -> None:
        """All is in a file, however small, and durable.  Raises `TransientFailure`."""
        self.spill()
        await self._written_out()
        self.check()
        await self._loop.run_in_executor(self._spool.threads, sync, self.descriptor)

    def take(self) -> None:
        """From now on it is `accept`'s alone: a receiver that is canceled meanwhile can't discard it."""
        if self._taken or self._closed:
            raise ValueError("the draft was discarded or accepted already")
        self._taken = True
        self._spool.line.pop(self, None)  # `accept` may be reading the memory

    async def discard(self) -> None:
        if not self._taken:
            await self.end()

    async def end(self) -> None:
        """Let go of it once nothing is being written."""
        if self._closed:
            return
        self._forget()
        await self._written_out()
        self.close()

    def close(self) -> None:
        """Let go of memory, file and promise; only when nothing is being written."""
        if self._closed:
            return
        self._closed = True
        self._keep_promise(self._promised)
        self._forget()
        if self.descriptor >= 0:
            close_unnamed(self.descriptor)
            self.descriptor = -1

    # -- the file

    def spill(self) -> None:
        """What rests in memory goes to the file."""
        if self.descriptor < 0 and self._failure is None:
            try:
                self.descriptor = open_unnamed(self._spool.folder)  # locked until its rows are committed
            except OSError as error:
                self._failure = as_failure(error)
        if self._failure is not None:
            self._forget()
        elif self._filled:
            self._pass_on()

    def _pass_on(self) -> None:
        self._full.append((self.memory, self._filled))
        self._spool.queued += len(self.memory)
        self._empty()
        self._write_out()

    def _rest(self) -> None:
        self._spool.resting += len(self.memory) - self._resting
        self._resting = len(self.memory)

    def _empty(self) -> None:
        self.memory, self._filled = bytearray(), 0
        self._rest()
        self._spool.line.pop(self, None)

    def _keep_promise(self, octets: int) -> None:
        kept = min(octets, self._promised)
        self._promised -= kept
        self._spool.promised -= kept

    def _forget(self) -> None:
        """Nothing more of it will be written."""
        dropped, self._full = self._full, []
        self._spool.wrote(buffer for buffer, _ in dropped)
        self._empty()

    def _write_out(self) -> None:
        if self._writing or not self._full or self._failure is not None:
            return
        self._writing = True
        batch, self._full = self._full, []
        self._spool.threads.submit(self._write_batch, batch)

    def _write_batch(self, batch: list[tuple[bytearray, int]]) -> None:
        failure: TransientFailure | None = None
        try:
            if self._spool.free() < 0:
                failure = disk_full()
            else:
                for buffer, filled in batch:
                    self._write(memoryview(buffer)[:filled])
        except OSError as error:
            failure = as_failure(error)
        self._loop.call_soon_threadsafe(self._wrote, batch, failure)

    def _write(self, view: memoryview) -> None:
        while view:
            count = os.pwrite(self.descriptor, view, self._offset)
            self._offset += count
            self._unsynced += count
            view = view[count:]
        if self._unsynced >= SYNC_OCTETS:
            sync(self.descriptor)
            self._unsynced = 0

    def _wrote(self, batch: list[tuple[bytearray, int]], failure: TransientFailure | None) -> None:
        self._writing = False
        self._failure = self._failure or failure
        self._spool.wrote(buffer for buffer, _ in batch)
        self._keep_promise(sum(filled for _, filled in batch))  # the file system counts them from now on
        if self._failure is None:
            self._write_out()
        else:
            self._forget()
        self.progress.set()

    async def _written_out(self) -> None:
        await self._until(lambda: not self._writing and not self._full)
