"""The tables, and how an older store becomes a newer one.

Portable types only; PostgreSQL will get the same tables.  Foreign keys are declared but not enforced while running
(each check is a look-up in the writing path); the contract suite ends with `PRAGMA foreign_key_check`.
"""

from __future__ import annotations

import secrets
import sqlite3
from base64 import b32encode
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from mailstore.store.migrations import MIGRATIONS, Step
from mailstore.store.opening import StoreUnusable

METADATA = sa.MetaData()

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _column(name: str, kind: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False)


META = sa.Table(
    "meta",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    _column("value", sa.Text),
)

MESSAGE = sa.Table(
    "message",
    METADATA,
    sa.Column("id", _KEY, primary_key=True, autoincrement=True),
    _column("reverse_path", sa.Text),
    _column("client_ip", sa.Text),
    _column("helo", sa.Text),
    _column("trust", sa.Text),
    _column("smtputf8", sa.Integer),
    _column("body", sa.Text),
    _column("name", sa.Text),
    _column("header_message_id", sa.Text),
    _column("documents", sa.Integer),
    _column("octets", sa.BigInteger),
    _column("place", sa.Text),  # inline, segment, file or gone
    _column("reference", sa.Text),  # the file's name, "" for inline and gone
    _column("start", sa.BigInteger),  # where in the segment
    _column("received_at", sa.Double),
    _column("waiting", sa.Integer),  # jobs that have not ended, and 1 for a part of a split mail that waits
    _column("ended_at", sa.Double),  # when the last one ended
    _column("login", sa.Text),
    _column("answerable", sa.Integer),
    _column("pop3_octets", sa.BigInteger),  # 0: `octets`
    _column("envid", sa.Text),
    _column("ret", sa.Text),
    _column("submitter", sa.Text),
    _column("proof", sa.Text),
    _column("proved", sa.Text),
    sqlite_autoincrement=True,
)

CONTENT = sa.Table(
    "content",
    METADATA,
    sa.Column("message_id", _KEY, sa.ForeignKey("message.id"), primary_key=True, autoincrement=False),
    _column("data", sa.LargeBinary),
)

JOB = sa.Table(
    "job",
    METADATA,
    sa.Column("id", _KEY, primary_key=True, autoincrement=True),
    sa.Column("message_id", _KEY, sa.ForeignKey("message.id"), nullable=False),
    _column("printer", sa.Text),  # or a person's maildrop: see `listing.of_printer`
    _column("recipient", sa.Text),
    _column("state", sa.Text),
    _column("reasons", sa.Text),  # separated by a space
    _column("pages", sa.Integer),
    _column("attempts", sa.Integer),
    _column("document", sa.Integer),  # the one whose sending was begun by the present holder, or -1
    _column("delivery_proof", sa.Text),
    _column("detail", sa.Text),
    _column("received_at", sa.Double),
    _column("processing_at", sa.Double),
    _column("sending_at", sa.Double),
    _column("completed_at", sa.Double),
    _column("next_attempt_at", sa.Double),
    _column("holder", sa.Text),  # the resource whose lease it was taken up under, or ""
    _column("holder_token", sa.BigInteger),
    _column("notify", sa.Text),
    _column("orcpt", sa.Text),
    _column("capability", sa.BigInteger),  # 0: none
    _column("waived", sa.Integer),
    _column("counted", sa.Integer),  # pages that were counted for limits already
    _column("release_code", sa.Text),  # "": none
    _column("waits_from", sa.Double),  # when somebody last held it, let it go on or moved it; 0: never
    sqlite_autoincrement=True,
)

ENTRY = sa.Table(
    "entry",
    METADATA,
    sa.Column("job_id", _KEY, sa.ForeignKey("job.id"), primary_key=True, autoincrement=False),
    _column("maildrop", sa.Text),
    _column("uid", sa.Text),
    _column("size", sa.BigInteger),
    _column("fields", sa.LargeBinary),
    sa.Column("message_id", _KEY, sa.ForeignKey("message.id"), nullable=False),
)

MAILDROP = sa.Table(  # sums of `entry`, kept so that quota and gauges cost nothing at any length of the queue
    "maildrop",
    METADATA,
    sa.Column("name", sa.Text, primary_key=True),
    _column("messages", sa.BigInteger),
    _column("octets", sa.BigInteger),
    _column("last_completed", sa.Double),
)

LEASE = sa.Table(  # rows stay for ever: a token must never fall
    "lease",
    METADATA,
    sa.Column("resource", sa.Text, primary_key=True),
    _column("owner", sa.Text),  # "" when nobody holds it
    _column("role", sa.Text),
    _column("token", sa.BigInteger),
    _column("expires", sa.Double),
)

EVENT = sa.Table(
    "event",
    METADATA,
    sa.Column("job_id", _KEY, primary_key=True, autoincrement=False),
    sa.Column("id", _KEY, primary_key=True, autoincrement=False),  # rises within the job
    _column("at", sa.Double),
    _column("text", sa.Text),
    sqlite_with_rowid=False,
)

PRINTER_STATE = sa.Table(
    "printer_state",
    METADATA,
    sa.Column("printer", sa.Text, primary_key=True),
    _column("paused", sa.Integer),
    _column("accepting", sa.Integer),
    _column("last_poll", sa.Double),
    _column("state", sa.Text),
    _column("state_reasons", sa.Text),
    _column("detail", sa.Text),
    _column("poll_gap", sa.Double),
    _column("poll_clear", sa.Integer),
)

OCCURRENCE = sa.Table(  # few, and soon gone: what the appliance has not turned into notices yet
    "occurrence",
    METADATA,
    sa.Column("id", _KEY, primary_key=True, autoincrement=True),
    _column("at", sa.Double),
    _column("occasion", sa.Text),
    _column("printer", sa.Text),
    _column("job_id", sa.BigInteger),  # 0 for a printer's
    _column("reasons", sa.Text),
    _column("detail", sa.Text),
    sqlite_autoincrement=True,
)

OUTGOING = sa.Table(
    "outgoing",
    METADATA,
    sa.Column("id", _KEY, primary_key=True, autoincrement=True),
    _column("recipient", sa.Text),
    _column("job_id", sa.BigInteger),  # 0 if about no job; a job's record may go before
    _column("attempts", sa.Integer),
    _column("created_at", sa.Double),
    _column("expires_at", sa.Double),
    _column("next_attempt_at", sa.Double),
    _column("owner", sa.Text),
    _column("token", sa.BigInteger),
    _column("leased_until", sa.Double),  # 0 when nobody holds it
    _column("last_error", sa.Text),
    _column("octets", sa.LargeBinary),  # the last column, so that looking at the others reads no page of it
    sqlite_autoincrement=True,
)

WEB_SESSION = sa.Table(
    "web_session",
    METADATA,
    sa.Column("key", sa.Text, primary_key=True),
    _column("person", sa.Text),
    _column("created_at", sa.Double),
    _column("expires_at", sa.Double),
)

USAGE = sa.Table(  # rows only for printers that have limits
    "usage",
    METADATA,
    sa.Column("printer", sa.Text, primary_key=True),
    sa.Column("sender", sa.Text, primary_key=True),  # the proved address, "" for all together
    sa.Column("slot", sa.BigInteger, primary_key=True, autoincrement=False),  # five minutes since the epoch
    _column("jobs", sa.BigInteger),
    _column("octets", sa.BigInteger),
    _column("pages", sa.BigInteger),
    sqlite_with_rowid=False,
)

SEEN = sa.Table(  # no index by time, which every mail would pay for: the sweep looks through all of it
    "seen",
    METADATA,
    sa.Column("digest", _KEY, primary_key=True, autoincrement=False),  # the first half of it, signed
    _column("rest", sa.BigInteger),
    _column("job_id", sa.BigInteger),
    _column("until", sa.Double),
)

CAPABILITY = sa.Table(
    "capability",
    METADATA,
    sa.Column("id", _KEY, primary_key=True, autoincrement=True),
    _column("printer", sa.Text),
    _column("digest", sa.LargeBinary),
    _column("note", sa.Text),
    _column("made_by", sa.Text),
    _column("created_at", sa.Double),
    _column("expires_at", sa.Double),
    *(_column(name, sa.BigInteger) for name in ("max_jobs", "max_pages", "jobs", "pages")),
    _column("revoked_at", sa.Double),
    _column("revoked_by", sa.Text),
    sqlite_autoincrement=True,
)

SPLIT = sa.Table(
    "split",
    METADATA,
    sa.Column("job_id", _KEY, sa.ForeignKey("job.id"), primary_key=True, autoincrement=False),
    _column("printer", sa.Text),
    _column("sender", sa.Text),
    _column("part_id", sa.Text),
    _column("total", sa.Integer),  # 0: not known yet
    _column("octets", sa.BigInteger),  # of the parts that are there, as they count in the maildrop
    _column("until", sa.Double),
    _column("hold", sa.Text),  # whether its printer held jobs when the first part came
)

PART = sa.Table(
    "part",
    METADATA,
    sa.Column("job_id", _KEY, sa.ForeignKey("job.id"), primary_key=True, autoincrement=False),
    sa.Column("number", _KEY, primary_key=True, autoincrement=False),
    sa.Column("message_id", _KEY, sa.ForeignKey("message.id"), nullable=False),
    sqlite_with_rowid=False,
)

DOCUMENT = sa.Table(
    "document",
    METADATA,
    sa.Column("job_id", _KEY, sa.ForeignKey("job.id"), primary_key=True, autoincrement=False),
    sa.Column("number", _KEY, primary_key=True, autoincrement=False),
    _column("name", sa.Text),
    _column("format", sa.Text),
    _column("pages", sa.Integer),
    _column("fate", sa.Text),
    _column("detail", sa.Text),
    sqlite_with_rowid=False,
)

THUMBNAIL = sa.Table(  # by rowid: its key is an index beside it, so that looking which there are reads no picture
    "thumbnail",
    METADATA,
    sa.Column("job_id", _KEY, sa.ForeignKey("job.id"), primary_key=True, autoincrement=False),
    sa.Column("document", _KEY, primary_key=True, autoincrement=False),
    sa.Column("page", _KEY, primary_key=True, autoincrement=False),
    _column("png", sa.LargeBinary),
)

PICTURE = sa.Table(
    "picture",
    METADATA,
    sa.Column("sender", sa.Text, primary_key=True),
    sa.Column("digest", sa.LargeBinary, primary_key=True),
    _column("messages", sa.Text),  # the first that it stood in, as many as make it an ornament, separated by a space
    _column("last_at", sa.Double),
    sqlite_with_rowid=False,
)

PROGRESS = sa.Table(
    "progress",
    METADATA,
    sa.Column("job_id", _KEY, sa.ForeignKey("job.id"), primary_key=True, autoincrement=False),
    *(
        _column(name, sa.BigInteger)
        for name in ("document", "octets", "octets_total", "pages", "pages_total", "pages_before", "pages_all")
    ),
)

REPORT = sa.Table(
    "report",
    METADATA,
    sa.Column("printer", sa.Text, primary_key=True),
    _column("asked_at", sa.Double),
    _column("answered_at", sa.Double),
    _column("details", sa.Text),  # the rest of it, as JSON
)


def _index(name: str, *columns: sa.Column[Any], where: str = "", unique: bool = False) -> sa.Index:
    return sa.Index(name, *columns, unique=unique, sqlite_where=sa.text(where) if where else None)


UNENDED = "completed_at = 0"
"""The condition of the index `job_unended`; whoever wants it used says exactly this."""

_index("job_unended", JOB.c.printer, JOB.c.id, where=UNENDED)
_index("job_ended", JOB.c.printer, JOB.c.id, where="completed_at <> 0")
_index("job_held", JOB.c.holder, where="holder <> ''")
_index("job_message", JOB.c.message_id)
_index("job_code", JOB.c.release_code, where="release_code <> ''", unique=True)
_index("entry_maildrop", ENTRY.c.maildrop, ENTRY.c.job_id)
_index("message_ended", MESSAGE.c.place, MESSAGE.c.ended_at, where="waiting = 0")
_index("message_reference", MESSAGE.c.reference, where="reference <> ''")
_index("outgoing_due", OUTGOING.c.next_attempt_at, OUTGOING.c.id)
_index("capability_digest", CAPABILITY.c.digest, unique=True)
_index("picture_last", PICTURE.c.last_at)
_index("split_known", SPLIT.c.printer, SPLIT.c.sender, SPLIT.c.part_id, unique=True)


def definitions(dialect: sa.Dialect) -> list[str]:
    """The DDL of a new store."""
    if dialect.name != "sqlite":  # said only here: to name a dialect is to load it, two megabytes in each process
        for index in (index for table in METADATA.sorted_tables for index in table.indexes):
            index.dialect_kwargs[f"{dialect.name}_where"] = index.dialect_kwargs["sqlite_where"]
    made: list[str] = []
    for table in METADATA.sorted_tables:
        made.append(str(sa.schema.CreateTable(table).compile(dialect=dialect)))
        made += [
            str(sa.schema.CreateIndex(index).compile(dialect=dialect))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return made


def migrate(connection: sqlite3.Connection, steps: Sequence[Step] = MIGRATIONS) -> None:
    """Bring the store to this program's version, in one transaction.

    Raises `StoreUnusable` if it is newer than the program.  The caller holds the write lock.
    """
    newest = 1 + len(steps)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = _version(connection)
        _refuse_newer(version, newest)
        if version == 0:
            _create(connection)
        else:
            for step in steps[version - 1 :]:
                _apply(connection, step)
        if version != newest:
            connection.execute("UPDATE meta SET value = ? WHERE name = 'schema_version'", (str(newest),))
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _refuse_newer(version: int, newest: int) -> None:
    if version > newest:
        raise StoreUnusable(
            f"the store was written by a newer Printpost (schema {version}, this program knows {newest});"
            " install that version again or restore a backup"
        )


def _version(connection: sqlite3.Connection) -> int:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'meta'").fetchall():
        return 0
    rows = connection.execute("SELECT value FROM meta WHERE name = 'schema_version'").fetchall()
    return int(rows[0][0])


def _create(connection: sqlite3.Connection) -> None:
    for definition in definitions(sqlite.dialect()):
        connection.execute(definition)
    identity = b32encode(secrets.token_bytes(10)).decode().lower()
    rows = [("schema_version", "0"), ("store_id", identity), ("generation", "1")]
    connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", rows)


def _apply(connection: sqlite3.Connection, step: Step) -> None:
    if callable(step):
        step(connection)
        return
    for statement in step:
        connection.execute(statement)
