"""The transport under a connection: what is read from the client, and when what we say goes out.

Security: what a client does not read is not gathered without bound, because the connection stops working then; a client
whose input nobody uses up is not read.
"""

from __future__ import annotations

import asyncio
from typing import Final

TOGETHER: Final = 16384  # octets


class Channel:
    """Gone (`transport` is None) once the connection is lost."""

    __slots__ = ("_out", "paused", "transport", "unread")

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.paused = False  # nothing is read: because of input that waits, or of a congested draft
        self.unread = False  # the client does not read what we say
        self._out = bytearray()

    def say(self, words: bytes) -> None:
        """To go out with the next `flush`, or at once if much has come together: a flood of commands has no end."""
        self._out += words
        if len(self._out) > TOGETHER:
            self.flush()

    def flush(self) -> None:
        if self._out and self.transport is not None:
            self.transport.write(bytes(self._out))
        self._out.clear()

    def pause(self) -> None:
        if self.transport is not None and not self.paused and not self.transport.is_closing():
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self.transport is not None and self.paused and not self.unread and not self.transport.is_closing():
            self.paused = False
            self.transport.resume_reading()

    def secured(self, transport: asyncio.Transport) -> None:
        """TLS stands; its transport knows nothing of pauses of the one below."""
        self.transport, self.paused, self.unread = transport, False, False

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def half_close(self) -> bool:
        """We say no more, but still read: for a client that would get a reset, and lose our last words, if we closed.

        False where that cannot be, and then the connection is closed.
        """
        if self.transport is None or not self.transport.can_write_eof():
            self.close()
            return False
        try:
            self.transport.write_eof()
        except OSError:  # the client is gone, which nobody has told us yet
            self.transport.abort()
            return False
        self.unread = False
        self.resume()
        return True
