"""What was counted and remembered goes when its time is over."""

from __future__ import annotations

from typing import Any

from mailstore.store import capabilities, counting, repeated, seen
from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.reader import Reader
from mailstore.store.statement import Statement

AT_ONCE = 500
"""Rows per transaction."""
_FOUND = 100_000


async def sweep(committer: Committer, reader: Reader, now: float) -> None:
    times = seen.times(now)
    found = await reader.scan(seen.EXPIRED, **times, most=_FOUND)
    await _drop(committer, seen.DROP_EXPIRED, [{"which": digest} | times for (digest,) in found])
    found = await reader.scan(counting.OLD, **counting.slots(counting.KEPT_SECONDS, now), most=_FOUND)
    gone = [{"of": printer, "by": sender, "when": slot} for printer, sender, slot in found]
    await _drop(committer, counting.DROP_OLD, gone)
    await committer.submit(lambda rows: capabilities.drop_over(rows, now), Wanted.LATER)
    await committer.submit(lambda rows: repeated.drop_old(rows, now), Wanted.LATER)


async def _drop(committer: Committer, statement: Statement, gone: list[dict[str, Any]]) -> None:
    for start in range(0, len(gone), AT_ONCE):
        some = gone[start : start + AT_ONCE]

        def drop(rows: Rows, some: list[dict[str, Any]] = some) -> int:
            return rows.change_many(statement, some)

        await committer.submit(drop, Wanted.NOW)
