"""Starting the SMTP receiver: the door for everybody, and the two for people with a login.

Security: it opens the ports to whoever reaches them; `connection` says what stands behind.  A handshake costs us more
than the client: so it is counted before it begins, and has a deadline.  Where a balancer is named, who is counted is
whom it brings; a PROXY header from anybody else is a senseless line.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import structlog

from appliance.balancer import read_header
from appliance.guessing import Guesses
from appliance.mailauth import MailAuth
from appliance.peer import Address, Network, plain_ip, within
from appliance.smtp.connection import Connection
from appliance.smtp.door import SMTP, SUBMISSION, SUBMISSIONS, Door
from appliance.smtp.handshake import SECURED, tell_failed
from appliance.smtp.limits import Allowance, Limits, Pace
from appliance.smtp.receiver import REFUSED, Receiver
from appliance.smtp.site import Site
from appliance.tls import Certificate
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.failure import PermanentFailure
from mailstore.store.contract import Store

log = structlog.get_logger()


class Doorstep(asyncio.Protocol):
    """Stands at a door of implicit TLS, and at one with balancers in front, and lets a client in once he is known.

    A loop reads as soon as a connection is there, which would take away the first octets of the handshake or of the
    balancer's header: so the socket is taken from the transport before anything is read, and given to a new one.
    """

    def __init__(self, receiver: Receiver, door: Door, proxies: Sequence[Network]) -> None:
        self._receiver = receiver
        self._door = door
        self._proxies = proxies

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)  # uvloop's is none by class
        peer = plain.get_extra_info("peername")
        if peer and not self._receiver.closing:
            self._look_at(plain, plain_ip(peer[0]))
        plain.abort()

    def _look_at(self, plain: asyncio.Transport, peer: Address) -> None:
        if within(peer, self._proxies) and self._receiver.handshakes >= self._receiver.site.limits.connections:
            REFUSED.labels("total").inc()  # whom it brings will be counted, but it has not said so yet
            return
        try:
            own = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError as error:  # no descriptor is left
            tell_failed(error, str(peer))
            return
        own.setblocking(False)
        if within(peer, self._proxies):
            self._receiver.start_handshake(self._announced(own, peer))
        else:
            self._admit(own, peer)

    async def _announced(self, own: socket.socket, balancer: Address) -> None:
        try:
            ip = await read_header(own, balancer, self._receiver.site.limits.proxy_seconds)
        except PermanentFailure as failure:
            REFUSED.labels("balancer").inc()
            log.warning("balancer does not say whom it brings", balancer=str(balancer), why=failure.text)
            own.close()
        except BaseException:  # we are going down
            own.close()
            raise
        else:
            if ip is None:
                own.close()
            else:
                self._admit(own, ip)

    def _admit(self, own: socket.socket, ip: Address) -> None:
        refused = self._receiver.admit(ip)
        if refused is None:
            self._receiver.start_handshake(self._let_in(own, ip))
            return
        if not self._door.implicit_tls:
            with contextlib.suppress(OSError):
                own.send(refused.octets())
        own.close()

    async def _let_in(self, own: socket.socket, ip: Address) -> None:
        site = self._receiver.site
        connection = Connection(self._receiver, self._door, counted=ip)
        tls: dict[str, Any] = {}
        if self._door.implicit_tls:
            assert site.certificate is not None
            tls = {
                "ssl": site.certificate.context,
                "ssl_handshake_timeout": site.limits.handshake_seconds,
                "ssl_shutdown_timeout": site.limits.parting_seconds,
            }
        try:
            await self._receiver.loop.connect_accepted_socket(lambda: connection, own, **tls)
            SECURED.inc(connection.was_made and self._door.implicit_tls)  # it may have been lost in this moment
        except OSError as error:
            tell_failed(error, str(ip))
        finally:
            if not connection.was_made:
                self._receiver.gate.leave(ip)


async def start_smtp(
    settings: Settings,
    store: Store,
    directory: Directory,
    *,
    people: People | None = None,
    certificate: Certificate | None = None,
    guesses: Guesses | None = None,
    limits: Limits | None = None,
    mailauth: MailAuth | None = None,
) -> Receiver:
    """Listen where `[smtp]`, `[submission]` and `[submissions]` say.

    Without a certificate there is no TLS; without it or people, no door for logins.  `guesses` are those of all
    ports that take passwords; `mailauth` is closed by whoever made it.  Raises `PermanentFailure` when a port is taken,
    and then listens nowhere.
    """
    limits = limits or Limits.of(settings)
    hourly = limits.postmaster_hourly
    each = limits.postmaster_hourly_per_client
    asked = mailauth or MailAuth(settings)
    receiver = Receiver(
        Site(
            settings=settings,
            store=store,
            directory=directory,
            people=people,
            certificate=certificate,
            limits=limits,
            mailauth=asked,
            guesses=guesses or Guesses(settings.limits.password_guesses),
            pace=Pace(limits.messages_per_minute),
            postmaster=Allowance(hourly, each),
            # Behind another server strangers have one address together.
            postmaster_strangers=Allowance(hourly, hourly if settings.smtp.behind else each),
        ),
        own=None if mailauth else asked,
    )
    doors = [(SMTP, settings.smtp.listen, settings.smtp.proxies)]
    if people is not None and certificate is not None:
        doors += [
            (SUBMISSION, settings.submission.listen, settings.submission.proxies),
            (SUBMISSIONS, settings.submissions.listen, settings.submissions.proxies),
        ]
    try:
        for door, where, proxies in doors:
            await receiver.listen(where, door, _standing_at(receiver, door, proxies))
    except BaseException:
        await receiver.close(0)
        raise
    return receiver


def _standing_at(receiver: Receiver, door: Door, proxies: Sequence[Network]) -> Callable[[], asyncio.BaseProtocol]:
    if door.implicit_tls or proxies:
        return partial(Doorstep, receiver, door, proxies)
    return partial(Connection, receiver, door)
