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
        """To another printer: `pending` and `pending-held` jobs stay what they are, one in doubt prints there under a
        banner.  False from any other state, and where the parts of a split mail are still to come.

        It keeps its number, and the address that it came to if `to.address` is "".  Its unique-id is a new one.  A held
        one loses its code if `to` holds nothing, and gets one if it holds by code, an occurrence.  What was held for a
        limit of pages waits to be released: limits are those of the printer that prints it, as are the pages counted.

        Raises `TransientFailure` ("4.2.2") if the maildrop would exceed its quota, ("4.2.0") while a POP3 session has
        that in which it lies, and `PermanentFailure` ("5.2.3") if it would not fit into an empty one either.
        """

    async def expire_jobs(self, printer: str, *, received: float, held: float) -> int:
        """Give up jobs of `printer` that came before `received` and are not held, and those that came before `held` and
        are: they are `aborted` with `job-canceled-after-timeout`, as are those in doubt that came before `received`.

        A job that somebody held, released, moved or let print again counts as if it had come then (`begins_anew`).
        What is being printed or fetched is left alone, and all that a POP3 session has in its list.  At most 100 at a
        time; returns how many.
        """
