"""The first page: every printer, how it fares, what waits for it, and whatever is wrong.

Security: everybody who is logged in sees it, so it holds no job's name, no sender and no rule.  What is searched for is
cut and compared, never a pattern; what printers report is shown as text, and a table is bounded in rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter, Request
from starlette.responses import Response

from appliance.desk import Standing
from appliance.web.login import Me
from appliance.web.pages import page
from appliance.web.site import Here
from appliance.web.trouble import itself_stopped, trouble
from mailstore import condition
from mailstore.failure import TransientFailure

router = APIRouter(include_in_schema=False)

MOST = 200
"""Printers shown at once; the others are searched for."""
_SEARCHED = 100  # characters
_NOT_TROUBLE = frozenset({"none", "paused"})


def needs_hand(standing: Standing) -> bool:
    """Whether somebody should go there: it stands, or reports trouble that is more than a warning."""
    reasons = standing.state.state_reasons
    return itself_stopped(standing) or any(
        not reason.endswith(("-warning", "-report")) and condition.keyword(reason) not in _NOT_TROUBLE
        for reason in reasons
    )


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
    found.sort(key=lambda one: not needs_hand(one))
    return page(
        request,
        "overview.html",
        known=known,
        count=len(standings),
        by_name={one.printer.name: one for one in standings},
        found=len(found),
        shown=found[:MOST],
        searched=searched,
        trouble=await trouble(site, person, standings),
        domain=site.settings.domains[0],
    )


def _matches(standing: Standing, words: str) -> bool:
    printer = standing.printer
    return not words or any(words in text.lower() for text in (printer.name, printer.location, *printer.addresses))
