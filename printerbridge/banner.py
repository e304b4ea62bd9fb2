"""The page that goes before a job which is printed again although it may have been printed before."""

from __future__ import annotations

import textwrap
from datetime import UTC, datetime

from mailstore.job import Job
from mailstore.store.following import Progress

_RULE = "=" * 60


def possible_duplicate(job: Job, now: float) -> str:
    """The page's text, lines ended by CRLF, ended by a form feed.  `now` in seconds since the epoch."""
    told = (
        "The connection to this printer was lost while this job was being sent. "
        "Nobody can know what was printed then. If the pages are there already, throw these away."
    )
    return _page(job, now, "POSSIBLE DUPLICATE", told)


def going_on(job: Job, done: Progress, now: float) -> str:
    """As `possible_duplicate`, of a job that goes on behind what was `done`."""
    page = f"page {done.pages + 1}" if done.pages else ""
    document = f"document {done.document + 1}" if done.document else ""
    where = " of ".join(one for one in (page, document) if one)
    told = (
        "The connection to this printer was lost while this job was being sent. "
        f"The printer had confirmed what was before. This goes on from {where}, "
        "which may be there twice, and some pages behind it. Throw away what is."
    )
    return _page(job, now, "GOES ON", told)


def _page(job: Job, now: float, title: str, told: str) -> str:
    facts = (
        ("Job", str(job.id)),
        ("Name", job.name or "(none)"),
        ("Sender", job.sender or "(none)"),
        ("Received", _time(job.received_at)),
        ("Sent before", _time(job.sending_at) if job.sending_at else "(unknown)"),
        ("Sent again", _time(now)),
    )
    lines = [
        "",
        _RULE,
        title.center(60).rstrip(),
        _RULE,
        "",
        *textwrap.wrap(told, 60),
        "",
        *(line for label, value in facts for line in _fact(label, value)),
        "",
        _RULE,
    ]
    return "\r\n".join(lines) + "\r\n\f"


def _fact(label: str, value: str) -> list[str]:
    clean = "".join(c if c.isprintable() else " " for c in value)
    return textwrap.wrap(clean, 60, initial_indent=f"{label + ':':<13}", subsequent_indent=" " * 13, max_lines=3)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S %z")
