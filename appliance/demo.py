"""`printpost demo`: the whole thing on made-up names, with a virtual printer, in a folder of its own.

It mails itself a real PDF through all the real parts and believes only its eyes: the page that the virtual printer put
out is rendered and compared with the source, point by point.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.resources
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.page import SAME, difference, thumbnail
from appliance.people import made_up_password
from appliance.send import send
from appliance.supervisor import Child, ChildFailed, Supervisor, until_stopped
from appliance.up import everything
from mailstore import config, logs
from mailstore.config_values import bracketed, reached_at, split_endpoint
from mailstore.directory.opening import open_directory, open_people
from mailstore.directory.records import Person, Printer
from mailstore.job import REASONS, Job
from mailstore.store.contract import Role, Store
from mailstore.store.place import prepare
from mailstore.store.sql import open_store

DOMAIN = "demo.example"
PRINTER = "phaser360"
USER = "ada"
CONFIGURATION = "printpost.toml"
LISTENERS = {
    **dict.fromkeys(("smtp", "submission", "submissions", "pop3", "pop3s", "web", "metrics"), "listen"),
    "bridge": "metrics_listen",
}
"""Every listener's section and key."""
PATIENCE = 60.0
"""Seconds from the mail to the page."""


class DemoFailed(Exception):
    """The page did not come out; the text says how far it got."""


async def _ada(settings: config.Settings) -> str:
    """Ada is the administrator, and hears of trouble; returns her password of this time."""
    prepare(settings.store.folder)
    password = made_up_password()
    async with open_people(settings) as people:
        if await people.person(USER) is None:
            ada = Person(name=USER, addresses=(f"{USER}@{DOMAIN}",), full_name="Ada", administrator=True)
            await people.add(ada, password)
        else:  # the folder of an earlier demo
            await people.set_password(USER, password)
    return password


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a demo has everything."""

    folder: Path
    printer_port: int

    @property
    def configuration(self) -> Path:
        return self.folder / CONFIGURATION

    @property
    def paper(self) -> Path:
        return self.folder / "paper"

    @property
    def log_file(self) -> Path:
        return self.folder / "printpost.log"


async def demo(folder: Path | None, *, once: bool) -> int:
    """Run it; returns the exit status, 0 only if the page is that of the source."""
    place = _prepare(folder or Path(tempfile.mkdtemp(prefix="printpost-demo-")))
    logs.configure("demo")
    settings = config.load(place.configuration)[0]
    password = await _ada(settings)
    print(f"Starting the directory, the appliance, the bridge and a virtual printer in {place.folder}")
    try:
        async with (
            _virtual_printer(place) as printer,
            everything(settings, place.configuration, place.log_file) as supervisor,
        ):
            await _print_one_page(place, settings)
            if once:
                print(_next(place))
                return os.EX_OK
            print(_look_around(settings, password, printer))
            return await until_stopped(supervisor)
    except ChildFailed as failed:
        print(f"{failed}: see {place.log_file}", file=sys.stderr)
        return failed.status
    except DemoFailed as failed:
        print(f"{failed}; the log is {place.log_file}", file=sys.stderr)
        return os.EX_SOFTWARE


def _prepare(folder: Path) -> _Place:
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    printer, *ports = _free_ports(1 + len(LISTENERS))
    place = _Place(folder, printer)
    place.paper.mkdir(exist_ok=True)
    data = folder / "data"
    listeners = "\n".join(
        f'[{section}]\n{key} = "127.0.0.1:{port}"\n'
        for (section, key), port in zip(LISTENERS.items(), ports, strict=True)
    )
    place.configuration.write_text(
        f"""[site]
hostname = "mail.{DOMAIN}"
domains = ["{DOMAIN}"]

{listeners}
[store]
url = {json.dumps(f"sqlite:{data}")}
""",
        encoding="utf-8",
    )
    return place


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listened on a moment ago."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.asynccontextmanager
async def _virtual_printer(place: _Place) -> AsyncIterator[Child]:
    argv = [sys.executable, "-m", "printerbridge", "virtual-printer"]
    where = f"127.0.0.1:{place.printer_port}"  # by TCP for jobs, by UDP for SNMP
    argv += ["--listen", where, "--snmp", where, "--output", str(place.paper)]
    child = Child(name="virtual printer", argv=argv, log_file=place.log_file)
    async with Supervisor([child]):
        yield child


async def _print_one_page(place: _Place, settings: config.Settings) -> None:
    address = f"{PRINTER}@{DOMAIN}"
    printer = Printer(
        name=PRINTER,
        addresses=(address,),
        uri=f"socket://127.0.0.1:{place.printer_port}",
        pjl=True,
        snmp_port=place.printer_port,
        allow=(f"@{DOMAIN}",),
        service_person=(f"{USER}@{DOMAIN}",),
        location="Virtual, on this machine",
        model="Printpost virtual printer",
    )
    store = await open_store(settings.store.folder, role=Role.TOOL)
    try:
        async with open_directory(settings, "appliance") as directory:
            if await directory.printer(PRINTER) is None:
                await directory.add(printer, None)
            else:  # the folder of an earlier demo
                await directory.replace(printer)
            await store.changed()
        printed_before = len(_printed(place))
        with importlib.resources.as_file(importlib.resources.files("appliance") / "sample.pdf") as source:
            began = time.time()
            server = split_endpoint(settings.smtp.listen)
            answer = await asyncio.to_thread(
                send, [source], recipient=address, sender=f"ada@{DOMAIN}", server=server, subject="A page by e-mail"
            )
            job = await _ended(store, answer)
            page = await _paper(place, printed_before)
            await _account(place, store, job, page, began, source)
    finally:
        await store.close()


async def _ended(store: Store, answer: str) -> Job:
    """The job that the answer to the mail names, once it has ended."""
    number = int(answer.rpartition(" ")[2])
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        job = await store.job(number)
        if job is not None and job.state.ended:
            if job.state.value != "completed":
                why = "; ".join(REASONS.get(reason, reason) for reason in job.reasons)
                raise DemoFailed(f"job {number} is {job.state.value}: {why} {job.detail}")
            return job
        await asyncio.sleep(0.02)
    raise DemoFailed(f"job {number} was not printed within {PATIENCE:.0f} s")


def _printed(place: _Place) -> list[dict[str, Any]]:
    try:
        lines = (place.paper / "jobs.jsonl").read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in lines]


async def _paper(place: _Place, before: int) -> dict[str, Any]:
    """What the virtual printer says of the page, once it lies in the output tray."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if len(printed := await asyncio.to_thread(_printed, place)) > before:
            return printed[before]
        await asyncio.sleep(0.02)
    raise DemoFailed("the virtual printer put out no page")


async def _account(place: _Place, store: Store, job: Job, page: dict[str, Any], began: float, source: Path) -> None:
    stem = place.paper / f"job-{page['number']:04d}"
    printed, picture = stem.with_suffix(".pdf"), Path(f"{stem}-1.png")
    print()
    for event in await store.trace(job.id):
        print(f"{_since(began, event.at)}  {event.text}")
    if not page["pages"]:
        raise DemoFailed(f"what the virtual printer got, {stem.with_suffix('.prn')}, is no page")
    unlike = await asyncio.to_thread(difference, source, picture)
    verdict = "the same as the source" if unlike <= SAME else "NOT the same as the source"
    print(f"{_since(began, time.time())}  printed: {page['pages']} page, {verdict} ({unlike:.2f}, border {SAME})")
    if sys.stdout.isatty():
        print(await asyncio.to_thread(thumbnail, picture, 64))
    print(f"\nThe page: {picture}\nThe same as PDF: {printed}\nWhat the printer got: {stem.with_suffix('.prn')}")
    if unlike > SAME:
        raise DemoFailed("the page is not that of the source")


def _next(place: _Place) -> str:
    """What to do after a demo that ended by itself."""
    command = _command()
    return (
        "\nNext: see it on the web page, where you say who may print.\n"
        f"  {command} demo --folder {shlex.quote(os.path.relpath(place.folder))}\n"
        "stays up, and says where the page is and how to log in.  Or a printer of your own:\n"
        f"  {command} up\n"
        f"  {command} printer add NAME --uri socket://HOST:9100 --allow you@example.com\n"
        f"  {command} send FILE.pdf --to NAME@{config.own_hostname()} --from you@example.com\n"
        "README.md goes on from there."
    )


def _look_around(settings: config.Settings, password: str, printer: Child) -> str:
    """What to do while the demo stays up."""
    host, port = reached_at(settings.web.listen)
    scheme = "http" if host in ("127.0.0.1", "::1") and settings.web.listen.startswith(("127.", "[::1]")) else "https"
    command = f"{_command()} --config {shlex.quote(os.path.relpath(settings.store.folder.parent / CONFIGURATION))}"
    number = printer.process.pid if printer.process else ""
    return (
        f"\nThe page: {scheme}://{bracketed(host)}:{port}/   log in as {USER} with the password {password}\n"
        "There see the printer and its job, say who may print, print a test page.  Or from another terminal:\n"
        f"  {command} send FILE.pdf --to {PRINTER} --from {USER}@{DOMAIN}\n"
        f"  {command} printer why {PRINTER} --from eve@example.com\n"
        f"  {command} doctor\n"
        f"Take the paper out of the printer: kill -USR2 {number}   put paper in: kill -USR1 {number}\n"
        f"Read {USER}'s first mail: curl -k -u {USER}:{password} pop3s://{settings.pop3s.listen}/1\n"
        "It stays up until you press Ctrl-C."
    )


def _command() -> str:
    return "printpost" if shutil.which("printpost") else os.path.relpath(sys.argv[0])


def _since(began: float, moment: float) -> str:
    return f"{max(moment - began, 0):6.3f} s"
