"""One daemon thread that does what blocks, in order, and ends the process when the disk fails.

A failed fsync is never retried: the kernel may have dropped the pages and call the next one good.  So nobody goes on.
The next start must not believe the kernel's memory either: octets that no row names are removed, and the database's log
is written out and begun anew (`connection.open_writer`), so that it ends on the disk or the start fails.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import NoReturn

from mailstore.failure import TransientFailure

_log = logging.getLogger(__name__)

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Worker:
    """Runs tasks one after another.  Tasks report back themselves and do not raise."""

    def __init__(self, name: str) -> None:
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, task: Callable[[], None]) -> None:
        self._tasks.put(task)

    def stop(self) -> None:
        """End the thread after what was put, and wait for it."""
        self._tasks.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except BaseException as error:  # noqa: BLE001 - whoever waits for the task would wait for ever
                end_process(f"{self._thread.name} failed", error)


def end_process(what: str, error: BaseException) -> NoReturn:
    """Log one line and end at once, with the exit code for an input/output error."""
    _log.critical("%s: %s; ending, so that nothing is promised that the disk does not hold", what, error)
    for handler in logging.getLogger().handlers:
        handler.flush()
    os._exit(os.EX_IOERR)


def sync(descriptor: int, *, data_only: bool = True) -> None:
    """Make a file or folder durable, or end the process."""
    try:
        if data_only:
            os.fdatasync(descriptor)
        else:
            os.fsync(descriptor)
    except OSError as error:
        end_process("the disk did not take what was written", error)


def as_failure(error: OSError) -> TransientFailure:
    """What a peer is told about an error while writing."""
    if error.errno in _DISK_FULL:
        return disk_full()
    _log.error("writing failed: %s", error)
    return TransientFailure("4.3.0", "the message could not be stored")


def disk_full() -> TransientFailure:
    return TransientFailure("4.3.1", "not enough room on the disk, try again later")
