"""Jobs that wait for somebody: codes that release them, the way to another printer, and the end of their time.

Held to `tests/contracts/waits.py`; the conventions are those of `contract`.
"""

from __future__ import annotations

from typing import Protocol

from mailstore.job import Job
from mailstore.store.arriving import Recipient

CODE_DIGITS = 8
"""Of a release code.  No two jobs that wait have the same one."""


class Waits(Protocol):
    """Wishes here are looked at, granted and traced as those of `contract.Store` are."""

    async def job_by_code(self, code: str) -> Job | None:
        """The held job that this code releases; None for none, also when it was released or ended."""

    async def move_job(self, job_id: int, to: Recipient, by: str) -> bool:
        """To another maildrop: `pending` and `pending-held` jobs stay what they are, one in doubt prints there under a
        banner.  It keeps its number and loses its code if `to` holds nothing.  False from any other state, also where
        the parts of a split mail are still to come.

        Raises `TransientFailure` ("4.2.2") if the maildrop would exceed its quota.
        """

    async def expire_jobs(self, printer: str, *, received: float, held: float) -> int:
        """Give up jobs of `printer` that came before `received` and are not held, and those that came before `held` and
        are: they are `aborted` with `job-canceled-after-timeout`, as are those in doubt that came before `received`.

        What is being printed or fetched is left alone.  At most 100 at a time; returns how many.
        """
