# ruff: noqa: N802 - Twisted's names
"""A POP3 connection that a balancer hands on: who is behind it is read before anything else.

Security: only addresses that the configuration names get here, and what they say first is read by `proxy_protocol`;
what is none of it, or does not come in time, ends the connection without a word.  A session begins only with the
header's end, and counts for the client it names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure

from appliance.peer import Address
from appliance.proxy_protocol import origin, wanted
from mailstore.failure import PermanentFailure

log: structlog.typing.FilteringBoundLogger = structlog.get_logger(__name__)


class Balanced(Protocol):
    """Until the header is read; then what `made` makes for the client's address takes its place.

    It stands in `announcing` meanwhile.
    """

    def __init__(
        self, balancer: Address, seconds: float, made: Callable[[str], Protocol], announcing: set[Balanced]
    ) -> None:
        self._balancer = balancer
        self._seconds = seconds
        self._made = made
        self._announcing = announcing
        self._read = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def _wire(self) -> Any:
        """The transport, whose methods Twisted left without types."""
        return self.transport

    def connectionMade(self) -> None:
        self._announcing.add(self)
        self._timer = asyncio.get_running_loop().call_later(self._seconds, self.abort)

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._done()

    def abort(self) -> None:
        self._wire.abortConnection()

    def _done(self) -> None:
        self._announcing.discard(self)
        if self._timer:
            self._timer.cancel()

    def dataReceived(self, data: bytes) -> None:
        self._read += data
        header = bytearray()
        try:
            while (more := wanted(header)) > 0:
                if len(self._read) < len(header) + more:
                    return
                header = self._read[: len(header) + more]
            client = origin(header) or self._balancer
        except PermanentFailure as failure:
            log.warning("pop3 connection of a balancer closed", balancer=str(self._balancer), why=failure.text)
            self.abort()
            return
        self._hand_over(str(client), bytes(self._read[len(header) :]))

    def _hand_over(self, client: str, rest: bytes) -> None:
        self._done()
        wire = self._wire
        wire.protocol = self._made(client)
        wire.protocol.makeConnection(wire)
        if rest:
            wire.protocol.dataReceived(rest)  # by now it may be TLS's
