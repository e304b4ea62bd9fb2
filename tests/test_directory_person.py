"""A person's record and its LDAP entries."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.directory.person import (
    ATTRIBUTES,
    SITE_ATTRIBUTES,
    checked,
    from_attributes,
    from_site,
    to_attributes,
)
from mailstore.directory.records import Person
from mailstore.directory.values import MalformedEntry
from mailstore.failure import PermanentFailure

ADA = Person(name="ada", addresses=("ada@example.com",))
ENTRY = {"uid": [b"ada"], "mail": [b"ada@example.com"]}

names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True).filter(lambda name: name != "abuse")
people = st.builds(
    Person,
    name=names,
    addresses=st.lists(
        st.builds("{}x@example.com".format, st.from_regex(r"[a-z0-9_!#*]{1,20}", fullmatch=True)),
        min_size=1,
        max_size=3,
        unique=True,
    ).map(tuple),
    full_name=st.text(st.characters(categories=["L", "N"]), max_size=30),
    administrator=st.booleans(),
    quota=st.integers(1, 1 << 40),
    groups=st.lists(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30), max_size=3, unique_by=str.lower
    ).map(tuple),
)


@given(people)
def test_a_checked_person_survives_the_entry(person: Person) -> None:
    stored = checked(person)
    attributes = {name: [value.encode() for value in values] for name, values in to_attributes(stored).items()}
    assert attributes["sn"]
    assert from_attributes(attributes) == stored
    assert checked(stored) == stored


@given(st.dictionaries(st.sampled_from(ATTRIBUTES + SITE_ATTRIBUTES), st.lists(st.binary(max_size=40), max_size=4)))
def test_whatever_an_entry_holds_it_is_a_person_or_malformed(attributes: dict[str, list[bytes]]) -> None:
    for read in (from_attributes, lambda values: from_site(values, ())):
        try:
            person = read(attributes)
        except MalformedEntry:
            continue
        assert person.name
        assert person.administrator <= (attributes.get("printpostAdministrator") is not None)


def test_every_attribute_that_is_written_is_asked_for() -> None:
    assert set(to_attributes(ADA)) - {"sn"} <= set(ATTRIBUTES)


def test_mail_stands_before_the_other_addresses() -> None:
    entry = {**ENTRY, "mailLocalAddress": [b"a@example.com", b"Ada@example.com"]}
    assert from_attributes(entry).addresses == ("ada@example.com", "a@example.com")


@pytest.mark.parametrize(
    ("attribute", "value"), [("printpostAdministrator", b"yes"), ("printpostQuota", b"-1"), ("cn", b"two\nlines")]
)
def test_what_cannot_be_read_is_left_out(attribute: str, value: bytes) -> None:
    assert from_attributes({**ENTRY, attribute: [value]}) == ADA


@pytest.mark.parametrize(
    "entry", [{}, {"uid": [b"ada"]}, {**ENTRY, "uid": [b"a b"]}, {**ENTRY, "uid": [b"postmaster"]}]
)
def test_without_a_name_and_an_address_there_is_nobody(entry: dict[str, list[bytes]]) -> None:
    with pytest.raises(MalformedEntry):
        from_attributes(entry)


def test_people_of_active_directory() -> None:
    entry = {
        "sAMAccountName": [b"Ada"],
        "cn": [b"King, Ada"],
        "displayName": ["Ada, Gräfin".encode()],
        "proxyAddresses": [
            b"smtp:ada@old.example",
            b"SMTP:Ada@example.com",
            b"x500:/o=x",
            b"smtp:no address",
            b"plain",
        ],
        "mail": [b"ada@example.com"],
        "printpostAdministrator": [b"TRUE"],
    }
    person = Person(name="ada", addresses=("ada@example.com", "ada@old.example"), full_name="Ada, Gräfin", local=False)
    assert from_site(entry, ()) == person
    assert from_site(entry, ("ada",)) == replace(person, administrator=True)


def test_people_of_a_site_need_a_name_and_no_address() -> None:
    assert from_site({"uid": [b"ada"]}, ()) == Person(name="ada", addresses=(), local=False)
    for name in (b"", b"King, Ada", b"machine$", b"person:bob", b"a" * 64, b"abuse", b"\xff"):
        with pytest.raises(MalformedEntry):
            from_site({"uid": [name], "mail": [b"ada@example.com"]}, ())


@pytest.mark.parametrize(
    ("person", "told"),
    [
        (replace(ADA, name="ada@example.com"), "user name"),
        (replace(ADA, name=""), "user name"),
        (replace(ADA, name="abuse"), "whoever runs the site"),
        (replace(ADA, addresses=()), "--mail"),
        (replace(ADA, addresses=("ada",)), "not an address"),
        (replace(ADA, addresses=("ada+x@example.com",)), "options"),
        (replace(ADA, addresses=("postmaster@example.com",)), "whoever runs the site"),
        (replace(ADA, full_name="two\nlines"), "one line"),
        (replace(ADA, quota=0), "quota"),
        (replace(ADA, local=False), "site's own directory"),
    ],
)
def test_what_cannot_be_stored_is_told(person: Person, told: str) -> None:
    with pytest.raises(PermanentFailure, match=told):
        checked(person)
