"""Octets outside the database made durable, many at a time: appended to a segment, or linked in as files.

A segment is one preallocated file that middling messages are appended to, one write and one sync for all that wait.  It
goes when all its messages are gone.  Whoever writes a file holds a lock (flock) on it until the rows that name it are
committed, so that a file without rows and without a lock is surely nobody's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.store.crashpoint import crash_point
from mailstore.store.place import UNNAMED, close_unnamed, give_name, open_unnamed
from mailstore.store.worker import Worker, as_failure, sync

SEGMENT_OCTETS = 64 * 1024 * 1024
PAGE_OCTETS = 4096
NAMES = ("segment-", "file-", UNNAMED)
"""How names of our files begin; a disk's own `lost+found` may stand beside them."""
_VECTORS = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where octets lie: a file's name, and where in it."""

    reference: str
    start: int


class _Appending:
    __slots__ = ("data", "future")

    def __init__(self, data: bytearray, future: asyncio.Future[Position]) -> None:
        self.data = data
        self.future = future


class _Linking:
    __slots__ = ("descriptor", "future")

    def __init__(self, descriptor: int, future: asyncio.Future[Position]) -> None:
        self.descriptor = descriptor
        self.future = future


_Task = _Appending | _Linking
_Outcome = Position | TransientFailure


class Segments:
    """Writes to `folder`, in which `room()` octets may still be used.  One per process, used from the loop."""

    def __init__(self, folder: Path, room: Callable[[], int]) -> None:
        self._room = room
        self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._loop = asyncio.get_running_loop()
        self._worker = Worker("printpost-octets")
        self._waiting: list[_Task] = []
        self._running = False
        self._segment = -1
        self._retired: dict[str, int] = {}  # full, but rows that name them may not be committed yet
        self._uncommitted: Counter[str] = Counter()
        self._reference = ""
        self._end = 0

    def append(self, data: bytearray) -> asyncio.Future[Position]:
        """Durable in a segment when the future is done.  Fails with `TransientFailure`.  `data` must not change."""
        return self._enter(_Appending(data, self._loop.create_future()))

    def link(self, descriptor: int) -> asyncio.Future[Position]:
        """Give an unnamed file, synced already, a durable name."""
        return self._enter(_Linking(descriptor, self._loop.create_future()))

    def committed(self, reference: str) -> None:
        """The rows that name what was appended are there, or will never be."""
        self._uncommitted[reference] -= 1
        if not self._running:
            self._unlock()

    def close(self) -> None:
        """Only when nothing waits."""
        self._worker.stop()
        if self._segment >= 0:
            os.ftruncate(self._segment, self._end)
            os.close(self._segment)
        for descriptor in (*self._retired.values(), self._descriptor):
            os.close(descriptor)

    # -- one batch

    def _enter(self, task: _Task) -> asyncio.Future[Position]:
        self._waiting.append(task)
        if not self._running:
            self._running = True
            self._loop.call_soon(self._start)
        return task.future

    def _start(self) -> None:
        batch = self._waiting
        self._waiting = []
        if not batch:
            self._running = False
            return
        self._worker.put(lambda: self._flush(batch))

    def _flush(self, batch: list[_Task]) -> None:
        crash_point("1-before-octets")
        outcomes: list[tuple[_Task, _Outcome]] = []
        appending = [task for task in batch if isinstance(task, _Appending)]
        while appending:
            appending = self._append(appending, outcomes)
        linking = [task for task in batch if isinstance(task, _Linking)]
        outcomes += [(task, self._link(task.descriptor)) for task in linking]
        if linking:
            sync(self._descriptor, data_only=False)
        crash_point("1-after-octets")
        self._loop.call_soon_threadsafe(self._done, outcomes)

    def _append(self, tasks: list[_Appending], outcomes: list[tuple[_Task, _Outcome]]) -> list[_Appending]:
        """Write and sync as many as the segment has room for; returns the rest."""
        begin = -(-self._end // PAGE_OCTETS) * PAGE_OCTETS  # a page of a message that is kept is never written again
        if self._segment < 0 or begin + len(tasks[0].data) > SEGMENT_OCTETS:
            try:
                self._new_segment()
            except OSError as error:
                outcomes += [(task, as_failure(error)) for task in tasks]
                return []
            begin = 0
        end, fitting = begin, 0
        while fitting < min(len(tasks), _VECTORS) and end + len(tasks[fitting].data) <= SEGMENT_OCTETS:
            end += len(tasks[fitting].data)
            fitting += 1
        now, rest = tasks[:fitting], tasks[fitting:]
        try:
            _write_all(self._segment, [task.data for task in now], begin)
        except OSError as error:
            outcomes += [(task, as_failure(error)) for task in now]
            return rest
        sync(self._segment)
        self._end = end
        for task in now:
            outcomes.append((task, Position(reference=self._reference, start=begin)))
            begin += len(task.data)
        return rest

    def _new_segment(self) -> None:
        if self._room() < SEGMENT_OCTETS:
            raise OSError(errno.ENOSPC, "a new segment would take from the reserve")
        # Without a name until it is locked: a name without a lock is taken for rubbish by `Blobs.tidy`.
        folder = f"/proc/self/fd/{self._descriptor}"
        descriptor = open_unnamed(folder)
        try:
            os.posix_fallocate(descriptor, 0, SEGMENT_OCTETS)
            sync(descriptor, data_only=False)
            name = self._name(descriptor, "segment")
        except OSError:
            close_unnamed(descriptor)
            raise
        sync(self._descriptor, data_only=False)
        if self._segment >= 0:
            self._retire()
        self._segment, self._reference, self._end = descriptor, name, 0

    def _retire(self) -> None:
        with contextlib.suppress(OSError):
            os.ftruncate(self._segment, self._end)
        self._retired[self._reference] = self._segment

    def _link(self, descriptor: int) -> _Outcome:
        try:
            return Position(reference=self._name(descriptor, "file"), start=0)
        except OSError as error:
            return as_failure(error)

    def _name(self, descriptor: int, kind: str) -> str:
        name = f"{kind}-{secrets.token_hex(8)}"
        give_name(descriptor, name, self._descriptor)
        return name

    def _done(self, outcomes: list[tuple[_Task, _Outcome]]) -> None:
        for task, outcome in outcomes:
            if task.future.done():  # canceled: octets in a segment stay until it goes
                continue
            if isinstance(outcome, Position):
                self._uncommitted[outcome.reference] += isinstance(task, _Appending)
                task.future.set_result(outcome)
            else:
                task.future.set_exception(outcome)
        self._unlock()
        self._start()

    def _unlock(self) -> None:
        """On the loop and while the thread does nothing: close full segments whose rows are all committed."""
        for reference in [name for name in self._retired if not self._uncommitted[name]]:
            os.close(self._retired.pop(reference))
            del self._uncommitted[reference]


def _write_all(descriptor: int, buffers: Sequence[bytearray], offset: int) -> None:
    written = os.pwritev(descriptor, buffers, offset)
    if written == sum(map(len, buffers)):
        return
    for buffer in buffers:  # cut short: rare enough to begin again, one by one
        view = memoryview(buffer)
        while view:
            count = os.pwrite(descriptor, view, offset)
            view, offset = view[count:], offset + count
