"""`/api/v1`: the same things as the pages, as JSON, for scripts.

A script logs in with each request by HTTP Basic (RFC 7617), a page by its cookie.  Errors are problems of RFC 9457 with
the sentence that a page would show.  The OpenAPI document is `/api/v1/openapi.json`.

Security: whoever is logged in may call everything here; what he may do is the desk's to say, as for pages.  Bodies are
bounded by the guard and checked by their models, which refuse keys that they do not know.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
from typing import Any

from fastapi import FastAPI, Request
from fastapi.openapi.utils import get_openapi

from appliance import described
from appliance.rights import Act, may
from appliance.web.body import part
from appliance.web.login import Me, cookie_name
from appliance.web.problem import MEDIA_TYPE
from appliance.web.site import Here
from appliance.web.trouble import trouble
from mailstore.failure import TransientFailure

router = part("", "house")


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, site: Here) -> dict[str, Any]:
    """This API as an OpenAPI document."""
    app: FastAPI = request.app
    if app.openapi_schema is None:
        app.openapi_schema = _document(app, cookie_name(site.secure))
    return app.openapi_schema


def _document(app: FastAPI, cookie: str) -> dict[str, Any]:
    document = get_openapi(
        title="Printpost",
        version=_version(),
        description="Printers with e-mail addresses: settings, state, jobs and users.  Fields are added, not renamed.",
        routes=app.routes,  # the pages' say that they are not to be described
    )
    document["components"]["securitySchemes"] = {
        "password": {"type": "http", "scheme": "basic", "description": "user name and password, with each request"},
        "session": {"type": "apiKey", "in": "cookie", "name": cookie, "description": "of the page"},
    }
    document["security"] = [{"password": []}, {"session": []}]
    answers = (one["responses"] for path in document["paths"].values() for one in path.values())
    for status, answer in ((status, answer) for each in answers for status, answer in each.items()):
        if status >= "400":  # FastAPI describes every answer of a route as of one type
            answer["content"] = {MEDIA_TYPE: answer["content"].pop("application/json")}
    return document


@router.get("/me")
async def who_am_i(person: Me) -> described.DescribedPerson:
    """Who is logged in."""
    return described.person(person)


@router.get("/status")
async def status(person: Me, site: Here) -> described.DescribedStatus:
    """How the house fares, with whatever is wrong in sentences."""
    try:
        standings = await site.desk.printers(person)
    except TransientFailure:
        standings = ()  # nothing is remembered either; that is among the trouble
    wrong = await trouble(site, person, standings)  # asks whether the directory answers
    outgoing = await site.store.outgoing()
    return described.status(
        version=_version(),
        trouble=wrong,
        reachable=not await site.reach.silent(),
        reached_at=site.reach.last,
        standings=standings,
        outgoing=outgoing if may(person, Act.MANAGE) else dataclasses.replace(outgoing, last_error=""),
        room=await site.store.free_octets(),
    )


def _version() -> str:
    return importlib.metadata.version("printpost")
