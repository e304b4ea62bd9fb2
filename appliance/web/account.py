"""One's own account: who one is to Printpost, and a new password.

Security: the old password is asked for, under the same limit as at the login, so that a page left open gives nobody an
account; a new one ends every session of the person but a new one here.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from appliance.guessing import TooManyGuesses
from appliance.web.login import Me, begin, try_password
from appliance.web.pages import SESSION, flash, page, sentence
from appliance.web.site import Here, Site
from mailstore.directory.records import Person
from mailstore.failure import Failure

router = APIRouter(include_in_schema=False)

SHORTEST = 8
"""Characters of a password that a person chooses here."""


@router.get("/account")
async def account(request: Request, site: Here, _: Me) -> Response:
    return page(request, "account.html", errors={}, silent=await site.reach.silent())


@router.post("/account/password")
async def change_password(
    request: Request,
    site: Here,
    person: Me,
    old: Annotated[str, Form()] = "",
    new: Annotated[str, Form()] = "",
    again: Annotated[str, Form()] = "",
) -> Response:
    try:
        errors = await _errors(site, request, person, old, new, again)
        if not errors:
            await site.register.set_password(person, person.name, new)
    except Failure as failure:
        errors = {"": sentence(failure.text)}
    if errors:
        return page(request, "account.html", status=422, errors=errors, silent=False)
    answer = RedirectResponse("/account", 303)
    request.scope["state"][SESSION] = await begin(site, request, person, answer)
    flash(request, "Your password was changed. Everywhere else you have to log in again.")
    return answer


async def _errors(site: Site, request: Request, person: Person, old: str, new: str, again: str) -> dict[str, str]:
    """What is wrong, by field."""
    if not person.local:
        return {"": "Your password is kept by the site's own directory; change it there."}
    errors = {}
    if len(new) < SHORTEST:
        errors["new"] = f"Take at least {SHORTEST} characters."
    elif new != again:
        errors["again"] = "This is not what stands above."
    if errors:
        return errors
    try:
        if await try_password(site, request, person.name, old) is None:
            errors["old"] = "This is not your password."
    except TooManyGuesses as failure:
        errors["old"] = sentence(failure.text)
    return errors
