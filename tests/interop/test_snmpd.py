"""The bridge asks Net-SNMP's agent, which has a printer's objects, in both versions."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from unittest.mock import patch

import pytest

from mailstore.directory.records import Printer, Snmp
from printerbridge.asking import Questions
from printerbridge.conditions import Conditions
from printerbridge.health import Health
from printerbridge.mib import STATUS, Look
from printerbridge.snmp import Agent, NoAnswer
from tests.interop.programs import program, running, until
from tests.printshop import printshop
from tests.snmp_agent import HR, PRT

pytestmark = [pytest.mark.interop, pytest.mark.slow]

SUPPLY, TRAY = f"{PRT}.11.1.1", f"{PRT}.8.2.1"


def objects(device: int) -> dict[str, str]:
    """By identifier what stands behind `override`; an @ is the bit of noPaper."""
    row = f"{device}.1"
    return {
        f"{HR}.2.1.3.{device}": 'octet_str "Example Laser 7"',
        f"{HR}.2.1.5.{device}": "integer 5",
        f"{HR}.5.1.1.{device}": "integer 1",
        f"{HR}.5.1.2.{device}": 'octet_str "@"',
        f"{PRT}.5.1.1.17.{device}": 'octet_str "EX-0007"',
        **{f"{TRAY}.{column}.{row}": f"integer {value}" for column, value in {2: 4, 8: 8, 9: 250, 10: 0}.items()},
        f"{TRAY}.12.{row}": 'octet_str "A4"',
        f"{TRAY}.13.{row}": 'octet_str "Tray 1"',
        f"{PRT}.10.2.1.4.{row}": "counter 4711",
        **{f"{SUPPLY}.{column}.{row}": f"integer {value}" for column, value in {3: 1, 4: 3, 5: 3, 7: 13}.items()},
        **{f"{SUPPLY}.{column}.{row}": f"integer {value}" for column, value in {8: 1000, 9: 250}.items()},
        f"{SUPPLY}.6.{row}": 'octet_str "Toner"',
        f"{PRT}.12.1.1.4.{row}": 'octet_str "black"',
        f"{PRT}.16.5.1.2.{row}": 'octet_str "LOAD PAPER"',
    }


def free_udp_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def snmpd(folder: Path, told: Mapping[str, str]) -> AsyncIterator[int]:
    """One that knows `told`; its port."""
    port, conf = free_udp_port(), folder / "snmpd.conf"
    lines = ["rocommunity our-secret 127.0.0.1", *(f"override .{oid} {value}" for oid, value in told.items())]
    conf.write_text("\n".join([*lines, ""]))
    argv = [program("snmpd"), "-f", "-Lo", "-C", "-c", str(conf), "-r", f"udp:127.0.0.1:{port}"]
    agent = Agent("127.0.0.1", port, version=Snmp.V2C, community="our-secret", seconds=1.0)

    async def answers() -> bool:
        with contextlib.suppress(NoAnswer):
            return (await agent.get([next(iter(told))]))[next(iter(told))] is not None
        return False

    quiet = {**os.environ, "SNMP_PERSISTENT_DIR": str(folder / "snmp"), "MIBS": "", "SNMPCONFPATH": str(folder)}
    with patch.dict(os.environ, quiet):
        async with running(argv, folder / "snmpd.log"):
            await until(answers)
            yield port


STOPPED = Look(
    state="stopped",
    reasons=("media-empty",),
    text="the paper is used up (its panel shows: LOAD PAPER)",
    console="LOAD PAPER",
    pages=4711,
)


def questions(port: int, version: Snmp, community: str = "our-secret", seconds: float = 5.0) -> Questions:
    return Questions(Agent("127.0.0.1", port, version=version, community=community, seconds=seconds))


@pytest.mark.parametrize("device", [1, 7])
async def test_a_printer_is_read_in_both_versions(tmp_path: Path, device: int) -> None:
    async with snmpd(tmp_path, objects(device)) as port:
        for version in (Snmp.V1, Snmp.V2C):
            asking = questions(port, version)
            assert await asking.look() == STOPPED
            details = await asking.details()
            assert details is not None
            assert (details.model, details.serial) == ("Example Laser 7", "EX-0007")
            assert [(one.name, one.kind, one.color, one.level) for one in details.supplies] == [
                ("Toner", "toner", "black", 0.25)
            ]
            assert [(one.name, one.media, one.level) for one in details.trays] == [("Tray 1", "A4", 0.0)]
        with pytest.raises(NoAnswer):
            await questions(port, Snmp.V1, "public", 0.2).look()


async def test_a_missing_object_leaves_the_others(tmp_path: Path) -> None:
    told = objects(1)
    del told[STATUS[3]], told[STATUS[4]]
    async with snmpd(tmp_path, told) as port:
        for version in (Snmp.V1, Snmp.V2C):
            look = await questions(port, version).look()
            assert (look.state, look.reasons, look.pages, look.console) == ("stopped", ("media-empty",), None, "")


async def test_a_host_that_is_no_printer_is_none(tmp_path: Path) -> None:
    async with snmpd(tmp_path, {"1.3.6.1.2.1.1.5.0": 'octet_str "a host"'}) as port:
        for version in (Snmp.V1, Snmp.V2C):
            with pytest.raises(NoAnswer, match="not as a printer does"):
                await questions(port, version).look()


async def test_the_store_hears_of_it(tmp_path: Path) -> None:
    async with snmpd(tmp_path, objects(1)) as port, printshop(tmp_path) as shop:
        printer = Printer(
            name="phaser",
            addresses=("phaser@example.com",),
            uri="socket://127.0.0.1:9100",
            snmp_port=port,
            snmp_community="our-secret",
        )
        health = Health(shop.drains, Conditions(shop.drains))
        health.printers([printer])
        assert await health.look(printer) == STOPPED

        async def told() -> bool:
            report = await shop.store.report("phaser")
            return report is not None and report.up and report.pages == 4711

        await until(told)
        state = await shop.store.printer_state("phaser")
        assert (state.state, state.state_reasons, state.detail) == ("stopped", ("media-empty",), STOPPED.text)
