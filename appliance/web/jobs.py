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

from appliance.job_file import JobFile
from appliance.rights import Act, may
from appliance.web import paper
from appliance.web.job_rows import LABELS, Row, Wish, rows, wishes
from appliance.web.login import Me, own_path
from appliance.web.pages import flash, page
from appliance.web.site import Here, Site
from appliance.web.words import TRUST, event_in_words, fate_in_words, format_in_words, sender_in_words
from mailstore.directory.records import Person
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
    Wish.RESUME: "Job {number} goes on behind what the printer confirmed.",
}

_MEANINGS: dict[Wish, str] = {
    Wish.PRINTED: paper.PRINTED_MEANS,
    Wish.REPRINT: paper.REPRINT_MEANS,
    Wish.RESUME: paper.RESUME_MEANS,
    Wish.CANCEL: paper.CANCEL_MEANS,
}
"""What is decided by a button, of a job in doubt."""


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
    able = wishes(
        file.job,
        operated=file.operated,
        kept_until=file.kept_until,
        now=time.time(),
        progress=file.progress,
        releases=file.code != "" and "account-limit-reached" not in file.job.reasons,
    )
    return page(
        request,
        "job.html",
        file=file,
        job=file.job,
        row=Row(
            job=file.job,
            kept_until=file.kept_until,
            wishes=able,
            documents=file.documents,
            pictures=file.pictures,
            progress=file.progress,
        ),
        MEANINGS=_MEANINGS,
        targets=[(name, name) for name in await _targets(site, person, file)],
        CHOICES=CHOICES,
        whose=await _who_may_release(site, file),
        format_in_words=format_in_words,
        fate_in_words=fate_in_words,
        LABELS=LABELS,
        evidence=paper.EVIDENCE[file.job.delivery_proof],
        trace=[(event.at, event_in_words(event.text)) for event in file.trace],
        trust=TRUST.get(file.job.trust, file.job.trust),
        proved=sender_in_words(file.job),
    )


async def _targets(site: Site, person: Person, file: JobFile) -> list[str]:
    """The printers to which he may move the job, by name; none where it cannot be moved."""
    job = file.job
    waits = job.state in (JobState.PENDING, JobState.PENDING_HELD) and "job-incoming" not in job.reasons
    if not (file.operated and (waits or paper.is_in_doubt(job))):
        return []
    try:
        printers = await site.directory.printers()
    except TransientFailure:
        return []
    return [
        one.name for one in printers if one.name != job.printer and not one.is_group and may(person, Act.OPERATE, one)
    ]


async def _who_may_release(site: Site, file: JobFile) -> list[str]:
    """The addresses of those who may release a held job, beside administrators; nobody's else."""
    if file.job.state is not JobState.PENDING_HELD:
        return []
    try:
        printer = await site.directory.printer(file.job.printer)
    except TransientFailure:
        return []
    named = (*printer.key_user, *printer.service_person, *printer.sysadmin) if printer else ()
    return list(dict.fromkeys(named))


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
        case Wish.RESUME:
            await desk.decide(person, number, printed=False, resume=True)
        case Wish.AGAIN:
            made = await desk.print_again(person, number)
            flash(request, f"Job {number} prints again, as job {made}.")
            return RedirectResponse(f"/jobs/{made}", 303)
    flash(request, _DONE[wish].format(number=number))
    return RedirectResponse(own_path(back) if back else f"/jobs/{number}", 303)
