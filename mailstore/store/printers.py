"""What is known of printers beside their jobs: paused, accepting, how they fare and how they poll."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.contract import PrinterState
from mailstore.store.listing import is_of_printer
from mailstore.store.occurring import occurred
from mailstore.store.outbox import Occasion
from mailstore.store.reader import Reader
from mailstore.store.schema import PRINTER_STATE
from mailstore.store.statement import Statement, given, storable

LONGEST_GAP = 86400.0
"""A printer that was off for longer says nothing of how often it polls."""

_NEW_SHARE = 0.25  # of the latest gap in the running average

_PRINTER = Statement(sa.select(PRINTER_STATE).where(PRINTER_STATE.c.printer == given("of")))
_ALL = Statement(sa.select(PRINTER_STATE).order_by(PRINTER_STATE.c.printer))
_DROP = Statement(sa.delete(PRINTER_STATE).where(PRINTER_STATE.c.printer == given("of")))
_ADD = Statement(sa.insert(PRINTER_STATE), *(column.name for column in PRINTER_STATE.c))


def _set(*columns: sa.Column[Any]) -> Statement:
    """Sets these columns of a printer's row, from parameters like `new_paused`, and nothing else of it."""
    values = {column.name: given(f"new_{column.name}") for column in columns}
    return Statement(sa.update(PRINTER_STATE).where(PRINTER_STATE.c.printer == given("of")).values(**values))


_SET_POLL = _set(PRINTER_STATE.c.last_poll, PRINTER_STATE.c.poll_gap, PRINTER_STATE.c.poll_clear)
_SET_CONDITION = _set(PRINTER_STATE.c.state, PRINTER_STATE.c.state_reasons, PRINTER_STATE.c.detail)
_SET_PAUSED = _set(PRINTER_STATE.c.paused)
_SET_ACCEPTING = _set(PRINTER_STATE.c.accepting)


def printer_of(printer: str, row: Any | None) -> PrinterState:
    """A row of `PRINTER_STATE`; a printer never heard of is idle."""
    if row is None:
        return PrinterState(printer=printer)
    _, paused, accepting, last_poll, state, reasons, detail, poll_gap, poll_clear = row
    return PrinterState(
        printer=printer,
        paused=bool(paused),
        accepting=bool(accepting),
        last_poll=last_poll,
        poll_gap=poll_gap,
        poll_clear=bool(poll_clear),
        state=state,
        state_reasons=tuple(reasons.split()),
        detail=detail,
    )


def _get(rows: Rows, printer: str) -> PrinterState:
    return printer_of(printer, rows.one(_PRINTER, of=printer))


def set_printer(rows: Rows, state: PrinterState) -> None:
    rows.change(_DROP, of=state.printer)
    rows.change(
        _ADD,
        printer=state.printer,
        paused=int(state.paused),
        accepting=int(state.accepting),
        last_poll=state.last_poll,
        poll_gap=state.poll_gap,
        poll_clear=int(state.poll_clear),
        state=state.state,
        state_reasons=" ".join(state.state_reasons),
        detail=storable(state.detail),
    )


def set_poll(rows: Rows, printer: str, at: float, *, clear: bool) -> None:
    before = _get(rows, printer)
    gap, latest = before.poll_gap, at - before.last_poll
    if before.last_poll and 0.0 < latest <= LONGEST_GAP:
        gap = gap + _NEW_SHARE * (latest - gap) if gap else latest
    values = {"new_last_poll": at, "new_poll_gap": gap, "new_poll_clear": int(clear)}
    if not rows.change(_SET_POLL, of=printer, **values):
        set_printer(rows, PrinterState(printer=printer, last_poll=at, poll_clear=clear))


def set_condition(rows: Rows, new: PrinterState, now: float) -> None:
    """An occurrence when the reasons are others than before, and not when only the words about them are."""
    before = _get(rows, new.printer)
    values = {"new_state": new.state, "new_state_reasons": " ".join(new.state_reasons)}
    if not rows.change(_SET_CONDITION, of=new.printer, **values, new_detail=storable(new.detail)):
        set_printer(rows, new)
    if set(before.state_reasons) == set(new.state_reasons):
        return
    if new.state_reasons:
        occurred(rows, Occasion.STOPPED, new.printer, new.state_reasons, new.detail, now)
    else:
        occurred(rows, Occasion.CLEAR, new.printer, before.state_reasons, new.detail, now)


def forget_printer(rows: Rows, printer: str) -> None:
    rows.change(_DROP, of=printer)


class Printers:
    """A part of `sql.SqlStore`."""

    committer: Committer
    _reader: Reader

    async def printer_state(self, printer: str) -> PrinterState:
        return printer_of(printer, self._reader.one(_PRINTER, of=printer))

    async def printer_states(self) -> Sequence[PrinterState]:
        return await self._reader.run(lambda: [printer_of(row[0], row) for row in self._reader.far(_ALL)])

    async def set_printer_state(self, state: PrinterState) -> None:
        await self.committer.submit(lambda rows: set_printer(rows, state), Wanted.NOW)

    async def polled(self, printer: str, at: float, *, clear: bool = False) -> None:
        if is_of_printer(printer):
            self._tell(lambda rows: set_poll(rows, printer, at, clear=clear))

    async def set_condition(self, printer: str, state: str, reasons: Sequence[str], detail: str) -> None:
        new = PrinterState(printer=printer, state=state, state_reasons=tuple(reasons), detail=detail)
        now = time.time()
        self._tell(lambda rows: set_condition(rows, new, now))

    def _tell(self, work: Callable[[Rows], object]) -> None:
        # Not waited for: nobody is told of it, and a poll must not cost a commit of its own.
        noted = self.committer.submit(work, Wanted.LATER)
        noted.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def set_paused(self, printer: str, paused: bool) -> None:
        new = PrinterState(printer=printer, paused=paused)
        await self.committer.submit(lambda rows: _wish(rows, _SET_PAUSED, new, new_paused=int(paused)))

    async def set_accepting(self, printer: str, accepting: bool) -> None:
        new = PrinterState(printer=printer, accepting=accepting)
        await self.committer.submit(lambda rows: _wish(rows, _SET_ACCEPTING, new, new_accepting=int(accepting)))


def _wish(rows: Rows, statement: Statement, new: PrinterState, **value: int) -> None:
    if not rows.change(statement, of=new.printer, **value):
        set_printer(rows, new)
    rows.ring(new.printer)
