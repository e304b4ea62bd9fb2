"""The form of a printer's settings."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.web.printer_form import FIELDS, filled, marks, merge, read, read_size, show_size, texts
from mailstore.directory.entry import checked
from mailstore.directory.records import Body, Hold, Language, Printer, PrintLimits, Raw, Snmp, WhenUncertain
from mailstore.directory.serving import PERIODS
from mailstore.ticket import NO_TICKET, ColorMode, Sides, Ticket

BOXES = frozenset({
    "languages", "pjl", "tell_printed", "color", "confidential", "half_close", "pjl_one_option", "ps_echo",
    "count_pages",
})  # fmt: skip
PRINTER = Printer(name="phaser360", addresses=("phaser360@example.com",))

words = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
addresses = st.builds("{}@{}.example".format, words, words)
rules = st.one_of(
    addresses,
    st.builds("@{}.example".format, words),
    st.builds("from:{}".format, addresses),
    st.ip_addresses(v=4).map("ip:{}/32".format),
    st.sampled_from(["*", "authenticated"]),
)


def several(strategy: st.SearchStrategy[str], low: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, min_size=low, max_size=4, unique=True).map(tuple)


printers = st.builds(
    Printer,
    name=words.filter(lambda name: name not in ("postmaster", "abuse")),
    addresses=several(addresses, 1),
    uri=st.one_of(st.just(""), st.builds("socket://{}:{}".format, words, st.integers(1, 65535))),
    languages=st.lists(st.sampled_from(Language), min_size=1, unique=True).map(tuple),
    allow=several(rules),
    deny=several(rules),
    sysadmin=several(addresses),
    service_person=several(addresses),
    key_user=several(addresses),
    poll_interval=st.integers(1, 86400),
    plain_from=several(st.ip_addresses(v=6).map("{}/128".format)),
    quota=st.integers(1, 1 << 50),
    members=st.just(()),
    limits=st.builds(PrintLimits, **{field.name: st.integers(0, 1 << 50) for field in fields(PrintLimits)}),
    unverified_ok=st.booleans(),
    raw=st.sampled_from([Raw.INSIDER, Raw.VERIFIED, Raw.STRANGER]),
    unfiltered=st.sampled_from(Raw),
    body=st.sampled_from(Body),
    color=st.just(True),
    max_copies=st.sampled_from([0, 2, 999]),
    media=st.permutations(["iso_a4_210x297mm", "na_letter_8.5x11in", "iso_a3_297x420mm"]).map(tuple),
    ticket=st.sampled_from(
        [
            NO_TICKET,
            Ticket(copies=2, color=ColorMode.COLOR),
            Ticket(media="iso_a3_297x420mm", page_ranges=((1, 3), (7, 7))),
        ]
    ),
    confidential=st.booleans(),
    when_uncertain=st.sampled_from(WhenUncertain),
    tell_printed=st.booleans(),
    pjl=st.booleans(),
    half_close=st.booleans(),
    pjl_one_option=st.booleans(),
    ps_echo=st.booleans(),
    count_pages=st.booleans(),
    snmp=st.sampled_from(Snmp),
    snmp_community=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255),
    snmp_port=st.integers(1, 65535),
    quiet_hours=several(st.sampled_from(["22:00-6:00", "sat-sun 0:00-24:00", "mon 7:30-07:45"])),
    hold=st.sampled_from(Hold),
    **{name: st.integers(one.least, one.most) for name, one in PERIODS.items()},
    location=st.text(st.characters(categories=["L", "N", "P"]), max_size=30),
    model=st.text(st.characters(categories=["L", "N", "P"]), max_size=30),
    network_address=st.ip_addresses(v=4).map(str),
    netmask=st.sampled_from(["", "255.255.255.0", "255.255.255.255", "128.0.0.0"]),
    gateway=st.one_of(st.just(""), st.ip_addresses(v=6).map(str)),
    hardware_address=st.one_of(st.just(""), st.just("00:00:5e:00:53:01")),
)


@settings(max_examples=50)
@given(printers)
def test_a_form_sent_back_as_it_was_offered_changes_nothing(printer: Printer) -> None:
    stored = checked(printer)
    # As browsers send it: lists of checkboxes one by one, lines apart by CRLF, empty texts too.
    pairs = [
        (name, line.replace("\n", "\r\n"))
        for name, text in texts(stored).items()
        for line in (["", *text.split("\n")] if name in BOXES else [text])
    ]
    reading = read(filled(pairs), stored)
    assert reading.errors == {}
    assert replace(PRINTER, name=stored.name, **reading.changes) == stored
    assert checked(replace(stored, **reading.changes)) == stored


def test_the_form_has_every_setting_but_the_name() -> None:
    assert set(FIELDS) == {one.name for one in fields(Printer)} - {"name"}


def test_what_the_form_does_not_show_cannot_be_sent() -> None:
    assert filled([("name", "other"), ("location", "attic"), ("__class__", "x"), ("revision", "1")]) == {
        "location": "attic"
    }
    assert filled([("location", 7)]) == {}


def test_a_box_that_is_not_ticked_is_a_no_only_where_the_form_had_it() -> None:
    entry = replace(PRINTER, pjl=True)
    assert read(filled([("location", "attic")]), entry).changes == {"location": "attic"}
    assert read(filled([("pjl", "")]), entry).changes == {"pjl": False}
    assert read(filled([("pjl", ""), ("pjl", "on")]), entry).changes == {"pjl": True}


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("allow", "ada@example.com\nnobody", r'^"nobody" is not a rule; write ada@example.com, @example.com'),
        ("allow", "a\nb\nc\nd\ne", r'"a" is not.*"b" is not.*"c" is not.*; and 2 more$'),
        ("deny", "ip:300.0.0.0/8", r"names no network; write ip:192\.0\.2\.0/24"),
        ("poll_interval", "often", "is not a poll interval: give 1 to 86400 seconds"),
        ("poll_interval", "0", "give 1 to 86400 seconds"),
        ("poll_interval", "", "give 1 to 86400 seconds"),
        ("sysadmin", "ada", "is not an address: write it like"),
        ("service_person", "ada@example.com\n@", "'@' is not an address"),
        ("key_user", "a b@example.com", "is not an address"),
        ("uri", "192.0.2.7", r"write it like socket://192\.0\.2\.7:9100"),
        ("uri", "socket://192.0.2.7:99999", "write it like socket://"),
        ("languages", "", "choose at least one language"),
        ("languages", "klingon", "'klingon' is no language that Printpost knows: there are postscript,"),
        ("when_uncertain", "maybe", "choose one of those that are offered"),
        ("raw", "everybody", "choose one of those that are offered"),
        ("unfiltered", "", "choose one of those that are offered"),
        ("body", "perhaps", "choose one of those that are offered"),
        ("max_copies", "1000", "give 0 to 999 copies"),
        ("media", "a4\npaper", "'paper' is no paper: write a4, letter or a name like"),
        ("ticket", "upside-down", "no word of a job ticket; there are copies=2, duplex"),
        ("ticket", "duplex simplex", "says sides twice"),
        ("quota", "much", "is not a size: write it like 1 GiB"),
        ("quota", "0", "is not a quota"),
        ("quota", "9999999999999999 T", "is not a quota"),
        ("addresses", " \n ", "a printer needs an address, such as phaser360@example.com"),
        ("addresses", "postmaster@example.com", "for whoever runs the site"),
        ("addresses", "a+b@example.com", "what follows . is a job's options"),
        ("plain_from", "here", r"is not a network: write it like 192\.0\.2\.0/24"),
        ("location", "x" * 128, "at most 127 octets"),
        ("model", "a\x1bb", "not one line of text"),
        ("network_address", "192.0.2", "is not an IP address"),
        ("netmask", "255.0.255.0", "is not the netmask"),
        ("gateway", "gw", "is not an IP address"),
        ("hardware_address", "00:11", "is not a hardware address"),
        ("end_wait", "2 hours", "is not a wait for the end: give 1 second to 1 hour, like 90s, 15m, 8h or 7d"),
        ("stall_limit", "", "is not a limit of a stall: give 1 minute to 30 days"),
        ("status_interval", "9", "is not a status interval: give 10 seconds to 1 day"),
        ("hold_expiry", "soon", "is not an expiry of held jobs: give 1 minute to 365 days"),
        ("expiry", "0", "is not an expiry of jobs"),
        ("snmp", "3", "choose one of those that are offered"),
        ("snmp_community", "two words", "without spaces$"),
        ("snmp_port", "", "is no UDP port: give 1 to 65535; an SNMP agent has 161"),
        (
            "quiet_hours",
            "22:00-06:00\nnights",
            "^'nights' is not a span of hours: write it like 22:00-06:00 or sat,sun",
        ),
        ("quiet_hours", "08:00-08:00", "a whole day is 00:00-24:00"),
        ("hold", "", "choose one of those that are offered"),
    ],
)
def test_a_field_that_cannot_be_meant_says_why(name: str, text: str, told: str) -> None:
    reading = read({name: text, "location" if name != "location" else "model": "attic"}, PRINTER)
    assert list(reading.errors) == [name]
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(reading.errors[name])
    assert "attic" in reading.changes.values()


def test_what_prints_and_how_is_written_as_people_say_it() -> None:
    form = {"ticket": " Duplex  copies=2 ", "media": "Letter\n a4 \n", "max_copies": " ", "body": "never"}
    changes = read(form, PRINTER).changes
    assert changes == {
        "ticket": Ticket(copies=2, sides=Sides.LONG_EDGE),
        "media": ("na_letter_8.5x11in", "iso_a4_210x297mm"),
        "max_copies": 0,
        "body": Body.NEVER,
    }
    shown = texts(replace(PRINTER, **changes))
    assert (shown["ticket"], shown["max_copies"]) == ("copies=2 sides=two-sided-long-edge", "")
    assert read({"ticket": ""}, PRINTER).changes == {"ticket": NO_TICKET}
    assert read({"max_copies": "7"}, PRINTER).changes == {"max_copies": 7}


def test_how_it_is_served_is_written_as_people_say_it() -> None:
    form = {
        "end_wait": "10 min",
        "expiry": " 2D ",
        "quiet_hours": "mon-fri 18:00-7:00\n\nsat,sun 0:00-24:00",
        "snmp_community": " ",
        "half_close": "",
    }
    changes = read(form, replace(PRINTER, snmp_community="sesame")).changes
    assert changes == {
        "end_wait": 600,
        "expiry": 2 * 86400,
        "quiet_hours": ("mon,tue,wed,thu,fri 18:00-07:00", "sat,sun 00:00-24:00"),
        "snmp_community": "public",
        "half_close": False,
    }
    shown = texts(replace(PRINTER, **changes))
    assert [shown[name] for name in ("end_wait", "expiry", "stall_limit", "hold", "snmp", "half_close")] == [
        "10 minutes", "2 days", "1 day", "none", "1", "",
    ]  # fmt: skip


def test_all_that_is_wrong_is_told_at_once() -> None:
    form = {"allow": "x", "quota": "y", "gateway": "z", "model": "Phaser"}
    reading = read(form, PRINTER)
    assert set(reading.errors) == {"allow", "quota", "gateway"}
    assert reading.changes == {"model": "Phaser"}


def test_a_netmask_belongs_to_an_address() -> None:
    assert read({"network_address": "192.0.2.7", "netmask": "/24"}, PRINTER).changes["netmask"] == "255.255.255.0"
    assert read({"network_address": "2001:db8::7", "netmask": "64"}, PRINTER).changes["netmask"] == "64"
    told = read({"network_address": "2001:db8::7", "netmask": "255.255.255.0"}, PRINTER).errors
    assert "of 2001:db8::7: write it like 64" in told["netmask"]
    # The address alone changes: the old mask does not fit it.
    entry = replace(PRINTER, network_address="192.0.2.7", netmask="255.255.255.0")
    assert "netmask" in read({"network_address": "2001:db8::7"}, entry).errors
    assert read({"network_address": "nonsense", "netmask": "/24"}, entry).errors.keys() == {"network_address"}


@pytest.mark.parametrize(
    ("text", "octets"),
    [("1 GiB", 1 << 30), ("1g", 1 << 30), ("500 MB", 500 << 20), ("7", 7), (" 3 kib ", 3072), ("2TiB", 2 << 40)],
)
def test_sizes(text: str, octets: int) -> None:
    assert read_size(text) == octets


@given(st.integers(1, 1 << 50))
def test_a_size_is_shown_without_loss(octets: int) -> None:
    assert read_size(show_size(octets)) == octets


def test_sizes_are_shown_as_people_write_them() -> None:
    assert [show_size(octets) for octets in (1, 1024, 1 << 30, (1 << 30) + 1)] == ["1", "1 KiB", "1 GiB", "1073741825"]


def test_two_people_who_changed_different_fields_both_get_what_they_wanted() -> None:
    seen = texts(PRINTER)
    now = texts(replace(PRINTER, allow=("ada@example.com",)))
    merged = merge(marks(seen), seen | {"location": "attic"}, now)
    assert merged.texts == now | {"location": "attic"}
    assert [(one.name, one.theirs, one.yours, one.both) for one in merged.differences] == [
        ("allow", "ada@example.com", "ada@example.com", False)
    ]


def test_where_both_changed_a_field_what_was_typed_stays_and_theirs_is_shown() -> None:
    seen = texts(PRINTER)
    now = texts(replace(PRINTER, location="cellar", model="Phaser"))
    merged = merge(marks(seen), seen | {"location": "attic", "model": "Phaser"}, now)
    assert merged.texts["location"] == "attic"
    assert [(one.label, one.theirs, one.yours, one.both) for one in merged.differences] == [
        ("Place", "cellar", "attic", True)
    ]


def test_line_ends_and_blanks_are_no_change() -> None:
    entry = replace(PRINTER, allow=("ada@example.com", "*"))
    seen = {"allow": "ada@example.com\r\n*"}
    merged = merge(marks(seen), {"allow": " ada@example.com\n\n* "}, texts(replace(entry, allow=("*",))))
    assert merged.texts["allow"] == "*"
    assert merged.differences[0].both is False


def test_another_order_is_no_change_but_of_the_first_address() -> None:
    two = ("office@example.com", "desk@example.com")
    entry = replace(PRINTER, allow=("*", "@example.com"), addresses=two)
    turned = texts(replace(entry, allow=("@example.com", "*")))
    assert merge(marks(texts(entry)), texts(entry), turned).differences == []
    paper = replace(entry, media=("iso_a4_210x297mm", "na_letter_8.5x11in"))
    other = merge(marks(texts(paper)), texts(paper), texts(replace(paper, media=paper.media[::-1])))
    assert [one.name for one in other.differences] == ["media"]
    shown = merge(marks(texts(entry)), texts(entry), texts(replace(entry, addresses=two[::-1])))
    assert [one.name for one in shown.differences] == ["addresses"]


def test_languages_stay_in_the_order_of_preference() -> None:
    entry = replace(PRINTER, languages=(Language.PDF, Language.POSTSCRIPT))
    for sent, kept in (
        ("postscript\npdf", (Language.PDF, Language.POSTSCRIPT)),
        ("postscript\npdf\ntext", (Language.PDF, Language.POSTSCRIPT, Language.TEXT)),
        ("postscript\ntext", (Language.POSTSCRIPT, Language.TEXT)),
    ):
        assert read({"languages": sent}, entry).changes["languages"] == kept


forms = st.fixed_dictionaries({name: st.sampled_from(["", "a", "b\na"]) for name in FIELDS})


@given(forms, forms, forms)
def test_a_merge_takes_each_field_from_one_of_the_two(
    seen: dict[str, str], typed: dict[str, str], now: dict[str, str]
) -> None:
    merged = merge(marks(seen), typed, now).texts
    for name in FIELDS:
        assert merged[name] in (typed[name], now[name])
        if typed[name] == seen[name]:
            assert merged[name] == now[name]
        if now[name] == seen[name]:
            assert merged[name] == typed[name]


@given(st.text(), forms)
def test_marks_that_somebody_made_up_do_no_harm(seen: str, now: dict[str, str]) -> None:
    assert merge(seen, {"location": "attic"}, now).texts["location"] in ("attic", now["location"])
