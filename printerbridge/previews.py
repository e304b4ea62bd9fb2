"""Pictures of the first pages of jobs, for the web page: made beside the printing, never before it.

They are worth little: what does not find room in the queue, or cannot be drawn, goes without.

Security: the PDFs are strangers' or made of theirs; they are drawn by a confined child (`printerbridge.thumbnails`).
Nothing is drawn for printers whose entry says that they are confidential: for these nothing is offered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

from mailstore.failure import TransientFailure
from mailstore.store.contract import Store
from mailstore.store.papers import THUMBNAILS
from printerbridge.ready import Prepared, Shown
from printerbridge.slots import Slots
from printerbridge.thumbnails import thumbnails

log = logging.getLogger(__name__)

_WAITING = 64  # documents
_SECONDS = 20.0
_DOCUMENTS = 4  # of a job


class Previews:
    """`folder` is the spool's own, in which the PDFs stand until their turn comes."""

    def __init__(self, store: Store, folder: Path, slots: Slots) -> None:
        self._store = store
        self._folder = folder
        self._slots = slots
        self._waiting: asyncio.Queue[tuple[int, Shown]] = asyncio.Queue(_WAITING)

    def offer(self, prepared: Prepared) -> None:
        """Take what is to be shown of a job; the job's own files may go afterwards."""
        for shown in prepared.shown[:_DOCUMENTS]:
            kept = self._folder / f"shown-{prepared.job.id}-{shown.document}-{time.monotonic_ns()}.pdf"
            try:
                os.link(shown.pdf, kept)
                self._waiting.put_nowait((prepared.job.id, Shown(document=shown.document, pdf=kept, pages=shown.pages)))
            except asyncio.QueueFull:
                kept.unlink(missing_ok=True)
            except OSError as error:
                log.warning("the pages of a job are not shown", extra={"job": prepared.job.id, "why": error.strerror})
        prepared.shown.clear()

    async def run(self) -> None:
        """Draw, until canceled."""
        while True:
            job_id, shown = await self._waiting.get()
            try:
                await self._draw(job_id, shown)
            except TransientFailure as failure:
                log.warning("pictures of pages could not be kept: %s", failure.text)
            except Exception:
                log.exception("drawing pages failed")
            finally:
                await asyncio.to_thread(shown.pdf.unlink, missing_ok=True)
                self._waiting.task_done()

    async def drained(self) -> None:
        """Return when nothing waits any more."""
        await self._waiting.join()

    async def _draw(self, job_id: int, shown: Shown) -> None:
        kept = await self._store.thumbnails(job_id)
        if any(document == shown.document for document, _ in kept) or len(kept) >= THUMBNAILS:
            return  # made ready a second time
        async with self._slots.take((await asyncio.to_thread(shown.pdf.stat)).st_size):
            pictures = await thumbnails(shown.pdf, shown.pages, folder=self._folder, timeout=_SECONDS)
        for page, png in pictures:
            if not await self._store.keep_thumbnail(job_id, shown.document, page, png):
                return
