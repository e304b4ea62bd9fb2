"""When to try again: pure arithmetic over what went wrong.

A printer's errors belong to the printer: its whole line waits, in order, for ever, and no job's tries are consumed.  A
job's errors belong to the job: it alone is aborted.  Only what prepares a job can fail in a way that might pass
(a converter without memory); that is tried a few times and then is the job's error too.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trouble(StrEnum):
    """What went wrong, as a metrics label."""

    REFUSED = "refused"  # the printer is there and busy (or its port is closed)
    UNREACHABLE = "unreachable"
    NOTHING_TAKEN = "nothing-taken"  # connected, and reset before an octet was acknowledged
    BROKEN = "broken"  # reset after octets were acknowledged: not tried again from here
    STALLED = "stalled"  # no progress for as long as the printer's entry lets a job wait
    NOT_PREPARED = "not-prepared"  # the job could not be spooled or converted just now


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """Seconds before the next try: `first`, then `factor` times longer each time, at most `longest`."""

    first: float
    factor: float
    longest: float

    def delay(self, failures: int) -> float:
        """Before the next try, after so many failures in a row (1 or more)."""
        steps = min(failures - 1, 64)  # a float overflows at about 1000 doublings
        return min(self.longest, self.first * self.factor**steps)


SCHEDULES: dict[Trouble, Schedule] = {
    # Most cards take one client at a time and need a moment between two.
    Trouble.REFUSED: Schedule(first=0.1, factor=2.0, longest=30.0),
    Trouble.UNREACHABLE: Schedule(first=5.0, factor=2.0, longest=60.0),
    Trouble.NOTHING_TAKEN: Schedule(first=2.0, factor=2.0, longest=60.0),
    Trouble.BROKEN: Schedule(first=5.0, factor=2.0, longest=60.0),
    Trouble.STALLED: Schedule(first=5.0, factor=2.0, longest=60.0),
    Trouble.NOT_PREPARED: Schedule(first=2.0, factor=3.0, longest=120.0),
}

PREPARING_TRIES = 5

_DEVICE_TROUBLE = frozenset({Trouble.UNREACHABLE, Trouble.NOTHING_TAKEN})
_WAIT_FOR_DISK = "4.3.1"


def gives_up(status: str, failures: int) -> bool:
    """Whether a job that could not be prepared (enhanced status code `status`) so many times is aborted.

    A full disk (RFC 3463, 4.3.1) is nobody's job's fault and is waited for.
    """
    return status != _WAIT_FOR_DISK and failures >= PREPARING_TRIES


class Backoff:
    """A device's failures in a row.  Anything that went well ends the row, and another trouble begins a new one.

    `failures`: how many; `since`: when nothing had gone well for the first time (by the clock of `now`), or None.
    """

    def __init__(self, schedules: dict[Trouble, Schedule] | None = None) -> None:
        self._schedules = schedules or SCHEDULES
        self.failures = 0
        self.since: float | None = None
        self._last: Trouble | None = None

    def failed(self, trouble: Trouble, now: float) -> float:
        """Seconds to wait after one more failure."""
        self.failures = self.failures + 1 if trouble is self._last else 1
        self._last = trouble
        self.since = now if self.since is None else self.since
        return self._schedules[trouble].delay(self.failures)

    def succeeded(self) -> None:
        self.failures, self.since = 0, None

    def worth_telling(self, trouble: Trouble, busy: float, now: float) -> bool:
        """A printer that refuses is busy with somebody else's job, until it has been so for `busy` seconds."""
        if trouble is Trouble.REFUSED:
            return now - (now if self.since is None else self.since) >= busy
        return trouble in _DEVICE_TROUBLE
