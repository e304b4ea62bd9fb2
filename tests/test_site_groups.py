"""The groups of people of a site's own directory, against real servers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3 import MODIFY_ADD, MODIFY_DELETE, NONE, SAFE_SYNC, Connection, Server, Tls
from prometheus_client import REGISTRY

from mailstore.directory import site_groups
from mailstore.directory.cache import FRESH
from mailstore.directory.contract import People
from mailstore.directory.site_groups import named_by, tree
from mailstore.directory.values import read_group
from mailstore.failure import TransientFailure
from tests.contracts.people import ADA
from tests.directory_server import (
    FOREIGN_BASE,
    FOREIGN_PASSWORD,
    FOREIGN_ROOT,
    ForeignDirectory,
    RunningDirectory,
    foreign_directory,
    running_directory,
)
from tests.test_people import Clock, like_ad, like_unix

PEOPLE = f"ou=people,{FOREIGN_BASE}"
GROUPS = f"ou=groups,{FOREIGN_BASE}"


def unit(name: str) -> str:
    return f"dn: ou={name},{FOREIGN_BASE}\nobjectClass: organizationalUnit\nou: {name}\n\n"


def group(kind: str, name: str, *members: str, attribute: str = "member") -> str:
    listed = "".join(f"{attribute}: {member}\n" for member in members)
    number = "gidNumber: 100\n" if kind == "posixGroup" else ""
    return f"dn: cn={name},{GROUPS}\nobjectClass: {kind}\ncn: {name}\n{number}{listed}\n"


def dn(name: str) -> str:
    return f"uid={name},{FOREIGN_BASE}"


SITE = (
    unit("people")
    + unit("groups")
    + like_unix("grace", "grace@corp.example")
    + like_unix("twin", "twin@corp.example")
    + f"dn: cn=other,{PEOPLE}\nobjectClass: inetOrgPerson\ncn: other\nsn: o\nuid: twin\nmail: other@corp.example\n\n"
    + like_unix("star)(uid=x", "star@corp.example").replace("uid: star)(uid=x", "uid: star")
    + group("groupOfNames", "Teachers", dn("grace"), dn("twin"))
    + group("groupOfNames", "Heads", f"cn=Teachers,{GROUPS}", dn("twin"))
    + group("groupOfUniqueNames", "Böard, of  Directors", dn("grace"), attribute="uniqueMember").replace(
        "dn: cn=Böard, of  Directors", "dn: cn=B\\C3\\B6ard\\, of  Directors"
    )
    + group("posixGroup", "printing", "grace", "star", attribute="memberUid")
    + group("groupOfNames", "spies", dn("star\\29\\28uid\\3Dx"))
)


def requests() -> float:
    return REGISTRY.get_sample_value("printpost_directory_requests_total", {"operation": "search"}) or 0.0


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningDirectory]:
    async with running_directory(tmp_path) as running:
        yield running


@contextlib.asynccontextmanager
async def site(
    tmp_path: Path, running: RunningDirectory, entries: str = SITE, overlay: str = "", clock: Clock | None = None
) -> AsyncIterator[tuple[People, ForeignDirectory]]:
    time_ = clock or time.monotonic
    async with (
        foreign_directory(tmp_path, entries=entries, only_people=True, overlay=overlay) as foreign,
        running.people(foreign.people(clock=time_), time_) as people,
    ):
        yield people, foreign


def root(foreign: ForeignDirectory) -> Connection:
    server = Server("127.0.0.1", foreign.port, use_ssl=True, get_info=NONE, tls=Tls(ca_certs_file=str(foreign.ca)))
    connection = Connection(server, FOREIGN_ROOT, FOREIGN_PASSWORD, client_strategy=SAFE_SYNC)
    assert connection.bind(read_server_info=False)[0]
    return connection


# -- groups that name their members


@pytest.mark.slow
async def test_groups_by_dn_and_by_user_name(tmp_path: Path, running: RunningDirectory) -> None:
    async with site(tmp_path, running) as (people, _):
        assert await people.groups("Grace@corp.example") == {"teachers", "böard, of directors", "printing"}
        assert await people.groups("star@corp.example") == {"printing", "spies"}, "a DN is no filter"
        assert await people.groups("nobody@corp.example") == frozenset()


@pytest.mark.slow
async def test_a_user_name_that_two_have_is_nobodys(tmp_path: Path, running: RunningDirectory) -> None:
    async with site(tmp_path, running) as (people, _):
        with pytest.raises(TransientFailure, match="several people"):
            await people.groups("twin@corp.example")


@pytest.mark.slow
async def test_our_own_users_have_the_groups_that_we_know(tmp_path: Path, running: RunningDirectory) -> None:
    entries = SITE + like_unix("ada", "ada@example.com") + group("groupOfNames", "counts", dn("ada"))
    async with site(tmp_path, running, entries) as (people, _):
        assert await people.groups("ada@example.com") == {"counts"}
        await people.add(ADA, "sesame")
        assert await people.groups("ada@example.com") == frozenset(ADA.groups)


@pytest.mark.slow
async def test_groups_are_remembered_and_serve_while_the_site_is_down(
    tmp_path: Path, running: RunningDirectory
) -> None:
    clock = Clock()
    async with site(tmp_path, running, clock=clock) as (people, foreign):
        person = await people.person_by_address("grace@corp.example")
        assert person is not None
        assert person.groups == (), "nobody pays for them who does not ask"
        there = await people.groups("grace@corp.example")
        assert there
        before = requests()
        assert await people.groups("grace@corp.example") == there
        assert requests() == before
        connection = root(foreign)
        posix = f"cn=printing,{GROUPS}"
        assert connection.modify(posix, {"memberUid": [(MODIFY_DELETE, ["grace"])]})[0]
        clock.now += FRESH + 1
        assert await people.groups("grace@corp.example") == there - {"printing"}
        assert connection.modify(posix, {"memberUid": [(MODIFY_ADD, ["grace"])]})[0]
        people.forget()
        assert await people.groups("grace@corp.example") == there
        connection.unbind()
        foreign.process.kill()
        await foreign.process.wait()
        clock.now += FRESH + 1
        assert await people.groups("grace@corp.example") == there
        with pytest.raises(TransientFailure):
            await people.groups("star@corp.example")


@pytest.mark.slow
async def test_who_is_in_too_many_groups_is_in_none_that_is_known(
    tmp_path: Path, running: RunningDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site_groups, "MOST", 2)
    async with site(tmp_path, running) as (people, _):
        with pytest.raises(TransientFailure, match="more than 2 groups"):
            await people.groups("grace@corp.example")
        assert len(await people.groups("star@corp.example")) == 2


# -- memberOf


@pytest.mark.slow
async def test_the_overlay_memberof(tmp_path: Path, running: RunningDirectory) -> None:
    entries = unit("groups") + like_unix("grace", "grace@corp.example") + like_unix("alan", "alan@corp.example")
    async with site(tmp_path, running, entries, overlay="memberof") as (people, foreign):
        connection = root(foreign)
        for name, members in (("Escaped\\, ones", [dn("grace")]), ("everybody", [dn("grace"), dn("alan")])):
            assert connection.add(f"cn={name},{GROUPS}", "groupOfNames", {"member": members})[0]
        assert await people.groups("grace@corp.example") == {"escaped, ones", "everybody"}
        assert await people.groups("alan@corp.example") == {"everybody"}
        _, _, found, _ = connection.search(dn("alan"), "(objectClass=*)", attributes=["memberOf"])
        assert found[0]["attributes"]["memberOf"], "the overlay is at work"
        connection.unbind()


def in_ad(*groups: str) -> str:
    member_of = "".join(f"memberOf: {one}\n" for one in groups)
    return like_ad("alan", mail="alan@corp.example").rstrip("\n") + f"\n{member_of}\n"


@pytest.mark.slow
async def test_active_directory_is_asked_for_memberof_alone(tmp_path: Path, running: RunningDirectory) -> None:
    entries = (
        unit("groups")
        + in_ad(f"CN=Domain Printers,CN=Users,{FOREIGN_BASE}", f"CN=Staff\\, all,OU=x,{FOREIGN_BASE}", "ou=no,dc=cn")
        + group("groupOfNames", "sought", f"cn=Alan of Windows,{FOREIGN_BASE}")
    )
    async with site(tmp_path, running, entries, overlay="memberof") as (people, _):
        assert await people.groups("alan@corp.example") == {"domain printers", "staff, all"}


def test_a_range_of_values_is_not_the_whole() -> None:
    """Active Directory calls the first 1500 values of many `memberOf;range=0-1499`."""
    with pytest.raises(TransientFailure, match="more than"):
        site_groups.told({"memberof;range=0-1499": [b"CN=one,DC=example"], "samaccountname": [b"alan"]})
    assert site_groups.told({"memberof": [b"CN=one,DC=example"]}) == ["one"]


# -- names


@pytest.mark.parametrize(
    ("given_dn", "name"),
    [
        ("cn=Teachers,ou=groups,dc=example", "teachers"),
        ("CN = Teachers , OU=groups", "teachers"),
        ("cn=A\\, B\\2c \\C3\\96,dc=x", "a, b, ö"),
        ("cn=a\\+b+uid=7,dc=x", "a+b"),
        ("cn=\\#1,dc=x", "#1"),
        ("cn=alone", "alone"),
        ("cn=two\\0Alines,dc=x", ""),
        ("cn=,dc=x", ""),
        ("ipaUniqueID=7,cn=hbac,dc=x", ""),
        ("ou=cn\\=x,dc=x", ""),
        ("cn=\\ff\\fe,dc=x", ""),
        ("cn=" + "x" * 257, ""),
        ("", ""),
    ],
)
def test_names_of_groups_in_their_dns(given_dn: str, name: str) -> None:
    assert named_by(given_dn) == name


@given(st.text(max_size=60))
def test_whatever_a_dn_is_it_has_a_name_or_none(text: str) -> None:
    for given_dn in (text, f"cn={text},dc=x"):
        name = named_by(given_dn)
        assert not name or name == read_group(name)


def test_groups_are_sought_in_the_whole_tree() -> None:
    assert tree("ou=people,dc=example,dc=com") == "dc=example,dc=com"
    assert tree("cn=users,cn=accounts,DC=ipa,DC=example") == "DC=ipa,DC=example"
    assert tree("ou=people, o=Example, c=DE") == "o=Example, c=DE"
    assert tree("ou=a\\,dc=b,ou=people") == "ou=a\\,dc=b,ou=people"
    assert tree("dc=example") == "dc=example"
    assert tree("ou=people") == "ou=people"
