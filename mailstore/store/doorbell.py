"""Wakes the other processes on the same store: one datagram socket each, in a folder they share.

Security: a datagram comes from a process of this user (the folder is closed to others).  It is still only a hint: at
most `NAME_OCTETS` are read, names are bounded in number, and whoever hears one looks into the store.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

NAME_OCTETS = 512
NAMES = 4096
"""How many different names may wait to be heard; more are dropped, for a ring is a hint."""


class Doorbell:
    """This process's socket, and a way to ring those of the others."""

    def __init__(self, folder: Path, role: str) -> None:
        self._folder = folder
        self._name = f"{role}-{os.getpid()}-{os.urandom(3).hex()}.bell"
        # Through the descriptor the path stays under the 107 octets of a Unix socket, wherever the folder lies.
        self._descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._base = f"/proc/self/fd/{self._descriptor}"
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._socket.bind(f"{self._base}/{self._name}")
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket.fileno(), self._hear)
        self._listeners: set[_Listener] = set()
        self._closed = False

    def ring(self, names: set[str]) -> None:
        """Tell every listener, here and in the other processes.  Never blocks; what does not fit is dropped."""
        if not names or self._closed:
            return
        for listener in self._listeners:
            listener.tell(names)
        messages = [name.encode()[:NAME_OCTETS] for name in names]
        for peer in self._peers():
            self._send(peer, messages)

    def _peers(self) -> list[str]:
        try:
            found = os.listdir(self._folder)  # noqa: PTH208 - names are what is wanted, at every ring
        except FileNotFoundError:  # somebody tidied the temporary folder; the fall-back polling goes on
            return []
        return [name for name in found if name.endswith(".bell") and name != self._name]

    def _send(self, peer: str, messages: list[bytes]) -> None:
        path = f"{self._base}/{peer}"
        try:
            for message in messages:
                self._socket.sendto(message, path)
        except ConnectionRefusedError:  # its process is gone
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - the plain call, once per dead peer
        except (BlockingIOError, FileNotFoundError):
            pass

    def _hear(self) -> None:
        names: set[str] = set()
        with contextlib.suppress(BlockingIOError):
            while len(names) < NAMES:
                names.add(self._socket.recv(NAME_OCTETS).decode(errors="replace"))
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

    def tell(self, names: set[str]) -> None:
        for name in names:
            if len(self._names) < NAMES:
                self._names[name] = None
        self.rung.set()

    def take(self) -> list[str]:
        names = list(self._names)
        self._names.clear()
        self.rung.clear()
        return names
