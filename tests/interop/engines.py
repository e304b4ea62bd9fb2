"""Builds the image and runs it: with Docker or Podman, or with buildah and bubblewrap where no engine is.

All run it as its makers mean it to be run: as the image's user, on a read-only root file system, without capabilities
and new privileges, with a volume and a /tmp.  The last way wants root; it makes the Debian image that ours builds on
from the mirror that this machine uses.  It has namespaces of its own, but no seccomp profile, no limits, no bridge to
the outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pytest

ROOT = Path(__file__).parent.parent.parent
NAME = "printpost-test"
OURS_FOR = {"debian:trixie-slim": f"localhost/{NAME}-base"}
"""What the image is built on, and what stands for it where nothing can be fetched: made here, for this alone."""
BUILDING = 1500.0
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_INSIDE = "/run/host-certificates.crt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What is to run, in Compose's words; what is not said is the image's."""

    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    user: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    volumes: Mapping[str, str] = field(default_factory=dict)  # where inside: a volume's name, or a path of this machine
    without: Sequence[str] = ()  # programs that are missing inside


class Running(Protocol):
    """A container that was started."""

    def execute(self, *command: str) -> tuple[int, str]: ...
    def signal(self, number: signal.Signals) -> None: ...
    def wait(self, seconds: float = 60.0) -> int: ...
    def said(self) -> str: ...


class Engine(Protocol):
    """Builds one image and runs it.  Volumes live as long as the engine."""

    def build(self) -> None: ...
    def settings(self) -> dict[str, Any]: ...
    def start(self, service: Service) -> contextlib.AbstractContextManager[Running]: ...
    def close(self) -> None: ...


def call(*argv: str, seconds: float = 60.0) -> str:
    """What a command says; it must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {(done.stdout + done.stderr)[-3000:]}"
    return done.stdout.strip()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait for what a process in a container tells nobody."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.1)


def found() -> Engine:
    """The first way that works here; skips the test if there is none."""
    for client in ("docker", "podman"):
        if shutil.which(client) and subprocess.run([client, "info"], capture_output=True, check=False).returncode == 0:
            return Client(client)
    tools = ("buildah", "bwrap", "nsenter", "setpriv")
    if os.geteuid() == 0 and all(map(shutil.which, tools)):
        return ByHand(Path(tempfile.mkdtemp(prefix="pp-container-")))
    pytest.skip("no Docker, no Podman, and no root with buildah; .ci/packages interop brings the latter")


class Client:
    """Docker's command line, which is Podman's too."""

    def __init__(self, client: str) -> None:
        self._client = client
        self._volumes: dict[str, str] = {}

    def build(self) -> None:
        form = ["--format", "docker"] if self._client == "podman" else []
        call(self._client, "build", *form, "-t", NAME, str(ROOT), seconds=BUILDING)

    def settings(self) -> dict[str, Any]:
        image = json.loads(call(self._client, "image", "inspect", NAME))[0]
        return {"Healthcheck": image.get("Healthcheck"), **image["Config"]}  # Podman shows that one further up

    @contextlib.contextmanager
    def start(self, service: Service) -> Iterator[Running]:
        options = ["--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
        for key, value in service.environment.items():
            options += ["--env", f"{key}={value}"]
        for inside, name in service.volumes.items():
            options += ["--volume", f"{self._volume(name)}:{inside}"]
        for program in service.without:
            options += ["--volume", f"/dev/null:{program}:ro"]
        if service.user:
            options += ["--user", service.user]
        command = list(service.command or ())
        if service.entrypoint is not None:
            options += ["--entrypoint", service.entrypoint[0]]
            command = [*service.entrypoint[1:], *command]
        number = call(self._client, "run", "--detach", *options, NAME, *command)
        try:
            yield _Detached(self._client, number)
        finally:
            print(_Detached(self._client, number).said())  # pytest shows it if the test fails
            call(self._client, "rm", "--force", "--volumes", number)

    def _volume(self, name: str) -> str:
        return name if name.startswith("/") else self._volumes.setdefault(name, f"{NAME}-{secrets.token_hex(4)}")

    def close(self) -> None:
        for name in self._volumes.values():
            call(self._client, "volume", "rm", name)
        call(self._client, "image", "rm", NAME)


@dataclass(frozen=True, slots=True)
class _Detached:
    client: str
    number: str

    def execute(self, *command: str) -> tuple[int, str]:
        done = subprocess.run(
            [self.client, "exec", self.number, *command], capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def signal(self, number: signal.Signals) -> None:
        call(self.client, "kill", "--signal", number.name, self.number)

    def wait(self, seconds: float = 60.0) -> int:
        return int(call(self.client, "wait", self.number, seconds=seconds))

    def said(self) -> str:
        done = subprocess.run([self.client, "logs", self.number], capture_output=True, text=True, check=True)
        return done.stdout + done.stderr


class ByHand:
    """buildah builds, bubblewrap runs; `folder` is for volumes and logs, and goes at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._container = ""
        self._root = Path()
        self._settings: dict[str, Any] = {}

    def build(self) -> None:
        policy = Path("/etc/containers/policy.json")
        if not policy.exists():
            policy.parent.mkdir(exist_ok=True)
            policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
        ((name, base),) = OURS_FOR.items()
        if subprocess.run(["buildah", "inspect", "--type", "image", base], capture_output=True, check=False).returncode:
            self._make_base(base)
        certificates = ["--volume", f"{_CERTIFICATES}:{_INSIDE}:ro"] if _CERTIFICATES.exists() else []
        options = ["--layers", "--format", "docker", "--isolation", "chroot", "--pull-never", *certificates]
        options += ["--build-context", f"{name}=container-image://{base}"]
        call("buildah", "bud", *options, "--tag", NAME, str(ROOT), seconds=BUILDING)
        self._settings = dict(json.loads(call("buildah", "inspect", "--type", "image", NAME))["Docker"]["config"])
        self._container = call("buildah", "from", "--pull-never", NAME)
        self._root = Path(call("buildah", "mount", self._container))

    def _make_base(self, name: str) -> None:
        if shutil.which("debootstrap") is None:
            pytest.skip("debootstrap is not installed; .ci/packages interop does that")
        system = self._folder / "base"
        signed = [] if Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists() else ["--no-check-gpg"]
        call("debootstrap", *signed, "--variant=minbase", "trixie", str(system), _mirror(), seconds=BUILDING)
        if _CERTIFICATES.exists():  # a mirror of packages in between may have a certificate of its own
            (system / "etc/pip.conf").write_text(f"[global]\ncert = {_INSIDE}\n")
        packed = self._folder / "base.tar"
        call("tar", "-C", str(system), "-cf", str(packed), ".", seconds=BUILDING)
        container = call("buildah", "from", "scratch")
        call("buildah", "add", container, str(packed), "/", seconds=BUILDING)
        call("buildah", "commit", "--rm", container, name, seconds=BUILDING)
        packed.unlink()
        shutil.rmtree(system)

    def settings(self) -> dict[str, Any]:
        return self._settings

    @contextlib.contextmanager
    def start(self, service: Service) -> Iterator[Running]:
        settings = self._settings
        environment = dict(entry.split("=", 1) for entry in settings["Env"]) | dict(service.environment)
        user, _, group = (service.user or settings["User"]).partition(":")
        become = ["setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "--bounding-set=-all"]
        become += ["--inh-caps=-all", "--ambient-caps=-all"]
        become += ["env", "--chdir", settings["WorkingDir"]]
        entrypoint = settings["Entrypoint"] if service.entrypoint is None else service.entrypoint
        default = settings["Cmd"] if service.entrypoint is None else ()
        command = default if service.command is None else service.command
        log = self._folder / f"{secrets.token_hex(4)}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*self._namespaces(service, settings), "--", *become, *entrypoint, *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
            )
        running = _Isolated(process, log, become, environment)
        try:
            yield running
        finally:
            running.end()
            print(log.read_text(errors="replace"))  # pytest shows it if the test fails

    def _namespaces(self, service: Service, settings: Mapping[str, Any]) -> list[str]:
        # A change of user makes the kernel forget whose end a process wanted to hear of: so a namespace around it all.
        options = ["setpriv", "--pdeathsig=KILL", "unshare", "--pid", "--fork", "--kill-child"]
        options += ["bwrap", "--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--as-pid-1"]
        options += ["--die-with-parent", "--hostname", secrets.token_hex(6), "--cap-drop", "ALL"]
        options += [word for right in ("SETUID", "SETGID", "SETPCAP") for word in ("--cap-add", f"CAP_{right}")]
        options += ["--ro-bind", str(self._root), "/", "--proc", "/proc", "--dev", "/dev"]
        options += ["--perms", "1777", "--tmpfs", "/tmp"]
        volumes = {inside: secrets.token_hex(4) for inside in settings["Volumes"]} | dict(service.volumes)
        for inside, name in volumes.items():
            volume, point = self._volume(name, inside), self._root / inside.lstrip("/")
            point.parent.mkdir(parents=True, exist_ok=True)  # engines make what is missing, too
            point.mkdir(exist_ok=True) if volume.is_dir() else point.touch()
            options += ["--bind", str(volume), inside]
        for program in service.without:
            options += ["--ro-bind", "/dev/null", program]
        return options

    def _volume(self, name: str, inside: str) -> Path:
        """A volume's folder; a new one is what the image has in its place, as with Docker."""
        if name.startswith("/"):
            return Path(name)
        folder, model = self._folder / f"volume-{name}", (self._root / inside.lstrip("/")).stat()
        if not folder.exists():
            folder.mkdir()
            os.chown(folder, model.st_uid, model.st_gid)
            folder.chmod(model.st_mode & 0o777)  # Docker forgets the set-group-id bit
        return folder

    def close(self) -> None:
        if self._container:
            call("buildah", "rm", self._container)
            call("buildah", "rmi", NAME)
        shutil.rmtree(self._folder)


@dataclass(frozen=True, slots=True)
class _Isolated:
    process: subprocess.Popen[bytes]
    log: Path
    become: Sequence[str]
    environment: Mapping[str, str]

    @property
    def first(self) -> int:
        """The process that is number 1 inside."""
        until(lambda: bool(self._inside()) or self.process.poll() is not None, 10)
        assert self._inside(), self.said()
        return self._inside()[0]

    def _inside(self) -> list[int]:
        """Number 1, a child of bubblewrap, which is unshare's, or nothing yet or any more."""
        found = [self.process.pid]
        for _ in range(2):
            found = [child for pid in found for child in _children(pid)]
        return found

    def end(self) -> None:
        """Kill bubblewrap, whose namespace ends with it."""
        for pid in _children(self.process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            self.process.wait(10)
        finally:
            self.process.kill()
            self.process.wait()

    def execute(self, *command: str) -> tuple[int, str]:
        enter = ["nsenter", f"--target={self.first}", "--mount", "--pid", "--net", "--ipc", "--uts"]
        done = subprocess.run(
            [*enter, *self.become, *command],
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(self.environment),
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.first, number)

    def wait(self, seconds: float = 60.0) -> int:
        return self.process.wait(seconds)

    def said(self) -> str:
        return self.log.read_text(errors="replace")


def _mirror() -> str:
    """Where this machine's packages come from."""
    folder = Path("/etc/apt")
    files = [folder / "sources.list", *sorted(folder.glob("sources.list.d/*.list"))]
    files += sorted(folder.glob("sources.list.d/*.sources"))
    for text in (file.read_text() for file in files if file.exists()):
        for line in text.splitlines():
            named = re.match(r"(?:deb (?:\[[^]]*\] )?|URIs: *)(\S+)", line)
            if named and "security" not in line:
                return named[1]
    pytest.skip("no Debian mirror is configured here")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
