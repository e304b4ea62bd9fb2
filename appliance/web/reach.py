"""Whether the directory answers, so that a page can say how old is what it shows, and what can't be changed now.

Security: a directory that hangs must not hang the pages: the question has a short end of its own, and its answer is
remembered by the directory's client, so that many pages ask hardly more than one.
"""

from __future__ import annotations

import asyncio
import time

from mailstore.directory.contract import Directory
from mailstore.failure import TransientFailure

PATIENCE = 1.5
_NOBODY = "is-anybody-there"
"""A printer that is hardly there: that it is not is remembered for seconds only, unlike that another one is."""


class Reach:
    """Of one directory.  `last` is when it last answered, 0.0 if it never did."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self.last = 0.0

    async def silent(self) -> bool:
        """Whether it does not answer."""
        try:
            async with asyncio.timeout(PATIENCE):
                await self._directory.printer(_NOBODY)
        except (TransientFailure, TimeoutError):
            return True
        self.last = time.time()
        return False
