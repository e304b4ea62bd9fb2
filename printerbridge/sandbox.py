"""Runs one converter on one document, confined from its first instruction to its last.

Three levels, probed once, by a child that tries to get out.  *bubblewrap* gives the child its own namespaces (no
network, no other process, a read-only system, one writable folder) and a filter of system calls.  *landlock*, where
user namespaces are refused, takes the same away by Landlock and a longer filter; it needs no permission.  Both count as
safe.  *rlimits*, where the kernel has neither, keeps the resource limits, the deadline and the empty environment, but
the child can read what the bridge can read and can reach the network.

Security: the children interpret documents of strangers, and Ghostscript has had a hole every year; whoever sends a
document must be taken to run code in here.  So nothing of value is within reach: the only writable place is the job's
folder, the environment is empty, descriptors are closed, there is no /proc, /dev holds no device of the machine, and
new privileges are off.  A tool that needs no child gets none: fork is refused.  Loops end at the deadline, which kills
the whole PID namespace, or the process group, which nobody can leave; floods end at limits on output, file size and the
folder's size; memory at RLIMIT_AS where there is one process, and at a look four times a second where there are several
(`printerbridge.watching`).  What the child leaves in the folder is hostile too: `regular_file` is how to pick it up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from io import FileIO
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import Gauge

from mailstore.failure import Failure, PermanentFailure, TransientFailure
from printerbridge import landlock, seccomp
from printerbridge.watching import Bounds, Tail, excess

log = logging.getLogger(__name__)

INSIDE = "/job"
"""Where a child sees its folder under bubblewrap: documents must not learn paths of this machine."""

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    "/etc/alternatives",
    "/etc/fonts",
    "/etc/ghostscript",
    "/etc/ld.so.cache",
    "/etc/mime.types",
    "/var/cache/fontconfig",
    "/var/lib/ghostscript",
    "/var/spool/libreoffice",
)
_PATH = "/usr/local/bin:/usr/bin:/bin"
_GRACE_SECONDS = 5.0
_THREADS = 64  # of all processes of one child together, besides the first of each
_MAPPED = 1 << 30  # address space of a process that is not memory: libraries, fonts, what is reserved
_PROBE_SECONDS = 10.0
_PROBES = 2
_LAUNCHERS = 4  # bubblewrap's own processes, or the supervisor
_FAILED = 125  # the launcher's exit status when it could not confine

LEVEL = Gauge(
    "printpost_sandbox_level", "1 for the level at which converters are confined, 0 for the others.", ["level"]
)


class Level(StrEnum):
    """How well children are confined, best first."""

    BUBBLEWRAP = "bubblewrap"
    LANDLOCK = "landlock"
    RLIMITS = "rlimits"

    @property
    def safe(self) -> bool:
        """Whether a converter that was taken over finds nothing of value, and no network."""
        return self is not Level.RLIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one child may use.  Octets, except for the two counts."""

    memory: int = 2 << 30  # of all its processes together; of one, its address space
    file: int = 2 << 30  # the longest file it may write
    folder: int = 4 << 30  # all files in its folder together
    output: int = 1 << 20  # stdout and stderr, each
    open_files: int = 256
    processes: int = 1  # with 1 it cannot start any other, though threads it can

    def rlimits(self, seconds: float) -> dict[str, int]:
        """By the names of setrlimit(2)."""
        return {
            "cpu": math.ceil(seconds) + 1,
            "fsize": self.file,
            "nofile": self.open_files,
            "core": 0,
            "as": self.memory if self.processes == 1 else self.memory + _MAPPED,
        }

    @property
    def tasks(self) -> int:
        """The most processes and threads."""
        return self.processes + _THREADS


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
    descriptors: tuple[int, int] | None = None,
) -> list[str]:
    """The command that runs `argv` confined.

    `readable`: files and folders it may read besides the system's.  `descriptors`: from which bubblewrap reads the
    filter of system calls, and to which it writes how the program ended, if it was run at all.
    """
    limits = limits or Limits()
    rlimits = limits.rlimits(seconds)
    if level is Level.LANDLOCK:
        program = shutil.which(argv[0], path=_PATH) or argv[0]
        places = [*map(Path, (*_SYSTEM, *_SETTINGS)), *readable]
        return landlock.command(
            [program, *argv[1:]], folder=folder, readable=places, limits=rlimits, processes=limits.processes > 1
        )
    limited = ["prlimit", *(f"--{name}={number}" for name, number in rlimits.items()), f"--nproc={limits.tasks}", "--"]
    if level is Level.RLIMITS:
        return ["setpriv", "--no-new-privs", "--pdeathsig", "KILL", "--", *limited, *argv]
    told = ["--seccomp", str(descriptors[0]), "--json-status-fd", str(descriptors[1])] if descriptors else []
    # NPROC counts per user namespace, so prlimit has to run inside bubblewrap, not around it.
    return ["bwrap", *_namespaces(folder, readable), *told, "--", *limited, *argv]


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


async def level(folder: Path) -> Level:
    """The level this machine allows, probed at the first call by children that try to get out of a folder in `folder`,
    which is on the data disk: /tmp may be full, or not writable."""
    global _level
    if _level is None:
        _level = await _best(folder)
        for one in Level:
            LEVEL.labels(one.value).set(one is _level)
        if _level is Level.RLIMITS:
            log.warning(
                "converters are poorly confined: neither user namespaces for bubblewrap nor Landlock work here, for "
                "the reasons above; only resource limits stand between a hostile document and this account"
            )
        else:
            log.info("converters are confined by %s", _level.value)
    return _level


async def _best(folder: Path) -> Level:
    for candidate in (Level.BUBBLEWRAP, Level.LANDLOCK):
        if why := await _unfit(candidate, folder):
            log.info("%s does not work here: %s", candidate.value, why)
        else:
            return candidate
    return Level.RLIMITS


async def _unfit(candidate: Level, folder: Path) -> str:
    """Why a child is not confined so, or cannot do its work; "" if it tried to get out and could not."""
    if candidate is Level.BUBBLEWRAP and shutil.which("bwrap", path=_PATH) is None:
        return "it is not installed"
    if candidate is Level.LANDLOCK and os.uname().machine not in seccomp.MACHINES:
        return "the system calls of this processor are not known"
    why = ""
    for _ in range(_PROBES):
        try:
            return await _escaped(candidate, folder)
        except _Unconfined as error:
            return error.said
        except (Failure, OSError) as error:  # it may pass: the machine is busy, or has run out of something
            why = str(error)
    return why


async def _escaped(candidate: Level, folder: Path) -> str:
    with TemporaryDirectory(prefix="probe-", dir=folder) as name, socket.create_server(("127.0.0.1", 0)) as listener:
        secret, job = Path(name) / "secret", Path(name) / "job"
        secret.write_text("secret", encoding="ascii")
        job.mkdir()
        argv = [*landlock.program("escape"), str(secret.absolute()), str(listener.getsockname()[1])]
        finished = await _run(argv, job, _PROBE_SECONDS, landlock.needed("escape"), Limits(), candidate)
    if finished.returncode == 0:
        return ""
    return finished.stderr.decode(errors="replace").strip() or f"the probe ended with {finished.returncode}"


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
    if shutil.which(argv[0], path=_PATH) is None:
        raise TransientFailure("4.3.5", f"this server lacks the program {Path(argv[0]).name}")
    try:
        return await _run(argv, folder, timeout, readable, limits or Limits(), await level(folder))
    except _Unconfined as error:
        log.error("a converter could not be confined: %s", error.said)  # noqa: TRY400 - where it happened says nothing
        raise


class _Unconfined(TransientFailure):
    """The launcher did not run the program; `said` is its own words."""

    def __init__(self, said: bytes) -> None:
        super().__init__("4.3.0", "the converter could not be confined")
        self.said = said.decode(errors="replace").strip()


async def _run(
    argv: Sequence[str], folder: Path, timeout: float, readable: Sequence[Path], limits: Limits, level: Level
) -> Finished:
    try:
        with _pipe() as (filtered, sink), _pipe() as (told, status):
            with sink:
                sink.write(_filter(limits.processes > 1))  # less than a pipe holds
            descriptors = (filtered.fileno(), status.fileno())
            command = confined(
                argv,
                folder=folder,
                level=level,
                seconds=timeout,
                readable=readable,
                limits=limits,
                descriptors=descriptors,
            )
            _keep_descriptors()
            process = await asyncio.create_subprocess_exec(
                *command,
                cwd=folder,
                env=_environment(folder),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
                pass_fds=descriptors if level is Level.BUBBLEWRAP else (),
            )
            finished = await _supervise(process, folder, timeout, limits, level)
            if _was_run(finished, level, told.fileno()):
                return finished
    except OSError as error:
        raise TransientFailure("4.3.0", f"the converter could not be started ({error.strerror})") from error
    raise _Unconfined(finished.stderr)


@contextlib.contextmanager
def _pipe() -> Iterator[tuple[FileIO, FileIO]]:
    source, sink = os.pipe()
    with FileIO(source, "rb") as reading, FileIO(sink, "wb") as writing:
        yield reading, writing


def _was_run(finished: Finished, level: Level, told: int) -> bool:
    """False if the launcher ended before it ran the program."""
    if level is Level.LANDLOCK:
        return finished.returncode != _FAILED or not finished.stderr.startswith(b"confine: ")
    if level is not Level.BUBBLEWRAP or finished.returncode != 1:
        return True
    os.set_blocking(told, False)
    with contextlib.suppress(BlockingIOError):
        return b"exit-code" in os.read(told, 4096)
    return False


def _filter(processes: bool) -> bytes:
    machine = os.uname().machine
    if machine not in seccomp.MACHINES:
        return seccomp.NOTHING
    return seccomp.program(machine, processes=processes, namespaces=True)


def _keep_descriptors() -> None:
    """Let no child have what whoever started this process left open: uvloop closes nothing, nor does bubblewrap."""
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names, and quickly
        with contextlib.suppress(OSError):
            if int(name) > 2 and os.get_inheritable(int(name)):
                os.set_inheritable(int(name), False)


async def _supervise(
    process: asyncio.subprocess.Process, folder: Path, timeout: float, limits: Limits, level: Level
) -> Finished:
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr = Tail(), Tail()
    ended = asyncio.gather(stdout.read(process.stdout), stderr.read(process.stderr), process.wait())
    memory = sys.maxsize if limits.processes == 1 else limits.memory  # RLIMIT_AS is exact
    bounds = Bounds(output=limits.output, folder=limits.folder, memory=memory, tasks=limits.tasks + _LAUNCHERS)
    watch = asyncio.create_task(excess(process.pid, folder, (stdout, stderr), bounds))
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
        await _end(process, ended, level)
    # bubblewrap and shells tell a signal as 128 + n
    return Finished(returncode=128 - code if 128 < code < 193 else code, stdout=stdout.octets, stderr=stderr.octets)


def _too_much(what: str) -> PermanentFailure:
    return PermanentFailure("5.6.5", f"the document {what}", reason="aborted-by-system")


async def _end(
    process: asyncio.subprocess.Process, ended: asyncio.Future[tuple[None, None, int]], level: Level
) -> None:
    """Leave nothing behind: the group is killed even if its leader has ended."""
    if level is Level.LANDLOCK and not ended.done():
        with contextlib.suppress(ProcessLookupError):
            process.terminate()  # the launcher kills the group of the program, which is another
        await asyncio.wait((ended,), timeout=_GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    # The pipes reach their end when the last process of the namespace is gone.
    await asyncio.wait((ended,), timeout=_GRACE_SECONDS)
    ended.cancel()


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
