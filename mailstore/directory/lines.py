"""Threads for a client library that blocks, each with one connection of its own.

A connection that was idle too long is replaced, and one that turns out to be stale costs one quick second try.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

from mailstore.directory.cache import CircuitBreaker

IDLE = 300.0  # seconds after which a connection is not trusted to be alive
QUICK = 1.0  # a failure that took less was a connection gone stale, not a server that hangs

_C = TypeVar("_C")
_T = TypeVar("_T")


class Lines(Generic[_C]):
    """`size` threads.  `connect` makes a connection or raises one of `lost`, which also end a connection in use.

    `abandon` closes a connection at once, whichever thread uses it.
    """

    def __init__(
        self,
        name: str,
        size: int,
        *,
        connect: Callable[[], _C],
        abandon: Callable[[_C], None],
        lost: tuple[type[Exception], ...],
        breaker: CircuitBreaker,
    ) -> None:
        self._breaker = breaker
        self._connect = connect
        self._abandon = abandon
        self._lost = lost
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._own = threading.local()
        self._open: dict[int, _C] = {}  # by thread
        self._closed = False

    def admit(self) -> None:
        """Raises `TransientFailure` ("4.4.3") at once while the server is known not to answer."""
        self._breaker.admit()

    async def run(self, work: Callable[[_C], _T], *, fresh: bool = False) -> _T:
        """What `work` returns for a thread's connection; `fresh` asks for a new one and forbids a second try."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work, fresh)

    def close(self) -> None:
        """End all connections, also those that a thread is waiting on."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open.values()):
            self._abandon(connection)

    def _work(self, work: Callable[[_C], _T], fresh: bool) -> _T:
        admitted = self._breaker.now()
        try:
            answer = self._twice(work, fresh)
        except self._lost:
            self._breaker.failed(admitted)
            raise
        except Exception:
            self._breaker.succeeded()  # an answer all the same
            raise
        self._breaker.succeeded()
        return answer

    def _twice(self, work: Callable[[_C], _T], fresh: bool) -> _T:
        began = time.monotonic()
        if fresh or began - getattr(self._own, "used", began) > IDLE:
            self._drop()
        reused = threading.get_ident() in self._open
        try:
            return self._try(work)
        except self._lost:
            if self._closed or not reused or time.monotonic() - began > QUICK:
                raise
        return self._try(work)

    def _try(self, work: Callable[[_C], _T]) -> _T:
        me = threading.get_ident()
        if me not in self._open:
            self._open[me] = self._connect()
        try:
            answer = work(self._open[me])
        except self._lost:
            self._drop()
            raise
        self._own.used = time.monotonic()
        return answer

    def _drop(self) -> None:
        connection = self._open.pop(threading.get_ident(), None)
        if connection is not None:
            self._abandon(connection)
