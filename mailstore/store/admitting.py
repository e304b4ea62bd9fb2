"""What instant 1 asks before it takes a mail for printers, and what it remembers then: all in the one transaction.

Whatever refuses comes before the first row is written, so that a refusal undoes nothing of others.
"""

from __future__ import annotations

from collections.abc import Sequence

from mailstore.directory.records import NO_LIMITS
from mailstore.failure import PermanentFailure
from mailstore.store import capabilities, counting, seen, tracing
from mailstore.store.admission import DUPLICATE_SECONDS, SIGNATURE_SECONDS, Accepted
from mailstore.store.arriving import Envelope, Recipient
from mailstore.store.committer import Rows
from mailstore.store.listing import is_of_printer


class Admission:
    """One mail at the door.  `fresh` are those who get it, `printers` the printers among these, each once; `jobs` says
    by printer which job is its: at first those that this very mail made before."""

    __slots__ = ("_envelope", "_mails", "_now", "_octets", "_rows", "fresh", "jobs", "printers")

    def __init__(
        self, rows: Rows, envelope: Envelope, recipients: Sequence[Recipient], octets: int, now: float
    ) -> None:
        self._rows = rows
        self._envelope = envelope
        self._octets = octets
        self._now = now
        self._mails: dict[str, bytes] = {}
        self.fresh: list[Recipient] = []
        self.printers: list[Recipient] = []
        self.jobs: dict[str, Accepted] = {}
        for recipient in recipients:
            name = recipient.maildrop
            if not is_of_printer(name):
                self.fresh.append(recipient)
            elif name not in self._mails:  # a group and its member may be the same printer
                self._look(recipient)

    def _look(self, recipient: Recipient) -> None:
        name = recipient.maildrop
        mail = self._mails[name] = seen.of_mail(self._envelope, name)
        if mail and (job_id := seen.job_of(self._rows, mail, self._now)):
            told = f"the same mail came again, from {self._envelope.client_ip}, and makes no other job"
            tracing.note_once(self._rows, job_id, told, self._now)
            self.jobs[name] = Accepted(job_id)
            self.jobs[name].earlier = True
        else:
            self.fresh.append(recipient)
            self.printers.append(recipient)

    def check(self, *, count: int = 1) -> None:
        """Raises as `Store.accept` does.  `count` jobs are made on each printer; 0 of a further part of one."""
        for capability in self._capabilities():
            capabilities.check(self._rows, capability, self._now, jobs=count)
        self.check_signatures()
        for recipient in self.printers:
            limits = recipient.limits
            if limits is not NO_LIMITS:
                sender = self._envelope.proved
                counting.check(self._rows, recipient.maildrop, sender, limits, count, self._octets, self._now)

    def check_signatures(self) -> None:
        for recipient in self.printers if self._envelope.signatures else ():
            for signature in seen.of_signatures(self._envelope, recipient.maildrop):
                if seen.was_seen(self._rows, signature, self._now):
                    raise PermanentFailure(
                        "5.7.1",
                        "a mail with this DKIM signature came before, and each counts once; send a new mail",
                    )

    def took(self, *, count: int = 1) -> None:
        """The mail is in: remember it, and count it."""
        for capability in self._capabilities() if count else ():
            capabilities.use(self._rows, capability, jobs=count)
        for recipient in self.printers:
            name, job_id = recipient.maildrop, self.jobs[recipient.maildrop]
            if mail := self._mails[name]:
                seen.remember(self._rows, mail, job_id, self._now + DUPLICATE_SECONDS)
            if recipient.limits is not NO_LIMITS:
                sender = self._envelope.proved
                counting.add(self._rows, name, sender, recipient.limits, self._now, jobs=count, octets=self._octets)
        if self._envelope.signatures:
            self.remember_signatures()

    def remember_signatures(self) -> None:
        for recipient in self.printers:
            for signature in seen.of_signatures(self._envelope, recipient.maildrop):
                job_id = self.jobs[recipient.maildrop]
                seen.remember(self._rows, signature, job_id, self._now + SIGNATURE_SECONDS)

    def _capabilities(self) -> set[int]:
        """Each once: a mail to a group that came by one is one job of it, however many members print it."""
        return {recipient.capability for recipient in self.printers if recipient.capability}
