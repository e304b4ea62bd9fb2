"""All checks, one after the other.

One that cannot be made is itself a finding.  Nothing is changed, no mail is sent, and no printer is connected to: that
would wake or lock it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from appliance.doctor import accounts, machine, printers
from appliance.doctor.finding import Check, Finding, House, Level
from mailstore.failure import TransientFailure

CHECKS: tuple[Check, ...] = (
    machine.programs,
    machine.disk,
    machine.clock,
    machine.name,
    machine.certificate,
    machine.processes,
    machine.doors,
    accounts.directory,
    accounts.people,
    accounts.relay,
    printers.printers,
)


async def examine(house: House) -> AsyncIterator[Finding]:
    """All findings, check by check."""
    for check in CHECKS:
        try:
            async for finding in check(house):
                yield finding
        except TransientFailure as failure:
            yield Finding(level=Level.ERROR, subject=check.__name__, text=failure.text)
