"""The embedded directory: makes a slapd from nothing and keeps it as a child process.

Its data folder holds `slapd.conf` (written anew at every start), `data/` (the mdb database), one secret for each of the
two identities, and a lock that slapd itself keeps as long as it lives, so that no second one opens the same database.

Security: slapd listens on nothing but a Unix socket in the runtime folder, which only its owner can enter.  Nobody
reads `userPassword`, not even the appliance; there is no root identity at all (the first entries are written offline);
anonymous clients can do nothing but bind.  Secrets are random, hashed in the database and kept in files of mode 0600.
slapd is given few descriptors, and is told by the kernel to end when its parent dies.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import resource
import secrets
import shutil
import signal
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import quote

from mailstore.failure import PermanentFailure, TransientFailure

logger = logging.getLogger(__name__)

SUFFIX = "dc=printpost"
"""The base of the embedded tree."""

_STARTING = 10.0  # seconds until slapd must answer
_STOPPING = 10.0  # seconds until a slapd that was asked to end is killed
_GLANCE = 0.02  # seconds between two looks at a server that is starting
_OWN_SCHEMA = Path(__file__).parent
_SCHEMA_FOLDERS = (
    "/etc/ldap/schema",  # Debian
    "/etc/openldap/schema",  # Fedora, Alpine, Arch
    "/usr/share/openldap/schema",
    "/usr/local/etc/openldap/schema",  # FreeBSD
    "/opt/symas/etc/openldap/schema",
)
_MODULE_FOLDERS = (
    "/usr/lib/ldap",
    "/usr/lib64/openldap",
    "/usr/lib/openldap",
    "/usr/libexec/openldap",
    "/usr/local/libexec/openldap",
    "/opt/symas/lib/openldap",
)
# An anonymous bind (RFC 4511 section 4.2): whatever slapd answers, it answers.
_KNOCK = bytes.fromhex("300c020101600702010304008000")


class Identity(StrEnum):
    """Who talks to the embedded directory."""

    APPLIANCE = "appliance"  # writes everything, reads everything but passwords
    BRIDGE = "bridge"  # reads printers

    @property
    def dn(self) -> str:
        return f"cn={self.value},ou=identities,{SUFFIX}"


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
        software = _Software.find()
        for folder in (self.folder, self.runtime):
            _make_folder(folder)
        lock = await self._lock(patience)
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
        """Return slapd's exit status when it ends, for whoever restarts it."""
        assert self._process is not None, "wait() before start()"
        return await self._process.wait()

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
                logger.error("slapd did not end within %g seconds and was killed", _STOPPING)
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGKILL)
                await process.wait()
        if self._listener:
            await self._listener

    async def _lock(self, patience: float) -> int:
        """The data folder's lock.  Every slapd inherits it, and so keeps it even if its parent is killed."""
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = asyncio.get_running_loop().time() + patience
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError:
                if asyncio.get_running_loop().time() >= deadline:
                    os.close(lock)
                    raise TransientFailure(
                        "4.3.0", f"{self.folder} is in use by another slapd: end that one first"
                    ) from None
            except BaseException:
                os.close(lock)
                raise
            await asyncio.sleep(_GLANCE)

    def _configure(self, software: _Software) -> Path:
        conf = self.folder / "slapd.conf"
        text = _configuration(self.folder, software)
        if not conf.exists() or conf.read_text(encoding="utf-8") != text:
            _write_private(conf, text)
        return conf

    async def _create(self, software: _Software, conf: Path) -> None:
        """Write the first entries, offline.  A folder that was left half made is made again."""
        data = self.folder / "data"
        made = self.folder / "data.made"
        if made.exists():
            return
        shutil.rmtree(data, ignore_errors=True)
        data.mkdir(mode=0o700)
        hashes = {}
        for identity in Identity:
            password = secrets.token_urlsafe(32)
            _write_private(self.folder / f"{identity.value}.password", password + "\n")
            hashes[identity] = await software.hashed(password)
        await _run([*software.tool("slapadd"), "-f", str(conf)], _first_entries(hashes))
        _write_private(made, "")

    async def _spawn(self, software: _Software, conf: Path, lock: int) -> None:
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
        async for octets in stderr:
            line = octets.decode("utf-8", "replace").rstrip()
            self._last_words.append(line)
            logger.info("slapd: %s", line)

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
                raise PermanentFailure("4.3.5", f"slapd ended at once: {words}")
            if asyncio.get_running_loop().time() >= deadline:
                raise TransientFailure("4.3.0", f"slapd did not answer within {_STARTING:g} seconds")


@contextlib.asynccontextmanager
async def ensure(folder: Path, runtime: Path, patience: float = _STARTING) -> AsyncIterator[str]:
    """The URL of a server that runs while the context lasts: the one that answers already, or else one of our own.

    For commands that work whether or not `printpost up` runs.  Commands that need a server of their own take turns.
    Raises like `EmbeddedDirectory.start`.
    """
    turn = await _take_turn(folder, runtime, patience)
    try:
        # While it is our turn no other command's server can answer, so one that does is there to stay.
        if await answers(runtime):
            os.close(turn)
            turn = -1
            yield socket_url(runtime)
            return
        server = EmbeddedDirectory(folder, runtime)
        async with server:
            yield server.url
    finally:
        if turn >= 0:
            os.close(turn)


async def _take_turn(folder: Path, runtime: Path, patience: float) -> int:
    _make_folder(folder)
    _make_folder(runtime)
    turn = os.open(folder / "turn", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        async with asyncio.timeout(patience):
            while True:
                try:
                    fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return turn
                except BlockingIOError:
                    await asyncio.sleep(_GLANCE)
    except TimeoutError:
        os.close(turn)
        raise TransientFailure("4.3.0", "another command is using the directory: try again when it is done") from None
    except BaseException:
        os.close(turn)
        raise


@dataclass(frozen=True, slots=True, kw_only=True)
class _Software:
    """Where this machine keeps OpenLDAP."""

    slapd: str
    schema: Path
    modules: Path | None  # None: everything is compiled in

    @classmethod
    def find(cls) -> _Software:
        slapd = shutil.which("slapd", path=os.pathsep.join([os.environ.get("PATH", os.defpath), *_SERVER_FOLDERS]))
        schema = next((Path(folder) for folder in _SCHEMA_FOLDERS if Path(folder, "misc.schema").exists()), None)
        if slapd is None or schema is None:
            raise PermanentFailure(
                "4.3.5", "slapd is not installed: apt-get install slapd (or set [directory] url to an LDAP of your own)"
            )
        for tool in ("setpriv", "prlimit"):
            if shutil.which(tool) is None:
                raise PermanentFailure("4.3.5", f"{tool} is not installed: apt-get install util-linux")
        modules = next((Path(folder) for folder in _MODULE_FOLDERS if any(Path(folder).glob("back_mdb*"))), None)
        return cls(slapd=slapd, schema=schema, modules=modules)

    def has(self, module: str) -> bool:
        return self.modules is not None and any(
            (self.modules / f"{module}{suffix}").exists() for suffix in (".la", ".so")
        )

    @property
    def password_module(self) -> str:
        """The module of the best password hash there is, "" if there is none (then crypt(3) hashes)."""
        return next((module for module in ("argon2", "pw-argon2", "pw-sha2") if self.has(module)), "")

    @property
    def password_scheme(self) -> str:
        if not self.password_module:
            return "{CRYPT}"
        return "{SSHA512}" if self.password_module == "pw-sha2" else "{ARGON2}"

    def tool(self, name: str) -> list[str]:
        """The command `name`: slapadd and its kin are all slapd under other names."""
        return [self.slapd] if name == "slapd" else [self.slapd, "-T", name.removeprefix("slap")]

    async def hashed(self, password: str) -> str:
        load = ["-o", f"module-path={self.modules}", "-o", f"module-load={self.password_module}"]
        command = [*self.tool("slappasswd"), "-n", "-T", "/dev/stdin", "-h", self.password_scheme]
        return await _run([*command, *(load if self.password_module else ["-c", _CRYPT_FORMAT])], password)


_SERVER_FOLDERS = ("/usr/sbin", "/usr/libexec", "/usr/local/libexec", "/usr/lib/openldap", "/opt/symas/lib")
_CRYPT_FORMAT = "$6$%.16s"  # SHA-512
_ARGON2_COST = " m=19456 t=2 p=1"  # 19 MiB, two passes: RFC 9106 for small machines


def _configuration(folder: Path, software: _Software) -> str:
    """The text of slapd.conf(5)."""
    lines = [
        f"include {_quoted(software.schema / name)}.schema" for name in ("core", "cosine", "inetorgperson", "misc")
    ]
    for name in ("printer", "printpost"):
        lines += _schema_lines((_OWN_SCHEMA / f"{name}.ldif").read_text(encoding="ascii"))
    modules = [name for name in ("back_mdb", "unique", software.password_module) if software.has(name)]
    if software.modules is not None:
        lines += [f"modulepath {_quoted(software.modules)}"]
        lines += [f"moduleload {name}{_ARGON2_COST if 'argon2' in name else ''}" for name in modules]
    lines += [
        f"password-hash {software.password_scheme}",
        f'password-crypt-salt-format "{_CRYPT_FORMAT}"',
        "disallow bind_anon",
        "threads 4",
        "database mdb",
        f'suffix "{SUFFIX}"',
        f"directory {_quoted(folder / 'data')}",
        "maxsize 1073741824",
        "mode 0600",
        "sizelimit unlimited",
        "index objectClass,uid,mail,mailLocalAddress eq",
        # slapo-unique searches as the root identity; this one is in no database, so nobody can bind as it.
        'rootdn "cn=nobody"',
        *_ACCESS,
    ]
    if software.modules is None or software.has("unique"):
        lines += ["overlay unique", f"unique_uri ldap:///ou=printers,{SUFFIX}?uid,mail,mailLocalAddress?sub"]
    return "\n".join(lines) + "\n"


_ACCESS = (
    f'access to dn.subtree="ou=identities,{SUFFIX}" attrs=userPassword by anonymous auth by * none',
    f'access to dn.subtree="ou=identities,{SUFFIX}" by * none',
    f'access to attrs=userPassword by dn.exact="{Identity.APPLIANCE.dn}" =w by anonymous auth by * none',
    f'access to dn.subtree="ou=printers,{SUFFIX}"'
    f' by dn.exact="{Identity.APPLIANCE.dn}" write by dn.exact="{Identity.BRIDGE.dn}" read by anonymous auth by * none',
    f'access to dn.base="{SUFFIX}"'
    f' by dn.exact="{Identity.APPLIANCE.dn}" write by dn.exact="{Identity.BRIDGE.dn}" search by * none',
    f'access to * by dn.exact="{Identity.APPLIANCE.dn}" write by anonymous auth by * none',
)


def _schema_lines(ldif: str) -> list[str]:
    """The definitions of a cn=config schema entry, as slapd.conf(5) wants them."""
    unfolded = ldif.replace("\n ", "").splitlines()
    words = {"olcAttributeTypes": "attributetype", "olcObjectClasses": "objectclass"}
    pairs = (line.partition(": ") for line in unfolded)
    return [f"{words[name]} {definition}" for name, _, definition in pairs if name in words]


def _first_entries(hashes: dict[Identity, str]) -> str:
    entries = [f"dn: {SUFFIX}\nobjectClass: domain\ndc: {SUFFIX.removeprefix('dc=')}\n"]
    entries += [
        f"dn: ou={unit},{SUFFIX}\nobjectClass: organizationalUnit\nou: {unit}\n"
        for unit in ("identities", "printers", "people", "groups")
    ]
    entries += [
        f"dn: {identity.dn}\nobjectClass: organizationalRole\nobjectClass: simpleSecurityObject\n"
        f"cn: {identity.value}\nuserPassword: {hashed}\n"
        for identity, hashed in hashes.items()
    ]
    return "\n".join(entries)


async def _run(command: Sequence[str], text: str) -> str:
    """Run one of slapd's tools with `text` as its input and return its output."""
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_STARTING):
            out, err = await process.communicate(text.encode())
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    if process.returncode != 0:
        words = err.decode("utf-8", "replace").strip().splitlines()
        raise PermanentFailure("4.3.5", f"slapd refuses to be set up: {words[-1] if words else process.returncode}")
    return out.decode().strip()


def _descriptors() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return 1024 if hard == resource.RLIM_INFINITY else min(1024, hard)


def _socket(runtime: Path) -> Path:
    return runtime.absolute() / "ldapi"


def _quoted(path: Path) -> str:
    if '"' in str(path) or "\n" in str(path) or "\\" in str(path):
        raise PermanentFailure("4.3.5", f"{path} cannot be slapd's folder: choose one without quotes and backslashes")
    return f'"{path}"'


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
