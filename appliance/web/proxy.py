"""A reverse proxy on this machine in front of the page: what it says of the browser counts.

Security: the page takes a proxy's word only on loopback, where nobody else can reach it.  A site's script cannot send
these fields on behalf of a browser; a program on this machine that lies in them may guess at passwords as if from many
places, and each wrong one is in the log.  Of several addresses the last is the one that the proxy itself has seen.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send


class Proxied:
    """ASGI middleware: scheme and client are the browser's, by `X-Forwarded-Proto` and `X-Forwarded-For`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        seen: dict[str, Any] = {}
        if _last(headers, "x-forwarded-proto").lower() == "https":
            seen["scheme"] = "https"
        if _is_address(client := _last(headers, "x-forwarded-for")):
            seen["client"] = (client, 0)
        await self._app({**scope, **seen}, receive, send)


def _last(headers: Headers, name: str) -> str:
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
