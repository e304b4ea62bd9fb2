"""Own users and the site's own directory, against real servers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import statistics
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from appliance.people import first_administrator
from mailstore.config import ConfigError, Settings
from mailstore.directory.cache import FRESH
from mailstore.directory.contract import Directory, People
from mailstore.directory.logins import Pace
from mailstore.directory.opening import connect_people, open_people
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.records import Person
from mailstore.directory.server import LdapServer
from mailstore.directory.site_people import SitePeople
from mailstore.directory.slapd import secret
from mailstore.failure import PermanentFailure, TransientFailure
from tests.contracts.directory import PLAIN
from tests.contracts.people import ADA, GRACE, HOSTILE, PeopleContract
from tests.directory_server import (
    FOREIGN_BASE,
    FOREIGN_DN,
    FOREIGN_PASSWORD,
    ForeignDirectory,
    RunningDirectory,
    foreign_directory,
    running_directory,
)

pytestmark = pytest.mark.slow  # foreign programs


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def asked(operation: str) -> float:
    """How many requests of the kind were put so far."""
    return REGISTRY.get_sample_value("printpost_directory_requests_total", {"operation": operation}) or 0.0


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningDirectory]:
    async with running_directory(tmp_path) as running:
        yield running


@pytest.fixture
def directory(running: RunningDirectory) -> Directory:
    return running.appliance


class TestOwn(PeopleContract):
    @pytest.fixture
    async def people(self, running: RunningDirectory) -> AsyncIterator[People]:
        async with running.people() as people:
            yield people


# -- the site's own directory


def like_unix(name: str, *addresses: str, extra: str = "") -> str:
    """An entry as OpenLDAP and FreeIPA have them; the password is the name turned round."""
    mail = "".join(f"mail: {address}\n" for address in addresses)
    return (
        f"dn: uid={name},{FOREIGN_BASE}\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name.title()}\nsn: {name}\n"
        f"{mail}userPassword: {name[::-1]}\n{extra}\n"
    )


def like_ad(name: str, *proxies: str, mail: str = "") -> str:
    """An entry as Active Directory has them, found by anything but its DN."""
    addresses = "".join(f"proxyAddresses: {value}\n" for value in proxies) + (f"mail: {mail}\n" if mail else "")
    return (
        f"dn: cn={name.title()} of Windows,{FOREIGN_BASE}\nobjectClass: user\ncn: {name.title()} of Windows\n"
        f"sn: {name}\nsAMAccountName: {name}\ndisplayName: {name.title()} (staff)\n{addresses}"
        f"userPassword: {name[::-1]}\n\n"
    )


GRACE_THERE = Person(
    name="grace",
    addresses=("grace@corp.example", "amazing@corp.example"),
    full_name="Grace",
    administrator=True,
    local=False,
)
ALAN_THERE = Person(
    name="alan",
    addresses=("alan@corp.example", "turing@corp.example"),
    full_name="Alan (staff)",
    local=False,
)
SITE = (
    like_unix("grace", "Grace@corp.example", "amazing@corp.example")
    + like_ad("Alan", "SMTP:alan@corp.example", "smtp:Turing@corp.example", "X400:c=gb", "SIP:alan@sip.example")
    + like_ad("twin", mail="shared@corp.example")
    + like_unix("twin2", "shared@corp.example")
    + like_unix("ada", "ada@corp.example", extra="description: bears the name of one of ours\n")
    + like_unix("mallory", "mallory@corp.example", "countess@example.com", "postmaster@example.com", "grace")
)


@contextlib.asynccontextmanager
async def both(
    tmp_path: Path, running: RunningDirectory, clock: Clock | None = None
) -> AsyncIterator[tuple[People, ForeignDirectory]]:
    """Our own Ada, and the site's directory."""
    async with foreign_directory(tmp_path, entries=SITE, only_people=True) as foreign:
        time_ = clock or time.monotonic
        pace = Pace()
        async with running.people(foreign.people(clock=time_, pace=pace), time_, pace) as people:
            await people.add(ADA, "sesame")
            yield people, foreign


class TestBoth(PeopleContract):
    """A site's directory beside our own users changes nothing for these."""

    @pytest.fixture
    async def people(self, running: RunningDirectory, tmp_path: Path) -> AsyncIterator[People]:
        entries = like_unix("henry", "henry@corp.example")
        async with (
            foreign_directory(tmp_path, entries=entries, only_people=True) as foreign,
            running.people(foreign.people()) as people,
        ):
            yield people


async def test_people_of_the_site_log_in_by_name_and_address(tmp_path: Path, running: RunningDirectory) -> None:
    async with both(tmp_path, running) as (people, _):
        for login in ("grace", "GRACE", "grace@corp.example", "Amazing@corp.example"):
            assert await people.verify(login, "ecarg") == GRACE_THERE, login
            assert await people.verify(login, "tulip") is None
        for login in ("alan", "Alan", "alan@corp.example", "turing@corp.example"):
            assert await people.verify(login, "nalA") == ALAN_THERE, login
        assert await people.verify("alan@sip.example", "nalA") is None
        assert await people.person("alan") == await people.person_by_address("turing@corp.example") == ALAN_THERE
        assert list(await people.people()) == [ADA], "the site's are not listed"


async def test_nothing_is_written_to_the_site(tmp_path: Path, running: RunningDirectory) -> None:
    async with both(tmp_path, running) as (people, _):
        changes = (
            people.replace(GRACE_THERE),
            people.replace(dataclasses.replace(GRACE_THERE, local=True)),
            people.remove("grace"),
            people.set_password("grace", "tulip"),
        )
        for change in changes:
            with pytest.raises(PermanentFailure):
                await change
        assert await people.verify("grace", "ecarg") == GRACE_THERE


async def test_hostile_names_find_nobody_at_the_site(tmp_path: Path, running: RunningDirectory) -> None:
    async with both(tmp_path, running) as (people, _):
        for name in HOSTILE:
            for login in (name, f"grace{name}", f"{name}@corp.example", f"grace@corp.example{name}"):
                if login != "grace" and login.strip() != "grace@corp.example":
                    assert await people.verify(login, "ecarg") is None, login
                    assert await people.person(login) is None
                    assert await people.person_by_address(login) is None


async def test_our_own_users_win(tmp_path: Path, running: RunningDirectory) -> None:
    async with both(tmp_path, running) as (people, _):
        assert await people.person("ada") == ADA
        assert await people.verify("ada", "ada"[::-1]) is None, "the site's password for that name"
        assert await people.verify("ada@corp.example", "ada"[::-1]) is None, "the name is a maildrop of ours"
        assert await people.person_by_address("ada@corp.example") is None
        mallory = await people.verify("mallory", "yrollam")
        assert mallory is not None
        assert mallory.addresses == ("mallory@corp.example",), "neither ours nor the site's, nor what is no address"
        assert await people.person_by_address("countess@example.com") == ADA
        assert await people.person_by_address("postmaster@example.com") is None
        await people.remove("ada")
        there = await people.verify("ada", "ada"[::-1])
        assert there is not None
        assert not there.local


async def test_what_two_of_the_site_have_is_nobodys(tmp_path: Path, running: RunningDirectory) -> None:
    async with both(tmp_path, running) as (people, _):
        with pytest.raises(TransientFailure, match="several people"):
            await people.verify("shared@corp.example", "niwt")
        twin = await people.verify("twin", "niwt")
        assert twin is not None
        assert twin.addresses == (), "an address is what roles and senders are known by: he may have made it up"
        assert await people.verify("grace", "ecarg") == GRACE_THERE, "mallory's address without @ is no name"


async def test_the_filter_says_who_is_people(tmp_path: Path, running: RunningDirectory) -> None:
    async with (
        foreign_directory(tmp_path, entries=SITE, only_people=True) as foreign,
        running.people(foreign.people("(&(objectClass=person)(!(uid=grace)))")) as people,
    ):
        assert await people.verify("grace", "ecarg") is None
        assert await people.verify("alan", "nalA") == ALAN_THERE


def test_settings_of_the_site_that_cannot_be_used() -> None:
    server = LdapServer("ldap://127.0.0.1:9", "", "", section="people")
    for base, condition, told in (("", "(uid=*)", "base"), ("dc=x", "uid=*)", "filter"), ("dc=x", "", "filter")):
        with pytest.raises(PermanentFailure, match=rf"\[people\] {told}"):
            SitePeople(server, base, condition, (), clock=time.monotonic, pace=Pace())
    with pytest.raises(PermanentFailure, match=r"\[people\] url"):
        LdapServer("ldaps://", "", "", section="people")
    with pytest.raises(PermanentFailure, match=r"\[people\] bind_password_file"):
        LdapServer("ldaps://h", "cn=x", "", section="people")
    server.close()


async def test_with_the_site_down_our_own_users_log_in(tmp_path: Path, running: RunningDirectory) -> None:
    clock = Clock()
    async with both(tmp_path, running, clock) as (people, foreign):
        assert await people.verify("grace", "ecarg")
        foreign.process.kill()
        await foreign.process.wait()
        assert await people.verify("ada", "sesame") == ADA
        assert await people.verify("ada", "tulip") is None
        assert await people.person("ada") == ADA
        assert list(await people.people()) == [ADA]
        await people.add(GRACE, "sesame")
        assert await people.verify("grace@example.com", "sesame") == GRACE
        clock.now += FRESH + 10
        with pytest.raises(TransientFailure):
            await people.verify("alan", "nalA")
        with pytest.raises(TransientFailure):
            await people.person("nobody")


async def test_with_the_site_down_who_bound_lately_is_believed(tmp_path: Path, running: RunningDirectory) -> None:
    clock = Clock()
    async with both(tmp_path, running, clock) as (people, foreign):
        assert await people.verify("grace", "ecarg") == GRACE_THERE
        foreign.process.kill()
        await foreign.process.wait()
        clock.now += FRESH + 1
        assert await people.verify("grace", "ecarg") == GRACE_THERE
        with pytest.raises(TransientFailure):
            await people.verify("grace", "tulip")
        people.forget()
        with pytest.raises(TransientFailure):
            await people.verify("grace", "ecarg")


async def test_with_our_own_directory_down_nobody_is_mistaken(tmp_path: Path, running: RunningDirectory) -> None:
    async with both(tmp_path, running) as (people, _):
        await running.server.stop()
        with pytest.raises(TransientFailure):
            await people.verify("alan", "nalA")  # who knows whether we have one of that name


# -- several processes, and what may be seen from outside


async def test_a_change_by_another_process_counts_after_forget(running: RunningDirectory) -> None:
    async with running.people() as here, running.people() as there:
        await here.add(ADA, "sesame")
        assert await there.verify("ada", "sesame") == ADA
        await here.set_password("ada", "tulip")
        changed = dataclasses.replace(ADA, administrator=False)
        await here.replace(changed)
        assert await there.verify("ada", "sesame") == ADA, "remembered"
        there.forget()
        assert await there.verify("ada", "sesame") is None
        assert await there.verify("ada", "tulip") == changed
        await here.remove("ada")
        there.forget()
        assert await there.verify("ada", "tulip") is None


async def test_equal_logins_at_once_cost_one_hash(running: RunningDirectory) -> None:
    async with running.people() as people:
        await people.add(ADA, "sesame")
        before = asked("bind")
        logins = ["ada", "ada@example.com", "Countess@example.com"] * 10
        assert await asyncio.gather(*(people.verify(login, "sesame") for login in logins)) == [ADA] * 30
        assert asked("bind") == before + 1


async def test_an_unknown_name_takes_as_long_as_a_wrong_password(tmp_path: Path, running: RunningDirectory) -> None:
    async def takes(login: str) -> float:
        people.forget()  # so that all is looked up
        began = time.monotonic()
        assert await people.verify(login, "tulip") is None
        return time.monotonic() - began

    async with both(tmp_path, running) as (people, _):
        for _ in range(3):
            await takes("ada")
        rounds = [[await takes(login) for login in ("ada", "grace", "nobody")] for _ in range(5)]
        ours, the_sites, nobodys = [statistics.median(times) for times in zip(*rounds, strict=True)]
        assert min(ours, the_sites, nobodys) > 0.02, "a hash that is meant to be slow"
        assert 0.5 < ours / nobodys < 2
        assert 0.5 < the_sites / nobodys < 2


async def test_a_damaged_entry_is_refused_alone(running: RunningDirectory) -> None:
    entry = {"uid": "odd", "cn": "odd", "sn": "odd", "mail": "no address"}
    server = LdapServer(running.server.url, Identity.APPLIANCE.dn, secret(running.folder, Identity.APPLIANCE))
    values = {name: [value] for name, value in entry.items()}
    await server.add(f"uid=odd,ou=people,{SUFFIX}", ("inetOrgPerson", "printpostPerson"), values)
    server.close()
    async with running.people() as people:
        await people.add(ADA, "sesame")
        with pytest.raises(TransientFailure, match="damaged"):
            await people.person("odd")
        assert list(await people.people()) == [ADA]


# -- from the configuration


async def test_people_of_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{FOREIGN_PASSWORD}\n")
    async with foreign_directory(tmp_path, entries=SITE, only_people=True) as foreign:
        site = {
            "url": f"ldaps://127.0.0.1:{foreign.port}",
            "base": FOREIGN_BASE,
            "bind_dn": FOREIGN_DN,
            "bind_password_file": tmp_path / "password",
            "ca": foreign.ca,
            "administrators": "Grace, nobody",
        }
        store = {"url": f"sqlite:{tmp_path / 'data'}"}
        settings = Settings.model_validate({"store": store, "people": site})
        (tmp_path / "data").mkdir()
        with pytest.raises(PermanentFailure, match="printpost up"):
            connect_people(settings)
        async with open_people(settings) as people:
            assert await first_administrator(people, "example.com")
            assert await people.verify("grace", "ecarg") == GRACE_THERE
            assert [person.name for person in await people.people()] == ["admin"]
        (tmp_path / "password").unlink()
        with pytest.raises(ConfigError, match=r"\[people\] bind_password_file"):
            connect_people(settings)


async def test_the_first_administrator_is_made_once(running: RunningDirectory) -> None:
    async with running.people() as people:
        made = await first_administrator(people, "example.com")
        assert made is not None
        name, password = made
        found = await people.verify(name, password)
        assert found is not None
        assert (found.name, found.addresses, found.administrator) == ("admin", ("admin@example.com",), True)
        assert len(password) > 16
        assert await first_administrator(people, "example.com") is None


async def test_the_first_administrator_leaves_a_printers_name_to_it(running: RunningDirectory) -> None:
    await running.appliance.add(dataclasses.replace(PLAIN, name="admin"), None)
    async with running.people() as people:
        made = await first_administrator(people, "example.com")
        assert made is not None
        assert made[0] == "administrator"
