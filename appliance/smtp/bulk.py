"""Large messages, read into one buffer that is used again and again, in place of a new object for every read.

It stands in for the connection while much comes.  A loop asks for the buffer and fills it in one go, with nothing in
between, so one buffer serves all connections and memory does not grow with their number.

Security: what one client left in the buffer is never another's: only octets that were filled in are looked at.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

ROOM_OCTETS = 262144


class Behind(Protocol):
    """The connection, as far as it is still asked."""

    @property
    def held(self) -> bytes:
        """At most four octets that came before, and must stand before those that come."""

    def room_filled(self, room: bytearray, count: int) -> None:
        """The first `count` octets of `room` are `held` and what came; they are good until this returns."""

    def connection_lost(self, error: Exception | None, /) -> None: ...
    def eof_received(self) -> bool: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...


class Bulk(asyncio.BufferedProtocol):
    """Reads for a connection."""

    def __init__(self, connection: Behind, room: bytearray) -> None:
        self._connection = connection
        self._room = room
        self._held = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def eof_received(self) -> bool:
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()

    def get_buffer(self, _: int) -> memoryview:
        held = self._connection.held
        self._held = len(held)
        self._room[: self._held] = held
        return memoryview(self._room)[self._held :]

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.room_filled(self._room, self._held + nbytes)
