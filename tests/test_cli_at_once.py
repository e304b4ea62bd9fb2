"""Commands that change printers, several at once or broken off."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from mailstore.store.contract import Role
from mailstore.store.sql import open_store
from tests.contracts.store import accept
from tests.directory_server import short_folder

pytestmark = pytest.mark.slow

Command = Callable[..., Awaitable[tuple[int, str, str]]]


@pytest.fixture
def runtime() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
def command(tmp_path: Path, runtime: Path) -> Command:
    """Runs `printpost` on a folder of the test's own; returns its status and what it said on stdout and stderr."""
    environment = {**os.environ, "PRINTPOST_STORE__URL": f"sqlite:{tmp_path / 'data'}"}
    environment |= {"XDG_RUNTIME_DIR": str(runtime), "PRINTPOST_SITE__DOMAINS": "example.com"}

    async def run(*words: str) -> tuple[int, str, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appliance", *words),
            cwd=Path(__file__).parents[1],
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    return run


async def test_what_one_command_has_read_no_other_changes(command: Command, tmp_path: Path) -> None:
    assert (await command("printer", "add", "phaser", "--uri", "socket://192.0.2.7:9100"))[0] == 0
    lock = os.open(tmp_path / "data" / "commands.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as a command does from its reading to its writing
    setting = asyncio.ensure_future(command("printer", "set", "phaser", "--allow", "ada@example.com"))
    done, _ = await asyncio.wait([setting], timeout=4)
    assert not done
    os.close(lock)
    assert (await setting)[0] == 0
    shown = json.loads((await command("printer", "show", "phaser", "--json"))[1])
    assert shown["allow"] == ["ada@example.com"]


async def test_a_removal_that_was_broken_off_is_finished_by_another(command: Command, tmp_path: Path) -> None:
    store = await open_store(tmp_path / "data", role=Role.TOOL, reserve=0, runtime=tmp_path / "run")
    (job_id,) = await accept(store, "phaser")
    assert (await command("printer", "remove", "phaser"))[0] == 0
    job = await store.job(job_id)
    assert job is not None
    assert job.state.value == "canceled"
    status, _, said = await command("printer", "remove", "phaser")
    assert status == os.EX_NOUSER
    assert "there is no printer 'phaser'" in said
    await store.close()
