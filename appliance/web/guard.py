"""What every request must be before a page sees it, and what every answer says besides.

Security: a browser carries a person's cookie to us on behalf of whatever page it shows.  A name that is not ours in
`Host` is another site's that was made to resolve to us (DNS rebinding) and is refused.  A request that may change
something must come from our own pages: browsers say so in `Sec-Fetch-Site`, older ones in `Origin`; one that says
neither carries no cookie of ours or is refused.  Bodies are read whole, bounded in octets and in time, before anything
of ours runs.  Answers forbid frames, scripts that are not ours, and to be kept by caches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from http import HTTPStatus
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from appliance.web.pages import sentence
from appliance.web.problem import problem

BODY_OCTETS = 65536
BODY_SECONDS = 20.0
_EXCESS = 1 << 20  # octets too many that are still swallowed, so that the browser reads why
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_API = "/api/"

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Of every answer, whatever it is."""
STRICT_TRANSPORT = "max-age=31536000"


def wrong_host(host: str | None, names: Collection[str]) -> str:
    """Why a request for `host` (the header field) is not for us; "" if it is."""
    if not host:
        return "the request does not say which host it wants"
    name = _name(host)
    if name in names or name == "localhost" or _is_address(name):
        return ""
    return f"{name[:255]!a} is not a name of this page; if it should be, add it to [web] names in printpost.toml"


def _name(host: str) -> str:
    name, colon, port = host.rpartition(":")
    bare = name if colon and port.isdigit() else host
    return bare.lower().strip("[]").rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return "%" not in name  # a zone is the client's own affair (RFC 6874 section 4), and may be any text


def foreign(method: str, path: str, headers: Mapping[str, str], scheme: str) -> str:
    """Why a request may be another site's doing; "" if it cannot be, or cannot change anything."""
    if method in _SAFE:
        return ""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    elif origin is not None:
        own = origin.lower() == f"{scheme}://{headers.get('host', '').lower()}"
    else:  # no browser says neither; a script logs in with each request, and there is nothing to be stolen
        own = path.startswith(_API) and "authorization" in headers and "cookie" not in headers
    return "" if own else "this request does not come from this page itself; open the page and do it there"


class Guard:
    """The wall, as ASGI middleware.  `names` are the host names that are ours."""

    def __init__(self, app: ASGIApp, *, names: Collection[str], strict_transport: bool) -> None:
        self._app = app
        self._names = names
        self._headers = HEADERS | ({"Strict-Transport-Security": STRICT_TRANSPORT} if strict_transport else {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        headers = Headers(scope=scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    fields.setdefault(name, value)
                fields.setdefault("Cache-Control", "no-store")
            await send(message)

        if why := wrong_host(headers.get("host"), self._names):
            await _refuse(HTTPStatus.MISDIRECTED_REQUEST, why, scope, receive, answer)
        elif why := foreign(scope["method"], scope["path"], headers, scope["scheme"]):
            await _refuse(HTTPStatus.FORBIDDEN, why, scope, receive, answer)
        elif scope["method"] in _SAFE:
            await self._app(scope, receive, answer)
        else:
            await self._with_body(scope, receive, answer)

    async def _with_body(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except ClientDisconnect:
            return
        except TimeoutError:
            await _refuse(HTTPStatus.REQUEST_TIMEOUT, "the request came too slowly", scope, receive, send)
            return
        if body is None:
            why = f"the request is too large; at most {BODY_OCTETS} octets are taken"
            await _refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why, scope, receive, send)
            return
        message: Message | None = {"type": "http.request", "body": body, "more_body": False}

        async def replay() -> Message:
            nonlocal message
            if message is None:
                return await receive()
            first, message = message, None
            return first

        await self._app(scope, replay, send)


async def _body(receive: Receive) -> bytes | None:
    """All of it, None if it is too large.  Raises `ClientDisconnect`."""
    body = bytearray()
    octets, more = 0, True
    while more and octets <= BODY_OCTETS + _EXCESS:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        octets += len(chunk)
        if octets <= BODY_OCTETS:
            body += chunk
        more = message.get("more_body", False)
    return bytes(body) if octets <= BODY_OCTETS else None


async def _refuse(status: HTTPStatus, why: str, scope: Scope, receive: Receive, send: Send) -> None:
    """An answer without a page, after which the connection is closed: what follows may be the rest of a body."""
    answer = problem(status, why) if scope["path"].startswith(_API) else PlainTextResponse(f"{sentence(why)}\n", status)
    answer.headers["Connection"] = "close"
    await answer(scope, receive, send)
