"""Names of printers to addresses, in threads of its own.

A name server that is silent holds `getaddrinfo` for half a minute, and nothing can call it back.  In the threads that
the loop shares, a few printers with dead names would hold up every other printer's files and names.  Here each name is
looked up once at a time, however many ask; one that failed is not asked again for a while; and however many are dead,
some threads are left for new names, and some for those alone that were found the last time.

Security: names come from printers' entries, which only the site's people write; what the name server answers is looked
at by whoever connects.  Answers are not remembered, and failures not longer than two minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from threading import Thread
from typing import NamedTuple
from weakref import WeakKeyDictionary

Sockaddr = tuple[str, int] | tuple[str, int, int, int]
Address = tuple[socket.AddressFamily, Sockaddr]

THREADS = 64
_NOT_FOUND_BEFORE = 48  # at most for names that are new, or failed the last time
_FAILED_BEFORE = 24  # at most for the latter
_KNOWN = 20_000  # names of which the last answer is remembered
_LEAST, _MOST = 2.0, 120.0  # seconds for which a failure counts,
_TIMES = 4  # so many times what it took: who holds a thread for long is asked less often


class _Last(NamedTuple):
    """What came of a name the last time."""

    error: OSError | None = None
    until: float = 0.0  # by the loop's clock: before, it is not asked again


class _Names:
    """Of one loop."""

    def __init__(self) -> None:
        self.free = asyncio.Semaphore(THREADS)
        self.free_for_others = asyncio.Semaphore(_NOT_FOUND_BEFORE)
        self.free_for_failed = asyncio.Semaphore(_FAILED_BEFORE)
        self.asked: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}
        self.last: dict[str, _Last] = {}

    def turns(self, host: str) -> tuple[asyncio.Semaphore, ...]:
        """Through which a look-up goes, in this order."""
        last = self.last.get(host)
        if last is None:
            return self.free_for_others, self.free
        return (self.free,) if last.error is None else (self.free_for_failed, self.free_for_others, self.free)

    def note(self, host: str, last: _Last) -> None:
        self.last.pop(host, None)
        while len(self.last) >= _KNOWN:
            del self.last[next(iter(self.last))]
        self.last[host] = last


_names: WeakKeyDictionary[asyncio.AbstractEventLoop, _Names] = WeakKeyDictionary()


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host` for TCP, best first.  Raises `OSError`; the deadline is the caller's.

    A look-up that is given up keeps its thread until the system's resolver gives up too.
    """
    loop = asyncio.get_running_loop()
    names = _names.get(loop)
    if names is None:
        names = _names[loop] = _Names()
    asked = names.asked.get((host, port))
    if asked is None:
        last = names.last.get(host, _Last())
        if last.error is not None and loop.time() < last.until:
            raise type(last.error)(*last.error.args)
        asked = names.asked[host, port] = loop.create_task(_ask(names, host, port))
        asked.add_done_callback(lambda task: task.cancelled() or task.exception())  # nobody may wait any more
    return await asyncio.shield(asked)


async def _ask(names: _Names, host: str, port: int) -> list[Address]:
    time = asyncio.get_running_loop().time
    try:
        async with contextlib.AsyncExitStack() as stack:
            for turn in names.turns(host):
                await stack.enter_async_context(turn)
            began = time()
            try:
                found = await _in_thread(host, port)
            except OSError as error:
                ended = time()
                names.note(host, _Last(error, ended + min(_MOST, max(_LEAST, _TIMES * (ended - began)))))
                raise
            names.note(host, _Last())
            return found
    finally:
        del names.asked[host, port]


async def _in_thread(host: str, port: int) -> list[Address]:
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(found: list[Address] | OSError) -> None:
        if answer.done():
            return
        if isinstance(found, OSError):
            answer.set_exception(found)
        else:
            answer.set_result(found)

    def ask() -> None:
        found: list[Address] | OSError
        try:
            asked = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = [(family, address) for family, _, _, _, address in asked]  # type: ignore[misc]
        except OSError as error:
            found = error
        except UnicodeError:
            found = OSError(errno.EINVAL, "its name cannot be looked up")
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, found)

    try:
        # Daemons: a silent name server must not hold up the end of the process.
        Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    except RuntimeError as error:
        raise OSError(errno.EAGAIN, "no thread can be had to look its name up") from error
    return await answer
