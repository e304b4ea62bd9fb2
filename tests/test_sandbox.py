"""What a confined child can do, and above all what it cannot."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from mailstore.failure import PermanentFailure, TransientFailure
from printerbridge import sandbox, watching
from printerbridge.sandbox import Level, Limits
from tests import levels

DEADLINE = 10.0
SEVERAL = Limits(processes=32)


@pytest.fixture(params=[Level.BUBBLEWRAP, Level.LANDLOCK])
def level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Level:
    """Each level that this machine has."""
    found: Level = request.param
    if not levels.has(found):
        pytest.skip(f"{found.value} does not work here")
    monkeypatch.setattr(sandbox, "_level", found)
    return found


pytestmark = pytest.mark.usefixtures("level")


async def _bash(
    folder: Path, script: str, *, timeout: float = DEADLINE, limits: Limits | None = None
) -> sandbox.Finished:
    return await sandbox.run(["bash", "-c", script], folder=folder, timeout=timeout, limits=limits or SEVERAL)


async def _until_end(pipe: Path, marker: bytes) -> bytes:
    """What is left to read in `pipe` after `marker`: returns only when its last writer is dead."""

    def read() -> bytes:
        with pipe.open("rb") as file:
            assert file.readline() == marker
            return file.read()

    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(read)


async def test_a_child_reads_and_writes_its_folder_only(tmp_path: Path, level: Level) -> None:
    job = tmp_path / "job"
    job.mkdir()
    (tmp_path / "secret").write_text("secret")
    (job / "in").write_text("document")
    script = (
        f"cat in > out; cat {tmp_path}/secret /etc/passwd; echo x > /usr/x; echo x > /x; echo x > /dev/shm/x; ls /proc"
    )
    finished = await _bash(job, script)
    assert (job / "out").read_text() == "document"
    assert finished.stdout == b""
    unseen = b"Permission denied" if level is Level.LANDLOCK else b"No such file"
    closed = b"Permission denied" if level is Level.LANDLOCK else b"Read-only file system"
    assert finished.stderr.count(unseen) == (6 if unseen == closed else 3)
    assert finished.stderr.count(closed) == (6 if unseen == closed else 3)


async def test_the_environment_is_empty_and_descriptors_are_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRINTPOST_SECRET", "secret")
    with (tmp_path / "open").open("w") as file:
        os.set_inheritable(file.fileno(), True)
        script = f"env; if true >&{file.fileno()}; then echo inherited; fi"
        finished = await _bash(tmp_path, script)
    names = {line.split(b"=")[0].decode() for line in finished.stdout.splitlines()}
    assert names <= {"PATH", "HOME", "TMPDIR", "LANG", "PWD", "SHLVL", "_"}


async def test_a_child_cannot_reach_the_network(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        script = f"exec 3<>/dev/tcp/127.0.0.1/{listener.getsockname()[1]}"
        free = await asyncio.create_subprocess_exec("bash", "-c", script)
        assert await asyncio.wait_for(free.wait(), DEADLINE) == 0
        assert (await _bash(tmp_path, script)).returncode != 0


async def test_a_readable_file_is_read_only(tmp_path: Path) -> None:
    job, document = tmp_path / "job", tmp_path / "document"
    job.mkdir()
    document.write_text("as received")
    script = f"cat {document}; echo x > {document}"
    finished = await sandbox.run(
        ["bash", "-c", script], folder=job, timeout=DEADLINE, readable=(document,), limits=SEVERAL
    )
    assert finished.stdout == b"as received"
    assert document.read_text() == "as received"


async def test_a_loop_ends_at_its_deadline_with_all_its_children(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = asyncio.create_task(_until_end(pipe, b"up\n"))
    begun = time.monotonic()
    with pytest.raises(PermanentFailure) as caught:
        await _bash(tmp_path, "exec > pipe; echo up; setsid sleep 300 & while :; do :; done", timeout=0.3)
    assert time.monotonic() - begun < 3
    assert caught.value.reason == "aborted-by-system"
    assert "0.3 seconds" in caught.value.text
    assert await reading == b""


async def test_what_a_child_leaves_running_dies_with_it(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = asyncio.create_task(_until_end(pipe, b"up\n"))
    finished = await _bash(tmp_path, "(exec > pipe; echo up; exec setsid sleep 300) & read -t 0.1 < /dev/zero; exit 3")
    assert finished.returncode == 3
    assert await reading == b""


async def test_cancelling_kills_the_child(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    running = asyncio.create_task(_bash(tmp_path, "exec 3> pipe; echo up >&3; echo; sleep 300"))
    with await asyncio.wait_for(asyncio.to_thread(pipe.open, "rb"), DEADLINE) as file:
        assert await asyncio.to_thread(file.readline) == b"up\n"
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert await asyncio.wait_for(asyncio.to_thread(file.read), DEADLINE) == b""


async def test_a_crash_of_the_parent_leaves_no_child(tmp_path: Path, level: Level) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = (
        "import asyncio, sys, pathlib; from printerbridge import sandbox; "
        "sandbox._level = sandbox.Level(sys.argv[2]); "
        "asyncio.run(sandbox.run(['bash', '-c', 'exec 3> pipe; echo up >&3; sleep 300; :'], "
        "folder=pathlib.Path(sys.argv[1]), timeout=300, limits=sandbox.Limits(processes=8)))"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(tmp_path), level)
    with await asyncio.wait_for(asyncio.to_thread(pipe.open, "rb"), DEADLINE) as file:
        assert await asyncio.to_thread(file.readline) == b"up\n"
        parent.kill()
        assert await asyncio.wait_for(asyncio.to_thread(file.read), DEADLINE) == b""
    assert await parent.wait() == -signal.SIGKILL


async def test_a_flood_of_words_is_stopped_and_its_end_kept(tmp_path: Path) -> None:
    finished = await _bash(tmp_path, "for ((i = 0; i < 20000; i++)); do echo $i; done")
    assert finished.stdout.endswith(b"19998\n19999\n")
    assert len(finished.stdout) == 16 << 10
    with pytest.raises(PermanentFailure, match="talk without end"):
        await sandbox.run(["yes"], folder=tmp_path, timeout=DEADLINE)


async def test_a_flood_of_octets_is_stopped(tmp_path: Path) -> None:
    finished = await _bash(tmp_path, "exec head -c 1000000 /dev/zero > out", limits=Limits(file=100_000, processes=8))
    assert finished.returncode == -signal.SIGXFSZ
    assert (tmp_path / "out").stat().st_size == 100_000
    many = "for ((i = 0; ; i++)); do head -c 60000 /dev/zero > $i; done"
    with pytest.raises(PermanentFailure, match="too large"):
        await _bash(tmp_path, many, limits=Limits(file=100_000, folder=1_000_000, processes=8))


def test_a_folder_of_many_names_is_outgrown(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for number in range(10):
        (tmp_path / "a" / "b" / str(number)).touch()
    assert not watching.outgrown(tmp_path, 1 << 20, entries=12)
    assert watching.outgrown(tmp_path, 1 << 20, entries=11)


async def test_memory_is_bounded(tmp_path: Path) -> None:
    eat = ["perl", "-e", "$x = 'x' x 100_000_000; print length $x"]
    finished = await sandbox.run(eat, folder=tmp_path, timeout=DEADLINE, limits=Limits(memory=64 << 20))
    assert finished.returncode != 0
    assert b"Out of memory" in finished.stderr
    assert (await sandbox.run(eat, folder=tmp_path, timeout=DEADLINE)).stdout == b"100000000"


async def test_a_signal_shows_as_its_negative_number(tmp_path: Path) -> None:
    assert (await _bash(tmp_path, "kill -SEGV $$")).returncode == -signal.SIGSEGV


async def test_a_missing_program_is_this_servers_fault(tmp_path: Path) -> None:
    with pytest.raises(TransientFailure, match="no-such-program") as caught:
        await sandbox.run(["no-such-program"], folder=tmp_path, timeout=1)
    assert caught.value.status == "4.3.5"


def test_only_a_plain_file_is_picked_up(tmp_path: Path) -> None:
    plain, other = tmp_path / "plain", tmp_path / "other"
    assert sandbox.regular_file(plain) == 0
    plain.write_bytes(b"12345")
    assert sandbox.regular_file(plain) == 5
    other.symlink_to("/etc/passwd")
    with pytest.raises(PermanentFailure):
        sandbox.regular_file(other)
    other.unlink()
    other.hardlink_to(plain)
    with pytest.raises(PermanentFailure):
        sandbox.regular_file(other)
    other.unlink()
    os.mkfifo(other)
    with pytest.raises(PermanentFailure):
        sandbox.regular_file(other)


async def test_where_memory_ends_a_converter_goes_first(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    running = asyncio.create_task(_bash(tmp_path, "exec 3> pipe; exec sleep 60"))
    with await asyncio.wait_for(asyncio.to_thread((tmp_path / "pipe").open, "rb"), DEADLINE):
        leader, *_, converter = watching.descendants(os.getpid())
        plenty = watching.Bounds(output=1 << 30, folder=1 << 30, memory=1 << 40, tasks=100)
        assert watching.measure(leader, tmp_path, plenty) == ""
        assert await asyncio.to_thread(Path(f"/proc/{converter}/oom_score_adj").read_text) == "1000\n"
        running.cancel()
        await asyncio.wait({running})
