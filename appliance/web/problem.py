"""What goes wrong, as programs are told it: a problem of RFC 9457.

Security: the sentence may quote what a stranger sent, which JSON escapes; nothing of a bug's inside is in it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from starlette.responses import JSONResponse

from appliance.web.pages import sentence

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """Why a request was not obeyed (RFC 9457); nothing was changed."""

    title: str = Field(description="the status in words")
    status: int = Field(description="the HTTP status again")
    detail: str = Field(description="a sentence that says what is wrong, and what to do")


def problem(status: int, text: str) -> JSONResponse:
    """The answer to a program."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=sentence(text))
    return JSONResponse(told.model_dump(), status_code=status, media_type=MEDIA_TYPE)


_MEANINGS = {
    400: "a value that cannot be; the detail says which",
    401: "not logged in, or a wrong password",
    403: "logged in as somebody who may not do this, or a request from another site's page",
    404: "there is no such printer, job or user, or it is none of one's business",
    409: "somebody else changed it since it was read, or the job is past it",
    413: "the body is too large",
    422: "not as described here; the detail names the field",
    429: "too many wrong passwords lately",
    503: "the directory or the store does not answer now; try again later",
}


WRONG_BODY = (400, 413, 422)
"""What becomes of a body."""


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's description says of its failures."""
    return {status: {"model": Problem, "description": _MEANINGS[status]} for status in statuses}
