"""Who may stand in the store's folder: its owner alone, or the users of its group."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstore.store import place
from mailstore.store.contract import Role, StoreUnusable
from mailstore.store.runtime import runtime_folder
from mailstore.store.sql import SqlStore, open_store
from tests.contracts.store import accept, octets_of

SIZES = (100, 100_000, 2_000_000)  # in the database, in a segment, in a file of its own
APPLIANCE, BRIDGE, GROUP = 40001, 40002, 40001


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that other users can reach, with a path short enough for sockets."""
    made = Path(tempfile.mkdtemp(prefix="pp-place-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@contextlib.contextmanager
def user(number: int) -> Iterator[None]:
    """This process as another user, with `GROUP` as its only group."""
    group, groups = os.getegid(), os.getgroups()
    os.setgroups([])
    os.setegid(GROUP)
    os.seteuid(number)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(group)
        os.setgroups(groups)


def modes(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode) for path in folder.rglob("*")}


async def opened(store: Path, role: Role) -> SqlStore:
    return await open_store(store, role=role, reserve=0)


async def test_a_store_is_its_owners_alone(folder: Path) -> None:
    (folder / "store").mkdir(mode=0o775)
    (folder / "store").chmod(0o775)
    store = await opened(folder / "store", Role.APPLIANCE)
    for size in SIZES:
        await accept(store, "phaser", octets=b"x" * size)
    found = modes(folder)
    await store.close()
    assert len(found) > 7
    assert {name for name, mode in found.items() if mode & 0o077} == set()


async def test_a_folder_of_mode_2770_stays_so_and_what_is_made_in_it_is_the_groups(folder: Path) -> None:
    path = folder / "store"
    path.mkdir()
    path.chmod(0o2770)
    store = await opened(path, Role.APPLIANCE)
    for size in SIZES:
        await accept(store, "phaser", octets=b"x" * size)
    found = modes(folder)
    await store.close()
    assert {name for name, mode in found.items() if mode & 0o007} == set()
    folders = {"store", "store/octets", "store/run"}
    assert {name: found.pop(name) for name in folders} == dict.fromkeys(folders, 0o2770)
    assert {name for name, mode in found.items() if mode & 0o060 != 0o060} == {"store/appliance.lock"}


def test_the_runtime_folder_of_a_shared_store_is_no_link(folder: Path) -> None:
    store = folder / "store"
    store.mkdir()
    store.chmod(0o2770)
    (folder / "elsewhere").mkdir()
    (store / "run").symlink_to(folder / "elsewhere")
    with pytest.raises(StoreUnusable, match="run is not a folder of mode 2770"):
        runtime_folder(store)
    assert stat.S_IMODE((folder / "elsewhere").stat().st_mode) & 0o070 != 0o070


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
async def test_two_users_share_a_store(folder: Path) -> None:
    path = folder / "store"
    path.mkdir()
    os.chown(path, APPLIANCE, GROUP)
    path.chmod(0o2770)
    with user(APPLIANCE):
        appliance = await opened(path, Role.APPLIANCE)
        numbers = [(await accept(appliance, "phaser", octets=b"x" * size))[0] for size in SIZES]
    with user(BRIDGE):
        bridge = await opened(path, Role.BRIDGE)
        rings = bridge.rings()
        assert [len(await octets_of(bridge, number)) for number in numbers] == list(SIZES)
        lease = await bridge.acquire("socket://192.0.2.7", "bridge", 60)
        assert lease is not None
        assert await bridge.claim(lease, numbers[0], [])
    with user(APPLIANCE):
        await accept(appliance, "laser", octets=b"x")
        async with asyncio.timeout(5):
            assert await anext(rings) == "laser"
        await appliance.close()
    with user(BRIDGE):
        await bridge.close()  # the last one, who tidies up the log that the other one made
        bridge = await opened(path, Role.BRIDGE)
        await bridge.sweep(1e12)  # nothing ended: all is kept
        assert len(await octets_of(bridge, numbers[2])) == SIZES[2]
        await bridge.close()
    assert not list(path.glob("store.sqlite-*"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
async def test_a_store_that_is_not_shared_is_refused_to_the_group(folder: Path) -> None:
    path = folder / "store"
    path.mkdir()
    os.chown(path, APPLIANCE, GROUP)
    path.chmod(0o0770)
    with user(APPLIANCE):
        await (await opened(path, Role.APPLIANCE)).close()
    with user(BRIDGE), pytest.raises(StoreUnusable, match="not writable for user"):
        place.prepare(path)
