"""Where a message's octets lie: in the database while small, in a segment while middling, else in a file of their own.

The order is always: octets durable, then rows committed.  So rows never name what is missing, and what no row names is
rubbish that `tidy` removes.

Security: names of files come from our own rows only; the folder is closed to other users.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.store.drafts import Spool, SpooledDraft
from mailstore.store.segments import NAMES, Segments
from mailstore.store.worker import sync

INLINE_OCTETS = 16 * 1024
"""The border between the database and a segment.  Messages a second, database / segment, as measured by
tests/benchmarks/store_borders.py: 4 KB 5717 / 4443, 8 KB 4881 / 3885, 16 KB 2499 / 2540,
32 KB 2346 / 4016, 130 KB 1214 / 2684 (two cores shared with other work)."""

BLOCK_OCTETS = 128 * 1024


class Place(StrEnum):
    """Where the octets are."""

    INLINE = "inline"
    SEGMENT = "segment"
    FILE = "file"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Octets at rest; `data` only if inline."""

    place: Place
    octets: int
    reference: str = ""
    start: int = 0
    data: bytes | bytearray = b""


class Blobs:
    """The octets outside the database, in the spool's folder.

    Only one process may append to segments (`appending`); another puts middling messages into files of their own.
    """

    def __init__(self, spool: Spool, *, appending: bool) -> None:
        self.folder = spool.folder
        self._appending = appending
        self._segments = Segments(spool.folder, spool.free)

    def inline(self, draft: SpooledDraft) -> Placed | None:
        """The draft's octets if they go into the database, and become durable with their row."""
        if draft.descriptor >= 0 or draft.octets > INLINE_OCTETS or draft.failed:
            return None
        return Placed(place=Place.INLINE, octets=draft.octets, data=draft.memory)

    async def keep(self, draft: SpooledDraft) -> Placed:
        """The draft's octets, durable but for inline ones.  Raises `TransientFailure`."""
        draft.check()
        if (placed := self.inline(draft)) is not None:
            return placed
        if draft.descriptor < 0 and self._appending:
            # A disk that has no room for a whole segment may have it for a file.
            with contextlib.suppress(TransientFailure):
                where = await self._segments.append(draft.memory)
                return Placed(place=Place.SEGMENT, octets=draft.octets, reference=where.reference, start=where.start)
        await draft.sealed()
        where = await self._segments.link(draft.descriptor)
        return Placed(place=Place.FILE, octets=draft.octets, reference=where.reference)

    async def read(self, placed: Placed, block: int = BLOCK_OCTETS) -> AsyncIterator[bytes]:
        """The octets in blocks.  Raises `PermanentFailure` if they are gone."""
        if placed.place is Place.GONE:
            raise gone()
        if placed.place is Place.INLINE:
            for start in range(0, len(placed.data), block):
                yield bytes(placed.data[start : start + block])
            return
        try:
            descriptor = os.open(self.folder / placed.reference, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise gone() from None
        try:
            offset, end = placed.start, placed.start + placed.octets
            while offset < end:
                octets = await _read_block(descriptor, min(block, end - offset), offset)
                offset += len(octets)
                yield octets
        finally:
            os.close(descriptor)

    def committed(self, placed: Placed) -> None:
        """The rows that name these octets are there, or will never be."""
        if placed.place is Place.SEGMENT:
            self._segments.committed(placed.reference)

    def remove(self, placed: Placed, *, erase: bool = False) -> None:
        """Forget octets whose row is gone.  A segment's go with their segment, unless they are to be erased at once."""
        path = self.folder / placed.reference
        with contextlib.suppress(FileNotFoundError):
            if placed.place is Place.FILE:
                path.unlink()
            elif placed.place is Place.SEGMENT and erase:
                _erase(path, placed.start, placed.octets)

    def tidy(self, named: Callable[[str], int]) -> int:
        """Remove files that no row names, and cut off what a lost process had set aside; returns how many went.

        `named(reference)` looks into the committed rows: where the last octets named lie end, or -1 if there are none.
        """
        removed = 0
        for name in sorted(path.name for path in self.folder.iterdir()):
            if name.startswith(NAMES):
                # Another process may remove it at any moment, because its job ended or by tidying too.
                with contextlib.suppress(FileNotFoundError):
                    removed += self._tidy_one(self.folder / name, named)
        return removed

    def _tidy_one(self, path: Path, named: Callable[[str], int]) -> bool:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            end = named(
                path.name
            )  # looked up under the lock: whoever wrote the file has committed its rows, or never will
            if end < 0:
                path.unlink()
                return True
            if os.fstat(descriptor).st_size > end:
                os.ftruncate(descriptor, end)
        except BlockingIOError:
            pass  # somebody is writing it, or its rows
        finally:
            os.close(descriptor)
        return False

    def close(self) -> None:
        self._segments.close()


def gone() -> PermanentFailure:
    return PermanentFailure("5.3.0", "the message's octets are no longer kept")


async def _read_block(descriptor: int, length: int, offset: int) -> bytes:
    """From memory if the kernel has it, else in a thread: the loop never waits for the disk."""
    buffer = bytearray(length)
    try:
        count = os.preadv(descriptor, [buffer], offset, os.RWF_NOWAIT)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EOPNOTSUPP):
            raise
        count = 0
    if count == 0:
        count = await asyncio.to_thread(os.preadv, descriptor, [buffer], offset)
    if count == 0:
        raise gone()
    return bytes(buffer) if count == length else bytes(memoryview(buffer)[:count])


def _erase(path: Path, start: int, octets: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    zeros = bytes(BLOCK_OCTETS)
    try:
        for offset in range(start, start + octets, BLOCK_OCTETS):
            os.pwrite(descriptor, zeros[: min(BLOCK_OCTETS, start + octets - offset)], offset)
        sync(descriptor)
    finally:
        os.close(descriptor)
