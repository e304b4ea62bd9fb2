"""The supervisor over real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from appliance.supervisor import PAUSES, STEADY, Child, ChildFailed, Pauses, Supervisor, until_stopped
from mailstore.failure import TransientFailure

READY = (
    "import os, signal, socket, time; notifier = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); "
    "notifier.sendto(b'READY=1', os.environ['NOTIFY_SOCKET']);"
)


def child(name: str, code: str, **more: Path) -> Child:
    return Child(name=name, argv=[sys.executable, "-c", code], **more)


async def until(condition: object, seconds: float = 10.0) -> None:
    """Wait for something that another process does and tells nobody."""
    async with asyncio.timeout(seconds):
        while not condition():  # type: ignore[operator]  # noqa: ASYNC110 - a foreign process rings no event
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_it_returns_when_all_are_ready_and_ends_them_in_order(tmp_path: Path) -> None:
    record = tmp_path / "record"
    # Whoever is ready may be ended at once.
    code = f"import signal; signal.signal(15, lambda *_: (open({str(record)!r}, 'a').write(%r), exit(0))); " + READY
    code += "time.sleep(60)"
    async with asyncio.timeout(20):
        async with Supervisor([child("one", code % "1"), child("two", code % "2")]) as supervisor:
            pids = [one.process.pid for one in supervisor.children if one.process]
            assert all(alive(pid) for pid in pids)
    assert record.read_text() == "12"
    assert not any(alive(pid) for pid in pids)


async def test_what_dies_is_started_again() -> None:
    async with Supervisor([child("mortal", READY + "time.sleep(60)")]) as supervisor:
        (mortal,) = supervisor.children
        first = mortal.process
        assert first is not None
        first.kill()
        await until(lambda: mortal.process is not first and alive(mortal.process.pid))


async def test_a_child_that_cannot_start_ends_the_whole(tmp_path: Path) -> None:
    code = "import sys; print('port 25 is taken', file=sys.stderr); sys.exit(78)"
    good = child("good", READY + "time.sleep(60)")
    with pytest.raises(ChildFailed, match="the bad cannot start") as failed:
        async with Supervisor([good, child("bad", code, log_file=tmp_path / "log")]):
            pass
    assert failed.value.status == os.EX_CONFIG
    assert (tmp_path / "log").read_text() == "port 25 is taken\n"
    assert good.process is not None
    assert not alive(good.process.pid)


async def test_a_child_that_there_is_no_program_for_ends_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")  # setpriv is not there
    with pytest.raises(ChildFailed, match="the bad cannot start") as failed:
        async with Supervisor([child("bad", "")]):
            pass
    assert failed.value.status == os.EX_UNAVAILABLE


async def test_a_child_that_never_gets_ready_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.supervisor.READY", 0.3)
    slow = child("slow", "import time; time.sleep(60)")
    with pytest.raises(TransientFailure, match="the slow was not ready"):
        async with Supervisor([slow]):
            pass
    assert slow.process is not None
    assert not alive(slow.process.pid)


async def test_one_that_hangs_at_its_end_is_killed_at_the_second_signal() -> None:
    stubborn = child("stubborn", "import signal; signal.signal(15, signal.SIG_IGN);" + READY + "time.sleep(60)")
    async with asyncio.timeout(10):
        async with Supervisor([stubborn]) as supervisor:
            waiting = asyncio.create_task(until_stopped(supervisor))
            await asyncio.sleep(0)
            os.kill(os.getpid(), signal.SIGTERM)
            assert await waiting == os.EX_OK
            asyncio.get_running_loop().call_later(0.2, os.kill, os.getpid(), signal.SIGINT)
    assert stubborn.process is not None
    assert stubborn.process.returncode == -signal.SIGKILL


def test_pauses_grow_and_begin_again_after_a_steady_life() -> None:
    pauses = Pauses()
    assert [pauses.after(1.0) for _ in range(8)] == [*PAUSES, PAUSES[-1], PAUSES[-1]]
    assert pauses.after(STEADY + 1) == 0.0
    assert pauses.after(1.0) == PAUSES[0]


ORPHANED = """
import asyncio, ctypes, subprocess
from appliance import supervisor

async def main():
    ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans become ours, as for process 1
    supervisor.ORPHANS = 0.05
    burying = asyncio.create_task(supervisor.bury_orphans())
    own = await asyncio.create_subprocess_exec("sh", "-c", "sleep 0.3; exit 7")
    orphan = int(subprocess.check_output(["sh", "-c", "sleep 0.05 >&2 & echo $!"]))
    async with asyncio.timeout(10):
        while True:
            try:
                open(f"/proc/{orphan}/stat").close()
            except FileNotFoundError:
                break
            await asyncio.sleep(0.02)
        assert await own.wait() == 7
    print("buried")

asyncio.run(main())
"""


async def test_orphans_are_buried_and_no_child_loses_its_exit_status() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANED), cwd=Path(__file__).parents[1], stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    assert output == b"buried\n"


@pytest.mark.slow
async def test_children_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    record = tmp_path / "pid"
    inner = READY + f"open({str(record)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    outer = (
        "import asyncio, sys\nfrom appliance.supervisor import *\nasync def main():\n"
        f"    async with Supervisor([Child(name='x', argv=[sys.executable, '-c', {inner!r}])]) as s:\n"
        "        await until_stopped(s)\nasyncio.run(main())\n"
    )
    supervisor = await asyncio.create_subprocess_exec(sys.executable, "-c", outer)
    await until(lambda: record.exists() and record.read_text())
    pid = int(record.read_text())
    supervisor.send_signal(signal.SIGKILL)
    await supervisor.wait()
    await until(lambda: not alive(pid))
