"""`/api/v1/jobs/{number}/move` and `/resume`.

Security: rights, and what can get to the other printer, are for `appliance.moving` and the desk to judge.
"""

from __future__ import annotations

from pydantic import Field

from appliance.web.api_jobs import Number
from appliance.web.body import Body, part
from appliance.web.login import Me
from appliance.web.problem import WRONG_BODY, problems
from appliance.web.site import Here

router = part("/jobs", "jobs", 404, 422)


class Move(Body):
    """Where a job shall print instead."""

    to: str = Field(max_length=63, description="the name of a printer")


@router.post("/{number}/move", status_code=204, responses=problems(403, 409, *WRONG_BODY))
async def move_job(person: Me, site: Here, number: Number, wanted: Move) -> None:
    """Let a job that waits, or is in doubt, print on another printer; one must operate both."""
    await site.moves.move(person, number, wanted.to)


@router.post("/{number}/resume", status_code=204, responses=problems(403, 409))
async def resume_job(person: Me, site: Here, number: Number) -> None:
    """Of a job of which nobody knows whether it was printed: print what the printer did not confirm."""
    await site.desk.decide(person, number, printed=False, resume=True)
