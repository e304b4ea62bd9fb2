"""Settings of a printer: the form, a new printer, a new password, and taking a printer away.

Security: what may be set is what `printer_form` knows and the directory's readers let through; who may, the desk says.
A made-up password stands on one answer that no cache keeps, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import RedirectResponse, Response

from appliance import holding
from appliance.desk import Conflict, Missing
from appliance.rights import Act, NotAllowed, demand
from appliance.web import printer_form
from appliance.web.login import Administrator, Me
from appliance.web.pages import flash, page, sentence
from appliance.web.printer_form import Difference
from appliance.web.site import Here, Site
from mailstore.config_values import split_endpoint
from mailstore.directory import values
from mailstore.directory.records import Body, Hold, Language, Person, Printer, Raw, Snmp, WhenUncertain
from mailstore.failure import Failure, TransientFailure

router = APIRouter(include_in_schema=False)

LANGUAGES: dict[Language, str] = {
    Language.POSTSCRIPT: "PostScript level 3",
    Language.POSTSCRIPT2: "PostScript level 2 (Tektronix Phaser 3xx and its time)",
    Language.PDF: "PDF",
    Language.PCL: "PCL 5",
    Language.PCLXL: "PCL 6 (PCL XL)",
    Language.PWG: "PWG raster",
    Language.TEXT: "plain text",
}
UNCERTAIN: dict[WhenUncertain, str] = {
    WhenUncertain.HOLD: "hold it until somebody looks and decides",
    WhenUncertain.REPRINT: "print it again under a banner that says so",
    WhenUncertain.RESUME: "go on behind the last page that the printer confirmed; hold it where it confirmed none",
    WhenUncertain.PRINTED: "count it as printed",
}
RAW: dict[Raw, str] = {
    Raw.NOBODY: "nobody's: everything is drawn anew",
    Raw.INSIDER: "those from inside: with a login, or from the site's networks",
    Raw.VERIFIED: "also those from outside whose sender is proved",
    Raw.STRANGER: "everybody's who may print",
}
UNFILTERED: dict[Raw, str] = {
    Raw.NOBODY: "nobody's: what could harm the printer is taken out",
    Raw.INSIDER: "those from inside: with a login, or from the site's networks",
    Raw.VERIFIED: "also those from outside whose sender is proved",
    Raw.STRANGER: "everybody's who may print",
}
BODY: dict[Body, str] = {
    Body.ALONE: "if nothing that can be printed is attached",
    Body.ALWAYS: "always, before what is attached",
    Body.NEVER: "never",
}

HOLD: dict[Hold, str] = {
    Hold.NONE: "no: they print as they come",
    Hold.ALL: "until somebody who looks after the printer releases them",
    Hold.CODE: "until their sender types in the code that he is told by mail",
}
SNMP: dict[Snmp, str] = {
    Snmp.V1: "by SNMP, version 1",
    Snmp.V2C: "by SNMP, version 2c",
    Snmp.OFF: "never",
}


@router.get("/printers/new")
async def new_page(request: Request, site: Here, _: Administrator, group: bool = False) -> Response:
    form = printer_form.texts(Printer(name="", addresses=()))
    return await _new_form(request, site, "", form, group=group)


@router.post("/printers/new")
async def add(request: Request, site: Here, person: Administrator) -> Response:
    pairs = (await request.form()).multi_items()
    typed = printer_form.filled(pairs)
    group = "members" in typed
    name = next((value.strip().lower() for key, value in pairs if key == "name" and isinstance(value, str)), "")
    if not typed.get("addresses", "").strip():
        typed["addresses"] = "\n".join(f"{name}@{domain}" for domain in site.settings.domains)
    blank = Printer(name=name, addresses=())
    reading = printer_form.read(typed, blank)
    errors = dict(reading.errors)
    if why := _wrong_name(name):
        errors["name"] = why
        errors.pop("addresses", None)
    if group and not reading.changes.get("members") and "members" not in errors:
        errors["members"] = "name at least one printer"
    if errors:
        return await _new_form(request, site, name, typed, errors, 422, group=group)
    try:
        made = await site.desk.add(person, Printer(**{"name": name, **reading.changes}))
    except Failure as failure:
        errors, status = _refused(failure)
        if "addresses" in errors:  # which this form makes of the name
            errors["name"] = errors.pop("addresses")
        return await _new_form(request, site, name, typed, errors, status, group=group)
    if not made.polls:
        flash(request, f"{made.name} is there: mail to {made.addresses[0]} is printed.")
        return RedirectResponse(f"/printers/{made.name}", 303)
    return await _new_password(request, site, person, made.name)


def _wrong_name(name: str) -> str:
    try:
        values.read_name(name)
    except ValueError as error:
        return sentence(str(error))
    return ""


async def _new_form(
    request: Request,
    site: Site,
    name: str,
    form: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
    status: int = 200,
    *,
    group: bool = False,
) -> Response:
    return page(
        request,
        "printer_new.html",
        group=group,
        status=status,
        name=name,
        form=form,
        errors=_sentences(errors),
        domains=site.settings.domains,
        LANGUAGES=LANGUAGES,
        silent=await site.reach.silent(),
    )


@router.get("/printers/{name}/settings")
async def settings_page(request: Request, site: Here, person: Me, name: str) -> Response:
    printer = await _settable(site, person, name)
    return await _form(request, site, printer, printer_form.texts(printer))


@router.post("/printers/{name}/settings")
async def change(request: Request, site: Here, person: Me, name: str) -> Response:
    sent = (await request.form()).multi_items()
    typed = printer_form.filled(sent)
    seen = {key: value for key, value in sent if key in ("revision", "marks") and isinstance(value, str)}
    printer = await _settable(site, person, name)
    form = printer_form.texts(printer) | typed
    reading = printer_form.read(typed, printer)
    if reading.errors:
        return await _form(request, site, printer, form, seen=seen, errors=reading.errors, status=422)
    try:
        changed = await site.desk.change(person, name, seen.get("revision", ""), reading.changes)
    except Conflict as conflict:
        now = conflict.now
        assert isinstance(now, Printer)
        merged = printer_form.merge(seen.get("marks", ""), typed, printer_form.texts(now))
        return await _form(request, site, now, merged.texts, differences=merged.differences, conflict=True, status=409)
    except (NotAllowed, Missing):
        raise
    except Failure as failure:
        errors, status = _refused(failure)
        return await _form(request, site, printer, form, seen=seen, errors=errors, status=status)
    flash(request, "Saved. It counts from the next mail, the next poll and the next notice on.")
    return RedirectResponse(f"/printers/{changed.name}", 303)


_TOLD_BY = {"members": " member", "ticket": "the ticket of "}
"""Fields, and the words by which the directory speaks of them when it has looked at the whole."""


def _refused(failure: Failure) -> tuple[dict[str, str], int]:
    """What the directory said to the whole of it, by field, and the status."""
    if isinstance(failure, TransientFailure):
        return {"": sentence(f"nothing can be saved now: {failure.text}. What you typed is kept here; try again")}, 503
    if failure.status.startswith("5.1."):
        return {"addresses": sentence(failure.text)}, 422
    field = next((field for field, word in _TOLD_BY.items() if word in failure.text), "")
    return {field: sentence(failure.text)}, 422


def _sentences(errors: Mapping[str, str] | None) -> dict[str, str]:
    return {field: sentence(text) for field, text in (errors or {}).items()}


async def _settable(site: Site, person: Person, name: str) -> Printer:
    printer = (await site.desk.printer(person, name)).printer
    demand(person, Act.SET, printer)
    return printer


async def _form(
    request: Request,
    site: Site,
    printer: Printer,
    form: Mapping[str, str],
    *,
    seen: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    differences: list[Difference] | None = None,
    conflict: bool = False,
    status: int = 200,
) -> Response:
    """The form, for the revision that was `seen` first, else for `printer` as it is."""
    now = {"revision": printer.revision, "marks": printer_form.marks(printer_form.texts(printer))}
    context: dict[str, Any] = {
        "printer": printer,
        "form": form,
        "seen": now | dict(seen or {}),
        "errors": _sentences(errors),
        "differences": differences or [],
        "conflict": conflict,
        "LANGUAGES": LANGUAGES,
        "uncertain": _choices(UNCERTAIN),
        "body": _choices(BODY),
        "unfiltered": _choices(UNFILTERED),
        "hold": _choices(HOLD),
        "codes": holding.TOLD,
        "snmp": _choices(SNMP),
        "raw": [one for one in _choices(RAW) if not (printer.polls and one[0] == Raw.NOBODY)],
        "silent": await site.reach.silent(),
    }
    return page(request, "printer_settings.html", status=status, **context)


def _choices(words: Mapping[Any, str]) -> list[tuple[str, str]]:
    return [(choice.value, told) for choice, told in words.items()]


@router.post("/printers/{name}/password")
async def new_password(request: Request, site: Here, person: Me, name: str) -> Response:
    return await _new_password(request, site, person, name.lower())


async def _new_password(request: Request, site: Site, person: Person, name: str) -> Response:
    password = await site.desk.new_password(person, name)
    return page(
        request,
        "printer_password.html",
        name=name,
        password=password,
        host=site.settings.site.hostname,
        port=split_endpoint(site.settings.pop3.listen)[1],
        tls_port=split_endpoint(site.settings.pop3s.listen)[1],
    )


@router.get("/printers/{name}/remove")
async def confirm_removal(request: Request, site: Here, person: Administrator, name: str) -> Response:
    standing = await site.desk.printer(person, name)
    waiting = standing.jobs_waiting
    lost = "Its settings and its password" if standing.printer.polls else "Its settings"
    jobs = f" {waiting} {'job that waits is' if waiting == 1 else 'jobs that wait are'} canceled." if waiting else ""
    return page(
        request,
        "confirm.html",
        title=f"Remove {standing.printer.name}?",
        text=f"{lost} are lost, and mail to {', '.join(standing.printer.addresses)} is refused."
        f"{jobs} The records of its jobs stay.",
        action=f"/printers/{standing.printer.name}/remove",
        label="Remove it",
        back=f"/printers/{standing.printer.name}",
    )


@router.post("/printers/{name}/remove")
async def remove(request: Request, site: Here, person: Administrator, name: str) -> Response:
    await site.desk.remove(person, name)
    flash(request, f"{name.lower()} is removed.")
    return RedirectResponse("/", 303)
