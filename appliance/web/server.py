"""Starting the page.

Security: plain HTTP is spoken on loopback alone; wherever else the listener stands, every octet is under TLS.  `proxy`,
`guard` and `mailstore.monitoring` say what stands between a stranger and the pages.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address

from appliance.desk import Desk
from appliance.guessing import Guesses
from appliance.mailauth import MailAuth
from appliance.moving import Moves
from appliance.register import Register
from appliance.releasing import Releases
from appliance.tls import Certificate
from appliance.web.app import make_app
from appliance.web.live import Live
from appliance.web.proxy import Proxied
from appliance.web.reach import Reach
from appliance.web.site import Site
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.monitoring import HttpServer, bind, start_http
from mailstore.store.contract import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class WebServer:
    """The page that is served.  `address` is (host, port)."""

    site: Site
    http: HttpServer
    mailauth: MailAuth | None  # its own, if it has one

    @property
    def address(self) -> tuple[str, int]:
        return self.http.address

    @property
    def url(self) -> str:
        """Where a browser finds it; a listener on all addresses is found by our name."""
        host, port = self.address
        if ip_address(host).is_unspecified:
            host = self.site.settings.site.hostname
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.site.secure else 'http'}://{shown}:{port}/"

    async def close(self, grace: float) -> None:
        """Live streams end at once; requests under way have `grace` seconds."""
        await self.site.live.close()
        await self.http.close(grace)
        if self.mailauth:
            await self.mailauth.close()


async def start_web(
    settings: Settings,
    store: Store,
    directory: Directory,
    people: People,
    certificate: Certificate,
    *,
    refresh: Callable[[], None],
    guesses: Guesses | None = None,
    mailauth: MailAuth | None = None,
) -> WebServer:
    """Serve the page where `[web] listen` says; HTTPS with `certificate` unless that is on loopback.

    `refresh` makes this process forget what it remembers of the directory, and is called after each change made here.
    `guesses` are shared with the other ports that take passwords, `mailauth` with the ports that take mail; whoever
    made that closes it.
    Raises `PermanentFailure` when the port is taken.
    """
    listener = bind(settings.web.listen, "[web] listen")
    secure = not _on_loopback(listener)
    own = None if mailauth else MailAuth(settings)
    desk = Desk(settings, store, directory, people, mailauth or own)
    codes = Guesses(settings.limits.password_guesses)  # who mistypes a code is not kept from logging in
    site = Site(
        settings=settings,
        store=store,
        directory=directory,
        people=people,
        desk=desk,
        register=Register(settings, store, people),
        moves=Moves(store, directory, desk),
        releases=Releases(store, directory, codes, settings.site.networks),
        live=Live(store),
        reach=Reach(directory),
        secure=secure,
        self_signed=certificate.self_signed,
        refresh=refresh,
        guesses=guesses or Guesses(settings.limits.password_guesses),
    )
    app = make_app(site)
    if secure:
        return WebServer(site=site, mailauth=own, http=start_http(app, listener, tls=certificate.context))
    return WebServer(site=site, mailauth=own, http=start_http(Proxied(app), listener))


def _on_loopback(listener: socket.socket) -> bool:
    return ip_address(listener.getsockname()[0].partition("%")[0]).is_loopback
