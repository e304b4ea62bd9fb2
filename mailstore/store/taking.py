"""Instant 1: octets durable, then the rows that name them; whoever called may say "250" after that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mailstore.store import accepting, parts
from mailstore.store.admission import Accepted
from mailstore.store.arriving import Draft, Envelope, Recipient
from mailstore.store.blobs import Placed
from mailstore.store.committer import Rows
from mailstore.store.drafts import SpooledDraft
from mailstore.store.keeping import Keeping
from mailstore.store.splitting import Part, SplitLimits, SplitMail

T = TypeVar("T")

_Work = Callable[[Rows, Placed], tuple[T, bool]]
"""Rows for octets, what comes of it, and whether the octets are needed."""


class Taking(Keeping):
    """A part of `sql.SqlStore`: from a draft to a message."""

    _store_id: str
    _accepting: set[asyncio.Task[Any]]

    async def draft(self, expected: int = 0) -> SpooledDraft:
        return self._spool.draft(expected)

    async def accept(self, draft: Draft, envelope: Envelope, recipients: Sequence[Recipient]) -> Sequence[Accepted]:
        if not recipients:
            raise ValueError("a message needs a recipient")
        now = time.time()
        return await self._take(
            draft, "1", lambda rows, placed: accepting.accept(rows, placed, envelope, recipients, self._store_id, now)
        )

    async def accept_part(
        self, draft: Draft, envelope: Envelope, recipient: Recipient, part: Part, limits: SplitLimits
    ) -> SplitMail:
        if not envelope.proved:
            raise ValueError("a part needs a proved sender: strangers could complete each other's mails")
        now = time.time()
        return await self._take(
            draft, "part", lambda rows, placed: parts.accept(rows, placed, envelope, recipient, part, limits, now)
        )

    async def put_together(self, job_id: int, draft: Draft, envelope: Envelope, recipient: Recipient) -> bool:
        now = time.time()

        def work(rows: Rows, placed: Placed) -> tuple[list[Placed] | None, bool]:
            return parts.put_together(rows, placed, job_id, envelope, recipient, self._store_id, now)

        dropped = await self._take(draft, "whole", work)
        await self._remove(dropped or ())
        return dropped is not None

    async def _take(self, draft: Draft, instant: str, work: _Work[T]) -> T:
        if not isinstance(draft, SpooledDraft):
            raise TypeError("a draft of another store")
        draft.take()
        # A caller that is canceled meanwhile must not leave octets without rows, nor take the rows back.
        if (placed := self._blobs.inline(draft)) is not None:
            inline = placed
            future = self.committer.submit(lambda rows: work(rows, inline), instant=instant)
            future.add_done_callback(lambda _: draft.close())
            return (await asyncio.shield(future))[0]
        task = asyncio.create_task(self._place(draft, instant, work))
        self._accepting.add(task)
        task.add_done_callback(self._accepted)
        return await asyncio.shield(task)

    async def _place(self, draft: SpooledDraft, instant: str, work: _Work[T]) -> T:
        try:
            placed = await self._blobs.keep(draft)
            try:
                result, kept = await self.committer.submit(lambda rows: work(rows, placed), instant=instant)
            except Exception:
                await self._remove([placed])
                raise
            else:
                if not kept:
                    await self._remove([placed])
                return result
            finally:
                self._blobs.committed(placed)
        finally:
            await draft.end()

    def _accepted(self, task: asyncio.Task[Any]) -> None:
        self._accepting.discard(task)
        if not task.cancelled():
            task.exception()  # seen, even if whoever wanted it is gone
