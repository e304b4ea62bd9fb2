"""The SMTP receiver: the listener, all its connections and what outlives them.

Security: whoever reaches the port can talk here; what one client and all of them may take is in `limits`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from appliance.smtp.connection import Connection
from appliance.smtp.limits import Gate, Limits
from appliance.smtp.transaction import Site
from mailstore.config import Settings, split_endpoint
from mailstore.directory.contract import Directory
from mailstore.monitoring import bind
from mailstore.store.contract import Store


class Receiver:
    """The listener and its connections.  `start_smtp` makes it."""

    def __init__(self, site: Site) -> None:
        self.loop = asyncio.get_running_loop()
        self.site = site
        self.gate = Gate(site.limits)
        self.connections: set[Connection] = set()
        self.closing = False
        self.address: tuple[str, int] = ("", 0)
        self._tasks: set[asyncio.Future[Any]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._server: asyncio.Server | None = None

    async def listen(self, where: str) -> None:
        """Raises `PermanentFailure` when the port cannot be used."""
        listener = bind(where, "[smtp] listen")
        self.address = listener.getsockname()[:2]
        self._server = await self.loop.create_server(lambda: Connection(self), sock=listener, backlog=1024)

    def enter(self, connection: Connection) -> None:
        self.connections.add(connection)
        self._empty.clear()

    def leave(self, connection: Connection) -> None:
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` as a task of the receiver: no connection's end cancels it."""
        self.keep(self.loop.create_task(work))

    def keep(self, task: asyncio.Future[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, grace: float) -> None:
        """Listen no more; idle clients hear 421, messages under way may end within `grace` seconds, the rest is cut.

        Commits that have begun are waited for, however long they take.
        """
        self.closing = True
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._empty.wait()
        for connection in self.connections:
            if connection.transport is not None:
                connection.transport.abort()
        await self._empty.wait()
        while self._tasks:
            await asyncio.wait(self._tasks)


async def start_smtp(
    settings: Settings,
    store: Store,
    directory: Directory,
    *,
    host: str | None = None,
    port: int | None = None,
    limits: Limits | None = None,
) -> Receiver:
    """Listen for mail, by default where `[smtp] listen` says.  Raises `PermanentFailure` when the port is taken."""
    configured = split_endpoint(settings.smtp.listen)
    host = configured[0] if host is None else host
    port = configured[1] if port is None else port
    receiver = Receiver(Site(settings=settings, store=store, directory=directory, limits=limits or Limits()))
    await receiver.listen(f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    return receiver
