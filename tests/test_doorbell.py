"""The doorbell, and the folder where it hangs."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailstore.store.contract import StoreUnusable
from mailstore.store.doorbell import NAMES, Doorbell
from mailstore.store.runtime import runtime_folder


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Doorbell, Doorbell]]:
    one, two = Doorbell(tmp_path, "appliance"), Doorbell(tmp_path, "bridge")
    yield one, two
    one.close()
    two.close()


async def heard(rings: AsyncIterator[str], count: int) -> set[str]:
    return {await asyncio.wait_for(anext(rings), 5) for _ in range(count)}


async def test_a_ring_is_heard_by_the_other_and_here(pair: tuple[Doorbell, Doorbell]) -> None:
    here, there = pair[0].rings(), pair[1].rings()
    pair[0].ring({"phaser", "*"})
    assert await heard(there, 2) == {"phaser", "*"}
    assert await heard(here, 2) == {"phaser", "*"}


async def test_rings_are_coalesced(pair: tuple[Doorbell, Doorbell]) -> None:
    rings = pair[1].rings()
    for _ in range(200):  # far more than a socket's queue holds
        pair[0].ring({"a"})
    pair[0].ring({"b"})
    found = []
    while "b" not in found:
        found += await heard(rings, 1)
    assert found.count("a") <= 3  # once, and again what rang while that was being handed over
    assert found.count("b") == 1


async def test_a_busy_peer_misses_nothing(pair: tuple[Doorbell, Doorbell]) -> None:
    rings = pair[1].rings()
    names = {f"printer{number}" for number in range(1000)}
    for name in names:
        pair[0].ring({name})
    assert await heard(rings, 1000) == names


async def test_a_listener_that_does_not_listen_costs_a_bounded_memory(pair: tuple[Doorbell, Doorbell]) -> None:
    rings = pair[0].rings()
    for number in range(NAMES + 100):
        pair[0].ring({f"printer{number}"})
    names = [await anext(rings) for _ in range(NAMES)]
    assert len(set(names)) == NAMES
    pair[0].close()
    assert [name async for name in rings] == []


async def test_nobody_there_and_the_folder_gone(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    bell = Doorbell(folder, "tool")
    bell.ring({"a"})
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    bell.ring({"a"})
    bell.close()


LEAVES_A_SOCKET = """
import asyncio, os, sys
from pathlib import Path
from mailstore.store.doorbell import Doorbell

async def main():
    Doorbell(Path(sys.argv[1]), "bridge")
    os._exit(0)

asyncio.run(main())
"""


async def test_the_socket_of_a_dead_process_is_removed(tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", LEAVES_A_SOCKET, str(tmp_path), cwd=Path(__file__).parents[1]
    )
    await asyncio.wait_for(child.wait(), 20)
    assert len(os.listdir(tmp_path)) == 1  # noqa: PTH208
    bell = Doorbell(tmp_path, "appliance")
    bell.ring({"a"})
    assert [name for name in os.listdir(tmp_path) if name.startswith("bridge")] == []  # noqa: PTH208
    bell.close()
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_a_long_path_does_not_matter(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 100) / ("y" * 100)
    folder.mkdir(parents=True)
    one, two = Doorbell(folder, "appliance"), Doorbell(folder, "bridge")
    rings = two.rings()
    one.ring({"a"})
    assert await heard(rings, 1) == {"a"}
    one.close()
    two.close()


def test_the_runtime_folder_is_found_again_and_closed(tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    folder = runtime_folder(store, tmp_path)
    assert runtime_folder(store, tmp_path) == folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert runtime_folder(tmp_path / "other", tmp_path) != folder


def test_the_runtime_folder_stands_where_the_session_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert runtime_folder(tmp_path / "store").parent == tmp_path


def test_a_runtime_folder_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = runtime_folder(tmp_path, tmp_path)
    folder.chmod(0o755)
    with pytest.raises(StoreUnusable, match="not a folder of this user alone"):
        runtime_folder(tmp_path, tmp_path)
    folder.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreUnusable, match="not a folder of this user alone"):
        runtime_folder(tmp_path, tmp_path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder of somebody else's")
def test_a_runtime_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    os.chown(runtime_folder(tmp_path, tmp_path), 65534, 65534)
    with pytest.raises(StoreUnusable, match="not a folder of this user alone"):
        runtime_folder(tmp_path, tmp_path)
