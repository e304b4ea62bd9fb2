"""The embedded slapd: made from nothing, kept, shared, and closed to those who have no business with it."""

from __future__ import annotations

import asyncio
import os
import re
import select
import shutil
import signal
import stat
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from ldap3 import MODIFY_REPLACE, NONE, SAFE_SYNC, Connection, Server

from mailstore.directory import openldap
from mailstore.directory.entry import to_attributes
from mailstore.directory.ldap import embedded
from mailstore.directory.openldap import SUFFIX, Identity, Software, explained, run
from mailstore.directory.records import Printer
from mailstore.directory.slapd import EmbeddedDirectory, answers, ensure, secret, socket_url
from mailstore.failure import PermanentFailure, TransientFailure
from tests.contracts.directory import GROUP, PHASER, PLAIN
from tests.contracts.people import ADA
from tests.directory_server import RunningDirectory, running_directory, short_folder

pytestmark = pytest.mark.slow  # foreign programs

DN = f"uid=phaser360,ou=printers,{SUFFIX}"
ADA_DN = f"uid=ada,ou=people,{SUFFIX}"
NO_SUCH_OBJECT, INAPPROPRIATE, INVALID_CREDENTIALS, NO_RIGHTS = 32, 48, 49, 50


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningDirectory]:
    """With a printer and a user in it."""
    async with running_directory(tmp_path) as running, running.people() as people:
        await running.appliance.add(PHASER, "sesame")
        await people.add(ADA, "open barley")
        yield running


def raw(running: RunningDirectory, who: str, password: str) -> Connection:
    """A bare connection, bound."""
    connection = Connection(
        Server(running.server.url, get_info=NONE), user=who, password=password, client_strategy=SAFE_SYNC
    )
    assert connection.bind(read_server_info=False)[0]
    return connection


def as_identity(running: RunningDirectory, identity: Identity) -> Connection:
    return raw(running, identity.dn, secret(running.folder, identity))


def search(
    connection: Connection, base: str, condition: str = "(objectClass=*)"
) -> tuple[int, list[dict[str, object]]]:
    _, result, response, _ = connection.search(base, condition, attributes=["*", "+"])
    return result["result"], [entry["raw_attributes"] for entry in response or ()]


# -- its life


async def test_from_nothing_within_two_seconds(tmp_path: Path) -> None:
    began = time.monotonic()
    async with running_directory(tmp_path) as running:
        assert await running.appliance.printers() == ()
        assert time.monotonic() - began < 2


async def test_a_second_start_keeps_what_there_is(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, "sesame")
        before = [secret(running.folder, identity) for identity in Identity]
    async with running_directory(tmp_path) as running:
        assert await running.bridge.printer("phaser360") == PHASER
        assert await running.appliance.verify("phaser360", "sesame")
        assert [secret(running.folder, identity) for identity in Identity] == before


async def test_a_folder_left_half_made_is_made_again(tmp_path: Path) -> None:
    folder = tmp_path / "directory"
    (folder / "data").mkdir(parents=True)
    (folder / "data" / "data.mdb").write_bytes(b"half")
    (folder / "bridge.password").write_text("old\n")
    async with running_directory(tmp_path) as running:
        assert await running.bridge.printers() == ()


async def test_killed_in_the_middle_it_comes_back_with_all_that_was_answered(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, None)
        os.kill(running.server.pid, signal.SIGKILL)
        assert await running.server.wait() == -signal.SIGKILL
        await running.server.start()
        running.appliance.forget()
        assert await running.appliance.printer("phaser360") == PHASER


@pytest.mark.parametrize("version", ["printpost-1.ldif", "printpost-2.ldif", "printpost-3.ldif"])
async def test_a_folder_of_an_earlier_schema_learns_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    """What was made before there were groups, tickets, or ways to be served takes them at the next start."""
    old = tmp_path / "schema"
    old.mkdir()
    shutil.copy(Path(openldap.__file__).with_name("printer.ldif"), old)
    shutil.copy(Path(__file__).parent / "schemas" / version, old / "printpost.ldif")
    before = Printer(name="phaser360", addresses=("phaser360@example.com",), uri="socket://192.0.2.7:9100")
    with monkeypatch.context() as then:
        then.setattr("mailstore.directory.openldap._OWN_SCHEMA", old)
        async with running_directory(tmp_path) as running:
            classes = ["printerService", "inetLocalMailRecipient", "printpostPrinter"]
            values = {name: given for name, given in to_attributes(before).items() if given}
            connection = as_identity(running, Identity.APPLIANCE)
            assert connection.add(DN, classes, values)[0]
            with pytest.raises(PermanentFailure, match=r"restart printpost up, or load today's printpost\.ldif"):
                await running.appliance.replace(PHASER)
            assert await running.appliance.printer("phaser360") == before
            connection.unbind()
    async with running_directory(tmp_path) as running:
        assert await running.bridge.printer("phaser360") == before
        await running.appliance.replace(PHASER)
        await running.appliance.add(GROUP, None)
        running.bridge.forget()
        assert list(await running.bridge.printers()) == [GROUP, PHASER]


async def test_stop_ends_it_and_may_be_repeated(tmp_path: Path) -> None:
    with short_folder() as runtime:
        server = EmbeddedDirectory(tmp_path / "directory", runtime)
        await server.stop()
        await server.start()
        assert server.pid
        assert await answers(runtime)
        await server.stop()
        await server.stop()
        assert await server.wait() == 0
        assert not await answers(runtime)


async def test_a_server_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.directory.slapd._STOPPING", 0.1)
    with short_folder() as runtime:
        server = EmbeddedDirectory(tmp_path / "directory", runtime)
        await server.start()
        os.kill(server.pid, signal.SIGSTOP)
        await server.stop()
        assert await server.wait() == -signal.SIGKILL
        await server.start()
        await server.stop()


PARENT = """
import asyncio, sys
from pathlib import Path
from mailstore.directory.records import Printer
from mailstore.directory.slapd import EmbeddedDirectory
async def main():
    async with EmbeddedDirectory(Path(sys.argv[1]), Path(sys.argv[2])) as server:
        print(server.pid, flush=True)
        await server.wait()
asyncio.run(main())
"""


async def test_a_parent_that_is_killed_takes_it_along(tmp_path: Path) -> None:
    with short_folder() as runtime:
        parent = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PARENT, str(tmp_path / "directory"), str(runtime)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert parent.stdout is not None
        try:
            async with asyncio.timeout(20):
                while not (line := await parent.stdout.readline()).strip().isdigit():
                    assert line, "the parent ended early"
            slapd = os.pidfd_open(int(line))
        finally:
            parent.kill()
            await parent.communicate()
        try:
            ended, _, _ = await asyncio.to_thread(select.select, [slapd], [], [], 10)
            assert ended, "slapd outlived its parent"
        finally:
            os.close(slapd)


async def test_two_over_one_folder_are_refused(running: RunningDirectory, tmp_path: Path) -> None:
    with short_folder() as elsewhere:
        second = EmbeddedDirectory(running.folder, elsewhere)
        with pytest.raises(TransientFailure, match="in use"):
            await second.start(patience=0.1)
    assert await running.appliance.verify("phaser360", "sesame")


async def test_descriptors_are_few(running: RunningDirectory) -> None:
    limits = await asyncio.to_thread(Path(f"/proc/{running.server.pid}/limits").read_text)
    found = re.search(r"Max open files\s+(\d+)", limits)
    assert found is not None
    assert int(found[1]) <= 1024


# -- for commands


async def test_a_command_gets_the_server_that_runs(running: RunningDirectory) -> None:
    async with ensure(running.folder, running.runtime) as url:
        assert url == running.server.url
    assert await answers(running.runtime), "it is not ours to stop"


async def test_a_command_gets_one_of_its_own_where_none_runs(tmp_path: Path) -> None:
    folder = tmp_path / "directory"
    with short_folder() as runtime:
        async with ensure(folder, runtime):
            client = embedded(folder, runtime, "appliance")
            await client.add(PHASER, None)
            await client.close()
        assert not await answers(runtime)


async def test_commands_at_once_take_turns(tmp_path: Path) -> None:
    folder = tmp_path / "directory"

    async def add(number: int) -> None:
        async with ensure(folder, runtime):
            client = embedded(folder, runtime, "appliance")
            await client.add(replace(PLAIN, name=f"p{number}", addresses=(f"p{number}@example.com",)), None)
            await client.close()

    with short_folder() as runtime:
        await asyncio.gather(*(add(number) for number in range(4)))
        async with ensure(folder, runtime):
            client = embedded(folder, runtime, "bridge")
            assert [printer.name for printer in await client.printers()] == ["p0", "p1", "p2", "p3"]
            await client.close()


async def test_a_command_beside_a_server_that_is_starting(tmp_path: Path) -> None:
    folder = tmp_path / "directory"

    async def add() -> None:
        async with ensure(folder, runtime):
            client = embedded(folder, runtime, "appliance")
            await client.add(PHASER, None)
            await client.close()

    with short_folder() as runtime:
        server = EmbeddedDirectory(folder, runtime)
        try:
            await asyncio.gather(server.start(), add())
            assert server.pid
            assert await answers(runtime)
            client = embedded(folder, runtime, "bridge")
            assert await client.printer("phaser360") == PHASER
            await client.close()
        finally:
            await server.stop()


async def test_a_command_that_gets_no_turn_says_so(tmp_path: Path) -> None:
    with short_folder() as runtime:
        async with ensure(tmp_path, runtime):
            with pytest.raises(TransientFailure, match="another command"):
                await ensure(tmp_path, runtime, patience=0.1).__aenter__()


# -- what cannot work


async def test_without_slapd_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("mailstore.directory.openldap._SERVER_FOLDERS", ())
    with pytest.raises(PermanentFailure, match="apt-get install slapd"):
        await EmbeddedDirectory(tmp_path / "directory", tmp_path / "run").start()


async def test_a_socket_path_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="too long"):
        await EmbeddedDirectory(tmp_path / "directory", tmp_path / ("x" * 100)).start()


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermanentFailure, match="cannot make the folder"):
        await EmbeddedDirectory(tmp_path / "file" / "directory", tmp_path).start()


async def test_a_folder_that_slapd_could_not_quote_is_refused(tmp_path: Path) -> None:
    with short_folder() as runtime:
        with pytest.raises(PermanentFailure, match="without quotes"):
            await EmbeddedDirectory(tmp_path / 'a"b', runtime).start()
        async with EmbeddedDirectory(tmp_path / "a b é", runtime) as server:
            assert server.pid


async def test_a_broken_database_is_told_in_slapds_words(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        folder = running.folder
    (folder / "data" / "data.mdb").write_bytes(b"rubbish" * 1000)
    with short_folder() as runtime, pytest.raises(PermanentFailure, match=r"slapd ended at once: .+"):
        await EmbeddedDirectory(folder, runtime).start()


async def test_a_lost_database_is_not_silently_made_anew(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        folder = running.folder
    (folder / "data" / "data.mdb").unlink()
    with short_folder() as runtime, pytest.raises(PermanentFailure, match="is gone"):
        await EmbeddedDirectory(folder, runtime).start()


def test_apparmor_is_named_where_it_may_be_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = 'could not open config file "slapd.conf": Permission denied (13)'
    monkeypatch.setattr("mailstore.directory.openldap._APPARMOR", tmp_path / "usr.sbin.slapd")
    assert explained(words) == words
    (tmp_path / "usr.sbin.slapd").touch()
    assert "AppArmor" in explained(words)
    assert explained("bad configuration") == "bad configuration"


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure, match="printpost up"):
        secret(tmp_path, Identity.BRIDGE)


# -- who may do what


async def test_secrets_and_data_are_for_the_owner_alone(running: RunningDirectory) -> None:
    for path in [running.folder, running.runtime, *running.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        assert not mode & 0o077, f"{path} {mode:o}"
    assert len({secret(running.folder, identity) for identity in Identity}) == 2


async def test_passwords_are_hashed_at_rest(running: RunningDirectory) -> None:
    software = Software.find()
    await running.server.stop()
    ldif = await run([*software.tool("slapcat"), "-f", str(running.folder / "slapd.conf"), "-o", "ldif-wrap=no"], "")
    assert f"dn: {DN}" in ldif
    hidden = ["sesame", "open barley", *(secret(running.folder, identity) for identity in Identity)]
    octets = (running.folder / "data" / "data.mdb").read_bytes() + ldif.encode()
    for password in hidden:
        assert password.encode() not in octets
    assert octets.count(software.password_scheme.encode()) >= 3


async def test_nobody_reads_a_password(running: RunningDirectory) -> None:
    for identity in Identity:
        connection = as_identity(running, identity)
        code, entries = search(connection, SUFFIX, "(objectClass=*)")
        assert code == 0
        assert any(entry.get("uid") == [b"phaser360"] for entry in entries)
        assert not any("userPassword" in entry for entry in entries)
        assert not connection.compare(DN, "userPassword", "sesame")[0]
        assert not connection.compare(ADA_DN, "userPassword", "open barley")[0]
        assert search(connection, SUFFIX, "(userPassword=*)") == (0, [])
        connection.unbind()


async def test_the_bridge_changes_nothing(running: RunningDirectory) -> None:
    connection = as_identity(running, Identity.BRIDGE)
    own = Identity.BRIDGE.dn
    results = [
        connection.modify(DN, {"printer-location": [(MODIFY_REPLACE, ["here"])]})[1],
        connection.modify(DN, {"userPassword": [(MODIFY_REPLACE, ["tulip"])]})[1],
        connection.modify(own, {"userPassword": [(MODIFY_REPLACE, ["tulip"])]})[1],
        connection.add(f"uid=x,ou=printers,{SUFFIX}", ["printerService", "printpostPrinter"], {"uid": "x"})[1],
        connection.delete(DN)[1],
        connection.modify(ADA_DN, {"printpostAdministrator": [(MODIFY_REPLACE, ["TRUE"])]})[1],
        connection.delete(ADA_DN)[1],
    ]
    assert {result["result"] for result in results} <= {NO_RIGHTS, NO_SUCH_OBJECT}
    connection.extend.standard.modify_password(user=DN, new_password="tulip")
    assert connection.result["result"] == NO_RIGHTS
    connection.unbind()
    running.appliance.forget()
    assert await running.appliance.verify("phaser360", "sesame")


async def test_the_bridge_reads_printers_and_nothing_else(running: RunningDirectory) -> None:
    connection = as_identity(running, Identity.BRIDGE)
    _, entries = search(connection, SUFFIX)
    assert sorted(str(entry.get("uid") or entry.get("ou")) for entry in entries) == ["[b'phaser360']", "[b'printers']"]
    for hidden in ("people", "groups", "identities"):
        assert search(connection, f"ou={hidden},{SUFFIX}") == (NO_SUCH_OBJECT, [])
    assert search(connection, ADA_DN) == (NO_SUCH_OBJECT, [])
    for condition in ("(uid=ada)", "(mail=ada@example.com)", "(printpostAdministrator=TRUE)", "(sn=*)"):
        assert search(connection, SUFFIX, condition) == (0, [])
    assert not connection.compare(ADA_DN, "mail", "ada@example.com")[0]
    connection.unbind()


async def test_the_appliance_cannot_become_the_bridge_or_root(running: RunningDirectory) -> None:
    connection = as_identity(running, Identity.APPLIANCE)
    for identity in Identity:
        connection.extend.standard.modify_password(user=identity.dn, new_password="tulip")
        assert connection.result["result"] != 0
    person = ["organizationalRole", "simpleSecurityObject"]
    assert connection.add("cn=nobody", person, {"cn": "nobody", "userPassword": "tulip"})[1]["result"] != 0
    connection.unbind()
    rootdn = Connection(Server(running.server.url, get_info=NONE), "cn=nobody", "tulip", client_strategy=SAFE_SYNC)
    assert rootdn.bind(read_server_info=False)[1]["result"] == INVALID_CREDENTIALS
    rootdn.unbind()


async def test_a_printer_sees_nothing(running: RunningDirectory) -> None:
    connection = raw(running, DN, "sesame")
    assert search(connection, SUFFIX)[1] == []
    assert search(connection, DN)[1] == []
    assert connection.modify(DN, {"printer-location": [(MODIFY_REPLACE, ["here"])]})[1]["result"] != 0
    connection.unbind()


async def test_a_person_sees_nothing_and_cannot_rise(running: RunningDirectory) -> None:
    connection = raw(running, ADA_DN, "open barley")
    for base in (SUFFIX, ADA_DN, DN):
        assert search(connection, base)[1] == []
    for attribute in ("printpostAdministrator", "userPassword", "mail"):
        assert connection.modify(ADA_DN, {attribute: [(MODIFY_REPLACE, ["TRUE"])]})[1]["result"] != 0
    connection.unbind()


async def test_anonymous_clients_see_nothing(running: RunningDirectory) -> None:
    connection = Connection(Server(running.server.url, get_info=NONE), client_strategy=SAFE_SYNC)
    assert connection.bind(read_server_info=False)[1]["result"] == INAPPROPRIATE
    unbound = Connection(Server(running.server.url, get_info=NONE), client_strategy=SAFE_SYNC)
    unbound.open(read_server_info=False)
    for base in (SUFFIX, DN, f"ou=identities,{SUFFIX}", Identity.BRIDGE.dn):
        assert unbound.search(base, "(objectClass=*)")[1]["result"] == NO_SUCH_OBJECT
    unbound.unbind()
    connection.unbind()


async def test_uniqueness_is_the_servers_affair_too(running: RunningDirectory) -> None:
    connection = as_identity(running, Identity.APPLIANCE)
    classes = ["printerService", "inetLocalMailRecipient", "printpostPrinter"]
    attributes = {"uid": "x", "mail": "x@example.com", "mailLocalAddress": ["x@example.com", "COLOUR@example.com"]}
    printer = f"uid=x,ou=printers,{SUFFIX}"
    assert connection.add(printer, classes, attributes)[1]["description"] == "constraintViolation"
    of_a_person = {**attributes, "mailLocalAddress": "Ada@example.com"}
    assert connection.add(printer, classes, of_a_person)[1]["description"] == "constraintViolation"
    person = {"uid": "y", "cn": "y", "sn": "y", "mail": "y@example.com", "mailLocalAddress": "colour@example.com"}
    classes = ["inetOrgPerson", "inetLocalMailRecipient", "printpostPerson"]
    result = connection.add(f"uid=y,ou=people,{SUFFIX}", classes, person)[1]
    assert result["description"] == "constraintViolation"
    person |= {"uid": "phaser360", "mailLocalAddress": "y@example.com"}
    result = connection.add(f"uid=phaser360,ou=people,{SUFFIX}", classes, person)[1]
    assert result["description"] == "constraintViolation"
    connection.unbind()


def test_the_url_of_a_socket_is_percent_encoded() -> None:
    assert socket_url(Path("/run/a b/c")) == "ldapi://%2Frun%2Fa%20b%2Fc%2Fldapi"
