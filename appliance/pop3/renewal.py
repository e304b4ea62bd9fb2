"""Keeps the lease of a session's maildrop while the session lasts.

Security: nothing of a client is read here.  A client that holds a maildrop costs one small write every so often, and
the session's own deadlines end that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from mailstore.failure import Failure
from mailstore.store.contract import LeaseLost, Maildrop


class Renewal:
    """Renews every `seconds`; `lost` is called if somebody else has the maildrop now."""

    def __init__(
        self, maildrop: Maildrop, seconds: float, lost: Callable[[], None], log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._maildrop = maildrop
        self._seconds = seconds
        self._lost = lost
        self._log = log
        self._task: asyncio.Task[None] | None = None
        self._timer = self._later()

    def _later(self) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(self._seconds, self._start)

    def _start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._renew())

    async def _renew(self) -> None:
        try:
            await self._maildrop.renew()
        except LeaseLost:
            self._lost()
            return
        except Failure as failure:
            self._log.warning("pop3 lease not renewed", reason=failure.text)
        self._timer = self._later()

    async def end(self) -> None:
        """Renew no more; what is under way comes to its end."""
        self._timer.cancel()
        if self._task:
            await self._task
            self._timer.cancel()
