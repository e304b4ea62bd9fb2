"""Group commit: what is grouped, what fails alone, how two processes take turns."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from mailstore.failure import TransientFailure
from mailstore.store.committer import Committer, Rows, Steps, Wanted
from mailstore.store.statement import Statement, given

_TABLE = sa.Table("line", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True), sa.Column("text", sa.Text))
_ADD = Statement(sa.insert(_TABLE), "text")
_BY_TEXT = Statement(sa.select(_TABLE.c.id).where(_TABLE.c.text == given("which")))


class Bench:
    """A committer on a table of lines, and what was rung."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "test.sqlite"
        self.connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=0)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS line (id INTEGER PRIMARY KEY, text TEXT)")
        self.lock = os.open(folder / "write.lock", os.O_RDWR | os.O_CREAT)
        self.rung: list[set[str]] = []
        self.committer = Committer(self.connection, self.lock, self.rung.append)

    def lines(self) -> list[str]:
        other = sqlite3.connect(self.path)
        try:
            return [text for (text,) in other.execute("SELECT text FROM line ORDER BY id")]
        finally:
            other.close()


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.committer.settled()
    made.committer.close()
    os.close(made.lock)


def add(text: str, *, ring: str = "") -> Callable[[Rows], str]:
    def work(rows: Rows) -> str:
        rows.change(_ADD, text=text)
        if ring:
            rows.ring(ring)
        return text

    return work


async def test_what_is_submitted_together_shares_one_commit(bench: Bench) -> None:
    submit = bench.committer.submit
    assert await asyncio.gather(*(submit(add(str(n))) for n in range(100))) == [str(n) for n in range(100)]
    assert bench.committer.commits == 1
    assert bench.lines() == [str(n) for n in range(100)]


async def test_what_comes_during_a_commit_is_the_next_batch(bench: Bench) -> None:
    async def writer(name: int) -> None:
        for turn in range(20):
            await bench.committer.submit(add(f"{name}.{turn}"))

    await asyncio.gather(*(writer(name) for name in range(10)))
    assert len(bench.lines()) == 200
    assert bench.committer.operations == 200
    assert bench.committer.commits <= 60


async def test_one_that_fails_takes_no_other_down(bench: Bench) -> None:
    def broken(rows: Rows) -> None:
        rows.change(_ADD, text="half")
        rows.ring("half")
        raise TransientFailure("4.2.2", "full")

    results = await asyncio.gather(
        bench.committer.submit(add("a", ring="a")),
        bench.committer.submit(broken),
        bench.committer.submit(add("b", ring="b")),
        return_exceptions=True,
    )
    assert results[0] == "a"
    assert results[2] == "b"
    assert isinstance(results[1], TransientFailure)
    assert bench.lines() == ["a", "b"]
    assert bench.rung == [{"a", "b"}]


async def test_one_that_fails_before_it_changed_anything_costs_the_others_nothing(bench: Bench) -> None:
    runs = 0

    def counted(rows: Rows) -> None:
        nonlocal runs
        runs += 1
        rows.change(_ADD, text="a")

    def broken(rows: Rows) -> None:
        assert rows.one(_BY_TEXT, which="a") is not None
        raise TransientFailure("4.2.2", "full")

    first, second = bench.committer.submit(counted), bench.committer.submit(broken)
    await first
    with pytest.raises(TransientFailure):
        await second
    assert runs == 1
    assert bench.lines() == ["a"]


async def test_what_becomes_ready_a_moment_later_joins(bench: Bench) -> None:
    first = bench.committer.submit(add("a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await bench.committer.submit(add("b"))
    assert first.done()
    assert bench.committer.commits == 1


async def test_operations_see_those_before_them(bench: Bench) -> None:
    first = bench.committer.submit(add("a"))
    second = bench.committer.submit(lambda rows: rows.one(_BY_TEXT, which="a"))
    await first
    assert await second == (1,)


async def test_lazy_ones_ride_along(bench: Bench) -> None:
    lazy = bench.committer.submit(add("lazy"), Wanted.LATER)
    await bench.committer.submit(add("durable"))
    assert lazy.done()
    assert bench.committer.commits == 1


async def test_lazy_ones_go_by_themselves_in_time(bench: Bench) -> None:
    begin = time.monotonic()
    await asyncio.wait_for(bench.committer.submit(add("lazy"), Wanted.LATER), 5)
    assert time.monotonic() - begin >= 0.04
    assert bench.lines() == ["lazy"]


async def test_settled_hurries_the_lazy_ones(bench: Bench) -> None:
    lazy = bench.committer.submit(add("lazy"), Wanted.LATER)
    await bench.committer.settled()
    assert lazy.done()


async def test_one_canceled_before_its_batch_is_not_done(bench: Bench) -> None:
    future = bench.committer.submit(add("a"))
    future.cancel()
    await bench.committer.submit(add("b"))
    assert bench.lines() == ["b"]


async def test_only_what_wants_it_is_synced(bench: Bench) -> None:
    def level(rows: Rows) -> int:
        return int(rows._connection.execute("PRAGMA synchronous").fetchall()[0][0])

    full, normal = 2, 1
    assert await bench.committer.submit(level) == full
    assert await bench.committer.submit(level, Wanted.NOW) == normal
    assert await asyncio.gather(
        bench.committer.submit(level, Wanted.NOW), bench.committer.submit(level, Wanted.SYNC)
    ) == [full, full]


async def test_a_foreign_lock_is_waited_for_off_the_loop(bench: Bench) -> None:
    foreign = sqlite3.connect(bench.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waiting = bench.committer.submit(add("a"))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    foreign.execute("ROLLBACK")
    foreign.close()
    assert await asyncio.wait_for(waiting, 5) == "a"


async def test_a_full_database_fails_only_those_that_do_not_fit(bench: Bench) -> None:
    pages = bench.connection.execute("PRAGMA page_count").fetchall()[0][0]
    bench.connection.execute(f"PRAGMA max_page_count={pages + 4}").fetchall()
    results = await asyncio.gather(
        bench.committer.submit(add("small 1")),
        bench.committer.submit(add("x" * 100_000)),
        bench.committer.submit(add("small 2")),
        return_exceptions=True,
    )
    assert results[0] == "small 1"
    assert results[2] == "small 2"
    assert isinstance(results[1], TransientFailure)
    assert results[1].status == "4.3.1"
    assert bench.lines() == ["small 1", "small 2"]


def adding(*texts: str, seen: Callable[[], object] = lambda: None) -> Callable[[Rows], Steps[int]]:
    """One line at a step; `seen` is called before each."""

    def steps(rows: Rows) -> Steps[int]:
        for text in texts:
            seen()
            rows.change(_ADD, text=text)
            yield
        return len(texts)

    return steps


async def test_the_loop_runs_between_the_steps_of_one_transaction(bench: Bench) -> None:
    turns, at_step, running = 0, list[tuple[int, list[str]]](), True

    async def count() -> None:
        nonlocal turns
        while running:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    work = adding(*"abcdef", seen=lambda: at_step.append((turns, bench.lines())))
    before = bench.committer.submit(add("before"), Wanted.LATER)
    long = bench.committer.submit_long(work)
    after = bench.committer.submit(add("after"))
    assert await long == 6
    running = False
    await asyncio.gather(before, after, counting)
    assert bench.lines() == ["before", *"abcdef", "after"]
    assert len({turn for turn, _ in at_step}) == 6
    assert all(lines == ["before"] for _, lines in at_step)
    assert bench.committer.commits == 3
    assert bench.committer.operations == 3


async def test_steps_that_fail_leave_nothing_and_hold_nobody_up(bench: Bench) -> None:
    def break_off() -> None:
        if bench.connection.total_changes > 2:
            raise KeyError("third")

    long = bench.committer.submit_long(adding(*"abcdef", seen=break_off))
    after = bench.committer.submit(add("after"))
    with pytest.raises(KeyError, match="third"):
        await long
    assert await after == "after"
    assert bench.lines() == ["after"]


async def test_steps_on_a_full_disk_leave_nothing(bench: Bench) -> None:
    pages = bench.connection.execute("PRAGMA page_count").fetchall()[0][0]
    bench.connection.execute(f"PRAGMA max_page_count={pages + 4}").fetchall()
    with pytest.raises(TransientFailure) as caught:
        await bench.committer.submit_long(adding("a", "b", "x" * 100_000))
    assert caught.value.status == "4.3.1"
    assert await bench.committer.submit(add("small")) == "small"
    assert bench.lines() == ["small"]


async def test_steps_wait_for_a_foreign_lock_too(bench: Bench) -> None:
    foreign = sqlite3.connect(bench.path, isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    waiting = bench.committer.submit_long(adding("a", "b"))
    done, _ = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    foreign.execute("ROLLBACK")
    foreign.close()
    assert await asyncio.wait_for(waiting, 5) == 2
    assert bench.lines() == ["a", "b"]


CHILD = """
import asyncio, sys
from pathlib import Path
from tests.test_committer import Bench, add

async def main():
    bench = Bench(Path(sys.argv[1]))
    n = 0
    while True:
        await bench.committer.submit(add(f"child {n}"))
        n += 1
        if n == 50:
            print("running", flush=True)
        if n % 50 == 0:
            # Between two commits, where no lock is held.
            sys.stdin.readline() if n == 100 else None

asyncio.run(main())
"""


@pytest.mark.slow
async def test_two_processes_take_turns_and_a_stopped_one_holds_nobody_up(bench: Bench, tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CHILD, str(tmp_path)),
        cwd=Path(__file__).parents[1],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert await asyncio.wait_for(child.stdout.readline(), 20) == b"running\n"
        turns = 0
        while sum(line == "child 99" for line in bench.lines()) == 0:
            await asyncio.wait_for(bench.committer.submit(add(f"parent {turns}")), 10)
            turns += 1
        # The child stands between commits; stopped there, it must not be missed.
        child.send_signal(signal.SIGSTOP)
        begin = time.monotonic()
        for turn in range(100):
            await asyncio.wait_for(bench.committer.submit(add(f"alone {turn}")), 10)
        assert time.monotonic() - begin < 10
        child.send_signal(signal.SIGCONT)
        assert child.stdin is not None
        child.stdin.write(b"\n")
        while not any(line == "child 150" for line in bench.lines()):
            await asyncio.wait_for(bench.committer.submit(add(f"parent {turns}")), 10)
            turns += 1
    finally:
        child.kill()
        await child.wait()
    mine = [line for line in bench.lines() if line.startswith("parent")]
    assert mine == [f"parent {turn}" for turn in range(turns)]


FAILING = """
import asyncio, os, sys
from pathlib import Path
from mailstore.store import worker
descriptor = os.open(sys.argv[1], os.O_RDONLY)
read_end, write_end = os.pipe()
worker.sync(write_end)  # a pipe can't be synced
print("went on")
"""


async def test_a_failed_sync_ends_the_process(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", FAILING, str(tmp_path)),
        cwd=Path(__file__).parents[1],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(child.communicate(), 20)
    assert child.returncode == os.EX_IOERR
    assert output == b""
    assert b"ending, so that nothing is promised" in errors
