"""Checks of each printer: what its entry says, how it fares, what its network facts cannot mean."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

from appliance import facts, policy
from appliance.doctor.finding import Finding, House, ok, warning
from appliance.doctor.network import own_interfaces, resolved
from mailstore.directory.records import Printer
from mailstore.failure import Failure
from mailstore.store.contract import PrinterState


async def printers(house: House) -> AsyncIterator[Finding]:
    own = own_interfaces()
    states = {state.printer: state for state in await house.store.printer_states()}
    for printer in await house.directory.printers():
        subject = f"printer {printer.name}"
        troubles = [
            *_settings(printer),
            *_fares(printer, states.get(printer.name, PrinterState(printer=printer.name)), time.time()),
            *facts.warnings(printer, own),
            *await _unresolved(printer),
        ]
        for trouble in troubles:
            yield warning(subject, trouble)
        if not troubles:
            yield ok(subject, "nothing is wrong as far as can be seen from here")


def _settings(printer: Printer) -> list[str]:
    """What the entry alone says."""
    name, found = printer.name, []
    try:
        for rule in (*printer.allow, *printer.deny):
            policy.parse_rule(rule)
    except Failure as failure:
        found.append(f"everybody is refused, because a rule cannot be read: {failure.text}")
    if not printer.allow:
        found.append(f"nobody may print: printpost printer set {name} --allow ada@example.com")
    if not (printer.service_person or printer.sysadmin):
        found.append(f"nobody hears of trouble: printpost printer set {name} --service-person ada@example.com")
    return found


def _fares(printer: Printer, state: PrinterState, now: float) -> list[str]:
    """What the store knows."""
    name, found = printer.name, []
    if state.paused:
        found.append(f"it is paused: printpost printer resume {name}")
    if not state.accepting:
        found.append(f"mail for it is refused: printpost printer accept {name}")
    if state.state == "stopped":
        found.append(f"it is stopped: {state.detail or ', '.join(state.state_reasons)}")
    if not printer.drained_by_bridge:
        late = 3 * printer.poll_interval + 60
        if not state.last_poll:
            found.append("it never polled: enter this server, its name and its password at the printer")
        elif now - state.last_poll > late:
            found.append(f"it did not poll for {now - state.last_poll:.0f} s: is it switched on and on the network?")
    return found


async def _unresolved(printer: Printer) -> list[str]:
    host = urlsplit(printer.uri).hostname or ""
    if not host or _is_literal(host) or await resolved(host):
        return []
    return [f"its name {host} does not resolve: correct its device address, or your DNS"]


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
