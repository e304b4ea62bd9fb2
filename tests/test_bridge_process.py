"""The bridge as a process: killed inside every instant, stopped, wrongly configured, and given 300 MB."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.ldap import embedded
from mailstore.directory.openldap import Identity
from mailstore.directory.slapd import EmbeddedDirectory
from mailstore.job import JobState
from mailstore.store.contract import Role
from mailstore.store.runtime import runtime_folder
from mailstore.store.sql import open_store
from tests.directory_server import short_folder
from tests.printshop import POSTSCRIPT, Printshop, message
from tests.sink import Peer, free_port, sink

pytestmark = pytest.mark.slow


class House(Printshop):
    """A printshop whose bridge is a process of its own."""

    base: Path

    @contextlib.asynccontextmanager
    async def process(self, crash_at: str = "") -> AsyncIterator[Process]:
        """The bridge, killed at the end if it still runs.  Its files are the product's own places."""
        config = self.folder / "printpost.toml"
        config.write_text(
            f'[store]\nurl = "sqlite:{self.folder / "data"}"\nreserve = 0\n'
            f'[bridge]\nmetrics_listen = "127.0.0.1:{await free_port()}"\n'
        )
        environment = {**os.environ, "XDG_RUNTIME_DIR": str(self.base), "CRASH_AT": crash_at}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "printerbridge", "--config", str(config), env=environment, stderr=PIPE
        )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            _, said = await process.communicate()
            print(said.decode())


@pytest_asyncio.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    with short_folder() as base:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
        data = tmp_path / "data"
        store = await open_store(data, role=Role.APPLIANCE, reserve=0)
        runtime = runtime_folder(data)
        async with EmbeddedDirectory(data / "directory", runtime) as server:
            directory = embedded(server.folder, runtime, Identity.APPLIANCE)
            made = House(store, store, directory, directory, tmp_path)
            made.base = base
            yield made
            await directory.close()
        await store.close()


def peak_memory(pid: int) -> int:
    """The most that a process ever held, in octets."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) << 10


def left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


@pytest.mark.crash
@pytest.mark.parametrize(
    ("instant", "copies", "end"),
    [
        ("3-before-sync", 1, JobState.COMPLETED),
        ("3-after-sync", 0, JobState.PROCESSING_STOPPED),
        ("4-before-sync", 1, JobState.PROCESSING_STOPPED),
        ("4-after-sync", 1, JobState.COMPLETED),
    ],
)
async def test_killed_inside_an_instant_it_prints_once_or_says_that_it_does_not_know(
    house: House, instant: str, copies: int, end: JobState
) -> None:
    async with sink() as printer:
        await house.printer("phaser", printer.uri)
        job_id = await house.submit("phaser", message(POSTSCRIPT))
        async with house.process(crash_at=instant) as bridge, asyncio.timeout(20):
            await bridge.wait()
        async with house.process():
            following = await house.submit("phaser", message(b"%! the next job"))
            await house.ended(following)
            job = await house.until(job_id, end)
        printed = [each for each in printer.jobs if each]
        assert printed.count(POSTSCRIPT) == copies
        assert printed.count(b"%! the next job") == 1
    assert ("x-delivery-unknown" in job.reasons) == (end is JobState.PROCESSING_STOPPED)


@pytest.mark.crash
async def test_killed_while_sending_it_does_not_print_again(house: House) -> None:
    arrived = asyncio.Event()

    async def slow(peer: Peer) -> None:
        first = await peer.take(16)
        arrived.set()
        if first.startswith(b"%! first"):
            await asyncio.Event().wait()
        await peer.take_all()

    async with sink(slow, window=4096) as printer:
        await house.printer("phaser", printer.uri)
        first = await house.submit("phaser", message(b"%! first" + b"%" * (4 << 20)))
        second = await house.submit("phaser", message(POSTSCRIPT))
        async with house.process() as bridge, asyncio.timeout(20):
            await arrived.wait()
            bridge.kill()
            await bridge.wait()
        async with house.process():
            await house.ended(second)
            job = await house.until(first, JobState.PROCESSING_STOPPED)
        assert printer.connections == 2
    assert job.reasons == ("job-suspended", "x-delivery-unknown")


async def test_sigterm_finishes_what_is_being_sent(house: House) -> None:
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(peer: Peer) -> None:
        await peer.take(1)
        arrived.set()
        await go_on.wait()
        await peer.take_all()

    async with sink(slow) as printer:
        await house.printer("phaser", printer.uri)
        jobs = [await house.submit("phaser", message(POSTSCRIPT)) for _ in range(2)]
        async with house.process() as bridge, asyncio.timeout(20):
            await arrived.wait()
            bridge.send_signal(signal.SIGTERM)
            asyncio.get_running_loop().call_later(0.3, go_on.set)
            assert await bridge.wait() == 0
        assert await house.states(jobs) == [JobState.COMPLETED, JobState.PENDING]
        assert printer.jobs == [POSTSCRIPT]


async def test_a_second_bridge_says_so_and_ends(house: House) -> None:
    async with sink() as printer, house.process():
        await house.printer("phaser", printer.uri)
        await house.ended(await house.submit("phaser", message(POSTSCRIPT)))
        async with house.process() as second, asyncio.timeout(20):
            assert second.stderr is not None
            told = (await second.stderr.read()).decode()
            assert await second.wait() == os.EX_UNAVAILABLE
    assert told.count("\n") == 1
    assert "bridge" in told


@pytest.mark.parametrize(
    ("text", "told"), [("[bridge]\nconvertors = 3\n", "convertors"), ("[bridge\n", "TOML"), (None, "cannot be read")]
)
async def test_a_configuration_that_cannot_be_meant(tmp_path: Path, text: str | None, told: str) -> None:
    config = tmp_path / "printpost.toml"
    if text is not None:
        config.write_text(text)
    bridge = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "printerbridge", "--config", str(config), stderr=PIPE
    )
    async with asyncio.timeout(20):
        _, said = await bridge.communicate()
    assert bridge.returncode == os.EX_CONFIG
    assert said.count(b"\n") == 1
    assert told in said.decode()


async def test_a_folder_that_the_system_refuses_is_told_in_one_sentence(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * 300)
    config = tmp_path / "printpost.toml"
    config.write_text(f'[store]\nurl = "sqlite:{folder}"\n')
    bridge = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "printerbridge", "--config", str(config), stderr=PIPE
    )
    async with asyncio.timeout(20):
        _, said = await bridge.communicate()
    assert bridge.returncode == os.EX_IOERR
    assert said.decode() == f"printerbridge: {folder} cannot be used: File name too long\n"


async def test_300_megabytes_pass_with_flat_memory(house: House) -> None:
    digest, taken = hashlib.sha256(), 0

    async def hashing(peer: Peer) -> None:
        nonlocal taken
        while data := await peer.take(1 << 20):
            digest.update(data)
            taken += len(data)
            peer.taken.clear()

    line = base64.b64encode(POSTSCRIPT + b"%" * (57 - len(POSTSCRIPT) % 57 + 57 * 100)) + b"\r\n"
    line = b"\r\n".join(line[start : start + 76] for start in range(0, len(line) - 2, 76)) + b"\r\n"
    chunk = line * (1 + (1 << 20) // len(line))
    chunks = 300_000_000 // len(chunk)
    head = b"Content-Type: application/postscript\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    expected = hashlib.sha256()
    document = base64.b64decode(chunk)
    for _ in range(chunks):
        expected.update(document)
    async with sink(hashing) as printer, house.process() as bridge:
        await house.printer("phaser", printer.uri)
        (job_id,) = await house.submit_blocks("phaser", [head, *[chunk] * chunks])
        (job,) = await house.ended(job_id, seconds=60)
        peak = peak_memory(bridge.pid)
        bridge.terminate()
        assert await bridge.wait() == 0
        assert job.state is JobState.COMPLETED, job
        assert taken == chunks * len(document)
        assert digest.digest() == expected.digest()
        assert peak < 120 << 20
        assert left_in(house.folder / "data" / "spool-bridge") == []
