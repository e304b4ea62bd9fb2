"""How SQLite is opened, and set so that a commit is durable."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from mailstore.store.opening import StoreUnusable
from mailstore.store.place import open_file
from mailstore.store.schema import migrate

PAGE_OCTETS = 4096
"""4 KB messages a second with pages of 4, 8, 16 KiB: 5717, 5339, 4456; larger ones lie outside the database."""

OLDEST = (3, 35, 0)
"""RETURNING."""

CHECKPOINT_PAGES = 4000
_OPEN_SECONDS = 5.0


def open_writer(path: Path, lock: int, keep: float, *, anew: bool) -> sqlite3.Connection:
    """The connection that writes, on a store brought to today's version.  Waits for the write lock.

    `anew`: write what the log holds into the database and begin the log again.  A process that ended because a sync
    failed may have left commits there that the kernel shows and the disk does not have.
    Raises `StoreUnusable` and `sqlite3.Error`.
    """
    if sqlite3.sqlite_version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise StoreUnusable(
            f"SQLite is {sqlite3.sqlite_version}, {oldest} or newer is needed; use a newer Python build"
        )
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        # SQLite would make it 0644, its log likewise.  Opened only when new: a close would drop SQLite's locks on it.
        with contextlib.suppress(FileExistsError):
            os.close(open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, path.parent))
        connection = connect(path, read_only=False)
        try:
            _set(connection, keep)
            migrate(connection)
            if anew:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except BaseException:
            connection.close()
            raise
        connection.execute("PRAGMA busy_timeout=0").fetchall()  # from now on the lock file is the queue
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)
    return connection


def _set(connection: sqlite3.Connection, keep: float) -> None:
    # Many builds have secure_delete on, which writes over what is freed.  Only a store that keeps nothing wants it.
    connection.execute(f"PRAGMA secure_delete={'ON' if keep == 0 else 'OFF'}")
    connection.execute(f"PRAGMA page_size={PAGE_OCTETS}")
    connection.execute("PRAGMA journal_mode=WAL").fetchall()
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}").fetchall()


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    mode = "ro" if read_only else "rwc"
    return sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=_OPEN_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
