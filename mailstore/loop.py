"""The event loop of a serving process: uvloop where it installs, else asyncio's own; and descriptors enough for it."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import resource
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_M_ARENA_MAX = -8  # of malloc.h


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end on a new loop."""
    _many_files()
    _one_heap()
    try:
        import uvloop
    except ImportError:
        return asyncio.run(work)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


def settle() -> None:
    """What is there once a process serves stays: the collector need not look at it again.

    A full collection of the imported code alone held the loop for 190 ms (155,000 objects), whoever was waiting.  What
    only the start needed goes back to the system, where the C library can do that.
    """
    gc.collect()
    gc.freeze()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def grown() -> None:
    """What a process has gathered by now stays as well, as a rule; takes no time.

    For who gathers a lot once: as it grows it is all looked at again and again, 300 ms for what 10,000 printers say.
    Only cycles that are there at this moment and end later are never found, so it is not for every minute.
    """
    gc.freeze()


def _one_heap() -> None:
    """Else glibc gives each thread a heap of its own, most of which stays unused; threads seldom allocate at once."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _many_files() -> None:
    """One descriptor for every client and every printer at work, and a few: the soft limit is often 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
