"""Capability addresses as rows: made, found by their token's digest, used up, revoked.

Security: the token is kept nowhere, only the SHA-256 of it: whoever reads a copy of the database cannot print.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import sqlalchemy as sa

from mailstore.failure import PermanentFailure
from mailstore.store.admission import Capability
from mailstore.store.committer import Committer, Rows
from mailstore.store.reader import Reader
from mailstore.store.schema import CAPABILITY
from mailstore.store.statement import Statement, given, number, storable, word

KEPT_SECONDS = 90 * 86400.0
"""So long one that was revoked or is over is still listed."""

_COLUMNS = tuple(column for column in CAPABILITY.c if column.name != "digest")
_ADD = Statement(
    sa.insert(CAPABILITY).returning(CAPABILITY.c.id), *(column.name for column in CAPABILITY.c if column.name != "id")
)
_BY_NUMBER = Statement(sa.select(*_COLUMNS).where(CAPABILITY.c.id == given("which")))
_BY_DIGEST = Statement(sa.select(*_COLUMNS).where(CAPABILITY.c.digest == given("which")))
_ALL = Statement(sa.select(*_COLUMNS).order_by(CAPABILITY.c.id.desc()))
_OF_PRINTER = Statement(
    sa.select(*_COLUMNS).where(CAPABILITY.c.printer == given("of")).order_by(CAPABILITY.c.id.desc())
)
_USE = Statement(
    sa.update(CAPABILITY)
    .where(CAPABILITY.c.id == given("which"))
    .values(jobs=CAPABILITY.c.jobs + given("more_jobs"), pages=CAPABILITY.c.pages + given("more_pages"))
)
_REVOKE = Statement(
    sa.update(CAPABILITY)
    .where(CAPABILITY.c.id == given("which"), CAPABILITY.c.revoked_at == number(0))
    .values(revoked_at=given("now"), revoked_by=given("who"))
)
_REVOKE_ALL = Statement(
    sa.update(CAPABILITY)
    .where(CAPABILITY.c.printer == given("of"), CAPABILITY.c.revoked_at == number(0))
    .values(revoked_at=given("now"), revoked_by=word(""))
)
_DROP_OVER = Statement(
    sa.delete(CAPABILITY).where(
        sa.or_(
            sa.and_(CAPABILITY.c.revoked_at != number(0), CAPABILITY.c.revoked_at <= given("until")),
            sa.and_(CAPABILITY.c.expires_at != number(0), CAPABILITY.c.expires_at <= given("until")),
        )
    )
)


def _of(row: Sequence[object]) -> Capability:
    return Capability(**dict(zip((column.name for column in _COLUMNS), row, strict=True)))  # type: ignore[arg-type]


def find(rows: Rows, number: int) -> Capability | None:
    row = rows.one(_BY_NUMBER, which=number)
    return _of(row) if row else None


def check(rows: Rows, number: int, now: float, *, jobs: int = 1) -> None:
    """Raises `PermanentFailure` ("5.7.1") if it lets nobody print; with `jobs` 0, a job of its own goes on."""
    found = find(rows, number)
    if found and not jobs:
        found = replace(found, max_jobs=0, max_pages=0)
    if why := found.why_not(now) if found else "it is not known any more":
        raise PermanentFailure("5.7.1", f"this address lets nobody print: {why}")


def use(rows: Rows, number: int, *, jobs: int = 0, pages: int = 0) -> None:
    rows.change(_USE, which=number, more_jobs=jobs, more_pages=pages)


def revoke_all(rows: Rows, printer: str, now: float) -> None:
    """The printer goes: another one that gets its name later must not be open to whoever knew a token of this one."""
    rows.change(_REVOKE_ALL, of=printer, now=now)


def drop_over(rows: Rows, now: float) -> None:
    rows.change(_DROP_OVER, until=now - KEPT_SECONDS)


class Capabilities:
    """A part of `sql.SqlStore`."""

    committer: Committer
    _reader: Reader

    async def add_capability(
        self,
        printer: str,
        digest: bytes,
        *,
        made_by: str,
        note: str = "",
        expires_at: float = 0.0,
        max_jobs: int = 0,
        max_pages: int = 0,
    ) -> Capability:
        values = {
            "printer": printer,
            "note": storable(note),
            "made_by": made_by,
            "created_at": time.time(),
            "expires_at": expires_at,
            "max_jobs": max_jobs,
            "max_pages": max_pages,
            "jobs": 0,
            "pages": 0,
            "revoked_at": 0.0,
            "revoked_by": "",
        }
        ((made,),) = await self.committer.submit(lambda rows: rows.all(_ADD, digest=digest, **values))
        return Capability(id=made, **values)  # type: ignore[arg-type]

    async def capability(self, digest: bytes) -> Capability | None:
        row = self._reader.one(_BY_DIGEST, which=digest)
        return _of(row) if row else None

    async def capabilities(self, printer: str = "") -> Sequence[Capability]:
        found = await (self._reader.scan(_OF_PRINTER, of=printer) if printer else self._reader.scan(_ALL))
        return [_of(row) for row in found]

    async def revoke_capability(self, number: int, by: str) -> bool:
        now = time.time()
        return await self.committer.submit(lambda rows: rows.change(_REVOKE, which=number, now=now, who=by) == 1)
