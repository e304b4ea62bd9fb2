"""How jobs get on and printers fare, as rows: written without a sync and not waited for, as the next commit comes.

Security: what a printer says of itself is a stranger's word.  It reaches the database as parameters only, and what no
text can hold is replaced before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa

from mailstore.report import PrinterReport, Supply, Tray
from mailstore.store.committer import Rows
from mailstore.store.following import Progress
from mailstore.store.printers import Printers
from mailstore.store.schema import PROGRESS, REPORT
from mailstore.store.statement import Statement, given, storable

_HOW_FAR = ("document", "octets", "octets_total", "pages", "pages_total", "pages_before", "pages_all")
_SET_PROGRESS = Statement(  # SQLAlchemy has a statement of its own for each database here, and they know these words
    sa.text(
        f"INSERT INTO progress (job_id, {', '.join(_HOW_FAR)})"  # noqa: S608 - the columns above
        f" SELECT id, {', '.join(f':{name}' for name in _HOW_FAR)} FROM job WHERE id = :job AND completed_at = 0"
        f" ON CONFLICT (job_id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _HOW_FAR)}"
    )
)
_PROGRESS = Statement(sa.select(*(PROGRESS.c[name] for name in _HOW_FAR)).where(PROGRESS.c.job_id == given("job")))
DROP_PROGRESS = Statement(sa.delete(PROGRESS).where(PROGRESS.c.job_id == given("job")))

_SET_REPORT = Statement(
    sa.text(
        "INSERT INTO report (printer, asked_at, answered_at, details) VALUES (:printer, :asked_at, :answered_at,"
        " :details) ON CONFLICT (printer) DO UPDATE SET asked_at = excluded.asked_at,"
        " answered_at = excluded.answered_at, details = excluded.details"
    )
)
_REPORT = Statement(sa.select(REPORT).where(REPORT.c.printer == given("of")))
_REPORTS = Statement(sa.select(REPORT).order_by(REPORT.c.printer))
_DROP_REPORT = Statement(sa.delete(REPORT).where(REPORT.c.printer == given("of")))


def _of_row(row: Sequence[Any]) -> Progress:
    return Progress(**dict(zip(_HOW_FAR, row, strict=True)))


def progress_of(rows: Rows, job_id: int) -> Progress | None:
    row = rows.one(_PROGRESS, job=job_id)
    return _of_row(row) if row else None


def _details(report: PrinterReport) -> str:
    told = asdict(report)
    for column in REPORT.c:
        told.pop(column.name, None)
    return storable(json.dumps(told, ensure_ascii=False, separators=(",", ":")))


def _report_of(row: Sequence[Any]) -> PrinterReport:
    printer, asked_at, answered_at, details = row
    told: dict[str, Any] = json.loads(details)
    told["supplies"] = tuple(Supply(**each) for each in told["supplies"])
    told["trays"] = tuple(Tray(**each) for each in told["trays"])
    return PrinterReport(printer=printer, asked_at=asked_at, answered_at=answered_at, **told)


def forget(rows: Rows, printer: str) -> None:
    rows.change(_DROP_REPORT, of=printer)


class Followed(Printers):
    """A part of `sql.SqlStore`."""

    async def set_progress(self, job_id: int, progress: Progress) -> None:
        values = asdict(progress)
        self._tell(lambda rows: rows.change(_SET_PROGRESS, job=job_id, **values))

    async def progress(self, job_id: int) -> Progress | None:
        await self.committer.caught_up()
        row = self._reader.one(_PROGRESS, job=job_id)
        return _of_row(row) if row else None

    async def set_report(self, report: PrinterReport) -> None:
        values = {"asked_at": report.asked_at, "answered_at": report.answered_at, "details": _details(report)}
        self._tell(lambda rows: rows.change(_SET_REPORT, printer=report.printer, **values))

    async def report(self, printer: str) -> PrinterReport | None:
        await self.committer.caught_up()
        row = self._reader.one(_REPORT, of=printer)
        return _report_of(row) if row else None

    async def reports(self) -> Sequence[PrinterReport]:
        await self.committer.caught_up()
        return await self._reader.run(lambda: [_report_of(row) for row in self._reader.far(_REPORTS)])
