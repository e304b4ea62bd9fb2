"""What instant 1 asks before it takes a mail for printers, and what it remembers then: all in the one transaction.

Whatever refuses comes before the first row is written, so that a refusal undoes nothing of others.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailstore.directory.records import NO_LIMITS, PrintLimits
from mailstore.failure import PermanentFailure
from mailstore.store import capabilities, counting, seen, tracing
from mailstore.store.admission import DUPLICATE_SECONDS, SIGNATURE_SECONDS, Accepted
from mailstore.store.arriving import Envelope, Recipient
from mailstore.store.committer import Rows
from mailstore.store.listing import is_of_printer


class Admission:
    """One mail at the door.  `fresh` are those who get it, `printers` the printers among these, each once; `jobs` says
    by printer which job is its: at first those that this very mail made before."""

    __slots__ = (
        *("_capabilities", "_envelope", "_limits", "_mails", "_now", "_octets", "_rows"),
        *("fresh", "jobs", "printers"),
    )

    def __init__(
        self, rows: Rows, envelope: Envelope, recipients: Sequence[Recipient], octets: int, now: float
    ) -> None:
        self._rows = rows
        self._envelope = envelope
        self._octets = octets
        self._now = now
        self._mails: dict[str, seen.Digest | None] = {}
        # Each once: a mail to a group is one job of it, and of a capability, however many members print it.
        self._capabilities: set[int] = set()
        self._limits: dict[str, PrintLimits] = {}
        self.fresh: list[Recipient] = []
        self.printers: list[Recipient] = []
        self.jobs: dict[str, Accepted] = {}
        for recipient in recipients:
            name = recipient.maildrop
            if not is_of_printer(name):
                self.fresh.append(recipient)
            elif name not in self._mails:  # a group and its member may be the same printer
                self._look(recipient, name)

    def _look(self, recipient: Recipient, name: str) -> None:
        mail = self._mails[name] = seen.of_mail(self._envelope, name)
        if mail and (job_id := seen.job_of(self._rows, mail, self._now)):
            told = f"the same mail came again, from {self._envelope.client_ip}, and makes no other job"
            tracing.note_once(self._rows, job_id, told, self._now)
            self.jobs[name] = Accepted(job_id)
            self.jobs[name].earlier = True
            return
        self.fresh.append(recipient)
        self.printers.append(recipient)
        if recipient.capability:
            self._capabilities.add(recipient.capability)
        if recipient.limits is not NO_LIMITS:
            self._limits[name] = recipient.limits
        if recipient.group:
            self._limits[recipient.group] = recipient.group_limits

    def check(self, *, count: int = 1) -> None:
        """Raises as `Store.accept` does.  `count` jobs are made on each printer; 0 of a further part of one."""
        for capability in self._capabilities:
            capabilities.check(self._rows, capability, self._now, jobs=count)
        if self._envelope.signatures:
            self.check_signatures()
        for name, limits in self._limits.items():
            counting.check(self._rows, name, self._envelope.proved, limits, count, self._octets, self._now)

    def check_signatures(self) -> None:
        for recipient in self.printers:
            for signature in seen.of_signatures(self._envelope.signatures, recipient.maildrop):
                if seen.was_seen(self._rows, signature, self._now):
                    raise PermanentFailure(
                        "5.7.1",
                        "a mail with this DKIM signature came before, and each counts once; send a new mail",
                    )

    def took(self, *, count: int = 1) -> None:
        """The mail is in: remember it, and count it."""
        rows, now = self._rows, self._now
        for capability in self._capabilities if count else ():
            capabilities.use(rows, capability, jobs=count)
        for recipient in self.printers:
            if mail := self._mails[recipient.maildrop]:
                seen.remember(rows, mail, self.jobs[recipient.maildrop], now + DUPLICATE_SECONDS)
        for name, limits in self._limits.items():
            counting.add(rows, name, self._envelope.proved, limits, now, jobs=count, octets=self._octets)
        self.remember_signatures()

    def remember_signatures(self) -> None:
        signatures = (*self._envelope.signatures, *self._envelope.also_signed)
        for recipient in self.printers if signatures else ():
            for signature in seen.of_signatures(signatures, recipient.maildrop):
                job_id = self.jobs[recipient.maildrop]
                seen.remember(self._rows, signature, job_id, self._now + SIGNATURE_SECONDS)
