"""What was found becomes names, entries and commands."""

from __future__ import annotations

import json
import shlex
import time
from ipaddress import ip_interface
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.discovered import Found, Proposed, propose, read, with_snmp
from mailstore.directory.entry import checked
from mailstore.directory.records import Language, Printer, Snmp
from mailstore.directory.values import read_name

OWN = [ip_interface("192.0.2.10/24")]


def found(address: str = "192.0.2.7", port: int = 9100, **told: Any) -> Found:
    line = read(json.dumps({"address": address, "port": port, "found_by": ["dns-sd"], **told}).encode())
    assert isinstance(line, Found)
    return line


def printer(name: str, **fields: Any) -> Printer:
    return Printer(name=name, addresses=(f"{name}@example.com", f"{name}-alias@example.com"), **fields)


def names(*founds: Found, entries: tuple[Printer, ...] = ()) -> list[str]:
    return [one.name for one in propose(founds, entries, {}, OWN)]


def test_names() -> None:
    assert names(found(model="HP LaserJet 4250 [A1B2C3]")) == ["hp-laserjet-4250-a1b2c3"]
    assert names(found(host="npi123456.example.com")) == ["npi123456"]
    assert names(found(model="\u5370\u5237", host="--")) == ["printer-192-0-2-7"]
    assert names(found("2001:db8::7")) == ["printer-2001-db8-7"]
    assert names(found(model="new"), found("192.0.2.8", model="Postmaster")) == ["new-2", "postmaster-2"]  # not ours
    same = [found(f"192.0.2.{number}", model="Phaser 360") for number in (7, 8, 9)]
    taken = (printer("phaser-360-2"), printer("x", uri="socket://192.0.2.200:9100"))
    assert names(*same, entries=taken) == ["phaser-360", "phaser-360-3", "phaser-360-4"]
    assert names(found(model="x alias"), entries=taken) == ["x-alias-2"]  # an address of another
    assert len(names(found(model="x" * 127))[0]) == 40


@pytest.mark.parametrize(
    ("entry", "known"),
    [
        (printer("p", uri="socket://192.0.2.7:9100"), True),
        (printer("p", uri="socket://192.0.2.7:9101"), False),  # another printer behind the same print server
        (printer("p", uri="socket://phaser.example.com:9100"), True),
        (printer("p", uri="socket://other.example.com:9100"), False),
        (printer("p", hardware_address="00:00:5e:00:53:01"), True),  # polls, and its address has changed
        (printer("p", network_address="192.0.2.7"), True),
        (printer("p"), False),
    ],
)
def test_printers_that_have_an_entry(entry: Printer, known: bool) -> None:
    hosts = {"phaser.example.com": ["192.0.2.7", "2001:db8::7"], "other.example.com": []}
    one = found(hardware_address="00-00-5E-00-53-01", model="Phaser")
    (proposed,) = propose([one], [entry], hosts, OWN)
    assert (proposed.known, proposed.name) == (known, "p" if known else "phaser")


def test_an_address_that_is_not_on_the_link_is_marked() -> None:
    far = propose([found("198.51.100.7"), found(), found("198.51.100.8", found_by=["dns-sd", "snmp"])], [], {}, OWN)
    assert [one.elsewhere for one in far] == [True, False, False]


def test_how_it_was_asked_is_part_of_the_entry() -> None:
    one = with_snmp(found(found_by=["snmp"]), Snmp.V1, "-", 1161)
    (proposed,) = propose([one], [], {}, OWN)
    assert proposed.command()[-4:] == ["--snmp-community", "-", "--snmp-port", "1161"]
    assert with_snmp(found(), Snmp.V1, "-", 1161) == found()
    assert with_snmp(one, Snmp.V1, "public", 161) == one


def test_the_end_and_notes() -> None:
    assert read(b'{"end": true}\n') is None
    assert read(b'{"note": "a\\u0007 b"}\n') == "a b"


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b"{}", b'{"end": 1}', b"[" * 9999, b"\xff", b'{"port": ' + b"9" * 5000 + b"}",
     b'{"address": "192.0.2.7"}', b'{"address": "x", "port": 9100}', b'{"address": "192.0.2.7", "port": 0}',
     b'{"address": "192.0.2.7", "port": true}', b'{"address": "fe80::1%eth0", "port": 9100}',
     b'{"address": "192.0.2.7", "port": "9100@evil"}'],
)  # fmt: skip
def test_lines_that_cannot_be_meant(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read(line)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=200), lambda inner: st.lists(inner, max_size=3)
)
KEYS = (
    *("host", "model", "location", "serial", "languages", "other_languages", "pjl", "color", "duplex", "port_told"),
    *("hardware_address", "netmask", "gateway", "found_by"),
)


@given(
    st.dictionaries(st.sampled_from(KEYS), JSON | st.lists(st.sampled_from(Language)) | st.just("00:00:5e:00:53:01"))
)
def test_whatever_was_told_the_entry_is_good(told: dict[str, Any]) -> None:
    (one,) = propose([found(**told)], [], {}, OWN)
    assert read_name(one.name) == one.name
    checked(one.entry(["example.com"]))
    assert shlex.split(shlex.join(one.command())) == one.command()
    assert all(word.isprintable() for word in one.command())
    json.dumps(one.as_json())


def test_nobody_may_print_on_what_is_added() -> None:
    (one,) = propose([found(allow=["*"], unfiltered="stranger", raw="stranger", languages=["pdf"])], [], {}, OWN)
    assert isinstance(one, Proposed)
    assert one.entry(["example.com"]) == Printer(
        name="printer-192-0-2-7",
        addresses=("printer-192-0-2-7@example.com",),
        uri="socket://192.0.2.7:9100",
        languages=(Language.PDF,),
    )


def test_many_printers_beside_many_entries() -> None:
    """A whole network of one model: each entry and each name is looked at a few times, not once for each printer."""
    several = [found(f"10.0.{number // 250}.{number % 250 + 1}", model="Phaser 360") for number in range(2000)]
    entries = [
        Printer(name=f"p{number}", addresses=(), uri=f"socket://10.1.{number // 250}.{number % 250 + 1}:9100")
        for number in range(5000)
    ]
    began = time.process_time()
    told = names(*several, entries=tuple(entries))
    assert time.process_time() - began < 2
    assert (len(set(told)), told[0], told[-1]) == (2000, "phaser-360", "phaser-360-2000")
