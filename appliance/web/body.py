"""What the API's files are made of: their routers, and the bodies of requests and answers.

Security: a key that nobody knows is refused, so that a typing error is not taken for "as it was"; so is null, which
would mean nothing.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from appliance.web.problem import problems


def part(path: str, tag: str, *statuses: int) -> APIRouter:
    """A router below `/api/v1`, each of whose routes may fail with `statuses` and those of every login."""
    return APIRouter(
        prefix=f"/api/v1{path}",
        tags=[tag],
        responses=problems(401, 429, 503, *statuses),
        generate_unique_id_function=lambda route: route.name,
    )


class Body(BaseModel):
    """A request's body."""

    model_config = ConfigDict(extra="forbid")

    def given(self, *without: str) -> dict[str, Any]:
        """The fields that were sent, but for some, with tuples for lists as records have them."""
        sent = self.model_dump(exclude_unset=True, exclude=set(without))
        return {name: tuple(value) if isinstance(value, list) else value for name, value in sent.items()}


def left_out(description: str | None = None) -> Any:
    """A field that need not be sent.  What it is then, nobody reads: `given` has it not."""
    return Field(default_factory=lambda: None, description=description)


class Password(BaseModel):
    """A password that is told only now."""

    password: str


class MadeJob(BaseModel):
    """The number of the job that was made."""

    job: int
