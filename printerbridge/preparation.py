"""Making one line's jobs ready: as often as it takes, and no longer than somebody wants them."""

from __future__ import annotations

import asyncio
import contextlib
import time

from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job
from printerbridge.journal import Journal, again, resumes
from printerbridge.ready import Prepared
from printerbridge.resuming import obstacle, rest
from printerbridge.retry import Schedule, gives_up
from printerbridge.spool import Spool


class Preparation:
    """Whatever fails is written to the `journal`; `schedule` says when to try again, until `stopping`."""

    def __init__(self, spool: Spool, journal: Journal, schedule: Schedule, stopping: asyncio.Event) -> None:
        self._spool = spool
        self._journal = journal
        self._schedule = schedule
        self._stopping = stopping
        self._running: dict[Job, asyncio.Task[Prepared | None]] = {}  # its being made ready

    async def prepare(self, job: Job, printer: Printer) -> Prepared | None:
        """None if the job is not to be printed now, or not any more."""
        failures = 0
        while not self._stopping.is_set():
            try:
                prepared = await self._once(job, printer)
                return prepared if prepared and await self._may_print(prepared, printer) else None
            except PermanentFailure as failure:
                await self._journal.abort(job, failure)
                return None
            except TransientFailure as failure:
                failures += 1
                if gives_up(failure.status, failures):
                    await self._journal.abort(job, failure)
                    return None
                delay = self._schedule.delay(failures)
                await self._journal.postpone(job, failure.text, time.time() + delay)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(delay):
                        await self._stopping.wait()
                if not await self._journal.wanted(job):
                    return None
        return None

    async def _goes_on(self, prepared: Prepared, printer: Printer) -> bool:
        """Of a job that is to go on behind what was confirmed, only that is left; False if it cannot."""
        if not resumes(prepared.job):
            return True
        done = await self._journal.confirmed(prepared.job)
        why = obstacle(done, prepared.senders, printer)
        if why or done is None:
            await self._spool.discard(prepared)
            await self._journal.not_resumed(prepared.job, why)
            return False
        prepared.documents, prepared.start = rest(done, prepared.documents)
        prepared.resumed = done
        return True

    async def _may_print(self, prepared: Prepared, printer: Printer) -> bool:
        """Whether no limit of pages holds it; else nothing is left of it here.  What is to be told of it is noted."""
        job, printed = prepared.job, False
        if not await self._goes_on(prepared, printer):
            return False
        try:
            for text in prepared.notes():
                await self._journal.note(job, text)
            told = ""
            if prepared.limits is not None:
                told = await self._journal.count(job, prepared.counted, prepared.limits)
            printed = not told
            if printed:
                self._spool.previews.offer(prepared)
            else:
                await self._journal.hold(job, told)
        finally:
            if not printed:
                await self._spool.discard(prepared)
        return printed

    async def heed(self) -> None:
        """Break off what has ended meanwhile: somebody canceled it."""
        for job, running in list(self._running.items()):
            # Once: a second time would break off its clearing up.
            if not running.cancelling() and await self._journal.ended(job):
                running.cancel()

    async def _once(self, job: Job, printer: Printer) -> Prepared | None:
        done = await self._journal.confirmed(job) if resumes(job) else None
        work = self._spool.prepare(job, printer, lambda: self._journal.claim(job), again=again(job), done=done)
        running = self._running[job] = asyncio.create_task(work)
        try:
            return await running
        except asyncio.CancelledError:
            us = asyncio.current_task()
            if running.cancelled() and us is not None and not us.cancelling():
                return None  # `heed` did it
            if running.done() and not running.cancelled() and not running.exception() and (made := running.result()):
                await self._spool.discard(made)
            raise
        finally:
            del self._running[job]
