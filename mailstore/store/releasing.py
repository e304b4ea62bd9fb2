"""Jobs that wait until somebody releases them, and the codes by which whoever knows one does.

Security: a code is all that stands between a stranger at the printer and a document.  It is drawn from the system's
source of chance and stands in the job's row alone, never in its trace or in an occurrence, and there only while the job
is held; what guessing costs is for whoever asks for codes to see to.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import sqlalchemy as sa

from mailstore.directory.records import Hold
from mailstore.failure import TransientFailure
from mailstore.job import JobState
from mailstore.store import tracing
from mailstore.store.committer import Rows
from mailstore.store.occurring import occurred
from mailstore.store.outbox import Occasion
from mailstore.store.schema import JOB
from mailstore.store.statement import Statement, given, word
from mailstore.store.waits import CODE_DIGITS

HELD = "job-hold-until-specified"
_DRAWS = 100

BY_CODE = Statement(sa.select(JOB.c.id).where(JOB.c.release_code == given("code"), JOB.c.release_code != word("")))


def draw(rows: Rows) -> str:
    """A code that no other job has.  Raises `TransientFailure` ("4.3.1") if hardly one is left."""
    for _ in range(_DRAWS):
        code = f"{secrets.randbelow(10**CODE_DIGITS):0{CODE_DIGITS}}"
        if rows.one(BY_CODE, code=code) is None:
            return code
    raise TransientFailure("4.3.1", "too many jobs wait to be released by a code, try again later")


def beginning(rows: Rows, hold: Hold, reason: str) -> tuple[JobState, tuple[str, ...], str]:
    """The state and the reasons of a job that comes in and waits for `reason`, and its code."""
    if hold is Hold.NONE:
        return JobState.PENDING, (reason,), ""
    return JobState.PENDING_HELD, (HELD, reason), draw(rows) if hold is Hold.CODE else ""


def tell(rows: Rows, job_id: int, printer: str, reasons: Sequence[str], now: float, *, answerable: bool) -> None:
    """What goes with it where the job is held: the trace, and what its sender is told."""
    text = f"{JobState.PENDING_HELD.value}: {' '.join(reasons)} (its printer holds jobs)"
    rows.change(tracing.ADD, job_id=job_id, at=now, text=text)
    if answerable:
        occur(rows, job_id, printer, reasons, now)


def occur(rows: Rows, job_id: int, printer: str, reasons: Sequence[str], now: float) -> None:
    occurred(rows, Occasion.TO_RELEASE, printer, reasons, "", now, job_id)
