"""What every directory must do (`mailstore.directory.contract.Directory`), run over each engine.

An engine's tests inherit from `DirectoryContract` and give it a fixture `directory`: empty, and allowed to write.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from mailstore.directory.contract import Directory
from mailstore.directory.records import Body, Hold, Language, Printer, PrintLimits, Raw, Snmp, WhenUncertain
from mailstore.failure import PermanentFailure
from mailstore.ticket import NO_TICKET, ColorMode, Orientation, Scaling, Sides, Ticket

PHASER = Printer(
    name="phaser360",
    addresses=("phaser360@example.com", "colour@example.com"),
    uri="socket://192.0.2.7:9100",
    languages=(Language.POSTSCRIPT2, Language.TEXT),
    allow=("@example.com", "ip:192.0.2.0/24", "authenticated"),
    deny=("mallory@example.com",),
    sysadmin=("root@example.com",),
    service_person=("ada@example.com", "grace@example.com"),
    key_user=("charles@example.com",),
    poll_interval=300,
    plain_from=("192.0.2.7/32",),
    quota=5_000_000,
    when_uncertain=WhenUncertain.REPRINT,
    tell_printed=True,
    pjl=True,
    limits=PrintLimits(jobs=100, octets=1 << 30, pages=500, sender_jobs=10, sender_pages=50, job_pages=20),
    unverified_ok=True,
    raw=Raw.VERIFIED,
    unfiltered=Raw.INSIDER,
    body=Body.ALWAYS,
    color=True,
    max_copies=20,
    media=("na_letter_8.5x11in", "iso_a4_210x297mm", "iso_a3_297x420mm"),
    ticket=Ticket(copies=2, sides=Sides.LONG_EDGE, media="iso_a4_210x297mm", media_source="tray-2", number_up=2),
    confidential=True,
    half_close=False,
    end_wait=300,
    stall_limit=3600,
    pjl_one_option=True,
    ps_echo=True,
    count_pages=False,
    snmp=Snmp.V2C,
    snmp_community="Sesame(uid=*)\\",
    snmp_port=1161,
    status_interval=30,
    quiet_hours=("22:00-06:00", "sat,sun 00:00-24:00"),
    hold=Hold.CODE,
    hold_expiry=8 * 3600,
    expiry=86400,
    network_address="192.0.2.7",
    netmask="255.255.255.0",
    gateway="192.0.2.1",
    hardware_address="00:00:5e:00:53:01",
    location="Second floor, beside the stairs, Büro 2",
    model="Tektronix Phaser 360",
)
GROUP = Printer(
    name="all",
    addresses=("all@example.com", "everywhere@example.com"),
    languages=(),
    members=("phaser360", "laser"),
    allow=("group:teachers",),
    limits=PrintLimits(sender_jobs=3),
)
PLAIN = Printer(name="laser", addresses=("laser@example.com",))

TICKETS = (
    NO_TICKET,
    Ticket(sides=Sides.SHORT_EDGE, color=ColorMode.MONOCHROME, scaling=Scaling.FIT),
    Ticket(page_ranges=((1, 3), (7, 99_999)), orientation=Orientation.LANDSCAPE, number_up=16),
)

HOSTILE = [
    "*",
    "*)(uid=*",
    "phaser360)(objectClass=*",
    "phaser360,ou=printers",
    "phaser360\0",
    "\\2a",
    "",
    " ",
    "é" * 300,
    "\udc80",
]


class DirectoryContract:
    async def test_what_was_added_is_found_whole_by_name_and_by_every_address(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        assert await directory.printer("phaser360") == PHASER
        assert await directory.printer_by_address("phaser360@example.com") == PHASER
        assert await directory.printer_by_address("colour@example.com") == PHASER

    async def test_names_and_addresses_are_compared_without_case(self, directory: Directory) -> None:
        await directory.add(PHASER, None)
        assert await directory.printer("Phaser360") == PHASER
        assert await directory.printer_by_address("PHASER360@Example.COM") == PHASER

    async def test_defaults_survive(self, directory: Directory) -> None:
        await directory.add(PLAIN, None)
        assert await directory.printer("laser") == PLAIN

    async def test_a_group_is_found_by_its_addresses_and_listed(self, directory: Directory) -> None:
        await directory.add(GROUP, None)
        await directory.add(PLAIN, None)
        assert await directory.printer("all") == await directory.printer_by_address("everywhere@example.com") == GROUP
        assert list(await directory.printers()) == [GROUP, PLAIN]
        smaller = replace(GROUP, members=("laser",))
        await directory.replace(smaller)
        assert await directory.printer("all") == smaller

    async def test_a_group_has_no_device_and_no_languages(self, directory: Directory) -> None:
        for wrong in (
            {"uri": "socket://192.0.2.7"},
            {"languages": (Language.PDF,)},
            {"members": ("laser", "All")},
            {"members": ("two words",)},
        ):
            with pytest.raises(PermanentFailure):
                await directory.add(replace(GROUP, **wrong), None)
        assert await directory.printer("all") is None

    async def test_unknown_printers_are_none(self, directory: Directory) -> None:
        assert await directory.printer("nobody") is None
        assert await directory.printer_by_address("nobody@example.com") is None

    async def test_a_miss_does_not_outlive_the_addition(self, directory: Directory) -> None:
        assert await directory.printer("laser") is None
        await directory.add(PLAIN, None)
        assert await directory.printer("laser") == PLAIN

    async def test_all_printers_by_name(self, directory: Directory) -> None:
        assert list(await directory.printers()) == []
        await directory.add(PHASER, None)
        await directory.add(PLAIN, None)
        assert list(await directory.printers()) == [PLAIN, PHASER]

    async def test_only_the_right_password_is_right(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        assert await directory.verify("phaser360", "sesame")
        assert await directory.verify("PHASER360", "sesame")
        for wrong in ("", "Sesame", "sesame ", "sesame\0", "*", "x" * 5000, "\udc80", "\x07"):
            assert not await directory.verify("phaser360", wrong), wrong
        assert not await directory.verify("nobody", "sesame")

    async def test_a_printer_without_a_password_has_no_right_one(self, directory: Directory) -> None:
        await directory.add(PLAIN, None)
        assert not await directory.verify("laser", "")
        assert not await directory.verify("laser", "x")

    async def test_passwords_of_people_who_do_not_write_ascii(self, directory: Directory) -> None:
        await directory.add(PLAIN, "grüße «秘密» $%s")
        assert await directory.verify("laser", "grüße «秘密» $%s")

    async def test_a_changed_password_replaces_the_old_one_at_once(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        assert await directory.verify("phaser360", "sesame")
        await directory.set_password("phaser360", "tulip")
        assert not await directory.verify("phaser360", "sesame")
        assert await directory.verify("phaser360", "tulip")

    async def test_passwords_that_cannot_be_sent_are_refused(self, directory: Directory) -> None:
        for password in ("", "x" * 1025, "bell\x07", "\udc80"):
            with pytest.raises(PermanentFailure, match="password"):
                await directory.add(PHASER, password)
        assert await directory.printer("phaser360") is None

    async def test_hostile_names_find_nothing(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        for name in HOSTILE:
            assert await directory.printer(name) is None
            assert await directory.printer_by_address(name) is None
            assert await directory.printer_by_address(f"{name}@example.com") is None
            assert not await directory.verify(name, "sesame")
            for change in (directory.remove(name), directory.set_password(name, "tulip")):
                with pytest.raises(PermanentFailure):
                    await change
            with pytest.raises(PermanentFailure):
                await directory.add(replace(PLAIN, name=name), None)
        directory.forget()
        assert list(await directory.printers()) == [PHASER]

    async def test_characters_that_mean_something_in_filters_are_only_characters(self, directory: Directory) -> None:
        odd = replace(PLAIN, addresses=("o'neil*#1{}|@example.com",), allow=("*", "group:a)(b", "ip:2001:db8::/32"))
        await directory.add(odd, None)
        assert await directory.printer_by_address("o'neil*#1{}|@example.com") == odd
        assert await directory.printer_by_address("o'neil!#1{}|@example.com") is None

    async def test_a_name_or_an_address_belongs_to_one_printer(self, directory: Directory) -> None:
        await directory.add(PHASER, None)
        rivals = (
            replace(PHASER, addresses=("other@example.com",)),
            replace(PLAIN, addresses=("colour@example.com",)),
            replace(PLAIN, addresses=("laser@example.com", "Phaser360@example.com")),
        )
        for rival in rivals:
            with pytest.raises(PermanentFailure) as refusal:
                await directory.add(rival, "sesame")
            assert refusal.value.status == "5.1.1"
        await directory.add(PLAIN, None)
        with pytest.raises(PermanentFailure) as refusal:
            await directory.replace(replace(PLAIN, addresses=("laser@example.com", "colour@example.com")))
        assert refusal.value.status == "5.1.1"
        assert list(await directory.printers()) == [PLAIN, PHASER]

    async def test_of_two_additions_at_once_one_is_refused(self, directory: Directory) -> None:
        outcomes = await asyncio.gather(
            directory.add(PHASER, "sesame"), directory.add(PHASER, "tulip"), return_exceptions=True
        )
        assert sorted(type(outcome) for outcome in outcomes if outcome) == [PermanentFailure]
        winner = "sesame" if outcomes[0] is None else "tulip"
        assert await directory.verify("phaser360", winner)

    async def test_replace_writes_and_clears_every_setting(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        bare = Printer(name="phaser360", addresses=("colour@example.com",))
        await directory.replace(bare)
        assert await directory.printer("phaser360") == bare
        assert await directory.printer_by_address("phaser360@example.com") is None
        await directory.replace(PHASER)
        assert await directory.printer("phaser360") == PHASER
        assert await directory.verify("phaser360", "sesame"), "the password is no setting"

    async def test_what_was_removed_is_gone(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        assert await directory.verify("phaser360", "sesame")
        await directory.remove("phaser360")
        assert await directory.printer("phaser360") is None
        assert await directory.printer_by_address("colour@example.com") is None
        assert not await directory.verify("phaser360", "sesame")

    async def test_changes_to_nobody_are_refused(self, directory: Directory) -> None:
        for change in (directory.replace(PHASER), directory.remove("nobody"), directory.set_password("nobody", "x")):
            with pytest.raises(PermanentFailure, match="there is no printer"):
                await change

    async def test_each_word_of_what_prints_and_how_survives(self, directory: Directory) -> None:
        await directory.add(PHASER, None)
        for changed in (
            *(replace(PHASER, raw=raw, unfiltered=unfiltered) for raw in Raw for unfiltered in Raw),
            *(replace(PHASER, body=body) for body in Body),
            *(replace(PHASER, color=flag, confidential=not flag) for flag in (True, False)),
            *(replace(PHASER, max_copies=copies) for copies in (0, 2, 999)),
            *(replace(PHASER, media=PHASER.media[turn:] + PHASER.media[:turn]) for turn in range(3)),
            *(replace(PHASER, ticket=ticket) for ticket in TICKETS),
        ):
            await directory.replace(changed)
            assert await directory.printer("phaser360") == changed

    async def test_each_way_to_be_served_survives(self, directory: Directory) -> None:
        await directory.add(PHASER, None)
        for changed in (
            *(replace(PHASER, snmp=snmp) for snmp in Snmp),
            *(replace(PHASER, hold=hold) for hold in Hold),
            *(replace(PHASER, when_uncertain=when) for when in WhenUncertain),
            *(replace(PHASER, half_close=flag, pjl_one_option=flag, ps_echo=not flag) for flag in (True, False)),
            replace(PHASER, snmp_community="sesame(uid=*)\\"),  # which is another one
            replace(PHASER, snmp_community="public", quiet_hours=()),
            replace(PLAIN, name="phaser360", addresses=PHASER.addresses),
        ):
            await directory.replace(changed)
            assert await directory.printer("phaser360") == changed

    async def test_quiet_hours_are_stored_as_they_are_usually_written(self, directory: Directory) -> None:
        await directory.add(replace(PLAIN, quiet_hours=("sat-sun 0:00-24:00", "7:00-9:00", "07:00-9:00")), None)
        assert await directory.printer("laser") == replace(PLAIN, quiet_hours=("07:00-09:00", "sat,sun 00:00-24:00"))
        with pytest.raises(PermanentFailure, match="write it like 22:00-06:00"):
            await directory.replace(replace(PLAIN, quiet_hours=("always",)))
        with pytest.raises(PermanentFailure, match="all is a group: give --end-wait, --hold to its members"):
            await directory.add(replace(GROUP, end_wait=7, hold=Hold.ALL), None)

    async def test_paper_is_stored_by_its_self_describing_name(self, directory: Directory) -> None:
        await directory.add(replace(PLAIN, media=("Letter", "a4", "ISO_A4_210x297mm")), None)
        assert await directory.printer("laser") == replace(PLAIN, media=("na_letter_8.5x11in", "iso_a4_210x297mm"))
        for wrong in ({"media": ("paper",)}, {"media": ("",)}, {"max_copies": -1}, {"max_copies": 1000}):
            with pytest.raises(
                PermanentFailure, match=r"is no paper: write a4|is not a number of copies: give 0 to 999"
            ):
                await directory.replace(replace(PLAIN, **wrong))

    async def test_a_ticket_is_one_that_the_printer_may_print_by(self, directory: Directory) -> None:
        await directory.add(PLAIN, None)
        mono = replace(PLAIN, max_copies=3, media=("iso_a4_210x297mm",))
        for wrong, told in (
            (Ticket(copies=4), "4 copies were asked for; this printer makes at most 3"),
            (Ticket(color=ColorMode.COLOR), "colour was asked for"),
            (Ticket(media="iso_a3_297x420mm"), "iso_a3_297x420mm was asked for, which this printer does not have"),
            (Ticket(media="a heap"), "no word of a job ticket"),
        ):
            with pytest.raises(PermanentFailure, match=told):
                await directory.replace(replace(mono, ticket=wrong))
        assert await directory.printer("laser") == PLAIN
        right = replace(mono, ticket=Ticket(copies=3, media="iso_a4_210x297mm"))
        await directory.replace(right)
        assert await directory.printer("laser") == right

    async def test_values_are_stored_in_their_usual_form(self, directory: Directory) -> None:
        await directory.add(
            Printer(
                name="Laser",
                addresses=("Laser@Example.com", "laser@example.com"),
                uri="socket://Printer.Example.com",
                plain_from=("192.0.2.7",),
                network_address="2001:DB8:0::7",
                netmask="/64",
                gateway="FE80::1",
                hardware_address="0000.5E00.5301",
            ),
            None,
        )
        assert await directory.printer("laser") == replace(
            PLAIN,
            uri="socket://printer.example.com:9100",
            plain_from=("192.0.2.7/32",),
            network_address="2001:db8::7",
            netmask="64",
            gateway="fe80::1",
            hardware_address="00:00:5e:00:53:01",
        )

    async def test_many_questions_at_once(self, directory: Directory) -> None:
        await directory.add(PHASER, "sesame")
        answers = await asyncio.gather(
            *(directory.printer_by_address("colour@example.com") for _ in range(50)),
            *(directory.printer(f"nobody{number}") for number in range(50)),
        )
        assert answers == [PHASER] * 50 + [None] * 50
