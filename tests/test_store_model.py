"""Jobs under whatever people, printers and clocks do to them, against a model that knows only `mailstore.job`, what was
there before, and sums of what was taken.

At the end of each run the engine's fixture adds up what the tables say twice, foreign keys included.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.directory.records import Hold, PrintLimits
from mailstore.failure import Failure, PermanentFailure
from mailstore.job import TRANSITIONS, DeliveryProof, Event, JobState
from mailstore.store.admission import Accepted
from mailstore.store.contract import Lease, Recipient, Role, Store
from mailstore.store.following import Progress
from mailstore.store.outbox import Occasion
from tests.contracts.engines import ENGINES
from tests.contracts.splitting import bring_part, said_by
from tests.contracts.store import held, recipient
from tests.contracts.wishes import DOUBT, PERSON, receive

KEEP = 1000.0
TOKEN = b"t" * 32
BY_TOKEN = 3
LIMITS = PrintLimits(jobs=8, sender_jobs=2)
ADA = "ada@example.com"
REASONS = {
    Event.CLAIM: ["job-transforming"],
    Event.STOP: ["printer-stopped"],
    Event.RESUME: ["job-printing"],
    Event.RELEASE: ["resources-are-not-ready"],
    Event.DOUBT: list(DOUBT),
}
OCCASIONS = {Event.COMPLETE: Occasion.COMPLETED, Event.ABORT: Occasion.ABORTED, Event.DOUBT: Occasion.UNCERTAIN}


@dataclass
class Known:
    message: int
    printer: str
    answerable: bool
    state: JobState = JobState.PENDING
    doubt: bool = False
    parts: int = 0  # of two, while it is split


@dataclass
class Model:
    jobs: dict[int, Known] = field(default_factory=dict)
    mails: dict[int, int] = field(default_factory=dict)  # job number -> message, of what a person has not read
    gone: set[int] = field(default_factory=set)  # messages without octets
    happened: list[tuple[Occasion, int]] = field(default_factory=list)
    came: dict[int, int] = field(default_factory=dict)  # mail -> the job that it made last
    taken: list[str] = field(default_factory=list)  # who sent what counts against `LIMITS`
    by_token: int = 0
    revoked: bool = False

    def may(self, job_id: int, event: Event) -> bool:
        """Do it, if the table says that it can be done."""
        job = self.jobs[job_id]
        after = TRANSITIONS.get((job.state, event))
        if after is None or (job.doubt and event in (Event.STOP, Event.RESUME, Event.DOUBT)):
            return False  # nobody is sending what is in doubt
        if job.parts and event is not Event.CANCEL:
            return False  # it is not there yet
        job.state, job.doubt, job.parts = after, event is Event.DOUBT, 0
        if event in OCCASIONS and (event is not Event.COMPLETE or job.answerable):
            self.happened.append((OCCASIONS[event], job_id))
        return True

    def needed(self) -> set[int]:
        return {job.message for job in self.jobs.values() if not job.state.ended} | set(self.mails.values())


class Run:
    """One sequence of steps; each one asks the store, and the model what the answer must be."""

    def __init__(self, appliance: Store, bridge: Store, lease: Lease, capability: int) -> None:
        self.appliance = appliance
        self.bridge = bridge
        self.lease = lease
        self.model = Model()
        self.messages = 0
        self.by_token = replace(recipient("phaser"), capability=capability)

    async def step(self, name: str, number: int) -> None:
        if name in ("receive", "receive_held", "twice", "limited", "by_a_token", "part"):
            await getattr(self, name)(number)
        elif name in ("fetch", "read", "sweep", "break_lease", "revoke"):
            await getattr(self, name)()
        elif self.model.jobs:
            await getattr(self, name)(sorted(self.model.jobs)[number % len(self.model.jobs)])

    async def receive(self, number: int) -> None:
        names = [["phaser"], ["polls"], ["phaser", "polls"], [PERSON, "phaser"], [PERSON], ["phaser", "phaser"]]
        wanted, answerable = names[number % len(names)], number % 2 == 1
        found = await receive(self.appliance, *(recipient(name) for name in wanted), answerable=answerable)
        self.messages += 1
        assert len(set(found)) == len(set(wanted))  # a printer that is named twice prints once
        for job_id, name in zip(found, wanted, strict=True):
            if name == PERSON:
                self.model.mails[job_id] = self.messages
            else:
                self.model.jobs[job_id] = Known(self.messages, name, answerable)

    async def receive_held(self, number: int) -> None:
        hold = Hold.CODE if number % 2 else Hold.ALL
        found = await self.bring(replace(recipient("phaser"), hold=hold))
        assert isinstance(found, Accepted)
        self.model.jobs[found].state = JobState.PENDING_HELD

    async def twice(self, number: int) -> None:
        """One of two mails, that may have come before."""
        which = number % 2
        earlier = self.model.came.get(which, 0)
        again = earlier and self.model.jobs[earlier].state not in (JobState.ABORTED, JobState.CANCELED)
        found = await self.bring(recipient("phaser"), content=b"twice", header_message_id=f"<{which}@example.com>")
        assert isinstance(found, Accepted)
        assert (found == earlier, found.earlier) == (bool(again), bool(again))
        self.model.came[which] = found

    async def limited(self, number: int) -> None:
        sender = ADA if number % 3 == 0 else ""
        full = len(self.model.taken) == LIMITS.jobs or (sender and self.model.taken.count(ADA) == LIMITS.sender_jobs)
        found = await self.bring(replace(recipient("phaser"), limits=LIMITS), proved=sender)
        assert isinstance(found, Failure) == bool(full), found
        if not full:
            self.model.taken.append(sender)

    async def by_a_token(self, number: int) -> None:
        full = self.model.by_token == BY_TOKEN or self.model.revoked
        found = await self.bring(self.by_token)
        assert isinstance(found, Failure) == full, found
        self.model.by_token += not full

    async def revoke(self) -> None:
        assert await self.appliance.revoke_capability(self.by_token.capability, "ada") != self.model.revoked
        self.model.revoked = True

    async def bring(self, to: Recipient, **said: Any) -> Accepted | Failure:
        try:
            (found,) = await receive(self.appliance, to, **said)
        except Failure as failure:
            return failure
        assert isinstance(found, Accepted)
        if not found.earlier:
            self.messages += 1
            self.model.jobs[found] = Known(self.messages, "phaser", answerable=False)
        return found

    async def part(self, number: int) -> None:
        """The next one of a mail of two parts, or one of them once more; with the second it is put together."""
        begun = [job_id for job_id, job in self.model.jobs.items() if job.parts]
        again = bool(begun) and number % 3 == 0
        split = await bring_part(self.appliance, 1 if again or not begun else 2, 2, content=b"")
        if not begun:
            self.messages += 1
            self.model.gone.add(self.messages)  # nothing of it is there but parts
            self.model.jobs[split.job_id] = Known(self.messages, "phaser", False, JobState.PENDING_HELD, parts=1)
        elif not again:
            draft = await self.appliance.draft(5)
            draft.write(b"whole")
            assert await self.bridge.hold(split.job_id, "ada") is False
            whole = said_by(ADA, 0, content=b"")
            assert await self.appliance.put_together(split.job_id, draft, whole, recipient("phaser"))
            self.messages += 1
            self.model.jobs[split.job_id] = Known(self.messages, "phaser", answerable=False)
        assert split.complete == (bool(begun) and not again)

    async def give_up(self, job_id: int) -> None:
        job = self.model.jobs[job_id]
        may = bool(job.parts)
        assert await self.appliance.give_up_split(job_id, ["aborted-by-system"], "incomplete") == may
        if may:
            job.parts = 0
            assert self.model.may(job_id, Event.ABORT)

    async def hold_for_limit(self, job_id: int) -> None:
        may = self.model.jobs[job_id].state is JobState.PENDING  # what is processing here is past instant 3
        assert await self.bridge.hold_for_limit(job_id, "too many pages") == may
        if may:
            self.model.jobs[job_id].state = JobState.PENDING_HELD

    async def send(self, job_id: int) -> None:
        job = self.model.jobs[job_id]
        may = job.state in (JobState.PENDING, JobState.PROCESSING)
        assert await self.bridge.sending(self.lease, job_id, 0) == may
        if may:
            job.state = JobState.PROCESSING

    async def stop(self, job_id: int) -> None:
        await self.move(job_id, Event.STOP)

    async def resume(self, job_id: int) -> None:
        await self.move(job_id, Event.RESUME)

    async def release(self, job_id: int) -> None:
        await self.move(job_id, Event.RELEASE)

    async def doubt(self, job_id: int) -> None:
        await self.move(job_id, Event.DOUBT)

    async def move(self, job_id: int, event: Event) -> None:
        if self.model.jobs[job_id].state is JobState.PENDING and event is Event.RELEASE:
            return  # nothing is let go
        may = self.model.may(job_id, event)
        assert await self.bridge.move(self.lease, job_id, event, reasons=REASONS[event], detail="so it is") == may

    async def complete(self, job_id: int) -> None:
        await self.end(job_id, Event.COMPLETE, "job-completed-successfully")

    async def abort(self, job_id: int) -> None:
        await self.end(job_id, Event.ABORT, "aborted-by-system")

    async def end(self, job_id: int, event: Event, reason: str) -> None:
        may = self.model.may(job_id, event)
        proof = DeliveryProof.NONE
        assert await self.bridge.end(self.lease, job_id, event, reasons=[reason], proof=proof) == may

    async def cancel(self, job_id: int) -> None:
        assert await self.appliance.cancel(job_id, "ada") == self.model.may(job_id, Event.CANCEL)

    async def hold(self, job_id: int) -> None:
        assert await self.appliance.hold(job_id, "ada") == self.model.may(job_id, Event.HOLD)

    async def unhold(self, job_id: int) -> None:
        if self.model.jobs[job_id].parts:
            with pytest.raises(PermanentFailure):
                await self.appliance.unhold(job_id, "ada")
            return
        assert await self.appliance.unhold(job_id, "ada") == self.model.may(job_id, Event.UNHOLD)

    async def count_as_printed(self, job_id: int) -> None:
        may = self.model.jobs[job_id].doubt and self.model.may(job_id, Event.COMPLETE)
        assert await self.appliance.decide(job_id, "ada", printed=True) == may

    async def reprint(self, job_id: int) -> None:
        may = self.model.jobs[job_id].doubt and self.model.may(job_id, Event.REPRINT)
        assert await self.appliance.decide(job_id, "ada", printed=False) == may

    async def go_on(self, job_id: int) -> None:
        await self.bridge.set_progress(job_id, Progress(document=1, octets=0, octets_total=1))
        ended = self.model.jobs[job_id].state.ended
        assert (await self.bridge.progress(job_id) is None) <= ended  # committed, so that the appliance sees it
        may = self.model.jobs[job_id].doubt and self.model.may(job_id, Event.REPRINT)
        assert await self.appliance.decide(job_id, "ada", printed=False, resume=True) == may

    async def move_away(self, job_id: int) -> None:
        job = self.model.jobs[job_id]
        there = {"phaser": "polls", "polls": "phaser"}[job.printer]
        may = job.doubt or (job.state in (JobState.PENDING, JobState.PENDING_HELD) and not job.parts)
        to = replace(recipient(there), hold=list(Hold)[job_id % 3])
        assert await self.appliance.move_job(job_id, to, "ada") == may
        if may:
            assert not job.doubt or self.model.may(job_id, Event.REPRINT)
            assert not await self.bridge.claim(self.lease, job_id, ["job-transforming"], printer=job.printer)
            job.printer = there

    async def expire(self, job_id: int) -> None:
        """All of its printer that nobody sends and no parts are missing of; or all that are held there."""
        held, printer = job_id % 2, self.model.jobs[job_id].printer
        over = [
            number
            for number, job in sorted(self.model.jobs.items())
            if job.printer == printer
            and not job.parts
            and (job.state is JobState.PENDING_HELD if held else job.doubt or job.state is JobState.PENDING)
        ]
        far = time.time() + 100
        found = await self.appliance.expire_jobs(printer, received=far * (1 - held), held=far * held)
        assert found == len(over)
        assert all(self.model.may(number, Event.ABORT) for number in over)

    async def again(self, job_id: int) -> None:
        job = self.model.jobs[job_id]
        if job.state.ended and job.message not in self.model.gone:
            new = await self.appliance.print_again(job_id, "ada")
            assert new > max([*self.model.jobs, *self.model.mails])
            self.model.jobs[new] = Known(job.message, job.printer, job.answerable)
        else:
            with pytest.raises(PermanentFailure):
                await self.appliance.print_again(job_id, "ada")

    async def fetch(self) -> None:
        maildrop = await self.appliance.open_maildrop("polls", "session", 60)
        assert maildrop is not None
        waits = [number for number, job in self.model.jobs.items() if (job.printer, job.state) == ("polls", "pending")]
        assert [entry.job_id for entry in maildrop.entries] == sorted(waits)
        await maildrop.update(maildrop.entries)
        for number in sorted(waits):
            self.model.jobs[number].state = JobState.PROCESSING
            assert self.model.may(number, Event.COMPLETE)

    async def read(self) -> None:
        maildrop = await self.appliance.open_maildrop(PERSON, "session", 60)
        assert maildrop is not None
        assert [entry.job_id for entry in maildrop.entries] == sorted(self.model.mails)
        await maildrop.update(maildrop.entries[:1])
        for entry in maildrop.entries[:1]:
            del self.model.mails[entry.job_id]

    async def sweep(self) -> None:
        going = set(range(1, self.messages + 1)) - self.model.needed() - self.model.gone
        assert await self.appliance.sweep(time.time() + KEEP + 1) == len(going)
        self.model.gone |= going

    async def break_lease(self) -> None:
        """The holder dies: what it was sending is in doubt, all of it past instant 3."""
        await self.bridge.release(self.lease)
        for number, job in sorted(self.model.jobs.items()):
            if job.state is JobState.PROCESSING or (job.state is JobState.PROCESSING_STOPPED and not job.doubt):
                assert self.model.may(number, Event.DOUBT)
        self.lease = await held(self.bridge)

    async def check(self) -> None:
        usage, by_ada = await self.appliance.usage("phaser"), await self.appliance.usage("phaser", ADA)
        assert (usage.jobs, by_ada.jobs) == (len(self.model.taken), self.model.taken.count(ADA))
        capability = await self.appliance.capability(TOKEN)
        assert capability is not None
        assert capability.jobs == self.model.by_token
        jobs = await self.appliance.jobs()
        assert {job.id: job.state for job in jobs} == {number: job.state for number, job in self.model.jobs.items()}
        told = [(each.occasion, each.job_id) for each in await self.appliance.occurrences(1000)]
        by_occasion = defaultdict[Occasion, list[int]](list)
        for occasion, job_id in told:
            by_occasion[occasion].append(job_id)
        for occasion in (Occasion.COMPLETED, Occasion.ABORTED, Occasion.UNCERTAIN):
            wanted = [job_id for known, job_id in self.model.happened if known is occasion]
            assert sorted(by_occasion[occasion]) == sorted(wanted)
        for job in jobs:
            kept = await self.appliance.kept_until(job.id)
            assert (kept > 0) == (job.state.ended and self.model.jobs[job.id].message not in self.model.gone)
        waiting = {each.printer: sum(each.states.values()) for each in await self.appliance.waiting()}
        counted = dict.fromkeys(waiting, 0)
        for known in self.model.jobs.values():
            counted[known.printer] += not known.state.ended
        assert waiting == counted
        codes = [job.release_code for job in jobs if job.release_code]
        assert len(set(codes)) == len(codes)
        for job in jobs:
            assert not job.release_code or job.state is JobState.PENDING_HELD
            assert not job.release_code or await self.bridge.job_by_code(job.release_code) == job


STEPS = [
    *("receive", "receive", "send", "send", "stop", "resume", "release", "doubt", "complete", "abort"),
    *("cancel", "hold", "unhold", "count_as_printed", "reprint", "again", "again", "fetch", "read", "sweep"),
    *("break_lease", "twice", "twice", "limited", "limited", "by_a_token", "part", "part", "give_up"),
    *("hold_for_limit", "revoke", "receive_held", "move_away", "move_away", "go_on", "expire"),
]


async def run(engine: str, folder: Path, steps: Sequence[tuple[str, int]]) -> None:
    async with aclosing(ENGINES[engine](folder)) as engines:  # type: ignore[type-var]
        async for opened in engines:
            appliance, bridge = await opened(keep=KEEP), await opened(Role.BRIDGE, keep=KEEP)
            made = await appliance.add_capability("phaser", TOKEN, made_by="ada", max_jobs=BY_TOKEN)
            running = Run(appliance, bridge, await held(bridge), made.id)
            for name, number in steps:
                await running.step(name, number)
            await running.check()


@pytest.mark.slow
@pytest.mark.parametrize("engine", sorted(ENGINES))
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 30)), min_size=10, max_size=60))
def test_any_life_of_jobs_is_as_the_table_says(engine: str, steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(engine, Path(folder), steps))
