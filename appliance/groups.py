"""Groups of printers: what a group must be among the other entries, which no entry can say by itself.

Security: a group lets people print on its members by rules of its own.  So whoever puts a printer into a group must be
one who may set that printer's own rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import structlog

from appliance.rights import Act, demand
from mailstore.address import canonical, split_subaddress
from mailstore.directory.contract import Directory
from mailstore.directory.records import Person, Printer
from mailstore.failure import PermanentFailure
from mailstore.job import Job

log = structlog.get_logger()


async def members(directory: Directory, printer: Printer) -> tuple[Printer, ...]:
    """What prints: the printer itself, or those of the group that there are.  Raises `TransientFailure`."""
    if not printer.is_group:
        return (printer,)
    found = []
    for name in printer.members:
        member = await directory.printer(name)
        if member is None or member.is_group:
            log.warning("group names what is no printer", group=printer.name, member=name)
        else:
            found.append(member)
    return tuple(found)


def check(person: Person, group: Printer, before: Collection[str], printers: Sequence[Printer]) -> None:
    """Whether `person` may make `group` what it is; `before` were its members until now, `printers` are all entries.

    Raises `PermanentFailure` ("5.5.4") for a member that is no printer, `NotAllowed` for one that is not his to add.
    """
    known = {printer.name: printer for printer in printers}
    for name in group.members:
        member = known.get(name)
        if member is None:
            raise PermanentFailure("5.5.4", f"{name} is no printer, and cannot be a member: printpost printer list")
        if member.is_group:
            raise PermanentFailure("5.5.4", f"{name} is a group, and cannot be a member: name its printers")
        if name not in before:
            demand(person, Act.SET, member)
    for other in containing(group.name, printers):
        raise PermanentFailure("5.5.4", f"{group.name} is a member of {other.name}: choose another name for the group")


def containing(name: str, printers: Sequence[Printer]) -> Iterator[Printer]:
    """The groups that the printer is in."""
    return (one for one in printers if name in one.members)


def came_by(job: Job, group: Printer) -> bool:
    """Whether the job was sent to the group."""
    return split_subaddress(canonical(job.recipient))[0] in group.addresses


def check_kind(before: Printer, after: Printer) -> None:
    """A printer's jobs lie in its maildrop, and a group has none.  Raises `PermanentFailure` ("5.5.4")."""
    if before.is_group == after.is_group:
        return
    why = "a group and needs a member" if before.is_group else "a printer and cannot become a group"
    raise PermanentFailure("5.5.4", f"{before.name} is {why}: remove it, and add another by this name")


def check_unused(name: str, printers: Sequence[Printer]) -> None:
    """Raises `PermanentFailure` ("5.5.1") if the printer is in a group: what is left of it might be nothing."""
    for group in containing(name, printers):
        rest = [member for member in group.members if member != name]
        named = " ".join(f"--member {member}" for member in rest)
        first = f"printpost printer set {group.name} {named}" if rest else f"printpost printer remove {group.name}"
        raise PermanentFailure("5.5.1", f"{name} is a member of {group.name}; take it out first: {first}")


def demand_printer(printer: Printer, what: str) -> None:
    """Raises `PermanentFailure` ("5.5.1") if it is a group, which has not what a printer has."""
    if printer.is_group:
        members = ", ".join(printer.members[:5]) + (" and others" if len(printer.members) > 5 else "")
        raise PermanentFailure("5.5.1", f"{printer.name} is a group and {what}: do this with a member, {members}")
