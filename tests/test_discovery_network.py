"""Printers are found: by what they announce on a link, and by asking each address of a network; all on loopback."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator

import pytest
from zeroconf import DNSOutgoing, DNSPointer, ServiceStateChange  # type: ignore[attr-defined]
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from printerbridge.discovery import command, dnssd, sweep
from printerbridge.discovery.proposal import proposals
from printerbridge.guard import Guard
from tests.snmp_agents import agents, laserjet

pytestmark = pytest.mark.asyncio
RAW, IPP = dnssd.RAW, "_ipp._tcp.local."


def service(kind: str, name: str, address: str, port: int = 9100, **txt: str) -> AsyncServiceInfo:
    host = f"{name.partition(' ')[0].lower()}.local."
    return AsyncServiceInfo(
        kind, f"{name}.{kind}", addresses=[socket.inet_aton(address)], port=port, properties=dict(txt), server=host
    )


@contextlib.asynccontextmanager
async def announced(*services: AsyncServiceInfo) -> AsyncIterator[None]:
    """They are on loopback's link."""
    multicast = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        for one in services:
            # Not registered with the probes of RFC 6762 section 8, which take a second for each.
            multicast.zeroconf.registry.async_add(one)
        yield
    finally:
        await multicast.async_close()


async def test_announcements_are_heard() -> None:
    phaser = service(RAW, "Phaser 360", "127.0.0.2", ty="Tektronix Phaser 360", pdl="application/postscript", Color="T")
    label = service(RAW, "Label 5", "127.0.0.3", 9101, ty="Label 5", pdl="image/pwg-raster", note="Packing room")
    same = service(IPP, "Phaser 360", "127.0.0.2", 631, note="Second floor", pdl="application/pdf")
    ours = service(RAW, "Mirror", "127.0.0.1", 2525)
    nowhere = service(RAW, "Cloud", "169.254.169.254")
    only_ipp = service(IPP, "Driverless", "127.0.0.4", 631, pdl="application/pdf")
    guard = Guard(["127.0.0.1:2525"])
    async with announced(phaser, label, same, ours, nowhere, only_ipp):
        told = await dnssd.listen(0.6, guard, ["127.0.0.1"])
    first, second = proposals(told.heard)
    assert (first["address"], first["port"], first["host"]) == ("127.0.0.2", 9100, "phaser")
    assert (first["model"], first["location"], first["color"]) == ("Tektronix Phaser 360", "Second floor", True)
    assert first["languages"] == ["postscript"]
    assert (second["address"], second["port"], second["languages"]) == ("127.0.0.3", 9101, ["pwg"])
    assert second["location"] == "Packing room"
    assert sorted(told.notes) == [
        "An answer named 127.0.0.1, which is not proposed: it is Printpost itself.",
        "An answer named 169.254.169.254, which is not proposed: it is where clouds tell secrets (metadata).",
    ]


async def test_hostile_announcements_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dnssd, "_INSTANCES", 5)
    many = [
        service(RAW, f"P{number}", "127.0.0.2", ty="\x1b[31mred\x07" + "x" * 240, note="\x00\n", pdl="," * 200)
        for number in range(8)
    ]
    async with announced(*many):
        told = await dnssd.listen(0.6, Guard(), ["127.0.0.1"])
    assert len(told.heard) == 5
    assert told.notes[-1].startswith("More than 5 services were announced; ")
    (found,) = proposals(told.heard)
    assert found["model"].startswith("[31mred")
    assert len(found["model"]) == 127
    assert found["location"] == ""


async def test_nobody_says_from_elsewhere_what_listens_on_loopback() -> None:
    assert dnssd._on_loopback("127.0.0.1")
    assert not dnssd._on_loopback("eth0")
    gathering = dnssd._Gathering(Guard(), loopback=False)
    info = service(RAW, "Database", "127.0.0.1", 5432)
    assert gathering._address(info) == ""
    assert gathering.notes() == [
        "An answer named 127.0.0.1, which is not proposed: it means this machine, wherever it was said."
    ]
    info.addresses = [socket.inet_aton("127.0.0.1"), socket.inet_aton("192.0.2.7")]
    assert gathering._address(info) == "192.0.2.7"


async def test_a_name_that_is_none_is_left_out() -> None:
    odd = DNSOutgoing(0x8400)  # an answer (RFC 6762 section 18)
    odd.add_answer_at_time(DNSPointer(RAW, 12, 1, 120, f"a\x01b.{RAW}"), 0)
    odd.add_answer_at_time(DNSPointer(RAW, 12, 1, 120, f"{'x' * 63}.another.local."), 0)

    async def say(multicast: AsyncZeroconf, listening: asyncio.Task[dnssd.Announced]) -> None:
        while not listening.done():
            multicast.zeroconf.async_send(odd)
            await asyncio.wait([listening], timeout=0.05)

    multicast = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        listening = asyncio.create_task(dnssd.listen(0.4, Guard(), ["127.0.0.1"]))
        await say(multicast, listening)
    finally:
        await multicast.async_close()
    told = await listening
    assert (told.heard, told.notes) == ([], ["2 services were left out, whose names are none."])


async def test_services_that_are_not_there_keep_nobody_from_those_that_are() -> None:
    gathering = dnssd._Gathering(Guard(), loopback=True)
    seen = AsyncZeroconf(interfaces=["127.0.0.1"])
    office = service(RAW, "Office", "127.0.0.2")
    try:
        for number in range(2 * dnssd._AT_ONCE):
            gathering.changed(seen.zeroconf, RAW, f"Nothing {number}.{RAW}", ServiceStateChange.Added)
        await asyncio.sleep(0)
        told = [office.dns_service(), office.dns_text(), *office.dns_addresses()]
        seen.zeroconf.cache.async_add_records(told)
        gathering.changed(seen.zeroconf, RAW, f"Office.{RAW}", ServiceStateChange.Added)
        await asyncio.sleep(0)
        assert [one.address for one in gathering.heard] == ["127.0.0.2"]
    finally:
        await gathering.end()
        await seen.async_close()


async def test_a_network_is_asked() -> None:
    switch = {"1.3.6.1.2.1.1.5.0": b"switch", "1.3.6.1.2.1.1.6.0": b"Cellar"}
    old = {"1.3.6.1.2.1.1.5.0": b"phaser", "1.3.6.1.4.1.11.2.3.9.1.1.7.0": b"MFG:Tektronix;MDL:Phaser 360;CMD:PS2;"}
    newest = laserjet({"1.3.6.1.2.1.4.20.1.3.127.0.1.2": b"\xff\xff\xff\0", "1.3.6.1.2.1.43.10.2.1.6.1.1": 4})
    async with agents({"127.0.1.2": newest, "127.0.1.3": switch, "127.0.1.4": old}) as (port, asked):
        swept = await sweep.sweep(
            [ipaddress.ip_network("127.0.1.0/29")], Guard(), community="public", port=port, seconds=0.5
        )
    assert (swept.asked, swept.answered) == (6, 3)
    first, second = proposals(swept.heard)
    assert first == {
        "address": "127.0.1.2", "port": 9100, "port_told": True, "host": "npi123456", "model": "HP LaserJet 4250",
        "location": "Second floor", "serial": "CNBXX01234", "languages": ["postscript", "pcl"], "other_languages": [],
        "pjl": True, "color": True, "duplex": None, "hardware_address": "00:00:5e:00:53:01",
        "netmask": "255.255.255.0", "gateway": "127.0.0.1", "found_by": ["snmp"],
    }  # fmt: skip
    assert (second["address"], second["port_told"], second["model"]) == ("127.0.1.4", False, "Tektronix Phaser 360")
    assert second["languages"] == ["postscript2"]
    assert len(asked["127.0.1.3"].asked) < 30  # who is no printer is soon left alone


async def test_another_community_is_not_answered() -> None:
    async with agents({"127.0.1.2": laserjet()}, b"secret") as (port, _):
        network = [ipaddress.ip_network("127.0.1.2/32")]
        silent, told = await asyncio.gather(
            sweep.sweep(network, Guard(), community="public", port=port, seconds=0.5),
            sweep.sweep(network, Guard(), community="secret", port=port, seconds=0.5),
        )
    assert (silent.answered, told.answered, len(told.heard)) == (0, 1, 1)


async def test_no_more_than_one_large_network() -> None:
    with pytest.raises(ValueError, match="4097 addresses, and 4096"):
        sweep.check([ipaddress.ip_network("192.0.2.7/32"), ipaddress.ip_network("10.0.0.0/20")])


async def test_what_must_not_be_dialed_is_not_asked() -> None:
    network = ipaddress.ip_network("169.254.169.254/32")
    assert (await sweep.sweep([network], Guard(), community="public")).asked == 0


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1", "1e9"])
async def test_nobody_listens_for_ever(seconds: str) -> None:
    parser = argparse.ArgumentParser()
    command.add_options(parser)
    with pytest.raises(ValueError, match="give 0 to 3600"):
        await command._discover(parser.parse_args([f"--seconds={seconds}"]), Guard())
