"""Whom `printerbridge.health` asks, and whose turn it is.  No I/O.

Entries that name the same agent in the same way are one printer, with one seat.  Thousands are taken in bit by bit, so
that nobody waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import random
import time
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from mailstore.directory.records import Printer, Snmp
from mailstore.failure import PermanentFailure
from mailstore.hours import quiet_until
from mailstore.report import PrinterReport
from printerbridge import device
from printerbridge.asking import Questions

LONGEST_SECONDS: Final = 900.0  # between two questions to a silent printer, unless its interval is longer
AWAITED_SECONDS: Final = 30.0  # the same, to one that answered once and for which jobs wait
_SHORTEST_SECONDS: Final = 1.0  # between two looks at one printer, whatever its entry says
_SPREAD_SECONDS: Final = 60.0  # over which first looks are spread, where there are many
_EACH_SECONDS: Final = 0.02  # and where there are few: somebody waits for what his new settings bring
_AT_A_TIME: Final = 200  # entries


class Where(NamedTuple):
    """Who is asked: entries that agree in this are one printer."""

    host: str
    port: int
    version: Snmp
    community: str


class Seat:
    """One printer and what is known of it."""

    __slots__ = (
        "asked_at",
        "details_at",
        "due",
        "entries",
        "forget_at",
        "gone",
        "misses",
        "questions",
        "reasons",
        "report",
        "stopped",
        "turn",
        "written_at",
    )

    def __init__(self, questions: Questions, entries: tuple[Printer, ...]) -> None:
        self.questions = questions
        self.entries = entries
        self.gone = False  # nobody wants to hear of it any more
        self.turn = 0  # of its place in the schedule that counts
        self.due = 0.0
        self.asked_at = float("-inf")  # this and the following by the loop's clock
        self.details_at = float("-inf")
        self.forget_at = float("inf")
        self.written_at = float("-inf")
        self.misses = 0
        self.stopped = False  # by its own last word
        self.reasons: tuple[str, ...] = ()
        self.report: PrinterReport | None = None  # the last word, written or not

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.entries]

    @property
    def interval(self) -> float:
        return max(_SHORTEST_SECONDS, min(entry.status_interval for entry in self.entries))

    def quiet(self) -> float:
        """For how many seconds it is left alone; 0.0 if anybody wants it now."""
        now = time.time()
        ends = [quiet_until(entry.quiet_hours, now) for entry in self.entries]
        return max(0.0, min(ends) - now)


class Roster:
    """`questions` makes those to one printer."""

    def __init__(self, questions: Callable[[Where], Questions]) -> None:
        self._questions = questions
        self.seats: dict[Where, Seat] = {}
        self._where: dict[str, Where] = {}  # by name, of those that are asked
        self._schedule: list[tuple[float, int, Where]] = []
        self._turns = itertools.count(1)
        self._changed = asyncio.Event()

    def ring(self) -> None:
        """Whoever waits in `next` is to look round."""
        self._changed.set()

    async def take_in(self, entries: Iterable[Printer]) -> set[str]:
        """All that are served now; returns the names of those among them that were asked and are no more."""
        present, asked, seats = set(), dict[str, Where](), dict[Where, list[Printer]]()
        for number, entry in enumerate(entries):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            present.add(entry.name)
            if (where := where_of(entry)) is not None:
                asked[entry.name] = where
                seats.setdefault(where, []).append(entry)
        for where in self.seats.keys() - seats.keys():
            self.seats.pop(where).gone = True
        spread = min(_SPREAD_SECONDS, _EACH_SECONDS * len(seats.keys() - self.seats.keys()))
        for number, (where, named) in enumerate(seats.items()):
            if number % _AT_A_TIME == 0:
                await asyncio.sleep(0)
            self._settle(where, tuple(named), spread)
        left = (self._where.keys() & present) - asked.keys()
        self._where = asked
        if len(self._schedule) > 2 * len(self.seats) + 1000:  # places that do not count any more
            self._schedule = [place for place in self._schedule if self._counts(place)]
            heapq.heapify(self._schedule)
        return left

    def _settle(self, where: Where, entries: tuple[Printer, ...], spread: float) -> None:
        """A new one is looked at within `spread` seconds."""
        seat = self.seats.get(where)
        if seat is None:
            seat = self.seats[where] = Seat(self._questions(where), entries)
            self.place(where, seat, some(min(seat.interval, spread)))
        elif seat.entries != entries:
            if seat.names != [entry.name for entry in entries]:
                seat.written_at = float("-inf")
            seat.entries = entries
            self.place(where, seat, min(seat.due - now(), some(seat.interval)))
        else:
            seat.entries = entries  # the same, read anew: nobody else keeps the old ones

    def place(self, where: Where, seat: Seat, delay: float) -> None:
        """Its turn comes in `delay` seconds, and not when it was to come before."""
        seat.turn, seat.due = next(self._turns), now() + max(0.0, delay)
        place = (seat.due, seat.turn, where)
        heapq.heappush(self._schedule, place)
        if self._schedule[0] is place:
            self._changed.set()

    def hurry(self, printer: str) -> None:
        """Its turn comes now, unless it comes within a moment anyway."""
        where = self._where.get(printer)
        if where is not None and (seat := self.seats.get(where)) is not None:
            soon = max(0.0, seat.asked_at + _SHORTEST_SECONDS - now())
            if not 0.0 <= seat.due - now() <= soon:  # its turn is later, or is now and has asked already
                self.place(where, seat, soon)

    def visited(self, where: Where, seat: Seat, turn: int, *, awaited: bool) -> None:
        """Its visit, in this turn, is over: when to come again, unless it has another place by now, or none.

        `awaited`: jobs wait for it to be well again.
        """
        if self.seats.get(where) is not seat or seat.turn != turn:
            return
        if quiet := seat.quiet():  # not for the whole night: a clock may be set right
            self.place(where, seat, min(quiet, LONGEST_SECONDS) + some(min(seat.interval, _SPREAD_SECONDS)))
        else:
            longest = AWAITED_SECONDS if awaited else LONGEST_SECONDS
            delay = min(seat.interval * 2.0 ** min(seat.misses, 10), max(longest, seat.interval))
            self.place(where, seat, delay - some(delay / 20))

    def _counts(self, place: tuple[float, int, Where]) -> bool:
        seat = self.seats.get(place[2])
        return seat is not None and seat.turn == place[1]

    async def next(self) -> Where | None:
        """Whose turn it is, once it is; None if that may have changed."""
        while self._schedule and not self._counts(self._schedule[0]):
            heapq.heappop(self._schedule)
        delay = self._schedule[0][0] - now() if self._schedule else None
        if delay is not None and delay <= 0:
            return heapq.heappop(self._schedule)[2]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._changed.wait()
                self._changed.clear()
        return None


def where_of(entry: Printer) -> Where | None:
    """None for a printer that is not asked."""
    if not entry.drained_by_bridge or entry.snmp is Snmp.OFF:
        return None
    try:
        host = device.parse(entry.uri).host
    except PermanentFailure:
        return None  # the bridge has said so
    return Where(host, entry.snmp_port, entry.snmp, entry.snmp_community)


def some(seconds: float) -> float:
    """Any part of it, so that not all come at the same moment."""
    return seconds * random.random()  # noqa: S311 - no secret


def now() -> float:
    """By the loop's clock."""
    return asyncio.get_running_loop().time()
