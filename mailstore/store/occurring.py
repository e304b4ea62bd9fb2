"""Occurrences as rows: what somebody may have to be told, written in the transaction in which it happened."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from mailstore.store.committer import Rows
from mailstore.store.outbox import Occasion
from mailstore.store.schema import OCCURRENCE
from mailstore.store.statement import Statement, storable

_ADD = Statement(sa.insert(OCCURRENCE), *(column.name for column in OCCURRENCE.c if column.name != "id"))


def occurred(
    rows: Rows, occasion: Occasion, printer: str, reasons: Sequence[str], detail: str, now: float, job_id: int = 0
) -> None:
    """Note it, and ring whoever tells people of it."""
    rows.change(
        _ADD,
        at=now,
        occasion=occasion.value,
        printer=printer,
        job_id=job_id,
        reasons=" ".join(reasons),
        detail=storable(detail),
    )
    rows.ring(printer)
