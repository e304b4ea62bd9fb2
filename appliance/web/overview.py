"""The first page: every printer, how it fares, what waits for it, and whatever is wrong.

Security: everybody who is logged in sees it, so it holds no job's name, no sender and no rule; what a mail server said
of a notice names its recipient, and is an administrator's to read.  What is searched for is
cut and compared, never a pattern; what printers report is shown as text, and a table is bounded in rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.desk import Standing
from appliance.rights import Act, may
from appliance.web.login import Me
from appliance.web.pages import ago, clock, page, sentence
from appliance.web.site import Here, Site
from mailstore import condition
from mailstore.directory.records import Person
from mailstore.failure import TransientFailure

router = APIRouter(include_in_schema=False)

MOST = 200
"""Printers shown at once; the others are searched for."""
_SHOWN = 5  # printers named in one line of trouble
_SEARCHED = 100  # characters


@router.get("/")
async def overview(request: Request, site: Here, person: Me, find: str = "") -> Response:
    standings: Sequence[Standing] = ()
    known = True
    try:
        standings = await site.desk.printers(person)
    except TransientFailure:
        known = False  # nothing is remembered either
    searched = find.strip()[:_SEARCHED]
    found = [one for one in standings if _matches(one, searched.lower())]
    if len(found) > MOST:
        found.sort(key=lambda one: not _stopped(one))
    return page(
        request,
        "overview.html",
        known=known,
        count=len(standings),
        found=len(found),
        shown=found[:MOST],
        searched=searched,
        trouble=await trouble(site, person, standings),
        domain=site.settings.domains[0],
    )


def _matches(standing: Standing, words: str) -> bool:
    printer = standing.printer
    return not words or any(words in text.lower() for text in (printer.name, printer.location, *printer.addresses))


def _stopped(standing: Standing) -> bool:
    """Whether the printer itself stands; who paused it knows."""
    return standing.condition == "stopped" and not standing.state.paused


async def trouble(site: Site, person: Person, standings: Sequence[Standing]) -> list[str]:
    """What is wrong in the house, a sentence each."""
    found = []
    if await site.reach.silent():
        since = f"What you see is as of {clock(site.reach.last)}" if site.reach.last else "Nothing of it is known"
        found.append(f"The directory does not answer. {since}, and no setting can be changed until it does.")
    stopped = [one for one in standings if _stopped(one)]
    if stopped:
        named = ", ".join(f"{one.printer.name} ({why_stopped(one)})" for one in stopped[:_SHOWN])
        more = f" and {len(stopped) - _SHOWN} more" if len(stopped) > _SHOWN else ""
        found.append(sentence(f"stopped: {named}{more}"))
    outgoing = await site.store.outgoing()
    if outgoing.waiting and outgoing.last_error:
        notices = "notice waits" if outgoing.waiting == 1 else "notices wait"
        why = f": {sentence(outgoing.last_error)}" if may(person, Act.MANAGE) else ". An administrator can see why."
        found.append(f"{outgoing.waiting} {notices} to be delivered, the oldest came {ago(outgoing.oldest)}{why}")
    free, reserve = await site.store.free_octets(), site.settings.store.reserve
    if free < 0:
        found.append("The disk is full: mail is refused until there is room.")
    elif free < reserve:
        found.append("The disk is nearly full: soon mail will be refused.")
    return found


def why_stopped(standing: Standing) -> str:
    """Why a printer stands, in words."""
    return condition.all_in_words(standing.state.state_reasons) or standing.state.detail or "nobody knows why"
