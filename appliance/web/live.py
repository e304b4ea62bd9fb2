"""What changes while somebody looks: one look at the store for all who look, told as server-sent events.

An event `changed` names printers, and "*" for what concerns the whole house; the page then fetches its parts again.
The first one is "*", for what changed since the page was made.
Nothing of what changed is in the event, so nobody learns what he may not see.

Security: a stream costs a connection for as long as somebody likes.  Their number is bounded, also for each person,
what a slow one has not heard is a bounded set of names, and the store is looked at for all of them together, never more
than a tenth of the time.  A stream ends when its session does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Iterable, Mapping

import structlog
from prometheus_client import Gauge

from appliance.job_file import progresses
from mailstore.failure import TransientFailure
from mailstore.store.contract import Store

LISTENERS_NOW = Gauge("printpost_web_live_streams", "Browsers that are told what changes.")

LISTENERS, PER_PERSON = 64, 8
HEARTBEAT = 15.0
"""Seconds of silence after which a stream says that it is still there, and asks whether its session is."""
LOOK = 1.0
"""Seconds between two looks at the store, while somebody listens."""
EVERYTHING = "*"
_REST = 9.0  # times the time that a look took
_NAMES = 64  # that a listener has not heard; more are everything
_JOBS = 200  # the newest, whose reasons are looked at

log = structlog.get_logger()


class Full(TransientFailure):
    """Too many listen already."""

    def __init__(self) -> None:
        super().__init__("4.4.5", "too many windows are told of changes already; reload the page to see them")


class Listener:
    """One stream's ear; `whose` is the name of who listens."""

    def __init__(self, whose: str = "") -> None:
        self.whose = whose
        self._names: set[str] = set()
        self._told = asyncio.Event()

    def tell(self, names: Iterable[str]) -> None:
        self._names.update(names)
        if len(self._names) > _NAMES:
            self._names = {EVERYTHING}
        self._told.set()

    async def heard(self, seconds: float) -> list[str]:
        """The names told since the last time, sorted; none after `seconds` of silence."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._told.wait()
        self._told.clear()
        names, self._names = sorted(self._names), set()
        return names


class Live:
    """The broadcaster.  It looks at the store while somebody listens, and not otherwise."""

    def __init__(self, store: Store, look: float = LOOK) -> None:
        self._store = store
        self._look = look
        self._listeners: set[Listener] = set()
        self._task: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()  # since it began to look
        self._closed = False

    @property
    def looking(self) -> bool:
        return self._task is not None

    async def close(self) -> None:
        """Streams end at once."""
        self._closed = True
        self._looked.set()
        for listener in self._listeners:
            listener.tell([])
        await self._stop()

    def stream(self, whose: str, still: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes, None]:
        """The octets of one stream for the person of this name, until `still` says no.  Raises `Full`."""
        if self._is_full(whose):
            raise Full
        return self._told(whose, still)

    def _is_full(self, whose: str) -> bool:
        own = sum(listener.whose == whose for listener in self._listeners)
        return own >= PER_PERSON or len(self._listeners) >= LISTENERS

    async def _told(self, whose: str, still: Callable[[], Awaitable[bool]]) -> AsyncGenerator[bytes, None]:
        if self._is_full(whose):  # others came between the asking and this
            return
        listener = Listener(whose)
        self._listeners.add(listener)
        LISTENERS_NOW.inc()
        if self._task is None and not self._closed:
            self._task = asyncio.create_task(self._watch())
            self._task.add_done_callback(self._ended)
        try:
            yield b"retry: 3000\n\n"
            await self._looked.wait()
            listener.tell([EVERYTHING])  # what changed until now nobody told this one
            asked = time.monotonic()
            while not self._closed:
                names = await listener.heard(HEARTBEAT)
                if time.monotonic() - asked >= HEARTBEAT:
                    asked = time.monotonic()
                    if not await still():
                        yield b"event: over\ndata: \n\n"
                        return
                yield f"event: changed\ndata: {json.dumps(names)}\n\n".encode() if names else b": still here\n\n"
        finally:
            self._listeners.discard(listener)
            LISTENERS_NOW.dec()
            if not self._listeners:
                await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if not self._closed:
            self._looked.clear()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("browsers are told of no change any more", exc_info=error)
            self._looked.set()  # they hear the heartbeat at least

    async def _watch(self) -> None:
        woken = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear(woken))
            seen: Mapping[str, Hashable] | None = None
            while True:
                began = time.monotonic()
                with contextlib.suppress(TransientFailure):  # the page itself says what the store does not answer
                    now = await self._fingerprints()
                    if seen is not None:
                        self._tell({name for name in now.keys() | seen.keys() if now.get(name) != seen.get(name)})
                    seen = now
                self._looked.set()
                took = time.monotonic() - began
                await asyncio.sleep(took * _REST)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._look):
                        await woken.wait()
                woken.clear()

    async def _hear(self, woken: asyncio.Event) -> None:
        async for _ in self._store.rings():
            woken.set()

    def _tell(self, names: set[str]) -> None:
        if names:
            for listener in self._listeners:
                listener.tell(names)

    async def _fingerprints(self) -> Mapping[str, Hashable]:
        """How everything stands: equal as long as nobody could see a difference."""
        jobs: dict[str, int] = {}
        newest = await self._store.jobs(limit=_JOBS)
        far = await progresses(self._store, newest)
        for job in newest:
            seen = (job.id, job.state, job.reasons, job.detail, job.attempts, far.get(job.id))
            jobs[job.printer] = hash((jobs.get(job.printer), *seen))
        waiting = {
            row.printer: (tuple(sorted(row.states.items())), row.messages, row.last_completed)
            for row in await self._store.waiting()
        }
        states = {state.printer: state for state in await self._store.printer_states()}
        found: dict[str, Hashable] = {
            name: (jobs.get(name), waiting.get(name), states.get(name))
            for name in jobs.keys() | waiting.keys() | states.keys()
        }
        found[EVERYTHING] = (await self._store.generation(), await self._store.outgoing())
        return found
