"""What a printer's network facts cannot mean."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

import pytest

from appliance.facts import everywhere, warnings
from mailstore.directory.records import Printer

OWN = [
    ip_interface("127.0.0.1/8"),
    ip_interface("192.0.2.10/24"),
    ip_interface("fe80::1/64"),
    ip_interface("2001:db8:1::10/64"),
]


def printer(**facts: str) -> Printer:
    return Printer(name="phaser360", addresses=("phaser360@example.com",), **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"uri": "socket://phaser360.example.com:9100"},
        {"uri": "socket://198.51.100.7:9100"},  # nothing is known of its gateway
        {"uri": "socket://127.0.0.1:9100", "network_address": "127.0.0.1"},
        {"network_address": "192.0.2.7"},
        {"network_address": "192.0.2.7", "netmask": "255.255.255.0"},
        {"network_address": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.2.1"},
        {"network_address": "198.51.100.7", "netmask": "255.255.255.0", "gateway": "198.51.100.1"},
        {"network_address": "2001:db8:1::7", "netmask": "64"},
        {"network_address": "2001:db8:2::7", "netmask": "64", "gateway": "fe80::1"},
        {"uri": "socket://192.0.2.7:9100", "network_address": "192.0.2.7"},
    ],
)
def test_what_works_is_not_complained_of(facts: dict[str, str]) -> None:
    assert warnings(printer(**facts), OWN) == []


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"network_address": "198.51.100.7"}, "no gateway"),
        ({"network_address": "198.51.100.7", "netmask": "255.255.255.0"}, "198.51.100.0/24"),
        ({"network_address": "192.0.2.200", "netmask": "255.255.255.128"}, "no gateway"),  # it sees us on another one
        ({"network_address": "2001:db8:2::7", "netmask": "64"}, "no gateway"),
        (
            {"network_address": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.3.1"},
            "outside of the printer's network 192.0.2.0/24",
        ),
        ({"network_address": "192.0.2.7", "netmask": "255.255.255.0", "gateway": "192.0.2.7"}, "own address"),
        ({"network_address": "192.0.2.255", "netmask": "255.255.255.0"}, "no host's address"),
        ({"uri": "socket://192.0.2.8:9100", "network_address": "192.0.2.7"}, "correct one of the two"),
    ],
)
def test_what_cannot_work_is_told_with_what_to_do(facts: dict[str, str], words: str) -> None:
    (told,) = warnings(printer(**facts), OWN)
    assert words in told


def test_a_machine_that_knows_only_itself_complains_of_no_distance() -> None:
    assert warnings(printer(network_address="192.0.2.7"), [ip_interface("127.0.0.1/8")]) == []


@pytest.mark.parametrize(
    ("networks", "whole"),
    [
        ([], []),
        (["127.0.0.0/8", "::1/128"], []),
        (["10.0.0.0/8", "0.0.0.0/1"], []),
        (["0.0.0.0/0", "::1/128"], ["0.0.0.0/0"]),
        (["128.0.0.0/1", "192.0.2.0/24", "0.0.0.0/1"], ["0.0.0.0/0"]),
        (["::/0", "0.0.0.0/0"], ["0.0.0.0/0", "::/0"]),
    ],
)
def test_networks_that_leave_nothing_out(networks: list[str], whole: list[str]) -> None:
    assert [str(one) for one in everywhere(ip_network(network) for network in networks)] == whole
