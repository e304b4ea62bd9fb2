"""Runs one converter on one document, confined from its first instruction to its last.

Two levels, probed once: *bubblewrap* gives the child its own namespaces (no network, no other process, a read-only
system, one writable folder); *rlimits*, where user namespaces are refused, keeps the resource limits, the deadline and
the empty environment, but the child can read what the bridge can read and can reach the network.

Security: the children interpret documents of strangers, and Ghostscript has had a hole every year; whoever sends a
document must be taken to run code in here.  So nothing of value is within reach: the only writable place is the job's
folder, the environment is empty, descriptors are closed, there is no /proc, /dev holds no device of the machine, and
new privileges are off.  Loops end at the deadline, which kills the whole PID namespace; floods end at limits on output,
file size and the folder's size; fork bombs at RLIMIT_NPROC (which the kernel does not apply to root: do not run the
bridge as root).  What the child leaves in the folder is hostile too: `regular_file` is how to pick it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import shutil
import signal
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from mailstore.failure import PermanentFailure, TransientFailure

log = logging.getLogger(__name__)

INSIDE = "/job"
"""Where a child sees its folder under bubblewrap: documents must not learn paths of this machine."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ghostscript",
    "/etc/ld.so.cache",
    "/var/cache/fontconfig",
    "/var/lib/ghostscript",
)
_PATH = "/usr/local/bin:/usr/bin:/bin"
_TAIL = 16 << 10
_WATCH_SECONDS = 0.25
_GRACE_SECONDS = 5.0


class Level(StrEnum):
    """How well children are confined, best first."""

    BUBBLEWRAP = "bubblewrap"
    RLIMITS = "rlimits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child may use.  Octets, except for the two counts."""

    memory: int = 2 << 30  # address space of each process
    file: int = 2 << 30  # the longest file it may write
    folder: int = 4 << 30  # all files in its folder together
    output: int = 1 << 20  # stdout and stderr, each
    open_files: int = 256
    processes: int = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A child that ended by itself.  `stdout` and `stderr` are the last 16 KiB; a signal n shows as -n."""

    returncode: int
    stdout: bytes
    stderr: bytes


def confined(
    argv: Sequence[str],
    *,
    folder: Path,
    level: Level,
    seconds: float,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
) -> list[str]:
    """The command that runs `argv` confined.  `readable`: files and folders it may read besides the system's."""
    limits = limits or Limits()
    limited = [
        "prlimit",
        f"--cpu={math.ceil(seconds) + 1}",
        f"--as={limits.memory}",
        f"--fsize={limits.file}",
        f"--nofile={limits.open_files}",
        f"--nproc={limits.processes}",
        "--core=0",
        "--",
        *argv,
    ]
    if level is Level.RLIMITS:
        return ["setpriv", "--no-new-privs", "--pdeathsig", "KILL", "--", *limited]
    # NPROC counts per user namespace, so prlimit has to run inside bubblewrap, not around it.
    return ["bwrap", *_namespaces(folder, readable), "--", *limited]


def _namespaces(folder: Path, readable: Sequence[Path]) -> list[str]:
    options = ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--clearenv"]
    for name, value in _environment(Path(INSIDE)).items():
        options += ["--setenv", name, value]
    for path in _SYSTEM:
        if os.path.islink(path):  # noqa: PTH114
            options += ["--symlink", os.readlink(path), path]  # noqa: PTH115
        else:
            options += ["--ro-bind-try", path, path]
    # cairo wants its temporary files in /tmp, whatever TMPDIR says; they belong on the disk too.
    for place in (INSIDE, "/tmp"):  # noqa: S108
        options += ["--bind", str(folder.absolute()), place]
    for path in (*_SETTINGS, *map(str, readable)):
        if not path.startswith("/usr/"):
            options += ["--ro-bind-try", path, path]
    options += ["--dev", "/dev", "--chdir", INSIDE]
    # Without this the child could fill memory through the root and /dev/shm, which are tmpfs.
    return [*options, "--remount-ro", "/dev", "--remount-ro", "/"]


def _environment(folder: Path) -> dict[str, str]:
    home = str(folder.absolute())
    return {"PATH": _PATH, "HOME": home, "TMPDIR": home, "LANG": "C.UTF-8"}


_level: Level | None = None


async def level() -> Level:
    """The level this machine allows, probed at the first call by confining a real child."""
    global _level
    if _level is None:
        _level = Level.BUBBLEWRAP if await _bubblewrap_works() else Level.RLIMITS
        if _level is Level.RLIMITS:
            log.warning(
                "converters run without namespaces: bubblewrap is missing or user namespaces are refused here; "
                "only resource limits stand between a hostile document and this account"
            )
    return _level


async def _bubblewrap_works() -> bool:
    if shutil.which("bwrap", path=_PATH) is None:
        return False
    probe = await asyncio.create_subprocess_exec(
        *confined(["true"], folder=Path("/usr"), level=Level.BUBBLEWRAP, seconds=10),
        env=_environment(Path("/")),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(10):
            return await probe.wait() == 0
    except TimeoutError:
        probe.kill()
        await probe.wait()
        return False


async def run(
    argv: Sequence[str],
    *,
    folder: Path,
    timeout: float,
    readable: Sequence[Path] = (),
    limits: Limits | None = None,
) -> Finished:
    """Run `argv` in `folder` and wait for its end, at most `timeout` seconds.

    Raises `PermanentFailure` (`aborted-by-system`) when the child was stopped for running too long, saying too much or
    filling its folder, and `TransientFailure` when it could not be started at all.  A child that ends by itself is
    returned, whatever its exit status.
    """
    limits = limits or Limits()
    if shutil.which(argv[0], path=_PATH) is None:
        raise TransientFailure("4.3.5", f"this server lacks the program {Path(argv[0]).name}")
    command = confined(argv, folder=folder, level=await level(), seconds=timeout, readable=readable, limits=limits)
    _keep_descriptors()
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            env=_environment(folder),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        raise TransientFailure("4.3.0", f"the converter could not be started ({error.strerror})") from error
    return await _supervise(process, folder, timeout, limits)


def _keep_descriptors() -> None:
    """Let no child have what whoever started this process left open: uvloop closes nothing, nor does bubblewrap."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, and quickly
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):
                os.set_inheritable(int(name), False)


async def _supervise(process: asyncio.subprocess.Process, folder: Path, timeout: float, limits: Limits) -> Finished:
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = _Tail(), _Tail()
    ended = asyncio.gather(stdout.read(process.stdout), stderr.read(process.stderr), process.wait())
    watch = asyncio.create_task(_watch(folder, (stdout, stderr), limits))
    try:
        async with asyncio.timeout(timeout):
            await asyncio.wait((ended, watch), return_when=asyncio.FIRST_COMPLETED)
            if watch.done():
                raise _too_much(watch.result())
            code = (await ended)[2]
    except TimeoutError:
        raise _too_much(f"takes longer than {timeout:g} seconds to convert") from None
    finally:
        watch.cancel()
        await _end(process, ended)
    # bubblewrap and shells tell a signal as 128 + n
    return Finished(returncode=128 - code if 128 < code < 193 else code, stdout=stdout.octets, stderr=stderr.octets)


def _too_much(what: str) -> PermanentFailure:
    return PermanentFailure("5.6.5", f"the document {what}", reason="aborted-by-system")


async def _end(process: asyncio.subprocess.Process, ended: asyncio.Future[tuple[None, None, int]]) -> None:
    """Leave nothing behind: the group is killed even if its leader has ended."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # The pipes reach their end when the last process of the namespace is gone.
    await asyncio.wait((ended,), timeout=_GRACE_SECONDS)
    ended.cancel()


class _Tail:
    """The end of what a child says, and how much it said."""

    __slots__ = ("octets", "total")

    def __init__(self) -> None:
        self.octets = b""
        self.total = 0

    async def read(self, stream: asyncio.StreamReader) -> None:
        while chunk := await stream.read(_TAIL):
            self.total += len(chunk)
            self.octets = (self.octets + chunk)[-_TAIL:]


async def _watch(folder: Path, tails: Sequence[_Tail], limits: Limits) -> str:
    """Returns what the document does too much of, as soon as it does."""
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if any(tail.total > limits.output for tail in tails):
            return "makes its converter talk without end"
        if await asyncio.to_thread(outgrown, folder, limits.folder):
            return "grows too large when it is converted"


def outgrown(folder: Path, limit: int, entries: int = 4096) -> bool:
    """True if `folder` holds more than `limit` octets on disk or more than `entries` names, at any depth."""
    total, names, folders = 0, 0, [str(folder)]
    while folders:
        with contextlib.suppress(FileNotFoundError, PermissionError), os.scandir(folders.pop()) as listing:
            for entry in listing:
                with contextlib.suppress(FileNotFoundError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                names += 1
                if total > limit or names > entries:
                    return True
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return False


def regular_file(path: Path) -> int:
    """The size in octets of a file that a child left, 0 if there is none.

    Raises `PermanentFailure` if it is anything but a plain file of its own: a child that was taken over could leave a
    link, so that the bridge would print a file of its choice.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        log.warning("a converter left something else than a file: %s", stat.filemode(found.st_mode))
        raise PermanentFailure("5.6.5", "the document could not be converted", reason="aborted-by-system")
    return found.st_size
