"""A recipient as a value: as it was asked for, and as it was accepted.

Security: `address` is a stranger's spelling that the grammar let through; everything else is the directory's word.  A
token stands in `key` alone, which is compared and neither shown, kept nor logged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from appliance.policy import Verdict
from appliance.smtp.reply import Reply
from mailstore.directory.records import NO_LIMITS, Hold, Person, Printer
from mailstore.parameters import RcptParameters
from mailstore.store.contract import Recipient
from mailstore.ticket import NO_TICKET, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A recipient that was accepted: a printer, a group of them, or people."""

    address: str  # as given, without a token
    key: str  # canonical, as given, by which the same recipient is known again
    said: RcptParameters
    printer: Printer | None = None  # or the group, by whose rules it was judged
    members: tuple[Printer, ...] = ()  # what prints: the printer itself, or those of the group
    verdict: Verdict | None = None  # of `printer`, as far as it has come
    options: Ticket = NO_TICKET
    capability: int = 0  # the number of the one that it came by
    people: tuple[Person, ...] = ()
    postmaster: bool = False

    @property
    def quota(self) -> int:
        """Octets that its mailbox has in all, the smallest if there are several."""
        return min(owner.quota for owner in self.owners)

    @property
    def owners(self) -> tuple[Printer | Person, ...]:
        """Of the maildrops that get it."""
        return (*self.members, *self.people)

    @property
    def limited_group(self) -> Printer | None:
        """The group that it is, if this has limits of its own."""
        printer = self.printer
        return printer if printer and printer.is_group and printer.limits != NO_LIMITS else None

    @property
    def open(self) -> bool:
        """Nobody can say yet whether it is accepted."""
        return self.verdict is not None and self.verdict.allowed is None

    @property
    def own_addresses(self) -> frozenset[str]:
        """What a mail to it must not have been delivered to before, nor come from."""
        if self.printer is None:
            return frozenset()
        return frozenset(address for printer in (self.printer, *self.members) for address in printer.addresses)


def maildrops(recipients: Iterable[Destination], fields: Callable[[Destination], bytes]) -> list[Recipient]:
    """Who gets the message, each once: one printer may be reached by several addresses and groups.

    `fields` are those that stand before what is kept.  Whether a job waits to be released each printer's own entry
    says, whichever group or capability it came by.
    """
    made: dict[str, Recipient] = {}
    for recipient in recipients:
        said, group = recipient.said, recipient.limited_group
        for owner in recipient.owners:
            polls = isinstance(owner, Printer) and not owner.drained_by_bridge
            name = owner.name if isinstance(owner, Printer) else owner.maildrop
            if name not in made:
                made[name] = Recipient(
                    maildrop=name,
                    address=recipient.address,
                    quota=owner.quota,
                    fields=fields(recipient),
                    reason="job-fetchable" if polls else "job-queued",
                    notify=said.notify,
                    orcpt=said.orcpt,
                    limits=owner.limits if isinstance(owner, Printer) else NO_LIMITS,
                    group=group.name if group else "",
                    group_limits=group.limits if group else NO_LIMITS,
                    capability=recipient.capability,
                    hold=owner.hold if isinstance(owner, Printer) else Hold.NONE,
                )
    return list(made.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What RCPT asks for, after the grammar and the domain were found right."""

    address: str
    key: str
    declared: int  # SIZE, 0 if none
    said: RcptParameters


TOO_OFTEN: Final = Reply(
    code=450, status="4.7.1", text="too many messages to the postmaster, come again later", reason="rate-limited"
)
