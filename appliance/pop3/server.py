# ruff: noqa: N802 - Twisted's names
"""The POP3 listeners: take connections, count them, and end them when the process does.

Security: who connects is a stranger.  Connections are counted in all and for each customer (an IPv6 /64 is one; a /48
has half of all), and those above the limit get one line.  A connection from a balancer that the configuration names is
its client's; those that did not say yet whose they are are counted too.  What clients say is the business of `session`.
"""

from __future__ import annotations

import asyncio
import socket
from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence

from prometheus_client import Counter, Gauge
from twisted.internet import defer
from twisted.internet.interfaces import IAddress, IListeningPort
from twisted.internet.protocol import Factory, Protocol

from appliance.guessing import Guesses
from appliance.peer import Address, Network, customer, end_site, plain_ip, within
from appliance.pop3.balanced import Balanced
from appliance.pop3.connection import Limits
from appliance.pop3.house import House
from appliance.pop3.login import Accounts
from appliance.pop3.rhythm import Rhythm
from appliance.pop3.session import Session
from appliance.pop3.tls import TlsServer
from appliance.reactor import reactor
from appliance.tls import Certificate
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.failure import PermanentFailure
from mailstore.monitoring import bind
from mailstore.store.contract import Store

CONNECTIONS = Counter("printpost_pop3_connections_total", "POP3 connections taken.")
REFUSED = Counter("printpost_pop3_connections_refused_total", "POP3 connections refused because there were too many.")
OPEN = Gauge("printpost_pop3_open_connections", "POP3 connections open now.")

SEND_BUFFER = 256 * 1024
_Key = int | tuple[int]  # a customer, a /48
_TOO_MANY = b"-ERR [SYS/TEMP] too many connections, try again later\r\n"


class Pop3Service:
    """The listeners and their sessions.  `addresses` are (host, port) of "pop3" and, with a certificate, "pop3s"."""

    def __init__(
        self, house: House, listeners: Mapping[str, socket.socket], proxies: Mapping[str, Sequence[Network]]
    ) -> None:
        self.addresses: dict[str, tuple[str, int]] = {
            name: listener.getsockname()[:2] for name, listener in listeners.items()
        }
        self._house = house
        self._sessions: dict[Session, tuple[_Key, ...]] = {}  # and by what each is counted
        self._tally: Tally[_Key] = Tally()
        self._announcing: set[Balanced] = set()
        self._ports: list[IListeningPort] = []
        for name, listener in listeners.items():
            # Sessions inherit it.  What the kernel holds counts as taken: it must go over a slow line within the
            # autologout.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            factory = _Listener(self, proxies[name], implicit=name == "pop3s")
            self._ports.append(
                reactor.adoptStreamPort(listener.fileno(), listener.family, factory)  # type: ignore[no-untyped-call]
            )
            listener.close()

    def balanced(self, balancer: Address, made: Callable[[str], Protocol]) -> Balanced | None:
        """For a client of this balancer, who becomes what `made` makes of his address; None if there are too many."""
        if len(self._announcing) >= self._house.limits.connections:
            REFUSED.inc()
            return None
        return Balanced(balancer, self._house.limits.handshake, made, self._announcing)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens without TLS."""
        return self.addresses["pop3"]

    def session(self, host: str, *, implicit: bool) -> Session | None:
        """For a client at this address, None if there are too many."""
        limits = self._house.limits
        ip = plain_ip(host)
        client, site = customer(ip), end_site(ip)
        CONNECTIONS.inc()
        if (
            len(self._sessions) >= limits.connections
            or self._tally[client] >= limits.connections_each
            or (site is not None and self._tally[site,] >= (limits.connections + 1) // 2)
        ):
            REFUSED.inc()
            return None
        session = Session(self._house, host, self._ended, implicit=implicit)
        counted = self._sessions[session] = (client,) if site is None else (client, (site,))
        self._tally.update(counted)
        OPEN.inc()
        return session

    def _ended(self, session: Session) -> None:
        for key in self._sessions.pop(session):
            self._tally[key] -= 1
            if not self._tally[key]:
                del self._tally[key]
        OPEN.dec()

    async def close(self, grace: float) -> None:
        """Stop listening, let sessions finish their command for `grace` seconds, cut the others; leases are released.

        Sessions that are cut lose their marks: nothing of theirs is deleted.
        """
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(defer.maybeDeferred(port.stopListening).asFuture(loop) for port in self._ports))
        for announcing in list(self._announcing):
            announcing.abort()
        self._house.accounts.guesses.close()
        tasks = [session.task for session in self._sessions if session.task]
        for session in list(self._sessions):
            session.leave()
        if tasks:
            await asyncio.wait(tasks, timeout=grace)
        for session in list(self._sessions):
            session.abort()
        await asyncio.gather(*tasks)
        if self._house.tls:
            self._house.tls.close()


class _Listener(Factory):
    """What Twisted asks for a protocol for each connection."""

    noisy = False

    def __init__(self, service: Pop3Service, proxies: Sequence[Network], *, implicit: bool) -> None:
        self._service = service
        self._proxies = proxies
        self._implicit = implicit

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        host = getattr(addr, "host", "")
        if self._proxies and within(peer := plain_ip(host), self._proxies):
            return self._service.balanced(peer, self._session) or _Refusal(b"")
        return self._session(host)

    def _session(self, host: str) -> Protocol:
        session = self._service.session(host, implicit=self._implicit)
        return session or _Refusal(b"" if self._implicit else _TOO_MANY)


class _Refusal(Protocol):
    """One line, where it can be read, and good-bye."""

    def __init__(self, line: bytes) -> None:
        self._line = line

    def connectionMade(self) -> None:
        assert self.transport
        self.transport.write(self._line)
        self.transport.loseConnection()


async def start_pop3(
    settings: Settings,
    store: Store,
    directory: Directory,
    *,
    people: People | None = None,
    certificate: Certificate | None = None,
    guesses: Guesses | None = None,
    limits: Limits | None = None,
) -> Pop3Service:
    """Listen on the running loop where [pop3] and [pop3s] say.

    Without `certificate` there is neither STLS nor [pop3s], without `people` only printers log in.  `guesses` are those
    of all ports that take passwords, `limits` others than [limits] gives.
    Raises `PermanentFailure` if a port is taken or may not be used.
    """
    reactor.start()
    limits = limits or Limits(
        connections=settings.limits.pop3_connections, connections_each=settings.limits.pop3_connections_per_client
    )
    listeners = {"pop3": bind(settings.pop3.listen, "[pop3] listen")}
    tls = None
    if certificate:
        try:
            listeners["pop3s"] = bind(settings.pop3s.listen, "[pop3s] listen")
        except PermanentFailure:
            listeners["pop3"].close()
            raise
        tls = TlsServer(certificate)
    house = House(
        hostname=settings.site.hostname,
        store=store,
        accounts=Accounts(
            directory=directory,
            people=people,
            guesses=guesses or Guesses(settings.limits.password_guesses),
            delay=limits.failure_delay,
        ),
        rhythm=Rhythm(store, directory, limits.poll_share),
        limits=limits,
        tls=tls,
        secure_port=listeners["pop3s"].getsockname()[1] if tls else 0,
    )
    return Pop3Service(house, listeners, {"pop3": settings.pop3.proxies, "pop3s": settings.pop3s.proxies})
