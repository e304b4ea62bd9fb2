"""How all printers fare: each is asked in its turn by SNMP, and what changed is told and written.

One look is one request of five objects.  A printer that does not answer is asked less and less often, which is no
trouble of its own: many sleep, or speak no SNMP.  Nobody is asked in his quiet hours, and never by connecting to the
port that prints.

Security: how often and how much is asked does not depend on what printers answer, and so many looks at once are all
that hostile or silent ones can hold up; each has its deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import heapq
import itertools
import logging
import random
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from prometheus_client import Histogram

from mailstore.directory.records import Printer, Snmp
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.hours import quiet_until
from mailstore.report import PrinterReport
from mailstore.store.contract import Store
from printerbridge import device
from printerbridge.asking import Details, Questions
from printerbridge.conditions import WELL, Condition, Conditions, Source
from printerbridge.guard import Guard
from printerbridge.mib import Look
from printerbridge.snmp import Agent, NoAnswer

log = logging.getLogger(__name__)

LOOK = Histogram(
    "printpost_snmp_look_seconds",
    "What a look at a printer took, if it answered.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)

AT_ONCE: Final = 128  # looks; after a start silent printers take nearly all of these places for a while
_SECONDS: Final = 2.0  # for one look
_SHORTEST_SECONDS: Final = 1.0  # between two looks at one printer, whatever its entry says
_LONGEST_SECONDS: Final = 900.0  # between two questions to a silent printer, unless its interval is longer
_SPREAD_SECONDS: Final = 60.0  # over which first looks are spread, where there are many
_EACH_SECONDS: Final = 0.02  # and where there are few: somebody waits for what his new settings bring
_DETAILS_SECONDS: Final = 600.0  # between two questions for all that it has left
_FORGET_SECONDS: Final = 3600.0  # after which objects that it did not have are asked again
_WRITE_SECONDS: Final = 600.0  # between two reports that say nothing new
_PAGES_SECONDS: Final = 15.0  # between two that only count on
_MISSES: Final = 3  # after which what it said counts no more
_KNOWN_SILENT_SECONDS: Final = 30.0  # in which whoever waits for pages does not ask it in vain again


class _Where(NamedTuple):
    """Who is asked: entries that agree in this are one printer."""

    host: str
    port: int
    version: Snmp
    community: str


class _Seat:
    """One printer and what is known of it."""

    __slots__ = (
        "asked_at",
        "details_at",
        "due",
        "entries",
        "forget_at",
        "misses",
        "questions",
        "reasons",
        "report",
        "turn",
        "written_at",
    )

    def __init__(self, questions: Questions, entries: tuple[Printer, ...]) -> None:
        self.questions = questions
        self.entries = entries
        self.turn = 0  # of its place in the schedule that counts
        self.due = 0.0
        self.asked_at = float("-inf")  # this and the following by the loop's clock
        self.details_at = float("-inf")
        self.forget_at = float("inf")
        self.written_at = float("-inf")
        self.misses = 0
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


class Health:
    """Looks after the printers of `printers`, at most `at_once` of them at one moment."""

    def __init__(
        self,
        store: Store,
        conditions: Conditions,
        guard: Guard | None = None,
        *,
        at_once: int = AT_ONCE,
        seconds: float = _SECONDS,
    ) -> None:
        self._store = store
        self._conditions = conditions
        self._guard = guard or Guard()
        self._seconds = seconds
        self._seats: dict[_Where, _Seat] = {}
        self._schedule: list[tuple[float, int, _Where]] = []
        self._turns = itertools.count(1)
        self._places = asyncio.Semaphore(at_once)
        self._changed = asyncio.Event()
        self._left: set[str] = set()  # printers that are asked no more
        self._trouble = ""

    def printers(self, entries: Iterable[Printer]) -> None:
        """All that are served now; to be called whenever the entries were read."""
        seats: dict[_Where, list[Printer]] = {}
        present = set()
        for entry in entries:
            present.add(entry.name)
            if (where := _where(entry)) is not None:
                seats.setdefault(where, []).append(entry)
        before = {name for seat in self._seats.values() for name in seat.names}
        for where in self._seats.keys() - seats.keys():
            del self._seats[where]
        spread = min(_SPREAD_SECONDS, _EACH_SECONDS * len(seats.keys() - self._seats.keys()))
        for where, named in seats.items():
            self._settle(where, tuple(named), spread)
        now = {name for seat in self._seats.values() for name in seat.names}
        self._left = (self._left | before) & present - now
        if len(self._schedule) > 2 * len(self._seats) + 1000:  # places that do not count any more
            self._schedule = [place for place in self._schedule if self._counts(place)]
            heapq.heapify(self._schedule)
        self._changed.set()

    async def run(self) -> None:
        """Look after them for ever; to be canceled."""
        async with asyncio.TaskGroup() as group:
            while True:
                if self._left:
                    left, self._left = self._left, set()
                    with self._told():
                        await self._conditions.tell(left, Source.SNMP)
                where = await self._next()
                if where is not None:
                    await self._places.acquire()
                    group.create_task(self._visit(where))

    async def look(self, printer: Printer, *, seconds: float = _SECONDS) -> Look | None:
        """How it fares at this moment, for whoever waits for its pages; None if it does not answer or is not asked."""
        if (where := _where(printer)) is None:
            return None
        seat = self._seats.get(where) or _Seat(self._questions(where), (printer,))
        silent = seat.misses >= _MISSES and _now() - seat.asked_at < _KNOWN_SILENT_SECONDS
        if silent or quiet_until(printer.quiet_hours, time.time()):
            return None
        return await self._ask(seat, seconds)

    # -- whose turn it is

    def _settle(self, where: _Where, entries: tuple[Printer, ...], spread: float) -> None:
        """A new one is looked at within `spread` seconds."""
        seat = self._seats.get(where)
        if seat is None:
            seat = self._seats[where] = _Seat(self._questions(where), entries)
            self._place(where, seat, _some(min(seat.interval, spread)))
        elif seat.entries != entries:
            if seat.names != [entry.name for entry in entries]:
                seat.written_at = float("-inf")
            seat.entries = entries
            self._place(where, seat, min(seat.due - _now(), _some(seat.interval)))

    def _questions(self, where: _Where) -> Questions:
        return _questions(where, self._seconds, self._guard)

    def _place(self, where: _Where, seat: _Seat, delay: float) -> None:
        seat.turn, seat.due = next(self._turns), _now() + max(0.0, delay)
        place = (seat.due, seat.turn, where)
        heapq.heappush(self._schedule, place)
        if self._schedule[0] is place:
            self._changed.set()

    def _counts(self, place: tuple[float, int, _Where]) -> bool:
        seat = self._seats.get(place[2])
        return seat is not None and seat.turn == place[1]

    async def _next(self) -> _Where | None:
        """Whose turn it is, once it is; None if that may have changed."""
        while self._schedule and not self._counts(self._schedule[0]):
            heapq.heappop(self._schedule)
        delay = self._schedule[0][0] - _now() if self._schedule else None
        if delay is not None and delay <= 0:
            return heapq.heappop(self._schedule)[2]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._changed.wait()
                self._changed.clear()
        return None

    async def _visit(self, where: _Where) -> None:
        seat = self._seats.get(where)
        try:
            if seat is None:
                return
            turn = seat.turn
            if quiet := seat.quiet():
                delay = quiet + _some(min(seat.interval, _SPREAD_SECONDS))
            else:
                await self._ask(seat, self._seconds, details=True)
                delay = min(seat.interval * 2.0 ** min(seat.misses, 10), max(_LONGEST_SECONDS, seat.interval))
            if self._seats.get(where) is seat and seat.turn == turn:  # else it has another place by now
                self._place(where, seat, delay - _some(delay / 20))
        except Exception:
            log.exception("looking after the printer at %s failed", where.host)
            if seat is not None and self._seats.get(where) is seat:
                self._place(where, seat, _LONGEST_SECONDS)
        finally:
            self._places.release()

    # -- asking, and telling of it

    async def _ask(self, seat: _Seat, seconds: float, *, details: bool = False) -> Look | None:
        asked, began = time.time(), _now()
        seat.asked_at = began
        if seat.misses or began >= seat.forget_at:
            seat.questions.forget()
            seat.forget_at = float("inf")
        try:
            look = await seat.questions.look(seconds)
        except NoAnswer as silence:
            log.debug("%s: %s", seat.names[0], silence)
            seat.misses += 1
            with self._told():
                await self._missed(seat, asked)
            return None
        LOOK.observe(_now() - began)
        seat.misses = 0
        if seat.forget_at == float("inf"):
            seat.forget_at = began + _FORGET_SECONDS
        with self._told():
            await self._answered(seat, look, asked, details=details)
        return look

    async def _missed(self, seat: _Seat, asked: float) -> None:
        known = await self._known(seat)
        # What a clock that was put back says of the last answer does not matter: this time there was none.
        answered = min(known.answered_at, asked - 0.001)
        await self._write(seat, dataclasses.replace(known, asked_at=asked, answered_at=answered))
        if seat.misses == _MISSES:
            seat.reasons = ()
            await self._conditions.tell(seat.names, Source.SNMP, WELL)

    async def _answered(self, seat: _Seat, look: Look, asked: float, *, details: bool) -> None:
        answered = max(asked, time.time())
        condition = Condition(state=look.state, reasons=look.reasons, text=look.text)
        await self._conditions.tell(seat.names, Source.SNMP, condition)
        known = await self._known(seat)
        if seat.reasons != look.reasons:
            seat.reasons, seat.details_at = look.reasons, float("-inf")
        changes: dict[str, Any] = {"asked_at": asked, "answered_at": answered, "console": look.console}
        if look.pages is not None:
            changes["pages"] = look.pages
        if details and _now() >= seat.details_at:
            changes |= await self._details(seat)
            known = await self._known(seat)  # somebody else may have looked meanwhile
        await self._write(seat, dataclasses.replace(known, **changes))

    async def _details(self, seat: _Seat) -> dict[str, Any]:
        seat.details_at = _now() + _DETAILS_SECONDS - _some(_DETAILS_SECONDS / 10)
        told = await seat.questions.details()
        if told is None or told == Details():
            return {}
        return {field.name: getattr(told, field.name) for field in dataclasses.fields(told)}

    async def _known(self, seat: _Seat) -> PrinterReport:
        """What was last said of it, before this process began, too: that need not be asked and written at once."""
        if seat.report is None:
            name = seat.names[0]
            stored = await self._store.report(name)
            if seat.report is None and stored is not None:
                seat.report = stored
                seat.written_at = _now() - _some(_WRITE_SECONDS)
                if stored.model or stored.supplies:
                    seat.details_at = _now() + _some(_DETAILS_SECONDS)
        if seat.report is None:
            seat.report = PrinterReport(printer=seat.names[0], asked_at=0.0, answered_at=-1.0)
        return seat.report

    async def _write(self, seat: _Seat, report: PrinterReport) -> None:
        """Where it says something new, and now and then."""
        known, seat.report = seat.report, report
        age = _now() - seat.written_at
        if known is None or _lasting(known) != _lasting(report):
            wanted = True
        elif (known.pages, known.console) != (report.pages, report.console):
            wanted = age >= _PAGES_SECONDS
        else:
            wanted = False
        if wanted or age >= _WRITE_SECONDS:
            seat.written_at = _now()
            for name in seat.names:
                await self._store.set_report(dataclasses.replace(report, printer=name))

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """A disk that is full keeps nobody from looking on; that is said once."""
        try:
            yield
        except TransientFailure as failure:
            if self._trouble != failure.text:
                self._trouble = failure.text
                log.warning("how printers fare cannot be written: %s", failure.text)
        else:
            self._trouble = ""


def _lasting(report: PrinterReport) -> PrinterReport:
    """What is written at once when it changes."""
    return dataclasses.replace(report, asked_at=0.0, answered_at=float(report.up), console="", pages=None)


def _where(entry: Printer) -> _Where | None:
    """None for a printer that is not asked."""
    if not entry.drained_by_bridge or entry.snmp is Snmp.OFF:
        return None
    try:
        host = device.parse(entry.uri).host
    except PermanentFailure:
        return None  # the bridge has said so
    return _Where(host, entry.snmp_port, entry.snmp, entry.snmp_community)


def _questions(where: _Where, seconds: float, guard: Guard) -> Questions:
    host, port, version, community = where
    return Questions(Agent(host, port, version=version, community=community, seconds=seconds, guard=guard))


async def ask_once(printer: Printer, guard: Guard) -> dict[str, Any]:
    """What one printer says when it is asked now, in the words of JSON, for people who want to see; nothing is written.

    `answers` and, if not, `why`; else the fields of `Look`, and those of `Details` if it gave them in time.
    """
    if (where := _where(printer)) is None:
        return {"printer": printer.name, "answers": False, "why": "it is not asked, by its entry"}
    questions = _questions(where, _SECONDS, guard)
    try:
        look = await questions.look()
    except NoAnswer as silence:
        return {"printer": printer.name, "answers": False, "why": str(silence)}
    details = await questions.details()
    return {
        "printer": printer.name,
        "answers": True,
        **dataclasses.asdict(look),
        **(dataclasses.asdict(details) if details else {}),
    }


def _now() -> float:
    return asyncio.get_running_loop().time()


def _some(seconds: float) -> float:
    """Any part of it, so that not all come at the same moment."""
    return seconds * random.random()  # noqa: S311 - no secret
