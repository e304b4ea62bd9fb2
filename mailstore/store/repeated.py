"""Pictures that come again and again in one sender's mails, as rows.

Only the first mails of each are remembered, as many as make an ornament of it, and never others in their place: so the
answer for a mail stays the same, whatever came meanwhile.

Security: a sender can fill the memory with pictures that never come again.  Then what others repeat is forgotten and
prints once more; nothing grows.
"""

from __future__ import annotations

from collections.abc import Collection

import sqlalchemy as sa

from mailstore.store.committer import Rows
from mailstore.store.papers import ORNAMENT_MAILS, REPEATED_DAYS
from mailstore.store.schema import PICTURE
from mailstore.store.statement import Statement, given, number

MOST = 10_000

_SAME = (PICTURE.c.sender == given("by"), PICTURE.c.digest == given("which"))
_FIND = Statement(sa.select(PICTURE.c.messages).where(*_SAME))
_ADD = Statement(sa.insert(PICTURE), *(column.name for column in PICTURE.c))
_AGAIN = Statement(sa.update(PICTURE).where(*_SAME).values(messages=given("those"), last_at=given("now")))
_COUNT = Statement(sa.select(sa.func.count(PICTURE.c.last_at)))
_OLDEST = Statement(
    sa.select(PICTURE.c.sender, PICTURE.c.digest)
    .order_by(PICTURE.c.last_at)
    .limit(given("most", sa.Integer))
    .offset(number(0))
)
_DROP = Statement(sa.delete(PICTURE).where(*_SAME))
_DROP_OLD = Statement(
    sa.delete(PICTURE).where(sa.or_(PICTURE.c.last_at <= given("until"), PICTURE.c.last_at > given("latest")))
)


def seen_before(rows: Rows, message: int, sender: str, digests: Collection[bytes], now: float) -> frozenset[bytes]:
    """Which of them are ornaments in this message; all are remembered."""
    ornaments, added = set[bytes](), False
    for digest in set(digests):
        found = rows.one(_FIND, by=sender, which=digest)
        messages = found[0].split() if found else []
        if str(message) not in messages:
            if len(messages) >= ORNAMENT_MAILS:
                ornaments.add(digest)
            else:
                messages.append(str(message))
        those = " ".join(messages)
        if found:
            rows.change(_AGAIN, by=sender, which=digest, those=those, now=now)
        else:
            rows.change(_ADD, sender=sender, digest=digest, messages=those, last_at=now)
            added = True
    if added:
        _keep_bounds(rows)
    return frozenset(ornaments)


def _keep_bounds(rows: Rows) -> None:
    ((count,),) = rows.all(_COUNT)
    if count > MOST:
        oldest = rows.all(_OLDEST, most=count - MOST)
        rows.change_many(_DROP, [{"by": sender, "which": digest} for sender, digest in oldest])


def drop_old(rows: Rows, now: float) -> int:
    """What did not come for long, and what came while the clock was wrong."""
    return rows.change(_DROP_OLD, until=now - REPEATED_DAYS * 86400.0, latest=now + 86400.0)
