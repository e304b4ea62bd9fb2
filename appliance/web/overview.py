"""The first page: every printer, how it fares, what waits for it, and whatever is wrong."""

from __future__ import annotations

import time
from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.desk import Standing
from appliance.web.login import Me
from appliance.web.pages import ago, clock, page, sentence
from appliance.web.site import Here, Site
from mailstore import condition
from mailstore.failure import TransientFailure

router = APIRouter(include_in_schema=False)

_SHOWN = 5  # printers named in one line of trouble


@router.get("/")
async def overview(request: Request, site: Here, person: Me) -> Response:
    standings: Sequence[Standing] | None
    try:
        standings = await site.desk.printers(person)
    except TransientFailure:
        standings = None  # nothing is remembered either
    return page(
        request,
        "overview.html",
        standings=standings,
        trouble=await trouble(site, standings or ()),
        domain=site.settings.domains[0],
        now=time.time(),
    )


async def trouble(site: Site, standings: Sequence[Standing]) -> list[str]:
    """What is wrong in the house, a sentence each."""
    found = []
    if await site.reach.silent():
        since = f"What you see is as of {clock(site.reach.last)}" if site.reach.last else "Nothing of it is known"
        found.append(f"The directory does not answer. {since}, and no setting can be changed until it does.")
    stopped = [one for one in standings if one.condition == "stopped" and not one.state.paused]
    if stopped:
        named = ", ".join(f"{one.printer.name} ({why_stopped(one)})" for one in stopped[:_SHOWN])
        more = f" and {len(stopped) - _SHOWN} more" if len(stopped) > _SHOWN else ""
        found.append(sentence(f"stopped: {named}{more}"))
    outgoing = await site.store.outgoing()
    if outgoing.waiting and outgoing.last_error:
        found.append(
            f"{outgoing.waiting} {'notice waits' if outgoing.waiting == 1 else 'notices wait'} to be delivered,"
            f" the oldest since {ago(outgoing.oldest)}: {sentence(outgoing.last_error)}"
        )
    free, reserve = await site.store.free_octets(), site.settings.store.reserve
    if free < 0:
        found.append("The disk is full: mail is refused until there is room.")
    elif free < reserve:
        found.append("The disk is nearly full: soon mail will be refused.")
    return found


def why_stopped(standing: Standing) -> str:
    """Why a printer stands, in words."""
    return condition.all_in_words(standing.state.state_reasons) or standing.state.detail or "nobody knows why"
