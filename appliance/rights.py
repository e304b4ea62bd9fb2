"""Who may do what at the page, by the API and for a job of his own.

PhaserLink's three roles are addresses in a printer's entry: a SysAdmin sets it up, a Service person and a Key User keep
it going.  Whoever has a login and none of these sees how printers fare and has his own jobs in hand.

Security: a role is an address, and a login has only the addresses that the directory gives it; a sender that somebody
merely claimed makes a job nobody's own but lets the one who is named there see and stop it.  To release a job is more
than to stop it, for paper comes out.  Who was proved as its sender was told its code and could use it at the release
page, so his login may as well; a limit of pages is not his to pass, nor a printer whose people look at each job.
"""

from __future__ import annotations

from enum import StrEnum

from mailstore.address import canonical
from mailstore.directory.records import Person, Printer
from mailstore.failure import PermanentFailure
from mailstore.job import Job, JobState


class Act(StrEnum):
    """What somebody may want to do with a printer."""

    SEE = "see how it fares"
    OPERATE = "operate it"  # pause and resume, accept and refuse, test page, everybody's jobs
    SET = "change its settings"
    MANAGE = "add and remove printers and people"


class NotAllowed(PermanentFailure):
    """Somebody is logged in who may not do this; the text says who may."""

    def __init__(self, text: str) -> None:
        super().__init__("5.7.1", text)


def may(person: Person, act: Act, printer: Printer | None = None) -> bool:
    """Whether `person` may do this to `printer`; None stands for what is no single printer's."""
    if person.administrator or act is Act.SEE:
        return True
    if printer is None or act is Act.MANAGE:
        return False
    has = set(person.addresses).intersection
    if has(printer.sysadmin):
        return True
    return act is Act.OPERATE and bool(has(printer.service_person) or has(printer.key_user))


def own(person: Person, job: Job) -> bool:
    """Whether the job is this person's: he sent it under his login, or it came in his name."""
    return job.login == person.name if job.login else canonical(job.sender) in map(canonical, person.addresses)


def may_have(person: Person, job: Job, printer: Printer | None) -> bool:
    """Whether `person` may see the job, stop it and print it again; None: its printer is gone."""
    return own(person, job) or may(person, Act.OPERATE, printer)


def may_release(person: Person, job: Job, printer: Printer | None) -> bool:
    """Whether `person` may let the job go on if it is held: who operates its printer, and whom its code was told."""
    if may(person, Act.OPERATE, printer):
        return True
    told = own(person, job) and bool(job.login or job.answerable) and bool(job.release_code)
    return told and job.state is JobState.PENDING_HELD and "account-limit-reached" not in job.reasons


def demand(person: Person, act: Act, printer: Printer | None = None) -> None:
    """Raises `NotAllowed`."""
    if not may(person, act, printer):
        whom = "an administrator" if printer is None else f"an administrator or a person of {printer.name}'s entry"
        raise NotAllowed(f"{person.name} may not {act.value}; ask {whom}")
