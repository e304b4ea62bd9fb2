"""Group commit: one transaction and one sync for everything that waits.

Rows are written on the event loop in one go (they are fast, and a thread would hand the interpreter lock over at every
statement); only COMMIT, which syncs, runs in a thread.  What arrives meanwhile is the next batch.  Processes take turns
by a lock file: tried without blocking on the loop, waited for in the thread, never by SQLite's polling sleeps.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping
from enum import Enum
from typing import Any, Generic, TypeVar

from mailstore.failure import TransientFailure
from mailstore.store.crashpoint import crash_point
from mailstore.store.reader import read_failure
from mailstore.store.statement import Statement
from mailstore.store.worker import Worker, disk_full, end_process

T = TypeVar("T")

Steps = Generator[None, None, T]
"""Work that lets the loop run at each `yield`, and returns its result."""

TURNS = 8
"""So many times the loop goes round before a batch begins, so that mails whose last octets lie in the kernel join it:
six microseconds when nothing else is to be done.  With 0, 4, 8, 16 turns a 4 KB mail cost 0.63, 0.56, 0.49, 0.49 ms."""

LAZY_SECONDS = 0.05
BUSY_RETRY_SECONDS = 0.02
BUSY_SECONDS = 30.0
"""How long a foreign program (a copying tool, say) may hold the database before callers are told to try later."""

_log = logging.getLogger(__name__)


class Wanted(Enum):
    """What the caller of a transaction waits for."""

    SYNC = "sync"  # at once, and durable
    NOW = "now"  # at once, durable with the next sync
    LATER = "later"  # rides along with the next batch, or goes after `LAZY_SECONDS`


class Rows:
    """The open transaction as an operation sees it.  No cursor outlives a call."""

    __slots__ = ("_connection", "rings")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.rings: set[str] = set()

    def all(self, statement: Statement, /, **values: Any) -> list[Any]:
        """The rows of a SELECT or of a RETURNING."""
        return self._connection.execute(statement.text, statement.bound(values)).fetchall()

    def one(self, statement: Statement, /, **values: Any) -> Any | None:
        """The first row, or None."""
        return rows[0] if (rows := self.all(statement, **values)) else None

    def add(self, statement: Statement, /, **values: Any) -> int:
        """The number that an INSERT gave its row; a RETURNING would take half as long again."""
        return self._connection.execute(statement.text, statement.bound(values)).lastrowid or 0

    def change(self, statement: Statement, /, **values: Any) -> int:
        """How many rows an INSERT, UPDATE or DELETE touched."""
        return self._connection.execute(statement.text, statement.bound(values)).rowcount

    def change_many(self, statement: Statement, values: Iterable[Mapping[str, Any]]) -> int:
        return self._connection.executemany(statement.text, map(statement.bound, values)).rowcount

    def ring(self, name: str) -> None:
        """Ring the other processes once this is committed."""
        self.rings.add(name)


class _Operation(Generic[T]):
    """`work` returns what `future` gets, or if it is `long` the `Steps` to that."""

    __slots__ = ("future", "instant", "long", "result", "wanted", "work")

    def __init__(
        self, work: Callable[[Rows], Any], wanted: Wanted, instant: str, future: asyncio.Future[T], *, long: bool
    ) -> None:
        self.work = work
        self.long = long
        self.wanted = wanted
        self.instant = instant
        self.future = future
        self.result: T

    def succeed(self) -> None:
        if not self.future.done():
            self.future.set_result(self.result)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Committer:
    """The one writer of this process.

    `committed` is called on the loop after each commit with the names to ring.  `commits` and `operations` count.
    """

    def __init__(self, connection: sqlite3.Connection, lock: int, committed: Callable[[set[str]], None]) -> None:
        self._connection = connection
        self._lock = lock
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._worker = Worker("printpost-commit")
        self._queue: deque[_Operation[Any]] = deque()
        self._alone: deque[_Operation[Any]] = deque()  # of a batch that failed as a whole
        self._lazy: asyncio.Future[Any] | None = None  # the last that was submitted; it is never done before the others
        self._timer: asyncio.Handle | None = None
        self._soon = False
        self._running = False
        self._full = True  # PRAGMA synchronous as it stands
        self._busy_since = 0.0
        self._idle = asyncio.Event()
        self._idle.set()
        self.commits = 0
        self.operations = 0

    def submit(
        self, work: Callable[[Rows], T], wanted: Wanted = Wanted.SYNC, *, instant: str = ""
    ) -> asyncio.Future[T]:
        """Run `work` in the next batch; the future is done when it is committed.

        `work` runs on the loop and may run again if its batch fails as a whole, so it changes nothing but
        rows.  What it raises undoes only itself.  The future fails with `TransientFailure` ("4.3.1" disk full,
        "4.3.0" else).  A future canceled before its batch begins takes the operation with it.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Operation(work, wanted, instant, future, long=False))
        self._idle.clear()
        if wanted is not Wanted.LATER:
            self.hurry()
            return future
        self._lazy = future
        if self._timer is None and not self._running:
            self._timer = self._loop.call_later(LAZY_SECONDS, self._start)
        return future

    def submit_long(self, steps: Callable[[Rows], Steps[T]], *, instant: str = "") -> asyncio.Future[T]:
        """As `submit` with `SYNC`, for thousands of rows: a transaction of its own; the loop runs between its steps.

        Whoever else writes waits meanwhile, in the other process too.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.append(_Operation(steps, Wanted.SYNC, instant, future, long=True))
        self._idle.clear()
        self.hurry()
        return future

    def hurry(self) -> None:
        """Begin with what waits as soon as the loop has run what is ready, a few times, so that it can join."""
        if self._queue and not self._running and not self._soon:
            self._soon = True
            self._turn(TURNS)

    def _turn(self, left: int) -> None:
        if left:
            self._loop.call_soon(self._turn, left - 1)
        else:
            self._start()

    async def caught_up(self) -> None:
        """Return when everything submitted so far with `LATER` is committed or failed, so that a reader sees it."""
        if self._lazy is not None and not self._lazy.done():
            self.hurry()
            await asyncio.wait([self._lazy])

    async def settled(self) -> None:
        """Return when everything submitted so far is committed or failed."""
        self.hurry()
        await self._idle.wait()

    def close(self) -> None:
        """Only when settled."""
        self._worker.stop()
        self._connection.close()

    def _start(self) -> None:
        self._soon = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._running:
            return
        batch = self._next_batch()
        if not batch:
            self._idle.set()
            return
        self._running = True
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._worker.put(lambda: self._wait_for_lock(batch))
            return
        self._write(batch)

    def _next_batch(self) -> list[_Operation[Any]]:
        if self._alone:
            return [self._alone.popleft()]
        batch: list[_Operation[Any]] = []
        while self._queue and not (batch and (self._queue[0].long or batch[0].long)):
            if not (operation := self._queue.popleft()).future.cancelled():
                batch.append(operation)
        return batch

    def _wait_for_lock(self, batch: list[_Operation[Any]]) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        self._loop.call_soon_threadsafe(self._write, batch)

    def _write(self, batch: list[_Operation[Any]]) -> None:
        if batch[0].long:
            self._surely(self._write_long, batch[0])
        else:
            self._surely(self._write_rows, batch)

    def _surely(self, write: Callable[..., None], *what: Any) -> None:
        try:
            write(*what)
        except Exception as error:  # noqa: BLE001 - the lock is held and callers wait: nobody may go on like that
            end_process("writing rows failed", error)

    def _write_long(self, operation: _Operation[Any]) -> None:
        if self._begun([operation]):
            rows = Rows(self._connection)
            self._step(operation, rows, operation.work(rows))

    def _step(self, operation: _Operation[Any], rows: Rows, steps: Steps[Any]) -> None:
        try:
            next(steps)
        except StopIteration as end:
            operation.result = end.value
            self._worker.put(lambda: self._commit([operation], [operation], rows.rings))
        except sqlite3.OperationalError as error:
            self._undo()
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._done([operation], [], set(), error)
        except Exception as error:  # noqa: BLE001 - handed to whoever submitted it
            self._undo()
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            operation.fail(_told(error))
            self._again()
        else:
            self._loop.call_soon(self._surely, self._step, operation, rows, steps)

    def _write_rows(self, batch: list[_Operation[Any]], *, apart: bool = False) -> None:
        """`apart`: each under a savepoint, which costs a tenth more.

        Nearly always all succeed, or what fails has changed nothing yet; if not, all is undone and written again so.
        """
        if not self._begun(batch):
            return
        rings: set[str] = set()
        written: list[_Operation[Any]] = []
        failed: list[tuple[_Operation[Any], Exception]] = []
        for operation in batch:
            changes = self._connection.total_changes
            try:
                self._run(operation, rings, apart=apart)
            except sqlite3.OperationalError as error:
                self._undo()
                fcntl.flock(self._lock, fcntl.LOCK_UN)
                self._done(batch, written, rings, error)
                return
            except Exception as error:  # noqa: BLE001 - handed to whoever submitted it
                if apart:
                    self._connection.execute("ROLLBACK TO operation")
                    self._connection.execute("RELEASE operation")
                elif self._connection.total_changes != changes:
                    self._undo()
                    self._write_rows(batch, apart=True)
                    return
                failed.append((operation, error))
            else:
                written.append(operation)
        for operation, reason in failed:
            operation.fail(_told(reason))
        self._worker.put(lambda: self._commit(batch, written, rings))

    def _begun(self, batch: list[_Operation[Any]]) -> bool:
        full = any(operation.wanted is Wanted.SYNC for operation in batch)
        try:
            if full is not self._full:
                # A commit without a sync is durable with the next one that syncs: they share one log, and its order.
                self._connection.execute("PRAGMA synchronous=FULL" if full else "PRAGMA synchronous=NORMAL")
                self._full = full
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            self._not_begun(batch, error)
            return False
        self._busy_since = 0.0
        return True

    def _not_begun(self, batch: list[_Operation[Any]], error: sqlite3.OperationalError) -> None:
        now = self._loop.time()
        self._busy_since = self._busy_since or now
        if _is_fatal(error):
            end_process("the database failed", error)
        if _is_busy(error) and now - self._busy_since < BUSY_SECONDS:
            self._queue.extendleft(reversed(batch))
            self._loop.call_later(BUSY_RETRY_SECONDS, self._again)
            return
        self._busy_since = 0.0
        _log.error("no transaction could begin: %s", error)
        locked = TransientFailure("4.3.0", "the store is locked by another program, try again later")
        for operation in batch:
            operation.fail(disk_full() if _is_full(error) else locked)
        self._again()

    def _run(self, operation: _Operation[Any], rings: set[str], *, apart: bool) -> None:
        rows = Rows(self._connection)
        if apart:
            self._connection.execute("SAVEPOINT operation")
        operation.result = operation.work(rows)
        if apart:
            self._connection.execute("RELEASE operation")
        rings |= rows.rings

    def _commit(self, batch: list[_Operation[Any]], written: list[_Operation[Any]], rings: set[str]) -> None:
        instants = {operation.instant for operation in written if operation.instant}
        for instant in instants:
            crash_point(f"{instant}-before-sync")
        failure: sqlite3.OperationalError | None = None
        try:
            self._connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            failure = error
            if _is_fatal(error):
                end_process("a commit failed", error)
            self._undo()
        for instant in instants:
            crash_point(f"{instant}-after-sync")
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        self._loop.call_soon_threadsafe(self._done, batch, written, rings, failure)

    def _undo(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def _done(
        self,
        batch: list[_Operation[Any]],
        written: list[_Operation[Any]],
        rings: set[str],
        failure: sqlite3.OperationalError | None,
    ) -> None:
        if failure is None:
            self.commits += 1
            self.operations += len(written)
            for operation in written:
                operation.succeed()
            self._committed(rings)
        elif _is_fatal(failure):
            end_process("the database failed", failure)
        elif len(batch) > 1:
            self._alone.extend(operation for operation in batch if not operation.future.done())
        else:
            _log.error("nothing was written: %s", failure)
            batch[0].fail(disk_full() if _is_full(failure) else TransientFailure("4.3.0", "the store failed"))
        self._again()

    def _again(self) -> None:
        self._running = False
        self._start()


def _told(error: Exception) -> Exception:
    """What the caller hears of what its work raised."""
    return read_failure(error) if type(error) is sqlite3.DatabaseError else error  # damaged


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0))


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_full(error: sqlite3.Error) -> bool:
    # The shared memory of the log grows by a file too; on a full disk that fails under a name of its own.
    return _code(error) & 0xFF == sqlite3.SQLITE_FULL or _code(error) == sqlite3.SQLITE_IOERR_SHMSIZE


def _is_fatal(error: sqlite3.Error) -> bool:
    return not _is_full(error) and _code(error) & 0xFF == sqlite3.SQLITE_IOERR
