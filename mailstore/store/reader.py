"""Reading beside the writer: small look-ups on the loop, long ones in a thread, each with a connection of its own.

Every query is fetched to its end at once, so that no read transaction outlives it and holds the log back.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from mailstore.store.statement import Statement

T = TypeVar("T")


class Reader:
    """`connect` makes a read-only connection."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._near = connect()
        self._far = connect()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="printpost-read")

    def all(self, statement: Statement, /, **values: Any) -> list[Any]:
        """On the loop: for what an index finds at once."""
        return self._near.execute(statement.text, values).fetchall()

    def one(self, statement: Statement, /, **values: Any) -> Any | None:
        rows = self._near.execute(statement.text, values).fetchall()
        return rows[0] if rows else None

    async def scan(self, statement: Statement, /, **values: Any) -> list[Any]:
        """In the thread: for what may touch many rows."""
        return await self.run(lambda: self.far(statement, **values))

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in the thread; it may use `far`."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def far(self, statement: Statement, /, **values: Any) -> list[Any]:
        """Only within `run`."""
        return self._far.execute(statement.text, values).fetchall()

    def close(self) -> None:
        self._thread.shutdown()
        self._near.close()
        self._far.close()
