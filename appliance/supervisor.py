"""`printpost up`: the embedded directory, the appliance and the bridge as child processes of one.

Whatever dies is started again, with growing pauses; a child that says that it can't start at all (its exit status is
EX_CONFIG or EX_UNAVAILABLE before it was ever ready) ends the whole.  Children never outlive us: the kernel tells them
(PR_SET_PDEATHSIG), so not even SIGKILL leaves one behind.  As process 1 of a container it also reaps what others
orphan.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from mailstore.notify import notify

PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a child that died is started again; the last one is repeated."""
STEADY = 60.0
"""A child that lived so long, in seconds, starts again without a pause."""
GRACE = 25.0
"""Seconds that a child has to end after SIGTERM; the bridge may be in the middle of a page."""
HOPELESS = frozenset({os.EX_CONFIG, os.EX_UNAVAILABLE, os.EX_USAGE})

log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Child:
    """One process that is to live as long as we do."""

    name: str
    argv: Sequence[str]
    log_file: Path | None = None  # where its stderr goes, if not where ours goes
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    process: asyncio.subprocess.Process | None = None


class Supervisor:
    """Keeps `children` alive in the order given, and ends them in the same order.

    As a context: entering starts them and returns when all are ready (raises `ChildFailed` if one cannot start),
    leaving ends them all.
    """

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = children
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False
        self._failed: asyncio.Future[ChildFailed] = asyncio.get_running_loop().create_future()
        self._folder = tempfile.TemporaryDirectory(prefix="printpost-up-")
        self._readiness = [
            _Readiness(Path(self._folder.name) / str(number), child) for number, child in enumerate(children)
        ]

    async def __aenter__(self) -> Supervisor:
        loop = asyncio.get_running_loop()
        if os.getpid() == 1:
            loop.add_signal_handler(signal.SIGCHLD, self._reap_orphans)
        try:
            for child, readiness in zip(self.children, self._readiness, strict=True):
                readiness.open()
                self._tasks.append(loop.create_task(self._keep(child, readiness), name=child.name))
                await self._first_ready(child)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def failed(self) -> ChildFailed:
        """Wait for a child that cannot be started any more."""
        return await asyncio.shield(self._failed)

    async def stop(self) -> None:
        """End the children one after another, in their order."""
        self._stopping = True
        for child, task in zip(self.children, self._tasks, strict=False):
            await _end(child)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for readiness in self._readiness:
            readiness.close()
        self._folder.cleanup()

    async def _first_ready(self, child: Child) -> None:
        ready, failed = asyncio.create_task(child.ready.wait()), asyncio.create_task(self.failed())
        try:
            async with asyncio.timeout(60):
                await asyncio.wait([ready, failed], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise ChildFailed(child.name, os.EX_TEMPFAIL, "was not ready after 60 s") from None
        finally:
            ready.cancel()
            failed.cancel()
        if self._failed.done():
            raise self._failed.result()

    async def _keep(self, child: Child, readiness: _Readiness) -> None:
        loop, deaths = asyncio.get_running_loop(), 0
        while True:
            started = loop.time()
            with child.log_file.open("ab") if child.log_file else contextlib.nullcontext() as stderr:
                child.process = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "TERM", "--", *child.argv),
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "NOTIFY_SOCKET": str(readiness.path)},
                    stderr=stderr,
                )
            status = await child.process.wait()
            if status in HOPELESS and not child.ready.is_set() and not self._failed.done():
                self._failed.set_result(ChildFailed(child.name, status, "cannot start"))
            if self._failed.done():
                return
            if self._stopping:
                return
            deaths = 0 if loop.time() - started > STEADY else deaths + 1
            pause = PAUSES[min(deaths, len(PAUSES)) - 1] if deaths else 0.0
            log.error("child died", child=child.name, status=status, again_in=pause)
            await asyncio.sleep(pause)

    def _reap_orphans(self) -> None:
        """Take the exit status of processes that were orphaned and became ours, and of no child of our own."""
        own = {child.process.pid for child in self.children if child.process is not None}
        with contextlib.suppress(ChildProcessError):
            while (died := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and died.si_pid not in own:
                os.waitpid(died.si_pid, 0)


class ChildFailed(Exception):
    """A child can't be started; it has said why on stderr."""

    def __init__(self, name: str, status: int, what: str) -> None:
        super().__init__(f"the {name} {what}")
        self.status = status


class _Readiness:
    """The socket on which one child says READY=1 (sd_notify)."""

    def __init__(self, path: Path, child: Child) -> None:
        self.path = path
        self._child = child
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)

    def open(self) -> None:
        self._socket.bind(str(self.path))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            if b"READY=1" in self._socket.recv(4096).split(b"\n"):
                self._child.ready.set()

    def close(self) -> None:
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()


async def _end(child: Child) -> None:
    process = child.process
    if process is None or process.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(GRACE):
            await process.wait()
    except TimeoutError:
        log.warning("child does not end", child=child.name)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def both_processes(config: Path | None, log_file: Path | None = None) -> list[Child]:
    """The appliance and the bridge, in the order in which they start, and end: mail first stops coming in."""
    option = ["--config", str(config)] if config else []
    return [
        Child(name="appliance", argv=[sys.executable, "-m", "appliance", *option, "serve"], log_file=log_file),
        Child(name="bridge", argv=[sys.executable, "-m", "printerbridge", *option], log_file=log_file),
    ]


async def until_stopped(supervisor: Supervisor) -> int:
    """Wait for SIGTERM, SIGINT or a child that can't start; returns the exit status."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    notify("READY=1")
    stopped, failed = loop.create_task(stop.wait()), loop.create_task(supervisor.failed())
    await asyncio.wait([stopped, failed], return_when=asyncio.FIRST_COMPLETED)
    notify("STOPPING=1")
    stopped.cancel()
    if failed.done():
        return failed.result().status
    failed.cancel()
    return os.EX_OK
