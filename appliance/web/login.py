"""Who asks: logging in and out, and the person behind a request, as a dependency `Me`.

Security: names, passwords and cookies are strangers' guesses.  A wrong password costs a second, whether the name exists
or not, and few are free (`guessing`).  A session's cookie is 32 random octets of which the store keeps a hash; each
login makes a new one, so nobody can have planted it; the person is looked up at each request, so that one who was
removed is out.  Where the page sends people after the login is a path of its own, whatever the form says.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import re
import secrets
import time
from typing import Annotated

import structlog
from fastapi import APIRouter, Depends, Form, Request
from prometheus_client import Counter
from starlette.responses import RedirectResponse, Response

from appliance.guessing import TooManyGuesses
from appliance.rights import Act, demand
from appliance.web.pages import SESSION, page, sentence
from appliance.web.site import Here, Site
from mailstore.directory.records import Person
from mailstore.failure import TransientFailure
from mailstore.store.outbox import WebSession

ATTEMPTS = Counter("printpost_web_auth_attempts_total", "Passwords that were tried at the page and the API.")
FAILURES = Counter("printpost_web_auth_failures_total", "Passwords tried at the page and the API that were wrong.")

SESSION_SECONDS = 12 * 3600.0
WRONG_SECONDS = 1.0
"""What a wrong password costs."""
_PASSWORD = 1024  # characters
_NAME = 255
_OWN_PATH = re.compile(r"/(?![/\\])[\x21-\x5b\x5d-\x7e]*")

log = structlog.get_logger()
router = APIRouter()


class NotLoggedIn(Exception):
    """Nobody is logged in; a page leads to the login, the API says 401."""


def cookie_name(secure: bool) -> str:
    """The prefix makes browsers take it from this very host by HTTPS only (RFC 6265bis section 4.1.3)."""
    return "__Host-printpost" if secure else "printpost"


def own_path(path: str) -> str:
    """`path` if it is one of this page, else "/"."""
    return path if _OWN_PATH.fullmatch(path) else "/"


async def try_password(site: Site, request: Request, name: str, password: str) -> Person | None:
    """The person whose name and password these are; a "no" costs a second.

    Raises `TooManyGuesses`, or `TransientFailure` if the directory does not answer.
    """
    client = request.client.host if request.client else ""
    began = time.monotonic()
    person = None
    async with site.guesses.trying(client, name, patient=False) as trial:
        ATTEMPTS.inc()
        if 0 < len(password) <= _PASSWORD and 0 < len(name) <= _NAME:
            person = await site.people.verify(name, password)
        if person is not None:
            trial.right()
    if person is None:
        FAILURES.inc()
        log.warning("wrong password at the page", client=client)
        await asyncio.sleep(max(0.0, began + WRONG_SECONDS - time.monotonic()))
    return person


def key_of(cookie: str) -> str:
    """What the store knows a session by."""
    return hashlib.sha256(cookie.encode()).hexdigest()


def _cookie(request: Request) -> str:
    """The name of the cookie, by how the browser came."""
    return cookie_name(request.scope["scheme"] == "https")


async def begin(site: Site, request: Request, person: Person, answer: Response) -> str:
    """A new session for `person`, whose cookie the answer carries; returns its key."""
    cookie = secrets.token_urlsafe(32)
    key, now = key_of(cookie), time.time()
    await site.store.begin_session(
        WebSession(key=key, person=person.name, created_at=now, expires_at=now + SESSION_SECONDS)
    )
    answer.set_cookie(
        _cookie(request),
        cookie,
        max_age=int(SESSION_SECONDS),
        path="/",
        secure=request.scope["scheme"] == "https",
        httponly=True,
        samesite="lax",
    )
    return key


async def by_cookie(site: Site, request: Request) -> Person | None:
    """The person of the request's session, if it still has one.  Raises `TransientFailure`."""
    cookie = request.cookies.get(_cookie(request), "")
    if not cookie or len(cookie) > _NAME:
        return None
    session = await site.store.session(key_of(cookie))
    if session is None or session.expires_at <= time.time():
        return None
    request.scope["state"][SESSION] = session.key
    return await site.people.person(session.person)


async def _by_password(site: Site, request: Request) -> Person | None:
    """RFC 7617, for scripts at the API."""
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return await try_password(site, request, name, password) if colon else None


async def current_person(request: Request, site: Here) -> Person:
    """Who asks.  Raises `NotLoggedIn`; `TransientFailure` while the directory is down and does not remember him."""
    person = await by_cookie(site, request)
    if person is None and request.url.path.startswith("/api/"):
        person = await _by_password(site, request)
    if person is None:
        raise NotLoggedIn
    request.state.person = person
    return person


Me = Annotated[Person, Depends(current_person)]


async def administrator(person: Me) -> Person:
    """Who asks, if he may manage printers and people.  Raises `NotAllowed`."""
    demand(person, Act.MANAGE)
    return person


Administrator = Annotated[Person, Depends(administrator)]


@router.get("/login")
async def login_page(request: Request, site: Here, next: str = "/") -> Response:  # noqa: A002 - as it stands in the address
    if await _known(site, request):
        return RedirectResponse(own_path(next), 303)
    return page(request, "login.html", next=own_path(next), name="", error="")


async def _known(site: Site, request: Request) -> bool:
    try:
        return await by_cookie(site, request) is not None
    except TransientFailure:
        return False


@router.post("/login")
async def log_in(
    request: Request,
    site: Here,
    name: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",  # noqa: A002
) -> Response:
    name, status, error = name.strip(), 200, ""
    if not name or not password:
        status, error = 422, "Give your user name and your password."
    else:
        try:
            if answer := await _let_in(site, request, name, password, next):
                return answer
        except TooManyGuesses as failure:
            status, error = 429, sentence(failure.text)
        except TransientFailure as failure:
            status, error = 503, sentence(f"nobody can log in now: {failure.text}")
        else:
            status, error = 403, "That is not the password of such a user. Mind capital letters."
    return page(request, "login.html", status=status, next=own_path(next), name=name[:_NAME], error=error)


async def _let_in(site: Site, request: Request, name: str, password: str, path: str) -> Response | None:
    """The answer with a session's cookie; None if it is not his password.  Raises `TransientFailure`."""
    seen = await site.store.generation()
    person = await try_password(site, request, name, password)
    if person is None:
        return None
    if old := request.cookies.get(_cookie(request)):
        await site.store.end_session(key_of(old))
    answer = RedirectResponse(own_path(path), 303)
    key = await begin(site, request, person, answer)
    if await site.store.generation() != seen:
        # The password may be another one since it was tried, and all sessions that there were ended before this one.
        site.refresh()
        still = None
        try:
            still = await site.people.verify(name, password)
        finally:
            if still is None:
                await site.store.end_session(key)
        return answer if still else None
    return answer


@router.post("/logout")
async def log_out(request: Request, site: Here) -> Response:
    if cookie := request.cookies.get(_cookie(request)):
        await site.store.end_session(key_of(cookie))
    answer = RedirectResponse("/login", 303)
    secure = request.scope["scheme"] == "https"
    answer.delete_cookie(_cookie(request), path="/", secure=secure, httponly=True, samesite="lax")
    return answer
