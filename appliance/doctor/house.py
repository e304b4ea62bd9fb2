"""What is examined: the processes, the store, the directories, as far as they can be looked at.

Nothing of them is made or started for that: what is not there yet is not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from appliance.doctor.finding import Finding, error, note
from appliance.doctor.network import PATIENCE, Answer, ask
from mailstore.config import ConfigError, Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.opening import connect, connect_people
from mailstore.directory.records import Printer
from mailstore.failure import Failure
from mailstore.store.contract import Role, Store, StoreUnusable
from mailstore.store.sql import open_store

_NOBODY = "printpost-doctor"
_GLANCE = 0.05  # seconds between two looks at a lock that somebody holds


@dataclass(slots=True, kw_only=True)
class House:
    """What is examined.  None is what could not be opened; then `troubles` say why."""

    settings: Settings
    appliance: Answer
    bridge: Answer
    store: Store | None = None
    directory: Directory | None = None  # it answered
    people: People | None = None
    printers: Sequence[Printer] = ()
    troubles: list[Finding] = field(default_factory=list)

    @property
    def runs(self) -> bool:
        """Whether anything of it does."""
        return self.appliance.heard or self.bridge.heard


@contextlib.asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[House]:
    """The house as it stands."""
    appliance, bridge = await asyncio.gather(
        ask(settings.metrics.listen, "[metrics] listen"),
        ask(settings.bridge.metrics_listen, "[bridge] metrics_listen"),
    )
    house = House(settings=settings, appliance=appliance, bridge=bridge)
    async with contextlib.AsyncExitStack() as stack:
        folder = settings.store.folder
        if closed := await asyncio.to_thread(_closed, folder):
            house.troubles.append(error("store", closed))
        elif await asyncio.to_thread(_is_there, house, folder / "store.sqlite", "store"):
            await _open_store(house, stack)
        if settings.directory.url != "embedded" or (
            not closed and await asyncio.to_thread(_is_there, house, folder / "directory", "directory")
        ):
            await _open_directory(house, stack)
        if house.directory is not None:
            await _open_people(house, stack)
        yield house


def _closed(folder: Path) -> str:
    """Why this user cannot see what is in it; "" if he can, or it is not there."""
    try:
        folder.lstat()
    except FileNotFoundError:
        return ""
    except OSError as refused:
        return f"{folder} cannot be looked at ({refused.strerror}): run doctor as the user of Printpost"
    if not folder.is_dir():
        return f"{folder} is not a folder: set [store] url to one on a local disk"
    if not os.access(folder, os.R_OK | os.X_OK):
        return f"{folder} is closed to this user: run doctor as the user of Printpost"
    return ""


def _is_there(house: House, path: Path, subject: str) -> bool:
    if os.path.lexists(path):
        return True
    if house.appliance.heard:
        what = f"{path} is not there though the appliance runs"
        house.troubles.append(error(subject, f"{what}: give doctor the appliance's configuration"))
    else:
        house.troubles.append(note(subject, f"{path} is not there yet: it is made at the first start"))
    return False


async def _open_store(house: House, stack: contextlib.AsyncExitStack) -> None:
    folder = house.settings.store.folder
    try:
        if await _let_go(folder / "write.lock"):
            house.store = await open_store(folder, role=Role.TOOL, reserve=house.settings.store.reserve)
            stack.push_async_callback(house.store.close)
        else:
            what = f"{folder}/write.lock is held for more than {PATIENCE:.0f} s"
            house.troubles.append(
                error("store", f"{what}: a process that uses the store is stopped, or its disk hangs; look for it")
            )
    except (StoreUnusable, Failure) as unusable:
        house.troubles.append(error("store", str(unusable)))
    except OSError as refused:
        house.troubles.append(error("store", f"{refused.filename or folder} cannot be used: {refused.strerror}"))


async def _let_go(lock: Path) -> bool:
    """Whether the lock that each change of the store takes is free within a while: opening would wait for ever."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        async with asyncio.timeout(PATIENCE):
            while not _locks(descriptor):  # noqa: ASYNC110 - another process holds it: nothing tells us
                await asyncio.sleep(_GLANCE)
    except TimeoutError:
        return False
    finally:
        os.close(descriptor)
    return True


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


async def _open_directory(house: House, stack: contextlib.AsyncExitStack) -> None:
    try:
        directory = connect(house.settings, "appliance")
        stack.push_async_callback(directory.close)
        await directory.printer(_NOBODY)  # a small question, which does not take long to fail
        house.printers = await directory.printers()
    except (Failure, ConfigError, StoreUnusable) as failure:
        house.troubles.append(_unanswered(house, _sentence(failure)))
    else:
        house.directory = directory


def _unanswered(house: House, why: str) -> Finding:
    if house.settings.directory.url != "embedded":
        return error("directory", f"{house.settings.directory.url}: {why}; see [directory] in the configuration")
    if not house.runs:
        return note("directory", "it runs with printpost up: start that, and then ask again for printers and people")
    return error("directory", f"{why}: slapd is stuck, or dies again and again; see the log of printpost up")


async def _open_people(house: House, stack: contextlib.AsyncExitStack) -> None:
    try:
        house.people = connect_people(house.settings)
    except (Failure, ConfigError) as failure:
        house.troubles.append(error("people", _sentence(failure)))
    else:
        stack.push_async_callback(house.people.close)


def _sentence(failure: Exception) -> str:
    return failure.text if isinstance(failure, Failure) else str(failure)


Check = Callable[[House], AsyncIterator[Finding]]
