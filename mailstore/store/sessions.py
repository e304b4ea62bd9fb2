"""Who is logged in to the page.

Security: a session is found by a hash of the cookie, so whoever reads a copy of the database cannot log in with it.
"""

from __future__ import annotations

import time

import sqlalchemy as sa

from mailstore.store.committer import Committer, Rows, Wanted
from mailstore.store.outbox import WebSession
from mailstore.store.reader import Reader
from mailstore.store.schema import WEB_SESSION
from mailstore.store.statement import Statement, given

_ADD = Statement(sa.insert(WEB_SESSION), *(column.name for column in WEB_SESSION.c))
_GET = Statement(
    sa.select(WEB_SESSION).where(WEB_SESSION.c.key == given("which"), WEB_SESSION.c.expires_at > given("now"))
)
_DROP = Statement(sa.delete(WEB_SESSION).where(WEB_SESSION.c.key == given("which")))
_DROP_OF_PERSON = Statement(sa.delete(WEB_SESSION).where(WEB_SESSION.c.person == given("of")))
_DROP_EXPIRED = Statement(sa.delete(WEB_SESSION).where(WEB_SESSION.c.expires_at <= given("now")))


def drop_expired(rows: Rows, now: float) -> None:
    rows.change(_DROP_EXPIRED, now=now)


class LoggedIn:
    """A part of `sql.SqlStore`."""

    committer: Committer
    _reader: Reader

    async def begin_session(self, session: WebSession) -> None:
        values = {
            "key": session.key,
            "person": session.person,
            "created_at": session.created_at,
            "expires_at": session.expires_at,
        }
        # Without a sync: whoever loses his session with the power logs in again.
        await self.committer.submit(lambda rows: rows.change(_ADD, **values), Wanted.NOW)

    async def session(self, key: str) -> WebSession | None:
        row = self._reader.one(_GET, which=key, now=time.time())
        if row is None:
            return None
        _, person, created_at, expires_at = row
        return WebSession(key=key, person=person, created_at=created_at, expires_at=expires_at)

    async def end_session(self, key: str) -> None:
        # With a sync: a session that was ended must not be back after a loss of power.
        await self.committer.submit(lambda rows: rows.change(_DROP, which=key))

    async def end_sessions(self, person: str) -> None:
        await self.committer.submit(lambda rows: rows.change(_DROP_OF_PERSON, of=person))
