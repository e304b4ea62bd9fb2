"""Jobs: the list of those that one may see, and one job with all that is known of it.

Security: names, senders and what printers said are strangers' text, which the templates escape.  A number that is none
of somebody's business is told like one that does not exist; the desk decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from appliance.web.job_rows import LABELS, Row, Wish, rows, wishes
from appliance.web.login import Me, own_path
from appliance.web.pages import flash, page
from appliance.web.site import Here, Site
from appliance.web.words import PROOFS, TRUST, event_in_words, fate_in_words, format_in_words, sender_in_words
from mailstore.failure import TransientFailure
from mailstore.job import Job, JobState

router = APIRouter(include_in_schema=False)

SHOWN = 100
CHOICES = 200
"""More printers than these are typed in, not chosen from a list."""
_STATES: dict[str, tuple[str, frozenset[JobState]]] = {
    "": ("all", frozenset()),
    "open": ("not ended", frozenset(state for state in JobState if not state.ended)),
    "doubt": ("stopped or in doubt", frozenset({JobState.PROCESSING_STOPPED})),
    "held": ("held", frozenset({JobState.PENDING_HELD})),
    "printed": ("printed", frozenset({JobState.COMPLETED})),
    "aborted": ("given up", frozenset({JobState.ABORTED})),
    "canceled": ("canceled", frozenset({JobState.CANCELED})),
}
"""What the list can be narrowed to, by the word in the address."""


_DONE: dict[Wish, str] = {
    Wish.CANCEL: "Job {number} is canceled.",
    Wish.HOLD: "Job {number} is held until somebody releases it.",
    Wish.RELEASE: "Job {number} waits for the printer again.",
    Wish.PRINTED: "Job {number} counts as printed.",
    Wish.REPRINT: "Job {number} prints again, under a banner that says so.",
}


@router.get("/jobs")
async def jobs_page(
    request: Request,
    site: Here,
    person: Me,
    printer: Annotated[str, Query(max_length=63)] = "",
    state: Annotated[str, Query(max_length=20)] = "",
    before: Annotated[int, Query(ge=0, lt=1 << 63)] = 0,
) -> Response:
    state = state if state in _STATES else ""
    found = await site.desk.jobs(person, printer, SHOWN + 1, states=_STATES[state][1], before=before)
    shown = found[:SHOWN]
    older = {"printer": printer, "state": state, "before": shown[-1].id} if len(found) > SHOWN else {}
    names = await _names(site, shown)
    return page(
        request,
        "jobs.html",
        rows=await rows(site, person, shown),
        LABELS=LABELS,
        choices=[("", "all"), *((name, name) for name in names)] if names else [],
        states=[(word, label) for word, (label, _) in _STATES.items()],
        printer=printer.lower(),
        state=state,
        before=before,
        older=f"/jobs?{urlencode({name: value for name, value in older.items() if value})}" if older else "",
        silent=await site.reach.silent(),
    )


async def _names(site: Site, shown: Iterable[Job]) -> list[str]:
    """The printers to choose from, none if too many; while the directory is silent those that the jobs name."""
    try:
        names = [printer.name for printer in await site.directory.printers()]
    except TransientFailure:
        names = sorted({job.printer for job in shown})
    return names if len(names) <= CHOICES else []


@router.get("/jobs/{number}")
async def job_page(request: Request, site: Here, person: Me, number: Annotated[int, Path(ge=0)]) -> Response:
    file = await site.desk.job(person, number)
    able = wishes(file.job, operated=file.operated, kept_until=file.kept_until, now=time.time())
    return page(
        request,
        "job.html",
        file=file,
        job=file.job,
        row=Row(
            job=file.job, kept_until=file.kept_until, wishes=able, documents=file.documents, pictures=file.pictures
        ),
        format_in_words=format_in_words,
        fate_in_words=fate_in_words,
        LABELS=LABELS,
        proof=PROOFS[file.job.delivery_proof],
        trace=[(event.at, event_in_words(event.text)) for event in file.trace],
        trust=TRUST.get(file.job.trust, file.job.trust),
        proved=sender_in_words(file.job),
    )


@router.post("/jobs/{number}/{wish}")
async def wish_for(
    request: Request,
    site: Here,
    person: Me,
    number: Annotated[int, Path(ge=0)],
    wish: Wish,
    back: Annotated[str, Form(max_length=255)] = "",
) -> Response:
    desk = site.desk
    match wish:
        case Wish.CANCEL:
            await desk.cancel(person, number)
        case Wish.HOLD:
            await desk.hold(person, number)
        case Wish.RELEASE:
            await desk.unhold(person, number)
        case Wish.PRINTED | Wish.REPRINT:
            await desk.decide(person, number, printed=wish is Wish.PRINTED)
        case Wish.AGAIN:
            made = await desk.print_again(person, number)
            flash(request, f"Job {number} prints again, as job {made}.")
            return RedirectResponse(f"/jobs/{made}", 303)
    flash(request, _DONE[wish].format(number=number))
    return RedirectResponse(own_path(back) if back else f"/jobs/{number}", 303)
