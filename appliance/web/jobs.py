"""Jobs: the list of those that one may see, and one job with all that is known of it.

Security: names, senders and what printers said are strangers' text, which the templates escape.  A number that is none
of somebody's business is told like one that does not exist; the desk decides.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from appliance.rights import Act, may
from appliance.web.login import Me, own_path
from appliance.web.pages import flash, page
from appliance.web.site import Here, Site
from appliance.web.words import PROOFS, TRUST, event_in_words
from mailstore.directory.records import Person
from mailstore.failure import TransientFailure
from mailstore.job import Job, JobState

router = APIRouter(include_in_schema=False)

SHOWN = 100
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


class Wish(StrEnum):
    """What can be done with a job, by the last part of the address."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    PRINTED = "printed"
    REPRINT = "reprint"
    AGAIN = "again"


LABELS: dict[Wish, str] = {
    Wish.CANCEL: "Cancel",
    Wish.HOLD: "Hold",
    Wish.RELEASE: "Release",
    Wish.PRINTED: "It was printed",
    Wish.REPRINT: "Print it again",
    Wish.AGAIN: "Print again",
}
_DONE: dict[Wish, str] = {
    Wish.CANCEL: "Job {number} is canceled.",
    Wish.HOLD: "Job {number} is held until somebody releases it.",
    Wish.RELEASE: "Job {number} waits for the printer again.",
    Wish.PRINTED: "Job {number} counts as printed.",
    Wish.REPRINT: "Job {number} prints again, under a banner that says so.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job in a table, with what whoever looks may do."""

    job: Job
    kept_until: float
    wishes: Sequence[Wish]


def wishes(job: Job, *, operated: bool, kept_until: float, now: float) -> list[Wish]:
    """What somebody who may see the job can do with it; `operated`: he also operates its printer."""
    found = []
    if "x-delivery-unknown" in job.reasons and job.state is JobState.PROCESSING_STOPPED:
        found += [Wish.PRINTED, Wish.REPRINT]
    if operated and job.state is JobState.PENDING:
        found.append(Wish.HOLD)
    if operated and job.state is JobState.PENDING_HELD:
        found.append(Wish.RELEASE)
    if not job.state.ended:
        found.append(Wish.CANCEL)
    elif kept_until > now:
        found.append(Wish.AGAIN)
    return found


async def rows(site: Site, person: Person, jobs: Iterable[Job]) -> list[Row]:
    """The jobs as a table shows them.  While the directory is silent nobody's role in a printer is known."""
    now = time.time()
    operated: dict[str, bool] = {}
    made = []
    for job in jobs:
        if job.printer not in operated:
            operated[job.printer] = await _operates(site, person, job.printer)
        kept = await site.store.kept_until(job.id) if job.state.ended else 0.0
        able = wishes(job, operated=operated[job.printer], kept_until=kept, now=now)
        made.append(Row(job=job, kept_until=kept, wishes=able))
    return made


async def _operates(site: Site, person: Person, printer: str) -> bool:
    try:
        return may(person, Act.OPERATE, await site.directory.printer(printer))
    except TransientFailure:
        return may(person, Act.OPERATE)


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
    return page(
        request,
        "jobs.html",
        rows=await rows(site, person, shown),
        LABELS=LABELS,
        printers=await _names(site, shown),
        states=[(word, label) for word, (label, _) in _STATES.items()],
        printer=printer.lower(),
        state=state,
        before=before,
        older=f"/jobs?{urlencode({name: value for name, value in older.items() if value})}" if older else "",
        silent=await site.reach.silent(),
    )


async def _names(site: Site, shown: Iterable[Job]) -> list[str]:
    """The printers to choose from; while the directory is silent those that the jobs name."""
    try:
        return [printer.name for printer in await site.directory.printers()]
    except TransientFailure:
        return sorted({job.printer for job in shown})


@router.get("/jobs/{number}")
async def job_page(request: Request, site: Here, person: Me, number: Annotated[int, Path(ge=0)]) -> Response:
    file = await site.desk.job(person, number)
    able = wishes(file.job, operated=file.operated, kept_until=file.kept_until, now=time.time())
    return page(
        request,
        "job.html",
        file=file,
        job=file.job,
        row=Row(job=file.job, kept_until=file.kept_until, wishes=able),
        LABELS=LABELS,
        proof=PROOFS[file.job.delivery_proof],
        trace=[(event.at, event_in_words(event.text)) for event in file.trace],
        trust=TRUST.get(file.job.trust, file.job.trust),
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
