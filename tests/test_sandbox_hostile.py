"""A hostile converter under each level that this machine has: it reaches nothing, and nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailstore.failure import Failure, PermanentFailure
from printerbridge import landlock, leftovers, sandbox
from printerbridge.sandbox import Finished, Level, Limits
from printerbridge.slots import Slots
from tests import hostile, levels

DEADLINE = 10.0
SCRIPT = Path(hostile.__file__).resolve()
SEVERAL = Limits(processes=16)
SMALL = Limits(memory=128 << 20)


@pytest.fixture(params=[Level.BUBBLEWRAP, Level.LANDLOCK], autouse=True)
def _level(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not levels.has(request.param):
        pytest.skip(f"{request.param.value} does not work here")
    monkeypatch.setattr(sandbox, "_level", request.param)


@pytest.fixture(autouse=True)
def _cleared(tmp_path: Path) -> Iterator[None]:
    """What is left is deeper than pytest can clear away when it runs for the fourth time."""
    yield
    for left in tmp_path.iterdir():
        if left.is_dir() and not left.is_symlink():
            leftovers.discard(left)


PYTHON = [str(Path(sys.executable).resolve()), "-I", "-S", "-B", str(SCRIPT)]


async def attempt(folder: Path, *argv: str, limits: Limits | None = None, timeout: float = DEADLINE) -> Finished:
    readable = (*landlock.needed("escape"), SCRIPT)
    return await sandbox.run([*PYTHON, *argv], folder=folder, timeout=timeout, readable=readable, limits=limits)


@dataclass(frozen=True, kw_only=True)
class Outside:
    """What there is to reach: `place` holds a secret, another job, a socket and the job that is hostile."""

    place: Path
    job: Path
    words: dict[str, str]

    def looks_untouched(self) -> None:
        assert sorted(path.name for path in self.place.iterdir()) == ["job", "life", "other", "secret"]
        secret = self.place / "secret"
        assert secret.read_text() == "secret"
        assert secret.stat().st_mode & 0o777 == 0o600
        assert secret.stat().st_mtime > 1
        assert secret.stat().st_nlink == 1


@pytest.fixture
async def outside(tmp_path: Path) -> AsyncIterator[Outside]:
    for name in ("job", "other"):
        (tmp_path / name).mkdir()
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("secret")
    (tmp_path / "other" / "step-1").write_text("another's letter")
    abstract = f"printpost-{os.getpid()}"
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as hidden,
        socket.socket(socket.AF_UNIX) as named,
    ):
        udp.bind(("127.0.0.1", 0))
        hidden.bind(f"\0{abstract}")
        hidden.listen()
        os.chdir(tmp_path)  # a path of a socket must be short
        named.bind("life")
        named.listen()
        words = {
            "TCP": str(tcp.getsockname()[1]),
            "UDP": str(udp.getsockname()[1]),
            "ABSTRACT": abstract,
            "SOCKET": "../life",
            "PLACE": str(tmp_path),
            "SECRET": str(secret),
            "OTHER": str(tmp_path / "other" / "step-1"),
            "HOME": str(tmp_path / "other"),
            "BRIDGE": str(os.getpid()),
        }
        yield Outside(place=tmp_path, job=tmp_path / "job", words=words)


ATTEMPTS = (
    "fork",
    "kill BRIDGE",
    "tcp TCP",
    "udp UDP",
    "listen",
    "abstract ABSTRACT",
    "datagram SOCKET",
    "unix SOCKET",
    "netlink",
    "read SECRET",
    "read OTHER",
    "read /etc/passwd",
    "names PLACE",
    "names HOME",
    "names /proc",
    "create PLACE",
    "create HOME",
    "create /dev/shm",
    "overwrite SECRET",
    "truncate SECRET",
    "remove SECRET",
    "rename SECRET",
    "hardlink SECRET",
    "mode SECRET",
    "touch SECRET",
    "label SECRET",
    "environment BRIDGE",
    "trace BRIDGE",
    "limit BRIDGE",
    "starve BRIDGE",
    "memory_of_nobody",
    "shared_memory",
    "namespace",
)
FEWER = ATTEMPTS.index("read OTHER")  # up to here the filter depends on whether processes may be started


@pytest.mark.parametrize("line", ATTEMPTS, ids=lambda line: line.lower().replace(" ", "-"))
async def test_nothing_outside_is_reached(outside: Outside, line: str) -> None:
    argv = [outside.words.get(word, word) for word in line.split()]
    finished = await attempt(outside.job, *argv)
    assert finished.returncode == 1
    assert finished.stderr.startswith(argv[0].encode())
    outside.looks_untouched()


async def test_nor_by_a_program_that_may_start_others(outside: Outside) -> None:
    for line in ATTEMPTS[1:FEWER]:
        argv = [outside.words.get(word, word) for word in line.split()]
        finished = await attempt(outside.job, *argv, limits=SEVERAL)
        assert finished.returncode == 1, line
        assert finished.stderr.startswith(argv[0].encode()), line


async def test_a_program_that_needs_others_gets_them(outside: Outside) -> None:
    assert (await attempt(outside.job, "fork", limits=SEVERAL)).stdout == b"fork succeeded\n"


async def _until_end(pipe: Path) -> bytes:
    """What is said in `pipe` until its last writer is dead."""
    async with asyncio.timeout(DEADLINE):
        return await asyncio.to_thread(pipe.read_bytes)


async def test_who_ignores_signals_and_goes_away_is_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = asyncio.create_task(_until_end(tmp_path / "pipe"))
    with pytest.raises(PermanentFailure, match="longer"):
        await attempt(tmp_path, "stay", "pipe", limits=SEVERAL, timeout=1)
    assert await reading == b"up\n"


async def test_who_stays_behind_is_found(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = asyncio.create_task(_until_end(tmp_path / "pipe"))
    running = asyncio.create_task(attempt(tmp_path, "leave", "pipe", limits=SEVERAL))
    with await asyncio.to_thread((tmp_path / "pipe").open, "rb") as other:
        (tmp_path / "gone").touch()
        assert (await running).returncode == 0
        await asyncio.wait_for(asyncio.to_thread(other.read), DEADLINE)
    await reading


async def test_a_fork_bomb_is_stopped_whole(tmp_path: Path) -> None:
    with pytest.raises(Failure):
        await attempt(tmp_path, "forks", limits=SEVERAL, timeout=2)
    async with asyncio.timeout(DEADLINE):  # the kernel ends them one by one
        while [entry for entry in _commands() if str(SCRIPT) in entry]:  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.05)


def _commands() -> list[str]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                found.append((process / "cmdline").read_text(errors="replace"))
            except OSError:
                continue
    return found


async def test_one_process_has_only_its_memory(tmp_path: Path) -> None:
    finished = await attempt(tmp_path, "eat", limits=SMALL)
    assert finished.returncode == 1
    assert b"MemoryError" in finished.stderr


async def test_several_processes_have_only_their_memory_together(tmp_path: Path) -> None:
    limits = Limits(memory=256 << 20, processes=16)  # each would do with less
    with pytest.raises(PermanentFailure, match="memory"):
        await attempt(tmp_path, "eat_by_many", "8", limits=limits)


async def test_eight_at_once_stay_below_the_memory_of_all(tmp_path: Path) -> None:
    slots = Slots(8, 2 << 30)
    most = 0

    async def one(number: int) -> None:
        nonlocal most
        folder = tmp_path / f"{number}"
        folder.mkdir()
        async with slots.take(1 << 30) as memory:
            most = max(most, memory)
            finished = await attempt(folder, "eat", limits=Limits(memory=min(memory, 64 << 20)))
        assert b"MemoryError" in finished.stderr

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await asyncio.gather(*(one(number) for number in range(8)))
    assert most == (2 << 30) // 8
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10  # KiB


async def test_a_loop_ends(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="longer"):
        await attempt(tmp_path, "loop", timeout=0.3)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("talk", "talk without end"),
        ("fill", "too large"),
        ("fill_unnamed", "too large"),
        ("fill_invisible", "too large"),
        ("fill_hidden", "too large|hide"),  # root sees it all the same
        ("fill_deep", "too large"),
        ("names_without_end", "too large"),
    ],
)
async def test_floods_are_stopped(tmp_path: Path, what: str, said: str) -> None:
    with pytest.raises(PermanentFailure, match=said):
        await attempt(tmp_path, what, limits=Limits(folder=20 << 20))


async def test_a_link_that_is_left_is_not_followed(tmp_path: Path) -> None:
    assert (await attempt(tmp_path, "left_link", "/etc/passwd")).returncode == 0
    with pytest.raises(PermanentFailure):
        sandbox.regular_file(tmp_path / "result")


async def test_whatever_is_left_can_be_removed(tmp_path: Path) -> None:
    kept, job = tmp_path / "kept", tmp_path / "job"
    kept.write_text("another's")
    job.mkdir()
    with contextlib.suppress(PermanentFailure):  # it may be seen, and stopped
        await attempt(job, "left_nest")
    assert (job / "d" / "d" / "d").is_dir()
    (job / "link").symlink_to(kept)
    (job / "folders").symlink_to(tmp_path)
    job.chmod(0)
    leftovers.remove(job)
    assert os.listdir(tmp_path) == ["kept"]  # noqa: PTH208
    with pytest.raises(FileNotFoundError):
        leftovers.remove(job)
    leftovers.discard(job)
