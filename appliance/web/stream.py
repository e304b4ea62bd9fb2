"""The stream of what changes, for as long as a page is open.

Security: `live` bounds how many there are and what each may cost; whether the session still stands is asked again with
each heartbeat.
"""

from __future__ import annotations

from contextlib import aclosing

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from appliance.web.login import Me, by_cookie
from appliance.web.site import Here
from mailstore.failure import TransientFailure

router = APIRouter(include_in_schema=False)


class _Stream(StreamingResponse):
    """One that ends its generator with itself, however it ends."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self.body_iterator):  # type: ignore[type-var]  # it is a generator
            await super().__call__(scope, receive, send)


@router.get("/live")
async def live(request: Request, site: Here, person: Me) -> Response:
    async def still() -> bool:
        try:
            return await by_cookie(site, request) is not None
        except TransientFailure:  # nobody can say now; the page would not show anything either
            return True

    headers = {"X-Accel-Buffering": "no"}  # a proxy must not wait for more of it
    return _Stream(site.live.stream(person.name, still), media_type="text/event-stream", headers=headers)
