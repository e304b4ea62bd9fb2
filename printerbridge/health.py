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
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from prometheus_client import Histogram

from mailstore import loop
from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.hours import quiet_until
from mailstore.report import PrinterReport
from mailstore.store.contract import Store
from printerbridge.asking import Details, Questions
from printerbridge.conditions import WELL, Condition, Conditions, Source
from printerbridge.guard import Guard
from printerbridge.mib import Look
from printerbridge.roster import LONGEST_SECONDS, Roster, Seat, Where, now, some, where_of
from printerbridge.snmp import Agent, NoAnswer

log = logging.getLogger(__name__)

LOOK = Histogram(
    "printpost_snmp_look_seconds",
    "What a look at a printer took, if it answered.",
    buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3),
)

AT_ONCE: Final = 128  # looks; after a start silent printers take nearly all of these places for a while
_SECONDS: Final = 2.0  # for one look
_DETAILS_SECONDS: Final = 600.0  # between two questions for all that it has left
_FORGET_SECONDS: Final = 3600.0  # after which objects that it did not have are asked again
_WRITE_SECONDS: Final = 600.0  # between two reports that say nothing new
_PAGES_SECONDS: Final = 15.0  # between two that only count on
_LASTING: Final = 250  # printers of which is known enough to tell the collector
_MISSES: Final = 3  # after which what it said counts no more
_KNOWN_SILENT_SECONDS: Final = 30.0  # in which whoever waits for pages does not ask it in vain again


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
        returned: Callable[[list[str]], object] | None = None,
    ) -> None:
        """`returned` is called with the names of a printer that is well after it was stopped or silent."""
        self._store = store
        self._conditions = conditions
        self._guard = guard or Guard()
        self._seconds = seconds
        self._returned = returned
        self._roster = Roster(self._questions)
        self._places = asyncio.Semaphore(at_once)
        self._news: tuple[Printer, ...] | None = None
        self._began = False
        self._grown = 0  # printers of which more is known than their entries
        self._trouble = ""

    def printers(self, entries: Iterable[Printer]) -> None:
        """All that are served now; to be called whenever the entries were read.  `run` takes them in."""
        self._news = tuple(entries)
        self._roster.ring()

    def hurry(self, printer: str) -> None:
        """Look at it at once: somebody knows better what it said last."""
        self._roster.hurry(printer)

    async def run(self) -> None:
        """Look after them for ever; to be canceled."""
        async with asyncio.TaskGroup() as group:
            while True:
                while self._news is not None:
                    news, self._news = self._news, None
                    await self._take_in(news)
                where = await self._roster.next()
                if where is not None:
                    await self._places.acquire()
                    group.create_task(self._visit(where))

    async def _take_in(self, entries: tuple[Printer, ...]) -> None:
        left = await self._roster.take_in(entries)
        with self._told():
            if not self._began:
                # An earlier process may have heard trouble of who is asked no more; its line tells of who has jobs.
                troubled = {one.printer for one in await self._store.printer_states() if one.state_reasons}
                alone = troubled & {one.name for one in entries if where_of(one) is None}
                left |= {name for name in alone if not await self._store.pending([name], 1)}
                self._began = True
            await self._conditions.tell(left, Source.SNMP)

    async def look(self, printer: Printer, *, seconds: float = _SECONDS) -> Look | None:
        """How it fares at this moment, for whoever waits for its pages; None if it does not answer or is not asked."""
        if (where := where_of(printer)) is None:
            return None
        seat = self._roster.seats.get(where) or Seat(self._questions(where), (printer,))
        silent = seat.misses >= _MISSES and now() - seat.asked_at < _KNOWN_SILENT_SECONDS
        if silent or quiet_until(printer.quiet_hours, time.time()):
            return None
        return await self._ask(seat, seconds)

    def _questions(self, where: Where) -> Questions:
        return _questions(where, self._seconds, self._guard)

    async def _visit(self, where: Where) -> None:
        seat = self._roster.seats.get(where)
        try:
            if seat is None:
                return
            turn, new = seat.turn, seat.report is None
            if not seat.quiet():
                await self._ask(seat, self._seconds, details=True)
            self._roster.visited(where, seat, turn, awaited=self._awaited(seat))
            if new and seat.report is not None:
                self._grown += 1
                if self._grown % _LASTING == 0:
                    loop.grown()
        except Exception:
            log.exception("looking after the printer at %s failed", where.host)
            if seat is not None and not seat.gone:
                self._roster.place(where, seat, LONGEST_SECONDS)
        finally:
            self._places.release()

    def _awaited(self, seat: Seat) -> bool:
        """A silent one of which its line says that it stands: there are jobs for it."""
        answered = seat.report is not None and seat.report.answered_at > 0
        return answered and any(self._conditions.of(name).state == "stopped" for name in seat.names)

    # -- asking, and telling of it

    async def _ask(self, seat: Seat, seconds: float, *, details: bool = False) -> Look | None:
        asked, began = time.time(), now()
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
        LOOK.observe(now() - began)
        if seat.gone:  # while it was asked
            return look
        stopped = look.state == "stopped"
        returned = (seat.misses or seat.stopped) and not stopped
        seat.misses, seat.stopped = 0, stopped
        if seat.forget_at == float("inf"):
            seat.forget_at = began + _FORGET_SECONDS
        with self._told():
            if returned and self._returned is not None:
                self._returned(seat.names)
            await self._answered(seat, look, asked, details=details)
        return look

    async def _missed(self, seat: Seat, asked: float) -> None:
        known = await self._known(seat)
        # What a clock that was put back says of the last answer does not matter: this time there was none.
        answered = max(0.0, min(known.answered_at, asked - 0.001))
        await self._write(seat, dataclasses.replace(known, asked_at=asked, answered_at=answered))
        if seat.misses == _MISSES:
            seat.reasons = ()
            await self._conditions.tell(seat.names, Source.SNMP, WELL)

    async def _answered(self, seat: Seat, look: Look, asked: float, *, details: bool) -> None:
        answered = max(asked, time.time())
        condition = Condition(state=look.state, reasons=look.reasons, text=look.text)
        await self._conditions.tell(seat.names, Source.SNMP, condition)
        known = await self._known(seat)
        if seat.reasons != look.reasons:
            seat.reasons, seat.details_at = look.reasons, float("-inf")
        changes: dict[str, Any] = {"asked_at": asked, "answered_at": answered, "console": look.console}
        if look.pages is not None:
            changes["pages"] = look.pages
        if details and now() >= seat.details_at:
            changes |= await self._details(seat)
            known = await self._known(seat)  # somebody else may have looked meanwhile
        await self._write(seat, dataclasses.replace(known, **changes))

    async def _details(self, seat: Seat) -> dict[str, Any]:
        seat.details_at = now() + _DETAILS_SECONDS - some(_DETAILS_SECONDS / 10)
        told = await seat.questions.details()
        if told is None or told == Details():
            return {}
        return {field.name: getattr(told, field.name) for field in dataclasses.fields(told)}

    async def _known(self, seat: Seat) -> PrinterReport:
        """What was last said of it, before this process began, too: that need not be asked and written at once."""
        if seat.report is None:
            name = seat.names[0]
            stored = await self._store.report(name)
            if seat.report is None and stored is not None:
                seat.report = stored
                seat.written_at = now() - some(_WRITE_SECONDS)
                if stored.model or stored.supplies:
                    seat.details_at = now() + some(_DETAILS_SECONDS)
        if seat.report is None:
            seat.report = PrinterReport(printer=seat.names[0], asked_at=0.0, answered_at=-1.0)
        return seat.report

    async def _write(self, seat: Seat, report: PrinterReport) -> None:
        """Where it says something new, and now and then."""
        if seat.gone:
            return
        known, seat.report = seat.report, report
        age = now() - seat.written_at
        if known is None or _lasting(known) != _lasting(report):
            wanted = True
        elif (known.pages, known.console) != (report.pages, report.console):
            wanted = age >= _PAGES_SECONDS
        else:
            wanted = False
        if wanted or age >= _WRITE_SECONDS:
            seat.written_at = now()
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


def _questions(where: Where, seconds: float, guard: Guard) -> Questions:
    host, port, version, community = where
    return Questions(Agent(host, port, version=version, community=community, seconds=seconds, guard=guard))


async def ask_once(printer: Printer, guard: Guard) -> dict[str, Any]:
    """What one printer says when it is asked now, in the words of JSON, for people who want to see; nothing is written.

    `answers` and, if not, `why`; else the fields of `Look`, and those of `Details` if it gave them in time.
    """
    if (where := where_of(printer)) is None:
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
