"""The page as an ASGI application: which pages there are, and what becomes of failures.

Security: a router in `PAGES` is behind the login as a whole, so that no page can forget it; `login` and `release` alone
stand before it.  What went wrong is told in a sentence that a stranger may read, and a bug only to the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.responses import RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from appliance.desk import Conflict, Missing, TooLate
from appliance.guessing import TooManyGuesses
from appliance.rights import NotAllowed
from appliance.web import (
    account,
    addresses,
    api,
    api_addresses,
    api_jobs,
    api_moving,
    api_people,
    api_printers,
    jobs,
    login,
    moving,
    overview,
    people,
    printer,
    printer_settings,
    release,
    stream,
)
from appliance.web.guard import Guard
from appliance.web.login import NotLoggedIn, current_person, own_path
from appliance.web.pages import STATIC, page, sentence
from appliance.web.problem import problem
from appliance.web.site import Site
from mailstore.failure import Failure, TransientFailure

PAGES: tuple[APIRouter, ...] = (
    overview.router,
    printer_settings.router,
    addresses.router,
    printer.router,
    moving.router,  # before the jobs, whose wishes are any word
    jobs.router,
    account.router,
    people.router,
    api.router,
    api_printers.router,
    api_addresses.router,
    api_jobs.router,
    api_moving.router,
    api_people.router,
    stream.router,
)
"""Every page: one file, one line.  Whoever asks for one of these is logged in."""

_STATUS: tuple[tuple[type[Failure], HTTPStatus], ...] = (
    (NotAllowed, HTTPStatus.FORBIDDEN),
    (Missing, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (TooLate, HTTPStatus.CONFLICT),
    (TooManyGuesses, HTTPStatus.TOO_MANY_REQUESTS),
    (TransientFailure, HTTPStatus.SERVICE_UNAVAILABLE),
    (Failure, HTTPStatus.BAD_REQUEST),
)


def make_app(site: Site) -> FastAPI:
    """The application for one house."""
    own = {site.settings.site.hostname, *site.settings.domains, *site.settings.web.names}
    given = site.secure and not site.self_signed
    app = FastAPI(
        title="Printpost",
        openapi_url=None,
        redirect_slashes=False,
        middleware=[Middleware(Guard, names=frozenset(own), strict_transport=given)],
        exception_handlers={
            NotLoggedIn: _lead_to_login,
            Failure: _tell_failure,
            HTTPException: _tell_status,
            RequestValidationError: _tell_invalid,
            Exception: _tell_bug,
        },
    )
    app.state.site = site
    for open_to_all in (login.router, release.router):
        app.include_router(open_to_all, include_in_schema=False)
    for router in PAGES:
        app.include_router(router, dependencies=[Depends(current_person)])
    app.mount("/static", _Static(directory=STATIC), name="static")
    return app


class _Static(StaticFiles):
    """Our own files.  Their addresses change when they do, so browsers may keep them."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        answer = await super().get_response(path, scope)
        answer.headers["Cache-Control"] = "public, max-age=86400"
        return answer


def _is_api(request: Request) -> bool:
    return request.url.path.startswith("/api/")


def tell(request: Request, status: int, text: str) -> Response:
    """A failure as a page, or as a problem of RFC 9457 for programs."""
    if _is_api(request):
        return problem(status, text)
    return page(request, "failure.html", status=status, title=HTTPStatus(status).phrase, text=sentence(text))


async def _lead_to_login(request: Request, _: Exception) -> Response:
    if _is_api(request):
        return tell(request, 401, "log in, or give your user name and password by HTTP Basic authentication")
    if "hx-request" in request.headers:  # a part of a page: the whole of it has to go to the login
        return Response(status_code=401, headers={"HX-Redirect": "/login"})
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET" or own_path(wanted) == "/":
        return RedirectResponse("/login", 303)
    return RedirectResponse(f"/login?{urlencode({'next': wanted})}", 303)


async def _tell_failure(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, Failure)
    status = next(status for kind, status in _STATUS if isinstance(failure, kind))
    return tell(request, status, failure.text)


async def _tell_status(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    texts = {404: "there is no such page", 405: "that cannot be done here"}
    answer = tell(request, error.status_code, texts.get(error.status_code, str(error.detail)))
    answer.headers.update(error.headers or {})
    return answer


async def _tell_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return tell(request, 422, _what_is_invalid(error.errors()[0]))


def _what_is_invalid(first: Mapping[str, Any]) -> str:
    where = ".".join(str(part) for part in first["loc"][1:])
    match first["type"]:
        case "json_invalid":
            return f"the body is not JSON: {first['ctx']['error']}"
        case "model_attributes_type":
            return "the body has to be a JSON object, with Content-Type: application/json"
        case "missing" if not where:
            return "the request has to have a body, a JSON object"
        case "extra_forbidden":
            return f"there is no field {where[:100]!a}"
        case _:
            return f"field {where[:100]}: {first['msg']}"


async def _tell_bug(request: Request, _: Exception) -> Response:
    return tell(request, 500, "something is wrong with Printpost itself; its log says what")
