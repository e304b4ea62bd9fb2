"""Starting the SMTP receiver: the door for everybody, and the two for people with a login.

Security: it opens the ports to whoever reaches them; `connection` says what stands behind.  A handshake costs us more
than the client: so it is counted before it begins, and has a deadline.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import cast

from appliance.peer import Address, plain_ip
from appliance.smtp.connection import CONNECTIONS_REFUSED, Connection
from appliance.smtp.door import SMTP, SUBMISSION, SUBMISSIONS, Door
from appliance.smtp.handshake import SECURED, tell_failed
from appliance.smtp.limits import Allowance, Limits
from appliance.smtp.receiver import Receiver
from appliance.smtp.site import Site
from appliance.tls import Certificate
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.store.contract import Store


class Doorstep(asyncio.Protocol):
    """Stands at a door of implicit TLS, and lets a client in once the handshake is done.

    A loop reads as soon as a connection is there, which would take the handshake's first octets away: so the socket is
    taken from the transport before anything is read, and given to a new one.
    """

    def __init__(self, receiver: Receiver, door: Door) -> None:
        self._receiver = receiver
        self._door = door

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        plain = cast("asyncio.Transport", transport)  # uvloop's is none by class
        peer = plain.get_extra_info("peername")
        if peer and not self._receiver.closing:
            self._let_in(plain, plain_ip(peer[0]))
        plain.abort()

    def _let_in(self, plain: asyncio.Transport, ip: Address) -> None:
        try:
            own = socket.socket(fileno=os.dup(plain.get_extra_info("socket").fileno()))
        except OSError as error:  # no descriptor is left
            tell_failed(error, str(ip))
            return
        if self._receiver.gate.enter(ip):
            CONNECTIONS_REFUSED.inc()
            own.close()
        else:
            self._receiver.start_handshake(self._shake_hands(own, ip))

    async def _shake_hands(self, own: socket.socket, ip: Address) -> None:
        site = self._receiver.site
        assert site.certificate is not None
        connection = Connection(self._receiver, self._door, counted=ip)
        try:
            await self._receiver.loop.connect_accepted_socket(
                lambda: connection,
                own,
                ssl=site.certificate.context,
                ssl_handshake_timeout=site.limits.handshake_seconds,
                ssl_shutdown_timeout=site.limits.parting_seconds,
            )
            SECURED.inc(connection.was_made)  # it may have been lost in this moment
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
    limits: Limits | None = None,
) -> Receiver:
    """Listen where `[smtp]`, `[submission]` and `[submissions]` say.

    Without a certificate there is no TLS; without it or people, no door for logins.  Raises `PermanentFailure` when a
    port is taken, and then listens nowhere.
    """
    limits = limits or Limits()
    receiver = Receiver(
        Site(
            settings=settings,
            store=store,
            directory=directory,
            people=people,
            certificate=certificate,
            limits=limits,
            postmaster=Allowance(limits.postmaster_hourly, limits.postmaster_hourly_per_client),
            postmaster_strangers=Allowance(limits.postmaster_hourly, limits.postmaster_hourly_per_client),
        )
    )
    doors = [(SMTP, settings.smtp.listen)]
    if people is not None and certificate is not None:
        doors += [(SUBMISSION, settings.submission.listen), (SUBMISSIONS, settings.submissions.listen)]
    try:
        for door, where in doors:
            await receiver.listen(where, door, Doorstep if door.implicit_tls else Connection)
    except BaseException:
        await receiver.close(0)
        raise
    return receiver
