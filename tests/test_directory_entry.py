"""A printer's record and its LDAP entry."""

from __future__ import annotations

import dataclasses
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.directory import serving
from mailstore.directory.entry import (
    ATTRIBUTES,
    checked,
    from_attributes,
    to_attributes,
)
from mailstore.directory.records import Body, Hold, Language, Printer, PrintLimits, Raw, Snmp, WhenUncertain
from mailstore.directory.serving import PERIODS, SERVING, USUAL, read_period, show_period
from mailstore.directory.values import (
    LIMITS,
    MalformedEntry,
    read_address,
    read_hardware_address,
    read_ip,
    read_media,
    read_netmask,
    read_network,
    read_uri,
)
from mailstore.failure import PermanentFailure
from mailstore.ticket import NO_TICKET, Sides, Ticket

ENTRY = {"uid": [b"phaser360"], "mail": [b"phaser360@example.com"]}
PRINTER = Printer(name="phaser360", addresses=("phaser360@example.com",))


def octets(attributes: dict[str, list[str]]) -> dict[str, list[bytes]]:
    return {name: [value.encode() for value in values] for name, values in attributes.items()}


labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
addresses = st.builds("{}@{}.example".format, st.from_regex(r"[a-z0-9_.!#*]{1,20}", fullmatch=True), labels).filter(
    lambda address: ".." not in address and not address.startswith(".") and ".@" not in address
)
numbers = st.one_of(st.just(0), st.integers(1, 1 << 50))
limits = st.builds(PrintLimits, **{field.name: numbers for field in dataclasses.fields(PrintLimits)})
not_of_pages = [field.name for field in dataclasses.fields(PrintLimits) if not field.name.endswith("pages")]
groups = st.builds(
    Printer,
    name=labels.map("all-{}".format),
    addresses=st.lists(addresses, min_size=1, max_size=4, unique=True).map(tuple),
    members=st.lists(labels, min_size=1, max_size=5, unique=True).map(tuple),
    languages=st.sampled_from([(), (Language.POSTSCRIPT,)]),
    limits=st.builds(PrintLimits, **dict.fromkeys(not_of_pages, numbers)),
    unverified_ok=st.booleans(),
)
printers = st.builds(
    Printer,
    name=labels,
    addresses=st.lists(addresses, min_size=1, max_size=4, unique=True).map(tuple),
    uri=st.one_of(st.just(""), st.builds("socket://{}:{}".format, labels, st.integers(1, 65535))),
    languages=st.lists(st.sampled_from(Language), min_size=1, unique=True).map(tuple),
    allow=st.lists(addresses, max_size=3, unique=True).map(tuple),
    deny=st.lists(st.just("*"), max_size=1).map(tuple),
    key_user=st.lists(addresses, max_size=3, unique=True).map(tuple),
    poll_interval=st.integers(1, 86400),
    plain_from=st.lists(st.ip_addresses(v=4).map(lambda ip: f"{ip}/32"), max_size=2, unique=True).map(tuple),
    quota=st.integers(1, 1 << 40),
    when_uncertain=st.sampled_from(WhenUncertain),
    tell_printed=st.booleans(),
    pjl=st.booleans(),
    limits=limits,
    unverified_ok=st.booleans(),
    raw=st.sampled_from([Raw.INSIDER, Raw.VERIFIED, Raw.STRANGER]),
    unfiltered=st.sampled_from(Raw),
    body=st.sampled_from(Body),
    color=st.booleans(),
    max_copies=st.integers(0, 999),
    ticket=st.sampled_from(
        [NO_TICKET, Ticket(sides=Sides.LONG_EDGE, page_ranges=((2, 2), (5, 99_999))), Ticket(number_up=4)]
    ),
    media=st.lists(st.sampled_from(["a4", "A3", "letter", "na_legal_8.5x14in"]), unique=True).map(tuple),
    confidential=st.booleans(),
    half_close=st.booleans(),
    pjl_one_option=st.booleans(),
    ps_echo=st.booleans(),
    count_pages=st.booleans(),
    snmp=st.sampled_from(Snmp),
    snmp_community=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255),
    snmp_port=st.integers(1, 65535),
    quiet_hours=st.lists(
        st.sampled_from(["22:00-6:00", "sat-sun 0:00-24:00", "mon 7:30-07:45"]), max_size=3, unique=True
    ).map(tuple),
    hold=st.sampled_from(Hold),
    **{name: st.integers(one.least, one.most) for name, one in PERIODS.items()},
    network_address=st.one_of(st.just(""), st.ip_addresses().map(str)),
    netmask=st.sampled_from(["", "/24", "24", "32"]),
    gateway=st.one_of(st.just(""), st.ip_addresses().map(str)),
    hardware_address=st.one_of(st.just(""), st.from_regex(r"[0-9A-F]{2}(-[0-9A-F]{2}){5}", fullmatch=True)),
    location=st.text(st.characters(categories=["L", "N"]), max_size=30),
)


@given(st.one_of(printers, groups))
def test_a_checked_printer_survives_its_entry(printer: Printer) -> None:
    stored = checked(printer)
    reading = from_attributes(octets(to_attributes(stored)))
    assert reading.printer == stored
    assert not reading.complaints
    assert checked(stored) == stored


@given(st.dictionaries(st.sampled_from(ATTRIBUTES), st.lists(st.binary(max_size=40), max_size=4)))
def test_whatever_an_entry_holds_it_is_a_printer_or_malformed(attributes: dict[str, list[bytes]]) -> None:
    try:
        reading = from_attributes(attributes)
    except MalformedEntry:
        return
    assert reading.printer.name
    assert reading.printer.addresses
    assert reading.printer.languages or reading.printer.is_group
    assert not (reading.printer.is_group and reading.printer.uri)
    # Of what bounds a printer nothing is lost.
    assert len(reading.printer.members) == len({value.lower() for value in attributes.get("printpostMember", ())})


def test_every_attribute_that_is_written_is_asked_for() -> None:
    assert set(to_attributes(PRINTER)) <= set(ATTRIBUTES)


def test_names_of_attributes_in_any_case() -> None:
    assert from_attributes({name.upper(): values for name, values in ENTRY.items()}).printer == PRINTER


def test_mail_stands_before_the_other_addresses() -> None:
    entry = {**ENTRY, "mailLocalAddress": [b"a@example.com", b"Phaser360@example.com"]}
    assert from_attributes(entry).printer.addresses == ("phaser360@example.com", "a@example.com")


def test_the_service_person_of_rfc_7612_counts_where_ours_are_missing() -> None:
    entry = {**ENTRY, "printer-service-person": [b"ada@example.com"]}
    assert from_attributes(entry).printer.service_person == ("ada@example.com",)
    entry["printpostServicePerson"] = [b"grace@example.com"]
    assert from_attributes(entry).printer.service_person == ("grace@example.com",)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("printpostPollInterval", b"soon"),
        ("printpostPollInterval", b"0"),
        ("printpostQuota", b"-1"),
        ("printpostWhenUncertain", b"pray"),
        ("printpostPlainFrom", b"192.0.2.0/99"),
        ("printpostKeyUser", b"nobody"),
        ("printer-location", b"two\nlines"),
        ("printer-make-and-model", b"x" * 128),
        ("mailLocalAddress", b"a b@example.com"),
        ("mailLocalAddress", b"Postmaster@example.com"),
        ("printpostTellPrinted", b"yes"),
        ("printpostPJL", b""),
        ("printpostUnverifiedOk", b"perhaps"),
        ("printpostBody", b"sometimes"),
        ("printer-color-supported", b"blue"),
        ("printer-media-supported", b"iso-a4-white"),
        ("printpostMediaDefault", b""),
        ("printpostTicket", b"copies=many"),
        ("printpostTicket", b"copies=2 copies=3"),
        ("ipHostNumber", b"printer"),
        ("ipNetmaskNumber", b"255.0.255.0"),
        ("printpostGateway", b"192.0.2.256"),
        ("macAddress", b"00:00:5e"),
        ("printpostHalfClose", b"no"),
        ("printpostEndWait", b"0"),
        ("printpostEndWait", b"-1"),
        ("printpostEndWait", b"3601"),
        ("printpostStallLimit", b"59"),
        ("printpostStallLimit", b"never"),
        ("printpostPJLOneOption", b"1"),
        ("printpostPSEcho", b""),
        ("printpostCountPages", b"\xff"),
        ("printpostStatusInterval", b"9"),
        ("printpostQuietHours", b"at night"),
        ("printpostHoldExpiry", b"59"),
        ("printpostExpiry", b"31536001"),
    ],
)
def test_what_can_be_left_out_is_left_out_with_a_complaint(attribute: str, value: bytes) -> None:
    reading = from_attributes({**ENTRY, attribute: [value]})
    assert reading.printer == PRINTER
    assert len(reading.complaints) == 1
    assert reading.complaints[0].startswith(attribute)


def test_one_unknown_language_among_others_is_left_out() -> None:
    reading = from_attributes({**ENTRY, "printpostLanguage": [b"escp", b"pdf"]})
    assert reading.printer.languages == (Language.PDF,)
    assert reading.complaints


@pytest.mark.parametrize(
    ("attribute", "values"),
    [
        ("uid", []),
        ("uid", [b"-x"]),
        ("mail", []),
        ("mail", [b"@"]),
        ("printer-uri", [b"http://192.0.2.7/"]),
        ("printer-uri", [b""]),
        ("printpostLanguage", [b"escp"]),
        ("printpostDeny", [b"mallory@example.com", b"\n"]),
        ("printpostAllow", [b"*"] * 1001),
        ("printpostLimit", [b"jobs=100", b"pages"]),
        ("printpostLimit", [b"jobs=many"]),
        ("printpostLimit", [b"jobs=0"]),
        ("printpostLimit", [b"jobs=-1"]),
        ("printpostLimit", [b"sheets=5"]),
        ("printpostLimit", [b"jobs=5", b"jobs=6"]),
        ("printpostRaw", [b"somebody"]),
        ("printpostRaw", [b""]),
        ("printpostRaw", [b"insider", b"stranger"]),
        ("printpostUnfiltered", [b"everybody"]),
        ("printpostUnfiltered", [b""]),
        ("printpostUnfiltered", [b"\xff"]),
        ("printpostUnfiltered", [b"nobody", b"stranger"]),
        ("printer-copies-supported", [b"-2"]),
        ("printer-copies-supported", [b"many"]),
        ("printpostConfidential", [b"perhaps"]),
        ("printpostMember", [b"laser", b"two words"]),
        ("printpostMember", [b""]),
        ("printpostHold", [b"sometimes"]),
        ("printpostHold", [b""]),
        ("printpostHold", [b"none", b"all"]),
    ],
)
def test_what_makes_a_printer_unsafe_refuses_it(attribute: str, values: list[bytes]) -> None:
    with pytest.raises(MalformedEntry):
        from_attributes({**ENTRY, attribute: values})


def test_what_is_unreadable_is_shown_short_and_escaped() -> None:
    with pytest.raises(MalformedEntry, match="write one of none, all, code") as caught:
        from_attributes({**ENTRY, "printpostHold": [b"\x1b[2J" + b"x" * 100_000]})
    assert len(str(caught.value)) < 200
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("printpostSNMP", b"3"),
        ("printpostSNMP", b""),
        ("printpostSNMPCommunity", b"two words"),
        ("printpostSNMPCommunity", b""),
        ("printpostSNMPCommunity", b"s\xc3\xa9same"),
        ("printpostSNMPCommunity", b"x" * 256),
        ("printpostSNMPPort", b"0"),
        ("printpostSNMPPort", b"65536"),
        ("printpostSNMPPort", b"snmp"),
    ],
)
def test_where_snmp_cannot_be_read_it_is_off(attribute: str, value: bytes) -> None:
    reading = from_attributes({**ENTRY, attribute: [value]})
    assert reading.printer == replace(PRINTER, snmp=Snmp.OFF)
    assert [one.partition(":")[0] for one in reading.complaints] == [attribute]


def test_the_community_is_in_no_message() -> None:
    secret = "sesame street"
    reading = from_attributes({**ENTRY, "printpostSNMPCommunity": [secret.encode()]})
    with pytest.raises(PermanentFailure) as refusal:
        checked(replace(PRINTER, snmp_community=secret))
    for told in (repr(replace(PRINTER, snmp_community=secret)), *reading.complaints, refusal.value.text):
        assert "sesame" not in told
    assert replace(PRINTER, snmp_community="a").revision != replace(PRINTER, snmp_community="b").revision


@pytest.mark.parametrize("word", ["all", "All", "code", "CODE", "none"])
def test_jobs_are_held_as_the_entry_says(word: str) -> None:
    assert from_attributes({**ENTRY, "printpostHold": [word.encode()]}).printer.hold is Hold(word.lower())


def test_a_group_is_served_as_its_members_are() -> None:
    entry = {**ENTRY, "printpostMember": [b"laser"]}
    assert from_attributes({**entry, "printpostEndWait": [b"7"], "printpostHold": [b"none"]}).printer.end_wait == 90
    with pytest.raises(MalformedEntry, match="jobs are held at its members"):
        from_attributes({**entry, "printpostHold": [b"all"]})
    for name in SERVING:
        other: dict[str, Any] = {
            "hold": Hold.ALL,
            "snmp": Snmp.OFF,
            "snmp_community": "x",
            "quiet_hours": ("22:00-06:00",),
        }
        changed = other.get(name, not USUAL[name] if isinstance(USUAL[name], bool) else 600)
        with pytest.raises(PermanentFailure, match=f"is a group: give --{name.replace('_', '-')} to its members"):
            checked(replace(PRINTER, members=("laser",), **{name: changed}))


def test_what_is_as_usual_stands_in_no_entry() -> None:
    assert not [name for name, said in to_attributes(PRINTER).items() if said and name in serving.ATTRIBUTES]
    off = to_attributes(replace(PRINTER, half_close=False, count_pages=False, ps_echo=True))
    assert [off[f"printpost{name}"] for name in ("HalfClose", "CountPages", "PSEcho")] == [
        ["FALSE"], ["FALSE"], ["TRUE"],
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (" 90s ", 90),
        ("90 seconds", 90),
        ("1 second", 1),
        ("15m", 900),
        ("15 min", 900),
        ("2 Minutes", 120),
        ("1h", 3600),
        ("1 hour", 3600),
    ],
)
def test_periods_as_people_write_them(text: str, seconds: int) -> None:
    assert read_period(text, "end_wait") == seconds


def test_a_period_is_shown_in_its_largest_unit() -> None:
    shown = [show_period(seconds) for seconds in (1, 59, 60, 90, 3600, 5400, 86400, 7 * 86400, 90_000)]
    assert shown == ["1 second", "59 seconds", "1 minute", "90 seconds", "1 hour", "90 minutes", "1 day", "7 days",
                     "25 hours"]  # fmt: skip


@given(st.sampled_from(list(PERIODS)), st.data())
def test_a_period_that_is_shown_is_read_again(name: str, data: st.DataObject) -> None:
    seconds = data.draw(st.integers(PERIODS[name].least, PERIODS[name].most))
    assert read_period(show_period(seconds), name) == seconds


@pytest.mark.parametrize("text", ["", "soon", "1.5h", "-1", "0", "2h", "61m", "1 fortnight", "9" * 30, "h", "1 h 5 m"])
def test_a_period_that_is_none_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="is not a wait for the end: give 1 second to 1 hour, like 90s, 15m"):
        read_period(text, "end_wait")


def test_a_group_that_is_also_a_printer_is_neither() -> None:
    with pytest.raises(MalformedEntry, match="a group and a printer"):
        from_attributes({**ENTRY, "printpostMember": [b"laser"], "printer-uri": [b"socket://192.0.2.7"]})


def test_a_group_speaks_what_its_members_speak() -> None:
    reading = from_attributes({**ENTRY, "printpostMember": [b"Laser"], "printpostLanguage": [b"pdf"]})
    assert reading.printer.members == ("laser",)
    assert reading.printer.languages == ()
    assert not checked(replace(PRINTER, members=("laser",))).languages


@pytest.mark.parametrize("name", ["pages", "sender_pages", "job_pages"])
def test_pages_are_limited_at_the_members(name: str) -> None:
    with pytest.raises(PermanentFailure, match=f"give {name.replace('_', '-')} to these"):
        checked(replace(PRINTER, members=("laser",), limits=PrintLimits(**{name: 3})))


def test_what_may_go_raw_as_the_entry_says() -> None:
    for raw in Raw:
        for word in (raw.value, raw.value.title()):  # as the schema compares it
            assert from_attributes({**ENTRY, "printpostRaw": [word.encode()]}).printer.raw is raw
    bridged = replace(PRINTER, uri="socket://192.0.2.7:9100", raw=Raw.NOBODY)
    assert checked(bridged) == bridged


def test_whose_commands_pass_as_the_entry_says_and_nobodys_where_it_says_nothing() -> None:
    assert from_attributes(ENTRY).printer.unfiltered is Raw.NOBODY
    for raw in Raw:
        for word in (raw.value, raw.value.title()):
            assert from_attributes({**ENTRY, "printpostUnfiltered": [word.encode()]}).printer.unfiltered is raw


@pytest.mark.parametrize(("said", "copies"), [(b"-1", 0), (b"0", 0), (b"1", 1), (b"999", 999), (b"65535", 999)])
def test_copies_as_rfc_7612_has_them(said: bytes, copies: int) -> None:
    reading = from_attributes({**ENTRY, "printer-copies-supported": [said]})
    assert (reading.printer.max_copies, reading.complaints) == (copies, ())


def test_the_usual_paper_stands_first_in_whatever_order_a_server_gives_them() -> None:
    known = [b"iso_a3_297x420mm", b"na_letter_8.5x11in", b"a4-plain", b"iso_a4_210x297mm"]
    reading = from_attributes(
        {**ENTRY, "printer-media-supported": known, "printpostMediaDefault": [b"iso_a4_210x297mm"]}
    )
    assert reading.printer.media == ("iso_a4_210x297mm", "iso_a3_297x420mm", "na_letter_8.5x11in")
    assert len(reading.complaints) == 1
    one, two = (replace(PRINTER, media=("iso_a4_210x297mm", *rest)) for rest in (("x", "y"), ("y", "x")))
    assert one.revision == two.revision != replace(one, media=("x", "iso_a4_210x297mm", "y")).revision


@pytest.mark.parametrize(
    ("said", "stored"),
    [
        ("a4", "iso_a4_210x297mm"),
        ("Letter", "na_letter_8.5x11in"),
        ("ISO_A4_210x297mm", "iso_a4_210x297mm"),
        ("custom_label_100x62.5mm", "custom_label_100x62.5mm"),
    ],
)
def test_paper_has_one_name(said: str, stored: str) -> None:
    assert read_media(said) == stored
    assert read_media(stored) == stored


@pytest.mark.parametrize(
    "value",
    ["", "paper", "iso-a4", "iso_a4", "_a4_210x297mm", "iso_a4_210x297", "iso_a4_0x297mm", "iso_a4_210x99999mm",
     "iso_a4_2\N{ARABIC-INDIC DIGIT ONE}0x297mm", "iso_a4_210x297mm\n", "iso_a4_1x1mm", "iso_a4_210x297mm)(uid=*"],
)  # fmt: skip
def test_what_is_no_paper_is_told(value: str) -> None:
    with pytest.raises(ValueError, match="is no paper: write a4, letter or a name like iso_a4_210x297mm"):
        read_media(value)


def test_a_ticket_in_the_words_that_people_use() -> None:
    reading = from_attributes({**ENTRY, "printpostTicket": [b"Duplex 2up  copies=2"]})
    assert reading.printer.ticket == Ticket(copies=2, sides=Sides.LONG_EDGE, number_up=2)
    assert to_attributes(reading.printer)["printpostTicket"] == ["copies=2 sides=two-sided-long-edge number-up=2"]
    assert from_attributes({**ENTRY, "printpostTicket": [b""]}).printer.ticket == NO_TICKET


def test_limits_in_any_case() -> None:
    entry = {**ENTRY, "printpostLimit": [b"Jobs=100", b"sender-pages=050", b"job-pages=20"]}
    assert from_attributes(entry).printer.limits == PrintLimits(jobs=100, sender_pages=50, job_pages=20)
    assert set(LIMITS) == {field.name.replace("_", "-") for field in dataclasses.fields(PrintLimits)}


@pytest.mark.parametrize(
    ("given_uri", "stored"),
    [
        ("socket://192.0.2.7", "socket://192.0.2.7:9100"),
        ("socket://192.0.2.7:9101/", "socket://192.0.2.7:9101"),
        ("SOCKET://Printer.Example.com.", "socket://printer.example.com:9100"),
        ("socket://[2001:DB8::7]:9100", "socket://[2001:db8::7]:9100"),
        ("socket://my_printer", "socket://my_printer:9100"),
    ],
)
def test_device_addresses_in_their_usual_form(given_uri: str, stored: str) -> None:
    assert read_uri(given_uri) == stored
    assert read_uri(stored) == stored


@pytest.mark.parametrize(
    "uri",
    [
        "192.0.2.7",
        "socket:192.0.2.7",
        "socket://",
        "socket://:9100",
        "socket://192.0.2.7:0",
        "socket://192.0.2.7:65536",
        "socket://192.0.2.7:x",
        "socket://192.0.2.7/queue",
        "socket://192.0.2.7?a=b",
        "socket://ada@192.0.2.7",
        "socket://[::1",
        "socket://[192.0.2.7]",
        "socket://a b",
        "socket://-x",
        "lpd://192.0.2.7",
        "socket://bücher",
        "socket://192.0.2.7\n",
        "socket://" + "x" * 64,
    ],
)
def test_device_addresses_that_are_none(uri: str) -> None:
    with pytest.raises(ValueError, match=r"socket://192\.0\.2\.7:9100"):
        read_uri(uri)


@pytest.mark.parametrize(
    "address", ["", "ada", "@example.com", "ada@", ".a@example.com", "a..b@example.com", '"a b"@example.com', "a@[::1]"]
)
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(ValueError):
        read_address(address)


def test_networks_in_their_usual_form() -> None:
    assert read_network("192.0.2.7/24") == "192.0.2.0/24"
    assert read_network("2001:db8::") == "2001:db8::/128"
    assert read_network("::ffff:192.0.2.7") == "192.0.2.7/32"


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "Two words"},
        {"name": "x" * 64},
        {"addresses": ()},
        {"addresses": ("phaser360",)},
        {"addresses": ("phaser360+copies@example.com",)},
        {"uri": "http://192.0.2.7"},
        {"languages": ()},
        {"allow": ("",)},
        {"deny": ("a\0b",)},
        {"service_person": ("Ada",)},
        {"poll_interval": 0},
        {"poll_interval": 86401},
        {"plain_from": ("everywhere",)},
        {"quota": 0},
        {"limits": PrintLimits(jobs=-1)},
        {"limits": PrintLimits(job_pages=1 << 51)},
        {"raw": Raw.NOBODY},
        {"max_copies": -1},
        {"max_copies": 1000},
        {"media": ("paper",)},
        {"ticket": Ticket(copies=2), "max_copies": 1},
        {"members": ("phaser360",)},
        {"members": ("laser", "two words")},
        {"members": ("laser",), "uri": "socket://192.0.2.7"},
        {"members": ("laser",), "languages": (Language.PDF,)},
        {"members": ("laser",), "snmp": Snmp.OFF},
        {"end_wait": 0},
        {"stall_limit": 59},
        {"stall_limit": 30 * 86400 + 1},
        {"status_interval": 9},
        {"hold_expiry": 0},
        {"expiry": 366 * 86400},
        {"snmp_community": ""},
        {"snmp_community": "two words"},
        {"snmp_port": 0},
        {"snmp_port": 65536},
        {"quiet_hours": ("22-6",)},
        {"location": "x" * 128},
        {"model": "\r\n"},
    ],
)
def test_what_cannot_be_stored_is_refused_with_advice(wrong: dict[str, object]) -> None:
    with pytest.raises(PermanentFailure) as refusal:
        checked(replace(PRINTER, **wrong))  # type: ignore[arg-type]
    assert ":" in refusal.value.text or "such as" in refusal.value.text


# -- network facts


@pytest.mark.parametrize(
    ("value", "address", "stored"),
    [
        ("255.255.255.0", "192.0.2.7", "255.255.255.0"),
        ("/24", "192.0.2.7", "255.255.255.0"),
        ("25", "192.0.2.7", "255.255.255.128"),
        (" 255.255.255.255 ", "", "255.255.255.255"),
        ("/16", "", "255.255.0.0"),
        ("/64", "2001:db8::7", "64"),
        ("24", "2001:db8::7", "24"),
        ("64", "", "64"),
    ],
)
def test_netmasks_have_one_form(value: str, address: str, stored: str) -> None:
    assert read_netmask(value, address) == stored
    assert read_netmask(stored, address) == stored


@pytest.mark.parametrize(
    ("value", "address"),
    [
        ("255.0.255.0", ""),
        ("0.0.0.255", ""),
        ("0.0.0.0", ""),
        ("0", ""),
        ("33", "192.0.2.7"),
        ("129", "2001:db8::7"),
        ("255.255.255.0", "2001:db8::7"),
        ("255.255.255", ""),
        ("ffff:ffff::", "2001:db8::7"),
        ("-1", ""),
        ("٢٤", ""),
        ("", ""),
    ],
)
def test_what_is_no_netmask_is_told(value: str, address: str) -> None:
    with pytest.raises(ValueError, match="is not the netmask of"):
        read_netmask(value, address)


@pytest.mark.parametrize(
    "value",
    [
        "00:00:5e:00:53:01",
        "00-00-5E-00-53-01",
        "0000.5E00.5301",
        "00005e005301",
        "00005E-005301",
        "0:0:5e:0:53:1",
        " 00:00:5E:00:53:01 ",
    ],
)
def test_hardware_addresses_have_one_form(value: str) -> None:
    assert read_hardware_address(value) == "00:00:5e:00:53:01"


@pytest.mark.parametrize(
    "value", ["", "00:00:5e:00:53", "00:00:5e:00:53:01:02", "00:00-5e:00:53:01", "0g:0:0:0:0:0", "1"]
)
def test_what_is_no_hardware_address_is_told(value: str) -> None:
    with pytest.raises(ValueError, match="00:00:5e:00:53:01"):
        read_hardware_address(value)


def test_ip_addresses() -> None:
    assert read_ip("192.0.2.7 ") == "192.0.2.7"
    assert read_ip("2001:DB8:0:0::7") == "2001:db8::7"
    for value in ("", "printer", "192.0.2", "192.0.2.0/24", "fe80::1%eth0", "010.0.0.1"):
        with pytest.raises(ValueError, match="is not an IP address"):
            read_ip(value)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("network_address", "printer", "IP address"),
        ("netmask", "255.0.0.255", "netmask"),
        ("gateway", "none", "IP address"),
        ("hardware_address", "00:00", "hardware address"),
    ],
)
def test_network_facts_that_cannot_be_meant_are_refused(field: str, value: str, told: str) -> None:
    with pytest.raises(PermanentFailure, match=told):
        checked(replace(PRINTER, **{field: value}))  # type: ignore[arg-type]
