"""Reading beside the writer: small look-ups on the loop, long ones in a thread, each with a connection of its own.

Every query is fetched to its end at once, so that no read transaction outlives it and holds the log back.
What the database cannot answer is a `TransientFailure` ("4.3.0"), here and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mailstore.failure import TransientFailure
from mailstore.store.statement import Statement

T = TypeVar("T")

_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})

_log = logging.getLogger(__name__)


def read_failure(error: sqlite3.DatabaseError) -> TransientFailure:
    """What a peer is told when the database does not answer; the log says what to do."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
        _log.critical("the database is damaged (%s): stop Printpost, check the disk, and restore a backup", error)
    else:
        _log.error("reading from the database failed: %s", error)
    return TransientFailure("4.3.0", "the store cannot be read, try again later")


def _fetched(connection: sqlite3.Connection, statement: Statement, values: dict[str, Any]) -> list[Any]:
    try:
        return connection.execute(statement.text, statement.bound(values)).fetchall()
    except (sqlite3.ProgrammingError, sqlite3.IntegrityError):  # ours
        raise
    except sqlite3.DatabaseError as error:
        raise read_failure(error) from error


class Reader:
    """`connect` makes a read-only connection.  All that reads raises `TransientFailure` ("4.3.0")."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._near = connect()
        self._far = connect()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="printpost-read")

    def all(self, statement: Statement, /, **values: Any) -> list[Any]:
        """On the loop: for what an index finds at once."""
        return _fetched(self._near, statement, values)

    def one(self, statement: Statement, /, **values: Any) -> Any | None:
        rows = _fetched(self._near, statement, values)
        return rows[0] if rows else None

    async def scan(self, statement: Statement, /, **values: Any) -> list[Any]:
        """In the thread: for what may touch many rows."""
        return await self.run(lambda: self.far(statement, **values))

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in the thread; it may use `far`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def far(self, statement: Statement, /, **values: Any) -> list[Any]:
        """Only within `run`."""
        return _fetched(self._far, statement, values)

    def close(self) -> None:
        self._thread.shutdown()
        self._near.close()
        self._far.close()
