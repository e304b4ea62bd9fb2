"""A message that is arriving: in memory while small, then in a file without a name.

The file is opened with O_TMPFILE, so whatever ends the process leaves nothing behind.  A thread writes it from a few
buffers that are used again and again; `congested` tells the receiver when they are full.

Security: strangers choose how much arrives and how fast.  Memory is bounded by `BUFFERS` as long as the receiver minds
`congested`, the disk by the reserve, which is looked at again before each write.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.store.place import make_folder, open_file
from mailstore.store.worker import as_failure, disk_full, sync

MEMORY_OCTETS = 512 * 1024
"""The border between a segment and a file of its own.  Messages a second, segment / file, as measured by
tests/benchmarks/store_borders.py: 130 KB 2684 / 630, 250 KB 1149 / 627, 500 KB 588 / 601, 1 MB 123 / 426 (two cores
shared with other work)."""

BUFFER_OCTETS = 512 * 1024
BUFFERS = 4
"""So many may wait.  With buffers of 1 MiB 100 MB took 814 MB/s, with these 693 (medians of six, other work beside);
half the memory for each message that is arriving weighs more."""

SYNC_OCTETS = 64 * 1024 * 1024
"""How much may lie unsynced in the kernel: the last sync, for which the client waits, stays short on any disk."""


class Spool:
    """The disk as drafts see it: room above the reserve, and threads that write."""

    def __init__(self, folder: Path, reserve: int) -> None:
        make_folder(folder)
        self.folder = folder
        self.reserve = reserve
        self.promised = 0  # octets that open drafts said they would need
        self.threads = ThreadPoolExecutor(4, thread_name_prefix="printpost-draft")

    def free(self) -> int:
        """Free octets above the reserve."""
        found = os.statvfs(self.folder)
        return found.f_bavail * found.f_frsize - self.reserve

    def used(self) -> int:
        """Octets in use on the same file system, by whatever."""
        found = os.statvfs(self.folder)
        return (found.f_blocks - found.f_bfree) * found.f_frsize

    def draft(self, expected: int) -> SpooledDraft:
        """Raises `TransientFailure` ("4.3.1")."""
        if self.free() - self.promised - expected < 0:
            raise disk_full()
        return SpooledDraft(self, expected)

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
        self.memory = bytearray()  # all of it while small, then the buffer being filled
        self.descriptor = -1
        self._filled = 0  # of `memory`, once there is a file
        self._full: list[tuple[bytearray, int]] = []
        self._idle: list[bytearray] = []
        self._offset = 0
        self._unsynced = 0
        self._writing = False
        self._taken = False
        self._closed = False
        self._failure: TransientFailure | None = None
        self._progress = asyncio.Event()

    @property
    def congested(self) -> bool:
        return self._failure is not None or len(self._full) + 2 * self._writing >= BUFFERS

    @property
    def _failed(self) -> bool:
        return self._failure is not None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        view = memoryview(data).cast("B")
        self.octets += len(view)
        if self.descriptor < 0 and not self._failed:
            if self.octets <= MEMORY_OCTETS:
                self.memory += view
                return
            self._spill()
        while view and not self._failed:
            count = min(len(view), BUFFER_OCTETS - self._filled)
            self.memory[self._filled : self._filled + count] = view[:count]
            self._filled += count
            view = view[count:]
            if self._filled == BUFFER_OCTETS:
                self._pass_on()

    async def drained(self) -> None:
        while self._failure is None and self.congested:
            self._progress.clear()
            await self._progress.wait()
        self.check()

    def check(self) -> None:
        """Raises `TransientFailure` if anything could not be kept so far."""
        if self._failure is not None:
            raise self._failure

    async def sealed(self) -> None:
        """All is in a file, however small, and durable.  Raises `TransientFailure`."""
        if self.descriptor < 0:
            self._spill()
        if self._filled:
            self._pass_on()
        await self._written_out()
        self.check()
        await self._loop.run_in_executor(self._spool.threads, sync, self.descriptor)

    def take(self) -> None:
        """From now on it is `accept`'s alone: a receiver that is canceled meanwhile can't discard it."""
        if self._taken or self._closed:
            raise ValueError("the draft was discarded or accepted already")
        self._taken = True

    async def discard(self) -> None:
        if not self._taken:
            await self.end()

    async def end(self) -> None:
        """Let go of it once nothing is being written."""
        if self._closed:
            return
        self._full.clear()
        await self._written_out()
        self.close()

    def close(self) -> None:
        """Let go of memory, file and promise; only when nothing is being written."""
        if self._closed:
            return
        self._closed = True
        self._spool.promised -= self._promised
        self.memory = bytearray()
        self._idle.clear()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    # -- the file

    def _spill(self) -> None:
        try:
            self.descriptor = open_file(self._spool.folder, os.O_TMPFILE | os.O_RDWR, self._spool.folder)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)  # until its rows are committed: see `segments`
        except OSError as error:
            self._failure = as_failure(error)
            return
        first, filled = self.memory, len(self.memory)
        self.memory, self._filled = bytearray(BUFFER_OCTETS), 0
        if filled:
            self._full.append((first, filled))
            self._write_out()

    def _pass_on(self) -> None:
        self._full.append((self.memory, self._filled))
        self.memory = self._idle.pop() if self._idle else bytearray(BUFFER_OCTETS)
        self._filled = 0
        self._write_out()

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
        if failure is None:
            self._idle += [buffer for buffer, _ in batch if len(buffer) == BUFFER_OCTETS]
            del self._idle[BUFFERS:]
            self._write_out()
        else:
            self._full.clear()
        self._progress.set()

    async def _written_out(self) -> None:
        while self._writing or (self._full and self._failure is None):
            self._progress.clear()
            await self._progress.wait()
