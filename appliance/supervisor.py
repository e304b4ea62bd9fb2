"""`printpost up`: the embedded directory, the appliance and the bridge as child processes of one.

Whatever dies is started again, with growing pauses; a child that says that it can't start at all (its exit status is
EX_CONFIG or EX_UNAVAILABLE before it was ever ready) ends the whole.  Children never outlive us: the kernel tells them
(PR_SET_PDEATHSIG), so not even SIGKILL leaves one behind.  As process 1 of a container it also takes the exit status of
what others orphan.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from mailstore.failure import TransientFailure
from mailstore.notify import notify

PAUSES = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds before a child that died is started again; the last one is repeated."""
STEADY = 60.0
"""A child that lived so long, in seconds, starts again without a pause."""
GRACE = 25.0
"""Seconds that a child has to end after SIGTERM; the bridge may be in the middle of a page."""
READY = 60.0
"""Seconds that a child has until it must be ready for the first time."""
ORPHANS = 5.0
"""Seconds between two looks for orphans that died."""
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


class Pauses:
    """How long to wait before what died is started again: ever longer, and from the beginning after a steady life."""

    def __init__(self) -> None:
        self._deaths = 0

    def after(self, lived: float) -> float:
        """Seconds to wait now, after a life of so many."""
        if lived > STEADY:
            self._deaths = 0
            return 0.0
        self._deaths += 1
        return PAUSES[min(self._deaths, len(PAUSES)) - 1]


class Supervisor:
    """Keeps `children` alive in the order given, and ends them in the same order.

    As a context: entering starts them and returns when all are ready, leaving ends them all.  Entering raises
    `ChildFailed` if one cannot start, `TransientFailure` if one is not ready in time.
    """

    def __init__(self, children: Sequence[Child]) -> None:
        self.children = children
        self._tasks: list[asyncio.Task[None]] = []
        self._burying: asyncio.Task[None] | None = None
        self._stopping = False
        self._failed: asyncio.Future[ChildFailed] = asyncio.get_running_loop().create_future()
        self._folder = tempfile.TemporaryDirectory(prefix="printpost-up-")
        self._readiness = [
            _Readiness(Path(self._folder.name) / str(number), child) for number, child in enumerate(children)
        ]

    async def __aenter__(self) -> Supervisor:
        loop = asyncio.get_running_loop()
        if os.getpid() == 1:
            self._burying = loop.create_task(bury_orphans())
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
            await asyncio.wait([task])
        if self._burying:
            self._burying.cancel()
        for readiness in self._readiness:
            readiness.close()
        self._folder.cleanup()

    def kill(self) -> None:
        """End all children now, whatever they are doing.  For whoever does not wait for `stop`."""
        for child in self.children:
            if child.process is not None and child.process.returncode is None:
                log.warning("child is killed", child=child.name)
                with contextlib.suppress(ProcessLookupError):
                    child.process.kill()

    async def _first_ready(self, child: Child) -> None:
        ready, failed = asyncio.create_task(child.ready.wait()), asyncio.create_task(self.failed())
        try:
            async with asyncio.timeout(READY):
                await asyncio.wait([ready, failed], return_when=asyncio.FIRST_COMPLETED)
        except TimeoutError:
            raise TransientFailure(
                "4.3.0", f"the {child.name} was not ready within {READY:.0f} s; its lines in the log say why"
            ) from None
        finally:
            ready.cancel()
            failed.cancel()
        if self._failed.done():
            raise self._failed.result()

    async def _keep(self, child: Child, readiness: _Readiness) -> None:
        loop, pauses = asyncio.get_running_loop(), Pauses()
        while True:
            started = loop.time()
            status = await self._live(child, readiness)
            if status in HOPELESS and not child.ready.is_set() and not self._failed.done():
                self._failed.set_result(ChildFailed(child.name, status))
            if self._failed.done() or self._stopping:
                return
            pause = pauses.after(loop.time() - started)
            log.error("child died", child=child.name, status=status, again_in=pause)
            await asyncio.sleep(pause)

    async def _live(self, child: Child, readiness: _Readiness) -> int:
        """Start the child and wait for its end; returns its exit status."""
        try:
            with child.log_file.open("ab") if child.log_file else contextlib.nullcontext() as stderr:
                child.process = await asyncio.create_subprocess_exec(
                    *("setpriv", "--pdeathsig", "TERM", "--", *child.argv),
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**os.environ, "NOTIFY_SOCKET": str(readiness.path)},
                    stderr=stderr,
                )
        except OSError as error:  # no memory or no process for it now; or nothing to run, and that will not change
            log.warning("child cannot be started", child=child.name, why=str(error))
            return os.EX_UNAVAILABLE if isinstance(error, FileNotFoundError) else os.EX_OSERR
        return await child.process.wait()


class ChildFailed(Exception):
    """A child can't be started; it has said why on stderr."""

    def __init__(self, name: str, status: int) -> None:
        super().__init__(f"the {name} cannot start")
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


def on_signal(act: Callable[[], object]) -> None:
    """Do this at SIGTERM and SIGINT from now on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, act)


async def until_stopped(supervisor: Supervisor) -> int:
    """Wait for SIGTERM, SIGINT or a child that can't start; returns the exit status.

    Another signal while the children end takes the time for it from them.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    on_signal(stop.set)
    notify("READY=1")
    stopped, failed = loop.create_task(stop.wait()), loop.create_task(supervisor.failed())
    await asyncio.wait([stopped, failed], return_when=asyncio.FIRST_COMPLETED)
    notify("STOPPING=1")
    on_signal(supervisor.kill)
    stopped.cancel()
    if failed.done():
        return failed.result().status
    failed.cancel()
    return os.EX_OK


async def bury_orphans() -> None:
    """Take the exit status of processes that were orphaned and became ours, for as long as this runs.

    asyncio takes that of our own children at once, so whoever is seen dead twice is nobody's.
    """
    dead: set[int] = set()
    while True:
        now = _dead_children()
        for pid in dead & now:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)  # noqa: ASYNC222 - it does not wait
        dead = now
        await asyncio.sleep(ORPHANS)


def _dead_children() -> set[int]:
    """Process ids, by proc(5), of our children that ended and whose exit status nobody took."""
    dead = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = path.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state == "Z" and int(parent) == os.getpid():
                dead.add(int(path.parent.name))
    return dead
