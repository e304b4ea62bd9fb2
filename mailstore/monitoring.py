"""What Prometheus and a container's probes ask of a process: `/metrics`, `/livez`, `/readyz`; and serving HTTP at all.

The monitor has a listener of its own, on loopback by default, never the one that strangers reach.  A probe that gets no
answer has its answer: the loop that would give it is stuck.

Security: whoever reaches a listener sends what he likes; h11 parses it, with a bound on the header's octets.  A client
that sends its request too slowly, or does not read the answer, is cut off, and connections are bounded.  Of the monitor
no answer depends on anything but the path, and nothing can be changed there.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, Histogram, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from mailstore.config_values import split_endpoint
from mailstore.failure import PermanentFailure
from mailstore.handshake import Door

BUILD = Gauge("printpost_build_info", "What runs, as labels.", ["version", "python"])
LAG = Histogram(
    "printpost_event_loop_lag_seconds",
    "How late a timer of the process's loop fired.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
_BEAT = 0.25
"""Seconds between two timers: whatever holds the loop for longer is seen."""
HEADER_OCTETS = 16384
HEADER_SECONDS = 10.0
"""From the connection, or the end of the last answer, to the end of a request's header."""
READING_SECONDS = 30.0
"""For a client that does not read what it asked for."""
PARTING_SECONDS = 1.0
"""At the end, for clients to read what was answered and to close."""
_GLANCE = 0.05
CONNECTIONS = 256
"""At once; above half of it a request gets 503, above all of it nothing."""

Readiness = Callable[[], Awaitable[str]]
"""Why the process cannot do its work now, in a sentence; "" when it can.  Printers and the directory do not count."""

disable_created_metrics()  # type: ignore[no-untyped-call]


def bind(listen: str, key: str) -> socket.socket:
    """A listening TCP socket for `listen` ("HOST:PORT"), the value of the option `key`.

    Raises `PermanentFailure` with the option to change when the port is taken or may not be used.
    """
    host, port = split_endpoint(listen)
    try:
        info = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(*info[:3])  # asyncio sends small answers at once only if it sees IPPROTO_TCP
    except OSError as error:
        raise PermanentFailure("5.3.5", f"{key} = {listen}: {error.strerror}; set another address there") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if info[0] == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(host not in ("", "::")))
    try:
        listener.bind(info[4])
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise PermanentFailure(
            "5.3.5", f"{key} = {listen} cannot be used ({error.strerror}); end what listens there or set another port"
        ) from None
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def monitor(
    listen: str, key: str, readiness: Readiness, before_scrape: Callable[[], Awaitable[None]] | None = None
) -> AsyncIterator[tuple[str, int]]:
    """Serve the three pages while the context lasts; yields the address that is listened on.

    `before_scrape` brings gauges up to date that are read from somewhere, not counted.
    """
    listener = bind(listen, key)
    server = start_http(_application(readiness, before_scrape), listener)
    BUILD.labels(importlib.metadata.version("printpost"), platform.python_version()).set(1)
    beating = asyncio.create_task(_beat())
    try:
        yield server.address
    finally:
        beating.cancel()
        await server.close(2.0)


def start_http(app: ASGIApp, listener: socket.socket, *, tls: ssl.SSLContext | None = None) -> HttpServer:
    """Serve `app` on a listening socket from now on, under TLS if there is a context for it."""
    return HttpServer(app, listener, tls)


class HttpServer:
    """A listener that is served.  `address` is (host, port)."""

    def __init__(self, app: ASGIApp, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.address: tuple[str, int] = listener.getsockname()[:2]
        self._listener = listener
        self._server = _Guest(
            uvicorn.Config(
                app,
                http=_Patient,
                ws="none",
                loop="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=CONNECTIONS // 2,
                h11_max_incomplete_event_size=HEADER_OCTETS,
            ),
            tls,
        )
        self._task = asyncio.create_task(self._server.serve([listener]))

    async def close(self, grace: float) -> None:
        """Take nothing new, let requests end for `grace` seconds, then break them off.  Raises what serving raised."""
        loop = asyncio.get_running_loop()
        end = loop.time() + grace
        self._server.config.timeout_graceful_shutdown = grace  # type: ignore[assignment]  # any number will do
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=min(grace, PARTING_SECONDS))
        while self._server.server_state.tasks and loop.time() < end:
            await asyncio.wait([self._task], timeout=_GLANCE)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        try:
            async with asyncio.timeout(PARTING_SECONDS):
                await self._task
        except TimeoutError:  # a request that cannot even be canceled
            self._task.cancel()
        finally:
            self._listener.close()


async def _beat() -> None:
    while True:
        due = time.monotonic() + _BEAT
        await asyncio.sleep(_BEAT)
        LAG.observe(max(0.0, time.monotonic() - due))


class _Guest(uvicorn.Server):
    """uvicorn as a guest: the process that it runs in deals with signals itself, and `handshake` with TLS."""

    def __init__(self, config: uvicorn.Config, tls: ssl.SSLContext | None) -> None:
        super().__init__(config)
        self._tls = tls

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._tls is None:
            await super().startup(sockets)
            return
        await self.lifespan.startup()
        self.servers = [Door(each, self._tls, self._protocol, self._full) for each in sockets or ()]  # type: ignore[misc]
        self.started = True

    def _protocol(self) -> asyncio.Protocol:
        return _Patient(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    def _full(self, shaking: int) -> bool:
        return shaking + len(self.server_state.connections) >= CONNECTIONS

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


class _Patient(H11Protocol):
    """uvicorn waits for ever for a request that was begun, and for an answer to be read; this one does not."""

    _deadline: asyncio.TimerHandle | None = None
    _unread: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        self._watch()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._deadline = _canceled(self._deadline)
        self._unread = _canceled(self._unread)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self._unread or self.loop.call_later(READING_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread = _canceled(self._unread)

    def _watch(self) -> None:
        """The clock runs while we wait for a request, and octets of it do not push it back."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._deadline = _canceled(self._deadline)
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)


def _canceled(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None


def _application(readiness: Readiness, before_scrape: Callable[[], Awaitable[None]] | None) -> Starlette:
    async def metrics(_: Request) -> Response:
        if before_scrape is not None:
            await before_scrape()
        # In a thread: 20,000 children take 0.3 s, which the mail need not wait for.
        text = await asyncio.to_thread(generate_latest, REGISTRY)
        return Response(text, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def livez(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        reason = await readiness()
        return PlainTextResponse(f"{reason or 'ok'}\n", status_code=503 if reason else 200)

    return Starlette(routes=[Route("/metrics", metrics), Route("/livez", livez), Route("/readyz", readyz)])
