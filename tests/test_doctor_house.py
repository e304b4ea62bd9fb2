"""`printpost doctor` beside processes that run, with one of them really broken at a time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from mailstore.directory.slapd import answers
from tests.house import PATIENCE, House, empty_house, free_ports, house
from tests.sink import sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def made(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Everything apart, with a printer."""
    networks = ["127.0.0.0/8"]
    folder = tmp_path_factory.mktemp("apart")
    site = {"hostname": "localhost", "networks": networks}
    async with sink() as printer, house(folder, apart=True, site=site) as running:
        await running.add("phaser", printer.uri)
        yield running


class Told:
    """What doctor said."""

    def __init__(self, status: int, text: str) -> None:
        self.status = status
        self.findings = json.loads(text)
        assert all(finding.keys() == {"level", "subject", "text"} for finding in self.findings)

    def of(self, level: str) -> dict[str, str]:
        """By subject."""
        return {one["subject"]: one["text"] for one in self.findings if one["level"] == level}


async def doctor(house: House, **environment: str) -> Told:
    done = await house.printpost("doctor", "--json", **environment)
    assert done.err == ""
    told = Told(done.status, done.out)
    assert told.status == (os.EX_UNAVAILABLE if told.of("error") else os.EX_OK)
    return told


@contextlib.contextmanager
def stopped(process: int) -> Iterator[None]:
    os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def stamps(folder: Path) -> dict[Path, tuple[int, int, int]]:
    """Of each file: its mode, size and time of change, but for the databases, on which others are at work."""
    found = {path: path.lstat() for path in folder.rglob("*") if ".sqlite" not in path.name and path.suffix != ".mdb"}
    return {path: (stat.st_mode, stat.st_size, stat.st_mtime_ns) for path, stat in found.items() if path.is_file()}


async def test_all_is_well_and_stays_as_it_is(made: House) -> None:
    before = stamps(made.data)
    told = await doctor(made)
    assert told.of("error") == {}
    assert told.of("ok").keys() >= {"appliance", "bridge", "doors", "disk", "directory", "printer phaser"}
    assert told.of("note").keys() >= {"certificate", "printer phaser"}  # nobody answers for it
    assert stamps(made.data) == before


async def test_for_people(made: House) -> None:
    done = await made.printpost("doctor")
    assert done.status == os.EX_OK
    lines = done.out.splitlines()
    assert "ok       appliance: it runs and is ready" in lines
    assert lines[-1] in {"Nothing is wrong.", "1 warning."}  # a machine may have no namespaces for bubblewrap


@pytest.mark.parametrize(("command", "role"), [("serve", "appliance"), ("printerbridge", "bridge")])
async def test_a_process_that_is_stopped(made: House, command: str, role: str) -> None:
    process = made.latest[command].pid
    with stopped(process):
        told = await doctor(made)
    assert told.of("error").keys() == {role}  # and nothing of its five listeners
    assert f"kill -CONT {process}" in told.of("error")[role]
    assert "printer phaser" in told.of("ok")


async def test_the_directory_is_down(made: House) -> None:
    await made.server.stop()
    try:
        told = await doctor(made)
    finally:
        await made.server.start()
    assert await answers(made.runtime, PATIENCE)
    assert told.of("error").keys() == {"directory"}
    assert told.of("ok").keys() >= {"appliance", "bridge", "doors", "disk"}


async def test_the_directory_is_stuck(made: House) -> None:
    with stopped(made.server.pid):
        told = await doctor(made)
    assert told.of("error").keys() == {"directory"}


async def test_a_disk_that_is_full(made: House) -> None:
    told = await doctor(made, PRINTPOST_STORE__RESERVE=str(1 << 60))
    assert told.of("error").keys() == {"disk"}


async def test_a_smarthost(made: House) -> None:
    """Our own receiver is one, our POP3 server is none."""
    smtp, pop3 = ("{}:{}".format(*where) for where in (made.smtp, made.pop3))
    assert "relay" in (await doctor(made, PRINTPOST_RELAY__SMARTHOST=smtp)).of("ok")
    told = await doctor(made, PRINTPOST_RELAY__SMARTHOST=pop3)
    assert told.of("error").keys() == {"relay"}


async def test_another_configuration_than_the_processes_have(made: House) -> None:
    ports = [f"127.0.0.1:{port}" for port in free_ports(2)]
    told = await doctor(made, PRINTPOST_METRICS__LISTEN=ports[0], PRINTPOST_BRIDGE__METRICS_LISTEN=ports[1])
    assert told.of("error").keys() == {"processes"}
    assert "give doctor its configuration" in told.of("error")["processes"]


async def test_a_listener_that_was_moved(made: House) -> None:
    (port,) = free_ports(1)
    told = await doctor(made, PRINTPOST_POP3__LISTEN=f"127.0.0.1:{port}")
    assert told.of("error").keys() == {"pop3"}
    assert "restart Printpost" in told.of("error")["pop3"]


async def test_nothing_runs_and_a_port_is_taken(tmp_path: Path) -> None:
    async with empty_house(tmp_path) as made:
        with socket.create_server(made.smtp):
            told = await doctor(made)
        assert told.of("error").keys() == {"processes", "smtp"}
        assert "is taken: end what listens there" in told.of("error")["smtp"]
        assert list(made.data.iterdir()) == []
