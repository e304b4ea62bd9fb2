"""Looks, while a confined child runs, at what no limit of the kernel bounds: how much it says, what all files of its
folder take together, and what all its processes take together.

Security: the folder's names and the processes are a hostile child's, and change while they are looked at.  Nothing is
opened but the kernel's own accounts, no link is followed, and the work of one look is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SECONDS = 0.25
TAIL = 16 << 10
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Tail:
    """The end of what a child says, and how much it said."""

    __slots__ = ("octets", "total")

    def __init__(self) -> None:
        self.octets = b""
        self.total = 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(TAIL):
            self.total += len(chunk)
            self.octets = (self.octets + chunk)[-TAIL:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """`tasks` counts processes and threads; the others are octets."""

    output: int
    folder: int
    memory: int
    tasks: int


async def excess(leader: int, folder: Path, tails: Sequence[Tail], bounds: Bounds) -> str:
    """Returns what the document does too much of, as soon as it does.  `leader`: the process that began all others."""
    while True:
        await asyncio.sleep(SECONDS)
        if any(tail.total > bounds.output for tail in tails):
            return "makes its converter talk without end"
        if too_much := await asyncio.to_thread(measure, leader, folder, bounds):
            return too_much


def measure(leader: int, folder: Path, bounds: Bounds) -> str:
    """One look: what the document does too much of but talk, "" for nothing."""
    processes = descendants(leader)
    for process in processes:
        _first_to_die(process)
    if any(map(_hides, processes)):
        time.sleep(SECONDS)  # a launcher is hidden for a moment, before it becomes the program
        if any(map(_hides, processes)):
            return "makes its converter hide from being looked at"
    hidden = sum(map(unnamed, processes))
    if hidden > bounds.folder or outgrown(folder, bounds.folder - hidden):
        return "grows too large when it is converted"
    if sum(map(_tasks, processes)) > bounds.tasks:
        return "makes its converter start too many processes"
    if sum(map(_resident, processes)) > bounds.memory and sum(map(_share, processes)) > bounds.memory:
        return "needs more memory than there is for a conversion"
    return ""


def _first_to_die(process: int) -> None:
    """Where the machine runs out of memory, let a converter end and not the bridge."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/oom_score_adj", "w") as file:  # noqa: PTH123
        file.write("1000")


def descendants(leader: int) -> list[int]:
    """The processes that `leader` began, and theirs, without itself.

    None is missed that leads a PID namespace or has a subreaper above it, for to that one orphans go.
    """
    children = defaultdict(list)
    for name in os.listdir("/proc"):  # noqa: PTH208 - names, and quickly
        if name.isdigit() and int(name) != leader and (fields := _stat(int(name))):
            children[int(fields[1])].append(int(name))
    found = list(children[leader])
    for process in found:  # grows while we walk
        found += children[process]
    return found


def _stat(process: int) -> list[bytes]:
    """The fields of /proc/PID/stat from the third (state); empty if it is gone.  See proc_pid_stat(5)."""
    try:
        with open(f"/proc/{process}/stat", "rb", buffering=0) as file:  # noqa: PTH123 - of each process: quickly
            return file.read(1024).rpartition(b")")[2].split()
    except OSError:
        return []


def _tasks(process: int) -> int:
    fields = _stat(process)
    return int(fields[17]) if fields else 0  # num_threads


def _resident(process: int) -> int:
    """Octets, with what it shares counted whole."""
    fields = _stat(process)
    return int(fields[21]) * _PAGE if fields else 0  # rss


def _share(process: int) -> int:
    """Octets, with what it shares counted by its share; as `_resident` where the kernel does not tell."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/smaps_rollup", "rb") as file:  # noqa: PTH123
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) << 10
    return _resident(process)


def _hides(process: int) -> bool:
    """Whether a process has made its files invisible to us (PR_SET_DUMPABLE in prctl(2)); the dead always have."""
    try:
        os.listdir(f"/proc/{process}/fd")  # noqa: PTH208
    except PermissionError:
        fields = _stat(process)
        return bool(fields) and fields[0] != b"Z"
    except OSError:
        pass
    return False


def unnamed(process: int) -> int:
    """Octets on disk of the files that a process has open and that have no name any more."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(f"/proc/{process}/fd") as listing:
        for entry in listing:
            with contextlib.suppress(OSError):
                found = entry.stat()  # of the open file itself: the kernel's link is no path
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                    total += found.st_blocks * 512
    return total


def outgrown(folder: Path, limit: int, entries: int = 4096) -> bool:
    """True if `folder` holds more than `limit` octets on disk or more than `entries` names, at any depth.

    So it is if that cannot be seen: if a folder in it may not be listed, or lies so deep that no path leads there.
    """
    total, names, folders = 0, 0, [str(folder)]
    while folders:
        try:
            with os.scandir(folders.pop()) as listing:
                for entry in listing:
                    with contextlib.suppress(FileNotFoundError):
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
                    names += 1
                    if total > limit or names > entries:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except (FileNotFoundError, NotADirectoryError):
            continue  # it is gone
        except OSError:
            return True
    return False
