"""Pictures of the first pages of jobs, for the web page: made beside the printing, never before it.

They are worth little: what does not find room in the queue, or cannot be drawn, goes without.  They are drawn where no
conversion wants the place, and begun anew if one comes (`printerbridge.slots`).

Security: the PDFs are strangers' or made of theirs; they are drawn by a confined child (`printerbridge.thumbnails`).
While they wait they hold room on the disk, so there are few, and not many octets.  Nothing is drawn for printers whose
entry says that they are confidential: for these nothing is offered.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.store.contract import Store
from mailstore.store.papers import THUMBNAILS
from printerbridge.ready import Prepared
from printerbridge.slots import Slots
from printerbridge.thumbnails import LIMITS, thumbnails

log = logging.getLogger(__name__)

WAITING = 64
"""Documents that wait, of all jobs."""
OCTETS = 128 << 20
"""Octets of the documents that wait or are drawn."""
DOCUMENTS = 4
"""Documents of a job that pictures are made of."""
_SECONDS = 20.0
_TIMES = 3  # that one is begun


@dataclass(frozen=True, slots=True, kw_only=True)
class _Waiting:
    job_id: int
    document: int
    pages: int
    pdf: Path
    octets: int


class Previews:
    """`folder` is the spool's own, in which the PDFs stand until their turn comes."""

    def __init__(self, store: Store, folder: Path, slots: Slots) -> None:
        self._store = store
        self._folder = folder
        self._slots = slots
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(WAITING)
        self._octets = 0

    def offer(self, prepared: Prepared) -> None:
        """Take what is to be shown of a job; the job's own files may go afterwards."""
        job_id = prepared.job.id
        for shown in prepared.shown[:DOCUMENTS]:
            kept = self._folder / f"shown-{job_id}-{shown.document}-{time.monotonic_ns()}.pdf"
            try:
                octets = shown.pdf.stat().st_size
                if self._waiting.full() or self._octets + octets > OCTETS:
                    continue
                os.link(shown.pdf, kept)
            except OSError as error:
                log.warning("the pages of a job are not shown", extra={"job": job_id, "why": error.strerror})
                continue
            self._octets += octets
            self._waiting.put_nowait(
                _Waiting(job_id=job_id, document=shown.document, pages=shown.pages, pdf=kept, octets=octets)
            )
        prepared.shown.clear()

    async def run(self) -> None:
        """Draw, until canceled; then nothing is left of what waits."""
        try:
            while True:
                one = await self._waiting.get()
                try:
                    await self._draw(one)
                except TransientFailure as failure:
                    log.warning("pictures of pages could not be kept: %s", failure.text)
                except Exception:
                    log.exception("drawing pages failed")
                finally:
                    self._forget(one)
        finally:
            while not self._waiting.empty():
                self._forget(self._waiting.get_nowait())

    async def drained(self) -> None:
        """Return when nothing waits any more."""
        await self._waiting.join()

    def _forget(self, one: _Waiting) -> None:
        with contextlib.suppress(OSError):
            one.pdf.unlink()
        self._octets -= one.octets
        self._waiting.task_done()

    async def _draw(self, one: _Waiting) -> None:
        kept = await self._store.thumbnails(one.job_id)
        if any(document == one.document for document, _ in kept) or len(kept) >= THUMBNAILS:
            return  # made ready a second time
        for page, png in await self._pictures(one):
            if not await self._store.keep_thumbnail(one.job_id, one.document, page, png):
                return

    async def _pictures(self, one: _Waiting) -> list[tuple[int, bytes]]:
        for _ in range(_TIMES):
            with contextlib.suppress(TimeoutError):  # a conversion wants the place
                async with self._slots.spare() as memory:
                    limits = replace(LIMITS, memory=min(LIMITS.memory, memory))
                    return await thumbnails(one.pdf, one.pages, folder=self._folder, timeout=_SECONDS, limits=limits)
        return []
