"""The desk: what somebody who is logged in sees and does, the same for the page and the API.

Every call begins with who wants it.  Settings are written to the directory in our turn and announced to every process;
wishes go to the store, which the bridge obeys.

Security: rights are asked here and nowhere else, so no page and no route can forget them.  What somebody may not see
is told like what is not there.
"""

from __future__ import annotations

import dataclasses
import secrets
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance import groups, job_file, policy, testpage
from appliance.job_file import JobFile
from appliance.peer import Network
from appliance.recalled import judged_again
from appliance.rights import Act, NotAllowed, demand, may, may_have, may_release, own
from appliance.supposing import Answer, Supposed, answer
from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.entry import checked
from mailstore.directory.records import Hold, Person, Printer
from mailstore.directory.turn import our_turn
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.job import Job, JobState
from mailstore.report import PrinterReport
from mailstore.store.contract import Envelope, PrinterState, Recipient, Store, Waiting

if TYPE_CHECKING:
    from appliance.mailauth import MailAuth  # asks name servers, which most commands do not

COMMAND_LINE = Person(name="the command line", addresses=(), administrator=True)
"""Whoever may read the data folder may do everything."""

_NOT_FETCHED = "has no password, for nothing fetches its mail"  # of a group
_OLD = 1000  # jobs looked through for somebody's own


class Missing(PermanentFailure):
    """There is no such printer or job, or it is none of his business."""

    def __init__(self, text: str) -> None:
        super().__init__("5.1.1", text)


class Conflict(PermanentFailure):
    """Somebody else changed the entry since it was read; `now` is how it is now."""

    def __init__(self, now: Printer | Person) -> None:
        super().__init__("5.5.4", f"somebody else changed {now.name} meanwhile; look at it again, nothing was saved")
        self.now = now


class TooLate(PermanentFailure):
    """The job is no longer in a state in which this can be done."""

    def __init__(self, text: str) -> None:
        super().__init__("5.5.1", text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A printer: its settings, how it fares, what waits."""

    printer: Printer
    state: PrinterState
    waiting: Waiting | None
    report: PrinterReport | None = None  # what it said of itself, where that was asked for

    @property
    def jobs_waiting(self) -> int:
        return sum(self.waiting.states.values()) if self.waiting else 0

    @property
    def condition(self) -> str:
        """`printer-state` of RFC 8011 section 5.4.11: idle, processing or stopped."""
        busy = self.waiting is not None and self.waiting.states.get(JobState.PROCESSING, 0) > 0
        if self.state.paused:
            return "stopped"
        return "processing" if self.state.state == "idle" and busy else self.state.state


Changes = Mapping[str, Any] | Callable[[Printer], Mapping[str, Any]]


class Desk:
    """Every call may raise `NotAllowed`, `Missing`, another `PermanentFailure`, or `TransientFailure`."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        directory: Directory,
        people: People | None = None,
        mailauth: MailAuth | None = None,
    ) -> None:
        """`people` and `mailauth` are asked about those who send; without them nothing is known of them."""
        self._settings = settings
        self._store = store
        self._directory = directory
        self._people = people
        self._mailauth = mailauth

    # -- seeing

    async def printers(self, person: Person, *, reports: bool = False) -> Sequence[Standing]:
        """All printers, by name; with what they say of themselves if `reports`."""
        demand(person, Act.SEE)
        told = {report.printer: report for report in await self._store.reports()} if reports else {}
        waiting = {row.printer: row for row in await self._store.waiting()}
        states = {state.printer: state for state in await self._store.printer_states()}
        return [
            Standing(
                printer=printer,
                state=states.get(printer.name, PrinterState(printer=printer.name)),
                waiting=waiting.get(printer.name),
                report=told.get(printer.name) if printer.reports else None,
            )
            for printer in await self._directory.printers()
        ]

    async def printer(self, person: Person, name: str) -> Standing:
        demand(person, Act.SEE)
        printer = await self._existing(name)
        waiting = next((row for row in await self._store.waiting() if row.printer == printer.name), None)
        return Standing(
            printer=printer,
            state=await self._store.printer_state(printer.name),
            waiting=waiting,
            report=await self._store.report(printer.name) if printer.reports else None,
        )

    async def jobs(
        self, person: Person, printer: str = "", limit: int = 100, *, states: Collection[str] = (), before: int = 0
    ) -> Sequence[Job]:
        """The newest jobs that he may see, newest first; `before`: only those with a smaller number.

        For whoever sees only some of them `_OLD` jobs are looked through; for a group so many of its printers together,
        and those are told that came by one of its addresses.
        """
        entry = await self._existing(printer) if printer else None
        names = (entry.members or (entry.name,)) if entry else ("",)
        everybodys = may(person, Act.OPERATE, entry) and not (entry and entry.is_group)
        most = limit if everybodys else -(-_OLD // len(names))
        found: list[Job] = []
        for name in names:
            found += await self._store.jobs(printer=name, states=states, limit=most, before=before)
        if entry and entry.is_group:
            found = sorted((job for job in found if groups.came_by(job, entry)), key=lambda job: -job.id)
        if not everybodys:
            entries = await self._entries()
            found = [job for job in found if may_have(person, job, entries.get(job.printer))]
        return found[:limit]

    async def job(self, person: Person, number: int) -> JobFile:
        job, printer = await self._job(person, number)
        operated = may(person, Act.OPERATE, printer)
        shown = await job_file.pictures(self._store, job, printer)
        return await job_file.read(self._store, job, shown, printer, own=own(person, job), operated=operated)

    async def picture(self, person: Person, number: int, document: int, page: int) -> bytes:
        """Of a page of a document of a job, as PNG."""
        job, printer = await self._job(person, number)
        shown = (document, page) in await job_file.pictures(self._store, job, printer)
        png = await self._store.thumbnail(number, document, page) if shown else None
        if png is None:
            raise Missing(f"there is no picture of page {page} of document {document} of job {number}")
        return png

    async def try_sender(
        self, person: Person, name: str, supposed: Supposed, *, remedy: str = "the rule {} would allow it"
    ) -> Answer:
        """What the door would say to such a mail, in one sentence; by the function that the door asks.

        `remedy` says how a rule that would help is given.
        """
        printer = await self._existing(name)
        demand(person, Act.OPERATE, printer)
        return await answer(
            supposed,
            printer,
            await groups.members(self._directory, printer),
            networks=self._insiders,
            behind=self._settings.smtp.behind,
            people=self._people,
            mailauth=self._mailauth,
            remedy=remedy,
        )

    # -- settings

    async def add(self, person: Person, printer: Printer, password: str | None = None) -> Printer:
        """Make a printer; returns it as it is stored."""
        demand(person, Act.MANAGE)
        _check_rules(printer)
        made = checked(printer)
        if password is not None:
            groups.demand_printer(made, _NOT_FETCHED)
        async with our_turn(self._settings.store.folder):
            await self._check_members(person, made)
            await self._directory.add(made, password)
            await self._store.changed()
        return made

    async def change(self, person: Person, name: str, seen: str, changes: Changes) -> Printer:
        """Change settings of a printer of which `person` has seen the revision `seen` ("": whichever).

        `changes` are fields of a `Printer`, or what makes them of the entry as it is.  Raises `Conflict` if it is
        another revision now.  Returns the printer as it is stored.
        """
        await self._settable(person, name)  # who may not does not even make others wait
        async with our_turn(self._settings.store.folder):
            self._directory.forget()  # what is remembered may be a minute old
            printer = await self._settable(person, name)
            if seen and seen != printer.revision:
                raise Conflict(printer)
            fields = changes(printer) if callable(changes) else changes
            changed = dataclasses.replace(printer, **fields)
            groups.check_kind(printer, changed)
            changed = checked(changed)
            _check_rules(changed)
            await self._check_members(person, changed, printer.members)
            if changed != printer:
                await self._directory.replace(changed)
                await self._store.changed()
        return changed

    async def remove(self, person: Person, name: str) -> None:
        """Take a printer away; jobs that wait for it are canceled.  Ends a removal that was broken off, too."""
        demand(person, Act.MANAGE)
        name = name.lower()
        async with our_turn(self._settings.store.folder):
            left = any(row.messages for row in await self._store.waiting() if row.printer == name)
            if not left or await self._directory.printer(name):
                groups.check_unused(name, await self._directory.printers())
                await self._directory.remove((await self._existing(name)).name)
            await self._store.changed()  # before the jobs go: from now on nobody takes mail for it
            await self._store.forget_printer(name)

    async def new_password(self, person: Person, name: str, password: str = "") -> str:
        """Give a printer that polls a password, made up if none is given; returns it this once."""
        password = password or secrets.token_urlsafe(12)
        await self._settable(person, name)
        async with our_turn(self._settings.store.folder):
            printer = await self._settable(person, name)
            groups.demand_printer(printer, _NOT_FETCHED)
            if printer.drained_by_bridge:
                text = f"{printer.name} has a device address and does not poll: it needs no password"
                raise PermanentFailure("5.5.1", text)
            await self._directory.set_password(printer.name, password)
            await self._store.changed()
        return password

    # -- operating

    async def set_paused(self, person: Person, name: str, paused: bool) -> None:
        await self._store.set_paused((await self._operated(person, name, "has nothing waiting")).name, paused)

    async def set_accepting(self, person: Person, name: str, accepting: bool) -> None:
        await self._store.set_accepting(
            (await self._operated(person, name, "takes what its members take")).name, accepting
        )

    async def test_page(self, person: Person, name: str) -> int:
        """A page about the printer, through its maildrop like any job; returns the job's number."""
        printer = await self._operated(person, name, "prints nothing itself")
        now = time.time()
        message = testpage.message(printer, self._settings, asked_by=person.name, at=now)
        draft = await self._store.draft(len(message))
        try:
            draft.write(message)
            envelope = Envelope(
                reverse_path="",
                client_ip="127.0.0.1",
                helo=self._settings.site.hostname,
                trust=policy.Trust.INSIDER,
                login="" if person is COMMAND_LINE else person.name,
                name=testpage.SUBJECT,
                documents=1,
            )
            recipient = Recipient(
                maildrop=printer.name,
                address=printer.addresses[0],
                quota=printer.quota,
                fields=b"Return-Path: <>\r\n",
                reason="job-queued" if printer.drained_by_bridge else "job-fetchable",
                waived=True,
            )
            return (await self._store.accept(draft, envelope, [recipient]))[0]
        finally:
            await draft.discard()

    async def cancel(self, person: Person, number: int) -> None:
        await self._job(person, number)
        await self._wish(self._store.cancel(number, person.name), number, "it has ended")

    async def hold(self, person: Person, number: int) -> None:
        _, printer = await self._job(person, number)
        if not may(person, Act.OPERATE, printer):
            raise NotAllowed(f"{person.name} may stop this job, not hold it")
        await self._wish(self._store.hold(number, person.name), number, "only a job that waits can be held")

    async def unhold(self, person: Person, number: int) -> None:
        job, printer = await self._job(person, number)
        if not may_release(person, job, printer):
            raise NotAllowed(f"{person.name} may stop this job, not release it; ask whoever runs {job.printer}")
        await self._wish(self._store.unhold(number, person.name), number, "it is not held")

    async def decide(self, person: Person, number: int, *, printed: bool, resume: bool = False) -> None:
        """Of a job in doubt: it counts as printed, or prints again under a banner; `resume`: only what is left."""
        await self._job(person, number)
        decided = self._store.decide(number, person.name, printed=printed, resume=resume)
        await self._wish(decided, number, "it is not in doubt" + ", or the printer confirmed nothing of it" * resume)

    async def print_again(self, person: Person, number: int) -> int:
        """Returns the new job's number."""
        job, _ = await self._job(person, number)
        printer = await self._existing(job.printer)
        if not may(person, Act.OPERATE, printer):  # the rules of today count for a sender, not those of the first time
            verdict = await judged_again(
                job,
                printer,
                person,
                store=self._store,
                directory=self._directory,
                people=self._people,
                networks=self._insiders,
            )
            if not verdict.allowed:
                raise NotAllowed(f"job {number} is not printed again: {verdict.sentence}")
            if printer.hold is Hold.ALL:  # somebody looks at each job there
                raise NotAllowed(f"whoever runs {printer.name} releases what it prints: ask there, or send it again")
        return await self._store.print_again(number, person.name)

    # -- what all of them need

    @property
    def _insiders(self) -> tuple[Network, ...]:
        return policy.insiders(self._settings.site.networks, self._settings.smtp.behind)

    async def _existing(self, name: str) -> Printer:
        printer = await self._directory.printer(name.lower())
        if printer is None:
            raise Missing(f"there is no printer {name[:100]!a}")
        return printer

    async def _entries(self) -> dict[str, Printer]:
        """All printers by name; none while nothing is known of them, so that everybody still has what is his own."""
        try:
            return {entry.name: entry for entry in await self._directory.printers()}
        except TransientFailure:
            return {}

    async def _operated(self, person: Person, name: str, group: str) -> Printer:
        """Raises `PermanentFailure` for a group, of which the words `group` say what it has not."""
        printer = await self._existing(name)
        demand(person, Act.OPERATE, printer)
        groups.demand_printer(printer, group)
        return printer

    async def _check_members(self, person: Person, group: Printer, before: Collection[str] = ()) -> None:
        """Raises as `groups.check`.  In our turn, so that no member goes meanwhile."""
        if group.is_group:
            self._directory.forget()
            groups.check(person, group, before, await self._directory.printers())

    async def _settable(self, person: Person, name: str) -> Printer:
        printer = await self._existing(name)
        demand(person, Act.SET, printer)
        return printer

    async def _job(self, person: Person, number: int) -> tuple[Job, Printer | None]:
        """The job, and its printer if there still is one that is known of."""
        job = await self._store.job(number) if 0 < number < 1 << 63 else None
        printer = None
        if job is not None:
            try:
                printer = await self._directory.printer(job.printer)
            except TransientFailure:
                if not may_have(person, job, None):
                    raise
        if job is None or not may_have(person, job, printer):
            raise Missing(f"there is no job {number}")
        return job, printer

    async def _wish(self, wish: Awaitable[bool], number: int, why: str) -> None:
        if not await wish:
            raise TooLate(f"job {number} stays as it is: {why}")


def _check_rules(printer: Printer) -> None:
    """Raises `PermanentFailure` ("5.5.4") for a rule that cannot be meant."""
    for rule in (*printer.allow, *printer.deny):
        policy.parse_rule(rule)
