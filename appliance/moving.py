"""Moving a job that waits to another printer, for the page, the API and the commands.

Security: whoever moves a job decides where somebody's document comes out, so he must operate both printers.  To let a
sender move his own job would ask for the whole verdict on its mail again, at a printer that may trust him less: he can
send it there, and the door judges it.  What the new printer may get is judged here as the door does: by its entry, the
trust that was fixed at receipt, and the formats that are found in the octets.  The bridge judges again when it prints.
"""

from __future__ import annotations

import asyncio

from appliance import trace
from appliance.abilities import KnownAbilities
from appliance.desk import Desk, Missing, TooLate
from appliance.groups import demand_printer
from appliance.rights import Act, NotAllowed, demand
from mailstore.directory.contract import Directory
from mailstore.directory.records import Person, Printer
from mailstore.documents import Surveyor
from mailstore.failure import PermanentFailure
from mailstore.job import Job, JobState
from mailstore.passage import selected
from mailstore.store.contract import Recipient, Store

_MOVABLE = (JobState.PENDING, JobState.PENDING_HELD)
_WHY_NOT = "only a job that waits for its printer, is held whole or is in doubt can be moved"


class Moves:
    """Every call may raise `NotAllowed`, `Missing`, another `PermanentFailure`, or `TransientFailure`."""

    def __init__(self, store: Store, directory: Directory, desk: Desk) -> None:
        self._store = store
        self._directory = directory
        self._desk = desk
        self._abilities = KnownAbilities()

    async def move(self, person: Person, number: int, to: str) -> Printer:
        """The job waits at the printer `to` from now on, under its number; returns where that is.

        Raises `TooLate` for a job that waits no longer, `PermanentFailure` ("5.6.1", "5.7.1") if its documents cannot
        get there, ("5.5.1") if nothing can now, and `TransientFailure` ("4.2.2") if the mailbox there is full.
        """
        file = await self._desk.job(person, number)
        job = file.job
        if not file.operated:
            raise NotAllowed(f"{person.name} may stop this job, not move it; ask whoever runs {job.printer}")
        target = await self._target(person, job, to)
        in_doubt = "x-delivery-unknown" in job.reasons and job.state is JobState.PROCESSING_STOPPED
        if not (job.state in _MOVABLE or in_doubt):
            raise TooLate(f"job {number} stays where it is: {_WHY_NOT}")
        await self._check_passage(job, target)
        if not await self._store.move_job(number, _recipient(job, target), person.name):
            raise TooLate(f"job {number} stays where it is: {_WHY_NOT}")
        return target

    async def _target(self, person: Person, job: Job, name: str) -> Printer:
        target = await self._directory.printer(name.strip().lower())
        if target is None:
            raise Missing(f"there is no printer {name[:100]!a}")
        demand(person, Act.OPERATE, target)
        demand_printer(target, "prints nothing itself")
        if target.name == job.printer:
            raise PermanentFailure("5.5.4", f"job {job.id} is at {target.name} already")
        accepting, _ = await self._store.standing(target.name)
        if not accepting:
            raise PermanentFailure("5.5.1", f"{target.name} takes no mail now: let it accept again first")
        return target

    async def _check_passage(self, job: Job, target: Printer) -> None:
        """Raises `PermanentFailure` if one of its documents cannot get there."""
        if target.polls:
            if not target.takes_raw(job.trust):
                text = f"{target.name} fetches its mail as it came, and mail of this trust may not reach it so"
                raise PermanentFailure("5.7.1", text)
            return
        surveyor = Surveyor()
        async for block in self._store.read(job.id):
            surveyor.feed(block)
            await asyncio.sleep(0)  # a block may have been in memory, and others want the loop too
        try:
            selected(surveyor.close(), target, job.trust, await self._abilities.of(self._store))
        except PermanentFailure as failure:
            text = f"{target.name} cannot get it: {failure.text}"
            raise PermanentFailure(failure.status, text, reason=failure.reason) from None


def _recipient(job: Job, target: Printer) -> Recipient:
    return Recipient(
        maildrop=target.name,
        address=job.recipient,  # to which it came, and by whose options it prints
        quota=target.quota,
        fields=trace.return_path(job.sender) + trace.delivered_to(job.recipient),
        reason="job-queued" if target.drained_by_bridge else "job-fetchable",
        notify=job.notify,
        orcpt=job.orcpt,
        limits=target.limits,
        capability=job.capability,
        hold=target.hold,
    )
