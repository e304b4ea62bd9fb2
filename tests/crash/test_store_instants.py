"""A process is ended inside each instant, before and after its sync; then the store must tell the truth."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

import pytest

from mailstore.store.contract import Role
from mailstore.store.sql import open_store

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
