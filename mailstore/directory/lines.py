"""Requests to a server whose client library blocks: threads, each with one connection of its own.

A connection that was idle too long is replaced, and one that turns out to be stale costs one quick second try.  A
server that does not answer is left alone for a while (`CircuitBreaker`).

Security: strangers decide how much is asked.  Who waits, waits no longer than a deadline, also for a thread; a dead
server is told to the log once for each try, not once for each who asked.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

import structlog
from prometheus_client import Counter, Histogram

from mailstore.directory.cache import CircuitBreaker
from mailstore.failure import TransientFailure

REQUESTS = Counter("printpost_directory_requests_total", "Requests to the directory.", ["operation"])
FAILURES = Counter("printpost_directory_request_failures_total", "Requests that the directory failed.", ["operation"])
DURATION = Histogram(
    "printpost_directory_request_duration_seconds",
    "Time that the directory took, waiting for a thread included.",
    ["operation"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
for _operation in ("search", "bind", "add", "modify", "delete", "password"):
    for _metric in (REQUESTS, FAILURES, DURATION):
        _metric.labels(_operation)

IDLE = 300.0  # seconds after which a connection is not trusted to be alive
QUICK = 1.0  # a failure that took less was a connection gone stale, not a server that hangs

log = structlog.get_logger()

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
        self._name = name
        self._breaker = breaker
        self._connect = connect
        self._abandon = abandon
        self._lost = lost
        self._silence: tuple[type[Exception], ...] = (*lost, TimeoutError)
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._own = threading.local()
        self._open: dict[int, _C] = {}  # by thread
        self._closed = False

    async def request(self, operation: str, work: Callable[[_C], _T], *, deadline: float, fresh: bool = False) -> _T:
        """What `work` returns for a thread's connection; `fresh` asks for a new one and forbids a second try.

        Raises `TransientFailure` ("4.4.3") when the server does not answer within `deadline` seconds, at once while it
        is known not to, and what else `work` raises.
        """
        self._breaker.admit()
        REQUESTS.labels(operation).inc()
        try:
            with DURATION.labels(operation).time():
                async with asyncio.timeout(deadline):
                    return await asyncio.get_running_loop().run_in_executor(self._threads, self._work, work, fresh)
        except self._silence as error:
            FAILURES.labels(operation).inc()
            raise TransientFailure("4.4.3", "the directory does not answer") from error
        except Exception:
            FAILURES.labels(operation).inc()
            raise

    def close(self) -> None:
        """End all connections, also those that a thread is waiting on."""
        self._closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for connection in list(self._open.values()):
            self._abandon(connection)

    def _work(self, work: Callable[[_C], _T], fresh: bool) -> _T:
        began = self._breaker.now()
        try:
            answer = self._twice(work, fresh)
        except self._lost as error:
            if self._breaker.failed(began) and not self._closed:
                log.warning("the directory does not answer", lines=self._name, why=str(error) or type(error).__name__)
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
            return self._once(work)
        except self._lost:
            if self._closed or not reused or time.monotonic() - began > QUICK:
                raise
        return self._once(work)

    def _once(self, work: Callable[[_C], _T]) -> _T:
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
