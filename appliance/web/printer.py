"""A printer's own page: how it fares, who may send, what waits; and what keeps it going: pause, refuse, test page.

Security: how a printer fares everybody who is logged in may see; its rules only whoever operates it, for the lists are
nobody else's business.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import RedirectResponse, Response

from appliance import facts, holding, opened
from appliance.desk import Standing
from appliance.doctor.network import own_interfaces
from appliance.peer import plain_ip
from appliance.rights import Act, demand, may
from appliance.supposing import Supposed
from appliance.web import levels
from appliance.web.addresses import card
from appliance.web.job_rows import LABELS, Row, rows
from appliance.web.login import Me
from appliance.web.pages import flash, page, sentence
from appliance.web.paper import is_in_doubt
from appliance.web.site import Here, Site
from appliance.web.words import login, rhythm, rule_in_words
from mailstore.address import parse_path
from mailstore.directory.entry import named_limits
from mailstore.directory.records import Person, Printer
from mailstore.directory.values import LIMITS
from mailstore.failure import PermanentFailure
from mailstore.job import JobState
from mailstore.ticket_words import to_words

router = APIRouter(include_in_schema=False)

_NEWEST = 25  # jobs on a printer's page
_DOUBTS = 10


class Where(StrEnum):
    """Where the mail of a tried address comes from."""

    SITE = "site"
    IP = "ip"
    SIGNED = "signed"  # from such an address too, with a signature of the author's domain
    LOGIN = "login"
    GIVEN_AWAY = "given-away"  # from such an address, sent to an address of the printer that was given away


_OUTSIDE = (Where.IP, Where.SIGNED, Where.GIVEN_AWAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """An address that somebody tries, and what came of it."""

    sender: str = ""
    author: str = ""  # of the From field, "" if that is the sender
    where: Where = Where.SITE
    ip: str = ""
    chip: tuple[str, str] = ("", "")  # its kind and its words
    verdict: str = ""
    errors: dict[str, str] = field(default_factory=dict)


class Wish(StrEnum):
    """What keeps a printer going, by the last part of the address."""

    TEST_PAGE = "test-page"
    PAUSE = "pause"
    RESUME = "resume"
    ACCEPT = "accept"
    REFUSE = "refuse"


_DONE: dict[Wish, str] = {
    Wish.PAUSE: "{name} is paused: mail is taken and waits. What is being printed now is finished.",
    Wish.RESUME: "{name} goes on printing.",
    Wish.ACCEPT: "{name} takes mail again.",
    Wish.REFUSE: "{name} takes no mail: senders are told so. What waits is still printed.",
}


@router.get("/printers/{name}")
async def printer_page(request: Request, site: Here, person: Me, name: str) -> Response:
    return await _show(request, site, person, name, Trial())


@router.get("/printers/{name}/try")
async def try_address(
    request: Request,
    site: Here,
    person: Me,
    name: str,
    sender: Annotated[str, Query(max_length=320)] = "",
    author: Annotated[str, Query(max_length=320)] = "",
    where: Where = Where.SITE,
    ip: Annotated[str, Query(max_length=60)] = "",
) -> Response:
    demand(person, Act.OPERATE, (await site.desk.printer(person, name)).printer)
    asked = Trial(sender=sender.strip(), author=author.strip(), where=where, ip=ip.strip())
    trial = await _tried(site, person, name, asked)
    # htmx takes nothing out of an answer that is an error, and this one shows in the page what is wrong.
    status = 422 if trial.errors and "hx-request" not in request.headers else 200
    return await _show(request, site, person, name, trial, status)


async def _tried(site: Site, person: Person, name: str, asked: Trial) -> Trial:
    errors = {}
    sender, author, outside = asked.sender, asked.author, asked.where in _OUTSIDE
    try:
        if sender or asked.where is Where.LOGIN:
            sender = parse_path(f"<{sender}>", utf8=True, null_allowed=False).address
    except PermanentFailure:
        errors["sender"] = "This is not an address: write it like ada@example.com."
    try:
        if author:
            author = parse_path(f"<{author}>", utf8=True, null_allowed=False).address
    except PermanentFailure:
        errors["author"] = "The author in From is not an address: write it like ada@example.com."
    try:
        if outside:
            plain_ip(asked.ip)
    except PermanentFailure as failure:
        errors["ip"] = sentence(failure.text)
    if errors:
        return replace(asked, errors=errors)
    supposed = Supposed(
        sender=sender,
        ip=asked.ip if outside else "",
        login=asked.where is Where.LOGIN,
        author=author or None,
        signed=asked.where is Where.SIGNED,
        given_away=asked.where is Where.GIVEN_AWAY,
    )
    answer = await site.desk.try_sender(person, name, supposed)
    chip = ("good", "may print") if answer.allowed else _UNCERTAIN if answer.uncertain else ("bad", "may not print")
    return replace(asked, sender=sender, author=author, chip=chip, verdict=f"{answer.sentence}.")


_UNCERTAIN = ("wait", "asked to try again")


async def _show(request: Request, site: Site, person: Person, name: str, trial: Trial, status: int = 200) -> Response:
    standing = await site.desk.printer(person, name)
    printer, now = standing.printer, time.time()
    operates = may(person, Act.OPERATE, printer)
    return page(
        request,
        "printer.html",
        status=status,
        standing=standing,
        printer=printer,
        operates=operates,
        members=await _members(site, person, printer),
        rhythm=rhythm(printer, standing.state, now) if printer.polls else [],
        login=login(printer, standing.state) if printer.polls else [],
        limits=[f"{number} {LIMITS[name]}" for name, number in named_limits(printer.limits).items()],
        allow=[(rule, rule_in_words(rule)) for rule in printer.allow],
        warnings=facts.warnings(printer, own_interfaces()) if operates else [],
        deny=[(rule, rule_in_words(rule)) for rule in printer.deny],
        prints=prints(printer),
        holds=holding.in_words(printer),
        codes=holding.codes(printer) if operates else "",
        opened=[text for text in (opened.as_it_came(printer, "it"), opened.unfiltered(printer, "it")) if text],
        trial=trial,
        given_away=await card(site, person, printer),
        rows=await rows(site, person, await site.desk.jobs(person, printer.name, _NEWEST)),
        LABELS=LABELS,
        silent=await site.reach.silent(),
        **_told(standing, now),
        doubts=await _doubts(site, person, printer),
    )


def _told(standing: Standing, now: float) -> dict[str, object]:
    """What the printer says of itself."""
    printer, report = standing.printer, standing.report
    asked = printer.drained_by_bridge or report is not None
    return {
        "answers": levels.answers(printer, report, now) if asked else [],
        "console": levels.console(report) if report else "",
        "itself": levels.itself(report) if report else "",
        "left": [("Supplies", levels.supplies(report)), ("Paper", levels.trays(report))] if report else [],
        "as_of": report.answered_at if report and not report.up else 0.0,
        "counter": report.pages if report else None,
    }


async def _doubts(site: Site, person: Person, printer: Printer) -> list[Row]:
    """Its jobs that somebody has to decide on, the newest."""
    stopped = await site.desk.jobs(person, printer.name, _NEWEST, states={JobState.PROCESSING_STOPPED})
    return await rows(site, person, [job for job in stopped if is_in_doubt(job)][:_DOUBTS])


def prints(printer: Printer) -> list[str]:
    """What whoever sends may ask for, and gets without asking; nothing of one that gets its mail as it is."""
    if not printer.drained_by_bridge:
        return []
    told = ["in colour"] if printer.color else []
    if printer.media:
        told.append("on " + ", ".join(levels.SHORT.get(name, name) for name in printer.media))
    if printer.max_copies:
        told.append("one copy" if printer.max_copies == 1 else f"at most {printer.max_copies} copies")
    if words := to_words(printer.ticket):
        told.append(f"if a job says nothing else, {words}")
    return told


async def _members(site: Site, person: Person, group: Printer) -> list[tuple[str, Standing | None]]:
    """Names of the group's printers, and how they fare; None: there is no such printer."""
    if not group.is_group:
        return []
    known = {one.printer.name: one for one in await site.desk.printers(person)}
    return [(name, known.get(name)) for name in group.members]


@router.post("/printers/{name}/{wish}")
async def wish_for(request: Request, site: Here, person: Me, name: str, wish: Wish) -> Response:
    name = name.lower()
    match wish:
        case Wish.TEST_PAGE:
            number = await site.desk.test_page(person, name)
            flash(request, f"The test page is job {number}.")
            return RedirectResponse(f"/jobs/{number}", 303)
        case Wish.PAUSE | Wish.RESUME:
            await site.desk.set_paused(person, name, wish is Wish.PAUSE)
        case Wish.ACCEPT | Wish.REFUSE:
            await site.desk.set_accepting(person, name, wish is Wish.ACCEPT)
    flash(request, _DONE[wish].format(name=name))
    return RedirectResponse(f"/printers/{name}", 303)
