"""`python -m printerbridge discover`: what is found, as JSON lines on standard output.

First one object for each printer (`proposal`), then notes, `{"note": SENTENCE}`, at last `{"end": true}`: without it
something broke off.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from mailstore import loop
from mailstore.network import network
from printerbridge.guard import Guard

_LONGEST = 3600  # seconds


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", action="append", default=[], metavar="CIDR", help="ask each address by SNMP")
    parser.add_argument(
        "--seconds", type=float, default=5.0, help="how long to listen for announcements; 0: not at all"
    )
    parser.add_argument("--interface", action="append", default=[], metavar="ADDRESS", help="listen only there")
    parser.add_argument(
        "--snmp-community", default="public", metavar="NAME", help="-: the first line of standard input"
    )
    parser.add_argument("--snmp-port", type=int, default=161, metavar="PORT")


def run(given: argparse.Namespace, guard: Guard) -> int:
    """The exit status."""
    if given.snmp_community == "-":
        given.snmp_community = sys.stdin.readline().rstrip("\r\n")
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)  # what is wrong with strangers' datagrams is their affair
    try:
        for line in loop.run(_discover(given, guard)):
            sys.stdout.write(json.dumps(line) + "\n")
    except ValueError as error:
        sys.stderr.write(f"printerbridge: {error}\n")
        return 2
    return os.EX_OK


async def _discover(given: argparse.Namespace, guard: Guard) -> Iterable[dict[str, Any]]:
    from printerbridge.discovery import dnssd, proposal, sweep  # libraries that a bridge need not hold

    if not 0 <= given.seconds <= _LONGEST:
        raise ValueError(f"--seconds: give 0 to {_LONGEST}")
    networks = [network(text) for text in given.network]
    sweep.check(networks)
    notes: list[str] = []

    async def listened() -> list[Any]:
        if not given.seconds:
            return []
        try:
            announced = await dnssd.listen(given.seconds, guard, given.interface)
        except OSError as error:
            notes.append(f"Announcements cannot be heard here: {error.strerror or error}.")
            return []
        notes.extend(announced.notes)
        return announced.heard

    async def asked() -> list[Any]:
        if not networks:
            return []
        swept = await sweep.sweep(networks, guard, community=given.snmp_community, port=given.snmp_port)
        notes.append(
            f"Asked by SNMP: {swept.asked} addresses; answered: {swept.answered}; printers: {len(swept.heard)}."
        )
        return swept.heard

    announced, answered = await asyncio.gather(listened(), asked())
    found = proposal.proposals([*announced, *answered])
    return [*found, *({"note": note} for note in notes), {"end": True}]
