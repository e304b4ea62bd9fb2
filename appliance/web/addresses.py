"""Addresses to give away, at a printer's page: make one, which is shown this once, and revoke one.

Security: an address is a right to print, so whoever may set the printer makes and sees them and nobody else does.  A
new one stands on one answer that no cache keeps; forms are sent by POST, so no URL and no log has it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from appliance.capabilities import Capabilities, ends_in_words, until
from appliance.rights import Act, may
from appliance.web.login import Me
from appliance.web.pages import flash, page, sentence
from appliance.web.site import Here, Site
from mailstore.directory.records import Person, Printer
from mailstore.failure import PermanentFailure
from mailstore.store.admission import Capability

router = APIRouter(include_in_schema=False)

Number = Annotated[int, Path(ge=1, lt=1 << 63, description="the address's number")]

_SHOWN = 100
_TEXT = Form(max_length=500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """An address in the list."""

    capability: Capability
    why_not: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """The part of a printer's page on addresses to give away."""

    rows: list[Row]
    more: int  # that are not shown


async def card(site: Site, person: Person, printer: Printer) -> Card | None:
    """None for whoever may not give addresses away."""
    if not may(person, Act.SET, printer):
        return None
    now = time.time()
    found = [Row(capability=one, why_not=one.why_not(now)) for one in await _those(site).listed(person, printer.name)]
    found.sort(key=lambda row: bool(row.why_not))  # newest first otherwise
    return Card(rows=found[:_SHOWN], more=len(found[_SHOWN:]))


@router.get("/printers/{name}/addresses")
async def new_address(request: Request, site: Here, person: Me, name: str) -> Response:
    await _those(site).listed(person, name)
    return _form(request, name.lower(), {})


@router.post("/printers/{name}/addresses")
async def give_address(
    request: Request,
    site: Here,
    person: Me,
    name: str,
    note: Annotated[str, _TEXT] = "",
    expires: Annotated[str, _TEXT] = "",
    max_jobs: Annotated[str, _TEXT] = "",
    max_pages: Annotated[str, _TEXT] = "",
) -> Response:
    typed = {"note": note, "expires": expires, "max_jobs": max_jobs, "max_pages": max_pages}
    errors, ends = {}, 0.0
    try:
        ends = until(expires, time.time())
    except PermanentFailure as failure:
        errors["expires"] = sentence(failure.text)
    for field in ("max_jobs", "max_pages"):
        if not _is_number(typed[field]):
            errors[field] = "Give a whole number, or nothing."
    await _those(site).listed(person, name)  # who may not is told that, and not what is wrong
    if errors:
        return _form(request, name.lower(), typed, errors)
    limits = {field: int(typed[field].strip() or 0) for field in ("max_jobs", "max_pages")}
    try:
        given = await _those(site).make(person, name, note=note, expires_at=ends, **limits)
    except PermanentFailure as failure:
        if not failure.status.startswith("5.5."):  # no such printer, not allowed
            raise
        return _form(request, name.lower(), typed, {"": sentence(failure.text)})
    back = f"/printers/{given.capability.printer}"
    return page(request, "address_given.html", given=given, ends=ends_in_words(given.capability), back=back)


@router.get("/printers/{name}/addresses/{number}/revoke")
async def ask_revoke(request: Request, site: Here, person: Me, name: str, number: Number) -> Response:
    one = await _those(site).one(person, name, number)
    told = f", which was made for {one.note}," if one.note else ""
    return page(
        request,
        "confirm.html",
        title=f"Revoke address {one.id}?",
        text=f"Nobody prints on {one.printer} by address {one.id}{told} any more, and it cannot be brought back. "
        "Jobs that came by it before stay.",
        action=f"/printers/{one.printer}/addresses/{one.id}/revoke",
        label="Revoke",
        back=f"/printers/{one.printer}#addresses",
    )


@router.post("/printers/{name}/addresses/{number}/revoke")
async def revoke(request: Request, site: Here, person: Me, name: str, number: Number) -> Response:
    one = await _those(site).revoke(person, number, name)
    flash(request, f"Address {one.id} is revoked: nobody prints by it any more.")
    return RedirectResponse(f"/printers/{one.printer}#addresses", 303)


def _those(site: Site) -> Capabilities:
    return Capabilities(site.store, site.directory)


def _is_number(text: str) -> bool:
    bare = text.strip()
    return not bare or (bare.isascii() and bare.isdigit() and len(bare) <= 9)


def _form(request: Request, name: str, typed: Mapping[str, str], errors: Mapping[str, str] | None = None) -> Response:
    return page(
        request,
        "address_new.html",
        status=422 if errors else 200,
        name=name,
        typed=typed,
        errors=errors or {},
    )
