"""Hours in which a printer is left alone, because somebody switches it off then.  No I/O; the clock is the caller's.

A span is written `22:00-06:00`, for some days only `sat,sun 00:00-24:00`: days are those on which it begins, and one
that ends before it begins ends on the next day.

Times are those that a clock on the wall shows.  Where it is put back, a span begins the first time and ends the last
time that the clock shows so; where it is put forward over a beginning or an end, that is when it is put forward.

Security: reads what foreign directories say.  Nothing is searched for in it but by one bounded expression.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta, tzinfo
from datetime import time as clock
from functools import lru_cache
from typing import NamedTuple

WEEK = 7 * 86400
"""Seconds; no quiet time is told to last longer from now on."""
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_DAY = "|".join(DAYS)
_SPAN = re.compile(
    rf"(?:((?:{_DAY})(?:[,-](?:{_DAY})){{0,13}}) +)?([0-9]{{1,2}}):([0-9]{{2}}) ?- ?([0-9]{{1,2}}):([0-9]{{2}})"
)
_WHOLE_DAY = 24 * 60
_LONGEST = 100  # characters


class _Span(NamedTuple):
    days: frozenset[int]  # on which it begins, Monday is 0
    begin: int  # minutes of the day
    minutes: int  # how long it lasts

    def __str__(self) -> str:
        end = self.begin + self.minutes
        times = f"{_time(self.begin)}-{_time(end - _WHOLE_DAY if end > _WHOLE_DAY else end)}"
        return times if len(self.days) == 7 else f"{','.join(DAYS[day] for day in sorted(self.days))} {times}"


def read_span(text: str) -> str:
    """A span in its usual form: `mon-fri 7:00-9:00` is `mon,tue,wed,thu,fri 07:00-09:00`.

    Raises ValueError with a sentence that says what to write instead.
    """
    return str(_read(text))


def quiet_until(spans: Sequence[str], now: float, zone: tzinfo | None = None) -> float:
    """Seconds since the epoch when the present quiet time ends, 0.0 if it is none; at most a `WEEK` from now.

    Spans that adjoin are one quiet time.  `spans` have gone through `read_span`; without `zone` the time is the
    machine's own.
    """
    if not spans:
        return 0.0
    today = _wall(now, zone).date()
    until = now
    # One of the day before yesterday may end today where the clock was put back by a day.
    for begin, end in sorted(
        period
        for day in range(-2, WEEK // 86400 + 2)
        for span in spans
        if (period := _period(_read(span), today, day, zone)) is not None
    ):
        if begin <= until < end:
            until = end
    return 0.0 if until == now else min(until, now + WEEK)


@lru_cache(maxsize=1024)
def _read(text: str) -> _Span:
    advice = f"{text[:_LONGEST]!a} is not a span of hours: write it like 22:00-06:00 or sat,sun 00:00-24:00"
    found = _SPAN.fullmatch(text.strip().lower()) if len(text) <= _LONGEST else None
    if not found:
        raise ValueError(advice)
    begin, end = int(found[2]) * 60 + int(found[3]), int(found[4]) * 60 + int(found[5])
    if int(found[3]) > 59 or int(found[5]) > 59 or begin >= _WHOLE_DAY or end > _WHOLE_DAY:
        raise ValueError(advice)
    if begin == end:
        raise ValueError(f"{text.strip()} ends when it begins: a whole day is 00:00-24:00")
    return _Span(_read_days(found[1] or "mon-sun"), begin, (end - begin) % _WHOLE_DAY or _WHOLE_DAY)


def _read_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for part in text.split(","):
        names = [DAYS.index(name) for name in part.split("-")]
        if len(names) > 2:
            raise ValueError(f"{part} are no days: write them like mon-fri or sat,sun")
        days.update((names[0] + after) % 7 for after in range((names[-1] - names[0]) % 7 + 1))
    return frozenset(days)


def _period(span: _Span, today: date, day: int, zone: tzinfo | None) -> tuple[float, float] | None:
    """Begin and end in seconds since the epoch of the span that begins so many days after today."""
    begins = today + timedelta(days=day)
    if begins.weekday() not in span.days:
        return None
    begin = datetime.combine(begins, clock.min) + timedelta(minutes=span.begin)
    return _instant(begin, zone, last=False), _instant(begin + timedelta(minutes=span.minutes), zone, last=True)


def _instant(wall: datetime, zone: tzinfo | None, *, last: bool) -> float:
    """When the clock on the wall comes to show `wall`: for the first or the last time."""
    first, second = (wall.replace(tzinfo=zone, fold=fold).timestamp() for fold in (0, 1))
    if first <= second:
        return second if last else first
    # PEP 495: the clock was put forward over this time, somewhere between the two answers.
    before, after = int(second), int(first)
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _wall(middle, zone) >= wall else (middle, after)
    return float(after)


def _wall(instant: float, zone: tzinfo | None) -> datetime:
    return datetime.fromtimestamp(instant, zone).replace(tzinfo=None)


def _time(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"
