"""`printpost up`: the embedded directory in this process's care, the appliance and the bridge as its children."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from appliance.supervisor import ChildFailed, Pauses, Supervisor, both_processes, on_signal, until_stopped
from mailstore.config import Settings
from mailstore.directory.opening import embedded_server
from mailstore.directory.slapd import EmbeddedDirectory
from mailstore.failure import Failure
from mailstore.store.place import prepare

log = structlog.get_logger()


async def up(settings: Settings, file: Path | None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status.  Raises `Failure` or `StoreUnusable` if it cannot start.

    A signal while it starts gives that up.
    """
    starting = asyncio.current_task()
    assert starting is not None
    on_signal(starting.cancel)
    try:
        async with everything(settings, file) as supervisor:
            return await until_stopped(supervisor)
    except ChildFailed as failed:
        return failed.status  # the child has said why
    except asyncio.CancelledError:
        log.info("stopped while starting")
        return os.EX_OK


@contextlib.asynccontextmanager
async def everything(settings: Settings, file: Path | None, log_file: Path | None = None) -> AsyncIterator[Supervisor]:
    """All that `up` runs, ready, its logs on stderr or in a file.

    Raises `ChildFailed`, and the log says why, `StoreUnusable` or `Failure`.
    """
    prepare(settings.store.folder)  # before the directory makes its own in it
    async with contextlib.AsyncExitStack() as stack:
        if settings.directory.url == "embedded":
            server = embedded_server(settings)
            await server.start()
            keeper = asyncio.create_task(_keep(server))
            stack.push_async_callback(server.stop)
            stack.push_async_callback(_end, keeper)
        yield await stack.enter_async_context(Supervisor(both_processes(file, log_file)))


async def _keep(server: EmbeddedDirectory) -> None:
    """Start the directory again when it dies; the appliance goes on with what it remembers meanwhile."""
    loop, pauses = asyncio.get_running_loop(), Pauses()
    while True:
        began = loop.time()
        status = await server.wait()
        pause = pauses.after(loop.time() - began)
        log.error("child died", child="directory", status=status, again_in=pause)
        await asyncio.sleep(pause)
        try:
            await server.start()
        except (Failure, OSError) as error:
            log.warning("the directory does not start", why=str(error))


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
