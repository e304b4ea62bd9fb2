"""How often a printer may log in: its poll interval as LOGIN-DELAY of RFC 2449 section 6.5.

What is announced is the interval; refused is only what comes before four fifths of it, for clocks differ and polls
jitter.  Only a session that came to its QUIT counts: whoever lost the line, or found the maildrop in use, comes again.

Security: the largest interval is told to strangers, who could ask for it all day; so it is looked up once a minute.
Whether a name may log in is told only to who has its password.
"""

from __future__ import annotations

import asyncio
import math
import time

from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.store.contract import Store

LARGEST = 86400
"""What no entry may exceed, in seconds."""
_FRESH = 60.0  # seconds for which the largest interval is believed
_PATIENCE = 1.0  # seconds that a stranger's CAPA waits for it


class Rhythm:
    """The last logins that count, by printer; those of an earlier process are in the store."""

    def __init__(self, store: Store, directory: Directory, share: float) -> None:
        """`share` of the interval, cut to whole seconds, must have passed."""
        self._share = share
        self._store = store
        self._directory = directory
        self._last: dict[str, float] = {}  # only of printers that had the right password
        self._largest = LARGEST
        self._largest_at = float("-inf")

    async def wait(self, printer: Printer, now: float) -> int:
        """Seconds until the printer may log in, 0 if it may.  Raises `TransientFailure`."""
        if printer.name not in self._last:
            self._last[printer.name] = (await self._store.printer_state(printer.name)).last_poll
        since = now - self._last[printer.name]
        # Less than 0: the clock was set back, and nothing is known.
        return max(0, math.ceil(int(printer.poll_interval * self._share) - since)) if since >= 0 else 0

    def counts(self, printer: Printer, at: float) -> None:
        """The session that logged in at this time has ended as it should."""
        self._last[printer.name] = at

    async def largest(self) -> int:
        """The largest interval of any printer that polls, 0 if none does; the largest there can be if none is known."""
        if time.monotonic() - self._largest_at >= _FRESH:
            self._largest_at = time.monotonic()
            try:
                async with asyncio.timeout(_PATIENCE):
                    printers = await self._directory.printers()
                self._largest = max((one.poll_interval for one in printers if one.polls), default=0)
            except (TransientFailure, TimeoutError):
                pass
        return self._largest
