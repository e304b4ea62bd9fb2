"""A recipient as a value: as it was asked for, and as it was accepted.

Security: `address` is a stranger's spelling that the grammar let through; everything else is the directory's word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance import policy, trace
from appliance.smtp.reply import Reply
from mailstore.directory.records import Person, Printer
from mailstore.parameters import RcptParameters
from mailstore.store.contract import Recipient


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A recipient that was accepted: one printer, or people."""

    address: str  # as given
    key: str  # canonical, by which the same recipient is known again
    trust: policy.Trust
    said: RcptParameters
    printer: Printer | None = None
    people: tuple[Person, ...] = ()
    postmaster: bool = False

    @property
    def quota(self) -> int:
        """Octets that its mailbox has in all, the smallest if there are several."""
        return self.printer.quota if self.printer else min(person.quota for person in self.people)

    def maildrops(self, reverse_path: str) -> list[Recipient]:
        fields = trace.return_path(reverse_path) + trace.delivered_to(self.address)
        owners = [(person.maildrop, person.quota) for person in self.people]
        if self.printer is not None:
            owners = [(self.printer.name, self.printer.quota)]
        polls = self.printer is not None and not self.printer.drained_by_bridge
        return [
            Recipient(
                maildrop=maildrop,
                address=self.address,
                quota=quota,
                fields=fields,
                reason="job-fetchable" if polls else "job-queued",
                notify=self.said.notify,
                orcpt=self.said.orcpt,
            )
            for maildrop, quota in owners
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What RCPT asks for, after the grammar and the domain were found right."""

    address: str
    key: str
    sender: str  # the reverse-path
    declared: int  # SIZE, 0 if none
    said: RcptParameters


TOO_OFTEN: Final = Reply(
    code=450, status="4.7.1", text="too many messages to the postmaster, come again later", reason="rate-limited"
)
