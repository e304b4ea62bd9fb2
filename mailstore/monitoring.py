"""What Prometheus and a container's probes ask of a process: `/metrics`, `/livez`, `/readyz`.

It has a listener of its own, on loopback by default, never the one that strangers reach.  A probe that gets no answer
has its answer: the loop that would give it is stuck.

Security: reads strangers' octets only if somebody opens the listener to them; uvicorn parses them, no answer depends on
anything but the path, and nothing can be changed here.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import platform
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, Gauge, Histogram, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mailstore.config import split_endpoint
from mailstore.failure import PermanentFailure

BUILD = Gauge("printpost_build_info", "What runs, as labels.", ["version", "python"])
LAG = Histogram(
    "printpost_event_loop_lag_seconds",
    "How late a timer of the process's loop fired.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10),
)
_BEAT = 0.25
"""Seconds between two timers: whatever holds the loop for longer is seen."""

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
        listener = socket.socket(info[0], socket.SOCK_STREAM)
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
    server = _Server(
        uvicorn.Config(
            _application(readiness, before_scrape), loop="none", lifespan="off", log_config=None, access_log=False
        )
    )
    BUILD.labels(importlib.metadata.version("printpost"), platform.python_version()).set(1)
    task = asyncio.create_task(server.serve([listener]))
    beating = asyncio.create_task(_beat())
    try:
        yield listener.getsockname()[:2]
    finally:
        beating.cancel()
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await task
        listener.close()


async def _beat() -> None:
    while True:
        due = time.monotonic() + _BEAT
        await asyncio.sleep(_BEAT)
        LAG.observe(max(0.0, time.monotonic() - due))


class _Server(uvicorn.Server):
    """uvicorn as a guest: the process that it runs in deals with signals itself."""

    @contextlib.contextmanager
    def capture_signals(self):  # type: ignore[no-untyped-def]
        yield


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
