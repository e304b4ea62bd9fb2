"""The LDAP client against real servers: the contract, TLS, outages, and what it remembers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from mailstore.directory.cache import FRESH, MISSING
from mailstore.directory.ldap import LdapDirectory
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.records import Printer
from mailstore.directory.server import Reader
from mailstore.directory.slapd import secret
from mailstore.failure import PermanentFailure, TransientFailure
from tests.contracts.directory import PHASER, PLAIN, DirectoryContract
from tests.directory_server import (
    FOREIGN_BASE,
    FOREIGN_DN,
    FOREIGN_PASSWORD,
    ForeignDirectory,
    RunningDirectory,
    foreign_directory,
    make_certificate,
    running_directory,
)

pytestmark = pytest.mark.slow  # foreign programs


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def client_of(
    foreign: ForeignDirectory, scheme: str = "ldaps", host: str = "127.0.0.1"
) -> AsyncIterator[LdapDirectory]:
    client = foreign.client(scheme, host)
    try:
        yield client
    finally:
        await client.close()


def appliance(running: RunningDirectory, clock: Clock) -> LdapDirectory:
    password = secret(running.folder, Identity.APPLIANCE)
    return LdapDirectory(running.server.url, SUFFIX, Identity.APPLIANCE.dn, password, clock=clock, random=lambda: 1.0)


def asked(operation: str) -> float:
    """How many requests of the kind were put so far."""
    return REGISTRY.get_sample_value("printpost_directory_requests_total", {"operation": operation}) or 0.0


def written_by_others(start: int, stop: int, extra: str = "") -> str:
    """Printers as an administrator might write them, p0, p1 and so on."""
    return "".join(
        f"dn: uid=p{number},ou=printers,{FOREIGN_BASE}\nobjectClass: printerService\n"
        "objectClass: inetLocalMailRecipient\nobjectClass: printpostPrinter\n"
        f"uid: p{number}\nmail: p{number}@example.com\n{extra}\n"
        for number in range(start, stop)
    )


class TestEmbedded(DirectoryContract):
    @pytest.fixture
    async def directory(self, tmp_path: Path) -> AsyncIterator[LdapDirectory]:
        async with running_directory(tmp_path) as running:
            yield running.appliance


class TestForeign(DirectoryContract):
    @pytest.fixture
    async def directory(self, tmp_path: Path) -> AsyncIterator[LdapDirectory]:
        async with foreign_directory(tmp_path) as foreign:
            client = foreign.client()
            yield client
            await client.close()


# -- a server of the site's own


async def test_more_printers_than_the_server_shows_to_us_are_not_half_a_list(tmp_path: Path) -> None:
    entries = written_by_others(0, 501)
    async with foreign_directory(tmp_path, entries=entries) as foreign, client_of(foreign) as client:
        with pytest.raises(TransientFailure, match="size limit"):
            await client.printers()
        assert await client.printer("p500") is not None


async def test_a_thousand_printers_come_in_pages(tmp_path: Path) -> None:
    entries = written_by_others(0, 1000)
    limits = "size=500 size.prtotal=unlimited"
    async with foreign_directory(tmp_path, entries=entries, limits=limits) as foreign, client_of(foreign) as client:
        names = [printer.name for printer in await client.printers()]
        assert names == sorted(f"p{number}" for number in range(1000))


async def test_only_changed_printers_are_read_again(tmp_path: Path) -> None:
    async with (
        foreign_directory(tmp_path, entries=written_by_others(0, 100)) as foreign,
        client_of(foreign) as client,
        client_of(foreign) as other,
    ):
        before = await client.printers()
        client.forget()
        assert await client.printers() is before, "nothing was read again"
        await other.replace(replace(PHASER, name="p7"))
        await other.add(PLAIN, None)
        await other.remove("p8")
        client.forget()
        after = {printer.name: printer for printer in await client.printers()}
        assert after.keys() == {printer.name for printer in before} - {"p8"} | {"laser"}
        assert after["p7"] == replace(PHASER, name="p7")
        unchanged = [printer for printer in before if after.get(printer.name) is printer]
        assert len(unchanged) == 98


async def test_one_entry_and_one_that_is_gone(tmp_path: Path) -> None:
    def read(reader: Reader, name: str) -> Mapping[str, Any] | None:
        return reader.one(f"uid={name},ou=printers,{FOREIGN_BASE}", "(objectClass=printpostPrinter)", ("uid",))

    async with foreign_directory(tmp_path, entries=written_by_others(0, 1)) as foreign, client_of(foreign) as client:
        there, gone = await client._server.looked(lambda reader: (read(reader, "p0"), read(reader, "p1")), deadline=5)
        assert there is not None
        assert there["raw_attributes"] == {"uid": [b"p0"]}
        assert gone is None


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    async with foreign_directory(tmp_path, name="elsewhere.example.com") as foreign, client_of(foreign) as client:
        with pytest.raises(TransientFailure):
            await client.printer("laser")


async def test_a_certificate_of_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    async with foreign_directory(tmp_path) as foreign:
        (tmp_path / "other").mkdir()
        stranger = replace(foreign, ca=make_certificate(tmp_path / "other"))
        async with client_of(stranger) as client:
            with pytest.raises(TransientFailure):
                await client.printer("laser")
        async with client_of(foreign) as client:
            assert await client.printer("laser") is None


async def test_ldap_to_another_machine_starts_tls(tmp_path: Path) -> None:
    # 0.0.0.0 reaches this machine without being one of its loopback addresses.
    async with foreign_directory(tmp_path, scheme="ldap", name="0.0.0.0") as foreign:
        async with client_of(foreign, "ldap", "0.0.0.0") as client:
            await client.add(PHASER, "sesame")
            assert await client.verify("phaser360", "sesame")
        async with client_of(replace(foreign, ca=tmp_path / "foreign" / "other.pem"), "ldap", "127.0.0.1") as local:
            assert await local.printer("phaser360") == PHASER


async def test_no_password_goes_in_clear_to_another_machine() -> None:
    heard = bytearray()
    done = asyncio.Event()

    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(4096))
        # ExtendedResponse, protocolError: no StartTLS here.
        writer.write(bytes.fromhex("300c02010178070a010204000400"))
        heard.extend(await reader.read(4096))
        writer.close()
        done.set()

    async with await asyncio.start_server(deaf, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        client = LdapDirectory(f"ldap://0.0.0.0:{port}", "dc=example,dc=com", "cn=me", "tell-nobody")
        with pytest.raises(TransientFailure):
            await client.printer("laser")
        await asyncio.wait_for(done.wait(), 5)
        await client.close()
    assert b"1.3.6.1.4.1.1466.20037" in heard
    assert b"tell-nobody" not in heard


async def test_wrong_credentials_of_our_own_are_a_transient_failure(tmp_path: Path) -> None:
    async with foreign_directory(tmp_path) as foreign:
        url = f"ldaps://127.0.0.1:{foreign.port}"
        client = LdapDirectory(url, FOREIGN_BASE, f"cn=nobody,{FOREIGN_BASE}", "wrong", ca=foreign.ca)
        with pytest.raises(TransientFailure):
            await client.printer("laser")
        await client.close()


@pytest.mark.parametrize("url", ["", "localhost", "http://x", "ldaps://", "ldaps://h:x", "ldaps://a@h", "ldap://[::1"])
def test_urls_that_cannot_be_used(url: str) -> None:
    with pytest.raises(PermanentFailure, match="ldaps://HOST"):
        LdapDirectory(url, "dc=example,dc=com", "", "")


def test_a_ca_that_is_none(tmp_path: Path) -> None:
    for content in (None, b"rubbish"):
        if content:
            (tmp_path / "ca").write_bytes(content)
        with pytest.raises(PermanentFailure, match="ca"):
            LdapDirectory("ldaps://h", "dc=example,dc=com", "", "", ca=tmp_path / "ca")


def test_a_bind_dn_wants_a_password() -> None:
    with pytest.raises(PermanentFailure, match="bind_password_file"):
        LdapDirectory("ldaps://h", "dc=example,dc=com", "cn=me", "")


# -- entries that others wrote


async def test_damaged_entries_are_refused_alone(tmp_path: Path) -> None:
    damaged = written_by_others(0, 1, "printer-uri: http://192.0.2.7/\n")
    odd = written_by_others(1, 2, "printpostPollInterval: 0\n")
    async with foreign_directory(tmp_path, entries=damaged + odd) as foreign, client_of(foreign) as client:
        for question in (client.printer("p0"), client.printer_by_address("p0@example.com")):
            with pytest.raises(TransientFailure) as refusal:
                await question
            assert refusal.value.status == "4.3.5"
        tolerated = await client.printer("p1")
        assert tolerated == Printer(name="p1", addresses=("p1@example.com",))
        assert list(await client.printers()) == [tolerated]


async def test_damage_is_asked_about_and_told_once_in_ten_seconds(tmp_path: Path) -> None:
    clock = Clock()
    damaged = written_by_others(0, 1, "printer-uri: http://192.0.2.7/\n")
    async with foreign_directory(tmp_path, entries=damaged) as foreign:
        client = LdapDirectory(
            f"ldaps://127.0.0.1:{foreign.port}", FOREIGN_BASE, FOREIGN_DN, FOREIGN_PASSWORD, ca=foreign.ca, clock=clock
        )
        before = asked("search")
        with capture_logs() as told:
            for _ in range(20):
                with pytest.raises(TransientFailure, match="damaged"):
                    await client.printer("p0")
            assert asked("search") == before + 1
            clock.now += MISSING + 1
            with pytest.raises(TransientFailure, match="damaged"):
                await client.printer("p0")
        assert asked("search") == before + 2
        assert [line["event"] for line in told] == ["a directory entry is no usable printer"] * 2
        await client.close()


async def test_an_address_that_two_entries_have_is_nobodys(tmp_path: Path) -> None:
    entries = written_by_others(0, 3, "mailLocalAddress: shared@example.com\n")
    async with foreign_directory(tmp_path, entries=entries) as foreign, client_of(foreign) as client:
        with pytest.raises(TransientFailure):
            await client.printer_by_address("shared@example.com")
        assert await client.printer_by_address("p1@example.com") is not None


async def test_a_printer_that_others_wrote_can_be_changed(tmp_path: Path) -> None:
    entries = written_by_others(0, 1)
    async with foreign_directory(tmp_path, entries=entries) as foreign, client_of(foreign) as client:
        wanted = replace(PHASER, name="p0")
        await client.replace(wanted)
        await client.set_password("p0", "sesame")
        assert await client.printer_by_address("colour@example.com") == wanted
        assert await client.verify("p0", "sesame")


# -- many at once


async def test_equal_logins_at_once_cost_one_hash(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, "sesame")
        await running.appliance.add(PLAIN, "sesame")
        before = asked("bind")
        questions = [("phaser360", "sesame"), ("laser", "sesame"), ("phaser360", "tulip")] * 20
        answers = await asyncio.gather(*(running.appliance.verify(*question) for question in questions))
        assert answers == [True, True, False] * 20
        assert asked("bind") == before + 3
        assert not await running.appliance.verify("phaser360", "tulip")
        assert asked("bind") == before + 4, "a wrong password is never remembered"


async def test_a_login_after_forget_does_not_share_a_bind_from_before(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, "sesame")
        assert await running.appliance.printer("phaser360")
        before = asked("bind")
        os.kill(running.server.pid, signal.SIGSTOP)
        try:
            first = asyncio.create_task(running.appliance.verify("phaser360", "sesame"))
            async with asyncio.timeout(5):
                while asked("bind") == before:  # noqa: ASYNC110 - a metric tells nobody
                    await asyncio.sleep(0)
            running.appliance.forget()
            second = asyncio.create_task(running.appliance.verify("phaser360", "sesame"))
            await asyncio.sleep(0)
        finally:
            os.kill(running.server.pid, signal.SIGCONT)
        assert await first
        assert await second
        assert asked("bind") == before + 2


# -- when it does not answer


@pytest.mark.slow
async def test_a_hanging_server_costs_known_printers_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstore.directory.server.RECEIVING", 1)
    monkeypatch.setattr("mailstore.directory.server.DEADLINE", 2.0)
    monkeypatch.setattr("mailstore.directory.cache.PATIENCE", 0.1)
    clock = Clock()
    async with running_directory(tmp_path) as running:
        client = appliance(running, clock)
        await client.add(PHASER, "sesame")
        assert await client.printer("phaser360") == PHASER
        assert await client.verify("phaser360", "sesame")
        assert [printer.name for printer in await client.printers()] == ["phaser360"]
        clock.now += FRESH + 1
        os.kill(running.server.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            assert await client.printer("phaser360") == PHASER
            assert len(await client.printers()) == 1
            assert await client.verify("phaser360", "sesame"), "it bound not long ago"
            assert time.monotonic() - began < 1
            with pytest.raises(TransientFailure):
                await client.printer("laser")
            with pytest.raises(TransientFailure):
                await client.verify("phaser360", "tulip")
            assert time.monotonic() - began < 5
            began = time.monotonic()
            for number in range(100):
                with pytest.raises(TransientFailure):
                    await client.printer(f"nobody{number}")
            assert time.monotonic() - began < 0.5, "a server known to hang costs no waiting"
        finally:
            os.kill(running.server.pid, signal.SIGCONT)
        clock.now += 10
        assert await client.printer("laser") is None
        await client.close()


async def test_a_server_that_comes_back_is_used_again(tmp_path: Path) -> None:
    clock = Clock()
    async with running_directory(tmp_path) as running:
        client = appliance(running, clock)
        await client.add(PHASER, "sesame")
        assert await client.printer("phaser360") == PHASER
        await running.server.stop()
        client.forget()
        assert await client.printer("phaser360") == PHASER
        with pytest.raises(TransientFailure):
            await client.printer("laser")
        with pytest.raises(TransientFailure):
            await client.verify("phaser360", "sesame")
        await running.server.start()
        clock.now += 10
        assert await client.printer("phaser360") == PHASER
        assert await client.verify("phaser360", "sesame")
        await client.close()


async def test_a_restart_between_two_questions_goes_unnoticed(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, "sesame")
        assert await running.appliance.verify("phaser360", "sesame")
        await running.server.stop()
        await running.server.start()
        running.appliance.forget()
        assert await running.appliance.printer("phaser360") == PHASER
        assert await running.appliance.verify("phaser360", "sesame")
        await running.appliance.set_password("phaser360", "tulip")


async def test_a_change_by_another_process_counts_after_forget(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, "sesame")
        assert await running.bridge.verify("phaser360", "sesame")
        await running.appliance.set_password("phaser360", "tulip")
        await running.appliance.replace(replace(PHASER, location="here"))
        assert await running.bridge.verify("phaser360", "sesame")
        running.bridge.forget()
        assert not await running.bridge.verify("phaser360", "sesame")
        assert await running.bridge.verify("phaser360", "tulip")
        found = await running.bridge.printer("phaser360")
        assert found is not None
        assert found.location == "here"


async def test_the_bridge_may_not_write(tmp_path: Path) -> None:
    async with running_directory(tmp_path) as running:
        await running.appliance.add(PHASER, "sesame")
        changes = (
            running.bridge.add(PLAIN, None),
            running.bridge.replace(PHASER),
            running.bridge.set_password("phaser360", "tulip"),
            running.bridge.remove("phaser360"),
        )
        for change in changes:
            with pytest.raises(PermanentFailure) as refusal:
                await change
            assert refusal.value.status == "5.7.0"


async def test_requests_and_failures_are_counted(tmp_path: Path) -> None:
    def count(name: str, operation: str) -> float:
        return REGISTRY.get_sample_value(f"printpost_directory_{name}_total", {"operation": operation}) or 0.0

    async with running_directory(tmp_path) as running:
        before = {operation: count("requests", operation) for operation in ("add", "bind", "password", "search")}
        failed = count("request_failures", "search")
        await running.appliance.add(PHASER, "sesame")
        await running.appliance.verify("phaser360", "sesame")
        assert all(count("requests", operation) > number for operation, number in before.items())
        await running.server.stop()
        running.appliance.forget()
        with pytest.raises(TransientFailure):
            await running.appliance.printer("laser")
        assert count("request_failures", "search") == failed + 1
