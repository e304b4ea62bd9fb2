"""All checks, one after the other.

One that cannot be made is itself a finding.  Nothing is changed, no mail is sent, and no printer is connected to: that
would wake or lock it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from appliance.doctor import accounts, machine, mail, printers, processes, site
from appliance.doctor.finding import Finding, Level
from appliance.doctor.house import Check, House
from mailstore.failure import Failure


async def opening(house: House) -> AsyncIterator[Finding]:
    """What could not be looked at."""
    for trouble in house.troubles:
        yield trouble


CHECKS: tuple[Check, ...] = (
    machine.programs,
    machine.sandbox,
    processes.processes,
    processes.doors,
    processes.files,
    opening,
    machine.disk,
    machine.clock,
    site.name,
    site.networks,
    mail.proxies,
    mail.insiders,
    mail.dns,
    site.certificate,
    accounts.directory,
    accounts.people,
    accounts.notices,
    accounts.relay,
    printers.printers,
)


async def examine(house: House) -> AsyncIterator[Finding]:
    """All findings, check by check."""
    for check in CHECKS:
        try:
            async for finding in check(house):
                yield finding
        except Failure as failure:
            yield Finding(level=Level.ERROR, subject=check.__name__, text=f"it cannot be looked at: {failure.text}")
