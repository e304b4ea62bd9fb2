"""What every page needs: the one house that this process serves, as a dependency `Here`.

Security: what the page remembers between requests is here, and bounded: wrong passwords, and sentences that wait for
a session's next page, kept by the session's key and for a minute.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from cachetools import TTLCache
from fastapi import Depends, Request

from appliance.desk import Desk
from appliance.guessing import Guesses
from appliance.moving import Moves
from appliance.register import Register
from appliance.releasing import Releases
from appliance.web.live import Live
from appliance.web.reach import Reach
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.store.contract import Store

_FLASHES, _FLASH_SECONDS = 1000, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The settings, what is at rest, and what the page itself remembers."""

    settings: Settings
    store: Store
    directory: Directory
    people: People
    desk: Desk
    register: Register
    moves: Moves
    releases: Releases
    live: Live
    reach: Reach
    secure: bool  # browsers come by HTTPS
    self_signed: bool  # and find a certificate that nobody vouches for
    refresh: Callable[[], None]  # forget in this process what is remembered of the directory
    guesses: Guesses
    flashes: TTLCache[str, list[str]] = field(default_factory=lambda: TTLCache(_FLASHES, _FLASH_SECONDS))


def _site(request: Request) -> Site:
    site = request.app.state.site
    assert isinstance(site, Site)
    return site


Here = Annotated[Site, Depends(_site)]
