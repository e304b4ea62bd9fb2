"""`printpost up`: the embedded directory in this process's care, the appliance and the bridge as its children."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from appliance.supervisor import PAUSES, ChildFailed, Supervisor, both_processes, until_stopped
from mailstore.config import Settings
from mailstore.directory.opening import embedded_server
from mailstore.directory.slapd import EmbeddedDirectory
from mailstore.failure import Failure

log = structlog.get_logger()


async def up(settings: Settings, file: Path | None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status.  Raises `Failure` if the directory cannot start."""
    try:
        async with everything(settings, file) as supervisor:
            return await until_stopped(supervisor)
    except ChildFailed as failed:
        return failed.status


@contextlib.asynccontextmanager
async def everything(settings: Settings, file: Path | None, log_file: Path | None = None) -> AsyncIterator[Supervisor]:
    """All that `up` runs, ready, its logs on stderr or in a file.  Raises `ChildFailed`; the log says why."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.directory.url == "embedded":
            server = embedded_server(settings)
            await server.start()
            keeper = asyncio.create_task(_keep(server))
            stack.push_async_callback(server.stop)
            stack.callback(keeper.cancel)
        yield await stack.enter_async_context(Supervisor(both_processes(file, log_file)))


async def _keep(server: EmbeddedDirectory) -> None:
    """Start the directory again when it dies; the appliance goes on with what it remembers meanwhile."""
    pauses = iter(PAUSES)
    while True:
        status = await server.wait()
        pause = next(pauses, PAUSES[-1])
        log.error("child died", child="directory", status=status, again_in=pause)
        await asyncio.sleep(pause)
        try:
            await server.start()
        except Failure as failure:
            log.warning("the directory does not start", why=failure.text)
