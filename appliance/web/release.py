"""The release page: whoever stands at a printer types the code that he was told, sees what it is for, and lets it
print.

Two steps, so that nobody finds out by the paper that he stands at the wrong printer.  It works without scripts.

Security: nobody is logged in here.  Who knows a code is told where it prints and how many pages, never a name or a
sender; `releasing` counts the wrong ones, and says the same of all of them.  The code travels in bodies alone, so that
no log and no history of a browser keeps it, and a program that opens the link in a mail releases nothing.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import Response

from appliance.releasing import Found, NoSuchCode, TooManyCodes
from appliance.web.pages import page, sentence
from appliance.web.site import Here, Site
from mailstore import condition
from mailstore.failure import Failure, TransientFailure

router = APIRouter()

Typed = Annotated[str, Form(max_length=100)]


@router.get("/release")
async def release_page(request: Request) -> Response:
    return _page(request)


@router.post("/release")
async def show_what_it_is_for(request: Request, site: Here, code: Typed = "") -> Response:
    try:
        found = await site.releases.find(_client(request), code)
    except Failure as failure:
        return _refused(request, failure)
    return _page(request, found=found, code=code, stands=await _stands(site, found))


@router.post("/release/now")
async def release(request: Request, site: Here, code: Typed = "") -> Response:
    try:
        found = await site.releases.release(_client(request), code)
    except Failure as failure:
        return _refused(request, failure)
    return _page(request, found=found, done=True, stands=await _stands(site, found))


def _client(request: Request) -> str:
    return request.client.host if request.client else ""


def _refused(request: Request, failure: Failure) -> Response:
    """What was typed is not shown again: somebody else may come next."""
    status = 429 if isinstance(failure, TooManyCodes) else 503 if isinstance(failure, TransientFailure) else 404
    assert status != 404 or isinstance(failure, NoSuchCode), failure
    return _page(request, status=status, error=sentence(failure.text))


def _page(
    request: Request,
    *,
    found: Found | None = None,
    code: str = "",
    done: bool = False,
    stands: str = "",
    status: int = 200,
    error: str = "",
) -> Response:
    return page(
        request,
        "release.html",
        status=status,
        where=_where(found) if found else "",
        what=_what(found) if found else "",
        code=code,
        done=done,
        stands=stands,
        error=error,
    )


async def _stands(site: Site, found: Found) -> str:
    """Why the printer prints nothing now, a sentence; "" if it does, or nobody knows."""
    try:
        state = await site.store.printer_state(found.job.printer)
    except TransientFailure:
        return ""
    if state.paused:
        return "The printer is paused."
    if state.state != "stopped":
        return ""
    words = condition.all_in_words(state.state_reasons)
    return f"The printer stands: {words}." if words else "The printer stands."


def _where(found: Found) -> str:
    place = found.printer.location if found.printer else ""
    return f"{found.job.printer}, {place}" if place else found.job.printer


def _what(found: Found) -> str:
    """How much will come out; before the bridge made it ready nobody knows how many pages."""
    count, unit = (found.job.pages, "page") if found.job.pages else (found.job.documents, "document")
    return f"{count} {unit}{'' if count == 1 else 's'}" if count else "a job"
