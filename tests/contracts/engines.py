"""The engines that the suites run over.  A new one is one line in `ENGINES`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

from mailstore.store.contract import Role, Store
from mailstore.store.sql import SqlStore, open_store


class Opener(Protocol):
    """Opens the store of this test as one process of `role` would."""

    def __call__(self, role: Role = Role.APPLIANCE, *, keep: float = 86400.0) -> Awaitable[Store]: ...


async def _sqlite(folder: Path) -> AsyncIterator[Opener]:
    opened: list[SqlStore] = []

    async def open_one(role: Role = Role.APPLIANCE, *, keep: float = 86400.0) -> Store:
        store = await open_store(folder / "store", role=role, keep=keep, reserve=0, runtime=folder / "run")
        opened.append(store)
        return store

    try:
        yield open_one
    finally:
        for store in reversed(opened):
            await store.close()
    if opened:
        _sums_are_right(folder / "store" / "store.sqlite")


def _sums_are_right(path: Path) -> None:
    """What the tables say twice must agree, whatever a test did."""
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        kept = connection.execute("SELECT name, messages, octets FROM maildrop WHERE octets <> 0 ORDER BY name")
        counted = connection.execute(
            "SELECT name, sum(one), sum(size) FROM (SELECT maildrop AS name, 1 AS one, size FROM entry"
            " UNION ALL SELECT printer, 0, octets FROM split) GROUP BY name HAVING sum(size) <> 0 ORDER BY name"
        )
        assert kept.fetchall() == counted.fetchall()
        needed = connection.execute(
            "SELECT message_id, count(*) FROM (SELECT message_id FROM job WHERE completed_at = 0"
            " UNION ALL SELECT message_id FROM part) GROUP BY message_id"
        )
        waiting = connection.execute("SELECT id, waiting FROM message WHERE waiting <> 0")
        assert sorted(needed.fetchall()) == sorted(waiting.fetchall())
        summed = (
            "SELECT split.job_id, split.octets, sum(message.octets) FROM split JOIN part USING (job_id)"
            " JOIN message ON message.id = part.message_id GROUP BY split.job_id"
        )
        assert [row for row in connection.execute(summed) if row[1] != row[2]] == []
        incoming = connection.execute("SELECT id FROM job WHERE reasons = 'job-incoming' ORDER BY id").fetchall()
        assert connection.execute("SELECT job_id FROM split ORDER BY job_id").fetchall() == incoming
        ended = "state IN ('completed', 'aborted', 'canceled')"
        assert connection.execute(f"SELECT id FROM job WHERE (completed_at <> 0) <> ({ended})").fetchall() == []
        lost = f"SELECT id FROM job WHERE ({ended} OR reasons = 'job-incoming') = (id IN (SELECT job_id FROM entry))"
        assert connection.execute(lost).fetchall() == []
    finally:
        connection.close()


ENGINES: dict[str, Callable[[Path], AsyncIterator[Opener]]] = {
    "sqlite": _sqlite,
}
