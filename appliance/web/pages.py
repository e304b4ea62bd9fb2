"""From what a page shows to HTML: the templates, their words for times, sizes and states, and messages said once.

Security: names, subjects and printers' messages are strangers' text; every template escapes what it is given, and text
of ours is never marked safe.
"""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from appliance.rights import Act, may
from appliance.web.words import clock, octets
from mailstore import condition
from mailstore.directory.records import Person
from mailstore.job import REASONS, JobState

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
SESSION = "session"
"""Where a request's state keeps the key of its session."""

NAVIGATION: tuple[tuple[str, str, Act], ...] = (
    ("/", "Printers", Act.SEE),
    ("/jobs", "Jobs", Act.SEE),
    ("/people", "People", Act.MANAGE),
)
"""Path, title, and what one must be allowed to find it useful."""

_UNITS = (("second", 60.0), ("minute", 60.0), ("hour", 24.0), ("day", 365.0), ("year", float("inf")))


def sentence(text: str) -> str:
    """A failure's text as a sentence of its own; an address stays as it is."""
    first = text[:1] if "@" in text.partition(" ")[0] else text[:1].upper()
    end = "" if text.endswith((".", "!", "?")) or not text else "."
    return f"{first}{text[1:]}{end}"


def duration(seconds: float) -> str:
    """A length of time for people: its largest unit, whole."""
    amount = max(0.0, seconds)
    for unit, size in _UNITS:
        if amount < size:
            count = int(amount)
            return f"{count} {unit}{'' if count == 1 else 's'}"
        amount /= size
    raise AssertionError


def ago(at: float, now: float | None = None) -> str:
    """How long since a time; "never" where it was not reached."""
    passed = (time.time() if now is None else now) - at
    if not at:
        return "never"
    return "just now" if passed < 5 else f"{duration(passed)} ago"


def stamp(at: float) -> str:
    """A time for programs (RFC 3339)."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds") if at else ""


JOB_STATES: dict[str, str] = {
    JobState.PENDING: "waiting",
    JobState.PENDING_HELD: "held",
    JobState.PROCESSING: "printing",
    JobState.PROCESSING_STOPPED: "stopped",
    JobState.CANCELED: "canceled",
    JobState.ABORTED: "given up",
    JobState.COMPLETED: "printed",
}
"""`job-state` as people read it."""


def job_reason(keyword: str) -> str:
    """What a `job-state-reasons` keyword means."""
    return REASONS.get(keyword, keyword.removeprefix("x-").replace("-", " "))


def mailto(address: str) -> str:
    """What writes to an address (RFC 6068 section 2: all but the @ is encoded)."""
    local, _, domain = address.rpartition("@")
    return f"mailto:{quote(local, safe='')}@{quote(domain, safe='')}"


@cache
def static(name: str) -> str:
    """The address of a file of ours, another one whenever the file is another one."""
    return f"/static/{name}?{hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]}"


@cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "ago": ago,
        "clock": clock,
        "duration": duration,
        "job_reason": job_reason,
        "mailto": mailto,
        "octets": octets,
        "printer_reason": condition.in_words,
        "printer_why": lambda state: condition.why(state.state_reasons, state.detail),
        "sentence": sentence,
        "stamp": stamp,
    }
    environment.globals |= {
        "Act": Act,
        "JOB_STATES": JOB_STATES,
        "PRINTER_STATES": condition.PRINTER_STATES,
        "may": may,
        "static": static,
    }
    return environment


def page(request: Request, template: str, *, status: int = 200, **context: Any) -> Response:
    """An answer made from a template, which also sees `person` (None where nobody is logged in) and `path`."""
    person: Person | None = getattr(request.state, "person", None)
    text = (
        _templates()
        .get_template(template)
        .render(
            person=person,
            path=request.url.path,
            address=_address(request),
            navigation=[(path, title) for path, title, act in NAVIGATION if person and may(person, act)],
            flashes=_flashes(request),
            **context,
        )
    )
    return HTMLResponse(text, status_code=status)


def flash(request: Request, text: str) -> None:
    """Say `text` at the top of the next page of this session."""
    if key := request.scope["state"].get(SESSION):
        flashes = request.app.state.site.flashes
        flashes[key] = [*flashes.get(key, []), text][-5:]


def _flashes(request: Request) -> list[str]:
    if "hx-request" in request.headers:
        return []  # a part of a page is fetched, which may be quicker than the page that somebody is led to
    key = request.scope["state"].get(SESSION)
    flashes: list[str] = request.app.state.site.flashes.pop(key, []) if key else []
    return flashes


def _address(request: Request) -> str:
    """Where this page is, to be asked for again."""
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")
