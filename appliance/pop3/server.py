# ruff: noqa: N802 - Twisted's names
"""The POP3 listener: takes connections, counts them, and ends them when the process does.

Security: who connects is a stranger.  Connections are counted in all and for each address, and those above the limit
get one line.  What they say is the business of `session`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter as Tally

from prometheus_client import Counter, Gauge
from twisted.internet import defer
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory, Protocol

from appliance.pop3.connection import Limits
from appliance.pop3.session import House, Session
from appliance.reactor import reactor
from mailstore.config import Settings
from mailstore.directory.contract import Directory
from mailstore.monitoring import bind
from mailstore.store.contract import Store

CONNECTIONS = Counter("printpost_pop3_connections_total", "POP3 connections taken.")
REFUSED = Counter("printpost_pop3_connections_refused_total", "POP3 connections refused because there were too many.")
OPEN = Gauge("printpost_pop3_open_connections", "POP3 connections open now.")

SEND_BUFFER = 256 * 1024


class Pop3Service(Factory):
    """The listener and its sessions."""

    noisy = False

    def __init__(self, house: House, listener: socket.socket) -> None:
        self._house = house
        self._sessions: dict[Session, str] = {}
        self._tally: Tally[str] = Tally()
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self._port: IListeningPort = reactor.adoptStreamPort(  # type: ignore[no-untyped-call]
            listener.fileno(), listener.family, self
        )
        listener.close()

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        host: str = getattr(addr, "host", "")
        limits = self._house.limits
        CONNECTIONS.inc()
        if len(self._sessions) >= limits.connections or self._tally[host] >= limits.connections_each:
            REFUSED.inc()
            return _Refusal()
        session = Session(self._house, host, self._ended)
        self._sessions[session] = host
        self._tally[host] += 1
        OPEN.inc()
        return session

    def _ended(self, session: Session) -> None:
        host = self._sessions.pop(session)
        self._tally[host] -= 1
        if not self._tally[host]:
            del self._tally[host]
        OPEN.dec()

    async def close(self, grace: float) -> None:
        """Stop listening, let sessions finish their command for `grace` seconds, cut the others; leases are released.

        Sessions that are cut lose their marks: nothing of theirs is deleted.
        """
        await defer.maybeDeferred(self._port.stopListening).asFuture(asyncio.get_running_loop())
        tasks = [session.task for session in self._sessions if session.task]
        for session in list(self._sessions):
            session.leave()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for session in list(self._sessions):
            session.abort()
        await asyncio.gather(*tasks)


class _Refusal(Protocol):
    """One line and good-bye."""

    def connectionMade(self) -> None:
        assert self.transport
        self.transport.write(b"-ERR [SYS/TEMP] too many connections, try again later\r\n")
        self.transport.loseConnection()


async def start_pop3(
    settings: Settings, store: Store, directory: Directory, *, host: str, port: int, limits: Limits | None = None
) -> Pop3Service:
    """Listen on host and port (0: any) of the running loop.

    Raises `PermanentFailure` if the port is taken or may not be used.
    """
    listener = bind(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", "[pop3] listen")
    # Sessions inherit it.  What the kernel holds counts as taken, so it must go over a slow line within the autologout.
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    reactor.start()
    house = House(hostname=settings.site.hostname, store=store, directory=directory, limits=limits or Limits())
    return Pop3Service(house, listener)
