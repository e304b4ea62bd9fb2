"""`/api/v1/jobs`: see jobs, stop them, print them again.

Security: a number that is none of somebody's business is told like one that does not exist; the desk decides.  The
pictures of pages are the bridge's own making (`printerbridge.thumbnails`) and go out as PNG and as nothing else.  A
browser that has one asks each time whether it may still show it, since somebody else may sit there now, or the printer
may have become confidential.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Header, Path, Query
from starlette.responses import Response

from appliance import described_job, job_file
from appliance.web.body import MadeJob, part
from appliance.web.login import Me
from appliance.web.problem import problems
from appliance.web.site import Here
from mailstore.job import JobState

router = part("/jobs", "jobs", 404, 422)
_CHANGES = problems(403, 409)

_PICTURE: dict[int | str, dict[str, Any]] = {
    200: {"description": "the page", "content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "the one that whoever asks has already, by its ETag"},
}
_SHOWN = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self'; frame-ancestors 'none'",
    "Cache-Control": "private, no-cache",  # RFC 9111 section 5.2.2.4: kept, and asked for each time
}

Number = Annotated[int, Path(ge=1, lt=1 << 63, description="the job's number")]
Counted = Annotated[int, Path(ge=1, lt=1 << 31, description="from 1")]


@router.get("")
async def list_jobs(
    person: Me,
    site: Here,
    printer: Annotated[str, Query(max_length=63, description="only this printer's")] = "",
    state: Annotated[list[JobState], Query(max_length=len(JobState), description="only those; may be repeated")] = [],  # noqa: B006
    before: Annotated[int, Query(ge=0, lt=1 << 63, description="only smaller numbers: the next page")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Sequence[described_job.DescribedJob]:
    """The newest jobs that one may see, newest first."""
    found = await site.desk.jobs(person, printer, limit, states=set(state), before=before)
    far = await job_file.progresses(site.store, found)
    return [described_job.job(one, far.get(one.id)) for one in found]


@router.get("/{number}")
async def get_job(person: Me, site: Here, number: Number) -> described_job.DescribedJobFile:
    """One job with its documents and its trace."""
    return described_job.job_file(await site.desk.job(person, number))


@router.get("/{number}/pictures/{document}/{page}", response_class=Response, responses=_PICTURE)
async def get_picture(
    person: Me,
    site: Here,
    number: Number,
    document: Counted,
    page: Counted,
    had: Annotated[str, Header(alias="If-None-Match", max_length=1000, description="the ETag of the one at hand")] = "",
) -> Response:
    """A page of a document, small."""
    png = await site.desk.picture(person, number, document, page)
    tag = f'"{hashlib.sha256(png).hexdigest()[:32]}"'
    if tag in had:  # RFC 9110 section 13.1.2
        return Response(status_code=304, headers=_SHOWN | {"ETag": tag})
    name = f"job-{number}-document-{document}-page-{page}.png"
    disposition = f'inline; filename="{name}"'
    return Response(png, media_type="image/png", headers=_SHOWN | {"ETag": tag, "Content-Disposition": disposition})


@router.post("/{number}/cancel", status_code=204, responses=_CHANGES)
async def cancel_job(person: Me, site: Here, number: Number) -> None:
    """Stop it, whatever it is doing."""
    await site.desk.cancel(person, number)


@router.post("/{number}/hold", status_code=204, responses=_CHANGES)
async def hold_job(person: Me, site: Here, number: Number) -> None:
    """Let it wait until it is released."""
    await site.desk.hold(person, number)


@router.post("/{number}/release", status_code=204, responses=_CHANGES)
async def release_job(person: Me, site: Here, number: Number) -> None:
    """Let a held job go on."""
    await site.desk.unhold(person, number)


@router.post("/{number}/printed", status_code=204, responses=_CHANGES)
async def count_job_as_printed(person: Me, site: Here, number: Number) -> None:
    """Of a job of which nobody knows whether it was printed: it was."""
    await site.desk.decide(person, number, printed=True)


@router.post("/{number}/reprint", status_code=204, responses=_CHANGES)
async def reprint_job(person: Me, site: Here, number: Number) -> None:
    """Of a job of which nobody knows whether it was printed: print it again, under a banner that says so."""
    await site.desk.decide(person, number, printed=False)


@router.post("/{number}/again", status_code=201, responses=_CHANGES | problems(400))
async def print_job_again(person: Me, site: Here, number: Number) -> MadeJob:
    """Print an ended job again as a new one, while its octets are kept."""
    return MadeJob(job=await site.desk.print_again(person, number))
