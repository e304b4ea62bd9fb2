"""Moving a job to another printer, which the form of its page wishes.

Security: rights, and what can get to the other printer, are for `appliance.moving` to judge.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Path, Request
from starlette.responses import RedirectResponse, Response

from appliance.web.login import Me, own_path
from appliance.web.pages import flash
from appliance.web.site import Here

router = APIRouter(include_in_schema=False)


@router.post("/jobs/{number}/move")
async def move(
    request: Request,
    site: Here,
    person: Me,
    number: Annotated[int, Path(ge=0)],
    to: Annotated[str, Form(max_length=63)] = "",
    back: Annotated[str, Form(max_length=255)] = "",
) -> Response:
    target = await site.moves.move(person, number, to)
    flash(request, f"Job {number} is at {target.name} now.")
    return RedirectResponse(own_path(back) if back else f"/jobs/{number}", 303)
