"""The people of Printpost's own directory, for administrators: who there is, add, change, remove, a new password.

Security: only administrators come here, and none of them can lock all of them out: nobody removes himself or takes his
own right away.  A password is made up here, shown once on the answer that made it, and kept by nobody.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import RedirectResponse, Response

from appliance.desk import Conflict, Missing
from appliance.rights import NotAllowed
from appliance.web.login import Administrator
from appliance.web.pages import flash, page, sentence
from appliance.web.site import Here, Site
from mailstore.directory import values
from mailstore.directory.records import Person
from mailstore.failure import Failure, PermanentFailure, TransientFailure

router = APIRouter(include_in_schema=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What stands in the form, as typed."""

    name: str = ""
    full_name: str = ""
    addresses: str = ""
    administrator: bool = False
    groups: str = ""

    @classmethod
    def of(cls, person: Person) -> Typed:
        return cls(
            name=person.name,
            full_name=person.full_name,
            addresses="\n".join(person.addresses),
            administrator=person.administrator,
            groups="\n".join(person.groups),
        )

    def settings(self) -> dict[str, Any]:
        """By the names of a `Person`'s fields."""
        return {
            "full_name": self.full_name.strip(),
            "addresses": tuple(self.addresses.lower().replace(",", " ").split()),
            "administrator": self.administrator,
            "groups": tuple(line.strip() for line in self.groups.splitlines() if line.strip()),
        }


@router.get("/people")
async def people(request: Request, site: Here, me: Administrator) -> Response:
    silent = await site.reach.silent()
    try:
        found = await site.register.listed(me)
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
    me: Administrator,
    name: Annotated[str, Form()] = "",
    full_name: Annotated[str, Form()] = "",
    addresses: Annotated[str, Form()] = "",
    administrator: Annotated[str, Form()] = "",
    groups: Annotated[str, Form()] = "",
) -> Response:
    typed = Typed(name=name, full_name=full_name, addresses=addresses, administrator=bool(administrator), groups=groups)
    made = Person(name=name.strip().lower(), **typed.settings())
    errors = _wrong(made)
    if errors:
        return await _form(request, site, None, typed, errors)
    try:
        password = await site.register.add(me, made)
    except Failure as failure:
        return await _form(request, site, None, typed, _refused(failure))
    title = f"{made.name} was added"
    return page(request, "password.html", title=title, whose=made.name, password=password, back="/people")


@router.get("/people/{name}")
async def person_page(request: Request, site: Here, me: Administrator, name: str) -> Response:
    shown = await site.register.person(me, name)
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
    groups: Annotated[str, Form()] = "",
) -> Response:
    typed = Typed(name=name, full_name=full_name, addresses=addresses, administrator=bool(administrator), groups=groups)
    shown = await site.register.person(me, name)
    changes = typed.settings()
    errors = _wrong(dataclasses.replace(shown, **changes))
    if not errors:
        try:
            await site.register.change(me, name, seen, changes)
        except Conflict as conflict:
            now = conflict.now
            assert isinstance(now, Person)
            shown, errors = now, {"": sentence(conflict.text)}
        except NotAllowed as refused:
            errors = {"administrator": sentence(refused.text)}
        except Missing:
            raise
        except Failure as failure:
            errors = _refused(failure)
    if errors:
        return await _form(request, site, shown, typed, errors)
    flash(request, f"{shown.name} was saved.")
    return RedirectResponse(f"/people/{shown.name}", 303)


@router.get("/people/{name}/remove")
async def ask_remove(request: Request, site: Here, me: Administrator, name: str) -> Response:
    shown = await site.register.person(me, name)
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
    shown = await site.register.person(me, name)
    await site.register.remove(me, name)
    flash(request, f"{shown.name} was removed.")
    return RedirectResponse("/people", 303)


@router.get("/people/{name}/password")
async def ask_password(request: Request, site: Here, me: Administrator, name: str) -> Response:
    shown = await site.register.person(me, name)
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
async def new_password(request: Request, site: Here, me: Administrator, name: str) -> Response:
    shown = await site.register.person(me, name)
    password = await site.register.set_password(me, name)
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
        seen=shown.revision if shown else "",
        typed=typed,
        errors=errors or {},
        silent=await site.reach.silent(),
    )


def _wrong(person: Person) -> dict[str, str]:
    """What cannot be meant, by field: all that is wrong at once."""
    errors = {}
    fields: tuple[tuple[str, Callable[[str], str], Sequence[str], str], ...] = (
        ("name", values.read_user_name, (person.name,), "Somebody needs a name."),
        ("full_name", values.read_text, (person.full_name,), ""),
        ("addresses", values.read_own_address, person.addresses, "Give at least one address."),
        ("groups", values.read_group, person.groups, ""),
    )
    for field, read, told, missing in fields:
        if missing and not any(told):
            errors[field] = missing
            continue
        try:
            values.check_each(told, read)
        except PermanentFailure as failure:
            errors[field] = sentence(failure.text)
    return errors


def _refused(failure: Failure) -> dict[str, str]:
    """The directory's refusal, beside the field that it is about."""
    field = ""
    if failure.status == "5.1.1":
        field = "name" if failure.text.startswith("there is") else "addresses"
    return {field: sentence(failure.text)}
