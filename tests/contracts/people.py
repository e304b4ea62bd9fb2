"""What people must be able to do (`mailstore.directory.contract.People`), run over each engine.

An engine's tests inherit from `PeopleContract` and give it fixtures `people` (no own user yet, and allowed to write)
and `directory`, the printers beside them.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Person
from mailstore.failure import PermanentFailure
from tests.contracts.directory import PHASER, PLAIN

ADA = Person(
    name="ada",
    addresses=("ada@example.com", "countess@example.com"),
    full_name="Ada King, Gräfin von Lovelace",
    administrator=True,
    quota=5_000_000,
    groups=("analysts", "engine builders", "gräfinnen"),
)
GRACE = Person(name="grace.hopper", addresses=("grace@example.com",))

HOSTILE = [
    "*",
    "*)(uid=*",
    "ada)(objectClass=*",
    "ada*",
    "a\\2a",
    "ada,ou=people",
    "ada\0",
    "",
    " ",
    "é" * 300,
    "\udc80",
]


class PeopleContract:
    async def test_who_was_added_is_found_whole_by_name_and_by_every_address(self, people: People) -> None:
        await people.add(ADA, "sesame")
        for found in (
            await people.person("ada"),
            await people.person("ADA"),
            await people.person_by_address("ada@example.com"),
            await people.person_by_address("Countess@Example.COM"),
        ):
            assert found == ADA

    async def test_defaults_survive(self, people: People) -> None:
        await people.add(GRACE, "sesame")
        assert await people.person("grace.hopper") == GRACE

    async def test_unknown_people_are_none(self, people: People) -> None:
        assert await people.person("nobody") is None
        assert await people.person_by_address("nobody@example.com") is None
        assert await people.verify("nobody", "sesame") is None
        assert await people.verify("nobody@example.com", "sesame") is None

    async def test_a_miss_does_not_outlive_the_addition(self, people: People) -> None:
        assert await people.person("ada") is None
        assert list(await people.people()) == []
        await people.add(ADA, "sesame")
        assert await people.person("ada") == ADA
        assert list(await people.people()) == [ADA]

    async def test_own_users_by_name(self, people: People) -> None:
        await people.add(GRACE, "sesame")
        await people.add(ADA, "sesame")
        assert list(await people.people()) == [ADA, GRACE]

    async def test_only_the_right_password_is_right_by_name_or_address(self, people: People) -> None:
        await people.add(ADA, "sesame")
        for login in ("ada", "Ada", "ada@example.com", "countess@example.com"):
            assert await people.verify(login, "sesame") == ADA
        for wrong in ("", "Sesame", "sesame ", "sesame\0", "*", "x" * 5000, "\udc80", "\x07"):
            assert await people.verify("ada", wrong) is None, wrong

    async def test_a_changed_password_replaces_the_old_one_at_once(self, people: People) -> None:
        await people.add(ADA, "sesame")
        assert await people.verify("ada", "sesame")
        await people.set_password("ada", "grüße «秘密» $%s")
        assert await people.verify("ada", "sesame") is None
        assert await people.verify("ada", "grüße «秘密» $%s") == ADA

    async def test_passwords_that_cannot_be_sent_are_refused(self, people: People) -> None:
        for password in ("", "x" * 1025, "bell\x07", "\udc80"):
            with pytest.raises(PermanentFailure, match="password"):
                await people.add(ADA, password)
        assert await people.person("ada") is None

    async def test_hostile_names_find_nobody_and_change_nothing(self, people: People) -> None:
        await people.add(ADA, "sesame")
        for name in HOSTILE:
            assert await people.person(name) is None
            assert await people.person_by_address(name) is None
            assert await people.person_by_address(f"{name}@example.com") is None
            assert await people.verify(name, "sesame") is None
            assert await people.verify(f"{name}@example.com", "sesame") is None
            for change in (people.remove(name), people.set_password(name, "tulip")):
                with pytest.raises(PermanentFailure):
                    await change
            with pytest.raises(PermanentFailure):
                await people.add(replace(GRACE, name=name), "sesame")
        people.forget()
        assert list(await people.people()) == [ADA]

    async def test_characters_that_mean_something_in_filters_are_only_characters(self, people: People) -> None:
        odd = replace(GRACE, addresses=("o'neil*#1{}|@example.com",), full_name="*)(uid=* O'Neil")
        await people.add(odd, "sesame")
        assert await people.person_by_address("o'neil*#1{}|@example.com") == odd
        assert await people.person_by_address("o'neil!#1{}|@example.com") is None

    async def test_a_name_or_an_address_belongs_to_one_person(self, people: People) -> None:
        await people.add(ADA, "sesame")
        rivals = (
            replace(ADA, addresses=("other@example.com",)),
            replace(GRACE, addresses=("countess@example.com",)),
            replace(GRACE, addresses=("grace@example.com", "ADA@example.com")),
        )
        for rival in rivals:
            with pytest.raises(PermanentFailure) as refusal:
                await people.add(rival, "sesame")
            assert refusal.value.status == "5.1.1"
        await people.add(GRACE, "sesame")
        with pytest.raises(PermanentFailure) as refusal:
            await people.replace(replace(GRACE, addresses=("grace@example.com", "ada@example.com")))
        assert refusal.value.status == "5.1.1"
        assert list(await people.people()) == [ADA, GRACE]

    async def test_a_name_or_an_address_belongs_to_a_person_or_a_printer(
        self, people: People, directory: Directory
    ) -> None:
        await people.add(ADA, "sesame")
        await directory.add(PHASER, None)
        attempts = (
            people.add(replace(GRACE, name="phaser360"), "sesame"),
            people.add(replace(GRACE, addresses=("grace@example.com", "colour@example.com")), "sesame"),
            people.replace(replace(ADA, addresses=("phaser360@example.com",))),
            directory.add(replace(PLAIN, name="ada"), None),
            directory.add(replace(PLAIN, addresses=("Countess@example.com",)), None),
            directory.replace(replace(PHASER, addresses=("phaser360@example.com", "ada@example.com"))),
        )
        for attempt in attempts:
            with pytest.raises(PermanentFailure) as refusal:
                await attempt
            assert refusal.value.status == "5.1.1"
        assert list(await people.people()) == [ADA]
        assert list(await directory.printers()) == [PHASER]

    async def test_what_the_site_answers_for_is_nobodys(self, people: People, directory: Directory) -> None:
        attempts = (
            people.add(replace(GRACE, name="postmaster"), "sesame"),
            people.add(replace(GRACE, addresses=("grace@example.com", "Postmaster@example.com")), "sesame"),
            people.add(replace(GRACE, addresses=("abuse@example.com",)), "sesame"),
            directory.add(replace(PLAIN, addresses=("abuse@example.com",)), None),
            directory.add(replace(PLAIN, name="postmaster"), None),
        )
        for attempt in attempts:
            with pytest.raises(PermanentFailure, match="whoever runs the site"):
                await attempt

    async def test_the_pages_word_for_a_new_printer_is_no_printers_name(
        self, people: People, directory: Directory
    ) -> None:
        for name in ("new", "New"):
            with pytest.raises(PermanentFailure, match="page for new printers"):
                await directory.add(replace(PLAIN, name=name), None)
        assert await directory.printer("new") is None
        await directory.add(replace(PLAIN, name="new-one"), None)
        await people.add(replace(GRACE, name="new"), "sesame")  # people have no such page

    async def test_a_printer_is_no_person_and_the_other_way_round(self, people: People, directory: Directory) -> None:
        await people.add(ADA, "sesame")
        await directory.add(PHASER, "sesame")
        assert await people.person("phaser360") is None
        assert await people.person_by_address("phaser360@example.com") is None
        assert await people.verify("phaser360", "sesame") is None
        assert await directory.printer("ada") is None
        assert await directory.printer_by_address("ada@example.com") is None
        assert not await directory.verify("ada", "sesame")
        with pytest.raises(PermanentFailure):
            await people.remove("phaser360")
        with pytest.raises(PermanentFailure):
            await directory.remove("ada")

    async def test_replace_writes_and_clears_every_setting(self, people: People) -> None:
        await people.add(ADA, "sesame")
        bare = Person(name="ada", addresses=("countess@example.com",))
        await people.replace(bare)
        assert await people.person("ada") == bare
        assert await people.person_by_address("ada@example.com") is None
        await people.replace(ADA)
        assert await people.verify("ada", "sesame") == ADA, "the password is no setting"

    async def test_who_was_removed_is_gone(self, people: People) -> None:
        await people.add(ADA, "sesame")
        assert await people.verify("ada", "sesame")
        await people.remove("ada")
        assert await people.person("ada") is None
        assert await people.person_by_address("countess@example.com") is None
        assert await people.verify("ada", "sesame") is None
        assert list(await people.people()) == []

    async def test_changes_to_nobody_are_refused(self, people: People) -> None:
        for change in (people.replace(ADA), people.remove("nobody"), people.set_password("nobody", "x")):
            with pytest.raises(PermanentFailure, match="there is no user"):
                await change

    async def test_values_are_stored_in_their_usual_form(self, people: People) -> None:
        await people.add(
            Person(name="Ada", addresses=("ADA@example.com", "ada@Example.com"), full_name=" Ada "), "sesame"
        )
        assert await people.person("ada") == Person(name="ada", addresses=("ada@example.com",), full_name="Ada")

    async def test_groups_are_asked_by_any_address(self, people: People) -> None:
        await people.add(ADA, "sesame")
        await people.add(GRACE, "sesame")
        for address in ("ada@example.com", "Countess@Example.COM"):
            assert await people.groups(address) == frozenset(ADA.groups)
        for address in ("grace@example.com", "nobody@example.com", "", "*", "ada"):
            assert await people.groups(address) == frozenset()
        await people.replace(replace(ADA, groups=("poets",)))
        assert await people.groups("ada@example.com") == {"poets"}

    async def test_groups_have_one_form(self, people: People) -> None:
        await people.add(replace(ADA, groups=(" Engine  Builders", "engine builders", "ANALYSTS")), "sesame")
        assert await people.groups("ada@example.com") == {"engine builders", "analysts"}
        for name in ("", " ", "a\nb", "x" * 257):
            with pytest.raises(PermanentFailure, match="group"):
                await people.replace(replace(ADA, groups=(name,)))
