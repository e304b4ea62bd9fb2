"""The whole system as real processes on free ports of loopback, in a test's own folder: `house`.

Either `printpost up`, which is how people run it, or the directory, `serve` and `bridge` apart, so that a test can end
one of them and start it again as it likes.  Everything is ended by its process id when the context ends.  The logs stay
in the test's folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import smtplib
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mailstore.directory.ldap import LdapDirectory, embedded
from mailstore.directory.records import Language, Printer
from mailstore.directory.slapd import EmbeddedDirectory, answers
from mailstore.job import ENDED, Job, JobState
from mailstore.store.contract import Role
from mailstore.store.runtime import runtime_folder
from mailstore.store.sql import SqlStore, open_store
from tests.directory_server import short_folder

PATIENCE = 60.0
"""Seconds for anything that takes a moment; a machine may be busy."""
SECRET = "correct horse"
ADA = "ada@example.com"
LISTENERS = ("smtp", "submission", "submissions", "pop3", "pop3s", "web", "metrics", "bridge")
"""The sections of the configuration that have a listener."""
GLANCE = 0.02
"""Seconds between two looks at what rings no bell for us."""
_ROOT = Path(__file__).parents[1]
_PYTHONPATH = os.pathsep.join((str(_ROOT), str(_ROOT / "tests" / "without")))  # without what only tests have


def mail_of(*documents: bytes, subject: str = "a job", sender: str = ADA) -> bytes:
    """A mail with attachments, as bytes with CRLF."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"], mail["Subject"] = sender, "printers@example.com", subject
    mail.set_content("see attachments\n")
    for number, document in enumerate(documents, 1):
        mail.add_attachment(document, maintype="application", subtype="octet-stream", filename=f"document-{number}")
    return mail.as_bytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A program that has ended."""

    status: int
    out: str
    err: str


class Running:
    """A process that the test started."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.log = log

    @property
    def said(self) -> str:
        """What it wrote so far."""
        return self.log.read_text(errors="replace")

    def send_signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def states(self) -> list[str]:
        """The state of each of its threads, as in proc(5): T for a stopped one."""
        stats = (path.read_text() for path in Path(f"/proc/{self.pid}/task").glob("*/stat"))
        return [stat.rpartition(")")[2].split()[0] for stat in stats]

    def mend(self) -> None:
        """Let it go on if it was stopped."""
        if self.process.returncode is None:
            self.send_signal(signal.SIGCONT)

    async def ended(self, seconds: float = PATIENCE) -> int:
        """Its exit status, as a shell counts it: 128 + N for signal N."""
        async with asyncio.timeout(seconds):
            status = await self.process.wait()
        return 128 - status if status < 0 else status

    async def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal it, and see it out; kill it if it does not go."""
        if self.process.returncode is None:
            self.mend()
            self.send_signal(number)
        try:
            return await self.ended(40)
        except TimeoutError:
            self.send_signal(signal.SIGKILL)
            await self.process.wait()
            raise AssertionError(f"{self.log.name} does not end:\n{self.said}") from None

    def children(self) -> dict[str, int]:
        """The process ids of what `up` runs: "directory", "appliance" and "bridge"."""
        found = {}
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                for name, word in (("directory", b"-h"), ("appliance", b"serve"), ("bridge", b"printerbridge")):
                    if word in command:
                        found[name] = pid
        return found


class Metrics:
    """What one process answered to a scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families = {family.name: family for family in text_string_to_metric_families(text)}

    def value(self, name: str, **labels: str) -> float:
        """The sum of the samples of this name that have these labels."""
        return sum(
            sample.value
            for family in self.families.values()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )


class House:
    """What runs, where it listens, and hands to use it with.  `store` and `directory` are this process's own."""

    store: SqlStore
    directory: LdapDirectory

    def __init__(self, folder: Path, short: Path, data: Path, settings: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.data = data
        self.configuration = folder / "printpost.toml"
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PRINTPOST_")}
        self.environment |= {"XDG_RUNTIME_DIR": str(short)}
        self.environment.pop("CRASH_AT", None)
        self.children: list[Running] = []
        self.latest: dict[str, Running] = {}  # by command: "up", "serve", "printerbridge"
        self.short = short
        self._numbers = itertools.count(1)
        folder.mkdir(parents=True, exist_ok=True)
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.runtime = runtime_folder(data, short)
        self.server = EmbeddedDirectory(data / "directory", self.runtime)
        self.listen = {name: ("127.0.0.1", port) for name, port in zip(LISTENERS, free_ports(8), strict=True)}
        self.configure(settings)

    @property
    def smtp(self) -> tuple[str, int]:
        return self.listen["smtp"]

    @property
    def pop3(self) -> tuple[str, int]:
        return self.listen["pop3"]

    @property
    def metrics(self) -> tuple[str, int]:
        return self.listen["metrics"]

    @property
    def bridge_metrics(self) -> tuple[str, int]:
        return self.listen["bridge"]

    def configure(self, settings: Mapping[str, Mapping[str, Any]]) -> None:
        """Write the configuration; `settings` come over what the test bed needs."""
        sections: dict[str, dict[str, Any]] = {
            "site": {"hostname": "mail.example.com", "domains": ["example.com"]},
            "store": {"url": f"sqlite:{self.data}", "reserve": "1 MiB"},
            "proof": {"dns": ["127.0.0.1:1"], "dns_wait": "0.1"},  # nobody's: tests ask no name server of the machine
        }
        for name, where in self.listen.items():
            key = "metrics_listen" if name == "bridge" else "listen"
            sections[name] = {key: "{}:{}".format(*where)}
        for section, values in settings.items():
            sections.setdefault(section, {}).update(values)
        lines = []
        for section, values in sections.items():
            # JSON's strings, numbers and lists are TOML's too.
            lines += [f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
        self.configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")

    # -- processes

    async def start(self, *command: str, environment: Mapping[str, str] | None = None, ready: bool = True) -> Running:
        """Start `python -m COMMAND`, with our configuration; by default wait until it says that it is ready."""
        number = next(self._numbers)
        module, *words = command
        name = words[0] if words else module
        log = self.folder / f"{number:03}-{name}.log"
        bell = self.short / f"bell{number}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as ring, log.open("wb") as written:
            ring.bind(str(bell))
            process = await asyncio.create_subprocess_exec(
                *("setpriv", "--pdeathsig", "TERM", "--", sys.executable, "-m", module),
                *("--config", str(self.configuration), *words),
                cwd=self.folder,
                env={**self.environment, "PYTHONPATH": _PYTHONPATH, "NOTIFY_SOCKET": str(bell), **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.STDOUT,
            )
            running = Running(process, log)
            self.children.append(running)
            self.latest[name] = running
            if ready:
                await _ready(ring, running)
        return running

    async def up(self, **environment: str) -> Running:
        return await self.start("appliance", "up", environment=environment)

    async def serve(self, **environment: str) -> Running:
        return await self.start("appliance", "serve", environment=environment)

    async def bridge(self, **environment: str) -> Running:
        return await self.start("printerbridge", environment=environment)

    async def printpost(self, *words: str, stdin: str = "", **environment: str) -> Finished:
        """The command line."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "appliance", "--config", str(self.configuration), *words),
            cwd=self.folder,
            env={**self.environment, "PYTHONPATH": str(_ROOT), "NO_COLOR": "1", "COLUMNS": "200", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                out, err = await process.communicate(stdin.encode())
        except TimeoutError:
            process.kill()
            await process.wait()
            raise AssertionError(f"printpost {' '.join(words)} does not end") from None
        assert process.returncode is not None
        return Finished(status=process.returncode, out=out.decode(), err=err.decode())

    async def stop(self) -> None:
        for child in self.children:
            await child.end()
        await self.server.stop()

    # -- printers and mail

    async def add(
        self, name: str, uri: str = "", *languages: Language, password: str | None = None, **more: Any
    ) -> str:
        """Make a printer on which everybody at example.com may print; a POP3 one has the password SECRET."""
        entry = Printer(
            name=name,
            addresses=(f"{name}@example.com",),
            uri=uri,
            languages=languages or (Language.POSTSCRIPT,),
            **{"allow": ("@example.com",), **more},
        )
        await self.directory.add(entry, password if uri else password or SECRET)
        await self.store.changed()
        return name

    async def submit(self, message: bytes, *printers: str, sender: str = ADA) -> tuple[int, str]:
        """Mail to printers; the first reply that is not 250, else that to the data.  Raises OSError, SMTPException."""
        addresses = [printer if "@" in printer else f"{printer}@example.com" for printer in printers]
        code, text = await asyncio.to_thread(_submit, self.smtp, sender, addresses, message)
        return code, text.decode()

    async def mail(self, printer: str, *documents: bytes) -> int:
        """Mail documents to a printer; the number of the job that was promised."""
        code, text = await self.submit(mail_of(*documents), printer)
        assert code == 250, (code, text)
        return promised(text)

    async def job(self, number: int, *states: JobState, seconds: float = PATIENCE) -> Job:
        """The job, once it is in one of these states; by default: once it has ended."""
        job = None
        try:
            async with asyncio.timeout(seconds):
                while True:
                    job = await self.store.job(number)
                    if job is not None and job.state in (states or ENDED):
                        return job
                    await asyncio.sleep(GLANCE)
        except TimeoutError:
            raise AssertionError(f"after {seconds} s the job is {job}:\n{self.logs()}") from None

    async def jobs(self, *numbers: int) -> list[Job]:
        """The jobs, once all have ended."""
        return [await self.job(number) for number in numbers]

    # -- looking

    async def get(self, where: tuple[str, int], page: str) -> tuple[int, str]:
        """Status and text of a page of a process's monitor."""
        return await asyncio.to_thread(_get, "http://{}:{}/{}".format(*where, page))

    async def scrape(self, where: tuple[str, int]) -> Metrics:
        status, text = await self.get(where, "metrics")
        assert status == 200, text
        return Metrics(text)

    def check_logs(self) -> None:
        """Whatever happened, no process met an error that it did not expect."""
        for child in self.children:
            assert "Traceback (most recent call last)" not in child.said, f"{child.log.name}:\n{child.said[-5000:]}"

    def logs(self) -> str:
        """The last lines of every process."""
        return "\n".join(f"--- {child.log.name}\n{child.said[-3000:]}" for child in self.children)


@contextlib.asynccontextmanager
async def house(
    folder: Path, *, apart: bool = False, data: Path | None = None, **settings: Mapping[str, Any]
) -> AsyncIterator[House]:
    """`up` in `folder`, or all of it apart: `serve`, `printerbridge`, and the directory in our own care, `server`."""
    with short_folder() as short:
        made = House(folder, short, data or folder / "data", settings)
        try:
            if apart:
                await made.server.start()
                await asyncio.gather(made.serve(), made.bridge())
            else:
                await made.up()
            async with _opened(made):
                yield made
        finally:
            await made.stop()
        made.check_logs()


@contextlib.asynccontextmanager
async def empty_house(folder: Path, data: Path | None = None, **settings: Mapping[str, Any]) -> AsyncIterator[House]:
    """The same with nothing running yet: for what goes wrong at the start.  No `store`, no `directory`."""
    with short_folder() as short:
        made = House(folder, short, data or folder / "data", settings)
        try:
            yield made
        finally:
            await made.stop()


@contextlib.asynccontextmanager
async def _opened(made: House) -> AsyncIterator[None]:
    assert await answers(made.runtime)
    made.store = await open_store(made.data, role=Role.TOOL, reserve=0, runtime=made.short)
    made.directory = embedded(made.data / "directory", made.runtime, "appliance")
    try:
        yield
    finally:
        await made.directory.close()
        await made.store.close()


async def _ready(ring: socket.socket, running: Running) -> None:
    """Return when the process has said READY=1 (sd_notify)."""

    async def heard() -> None:
        while b"READY=1" not in await asyncio.get_running_loop().sock_recv(ring, 4096):
            pass

    hearing, ending = asyncio.create_task(heard()), asyncio.create_task(running.process.wait())
    await asyncio.wait([hearing, ending], timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
    ready = hearing.done()
    for task in (hearing, ending):
        task.cancel()
    await asyncio.gather(hearing, ending, return_exceptions=True)
    assert ready, f"{running.log.name} does not start (status {running.process.returncode}):\n{running.said}"


def promised(reply: str) -> int:
    """The number in "accepted as job N"."""
    found = re.fullmatch(r"2\.0\.0 accepted as job (\d+)", reply)
    assert found, reply
    return int(found[1])


def free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


async def foreign(*command: str, stdin: bytes = b"", seconds: float = PATIENCE, **environment: str) -> Finished:
    """Run a program that is not ours; skipped where it is not installed."""
    if not (program := shutil.which(command[0])):
        pytest.skip(f"{command[0]} is not installed")
    child = await asyncio.create_subprocess_exec(
        program,
        *command[1:],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        async with asyncio.timeout(seconds):
            out, err = await child.communicate(stdin)
    except TimeoutError:
        child.kill()
        await child.wait()
        raise AssertionError(f"{command[0]} does not end") from None
    assert child.returncode is not None
    return Finished(status=child.returncode, out=out.decode("latin-1"), err=err.decode("latin-1"))


def _submit(server: tuple[str, int], sender: str, recipients: list[str], message: bytes) -> tuple[int, bytes]:
    with smtplib.SMTP(*server, timeout=PATIENCE) as client:
        client.ehlo("client.example.com")
        for code, text in (client.mail(sender), *map(client.rcpt, recipients)):
            if code != 250:
                return code, text
        try:
            return client.data(message)
        except smtplib.SMTPDataError as refused:  # instead of 354
            return refused.smtp_code, bytes(refused.smtp_error)  # type: ignore[arg-type]


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
