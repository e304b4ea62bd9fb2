"""The steps by which an older store becomes a newer one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

Step = Sequence[str] | Callable[[sqlite3.Connection], None]

_FEWER_PAGES = (
    (
        'CREATE TABLE event_2 (job_id INTEGER NOT NULL, id INTEGER NOT NULL, "at" DOUBLE NOT NULL, text TEXT NOT NULL,'
        " PRIMARY KEY (job_id, id)) WITHOUT ROWID"
    ),
    'INSERT INTO event_2 SELECT job_id, id, "at", text FROM event ORDER BY job_id, id',
    "DROP TABLE event",
    "ALTER TABLE event_2 RENAME TO event",
    "DROP INDEX job_unended",
    "CREATE INDEX job_unended ON job (printer, id) WHERE completed_at = 0",
)
"""Version 2: events lie by job, without an index beside them, and a change of state leaves `job_unended` alone.  The
first document of a job alone wrote 6.2 pages of the log before, and 3.5 since."""

_PEOPLE = (
    "ALTER TABLE message ADD COLUMN login TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE message ADD COLUMN answerable INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE printer_state ADD COLUMN poll_gap DOUBLE NOT NULL DEFAULT 0",
    (
        'CREATE TABLE occurrence (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, "at" DOUBLE NOT NULL,'
        " occasion TEXT NOT NULL, printer TEXT NOT NULL, job_id BIGINT NOT NULL, reasons TEXT NOT NULL,"
        " detail TEXT NOT NULL)"
    ),
    (
        "CREATE TABLE outgoing (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, recipient TEXT NOT NULL,"
        " job_id BIGINT NOT NULL, attempts INTEGER NOT NULL, created_at DOUBLE NOT NULL, expires_at DOUBLE NOT NULL,"
        " next_attempt_at DOUBLE NOT NULL, owner TEXT NOT NULL, token BIGINT NOT NULL, leased_until DOUBLE NOT NULL,"
        " last_error TEXT NOT NULL, octets BLOB NOT NULL)"
    ),
    "CREATE INDEX outgoing_due ON outgoing (next_attempt_at, id)",
    (
        'CREATE TABLE web_session ("key" TEXT NOT NULL, person TEXT NOT NULL, created_at DOUBLE NOT NULL,'
        ' expires_at DOUBLE NOT NULL, PRIMARY KEY ("key"))'
    ),
)
"""Version 3: who sent a job and whether he may be answered, what people are told, who is logged in to the page."""

_EXTENSIONS = (
    "ALTER TABLE message ADD COLUMN pop3_octets BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE message ADD COLUMN envid TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE message ADD COLUMN ret TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE message ADD COLUMN submitter TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN notify TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN orcpt TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE printer_state ADD COLUMN poll_clear INTEGER NOT NULL DEFAULT 0",
)
"""Version 4: what BINARYMIME is to POP3, what senders say of reports, which printers send their password in clear."""

_ADMISSION = (
    "ALTER TABLE message ADD COLUMN proof TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE message ADD COLUMN proved TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN capability BIGINT NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN waived INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE job ADD COLUMN counted INTEGER NOT NULL DEFAULT 0",
    (
        "CREATE TABLE usage (printer TEXT NOT NULL, sender TEXT NOT NULL, slot BIGINT NOT NULL, jobs BIGINT NOT NULL,"
        " octets BIGINT NOT NULL, pages BIGINT NOT NULL, PRIMARY KEY (printer, sender, slot)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE seen (digest INTEGER NOT NULL, rest BIGINT NOT NULL, job_id BIGINT NOT NULL,"
        " until DOUBLE NOT NULL, PRIMARY KEY (digest))"
    ),
    (
        "CREATE TABLE capability (id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, printer TEXT NOT NULL,"
        " digest BLOB NOT NULL, note TEXT NOT NULL, made_by TEXT NOT NULL, created_at DOUBLE NOT NULL,"
        " expires_at DOUBLE NOT NULL, max_jobs BIGINT NOT NULL, max_pages BIGINT NOT NULL, jobs BIGINT NOT NULL,"
        " pages BIGINT NOT NULL, revoked_at DOUBLE NOT NULL, revoked_by TEXT NOT NULL)"
    ),
    "CREATE UNIQUE INDEX capability_digest ON capability (digest)",
    (
        "CREATE TABLE split (job_id INTEGER NOT NULL REFERENCES job (id), printer TEXT NOT NULL, sender TEXT NOT NULL,"
        " part_id TEXT NOT NULL, total INTEGER NOT NULL, octets BIGINT NOT NULL, until DOUBLE NOT NULL,"
        " PRIMARY KEY (job_id))"
    ),
    "CREATE UNIQUE INDEX split_known ON split (printer, sender, part_id)",
    (
        "CREATE TABLE part (job_id INTEGER NOT NULL REFERENCES job (id), number INTEGER NOT NULL,"
        " message_id INTEGER NOT NULL REFERENCES message (id), PRIMARY KEY (job_id, number)) WITHOUT ROWID"
    ),
)
"""Version 5: what proved a sender; what is counted and remembered of who prints what; parts of split mails."""

_PAPERS = (
    (
        "CREATE TABLE document (job_id INTEGER NOT NULL REFERENCES job (id), number INTEGER NOT NULL,"
        " name TEXT NOT NULL, format TEXT NOT NULL, pages INTEGER NOT NULL, fate TEXT NOT NULL, detail TEXT NOT NULL,"
        " PRIMARY KEY (job_id, number)) WITHOUT ROWID"
    ),
    (
        "CREATE TABLE thumbnail (job_id INTEGER NOT NULL REFERENCES job (id), document INTEGER NOT NULL,"
        " page INTEGER NOT NULL, png BLOB NOT NULL, PRIMARY KEY (job_id, document, page))"
    ),
    (
        "CREATE TABLE picture (sender TEXT NOT NULL, digest BLOB NOT NULL, messages TEXT NOT NULL,"
        " last_at DOUBLE NOT NULL, PRIMARY KEY (sender, digest)) WITHOUT ROWID"
    ),
    "CREATE INDEX picture_last ON picture (last_at)",
)
"""Version 6: what became of a job's documents, pictures of their pages, pictures that come again and again."""

_FOLLOWING = (
    "ALTER TABLE job ADD COLUMN release_code TEXT NOT NULL DEFAULT ''",
    "ALTER TABLE job ADD COLUMN waits_from DOUBLE NOT NULL DEFAULT 0",
    "CREATE UNIQUE INDEX job_code ON job (release_code) WHERE release_code <> ''",
    "CREATE INDEX job_ended ON job (printer, id) WHERE completed_at <> 0",
    "ALTER TABLE split ADD COLUMN hold TEXT NOT NULL DEFAULT 'none'",
    (
        "CREATE TABLE progress (job_id INTEGER NOT NULL REFERENCES job (id), document BIGINT NOT NULL,"
        " octets BIGINT NOT NULL, octets_total BIGINT NOT NULL, pages BIGINT NOT NULL, pages_total BIGINT NOT NULL,"
        " pages_before BIGINT NOT NULL, pages_all BIGINT NOT NULL, PRIMARY KEY (job_id))"
    ),
    (
        "CREATE TABLE report (printer TEXT NOT NULL, asked_at DOUBLE NOT NULL, answered_at DOUBLE NOT NULL,"
        " details TEXT NOT NULL, PRIMARY KEY (printer))"
    ),
)
"""Version 7: jobs that wait to be released, how far a job has come, what printers say of themselves; and an index of
what one printer has printed, which was looked for among all records before."""

MIGRATIONS: tuple[Step, ...] = (_FEWER_PAGES, _PEOPLE, _EXTENSIONS, _ADMISSION, _PAPERS, _FOLLOWING)
"""Step i brings version i + 1 to i + 2: SQL, SQLite's for as long as no other engine is there, or a function.  Never
change a published one."""
