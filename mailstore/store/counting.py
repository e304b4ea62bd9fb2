"""What a printer printed of late, for all and for each proved sender, and whether one more job would be too much.

Nothing is written of a printer that has no limits.  A sum takes in every slot that touches its time, so in any hour,
and on any day, no more goes than the limit says, and perhaps a little less.

Security: a sender who is not proved has no sum of his own, so nobody uses up what another one may print by giving his
address; and nobody learns from a refusal how much others printed.
"""

from __future__ import annotations

import sqlalchemy as sa

from mailstore.directory.records import NO_LIMITS, PrintLimits
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.store.committer import Rows
from mailstore.store.schema import USAGE
from mailstore.store.statement import Statement, given, number

SLOT_SECONDS = 300.0
HOUR = 3600.0
DAY = 86400.0
KEPT_SECONDS = 26 * HOUR

_OF = (USAGE.c.printer == given("of"), USAGE.c.sender == given("by"))
_OF_LATE = (*_OF, USAGE.c.slot >= given("since"), USAGE.c.slot <= given("until"))
TAKEN = Statement(
    sa.select(
        sa.func.coalesce(sa.func.sum(USAGE.c.jobs), number(0)),
        sa.func.coalesce(sa.func.sum(USAGE.c.octets), number(0)),
    ).where(*_OF_LATE)
)
PRINTED = Statement(sa.select(sa.func.coalesce(sa.func.sum(USAGE.c.pages), number(0))).where(*_OF_LATE))
_MORE = Statement(
    sa.update(USAGE)
    .where(*_OF, USAGE.c.slot == given("now"))
    .values(
        jobs=USAGE.c.jobs + given("more_jobs"),
        octets=USAGE.c.octets + given("more_octets"),
        pages=USAGE.c.pages + given("more_pages"),
    )
)
_ADD = Statement(sa.insert(USAGE), *(column.name for column in USAGE.c))
OLD = Statement(
    sa.select(USAGE.c.printer, USAGE.c.sender, USAGE.c.slot)
    .where(sa.or_(USAGE.c.slot < given("since"), USAGE.c.slot > given("until")))
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_FORGET = Statement(sa.delete(USAGE).where(USAGE.c.printer == given("of")))
DROP_OLD = Statement(sa.delete(USAGE).where(*_OF, USAGE.c.slot == given("when")))


def slot(at: float) -> int:
    return int(at // SLOT_SECONDS)


def slots(seconds: float, now: float) -> dict[str, int]:
    """The last `seconds`, and one slot more, should the clock go back a little.

    What lies beyond that was counted while the clock was wrong, and must not refuse anybody until its time has come.
    """
    return {"since": slot(now - seconds), "until": slot(now) + 1}


def check(rows: Rows, printer: str, proved: str, limits: PrintLimits, jobs: int, octets: int, now: float) -> None:
    """Raises `TransientFailure` ("4.7.1") if a limit an hour would be passed, `PermanentFailure` ("5.3.4") if one mail
    alone is more than that."""
    for sender, most_jobs, most_octets, whom in (
        ("", limits.jobs, limits.octets, "everybody together"),
        (proved, limits.sender_jobs, limits.sender_octets, "one sender"),
    ):
        if not (most_jobs or most_octets) or (not sender and whom == "one sender"):
            continue
        if most_octets and octets > most_octets:
            raise PermanentFailure("5.3.4", f"larger than all that the printer takes from {whom} in an hour")
        ((had_jobs, had_octets),) = rows.all(TAKEN, of=printer, by=sender, **slots(HOUR, now))
        for what, most, would in (("jobs", most_jobs, had_jobs + jobs), ("octets", most_octets, had_octets + octets)):
            if most and would > most:
                text = f"the printer takes no more {what} from {whom} within this hour, try again later"
                raise TransientFailure("4.7.1", text)


def add(
    rows: Rows,
    printer: str,
    proved: str,
    limits: PrintLimits,
    now: float,
    *,
    jobs: int = 0,
    octets: int = 0,
    pages: int = 0,
) -> None:
    if limits == NO_LIMITS:
        return
    for sender in {"", proved}:
        more = {"more_jobs": jobs, "more_octets": octets, "more_pages": pages}
        if not rows.change(_MORE, of=printer, by=sender, now=slot(now), **more):
            rows.change(_ADD, printer=printer, sender=sender, slot=slot(now), jobs=jobs, octets=octets, pages=pages)


def forget(rows: Rows, printer: str) -> None:
    """The printer, or the group, goes: another one that gets its name later begins anew."""
    rows.change(_FORGET, of=printer)
