"""What is measured: Printpost as `printpost up` runs it, and beside it Postfix, munpack and CUPS; printers for both.

Everything lies in one fresh folder and goes with it.  All settings that touch durability are the defaults, of ours and
of theirs.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from appliance.supervisor import Child, Supervisor, both_processes
from mailstore import config
from mailstore.directory.opening import embedded_server, open_directory
from mailstore.directory.records import Printer
from mailstore.job import DeliveryProof
from mailstore.store.contract import Envelope, Recipient, Role
from mailstore.store.sql import open_store
from tests.benchmarks.dovecot import dovecot
from tests.benchmarks.dovecot import fill as fill_maildir
from tests.house import LISTENERS
from tests.interop import cups
from tests.interop.postfix import postfix
from tests.interop.programs import found, program
from tests.sink import free_port

PRINTERS = 8
DOMAIN = "bench.example.com"
BOXES = "boxes.example.com"
BOX = "box"
"""The mailbox of the accept measures: nobody fetches from it."""
DRAINED, LISTED = "drained", "listed"
POLLED = [f"poller{number}" for number in range(50)]
"""The maildrops of the POP3 measures."""
PASSWORD = "a-password"

Fill = Callable[[str, bytes, int], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What a printer saw of one job."""

    printer: int
    octets: int
    first: float  # CLOCK_MONOTONIC
    end: float


class Paper:
    """The printers' process."""

    def __init__(self, process: asyncio.subprocess.Process, ports: Sequence[int]) -> None:
        self.ports = ports
        self._process = process

    async def jobs(self, count: int, octets: int, seconds: float) -> list[Job]:
        """The next `count` jobs, each of exactly `octets`.  Raises `TimeoutError`, or `AssertionError`."""
        assert self._process.stdout is not None
        jobs: list[Job] = []
        async with asyncio.timeout(seconds):
            while len(jobs) < count:
                words = (await self._process.stdout.readline()).split()
                job = Job(printer=int(words[0]), octets=int(words[1]), first=float(words[2]), end=float(words[3]))
                assert job.octets == octets, f"a job of {job.octets} octets came out where {octets} went in"
                jobs.append(job)
        return jobs


@contextlib.asynccontextmanager
async def paper() -> AsyncIterator[Paper]:
    pipe = asyncio.subprocess.PIPE
    argv = [sys.executable, "-m", "tests.benchmarks.paper", str(PRINTERS)]
    process = await asyncio.create_subprocess_exec(*argv, stdin=pipe, stdout=pipe)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Paper(process, [int(word) for word in (await process.stdout.readline()).split()])
    finally:
        process.stdin.close()
        await process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """Something that takes mail for printers, and prints it."""

    name: str
    port: int
    processes: dict[str, int]  # name -> process id, of those whose memory is measured
    queue: Path | None = None  # Postfix' folder of mails that it has taken and not delivered yet
    pop3: int = 0  # a port, where it serves POP3
    fill: Fill | None = None  # puts so many of a mail into a maildrop, however it likes
    memory: Sequence[str] = ()  # words of the command line of the process whose memory counts, with its descendants

    def addresses(self, printers: int) -> list[str]:
        return [f"phaser{number}@{DOMAIN}" for number in range(printers)]

    @property
    def box(self) -> str:
        return f"{BOX}@{BOXES}"

    async def settled(self) -> None:
        """Return when there is nothing left to do in the background, and the disk's buffers are empty."""
        while await asyncio.to_thread(self._busy):  # noqa: ASYNC110 - nothing tells us
            await asyncio.sleep(0.1)
        await asyncio.to_thread(os.sync)

    def _busy(self) -> bool:
        return self.queue is not None and any(any((self.queue / name).iterdir()) for name in ("incoming", "active"))

    @contextlib.asynccontextmanager
    async def memory_peak(self) -> AsyncIterator[list[float]]:
        """The most resident memory, in MB, that its mail service was seen with meanwhile; known at the end."""
        most, peak = 0.0, [0.0]
        done = asyncio.Event()

        async def watch() -> None:
            nonlocal most
            while not done.is_set():
                most = max(most, await asyncio.to_thread(_resident, self.memory))
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(done.wait(), 0.05)

        watching = asyncio.create_task(watch())
        try:
            yield peak
        finally:
            done.set()
            await watching
            peak[0] = most

    def forget_peaks(self) -> None:
        for process in self.processes.values():
            Path(f"/proc/{process}/clear_refs").write_text("5")  # proc(5): resets VmHWM

    def peaks(self) -> dict[str, float]:
        """Peak resident memory since then, in MB."""
        peaks = {}
        for name, process in self.processes.items():
            lines = Path(f"/proc/{process}/status").read_text().splitlines()
            peaks[name] = next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
        return peaks

    def processor(self) -> dict[str, float]:
        """Seconds of processor time that each process has used so far, by its threads and the kernel for them."""
        seconds = {}
        for name, process in self.processes.items():
            words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            seconds[name] = (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")  # proc(5): utime, stime
        return seconds


def _resident(words: Sequence[str]) -> float:
    """Megabytes that the process with these words in its command line, and all below it, hold for themselves.

    Pages that several share count in part for each (proc(5), Pss).
    """
    parents, chosen = {}, set()
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if set(words) <= set((folder / "cmdline").read_text().split("\0")):
                chosen.add(int(folder.name))
    while more := {process for process, parent in parents.items() if parent in chosen} - chosen:
        chosen |= more
    octets = 0
    for process in chosen:
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            octets += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")) * 1024
    return octets / 1e6


@contextlib.asynccontextmanager
async def printpost(folder: Path, printers: Sequence[int], profile: Path | None = None) -> AsyncIterator[House]:
    """`printpost up`; with `profile` each process writes what its time went into to a file of that folder."""
    file = folder / "printpost.toml"
    ports = dict(zip(LISTENERS, [await free_port() for _ in LISTENERS], strict=True))
    _configure(file, ports)
    settings = config.load(file)[0]
    children = both_processes(file, folder / "log")
    if profile is not None:
        for child in children:
            child.argv = _profiled(child, profile)
    async with contextlib.AsyncExitStack() as stack:
        server = embedded_server(settings)
        await server.start()
        stack.push_async_callback(server.stop)
        async with open_directory(settings, "appliance") as directory:
            for number, paper_port in enumerate(printers):
                await directory.add(_entry(f"phaser{number}", DOMAIN, f"socket://127.0.0.1:{paper_port}"), None)
            for name in (BOX, DRAINED, LISTED, *POLLED):
                await directory.add(_entry(name, BOXES, ""), PASSWORD)
        await stack.enter_async_context(Supervisor(children))
        pids = {child.name: child.process.pid for child in children if child.process is not None}
        yield House(
            name="Printpost",
            port=ports["smtp"],
            processes=pids,
            pop3=ports["pop3"],
            fill=partial(_fill, settings.store.folder),
            memory=children[0].argv,
        )


async def _fill(folder: Path, maildrop: str, mail: bytes, count: int) -> None:
    """As the appliance would, but for the conversation."""
    envelope = Envelope(reverse_path="ada@example.com", client_ip="127.0.0.1", helo="bench", trust="insider")
    fields = f"Return-Path: <ada@example.com>\r\nDelivered-To: {maildrop}@{BOXES}\r\n".encode()
    to = Recipient(maildrop=maildrop, address=f"{maildrop}@{BOXES}", quota=1 << 40, fields=fields)
    store = await open_store(folder, role=Role.TOOL)
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            draft = await store.draft(len(mail))
            draft.write(mail)
            await store.accept(draft, envelope, [to])

    try:
        await asyncio.gather(*(one_after_the_other() for _ in range(100 if len(mail) < 1 << 20 else 2)))
    finally:
        await store.close()


def _configure(file: Path, listeners: Mapping[str, int]) -> None:
    data = f"sqlite:{file.parent / 'data'}"
    file.write_text(
        f'[site]\nhostname = "mail.{DOMAIN}"\ndomains = ["{DOMAIN}", "{BOXES}"]\n'
        + "".join(
            f'[{name}]\n{"metrics_" if name == "bridge" else ""}listen = "127.0.0.1:{port}"\n'
            for name, port in listeners.items()
        )
        + f"[store]\nurl = {json.dumps(data)}\n"
    )


def _entry(name: str, domain: str, uri: str) -> Printer:
    return Printer(
        name=name, addresses=(f"{name}@{domain}",), uri=uri, allow=("@example.com",), quota=1 << 40, poll_interval=1
    )


def _profiled(child: Child, folder: Path) -> list[str]:
    python, _, *rest = child.argv
    return [python, "-m", "tests.benchmarks.profiled", str(folder / f"{child.name}.profile"), *rest]


async def check(folder: Path, jobs: int) -> None:
    """Every job that was sent to a printer is in the books, printed once, and its end was proved."""
    settings = config.load(folder / "printpost.toml")[0]
    store = await open_store(settings.store.folder, role=Role.TOOL)
    try:
        ended = [
            job
            for number in range(PRINTERS)
            for job in await store.jobs(printer=f"phaser{number}", states=["completed"], limit=jobs + 1000)
        ]
        assert len(ended) == jobs, f"{jobs} jobs came out, {len(ended)} are in the books"
        assert {job.delivery_proof for job in ended} <= {DeliveryProof.CLOSED}
        assert {job.attempts for job in ended} <= {1}
    finally:
        await store.close()


_UNPACK = """\
#!/bin/sh
# One mail on standard input: its attachments to the queue, as they are.
set -e
folder=$(mktemp -d -p {folder})
trap 'rm -rf "$folder"' EXIT
{munpack} -q -C "$folder" >/dev/null
{lp} -h {server} -d "$1" -o raw "$folder"/*.ps >/dev/null
"""

_SERVICE = "print unix - n n - - pipe flags= user=nobody argv={folder}/unpack ${{user}}\n"


def missing() -> str:
    """Why there is no peer to compare with, or ""."""
    lacking = [name for name in ("postfix", "munpack", "cupsd", "lp", "lpadmin", "lpstat") if found(name) is None]
    if not cups.BACKEND.exists():
        lacking.append("CUPS' socket backend")
    if lacking:
        return f"not installed ({', '.join(lacking)})"
    return "" if os.geteuid() == 0 else "none, since Postfix' master runs as root only"


@contextlib.asynccontextmanager
async def postfix_and_cups(folder: Path, printers: Sequence[int]) -> AsyncIterator[House]:
    """Postfix hands each mail to munpack, munpack's files go to CUPS, CUPS' socket backend prints them."""
    _folders(folder)
    queues = {f"phaser{number}": f"socket://127.0.0.1:{port}/?snmp=false" for number, port in enumerate(printers)}
    parameters = {
        "relay_domains": DOMAIN,
        "relay_transport": "print",
        "print_destination_recipient_limit": "1",
        "virtual_mailbox_domains": BOXES,
        "virtual_mailbox_base": str(folder / "boxes"),
        "virtual_mailbox_maps": f"inline:{{ {{ {BOX}@{BOXES} = box/ }} }}",
        "virtual_mailbox_limit": "0",
        "virtual_uid_maps": "static:65534",
        "virtual_gid_maps": "static:65534",
    }
    async with contextlib.AsyncExitStack() as stack:
        server = await stack.enter_async_context(cups.scheduler(folder / "cups", queues))
        script = folder / "unpack"
        words = {"folder": folder / "unpacking", "munpack": program("munpack"), "lp": program("lp"), "server": server}
        _write_script(script, words)
        services = _SERVICE.format(folder=folder)
        port = await stack.enter_async_context(postfix(folder / "mail", parameters, services))
        yield House(
            name="Postfix + munpack + CUPS",
            port=port,
            processes={},
            queue=folder / "mail" / "queue",
            memory=[str(folder / "mail" / "etc")],
        )


@contextlib.asynccontextmanager
async def dovecot_house(folder: Path) -> AsyncIterator[House]:
    """Maildirs, served by Dovecot."""

    async def fill(maildrop: str, mail: bytes, count: int) -> None:
        await asyncio.to_thread(fill_maildir, folder, maildrop, mail, count)

    async with dovecot(folder, PASSWORD) as port:
        yield House(name="Dovecot", port=0, processes={}, pop3=port, fill=fill)


def _folders(folder: Path) -> None:
    for made, mode in ((".", 0o755), ("mail", 0o755), ("cups", 0o755), ("unpacking", 0o1777), ("boxes", 0o1777)):
        (folder / made).mkdir()
        (folder / made).chmod(mode)


def _write_script(script: Path, words: Mapping[str, object]) -> None:
    script.write_text(_UNPACK.format(**{name: shlex.quote(str(word)) for name, word in words.items()}))
    script.chmod(0o755)
