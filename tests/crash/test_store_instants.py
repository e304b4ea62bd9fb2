"""A process is ended inside each instant, before and after its sync; then the store must tell the truth."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailstore.store.contract import Role
from mailstore.store.outbox import Occasion
from mailstore.store.papers import Fate
from mailstore.store.sql import SqlStore, open_store
from tests.crash.victim import bring_part, join

pytestmark = [pytest.mark.crash, pytest.mark.slow]

SIZES = {"inline": 1_000, "segment": 100_000, "file": 3_000_000}
DOUBT = ("processing-stopped", ("job-suspended", "x-delivery-unknown"))
WAITS = ("pending", ("job-queued",))
DONE = ("completed", ("job-completed-successfully",))


async def run_victim(folder: Path, size: int, crash_at: str, way: str = "bridge") -> list[str]:
    victim = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.crash.victim", str(folder / "store"), str(folder / "run"), str(size), way),
        env={**os.environ, "CRASH_AT": crash_at},
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await asyncio.wait_for(victim.communicate(), 30)
    assert victim.returncode == (137 if crash_at else 0)
    return output.decode().split()


CASES = [
    ("1-before-octets", "accepting", None),
    ("1-after-octets", "accepting", None),
    ("1-before-sync", "accepting", None),
    ("1-after-sync", "accepting", WAITS),
    ("2-before-sync", "accepted", WAITS),
    ("2-after-sync", "accepted", WAITS),
    ("3-before-sync", "claimed", WAITS),
    ("3-after-sync", "claimed", DOUBT),
    ("4-before-sync", "sending", DOUBT),
    ("4-after-sync", "sending", DONE),
    ("", "ended", DONE),
]


@pytest.mark.parametrize(
    ("kind", "crash_at", "told", "found"),
    # Octets inside the database have no sync of their own.
    [(kind, *case) for kind in SIZES for case in CASES if kind != "inline" or not case[0].endswith("octets")],
)
async def test_what_a_killed_process_leaves(
    tmp_path: Path, kind: str, crash_at: str, told: str, found: tuple[str, tuple[str, ...]] | None
) -> None:
    lines = await run_victim(tmp_path, SIZES[kind], crash_at)
    assert lines[-1] == told
    appliance = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=tmp_path / "run")
    bridge = await open_store(tmp_path / "store", role=Role.BRIDGE, reserve=0, runtime=tmp_path / "run")
    try:
        jobs = await bridge.jobs()
        if found is None:
            assert jobs == []
            assert (await bridge.standing("phaser"))[1] == 0
            assert list((tmp_path / "store" / "octets").iterdir()) == []  # swept at open
            return
        (job,) = jobs
        assert (job.state.value, job.reasons) == found
        assert b"".join([block async for block in bridge.read(job.id)]) == b"x" * SIZES[kind]
        assert ((await bridge.standing("phaser"))[1] == 0) == (found is DONE)
        lease = await bridge.acquire("device:test", "next", 60)
        assert lease is not None
        assert await bridge.sending(lease, job.id, 0) == (found is WAITS)
        assert await appliance.sweep(time.time() + 2 * 86400) == (found is DONE)
    finally:
        await bridge.close()
        await appliance.close()


@pytest.mark.parametrize(("crash_at", "found"), [("4-before-sync", "pending"), ("4-after-sync", "completed")])
async def test_a_fetched_job_is_there_or_gone(tmp_path: Path, crash_at: str, found: str) -> None:
    assert (await run_victim(tmp_path, 1000, crash_at, "pop3"))[-1] == "updating"
    store = await open_store(tmp_path / "store", role=Role.APPLIANCE, reserve=0, runtime=tmp_path / "run")
    try:
        (job,) = await store.jobs()
        assert job.state == found
        maildrop = await store.open_maildrop("phaser", "next session", 60)  # the dead one's lease is broken
        assert maildrop is not None
        assert len(maildrop.entries) == (found == "pending")
        await maildrop.close()
    finally:
        await store.close()


class Left:
    """What a process left that was killed at `crash_at`, as its successors find it."""

    def __init__(self, appliance: SqlStore, bridge: SqlStore) -> None:
        self.appliance = appliance
        self.bridge = bridge

    async def occasions(self) -> list[Occasion]:
        return [each.occasion for each in await self.appliance.occurrences(10)]


@contextlib.asynccontextmanager
async def left(folder: Path) -> AsyncIterator[Left]:
    appliance = await open_store(folder / "store", role=Role.APPLIANCE, reserve=0, runtime=folder / "run")
    bridge = await open_store(folder / "store", role=Role.BRIDGE, reserve=0, runtime=folder / "run")
    try:
        yield Left(appliance, bridge)
    finally:
        await bridge.close()
        await appliance.close()
    database = sqlite3.connect(folder / "store" / "store.sqlite")
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    database.close()


@pytest.mark.parametrize(
    ("way", "crash_at", "found", "occasions"),
    [
        ("bridge", "1-after-sync", "pending", []),
        ("bridge", "3-before-sync", "pending", []),
        ("bridge", "3-after-sync", "processing-stopped", [Occasion.UNCERTAIN]),
        ("bridge", "4-before-sync", "processing-stopped", [Occasion.UNCERTAIN]),
        ("bridge", "4-after-sync", "completed", [Occasion.COMPLETED]),
        ("abort", "4-before-sync", "processing-stopped", [Occasion.UNCERTAIN]),
        ("abort", "4-after-sync", "aborted", [Occasion.ABORTED]),
        ("pop3", "4-before-sync", "pending", []),
        ("pop3", "4-after-sync", "completed", [Occasion.COMPLETED]),
    ],
)
async def test_an_occurrence_is_there_once_if_it_happened(
    tmp_path: Path, way: str, crash_at: str, found: str, occasions: list[Occasion]
) -> None:
    await run_victim(tmp_path, 1000, crash_at, way)
    for _ in range(2):  # nor does another start tell it again
        async with left(tmp_path) as now:
            (job,) = await now.appliance.jobs()
            assert job.state == found
            assert await now.occasions() == occasions
            assert {each.job_id for each in await now.appliance.occurrences(10)} <= {job.id}


@pytest.mark.parametrize(
    ("crash_at", "fates"),
    [
        ("3-after-sync", [Fate.READY]),
        ("4-before-sync", [Fate.READY]),
        ("4-after-sync", [Fate.PRINTED]),
    ],
)
async def test_documents_are_printed_with_their_job(tmp_path: Path, crash_at: str, fates: list[Fate]) -> None:
    """They have no sync of their own: those of the job's instants are theirs."""
    await run_victim(tmp_path, 1000, crash_at, "papers")
    async with left(tmp_path) as now:
        (job,) = await now.appliance.jobs()
        assert [one.fate for one in await now.appliance.documents(job.id)] == fates
        assert await now.appliance.thumbnail(job.id, 1, 1) == b"PNG"
        assert (job.state == "completed") == (fates == [Fate.PRINTED])


@pytest.mark.parametrize(
    ("crash_at", "told", "occasions", "waiting"),
    [
        ("told-before-sync", "telling", [Occasion.COMPLETED], 0),
        ("told-after-sync", "telling", [], 1),
        ("delivered-before-sync", "told", [], 1),
        ("delivered-after-sync", "told", [], 0),
        ("", "delivered", [], 0),
    ],
)
async def test_a_notice_waits_or_its_occurrence_does(
    tmp_path: Path, crash_at: str, told: str, occasions: list[Occasion], waiting: int
) -> None:
    assert (await run_victim(tmp_path, 1000, crash_at, "notices"))[-1] == told
    async with left(tmp_path) as now:
        (job,) = await now.appliance.jobs()
        assert await now.occasions() == occasions
        assert (await now.appliance.outgoing()).waiting == waiting
        taken = await now.appliance.take_outgoing("next", 10, 60)  # the dead one's lease is broken
        assert [each.job_id for each in taken] == [job.id] * waiting
        noted = (await now.appliance.trace(job.id))[-1].text == "ada was told"
        assert noted == (told == "delivered" or crash_at == "delivered-after-sync")


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    ("crash_at", "told", "printer", "occasions"),
    [
        ("1-before-sync", "accepting", "", []),
        ("1-after-sync", "accepting", "phaser", [Occasion.TO_RELEASE]),
        ("wish-before-sync", "held", "phaser", [Occasion.TO_RELEASE]),
        ("wish-after-sync", "held", "other", [Occasion.TO_RELEASE]),
        ("expired-before-sync", "moved", "other", [Occasion.TO_RELEASE]),
        ("expired-after-sync", "moved", "", [Occasion.TO_RELEASE, Occasion.ABORTED]),
    ],
)
async def test_what_waits_lies_in_one_maildrop_with_its_code_or_nowhere(
    tmp_path: Path, kind: str, crash_at: str, told: str, printer: str, occasions: list[Occasion]
) -> None:
    size = SIZES[kind]
    assert (await run_victim(tmp_path, size, crash_at, "waits"))[-1] == told
    async with left(tmp_path) as now:
        jobs = await now.appliance.jobs()
        assert [job.state.value for job in jobs] == (["pending-held"] if printer else ["aborted"] * bool(occasions))
        standing = {name: (await now.appliance.standing(name))[1] for name in ("phaser", "other")}
        assert standing == {name: size * (name == printer) for name in standing}
        assert await now.occasions() == occasions
        for job in jobs:
            assert bool(job.release_code) == bool(printer)
            assert not printer or (job.printer, await now.appliance.job_by_code(job.release_code)) == (printer, job)
            assert b"".join([block async for block in now.bridge.read(job.id)]) == b"x" * size
            assert await now.appliance.unhold(job.id, "ada") == bool(printer)
        assert list(await now.bridge.printers_waiting()) == [printer] * bool(printer)


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize("crash_at", ["wish-before-sync", "wish-after-sync"])
async def test_a_wish_is_granted_or_was_never_wished(tmp_path: Path, kind: str, crash_at: str) -> None:
    assert (await run_victim(tmp_path, SIZES[kind], crash_at, "wishes"))[-1] == "wishing"
    granted = crash_at == "wish-after-sync"
    async with left(tmp_path) as now:
        jobs = await now.appliance.jobs()
        assert [job.state.value for job in jobs] == ["pending", "completed"][1 - granted :]
        assert len(await now.appliance.trace(jobs[-1].id)) == 3 + granted
        assert await now.appliance.sweep(time.time() + 2 * 86400) == (not granted)
        if granted:
            assert b"".join([block async for block in now.bridge.read(jobs[0].id)]) == b"x" * SIZES[kind]


@pytest.mark.parametrize("kind", SIZES)
@pytest.mark.parametrize(
    ("crash_at", "told", "parts", "joined"),
    [
        ("part-before-sync", "part-1", (), False),
        ("part-after-sync", "part-1", (1,), False),
        ("whole-before-sync", "joining", (1, 2), False),
        ("whole-after-sync", "joining", (), True),
        ("", "joined", (), True),
    ],
)
async def test_a_split_mail_goes_on_where_it_was(
    tmp_path: Path, kind: str, crash_at: str, told: str, parts: tuple[int, ...], joined: bool
) -> None:
    """Nothing that was acknowledged is lost, and whoever begins anew after a crash makes no second job."""
    size = SIZES[kind]
    assert (await run_victim(tmp_path, size, crash_at, "split"))[-1] == told
    async with left(tmp_path) as now:
        assert [split.parts for split in await now.appliance.split_mails()] == ([parts] if parts else [])
        assert (await now.appliance.standing("phaser"))[1] == size * (2 if joined else len(parts))
        # The client, who heard no answer to its last part, sends it again; the appliance looks what is complete.
        found = [await bring_part(now.appliance, number, size) for number in (1, 2)]
        (job,) = await now.appliance.jobs()
        assert {split.job_id for split in found} == {job.id}
        assert await join(now.appliance, job.id, size) != joined
        assert [(job.id, job.state.value) for job in await now.bridge.jobs()] == [(job.id, "pending")]
        assert b"".join([block async for block in now.bridge.read(job.id)]) == b"1" * size + b"2" * size
        assert (await now.appliance.standing("phaser"))[1] == 2 * size
        assert await now.appliance.split_mails() == []
        await now.appliance.sweep(time.time())
        files = [path.name for path in (tmp_path / "store" / "octets").iterdir() if path.name.startswith("file-")]
        assert len(files) == (2 * size > 512 * 1024)  # of the parts none is left
