"""When a connection is given up: one timer for each, put off lazily.

Security: a client that keeps us waiting holds memory and a descriptor.  Every wait for a client ends here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from appliance.smtp.limits import Limits, Patience


class Deadline:
    """Counts while we wait for the client; `held` says when it waits for us, `passed` is called when time is up."""

    __slots__ = ("_at", "_held", "_limits", "_loop", "_passed", "_patience", "_timer")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        *,
        held: Callable[[], bool],
        passed: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._limits = limits
        self._held = held
        self._passed = passed
        self._at = 0.0
        self._patience: Patience | None = None
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, seconds: float) -> None:
        """The client has so long for what is wanted of it now."""
        self._patience = None
        self._at = self._loop.time() + seconds
        self._look_before(self._at)

    def expect_data(self) -> None:
        """The client has as long as its octets buy it, and chunks of one message share what they bought."""
        if self._patience:
            return
        self._patience = Patience(self._limits.data_seconds, self._limits.data_rate, self._loop.time())
        self._look_before(self._patience.deadline)

    def progress(self, octets: int) -> None:
        if self._patience:
            self._patience.progress(octets, self._loop.time())

    def resume(self) -> None:
        """We kept the sender of data waiting."""
        if self._patience:
            self._patience.restart(self._loop.time())

    def data_ended(self) -> None:
        self._patience = None

    def cancel(self) -> None:
        if self._timer:
            self._timer.cancel()

    def _look_before(self, deadline: float) -> None:
        if self._timer is None or self._timer.when() > deadline:
            # A little early is no harm, and the timer then serves for the data as well.
            self._set_timer(min(deadline, self._loop.time() + self._limits.data_seconds))

    def _set_timer(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._look_at_the_clock)

    def _look_at_the_clock(self) -> None:
        now = self._loop.time()
        deadline = self._patience.deadline if self._patience else self._at
        if self._held():
            deadline = now + self._limits.command_seconds
        if now < deadline:
            self._set_timer(deadline)
        else:
            self._passed()
