"""Names of printers to addresses, in threads of its own.

A name server that is silent holds `getaddrinfo` for half a minute, and nothing can call it back.  In the threads that
the loop shares, a few printers with dead names would hold up every other printer's files and names; here they hold up
names only, and only when very many of them are dead.

Security: names come from printers' entries, which only the site's people write; what the name server answers is looked
at by whoever connects.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from threading import Thread

Sockaddr = tuple[str, int] | tuple[str, int, int, int]
Address = tuple[socket.AddressFamily, Sockaddr]

THREADS = 64
_free = asyncio.Semaphore(THREADS)


async def resolve(host: str, port: int) -> list[Address]:
    """The addresses of `host` for TCP, best first.  Raises `OSError`; the deadline is the caller's.

    A look-up that is given up keeps its thread until the system's resolver gives up too.
    """
    loop = asyncio.get_running_loop()
    await _free.acquire()
    answer: asyncio.Future[list[Address]] = loop.create_future()

    def tell(found: list[Address] | OSError) -> None:
        _free.release()
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
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, found)

    # Daemons: a silent name server must not hold up the end of the process.
    Thread(target=ask, name=f"resolve {host}", daemon=True).start()
    return await answer
