"""The embedded directory: makes a slapd from nothing and keeps it as a child process.

Its data folder holds `slapd.conf` (written anew at every start), `data/` (the mdb database), one secret for each of the
two identities, and a lock that slapd itself keeps as long as it lives, so that no second one opens the same database.

Security: slapd listens on nothing but a Unix socket in the runtime folder, which only its owner can enter.  What it
lets whom do stands in `openldap`.  The first entries are written offline, so no root identity is needed.  Secrets are
random, hashed in the database and kept in files of mode 0600.  slapd is given few descriptors, and is told by the
kernel to end when its parent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import resource
import secrets
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self
from urllib.parse import quote

import structlog

from mailstore.directory.openldap import Identity, Software, configuration, explained, first_entries, run
from mailstore.failure import PermanentFailure, TransientFailure

log = structlog.get_logger()

_STARTING = 10.0  # seconds until slapd must answer
_STOPPING = 10.0  # seconds until a slapd that was asked to end is killed
_GLANCE = 0.02  # seconds between two looks at a server that is starting
_SOCKET_PATH = 107  # octets, unix(7)
# An anonymous bind (RFC 4511 section 4.2): whatever slapd answers, it answers.
_KNOCK = bytes.fromhex("300c020101600702010304008000")


def socket_url(runtime: Path) -> str:
    """The ldapi URL of the server whose socket lies in `runtime`."""
    return "ldapi://" + quote(str(_socket(runtime)), safe="")


def secret(folder: Path, identity: Identity) -> str:
    """The password of `identity`.  Raises `PermanentFailure` where no server was ever made, or not for this user."""
    path = folder / f"{identity.value}.password"
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError as error:
        raise PermanentFailure(
            "4.3.5", f"cannot read {path} ({error.strerror}): start printpost up once, as the user it runs as"
        ) from error


async def answers(runtime: Path, seconds: float = 2.0) -> bool:
    """Whether a server answers on the socket in `runtime`."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(_socket(runtime))
            try:
                writer.write(_KNOCK)
                return bool(await reader.read(1))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except (OSError, TimeoutError):
        return False


class EmbeddedDirectory:
    """One slapd over one data folder.  `folder` and `runtime` are made if they are not there."""

    def __init__(self, folder: Path, runtime: Path) -> None:
        self.folder = folder.absolute()
        self.runtime = runtime.absolute()
        self.url = socket_url(self.runtime)
        self._status = 0
        self._process: asyncio.subprocess.Process | None = None
        self._listener: asyncio.Task[None] | None = None
        self._last_words: deque[str] = deque(maxlen=20)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def pid(self) -> int:
        """The running server's process id, 0 if there is none."""
        return self._process.pid if self._process else 0

    async def start(self, patience: float = _STARTING) -> None:
        """Make what is missing, start slapd and return when it answers.

        Waits up to `patience` seconds for another server over the same folder to end.  Raises `PermanentFailure` if
        slapd is not installed or refuses its configuration, `TransientFailure` if the folder stays in use.
        """
        software = Software.find()
        if len(os.fsencode(_socket(self.runtime))) > _SOCKET_PATH:
            raise PermanentFailure("4.3.5", f"{self.runtime} is too long for a socket: set XDG_RUNTIME_DIR shorter")
        for folder in (self.folder, self.runtime):
            _make_folder(folder)
        lock = await _locked(
            self.folder / "lock", patience, f"{self.folder} is in use by another slapd: end that one first"
        )
        try:
            conf = self._configure(software)
            await self._create(software, conf)
            await self._spawn(software, conf, lock)
        finally:
            os.close(lock)  # slapd has inherited it
        try:
            await self._ready()
        except BaseException:
            await self.stop()
            raise

    async def wait(self) -> int:
        """Return slapd's exit status when it ends, at once if it does not run."""
        return await self._process.wait() if self._process else self._status

    async def stop(self) -> None:
        """End slapd in order; kill it if it does not.  May be called more than once."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOPPING):
                    await process.wait()
            except TimeoutError:
                log.warning("slapd was killed", why=f"it did not end within {_STOPPING:g} seconds")
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                await process.wait()
        self._status = process.returncode or 0
        if self._listener:
            await self._listener

    def _configure(self, software: Software) -> Path:
        conf = self.folder / "slapd.conf"
        text = configuration(self.folder, software)
        if not conf.exists() or conf.read_text(encoding="utf-8") != text:
            _write_private(conf, text)
        return conf

    async def _create(self, software: Software, conf: Path) -> None:
        """Write the first entries, offline.  A folder that was left half made is made again."""
        data = self.folder / "data"
        made = self.folder / "data.made"
        if made.exists():
            if not (data / "data.mdb").exists():
                raise PermanentFailure(
                    "4.3.5", f"the database in {data} is gone: restore it, or remove {made} to begin anew"
                )
            return
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        hashes = {}
        for identity in Identity:
            password = secrets.token_urlsafe(32)
            _write_private(self.folder / f"{identity.value}.password", password + "\n")
            hashes[identity] = await software.hashed(password)
        await run([*software.tool("slapadd"), "-f", str(conf)], first_entries(hashes))
        _sync(data)
        _write_private(made, "")

    async def _spawn(self, software: Software, conf: Path, lock: int) -> None:
        # slapd makes room for as many connections as there may be descriptors, which in a container can mean gigabytes.
        # A session of its own keeps the terminal's Ctrl-C from it: it has to outlive those who use it.
        self._process = await asyncio.create_subprocess_exec(
            *("prlimit", f"--nofile={_descriptors()}", "setpriv", "--pdeathsig", "TERM"),
            *software.tool("slapd"),
            *("-h", self.url, "-f", str(conf), "-d", "none"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"LANG": "C.UTF-8", "PATH": os.environ.get("PATH", os.defpath)},
            cwd=self.folder,
            pass_fds=(lock,),
            start_new_session=True,
        )
        assert self._process.stderr is not None
        self._last_words.clear()
        self._listener = asyncio.create_task(self._listen(self._process.stderr))

    async def _listen(self, stderr: asyncio.StreamReader) -> None:
        while octets := await stderr.read(4096):
            for line in octets.decode("utf-8", "replace").splitlines():
                self._last_words.append(line)
                log.debug("slapd", said=line)

    async def _ready(self) -> None:
        assert self._process is not None
        deadline = asyncio.get_running_loop().time() + _STARTING
        while not await answers(self.runtime):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._process.wait()), _GLANCE)
            if self._process.returncode is not None:
                assert self._listener is not None
                await self._listener
                words = next((line for line in reversed(self._last_words) if "stopped" not in line), "no reason given")
                raise PermanentFailure("4.3.5", f"slapd ended at once: {explained(words)}")
            if asyncio.get_running_loop().time() >= deadline:
                raise TransientFailure("4.3.0", f"slapd did not answer within {_STARTING:g} seconds")


@contextlib.asynccontextmanager
async def ensure(folder: Path, runtime: Path, patience: float = _STARTING) -> AsyncIterator[str]:
    """The URL of a server that runs while the context lasts: the one that answers already, or else one of our own.

    For commands that work whether or not `printpost up` runs.  Commands that need a server of their own take turns.
    Raises like `EmbeddedDirectory.start`.
    """
    _make_folder(folder)
    busy = "another command is using the directory: try again when it is done"
    turn = await _locked(folder / "turn", patience, busy)
    server = EmbeddedDirectory(folder, runtime)
    try:
        # While it is our turn no other command's server can answer, so one that does is there to stay.
        await _answered_or_started(server, patience)
        if not server.pid:
            os.close(turn)
            turn = -1
        yield server.url
    finally:
        await server.stop()
        if turn >= 0:
            os.close(turn)


async def _answered_or_started(server: EmbeddedDirectory, patience: float) -> None:
    """Return when a server answers, be it another one that is just starting, or `server` itself."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while not await answers(server.runtime):
        try:
            await server.start(patience=10 * _GLANCE)
        except TransientFailure:
            if loop.time() >= deadline:
                raise


async def _locked(path: Path, patience: float, otherwise: str) -> int:
    """A descriptor that holds the lock on `path` until it is closed in every process that has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(patience):
            while not _locks(descriptor):  # noqa: ASYNC110 - another process holds it: nothing tells us
                await asyncio.sleep(_GLANCE)
    except BaseException as error:
        os.close(descriptor)
        if isinstance(error, TimeoutError):
            raise TransientFailure("4.3.0", otherwise) from None
        raise
    return descriptor


def _locks(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _descriptors() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1024 if hard == resource.RLIM_INFINITY else min(1024, hard)


def _socket(runtime: Path) -> Path:
    return runtime.absolute() / "ldapi"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise PermanentFailure("4.3.5", f"cannot make the folder {folder}: {error.strerror}") from error


def _write_private(path: Path, text: str) -> None:
    """Write a file of mode 0600, whole or not at all, durably."""
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
