"""Wakes the other processes on the same store: one datagram socket each, in a folder they share.

Security: a datagram comes from a process of a user of this store (the folder is closed to others).  It is still only a
hint: at most `DATAGRAM_OCTETS` are read, names are bounded in number, and whoever hears one looks into the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

from mailstore.store.place import shared

DATAGRAM_OCTETS = 4096
NAMES = 4096
"""How many different names may wait to be heard; more are dropped, for a ring is a hint."""

PATIENCE, PATIENCE_MOST = 0.005, 1.0
"""Seconds until a peer whose queue was full is tried again, doubled each time."""


class Doorbell:
    """This process's socket, and a way to ring those of the others."""

    def __init__(self, folder: Path, role: str, *, heard_here: bool = True) -> None:
        self._folder = folder
        self._heard_here = heard_here
        self._name = f"{role}-{os.getpid()}-{os.urandom(3).hex()}.bell"
        # Through the descriptor the path stays under the 107 octets of a Unix socket, wherever the folder lies.
        self._descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._base = f"/proc/self/fd/{self._descriptor}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"{self._base}/{self._name}")
        if shared(folder):
            os.chmod(f"{self._base}/{self._name}", 0o660)  # noqa: PTH101 - whoever rings has to write
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._hear)
        self._listeners: set[_Listener] = set()
        self._unsent: dict[str, dict[str, None]] = {}
        self._retry: asyncio.TimerHandle | None = None
        self._patience = PATIENCE
        self._closed = False

    def ring(self, names: set[str]) -> None:
        """Tell every listener in the other processes, and, with `heard_here`, in this one.  Never blocks."""
        if not names or self._closed:
            return
        for listener in self._listeners if self._heard_here else ():
            listener.tell(names)
        for peer in self._peers():
            if peer in self._unsent:  # behind those, in one datagram
                _add(self._unsent[peer], names)
            else:
                self._send(peer, dict.fromkeys(names))

    def _peers(self) -> list[str]:
        try:
            found = os.listdir(self._folder)  # noqa: PTH208 - names are what is wanted, at every ring
        except FileNotFoundError:  # somebody tidied the temporary folder; the fall-back polling goes on
            return []
        return [name for name in found if name.endswith(".bell") and name != self._name]

    def _send(self, peer: str, names: dict[str, None]) -> None:
        path = f"{self._base}/{peer}"
        try:
            for datagram in _datagrams(names):
                self._socket.sendto(datagram, path)
        except ConnectionRefusedError:  # its process is gone
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - the plain call, once per dead peer
        except BlockingIOError:  # its queue holds ten; a peer that is busy hears later, all in one
            self._unsent[peer] = names
            if self._retry is None:
                self._retry = self._loop.call_later(self._patience, self._send_again)
        except OSError:  # it left this moment, or the kernel has no memory for it: a ring is a hint
            pass

    def _send_again(self) -> None:
        self._retry = None
        unsent, self._unsent = self._unsent, {}
        for peer, names in unsent.items():
            self._send(peer, names)
        self._patience = min(2 * self._patience, PATIENCE_MOST) if self._unsent else PATIENCE

    def _hear(self) -> None:
        names: dict[str, None] = {}
        with contextlib.suppress(BlockingIOError):
            for _ in range(NAMES):
                _add(names, set(self._socket.recv(DATAGRAM_OCTETS).decode(errors="replace").split("\n")))
        for listener in self._listeners:
            listener.tell(names)

    def rings(self) -> AsyncIterator[str]:
        """Names as they are rung from now on, each once however often it rang since it was last taken."""
        listener = _Listener()
        self._listeners.add(listener)
        return self._heard(listener)

    async def _heard(self, listener: _Listener) -> AsyncIterator[str]:
        try:
            while not self._closed:
                await listener.rung.wait()
                for name in listener.take():
                    yield name
        finally:
            self._listeners.discard(listener)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._retry is not None:
            self._retry.cancel()
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        os.close(self._descriptor)
        (self._folder / self._name).unlink(missing_ok=True)
        for listener in self._listeners:
            listener.rung.set()


class _Listener:
    def __init__(self) -> None:
        self.rung = asyncio.Event()
        self._names: dict[str, None] = {}

    def tell(self, names: Collection[str]) -> None:
        _add(self._names, names)
        self.rung.set()

    def take(self) -> list[str]:
        names = list(self._names)
        self._names.clear()
        self.rung.clear()
        return names


def _add(names: dict[str, None], more: Collection[str]) -> None:
    for name in more:
        if len(names) < NAMES:
            names[name] = None


def _datagrams(names: Collection[str]) -> Iterator[bytes]:
    """As many names as fit in each, one a line."""
    datagram = b""
    for name in names:
        line = name.encode()
        if datagram and len(datagram) + 1 + len(line) > DATAGRAM_OCTETS:
            yield datagram
            datagram = b""
        datagram = datagram + b"\n" + line if datagram else line
    yield datagram
