"""The appliance's process: SMTP, POP3 and the metrics on one loop, until SIGTERM.

The directory need not run and no printer need answer for it to be ready; the store must.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from appliance.gauges import StoreGauges
from appliance.pop3.server import start_pop3
from appliance.reactor import reactor
from appliance.smtp.server import start_smtp
from mailstore.config import Settings, split_endpoint
from mailstore.directory.contract import Directory
from mailstore.directory.opening import connect
from mailstore.failure import TransientFailure
from mailstore.monitoring import monitor
from mailstore.notify import notify
from mailstore.store.contract import Role, Store
from mailstore.store.sql import open_store

GRACE = 20.0
"""Seconds that messages under way have to come to their end after SIGTERM."""
LOOK = 5.0
"""Seconds between two looks at whether the directory was changed."""
SWEEP = 60.0
"""Seconds between two sweeps of what has outlived its keep."""

log = structlog.get_logger()


async def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT.  Raises `Failure` or `ConfigError` if it cannot start."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    reactor.start()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(reactor.shutdown)
        store = await open_store(
            settings.store.folder, role=Role.APPLIANCE, keep=settings.store.keep, reserve=settings.store.reserve
        )
        stack.push_async_callback(store.close)
        directory = connect(settings, "appliance")
        stack.push_async_callback(directory.close)
        gauges = StoreGauges(store, directory)
        stack.callback(gauges.close)

        async def readiness() -> str:
            return "stopping" if stop.is_set() else ""

        where = await stack.enter_async_context(
            monitor(settings.metrics.listen, "[metrics] listen", readiness, gauges.refresh)
        )
        open_ports: list[_Listener] = []
        stack.push_async_callback(_close, open_ports)
        smtp = await start_smtp(settings, store, directory)
        open_ports.append(smtp)
        host, port = split_endpoint(settings.pop3.listen)
        pop3 = await start_pop3(settings, store, directory, host=host, port=port)
        open_ports.append(pop3)
        async with asyncio.TaskGroup() as tasks:
            chores = [tasks.create_task(_heed(store, directory)), tasks.create_task(_sweep(store))]
            log.info("ready", smtp=smtp.address, pop3=pop3.address, metrics=where)
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            log.info("stopping")
            for chore in chores:
                chore.cancel()


class _Listener(Protocol):
    async def close(self, grace: float) -> None: ...


async def _close(listeners: Sequence[_Listener]) -> None:
    """All at once: none of them takes anything new while another's clients use up their grace."""
    ends = await asyncio.gather(*(listener.close(GRACE) for listener in listeners), return_exceptions=True)
    for end in ends:
        if isinstance(end, BaseException):
            raise end


async def _heed(store: Store, directory: Directory) -> None:
    """Forget what is remembered of the directory as soon as somebody changed it through Printpost."""
    known = -1

    async def look() -> None:
        nonlocal known
        try:
            now = await store.generation()
        except TransientFailure as failure:  # the next look may succeed; what is remembered ages by itself
            log.warning("not looked whether the directory was changed", why=str(failure))
            return
        if now != known:
            known = now
            directory.forget()

    async def look_now_and_then() -> None:  # a ring is a hint that may be lost
        while True:
            await asyncio.sleep(LOOK)
            await look()

    await look()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(look_now_and_then())
        async for name in store.rings():
            if name == "*":  # the others are jobs, one for each mail
                await look()


async def _sweep(store: Store) -> None:
    while True:
        try:
            if gone := await store.sweep(time.time()):
                log.info("swept", messages=gone)
        except (TransientFailure, OSError) as error:  # a disk that is full for now must not end the process
            log.warning("not swept", why=str(error))
        await asyncio.sleep(SWEEP)
