"""Reservations, as the servers' own programs and manuals read them, and the files of JetDirect cards."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance import dhcp
from appliance.dhcp import Format
from mailstore.directory.records import Printer, Snmp

PHASER = Printer(
    name="phaser360",
    addresses=("phaser360@example.com",),
    uri="socket://192.0.2.7:9100",
    hardware_address="00:00:5e:00:53:01",
    network_address="192.0.2.7",
    netmask="255.255.255.0",
    gateway="192.0.2.1",
    location="Second floor",
    service_person=("ada@example.com",),
)
LABEL = replace(PHASER, name="label5", hardware_address="00:00:5e:00:53:02", network_address="198.51.100.7", gateway="")
BRIDGE = [IPv4Address("192.0.2.10")]


def reserved(*printers: Printer, style: Format, tftp: str = "192.0.2.11") -> str:
    return dhcp.written(style, [dhcp.reservation(one, file=True, tftp=IPv4Address(tftp)) for one in printers])


def checked(text: str, file: Path, *command: str) -> None:
    """By a server's own program, found also where only root looks; it tells apart what is none of its words."""
    program = shutil.which(command[0], path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if program is None:
        pytest.skip(f"{command[0]} is not installed")
    for written, good in ((text, True), (text.replace("00:5e", "00;5e"), False)):
        file.write_text(written)
        done = subprocess.run([program, *command[1:]], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode == 0) == good, done.stdout + done.stderr


# -- dnsmasq


def test_dnsmasq(tmp_path: Path) -> None:
    text = reserved(PHASER, LABEL, style=Format.DNSMASQ)
    assert text.splitlines() == [
        "# If nothing else serves 192.0.2.0/24: dhcp-range=192.0.2.0,static,255.255.255.0",
        "# If nothing else serves 198.51.100.0/24: dhcp-range=198.51.100.0,static,255.255.255.0",
        "dhcp-host=00:00:5e:00:53:01,set:phaser360,192.0.2.7,phaser360",
        "dhcp-option=tag:phaser360,option:netmask,255.255.255.0",
        "dhcp-option=tag:phaser360,option:router,192.0.2.1",
        'dhcp-option-force=tag:phaser360,144,"printpost/phaser360.cfg"',
        "dhcp-option-force=tag:phaser360,150,192.0.2.11",
        "dhcp-host=00:00:5e:00:53:02,set:label5,198.51.100.7,label5",
        "dhcp-option=tag:label5,option:netmask,255.255.255.0",
        'dhcp-option-force=tag:label5,144,"printpost/label5.cfg"',
        "dhcp-option-force=tag:label5,150,192.0.2.11",
    ]
    file = tmp_path / "printers.conf"
    checked(
        text.replace("# If nothing else serves 192.0.2.0/24: ", ""), file, "dnsmasq", "--test", f"--conf-file={file}"
    )


@pytest.mark.parametrize("name", ["360", "45m", "7d", "infinite", "ignore"])
def test_a_printers_name_is_no_other_word_of_dnsmasqs(tmp_path: Path, name: str) -> None:
    text = reserved(replace(PHASER, name=name), style=Format.DNSMASQ)
    assert f'dhcp-host=00:00:5e:00:53:01,set:{name},192.0.2.7\ndhcp-option=tag:{name},12,"{name}"\n' in text
    file = tmp_path / "printers.conf"
    checked(text, file, "dnsmasq", "--test", f"--conf-file={file}")


# -- Kea


@pytest.mark.interop
def test_kea(tmp_path: Path) -> None:
    text = reserved(PHASER, LABEL, style=Format.KEA)
    server = json.loads(text)["Dhcp4"]
    first, second = server["subnet4"]
    assert (first["id"], first["subnet"], second["subnet"]) == (1, "192.0.2.0/24", "198.51.100.0/24")
    assert first["reservations"] == [
        {
            "hw-address": "00:00:5e:00:53:01",
            "ip-address": "192.0.2.7",
            "hostname": "phaser360",
            "next-server": "192.0.2.11",
            "option-data": [
                {"name": "routers", "data": "192.0.2.1"},
                {"name": "jetdirect-file", "data": "printpost/phaser360.cfg", "always-send": True},
                {"name": "jetdirect-tftp", "data": "192.0.2.11", "always-send": True},
            ],
        }
    ]
    file = tmp_path / "kea.json"
    checked(text, file, "kea-dhcp4", "-t", str(file))


# -- bootptab, as bootptab(5) has it


def read_bootptab(text: str) -> dict[str, dict[str, str]]:
    """Entries by name, a tag without a value as "": no blanks between fields, a backslash before the end of a line."""
    hosts = {}
    for line in re.sub(r"\\\n[ \t]*", "", text).splitlines():
        if not line or line.startswith("#"):
            continue
        fields = [field for field in re.findall(r'(?:[^:"]|"[^"]*")+', line) if field.strip()]
        assert line.endswith(":")
        assert not re.search(r"\s", "".join(fields[1:])), line
        hosts[fields[0]] = {field.partition("=")[0]: field.partition("=")[2].strip('"') for field in fields[1:]}
    return hosts


def test_bootptab() -> None:
    hosts = read_bootptab(reserved(PHASER, LABEL, style=Format.BOOTPTAB))
    assert hosts["phaser360"] == {
        "hn": "", "ht": "ether", "vm": "rfc1048", "ha": "00005E005301", "ip": "192.0.2.7", "sm": "255.255.255.0",
        "gw": "192.0.2.1", "sa": "192.0.2.11", "T144": "printpost/phaser360.cfg",
    }  # fmt: skip
    assert list(hosts["label5"]) == ["hn", "ht", "vm", "ha", "ip", "sm", "sa", "T144"]
    assert list(hosts["phaser360"]).index("ht") < list(hosts["phaser360"]).index("ha")  # as bootptab(5) wants


# -- ethers


def test_ethers() -> None:
    """As ethers(5) has it: a hardware address and an address on each line."""
    lines = [line.split() for line in reserved(PHASER, LABEL, style=Format.ETHERS).splitlines()]
    assert lines == [["00:00:5e:00:53:01", "192.0.2.7"], ["00:00:5e:00:53:02", "198.51.100.7"]]


# -- what is lacking


def test_what_an_entry_lacks_is_said_with_the_command() -> None:
    bare = Printer(name="bare", addresses=("bare@example.com",), hardware_address="00:00:5e:00:53:03")
    assert dhcp.lacking(bare, Format.KEA) == (
        "bare lacks its network address, netmask:"
        " printpost printer set bare --network-address 192.0.2.7 --netmask 255.255.255.0"
    )
    assert dhcp.lacking(replace(bare, network_address="192.0.2.9"), Format.ETHERS) == ""  # RARP tells no more
    assert "IPv6 address" in dhcp.lacking(replace(PHASER, network_address="2001:db8::7", netmask="64"), Format.DNSMASQ)
    assert "IPv6 gateway" in dhcp.lacking(replace(PHASER, gateway="fe80::1"), Format.DNSMASQ)
    assert "is a group" in dhcp.lacking(replace(PHASER, members=("label5",)), Format.DNSMASQ)
    assert dhcp.lacking(PHASER, Format.BOOTPTAB) == ""


# -- the card's own file


def test_only_the_bridge_is_let_in() -> None:
    assert dhcp.jetdirect(PHASER, BRIDGE).splitlines() == [
        "# Written by: printpost printer dhcp-config",
        "name: phaser360",
        "location: Second floor",
        "contact: ada@example.com",
        "allow: 192.0.2.10",
        "idle-timeout: 300",
    ]
    more = replace(PHASER, end_wait=1000, snmp_community="secret", service_person=(), sysadmin=("eve@example.com",))
    lines = dhcp.jetdirect(more, [*BRIDGE, IPv4Address("192.0.2.12")]).splitlines()
    assert lines[3:] == [
        "contact: eve@example.com",
        "allow: 192.0.2.10",
        "allow: 192.0.2.12",
        "idle-timeout: 2000",
        "get-community-name: secret",
    ]
    assert "secret" not in dhcp.jetdirect(replace(more, snmp=Snmp.OFF), BRIDGE)
    assert "idle-timeout: 3600\n" in dhcp.jetdirect(replace(PHASER, end_wait=86400), BRIDGE)


def test_what_is_not_ascii_is_written_plainly() -> None:
    there = replace(PHASER, location="Bürogebäude 2,\u2028 allow: 0.0.0.0 \u00a0 3. Étage", snmp_community="grüezi")
    lines = dhcp.jetdirect(there, BRIDGE).splitlines()
    assert lines[2] == "location: Burogebaude 2, allow: 0.0.0.0 3. Etage"
    assert not [line for line in lines if line.startswith("get-")]  # a community is itself or nothing


@given(st.text(), st.text())
def test_nobody_writes_a_line_of_his_own(location: str, community: str) -> None:
    lines = dhcp.jetdirect(replace(PHASER, location=location, snmp_community=community), BRIDGE)
    assert lines.isascii()
    assert re.sub(r"[\x20-\x7e\n]", "", lines) == ""
    keys = [line.partition(":")[0] for line in lines.splitlines()[1:]]
    assert set(keys) <= {"name", "location", "contact", "allow", "idle-timeout", "get-community-name"}
    assert len(keys) == len(set(keys))
    assert [line for line in lines.splitlines() if line.startswith("allow:")] == ["allow: 192.0.2.10"]


@given(st.integers(1, 32), st.integers(0, 2**32 - 1))
def test_any_address_has_its_network(bits: int, number: int) -> None:
    address = IPv4Address(number)
    one = dhcp.reservation(
        replace(PHASER, network_address=str(address), netmask=str(IPv4Network((0, bits)).netmask), gateway="")
    )
    assert address in one.network
    assert one.network.prefixlen == bits
    (host,) = json.loads(dhcp.written(Format.KEA, [one]))["Dhcp4"]["subnet4"][0]["reservations"]
    assert host["ip-address"] == str(address)
    assert "next-server" not in host
    assert host["option-data"] == []
