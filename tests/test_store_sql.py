"""The embedded engine: the contract, and what is its own."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import schema as ddl
from sqlalchemy.dialects import postgresql

from mailstore.abilities import UNKNOWN
from mailstore.directory.records import Hold, PrintLimits
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import JobState
from mailstore.report import PrinterReport
from mailstore.store import (
    capabilities,
    counting,
    documented,
    drafts,
    fetching,
    followed,
    holding,
    jobs,
    keeping,
    leases,
    listing,
    looking,
    migrations,
    outgoing,
    parts,
    place,
    releasing,
    repeated,
    schema,
    seen,
    segments,
    splits,
    tracing,
    waited,
    worker,
)
from mailstore.store.admission import Accepted
from mailstore.store.committer import Wanted
from mailstore.store.contract import Recipient, Role, StoreUnusable
from mailstore.store.sql import SqlStore, open_store
from tests.contracts.admission import *  # noqa: F403 - the suites are collected here
from tests.contracts.following import *  # noqa: F403
from tests.contracts.outbox import *  # noqa: F403
from tests.contracts.papers import *  # noqa: F403
from tests.contracts.splitting import *  # noqa: F403
from tests.contracts.store import *  # noqa: F403
from tests.contracts.store import accept, envelope, octets_of, recipient
from tests.contracts.waits import *  # noqa: F403
from tests.contracts.wishes import *  # noqa: F403

FROZEN = Path(__file__).parent / "schemas"


async def open_at(folder: Path, role: Role = Role.APPLIANCE, *, reserve: int = 0) -> SqlStore:
    return await open_store(folder / "store", role=role, reserve=reserve, runtime=folder / "run")


# -- instant 1


async def test_a_hundred_at_once_share_a_few_commits(tmp_path: Path) -> None:
    store = await open_at(tmp_path)
    before = store.committer.commits
    numbers = await asyncio.gather(*(accept(store, "phaser", octets=b"x" * 4000) for _ in range(100)))
    assert len({number for batch in numbers for number in batch}) == 100
    assert store.committer.commits - before <= 10
    await store.close()


@pytest.mark.parametrize(("size", "syncs"), [(100, 0), (100_000, 1), (2_000_000, 2)])
async def test_octets_are_synced_before_their_rows_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, syncs: int
) -> None:
    store = await open_at(tmp_path)
    await accept(store, "phaser", octets=b"x" * size)
    database, messages = tmp_path / "store" / "store.sqlite", list[int]()

    def watched(descriptor: int, *, data_only: bool = True) -> None:
        worker.sync(descriptor, data_only=data_only)
        other = sqlite3.connect(database)
        messages.append(other.execute("SELECT count(*) FROM message").fetchall()[0][0])
        other.close()

    monkeypatch.setattr(segments, "sync", watched)
    monkeypatch.setattr(drafts, "sync", watched)
    await accept(store, "phaser", octets=b"x" * size)
    assert messages == [1] * syncs  # of two: a segment's octets; a file's octets and its folder
    await store.close()


@pytest.mark.parametrize("size", [100, 100_000, 2_000_000])
async def test_an_accept_whose_caller_is_gone_is_whole_or_not_there(tmp_path: Path, size: int) -> None:
    store = await open_at(tmp_path)
    for turn in range(12):
        draft = await store.draft(size)
        draft.write(b"x" * size)
        task = asyncio.ensure_future(store.accept(draft, envelope(), [recipient("phaser")]))
        for _ in range(turn):  # canceled at another moment each time
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        await draft.discard()
    await store.close()
    store = await open_at(tmp_path)
    jobs = await store.jobs()
    for job in jobs:
        assert await octets_of(store, job.id) == b"x" * size
    assert (await store.standing("phaser"))[1] == sum(job.octets + len(recipient("phaser").fields) for job in jobs)
    assert len(list(os.scandir(tmp_path / "store" / "octets"))) == {100: 0, 100_000: 1, 2_000_000: len(jobs)}[size]
    await store.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.contracts.store import accept
from tests.test_store_sql import open_at

async def main():
    store = await open_at(Path(sys.argv[1]))
    await accept(store, "phaser")
    os._exit(0)

asyncio.run(main())
"""


async def test_a_log_left_behind_is_written_out_and_begun_anew(tmp_path: Path) -> None:
    """After a failed sync the kernel may show a log that the disk does not have."""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, str(tmp_path), cwd=FROZEN.parents[1])
    assert await asyncio.wait_for(child.wait(), 20) == 0
    log = tmp_path / "store" / "store.sqlite-wal"
    assert log.stat().st_size > 0
    tool = await open_at(tmp_path, Role.TOOL)  # another process goes on meanwhile
    assert log.stat().st_size > 0
    store = await open_at(tmp_path)
    assert log.stat().st_size == 0
    assert len(await tool.jobs()) == 1
    await accept(store, "phaser")
    assert len(await tool.jobs()) == 2
    await store.close()
    await tool.close()


@pytest.mark.parametrize("name", ["appliance.lock", "write.lock", "octets", "store.sqlite"])
async def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str) -> None:
    await (await open_at(tmp_path)).close()
    place = tmp_path / "store" / name
    if place.is_dir():
        place.rmdir()
        place.write_text("")
    else:
        place.unlink()
        place.mkdir()
    with pytest.raises(StoreUnusable, match=name):
        await open_at(tmp_path)


@pytest.mark.parametrize(("size", "files"), [(100, 0), (100_000, 1), (2_000_000, 1)])
@pytest.mark.parametrize("keep", [0.0, 86400.0])
async def test_the_octets_of_what_came_before_are_let_go_of(tmp_path: Path, size: int, files: int, keep: float) -> None:
    """Of a duplicate, and of what is refused: no file stays, and what may not be kept is written over at once."""
    store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, keep=keep, runtime=tmp_path / "run")
    said = {"header_message_id": "<1@example.com>", "content": b"content"}
    full = recipient("phaser", quota=size // 2)

    async def bring(octets: bytes, who: Recipient) -> Sequence[Accepted]:
        draft = await store.draft(size)
        draft.write(octets)
        return await store.accept(draft, envelope(**said), [who])

    (first,) = await bring(b"x" * size, recipient("phaser"))
    for _ in range(5):
        (again,) = await bring(b"y" * size, recipient("phaser"))
        assert again.earlier
    with pytest.raises(PermanentFailure):
        await bring(b"y" * size, replace(full, maildrop="other"))
    assert await octets_of(store, first) == b"x" * size
    kept = list((tmp_path / "store" / "octets").iterdir())
    assert len(kept) == files
    if keep == 0:
        assert not any(b"y" * 100 in path.read_bytes() for path in kept)
    await store.close()


async def test_half_a_digest_is_not_the_mail(tmp_path: Path) -> None:
    store = await open_at(tmp_path)
    said = envelope(header_message_id="<1@example.com>", content=b"content")
    digest = seen.of_mail(said, "phaser")
    assert digest is not None
    first, rest = digest

    async def bring() -> Accepted:
        return (await store.accept(await store.draft(1), said, [recipient("phaser")]))[0]

    other = await bring()
    until = time.time() + 100
    await store.committer.submit(lambda rows: seen.remember(rows, (first, rest ^ 1), other, until))
    mine = await bring()
    assert not mine.earlier
    assert await bring() == mine  # which took the other one's place
    await store.close()


async def test_pictures_of_pages_leave_the_reserve_alone(tmp_path: Path) -> None:
    store = await open_at(tmp_path)
    (job_id,) = await accept(store, "phaser")
    assert await store.keep_thumbnail(job_id, 1, 1, b"PNG")
    store._spool.reserve += 2 * await store.free_octets()
    assert not await store.keep_thumbnail(job_id, 1, 2, b"PNG")
    assert await store.thumbnails(job_id) == [(1, 1)]
    await store.close()


async def test_a_printer_with_many_jobs_is_forgotten_in_steps(tmp_path: Path) -> None:
    store = await open_at(tmp_path)
    await asyncio.gather(*(accept(store, "phaser") for _ in range(4 * jobs.AT_ONCE + 1)))
    changes, steps = store.committer._connection, set[int]()
    forgetting = asyncio.ensure_future(store.forget_printer("phaser"))
    while not forgetting.done():
        steps.add(changes.total_changes)
        await asyncio.sleep(0)
    await forgetting
    assert len(steps) > 4  # the loop ran between them
    assert {job.state for job in await store.jobs()} == {JobState.CANCELED}
    await store.close()


# -- SQL that PostgreSQL speaks too


def test_every_statement_compiles_for_postgresql() -> None:
    """In a process of its own: statements are made when their files are read."""
    program = """
from sqlalchemy.dialects import postgresql
from mailstore.store import statement

class Counted(postgresql.dialect):
    made = 0
    def statement_compiler(self, *words, **more):
        Counted.made += 1
        return super().statement_compiler(*words, **more)

statement.OTHER_DIALECTS.append(Counted())
import mailstore.store.sql
print(Counted.made)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 40


def test_every_table_compiles_for_postgresql() -> None:
    dialect = postgresql.dialect()
    text = "\n".join(schema.definitions(dialect))
    assert "BIGSERIAL" in text
    assert "WHERE completed_at = 0" in text
    for table in schema.METADATA.sorted_tables:
        assert str(ddl.CreateTable(table).compile(dialect=dialect))


def test_the_waiting_line_is_found_by_its_index(tmp_path: Path) -> None:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(connection)

    for statement, index in [
        (listing.PENDING, "job_unended"),
        (listing.jobs(True, ("processing-stopped",), True), "job_unended (printer=? AND id<?)"),
        (listing.jobs(True, ("aborted", "pending"), False), "job_unended (printer=?)"),
        (listing.jobs(True, (), False), "job_ended (printer=?)"),
        (listing.jobs(True, ("aborted",), True), "job_ended (printer=? AND id<?)"),
        (listing.jobs(False, ("pending", "pending-held"), True), "job_unended"),
        (looking.PRINTERS_WAITING, "job_unended"),
        (leases._LEFT, "job_held"),
        (keeping.NAMED, "message_reference"),
        (keeping.EXPIRED, "message_ended"),
        (looking.TRACE, "USING PRIMARY KEY (job_id=?)"),
        (tracing.LAST, "USING PRIMARY KEY (job_id=?)"),
        (tracing.ADD, "USING PRIMARY KEY (job_id=?)"),
        (outgoing._DUE, "outgoing_due"),
        (outgoing._STANDING, "COVERING INDEX outgoing_due"),
        (seen._FIND, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (seen.DROP_EXPIRED, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (counting.TAKEN, "USING PRIMARY KEY (printer=? AND sender=? AND slot>? AND slot<?)"),
        (counting.PRINTED, "USING PRIMARY KEY (printer=? AND sender=? AND slot>? AND slot<?)"),
        (counting._MORE, "USING PRIMARY KEY (printer=? AND sender=? AND slot=?)"),
        (capabilities._BY_DIGEST, "capability_digest"),
        (capabilities._USE, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (parts._FIND, "split_known"),
        (parts._OF_PRINTER, "split_known"),
        (parts.NUMBERS, "USING PRIMARY KEY (job_id=?)"),
        (splits._ENVELOPES, "USING PRIMARY KEY (job_id=?)"),
        (documented.DOCUMENTS, "USING PRIMARY KEY (job_id=?)"),
        (documented.THUMBNAILS_OF, "COVERING INDEX sqlite_autoindex_thumbnail_1 (job_id=?)"),
        (documented._THUMBNAIL, "sqlite_autoindex_thumbnail_1 (job_id=? AND document=? AND page=?)"),
        (documented.DROP_THUMBNAILS_OF, "sqlite_autoindex_thumbnail_1 (job_id=?)"),
        (repeated._FIND, "USING PRIMARY KEY (sender=? AND digest=?)"),
        (repeated._COUNT, "COVERING INDEX picture_last"),
        (repeated._OLDEST, "picture_last"),
        (holding._PAGES_OF, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (releasing.BY_CODE, "COVERING INDEX job_code (release_code=?)"),
        (waited._ALL_OVER, "job_unended (printer=?)"),
        (waited._STILL_OVER, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (followed._PROGRESS, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (followed._SET_PROGRESS, "USING INTEGER PRIMARY KEY (rowid=?)"),
        (followed._REPORT, "sqlite_autoindex_report_1 (printer=?)"),
    ]:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [1] * len(statement.names)).fetchall()
        assert any(index in row[3] for row in plan), plan
    connection.close()


# -- versions


def tables(connection: sqlite3.Connection) -> set[tuple[str, str, str]]:
    rows = connection.execute(
        "SELECT type, name, tbl_name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
    ).fetchall()
    columns = {
        (table, column[1], f"{column[2]} {column[3]} {column[5]}")
        for kind, table, _ in rows
        if kind == "table"
        for column in connection.execute(f"PRAGMA table_info({table})").fetchall()
    }
    return set(rows) | columns


def frozen(path: Path, version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript((FROZEN / f"{version}.sql").read_text())
    values = [("schema_version", str(version)), ("store_id", "aaaabbbbccccdddd"), ("generation", "1")]
    connection.executemany("INSERT INTO meta (name, value) VALUES (?, ?)", values)
    return connection


def test_every_version_ever_published_becomes_todays(tmp_path: Path) -> None:
    today = sqlite3.connect(":memory:", isolation_level=None)
    schema.migrate(today)
    for version in range(1, len(migrations.MIGRATIONS) + 2):
        old = frozen(tmp_path / f"{version}.sqlite", version)
        schema.migrate(old)
        assert tables(old) == tables(today)
        old.close()
    today.close()


async def test_a_store_of_version_1_goes_on(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    old = frozen(tmp_path / "store" / "store.sqlite", 1)
    told = [(7, 1, 1.0, "first"), (3, 2, 2.0, "of another"), (9, 1, 3.0, "second")]
    old.executemany("INSERT INTO event (id, job_id, at, text) VALUES (?, ?, ?, ?)", told)
    old.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('job', 0)")
    old.close()
    store = await open_at(tmp_path)
    (job_id,) = await accept(store, "phaser")
    assert job_id == 1
    await store.note(job_id, "third")
    assert [event.text for event in await store.trace(job_id)][1:] == ["first", "second", "third"]
    lease = await store.acquire("device:test", "test", 60)
    assert lease is not None
    assert await store.sending(lease, job_id, 0)
    assert not await store.printers_waiting()
    assert await octets_of(store, job_id) == b"hello\r\n"
    await store.close()


async def by_pop3(store: SqlStore) -> list[tuple[int, int, bytes]]:
    """Job, size and octets of each mail that a session at "phaser" is served."""
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    served = [
        (entry.job_id, entry.size, b"".join([block async for block in maildrop.read(entry)]))
        for entry in maildrop.entries
    ]
    await maildrop.close()
    return served


def put(old: sqlite3.Connection, table: str, row: dict[str, Any]) -> None:
    """What it does not say is empty."""
    columns = old.execute(f"PRAGMA table_info({table})").fetchall()
    row = {column[1]: "" if column[2] == "TEXT" else 0 for column in columns} | row
    old.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})", [*row.values()])


@pytest.mark.parametrize("version", range(2, len(migrations.MIGRATIONS) + 1))
async def test_a_store_of_a_later_version_goes_on(tmp_path: Path, version: int) -> None:
    (tmp_path / "store").mkdir()
    old = frozen(tmp_path / "store" / "store.sqlite", version)
    message = {
        "id": 5,
        "reverse_path": "ada@example.com",
        "client_ip": "192.0.2.1",
        "helo": "h",
        "trust": "insider",
        "smtputf8": 0,
        "body": "8BITMIME",
        "name": "Report",
        "header_message_id": "<1@example.com>",
        "documents": 1,
        "octets": 7,
        "place": "inline",
        "reference": "",
        "start": 0,
        "received_at": 1.0,
        "waiting": 1,
        "ended_at": 0.0,
    }
    job = {
        "id": 9,
        "message_id": 5,
        "printer": "phaser",
        "recipient": "phaser@example.com",
        "state": "pending",
        "reasons": "job-queued",
        "pages": 0,
        "attempts": 0,
        "document": -1,
        "delivery_proof": "none",
        "detail": "",
        "received_at": 1.0,
        "processing_at": 0.0,
        "sending_at": 0.0,
        "completed_at": 0.0,
        "next_attempt_at": 0.0,
        "holder": "",
        "holder_token": 0,
    }
    entry = {"job_id": 9, "maildrop": "phaser", "uid": "u.9", "size": 7, "fields": b"", "message_id": 5}
    maildrop = {"name": "phaser", "messages": 1, "octets": 7, "last_completed": 0.0}
    state = {
        "printer": "phaser",
        "paused": 0,
        "accepting": 1,
        "last_poll": 8.0,
        "state": "idle",
        "state_reasons": "",
        "detail": "",
    }
    content = {"message_id": 5, "data": b"hello\r\n"}
    for table, row in [
        *[("message", message), ("content", content), ("job", job), ("entry", entry)],
        *[("maildrop", maildrop), ("printer_state", state)],
    ]:
        put(old, table, row)
    old.close()
    store = await open_at(tmp_path)
    kept = await store.job(9)
    assert kept is not None
    assert (kept.recipient, kept.header_message_id) == ("phaser@example.com", "<1@example.com>")
    assert (kept.login, kept.answerable) == ("", False)  # nobody proved it then, so nobody is answered now
    assert await octets_of(store, 9) == b"hello\r\n"
    assert await by_pop3(store) == [(9, 7, b"hello\r\n")]  # whose size for POP3 was not written down
    await store.polled("phaser", 10.0)
    assert await store.cancel(9, "ada")
    assert (await store.printer_state("phaser")).poll_gap == 2.0
    assert await store.print_again(9, "ada") == 10
    ((again, size, octets),) = await by_pop3(store)
    assert (again, size, (await store.standing("phaser"))[1]) == (10, len(octets), len(octets))
    assert octets.endswith(b"\r\nDelivered-To: phaser@example.com\r\nhello\r\n")
    assert await store.occurrences(10) == []
    assert (await store.outgoing()).waiting == 0
    assert (kept.proof, kept.proved, kept.capability, kept.waived) == ("", "", 0, False)
    assert "limit of 2 pages" in await store.count_pages(10, 3, PrintLimits(pages=2))
    assert list(await store.split_mails()) + list(await store.capabilities()) == []
    assert list(await store.documents(10)) + list(await store.thumbnails(10)) == []
    assert await store.repeated(10, "ada@example.com", [b"digest"]) == frozenset()
    assert await store.abilities() == UNKNOWN
    assert (kept.release_code, await store.progress(10), await store.reports()) == ("", None, [])
    assert await store.job_by_code("00000000") is None
    await store.set_report(PrinterReport(printer="phaser", asked_at=1.0))
    assert await store.move_job(10, recipient("other"), "ada")
    assert await store.expire_jobs("other", received=4_000_000_000.0, held=0.0) == 1
    await store.close()


@pytest.mark.parametrize("version", range(5, len(migrations.MIGRATIONS) + 1))
@pytest.mark.parametrize("hold", list(Hold))
async def test_a_split_mail_of_an_older_version_is_put_together(tmp_path: Path, version: int, hold: Hold) -> None:
    """Nobody was told then that it is held; it is if its printer holds now."""
    (tmp_path / "store").mkdir()
    old = frozen(tmp_path / "store" / "store.sqlite", version)
    put(old, "message", {"id": 5, "place": "gone", "octets": 7, "waiting": 1})
    put(old, "message", {"id": 6, "place": "inline", "octets": 7, "waiting": 1})
    put(old, "content", {"message_id": 6, "data": b"hello\r\n"})
    incoming = {"state": "pending-held", "reasons": "job-incoming", "delivery_proof": "none", "document": -1}
    put(old, "job", {"id": 9, "message_id": 5, "printer": "phaser", **incoming})
    split = {"job_id": 9, "printer": "phaser", "sender": "ada@example.com", "part_id": "id", "total": 1, "octets": 7}
    put(old, "split", split | {"until": 4e9})
    put(old, "part", {"job_id": 9, "number": 1, "message_id": 6})
    put(old, "maildrop", {"name": "phaser", "octets": 7})
    old.close()
    store = await open_at(tmp_path)
    (found,) = await store.split_mails()
    assert (found.job_id, found.complete) == (9, True)
    draft = await store.draft(7)
    draft.write(b"hello\r\n")
    assert await store.put_together(9, draft, envelope(), replace(recipient("phaser"), hold=hold))
    job = await store.job(9)
    assert job is not None
    assert (job.state, bool(job.release_code)) == (
        "pending" if hold is Hold.NONE else "pending-held",
        hold is Hold.CODE,
    )
    assert await octets_of(store, 9) == b"hello\r\n"
    await store.close()


def test_steps_are_taken_once_and_in_order(tmp_path: Path) -> None:
    def third(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE meta SET value = value || '!' WHERE name = 'note'")

    steps: list[migrations.Step] = [["INSERT INTO meta (name, value) VALUES ('note', 'second')"], third]
    connection = frozen(tmp_path / "old.sqlite", 1)
    for known in (1, 2, 2):
        schema.migrate(connection, steps[:known])
    found = dict(connection.execute("SELECT name, value FROM meta").fetchall())
    assert (found["note"], found["schema_version"]) == ("second!", "3")
    connection.close()


def test_a_step_that_fails_changes_nothing(tmp_path: Path) -> None:
    connection = frozen(tmp_path / "old.sqlite", 1)
    before = list(connection.iterdump())
    with pytest.raises(sqlite3.OperationalError):
        schema.migrate(connection, [["ALTER TABLE job ADD COLUMN more TEXT", "UPDATE nowhere SET more = 1"]])
    assert list(connection.iterdump()) == before
    connection.close()


async def test_what_ended_has_ended_although_its_octets_cannot_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `keep` 0 they go at once, in a transaction of their own; whoever ended the job must not be told "no"."""
    store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, keep=0, runtime=tmp_path / "run")
    (job_id,) = await accept(store, "phaser")
    maildrop = await store.open_maildrop("phaser", "session", 60)
    assert maildrop is not None
    real = store.committer.submit

    def full(work, wanted=Wanted.SYNC, *, instant=""):  # type: ignore[no-untyped-def]
        if wanted is Wanted.NOW:
            raise TransientFailure("4.3.1", "the disk is full")
        return real(work, wanted, instant=instant)

    monkeypatch.setattr(store.committer, "submit", full)
    await maildrop.update(maildrop.entries)
    monkeypatch.undo()
    job = await store.job(job_id)
    assert job is not None
    assert job.state is JobState.COMPLETED
    assert await octets_of(store, job_id)
    assert await store.sweep(time.time()) == 1
    await store.close()


async def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    connection = frozen(tmp_path / "store" / "store.sqlite", 1)
    connection.execute("UPDATE meta SET value = '999' WHERE name = 'schema_version'")
    connection.close()
    with pytest.raises(StoreUnusable, match="newer Printpost"):
        await open_at(tmp_path)


# -- where it may stand, and who may stand in it


async def test_one_process_of_a_role(tmp_path: Path) -> None:
    store = await open_at(tmp_path)
    with pytest.raises(StoreUnusable, match=f"another appliance .process {os.getpid()}."):
        await open_at(tmp_path)
    bridge = await open_at(tmp_path, Role.BRIDGE)
    with pytest.raises(StoreUnusable, match="another bridge"):
        await open_at(tmp_path, Role.BRIDGE)
    tools = [await open_at(tmp_path, Role.TOOL) for _ in range(3)]
    for opened in (*tools, bridge, store):
        await opened.close()
    await (await open_at(tmp_path)).close()


async def test_the_folder_is_closed_to_others(tmp_path: Path) -> None:
    store = await open_at(tmp_path)
    assert (tmp_path / "store").stat().st_mode & 0o777 == 0o700
    await store.close()


async def test_a_file_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("")
    with pytest.raises(StoreUnusable, match="is not a folder"):
        await open_at(tmp_path)


async def test_what_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "store.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        await open_at(tmp_path)


async def test_a_database_that_is_damaged_meanwhile(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await (await open_at(tmp_path)).close()
    store = await open_at(tmp_path)
    database = tmp_path / "store" / "store.sqlite"
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.stat().st_size - 4096))
    for reading in (store.jobs(), store.standing("phaser"), store.printer_state("phaser")):
        with pytest.raises(TransientFailure) as caught:
            await reading
        assert caught.value.status == "4.3.0"
    assert "the database is damaged" in caplog.text
    assert "restore a backup" in caplog.text
    await store.close()
    with pytest.raises(StoreUnusable, match="cannot be opened"):
        await open_at(tmp_path)


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /mnt rw - nfs4 server:/export rw
31 30 0:41 / /mnt/my\\040disk rw - xfs /dev/sdb rw
32 22 0:42 / /srv rw - ext4 /dev/sdc rw
33 22 0:43 / /srv rw - fuse.sshfs host: rw
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var", "ext4"),
        ("/mnt/store", "nfs4"),
        ("/mnt/my disk/store", "xfs"),
        ("/srv/x", "fuse.sshfs"),
        ("/mntx", "ext4"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(folder: str, kind: str) -> None:
    assert place.file_system(Path(folder), MOUNTS) == kind


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS + f"40 22 0:50 / {tmp_path} rw - cifs //server/share rw\n")
    with pytest.raises(StoreUnusable, match=r"network file system \(cifs\)"):
        place.prepare(tmp_path / "store", mounts)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnusable, match="cannot be made"):
        place.prepare(tmp_path / "file" / "store")


# -- a small disk

SMALL_DISK = """
import asyncio, os, sys
from pathlib import Path
from mailstore.directory.records import Hold, PrintLimits
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from tests.contracts.store import accept, octets_of

async def main(disk, runtime):
    reserve = 12 * 1024 * 1024
    store = await open_store(disk / "store", role=Role.APPLIANCE, reserve=reserve, runtime=runtime)
    bridge = await open_store(disk / "store", role=Role.BRIDGE, reserve=reserve, runtime=runtime)
    numbers = []
    for size in (3_000_000, 20_000):
        while True:
            try:
                numbers += await accept(store, "phaser", octets=b"x" * size)
            except TransientFailure as failure:
                assert failure.status == "4.3.1", failure
                break
    jobs = await store.jobs()
    assert sorted(job.id for job in jobs) == numbers and len(numbers) > 5, (len(jobs), numbers)
    kept = sum(job.octets for job in jobs)
    assert (await store.standing("phaser"))[1] >= kept
    # The disk is full but for the reserve, and what waits is still printed.
    lease = await bridge.acquire("device:test", "bridge", 60)
    for number in numbers:
        assert await octets_of(bridge, number)
        assert await bridge.sending(lease, number, 0)
        done = DeliveryProof.CLOSED
        assert await bridge.end(lease, number, Event.COMPLETE, reasons=["job-completed-successfully"], proof=done)
    assert await store.free_octets() < 3_000_000
    # Somebody else fills even the reserve: nothing half-stored, and the process lives.
    with open(disk / "filler", "wb", buffering=0) as filler:
        block = bytes(65536)
        try:
            while True:
                filler.write(block)
        except OSError:
            pass
    for size in (10_000, 500_000, 3_000_000):
        try:
            await accept(store, "phaser", octets=b"x" * size)
        except TransientFailure as failure:
            assert failure.status == "4.3.1", failure
        else:
            raise AssertionError("accepted on a full disk")
    store._spool.reserve = -10**9  # so that only the disk itself refuses
    for size in (30_000, 500_000, 3_000_000):
        try:
            while True:
                numbers += await accept(store, "phaser", octets=b"x" * size)
        except TransientFailure as failure:
            assert failure.status == "4.3.1", failure
    (disk / "filler").unlink()
    assert sorted(job.id for job in await store.jobs(limit=10**6)) == numbers
    for number in numbers:
        assert await octets_of(bridge, number)
    numbers += await accept(store, "phaser", octets=b"x" * 100_000)
    await bridge.close()
    await store.close()
    print("ok")

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
async def test_a_disk_that_fills_up(tmp_path: Path, kind: str) -> None:
    for tool in ("unshare", "mount", "mkfs.ext4"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    disk, image, program = tmp_path / "disk", tmp_path / "image", tmp_path / "program.py"
    disk.mkdir()
    program.write_text(SMALL_DISK)
    if kind == "tmpfs":
        mount = f"mount -t tmpfs -o size=128m none {disk}"
    else:
        mount = f"truncate -s 160M {image} && mkfs.ext4 -q {image} && mount -o loop {image} {disk}"
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
    script = f'({mount}) >&2 || exit 99; exec "$0" "$1" "$2" "$3"'
    child = await asyncio.create_subprocess_exec(
        *(*own, "sh", "-c", script, sys.executable, str(program), str(disk), str(tmp_path / "run")),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(child.communicate(), 60)
    if child.returncode == 99 or b"unshare" in errors:
        pytest.skip(f"no file system can be mounted here: {errors.decode().strip()}")
    assert output.strip() == b"ok", errors.decode()


async def test_what_stays_is_given_back_in_steps_when_one_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[int] = []
    settle = leases.settle

    def counted(*args: Any, **more: Any) -> int:
        steps.append(settle(*args, **more))
        return steps[-1]

    store = await open_at(tmp_path)
    numbers = [(await accept(store, "phaser", octets=b"x"))[0] for _ in range(2 * fetching.AT_ONCE + 5)]
    maildrop = await store.open_maildrop("phaser", "session-1", 60)
    assert maildrop is not None
    for entry in maildrop.entries:
        await maildrop.retrieving(entry)
    monkeypatch.setattr(leases, "settle", counted)
    await maildrop.update(maildrop.entries[:1])
    assert max(steps) == fetching.AT_ONCE
    assert sum(steps) == len(numbers) - 1
    states = [job.state for number in numbers if (job := await store.job(number))]
    assert states == [JobState.COMPLETED] + [JobState.PENDING] * (len(numbers) - 1)
    assert await store.open_maildrop("phaser", "session-2", 60) is not None
    await store.close()
