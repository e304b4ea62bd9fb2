"""One change of the directory after the other, whoever makes it: a command, the page, the API.

LDAP has no transactions.  What one has read nobody else changes through Printpost until it has written; a foreign LDAP
client may, and then the later one wins.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.store.place import open_file

TURN = 30.0
"""Seconds that a change waits for others."""


@contextlib.asynccontextmanager
async def our_turn(folder: Path) -> AsyncIterator[None]:
    """Nobody else changes entries through Printpost meanwhile; `folder` is the data folder.

    Raises `TransientFailure` ("4.3.0") if others take too long.
    """
    lock = open_file(folder / "commands.lock", os.O_RDWR | os.O_CREAT, folder)
    try:
        deadline = asyncio.get_running_loop().time() + TURN
        while not _locked(lock):
            if asyncio.get_running_loop().time() > deadline:
                raise TransientFailure("4.3.0", "somebody else is changing printers; try again later")
            await asyncio.sleep(0.02)
        yield
    finally:
        os.close(lock)


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
