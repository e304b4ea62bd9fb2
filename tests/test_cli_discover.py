"""The commands that find printers and write their reservations, as people and scripts use them."""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailstore.directory.ldap import embedded
from mailstore.directory.records import Printer
from tests.house import House, empty_house
from tests.snmp_agents import agents, laserjet
from tests.test_discovery_network import RAW, announced, service

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]
PRINTER = Printer(
    name="phaser360",
    addresses=(),
    uri="socket://192.0.2.7:9100",
    hardware_address="00:00:5e:00:53:77",
    network_address="192.0.2.7",
    netmask="255.255.255.0",
    gateway="192.0.2.1",
)
DHCP = ("printer", "dhcp-config")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with empty_house(tmp_path_factory.mktemp("site")) as made:
        await made.server.start()
        yield made


async def entry(site: House, name: str, **fields: Any) -> None:
    """A printer that is there already."""
    directory = embedded(site.data / "directory", site.runtime, "appliance")
    try:
        await directory.add(replace(PRINTER, name=name, addresses=(f"{name}@example.com",), **fields), None)
    finally:
        await directory.close()


async def run(site: House, *words: str, status: int = 0, stdin: str = "") -> tuple[str, str]:
    done = await site.printpost(*words, stdin=stdin)
    assert done.status == status, (done.out, done.err)
    return done.out, done.err


async def test_printers_are_found_added_and_known(site: House) -> None:
    silent: dict[str, int | bytes | str] = {
        "1.3.6.1.2.1.25.3.5.1.1.1": 3,
        "1.3.6.1.2.1.25.3.2.1.3.1": b"Odd; rm -rf ~ $(x) 'q'",
    }
    at = {"127.0.2.1": laserjet(), "127.0.2.2": silent, "127.0.2.3": laserjet()}
    phaser = service(RAW, "Phaser 360", "127.0.2.9", ty="Tektronix Phaser 360", pdl="application/postscript", Color="T")
    await entry(site, "hp-laserjet-4250", uri="socket://127.0.0.1:1", hardware_address="", network_address="")
    async with agents(at, b"secret") as (port, _), announced(phaser):
        look: tuple[str, ...] = (
            "printer",
            "discover",
            "--seconds",
            "1",
            "--interface",
            "127.0.0.1",
            "--network",
            "127.0.2.0/29",
        )
        look += ("--snmp-community", "-", "--snmp-port", str(port))
        out, err = await run(site, *look, "--json", "--add", "tektronix-phaser-360", "--add", "hp-laserjet-4250-2",
                             stdin="secret\n")  # fmt: skip
        assert "Asked by SNMP: 6 addresses; answered: 3; printers: 3.\n" in err
        found: dict[str, Mapping[str, Any]] = {one["name"]: one for one in json.loads(out)}
        assert list(found) == ["hp-laserjet-4250-2", "odd-rm-rf-x-q", "hp-laserjet-4250-3", "tektronix-phaser-360"]
        one = found["hp-laserjet-4250-2"]
        assert (one["uri"], one["languages"], one["pjl"]) == ("socket://127.0.2.1:9100", ["postscript", "pcl"], True)
        # What is shown can be copied into a shell, whatever a printer calls itself; secrets stay where they were.
        words = shlex.split(found["odd-rm-rf-x-q"]["command"])
        assert words[:4] == ["printpost", "printer", "add", "odd-rm-rf-x-q"]
        assert words[words.index("--model") + 1] == "Odd; rm -rf ~ $(x) 'q'"
        assert words[words.index("--snmp-community") + 1] == "-"
        assert "secret" not in out
        chosen = ["pcl" if word == "WHICH" else word for word in words]
        (_, err), *_ = await asyncio.gather(
            run(site, *words[1:], status=2, stdin="secret\n"),
            run(site, *chosen[1:], stdin="secret\n"),
            run(site, *shlex.split(found["hp-laserjet-4250-3"]["command"])[1:], stdin="secret\n"),
        )
        assert "'WHICH' is not one of 'postscript'" in err

        out, _ = await run(site, *look, stdin="secret\n")  # all are known now
        assert out.splitlines() == [
            "hp-laserjet-4250-2  HP LaserJet 4250, at 127.0.2.1:9100, Second floor (snmp): it has an entry",
            "odd-rm-rf-x-q  Odd; rm -rf ~ $(x) 'q', at 127.0.2.2:9100 (snmp): it has an entry",
            "hp-laserjet-4250-3  HP LaserJet 4250, at 127.0.2.3:9100, Second floor (snmp): it has an entry",
            "tektronix-phaser-360  Tektronix Phaser 360, at 127.0.2.9:9100 (dns-sd): it has an entry",
        ]
    shown = {one["name"]: one for one in json.loads((await run(site, "printer", "list", "--json"))[0])}
    added = shown["tektronix-phaser-360"]
    assert (added["uri"], added["allow"], added["color"]) == ("socket://127.0.2.9:9100", [], True)
    assert (added["model"], added["languages"]) == ("Tektronix Phaser 360", ["postscript"])
    assert shown["hp-laserjet-4250-3"]["hardware_address"] == "00:00:5e:00:53:01"


async def test_what_cannot_be_done_is_said_in_one_sentence(site: House, tmp_path: Path) -> None:
    await entry(site, "maskless", netmask="")
    await entry(site, "near", network_address="127.0.0.9", netmask="255.0.0.0", gateway="")
    discover, output = ("printer", "discover", "--seconds", "0"), ("--output", str(tmp_path))
    cases = (
        (
            (*discover, "--network", "10.0.0.0/8"),
            2,
            "these networks have 16777216 addresses, and 4096 are asked at most",
        ),
        ((*discover, "--network", "everywhere"), 2, "--network: 'everywhere' does not appear to be"),
        ((*discover, "--add", "nothing"), 65, "no printer was found that would be called 'nothing'"),
        ((*DHCP, "nobody"), 67, "there is no printer 'nobody'"),
        ((*DHCP, "--bridge", "here"), 2, "--bridge 'here' is not an IPv4 address"),
        ((*DHCP, *("--bridge", "192.0.2.1") * 11), 2, "a JetDirect card lets in 10 addresses at most"),
        ((*DHCP, "--format", "ethers", *output), 2, "RARP tells addresses only"),
        ((*DHCP, "maskless", "--format", "bootptab"), 65, "maskless lacks its netmask: printpost printer set maskless"),
        (
            (*DHCP, "near", *output),
            65,
            "this machine has no address towards 127.0.0.9: say with --bridge who may print",
        ),
    )
    for done, (words, status, said) in zip(
        await asyncio.gather(*(site.printpost(*words) for words, _, _ in cases)), cases, strict=True
    ):
        assert (done.status, done.out, len(done.err.splitlines())) == (status, "", 1), (words, done)
        assert done.err.startswith(f"printpost: {said}")
    assert not (tmp_path / "printpost").exists()


async def test_reservations(site: House, tmp_path: Path) -> None:
    await entry(site, "phaser360")
    await entry(site, "bare", hardware_address="", network_address="", netmask="", gateway="")
    ethers, dnsmasq, some, kea = await asyncio.gather(
        site.printpost(*DHCP, "phaser360", "--format", "ethers"),
        site.printpost(*DHCP, "PHASER360", "--output", str(tmp_path), "--bridge", "192.0.2.10"),
        site.printpost(*DHCP, "phaser360", "bare"),
        site.printpost(*DHCP, "--format", "kea"),
    )
    assert ethers.out == "00:00:5e:00:53:77 192.0.2.7\n"
    assert 'dhcp-option-force=tag:phaser360,144,"printpost/phaser360.cfg"\n' in dnsmasq.out
    file = tmp_path / "printpost" / "phaser360.cfg"
    assert "allow: 192.0.2.10\n" in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o644
    assert (some.status, some.out) == (65, "")
    assert some.err.startswith("printpost: bare lacks its hardware address, network address, netmask: ")
    assert "bare" not in kea.out + kea.err  # nobody asked for it
    assert "phaser360" in json.dumps(json.loads(kea.out))


async def test_what_the_bridge_writes_is_a_strangers(site: House, tmp_path: Path) -> None:
    """A process in its place that writes anything and breaks off."""
    fake = tmp_path / "printerbridge"
    fake.mkdir()
    good = json.dumps({"address": "192.0.2.77", "port": 5432, "languages": ["pdf", "zpl"], "found_by": ["snmp"]})
    lines = [
        "[" * 60000,
        "x" * 100000,
        "[]",
        '{"address": "192.0.2.77", "port": 99999}',
        '{"note": "\\u001b[2J!"}',
        good,
    ]
    (fake / "__init__.py").touch()
    (fake / "__main__.py").write_text(
        f"import sys\nprint({chr(10).join(lines)!r})\nif sys.argv[-1] != '161': print('''{{\"end\": true}}''')\n"
    )
    path = f"{tmp_path}:{Path(__file__).parents[1]}"
    broken, whole = await asyncio.gather(
        site.printpost("printer", "discover", PYTHONPATH=path),
        site.printpost("printer", "discover", "--snmp-port", "162", PYTHONPATH=path),
    )
    assert (broken.status, broken.out) == (70, "")
    assert broken.err == "printpost: the bridge's process broke off looking for printers\n"
    assert (whole.status, whole.err) == (0, "[2J!\n")
    assert "  port 5432 is unusual: make sure that a printer listens there" in whole.out
    assert whole.out.splitlines()[-1] == (
        "  printpost printer add printer-192-0-2-77 --uri socket://192.0.2.77:5432 --language pdf --snmp-port 162"
    )
    shutil.rmtree(fake)
