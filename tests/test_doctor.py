"""Each check of `printpost doctor`, with its subject really broken."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import ipaddress
import os
import resource
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.doctor import house as houses
from appliance.doctor import machine, network, printers, processes, site
from appliance.doctor.accounts import directory as directories
from appliance.doctor.accounts import notices, people, relay, spoken_in_clear
from appliance.doctor.examination import examine
from appliance.doctor.finding import Level
from appliance.doctor.house import Check, House, opened
from appliance.doctor.network import Answer, ask, greeting, taken
from appliance.pop3.connection import Limits as Pop3Limits
from appliance.smtp.limits import Limits as SmtpLimits
from appliance.tls import open_certificate
from mailstore.abilities import Abilities
from mailstore.config import Relay, Settings
from mailstore.directory.ldap import embedded
from mailstore.directory.openldap import Identity
from mailstore.directory.records import Body, Language, Person, Printer, Raw
from mailstore.directory.server import LdapServer
from mailstore.directory.slapd import EmbeddedDirectory, secret
from mailstore.job import JobState
from mailstore.monitoring import CONNECTIONS, monitor
from mailstore.store.contract import PrinterState, Role, Waiting
from mailstore.store.outbox import OutgoingMail
from mailstore.store.runtime import runtime_folder
from mailstore.store.sql import open_store
from mailstore.ticket import ColorMode, Sides, Ticket
from tests.directory_server import (
    FOREIGN_BASE,
    FOREIGN_DN,
    FOREIGN_PASSWORD,
    RunningDirectory,
    foreign_directory,
    short_folder,
)
from tests.house import free_ports
from tests.test_tls import given

NOW = 1_900_000_000.0
DOWN = Answer(heard=False, trouble="nothing listens on 127.0.0.1:1", nobody=True)
WELL = Answer(heard=True, trouble="")


def free_port() -> int:
    return free_ports(1)[0]


def settings(folder: Path, **sections: Any) -> Settings:
    return Settings(**{"store": {"url": f"sqlite:{folder}"}, "site": {"hostname": "mail.example.com"}, **sections})


def stands(folder: Path, **more: Any) -> House:
    """A house of which nothing is open."""
    sections = more.pop("sections", {})
    return House(settings=settings(folder, **sections), **{"appliance": DOWN, "bridge": DOWN, **more})


async def found(check: Check, house: House) -> list[tuple[str, str]]:
    return [(finding.level.value, finding.text) async for finding in check(house)]


async def only(check: Check, house: House, level: Level) -> str:
    """The text of the one finding that there is."""
    ((how_bad, text),) = await found(check, house)
    assert how_bad == level, text
    return text


def printer(name: str = "phaser", **more: Any) -> Printer:
    kept = {"uri": "socket://192.0.2.7:9100", "allow": ("@example.com",), **more}
    return Printer(name=name, addresses=(f"{name}@example.com",), **kept)


@contextlib.asynccontextmanager
async def says(words: bytes) -> AsyncIterator[str]:
    """HOST:PORT of a server that says this to everybody, and closes."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1") as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """HOST:PORT that takes connections, and never says a word; nobody waits long for it."""
    monkeypatch.setattr(network, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


# -- this machine


@pytest.mark.parametrize("lost", machine.PROGRAMS)
async def test_a_program_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    for program in machine.PROGRAMS.keys() - {lost}:
        there = shutil.which(program, path=machine.PATH)
        assert there
        (tmp_path / program).symlink_to(there)
    monkeypatch.setattr(machine, "PATH", str(tmp_path))
    house = stands(tmp_path, sections={"directory": {"url": "ldap://127.0.0.1"}})
    text = await only(machine.programs, house, Level.WARNING if lost == "bwrap" else Level.ERROR)
    assert text.startswith(f"{lost} is not installed, so ")
    assert text.endswith(f": apt-get install {machine.PROGRAMS[lost][0]}")


async def test_all_programs_are_installed(tmp_path: Path) -> None:
    assert "all that Printpost runs" in await only(machine.programs, stands(tmp_path), Level.OK)


async def test_bubblewrap_that_gets_no_namespaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bubblewrap = shutil.which("bwrap")
    if not bubblewrap or not await machine.confines(bubblewrap):
        pytest.skip("bubblewrap works nowhere here")
    assert "namespaces of their own" in await only(machine.sandbox, stands(tmp_path), Level.OK)
    wrapped = tmp_path / "bwrap"
    wrapped.write_text(
        f'#!/bin/sh\nexec {bubblewrap} --unshare-user --disable-userns --dev-bind / / -- {bubblewrap} "$@"\n'
    )
    wrapped.chmod(0o755)
    monkeypatch.setattr(machine, "PATH", str(tmp_path))
    assert "whether Landlock confines" in await only(machine.sandbox, stands(tmp_path), Level.NOTE)


async def test_how_converters_are_confined_the_bridge_has_told(tmp_path: Path) -> None:
    with short_folder() as short, pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        store = await open_store(tmp_path, role=Role.TOOL)
        house = stands(tmp_path, store=store)
        try:
            await store.set_abilities(Abilities(level="landlock", safe=True))
            assert "by Landlock" in await only(machine.sandbox, house, Level.OK)
            await store.set_abilities(Abilities(level="rlimits", safe=False))
            poorly = await only(machine.sandbox, house, Level.WARNING)
            assert "are refused; install bubblewrap and allow user namespaces" in poorly
            await store.set_abilities(Abilities(level="rlimits", safe=False, risky=True))
            assert "[bridge] risky says so" in await only(machine.sandbox, house, Level.WARNING)
        finally:
            await store.close()


async def test_disk_and_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with short_folder() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        store = await open_store(tmp_path, role=Role.TOOL, reserve=1 << 60)
        try:
            house = stands(tmp_path, store=store, sections={"store": {"url": f"sqlite:{tmp_path}", "reserve": 1 << 60}})
            assert "so mail is refused: make room there" in await only(machine.disk, house, Level.ERROR)
            assert await found(machine.clock, house) == []
        finally:
            await store.close()


async def test_few_open_files() -> None:
    connections = SmtpLimits().connections + Pop3Limits().connections + CONNECTIONS
    assert connections < processes.FILES
    child = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (processes.FILES, processes.FILES))
        assert processes.few_files(child.pid) == ""
        resource.prlimit(child.pid, resource.RLIMIT_NOFILE, (1024, processes.FILES))
        assert "may open 1024 files" in processes.few_files(child.pid)
    finally:
        child.kill()
        await child.wait()
    assert processes.few_files(child.pid) == ""  # gone


# -- what the configuration says of the site


async def test_a_name_that_nobody_knows(tmp_path: Path) -> None:
    house = stands(tmp_path, sections={"site": {"hostname": "mail.printpost.invalid"}})
    assert "mail.printpost.invalid does not resolve" in await only(site.name, house, Level.WARNING)


async def test_many_names_have_a_deadline_together(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    async def slow(name: str) -> list[str]:
        asked.append(name)
        await asyncio.sleep(0 if name.startswith("a") else 30)
        return ["192.0.2.7"] if name == "a1.example.com" else []

    monkeypatch.setattr(network, "resolved", slow)
    names = [f"{letter}{number}.example.com" for letter in "abc" for number in (1, 2, 3)]
    began = time.monotonic()
    known = await network.all_resolved([*names, "", "192.0.2.7", "2001:db8::7", "a1.example.com"], 0.1)
    assert known == {"a1.example.com": ["192.0.2.7"], "a2.example.com": [], "a3.example.com": []}
    assert time.monotonic() - began < 5
    assert len(asked) == 7


async def test_a_name_that_only_this_machine_knows(tmp_path: Path) -> None:
    house = stands(tmp_path, sections={"site": {"hostname": "localhost"}})
    assert "only this machine believes" in await only(site.name, house, Level.NOTE)


@pytest.mark.parametrize("networks", [["0.0.0.0/0"], ["::/0"], ["0.0.0.0/1", "128.0.0.0/1"]])
async def test_everybody_is_one_of_the_site(tmp_path: Path, networks: list[str]) -> None:
    house = stands(tmp_path, sections={"site": {"hostname": "localhost", "networks": networks}})
    assert "every address there is" in await only(site.networks, house, Level.ERROR)


async def test_the_sites_own_networks(tmp_path: Path) -> None:
    house = stands(tmp_path, sections={"site": {"hostname": "localhost", "networks": ["10.0.0.0/8", "fd00::/8"]}})
    assert await found(site.networks, house) == []


def certificate(folder: Path, now: float | None = None, **sections: Any) -> list[tuple[str, str]]:
    told = site.certificate_of(settings(folder, **sections), now or time.time())
    return [(finding.level.value, finding.text) for finding in told]


def test_no_certificate_yet_and_none_is_made(tmp_path: Path) -> None:
    ((level, text),) = certificate(tmp_path)
    assert (level, "made at the first start" in text) == ("note", True)
    assert list(tmp_path.iterdir()) == []


def test_our_own_certificate(tmp_path: Path) -> None:
    made = open_certificate(settings(tmp_path))
    ((level, text),) = certificate(tmp_path)
    assert (level, made.fingerprint[:23] in text) == ("note", True)
    ((level, text),) = certificate(tmp_path, made.not_after - 86400)
    assert (level, "makes a new one by itself" in text) == ("note", True)
    made.files[1].write_bytes(b"rubbish")
    ((level, text),) = certificate(tmp_path)
    assert (level, "made at the next start" in text) == ("note", True)
    assert made.files[1].read_bytes() == b"rubbish"


def test_certificates_that_do_not_do(tmp_path: Path) -> None:
    def made(name: str, days: int) -> dict[str, Path]:
        (tmp_path / name).mkdir()
        files = given(tmp_path / name, days=days)
        files["key"].chmod(0o600)
        return files

    good, other, expired, soon = made("good", 99), made("other", 99), made("expired", -1), made("soon", 3)
    site_of = {"hostname": "mail.example.com"}

    def levels(tls: dict[str, Path], words: str, **site: str) -> list[str]:
        told = certificate(tmp_path, tls=tls, site={**site_of, **site})
        assert any(words in text for _, text in told), told
        return [level for level, _ in told]

    assert levels(expired, "expired on") == ["error"]
    assert levels({**good, "key": other["key"]}, "is not the key of") == ["error"]
    assert levels({**good, "key": tmp_path / "nowhere"}, "cannot be read") == ["error"]
    assert "warning" in levels(soon, "it expires in 3 days")
    assert levels(good, "not for elsewhere.example.org", hostname="elsewhere.example.org") == ["warning"]
    good["key"].chmod(0o644)
    assert "warning" in levels(good, "chmod o=")


@pytest.mark.parametrize(
    ("names", "fits"),
    [
        (["mail.example.com"], True),
        (["other.example.com", "MAIL.example.com"], True),
        (["*.example.com"], True),
        (["example.com"], False),
        (["*.mail.example.com"], False),
        (["*"], False),
        ([], False),
    ],
)
def test_names_of_a_certificate(names: list[str], fits: bool) -> None:
    assert site.covers(names, "mail.example.com") is fits


# -- what runs


async def test_a_process_that_is_ready_and_one_that_is_not() -> None:
    async def ready() -> str:
        return ""

    async def stopping() -> str:
        return "stopping"

    async with monitor("127.0.0.1:0", "[metrics] listen", ready) as (host, port):
        assert await ask(f"{host}:{port}", "[metrics] listen") == Answer(heard=True, trouble="")
    async with monitor("127.0.0.1:0", "[metrics] listen", stopping) as (host, port):
        answer = await ask(f"{host}:{port}", "[metrics] listen")
    assert (answer.heard, "it runs and is not ready (stopping)" in answer.trouble) == (True, True)


async def test_a_process_that_is_not_there_or_silent(silent: str) -> None:
    nobody = await ask(f"127.0.0.1:{free_port()}", "[metrics] listen")
    assert (nobody.heard, nobody.nobody) == (False, True)
    stuck = await ask(silent, "[metrics] listen")
    assert (stuck.heard, stuck.silent, "does not answer" in stuck.trouble) == (True, True, True)


@pytest.mark.parametrize(
    "words",
    [b"220 mail.example.com ESMTP\r\n", b"HTTP/1.1 404 Not Found\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n<html>", b""],
)
async def test_something_else_where_a_process_should_be(words: bytes) -> None:
    async with says(words) as where:
        answer = await ask(where, "[metrics] listen")
    assert not answer.heard
    assert answer.trouble.endswith("end that, or set another [metrics] listen")


async def test_a_server_that_never_comes_to_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "PATIENCE", 0.2)
    async with says(b"x" * 10_000_000) as where:
        assert not (await ask(where, "[metrics] listen")).heard
        assert "which is not Printpost's greeting" in await greeting(where, False, b"220 ")


async def test_a_foreign_server_on_a_listener(silent: str) -> None:
    async with says(b"220 other.example.org ESMTP\x1b[2J\r\n") as where:
        assert await greeting(where, False, b"220 other.example.org ") == ""
        told = await greeting(where, False, b"220 mail.example.com ")
        assert "which is not Printpost's greeting" in told
        assert "\x1b" not in told
        assert "cannot be reached" in await greeting(where, True, b"220 mail.example.com ")  # no TLS there
    assert "does not answer" in await greeting(silent, False, b"220 ")


def test_a_port_that_is_taken_and_one_that_is_not() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert "is taken: end what listens" in taken(f"127.0.0.1:{other.getsockname()[1]}", "[smtp] listen")
    assert taken(f"127.0.0.1:{free_port()}", "[smtp] listen") == ""
    for where in ("192.0.2.1:2525", "mail.printpost.invalid:2525"):
        assert "set [smtp] listen to an address of this machine" in taken(where, "[smtp] listen")


def test_a_port_that_this_user_may_not_use() -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first < 26:
        pytest.skip("everybody may use every port here")
    code = "from appliance.doctor.network import taken; print(taken('127.0.0.1:25', '[smtp] listen'))"
    drop = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--"]
    done = subprocess.run(
        [*(drop if os.geteuid() == 0 else []), sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[1],
    )
    assert "may not listen on port 25" in done.stdout


def test_where_http_needs_no_tls() -> None:
    assert [network.on_loopback(one) for one in ("127.0.0.1:1", "[::1]:1", "0.0.0.0:1", ":1")] == [
        True,
        True,
        False,
        False,
    ]


# -- store and directory


async def test_nothing_is_there_yet_and_nothing_is_made(tmp_path: Path) -> None:
    ports = {
        name: {"listen": f"127.0.0.1:{free_port()}"} for name in ("smtp", "pop3", "pop3s", "submission", "metrics")
    }
    asked = settings(tmp_path / "data", **ports, bridge={"metrics_listen": f"127.0.0.1:{free_port()}"})
    async with opened(asked) as house:
        findings = [finding async for finding in examine(house)]
    assert [one.subject for one in findings if one.level is Level.ERROR] == ["processes"]
    assert {one.subject for one in findings if "made at the first start" in one.text} == {
        "store",
        "directory",
        "certificate",
    }
    assert [*tmp_path.rglob("*")] == []  # noqa: ASYNC240


@pytest.fixture
async def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RunningDirectory]:
    """Where `opened` looks for it."""
    with short_folder() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        async with EmbeddedDirectory(tmp_path / "directory", runtime_folder(tmp_path)) as server:
            appliance, bridge = (embedded(server.folder, server.runtime, each) for each in Identity)
            try:
                yield RunningDirectory(server=server, appliance=appliance, bridge=bridge)
            finally:
                for client in (appliance, bridge):
                    await client.close()


@pytest.fixture
async def standing(tmp_path: Path, running: RunningDirectory) -> AsyncIterator[House]:
    """A house with a store and a real slapd, and no process."""
    store = await open_store(tmp_path, role=Role.TOOL, reserve=0)
    async with running.people() as people:
        try:
            yield stands(tmp_path, store=store, directory=running.appliance, people=people)
        finally:
            await store.close()


def troubles(house: House, subject: str) -> list[tuple[str, str]]:
    return [(one.level.value, one.text) for one in house.troubles if one.subject == subject]


async def test_a_store_that_somebody_holds(standing: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(houses, "PATIENCE", 0.1)
    with (standing.settings.store.folder / "write.lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        async with opened(standing.settings) as house:
            ((level, text),) = troubles(house, "store")
            assert (level, "write.lock is held" in text, house.store) == ("error", True, None)
    async with opened(standing.settings) as house:
        assert troubles(house, "store") == []
        assert house.store is not None


async def test_a_store_that_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"rubbish" * 1000)
    with short_folder() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(short))
        async with opened(settings(tmp_path)) as house:
            ((level, text),) = troubles(house, "store")
            assert (level, "cannot be opened" in text) == ("error", True)
            assert await found(machine.disk, house) == []


async def test_a_store_that_is_no_folder_and_one_that_the_configuration_does_not_mean(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with opened(settings(tmp_path / "file")) as house:
        assert "is not a folder" in troubles(house, "store")[0][1]
        assert troubles(house, "directory") == []

    async def ready() -> str:
        return ""

    async with (
        monitor("127.0.0.1:0", "[metrics] listen", ready) as (host, port),
        opened(settings(tmp_path / "other", metrics={"listen": f"{host}:{port}"})) as house,
    ):
        for subject in ("store", "directory"):
            ((level, text),) = troubles(house, subject)
            assert (level, "though the appliance runs" in text) == ("error", True)


async def test_a_directory_that_cannot_be_reached(tmp_path: Path) -> None:
    url = f"ldap://127.0.0.1:{free_port()}"
    password = tmp_path / "password"
    password.write_text("secret")
    section = {"url": url, "bind_dn": "cn=printpost", "bind_password_file": str(password)}
    async with opened(settings(tmp_path, directory=section)) as house:
        ((level, text),) = troubles(house, "directory")
        assert (level, url in text, house.directory) == ("error", True, None)
    password.unlink()
    async with opened(settings(tmp_path, directory=section)) as house:
        assert "cannot be read" in troubles(house, "directory")[0][1]


async def test_damaged_entries(standing: House, running: RunningDirectory) -> None:
    directory = running.appliance
    assert "there is no printer yet" in await only(directories, standing, Level.NOTE)
    for name in ("one", "two"):
        await directory.add(printer(name), None)
    server = LdapServer(running.server.url, Identity.APPLIANCE.dn, secret(running.folder, Identity.APPLIANCE))
    await server.modify("uid=one,ou=printers,dc=printpost", {"printer-uri": ["ftp://192.0.2.7/"]})
    await server.modify("uid=two,ou=printers,dc=printpost", {"printpostServicePerson": ["nobody"]})
    server.close()
    directory.forget()
    standing.printers = await directory.printers()
    one, two, rest = await found(directories, standing)
    assert [one[0], two[0], rest] == ["warning", "warning", ("ok", "it knows 1 printer")]
    for text, words in ((one[1], "no usable printer"), (two[1], "printpostServicePerson")):
        assert words in text
    assert ("uid=one," in one[1], "uid=two," in two[1]) == (True, True)


# -- people, and the way to them


async def test_nobody_administers(standing: House) -> None:
    assert "there is no administrator" in await only(people, standing, Level.WARNING)
    assert standing.people is not None
    boss = Person(name="ada", addresses=("ada@example.com",), administrator=True)
    await standing.people.add(boss, "correct horse")
    assert await found(people, standing) == []


async def test_the_sites_directory_of_people_is_down(standing: House, tmp_path: Path) -> None:
    url = f"ldap://127.0.0.1:{free_port()}"
    section = {"url": url, "base": "dc=example,dc=com", "administrators": ["ada"]}
    async with opened(settings(tmp_path, people=section)) as house:
        text = await only(people, house, Level.ERROR)
    assert url in text
    assert "see [people]" in text
    section = {"url": url, "administrators": ["ada"]}
    async with opened(settings(tmp_path, people=section)) as house:
        assert troubles(house, "people")[0][1].startswith("[people] base is missing")


async def test_an_administrator_whom_nobody_knows(tmp_path: Path, running: RunningDirectory) -> None:
    async with foreign_directory(running.folder.parent / "site", only_people=True) as site_directory:
        password = tmp_path / "password"
        password.write_text(FOREIGN_PASSWORD)
        section = {
            "url": f"ldaps://127.0.0.1:{site_directory.port}",
            "base": FOREIGN_BASE,
            "bind_dn": FOREIGN_DN,
            "bind_password_file": password,
            "ca": site_directory.ca,
            "administrators": ["nobody"],
        }
        async with opened(settings(tmp_path, people=section)) as house:
            told = await found(people, house)
    assert [level for level, _ in told] == ["warning", "ok"]
    assert "nobody, whom" in told[0][1]


async def test_mails_that_do_not_get_out(standing: House) -> None:
    store = standing.store
    assert store is not None
    assert await found(notices, standing) == []
    mail = OutgoingMail(recipient="ada@example.com", octets=b"Subject: x\r\n\r\n", job_id=0, expires_at=9e9)
    await store.tell([mail], ())
    assert "1 wait" in await only(notices, standing, Level.NOTE)
    (taken_mail,) = await store.take_outgoing("relay", 1, 60.0)
    await store.outgoing_later(taken_mail, 9e8, "mail.example.org said\x1b 451 come again")
    text = await only(notices, standing, Level.WARNING)
    assert "mail.example.org said 451 come again" in text


async def test_people_who_cannot_be_reached(standing: House) -> None:
    assert standing.people is not None
    await standing.people.add(Person(name="ada", addresses=("ada@example.com",)), "correct horse")
    standing.printers = [printer(service_person=("ada@example.com",))]
    assert await found(relay, standing) == []
    standing.printers = [printer(service_person=("ada@example.com",), sysadmin=("grace@example.org",))]
    text = await only(relay, standing, Level.WARNING)
    assert text.startswith("grace@example.org should hear of trouble and cannot")
    standing.printers = [printer(uri="", members=("phaser",), service_person=("grace@example.org",))]
    assert await found(relay, standing) == [], "a group has no trouble"


async def test_a_smarthost_that_is_down_or_none_at_all(tmp_path: Path, silent: str) -> None:
    async def told(smarthost: str, **more: str) -> str:
        return await only(relay, stands(tmp_path, sections={"relay": {"smarthost": smarthost, **more}}), Level.ERROR)

    assert "Connection refused" in await told(f"127.0.0.1:{free_port()}")
    async with says(b"+OK POP3 ready\r\n") as where:
        assert "notices do not get out" in await told(where)
    async with says(b"554 no\r\n") as where:
        assert "554 no" in await told(where)
    assert "[relay] password_file" in await told(silent, user="printpost")


@pytest.mark.parametrize(
    ("section", "clear"),
    [
        ({"smarthost": "mail.example.org:25", "user": "us", "tls": "none"}, True),
        ({"smarthost": "mail.example.org:25", "user": "us"}, False),
        ({"smarthost": "mail.example.org:25", "tls": "none"}, False),
        ({"smarthost": "127.0.0.1:25", "user": "us", "tls": "none"}, False),
        ({"smarthost": "[::1]:25", "user": "us", "tls": "none"}, False),
    ],
)
def test_a_password_in_clear(section: dict[str, str], clear: bool) -> None:
    assert spoken_in_clear(Relay(**section)) is clear


# -- printers

A3 = Ticket(media="iso_a3_297x420mm")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"allow": ()}, "nobody may print"),
        ({"allow": ("staff",)}, "a rule cannot be read"),
        ({"allow": ("@example.com",), "deny": ("ip:nonsense",)}, "a rule cannot be read"),
        ({"allow": ("ip:0.0.0.0/0",)}, "everybody on the net may print"),
        ({"unverified_ok": True}, "nothing has to be proved"),
        ({"raw": Raw.STRANGER}, "printer set phaser --raw insider"),
        ({"uri": "", "plain_from": ("0.0.0.0/0",)}, "in clear from anywhere"),
        ({"uri": "", "plain_from": ("::/0", "192.0.2.7/32")}, "in clear from anywhere"),
    ],
)
def test_an_entry_that_cannot_work(entry: dict[str, Any], words: str) -> None:
    (told,) = printers.settings(printer(**entry))
    assert words in told


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"unfiltered": Raw.STRANGER, "raw": Raw.STRANGER}, "with every command that is in them"),
        ({"unfiltered": Raw.STRANGER}, "printer set phaser --unfiltered nobody"),
        ({"unfiltered": Raw.INSIDER, "raw": Raw.NOBODY}, "of insider senders reach it as they came whatever --raw"),
        ({"unfiltered": Raw.VERIFIED}, "printer set phaser --unfiltered insider"),
        ({"ticket": Ticket(color=ColorMode.COLOR)}, "colour was asked for, which this printer does not print"),
        ({"ticket": A3, "media": ("iso_a4_210x297mm",)}, "iso_a3_297x420mm was asked for, which this printer does not"),
        ({"ticket": Ticket(copies=3), "max_copies": 2}, "3 copies were asked for; this printer makes at most 2"),
        ({"ticket": Ticket(media_source="tray-2")}, "asks for tray-2, and only PJL has a number"),
        (
            {"ticket": Ticket(sides=Sides.LONG_EDGE), "languages": (Language.PDF,)},
            "no language of its entry has a word",
        ),
        (
            {"model": "HP Color LaserJet", "languages": (Language.POSTSCRIPT, Language.PCLXL)},
            "drawn in grey: printpost printer set phaser --color",
        ),
        ({"uri": "", "unfiltered": Raw.INSIDER}, "fetches its mail as it is, so --unfiltered counts for nothing"),
        ({"uri": "", "body": Body.NEVER, "ticket": A3}, "so --body, --ticket count for nothing"),
    ],
)
def test_settings_that_do_not_go_together(entry: dict[str, Any], words: str) -> None:
    (told,) = printers.passing(printer(**entry))
    assert words in told


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"unfiltered": Raw.INSIDER},
        {"unfiltered": Raw.STRANGER, "raw": Raw.STRANGER, "allow": ()},
        {"unfiltered": Raw.VERIFIED, "raw": Raw.VERIFIED},
        {"ticket": Ticket(color=ColorMode.COLOR, copies=2), "color": True, "max_copies": 2},
        {"ticket": A3},
        {"ticket": A3, "media": ("iso_a4_210x297mm", "iso_a3_297x420mm")},
        {"ticket": Ticket(media_source="tray-2", sides=Sides.LONG_EDGE), "pjl": True},
        {"ticket": Ticket(media_source="manual", sides=Sides.LONG_EDGE), "languages": (Language.PDF, Language.PCL)},
        {"model": "Phaser 740 Colour", "languages": (Language.POSTSCRIPT2, Language.PDF)},
        {"model": "Color LaserJet", "languages": (Language.PCLXL,), "color": True},
        {"uri": "", "color": True, "confidential": True},
        {"uri": "", "members": ("laser",), "unfiltered": Raw.STRANGER, "ticket": Ticket(color=ColorMode.COLOR)},
    ],
)
def test_settings_that_go_together(entry: dict[str, Any]) -> None:
    assert printers.passing(printer(**entry)) == []


@pytest.mark.parametrize(
    "entry",
    [{}, {"allow": ("*",)}, {"raw": Raw.VERIFIED}, {"allow": ("ip:10.0.0.0/8",)},
     {"uri": "", "plain_from": ("192.0.2.7/32",)},
     {"plain_from": ("0.0.0.0/0",)}],
)  # fmt: skip
def test_an_entry_that_works(entry: dict[str, Any]) -> None:
    assert printers.settings(printer(**entry)) == []


@pytest.mark.parametrize(
    ("entry", "state", "words"),
    [
        ({}, {"paused": True}, "printpost printer resume phaser"),
        ({}, {"accepting": False}, "printpost printer accept phaser"),
        ({}, {"state": "stopped", "state_reasons": ("media-empty-error",)}, "it is stopped: media-empty-error"),
        ({}, {"state": "stopped", "detail": "out of\x1b paper"}, "it is stopped: out of paper"),
        ({"uri": ""}, {}, "it never polled"),
        ({"uri": "", "poll_interval": 60}, {"last_poll": NOW - 300}, "did not poll for 5 minutes"),
        ({"uri": "", "poll_interval": 60}, {"last_poll": NOW - 7 * 86400}, "did not poll for 7 days"),
    ],
)
def test_a_printer_in_trouble(entry: dict[str, Any], state: dict[str, Any], words: str) -> None:
    (told,) = printers.fares(printer(**entry), PrinterState(printer="phaser", **state), NOW)
    assert words in told


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        ({}, {"last_poll": NOW - 1e6}),  # of the time before it had a device address
        ({"uri": "", "poll_interval": 60}, {"last_poll": NOW - 200}),
        ({"uri": ""}, {"last_poll": NOW, "state": "stopped"}),
    ],
)
def test_a_printer_that_does_well(entry: dict[str, Any], state: dict[str, Any]) -> None:
    assert printers.fares(printer(**entry), PrinterState(printer="phaser", **state), NOW) == []


@pytest.mark.parametrize(
    ("states", "oldest", "completed", "words"),
    [
        ({JobState.PROCESSING_STOPPED: 1}, NOW, 0.0, "1 job waits for somebody"),
        ({JobState.PENDING: 2}, NOW - 7200, 0.0, "2 jobs wait, and nothing was printed for 2 hours"),
        ({JobState.PENDING: 2}, NOW - 7200, NOW - 60, ""),  # a long queue that moves
        ({JobState.PENDING: 1}, NOW - 60, 0.0, ""),
        ({JobState.PENDING_HELD: 1}, NOW - 7200, 0.0, ""),  # somebody wants it so
    ],
)
def test_jobs_that_wait(states: dict[str, int], oldest: float, completed: float, words: str) -> None:
    row = Waiting(printer="phaser", states=states, messages=1, octets=1, oldest=oldest, last_completed=completed)
    told = printers.waits(printer(), row, NOW)
    assert [words in one for one in told] == [True] * bool(words)


async def test_each_printer_is_told_of_once(standing: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(printers, "own_interfaces", lambda: [ipaddress.ip_interface("192.0.2.10/24")])
    store = standing.store
    assert store is not None
    standing.printers = [
        printer("apart", network_address="198.51.100.7", uri="", service_person=("ada@example.com",)),
        printer("lost", uri="socket://printer.printpost.invalid:9100"),
        printer("paused"),
        printer("well", service_person=("ada@example.com",)),
    ]
    await store.polled("apart", time.time())
    await store.set_paused("paused", True)  # waits for both
    told = [(one.subject, one.level.value, one.text) async for one in printers.printers(standing)]
    assert [(subject, level) for subject, level, _ in told] == [
        ("printer apart", "warning"),
        ("printer lost", "warning"),
        ("printer lost", "note"),
        ("printer paused", "warning"),
        ("printer paused", "note"),
        ("printer well", "ok"),
    ]
    for (*_, text), words in zip(
        told,
        ("no gateway", "does not resolve", "nobody who answers", "is paused", "nobody who answers", ""),
        strict=True,
    ):
        assert words in text
    standing.store = None  # then of what only the store knows nothing is said
    told = [(one.subject, one.level.value, one.text) async for one in printers.printers(standing)]
    assert ("printer paused", "ok") in [(subject, level) for subject, level, _ in told]
