"""The people of Printpost's own directory, for administrators: who there is, add, change, remove, a new password.

Security: only administrators come here, and none of them can lock all of them out: nobody removes himself or takes his
own right away.  A password is made up here, shown once on the answer that made it, and kept by nobody.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from appliance.desk import Missing
from appliance.people import made_up_password
from appliance.rights import Act, demand
from appliance.web.login import Administrator
from appliance.web.pages import flash, page, sentence
from appliance.web.site import Here, Site
from mailstore.directory.records import Person
from mailstore.directory.turn import our_turn
from mailstore.failure import Failure, PermanentFailure, TransientFailure

router = APIRouter(include_in_schema=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What stands in the form, as typed."""

    name: str = ""
    full_name: str = ""
    addresses: str = ""
    administrator: bool = False

    @classmethod
    def of(cls, person: Person) -> Typed:
        return cls(
            name=person.name,
            full_name=person.full_name,
            addresses="\n".join(person.addresses),
            administrator=person.administrator,
        )

    def settings(self) -> tuple[str, tuple[str, ...], bool]:
        """Full name, addresses, administrator."""
        return self.full_name.strip(), tuple(self.addresses.lower().replace(",", " ").split()), self.administrator


@router.get("/people")
async def people(request: Request, site: Here, _: Administrator) -> Response:
    silent = await site.reach.silent()
    try:
        found = await site.people.people()
    except TransientFailure:
        found = None
    foreign = bool(site.settings.people.url)
    return page(request, "people.html", people=found, silent=silent, foreign=foreign)


@router.get("/add-person")
async def new_person(request: Request, site: Here, _: Administrator) -> Response:
    return await _form(request, site, None, Typed())


@router.post("/add-person")
async def add_person(
    request: Request,
    site: Here,
    _: Administrator,
    name: Annotated[str, Form()] = "",
    full_name: Annotated[str, Form()] = "",
    addresses: Annotated[str, Form()] = "",
    administrator: Annotated[str, Form()] = "",
) -> Response:
    typed = Typed(name=name, full_name=full_name, addresses=addresses, administrator=bool(administrator))
    given, listed, rights = typed.settings()
    made = Person(name=name.strip().lower(), addresses=listed, full_name=given, administrator=rights)
    errors = _missing(made)
    if errors:
        return await _form(request, site, None, typed, errors)
    password = made_up_password()
    try:
        async with our_turn(site.settings.store.folder):
            await site.people.add(made, password)
            await site.changed()
    except Failure as failure:
        return await _form(request, site, None, typed, _beside(failure))
    title = f"{made.name} was added"
    return page(request, "password.html", title=title, whose=made.name, password=password, back="/people")


@router.get("/people/{name}")
async def person_page(request: Request, site: Here, _: Administrator, name: str) -> Response:
    shown = await _existing(site, name)
    return await _form(request, site, shown, Typed.of(shown))


@router.post("/people/{name}")
async def change_person(
    request: Request,
    site: Here,
    me: Administrator,
    name: str,
    seen: Annotated[str, Form()] = "",
    full_name: Annotated[str, Form()] = "",
    addresses: Annotated[str, Form()] = "",
    administrator: Annotated[str, Form()] = "",
) -> Response:
    typed = Typed(name=name, full_name=full_name, addresses=addresses, administrator=bool(administrator))
    given, listed, rights = typed.settings()
    async with our_turn(site.settings.store.folder):
        shown = await _as_it_is(site, me, name)
        made = dataclasses.replace(shown, addresses=listed, full_name=given, administrator=rights)
        errors = _missing(made)
        if seen != _revision(shown):
            errors[""] = f"Somebody else changed {name} meanwhile; look at it again, nothing was saved."
        elif shown.name == me.name and not rights:
            errors["administrator"] = "Nobody takes this right from himself; another administrator can."
        if not errors and made != shown:
            try:
                await site.people.replace(made)
                await site.changed()
            except Failure as failure:
                errors = _beside(failure)
    if errors:
        return await _form(request, site, shown, typed, errors)
    flash(request, f"{shown.name} was saved.")
    return RedirectResponse(f"/people/{shown.name}", 303)


@router.get("/people/{name}/remove")
async def ask_remove(request: Request, site: Here, _: Administrator, name: str) -> Response:
    shown = await _existing(site, name)
    return page(
        request,
        "confirm.html",
        title=f"Remove {shown.name}?",
        text="Whoever it is cannot log in, print or read mail by this name any more, and mail that waits for him goes.",
        action=f"/people/{shown.name}/remove",
        label="Remove",
        back=f"/people/{shown.name}",
    )


@router.post("/people/{name}/remove")
async def remove_person(request: Request, site: Here, me: Administrator, name: str) -> Response:
    async with our_turn(site.settings.store.folder):
        shown = await _as_it_is(site, me, name)
        if shown.name == me.name:
            raise PermanentFailure("5.7.1", "nobody removes himself; another administrator can")
        await site.people.remove(shown.name)
        await site.changed()
    await site.store.end_sessions(shown.name)
    await site.store.forget_printer(shown.maildrop)
    flash(request, f"{shown.name} was removed.")
    return RedirectResponse("/people", 303)


@router.get("/people/{name}/password")
async def ask_password(request: Request, site: Here, _: Administrator, name: str) -> Response:
    shown = await _existing(site, name)
    return page(
        request,
        "confirm.html",
        title=f"A new password for {shown.name}?",
        text="The one until now is good for nothing from then on. The new one is made up, and shown once.",
        action=f"/people/{shown.name}/password",
        label="Make a new password",
        back=f"/people/{shown.name}",
    )


@router.post("/people/{name}/password")
async def new_password(request: Request, site: Here, _: Administrator, name: str) -> Response:
    shown = await _existing(site, name)
    password = made_up_password()
    async with our_turn(site.settings.store.folder):
        await site.people.set_password(shown.name, password)
        await site.changed()
    await site.store.end_sessions(shown.name)
    title = f"A new password for {shown.name}"
    return page(
        request, "password.html", title=title, whose=shown.name, password=password, back=f"/people/{shown.name}"
    )


async def _form(
    request: Request, site: Site, shown: Person | None, typed: Typed, errors: dict[str, str] | None = None
) -> Response:
    return page(
        request,
        "person.html",
        status=422 if errors else 200,
        new=shown is None,
        shown=shown,
        seen=_revision(shown) if shown else "",
        typed=typed,
        errors=errors or {},
        silent=await site.reach.silent(),
    )


async def _existing(site: Site, name: str) -> Person:
    """One of our own people.  Raises `Missing`."""
    person = await site.people.person(name.lower())
    if person is None or not person.local:
        raise Missing(f"there is nobody of the name {name[:100]!a} here")
    return person


async def _as_it_is(site: Site, me: Person, name: str) -> Person:
    """One of our own people, in our turn.  Raises `NotAllowed` if somebody just took the right from `me`."""
    site.people.forget()  # what is remembered may be a minute old
    demand(await site.people.person(me.name) or dataclasses.replace(me, administrator=False), Act.MANAGE)
    return await _existing(site, name)


def _missing(person: Person) -> dict[str, str]:
    errors = {}
    if not person.name:
        errors["name"] = "Somebody needs a name."
    if not person.addresses:
        errors["addresses"] = "Give at least one address."
    return errors


def _beside(failure: Failure) -> dict[str, str]:
    """The directory's refusal beside the field that it is about."""
    words = failure.text.lower() if isinstance(failure, PermanentFailure) else ""
    field = "addresses" if "address" in words or "@" in words else "name" if "user" in words or "name" in words else ""
    return {field: sentence(failure.text)}


def _revision(person: Person) -> str:
    """Changes whenever a setting does."""
    return hashlib.sha256(repr(person).encode()).hexdigest()[:16]
