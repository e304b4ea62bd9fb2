"""What a store must be able to do.  Every engine is held to `tests/contracts/store.py`.

All times are seconds since the epoch, all sizes octets as they go over the wire (CRLF, not dot-stuffed).  Order is the
job's number, never a clock.  Calls that write return when what they wrote is committed, grouped with what others write
at the same moment.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from mailstore.job import DeliveryProof, Event, Job
from mailstore.store.admission import Accepted, Admission
from mailstore.store.arriving import Draft as Draft
from mailstore.store.arriving import Envelope as Envelope
from mailstore.store.arriving import Recipient as Recipient
from mailstore.store.following import Following
from mailstore.store.opening import Role as Role
from mailstore.store.opening import StoreUnusable as StoreUnusable
from mailstore.store.outbox import Outbox, Sessions
from mailstore.store.papers import Papers
from mailstore.store.splitting import SplitMails
from mailstore.store.waits import Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Who sent mails as an insider by his address alone, without a login."""

    client_ip: str
    helo: str
    reverse_path: str
    messages: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A message in a maildrop."""

    job_id: int
    uid: str  # unique-id of RFC 1939 section 7: 1 to 70 characters of 0x21-0x7E, never used again
    size: int  # octets that RETR sends, before dots are stuffed: `fields`, and the message as POP3 may send it
    fields: bytes
    message_id: int
    smtputf8: bool = False  # the header may not be ASCII (RFC 6532)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The sole right to a resource until `expires`.  `token` only ever rises for a resource (a fencing token)."""

    resource: str  # "device:socket://192.0.2.7:9100" or "maildrop:phaser360"
    token: int
    expires: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PrinterState:
    """What the store knows of a printer; settings are the directory's."""

    printer: str
    paused: bool = False
    accepting: bool = True
    last_poll: float = 0.0  # last POP3 login
    poll_clear: bool = False  # its password came over the network in clear
    poll_gap: float = 0.0  # seconds between its logins of late, a running average; 0.0 until there were two
    state: str = "idle"  # RFC 8011 printer-state: idle, processing, stopped
    state_reasons: tuple[str, ...] = ()  # printer-state-reasons
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits in one maildrop, for gauges and pages."""

    printer: str
    states: Mapping[str, int]  # job-state of jobs that have not ended -> how many
    messages: int
    octets: int
    oldest: float  # received_at of the oldest job that has not ended, 0.0 if none
    last_completed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEvent:
    """A line of a job's trace."""

    at: float
    text: str


class LeaseLost(Exception):
    """Somebody else holds the resource now: stop at once, write nothing more."""


class Maildrop(Protocol):
    """A POP3 session's hold on a maildrop: a lease, and the entries as they were at its start (RFC 1939 section 4)."""

    @property
    def entries(self) -> Sequence[Entry]: ...

    def read(self, entry: Entry) -> AsyncIterator[bytes]:
        """The entry's octets, `fields` first, in blocks of at most 64 KiB; what is binary as base64 (RFC 6856)."""

    async def retrieving(self, entry: Entry) -> None:
        """The entry is going to the client: its job becomes `processing`.  Needs no sync."""

    async def renew(self) -> None:
        """Keep the lease.  Raises `LeaseLost`."""

    async def update(self, deleted: Collection[Entry]) -> None:
        """The UPDATE state: in one transaction the entries go and their jobs are `completed` with proof "fetched".

        Raises `LeaseLost` or `TransientFailure`, and then nothing was deleted.  Ends the session as `close` does.
        """

    async def close(self) -> None:
        """Let go without deleting: jobs that were `processing` are `pending` again.  May be called more than once."""


class Store(Admission, SplitMails, Papers, Following, Waits, Outbox, Sessions, Protocol):
    """Messages, maildrops, jobs, leases.  Any call may raise `TransientFailure` ("4.3.0") while the disk fails."""

    # -- taking in (appliance)

    async def draft(self, expected: int = 0) -> Draft:
        """Room for a message of about `expected` octets (0: unknown).

        Raises `TransientFailure` ("4.3.1") if free space would fall below the reserve.
        """

    async def accept(self, draft: Draft, envelope: Envelope, recipients: Sequence[Recipient]) -> Sequence[Accepted]:
        """Instant 1.  Returns the new jobs' numbers, in the order of `recipients`, once all is durable.

        What came within the hour before (`admission.DUPLICATE_SECONDS`) from the same reverse-path under the same
        Message-ID with the same `content` for the same printer, and has not ended aborted or canceled, makes no new
        job: the earlier one's number is returned.  It uses up no limit, and if no recipient is left nothing is kept.
        A printer that is named twice makes one job.  People's maildrops have none of this.

        Raises `TransientFailure` ("4.2.2") if any maildrop would exceed its quota, ("4.3.1") if the disk is full,
        ("4.7.1") if a limit of jobs or octets an hour would be passed, of the printer, or of the proved sender there;
        and `PermanentFailure` ("5.2.3") if a maildrop is smaller than the message, ("5.3.4") if it has more octets than
        are taken in an hour, ("5.7.1") if a capability is used up, over or revoked, or one of `signatures` came to the
        same printer before; then nothing is kept.  To be shielded from the client's disconnecting.
        """

    async def standing(self, maildrop: str) -> tuple[bool, int]:
        """What RCPT asks of a printer: whether it takes jobs, and the octets that wait in its maildrop."""

    # -- serving by POP3 (appliance)

    async def open_maildrop(self, name: str, owner: str, seconds: float) -> Maildrop | None:
        """The maildrop for one POP3 session, or None if somebody else holds it ([IN-USE]).

        Held jobs are not in it, and of a paused printer's nothing is: they wait.  A lease that nothing is behind may be
        unknown to other processes: only the appliance has POP3 sessions, and there it holds.
        """

    async def polled(self, printer: str, at: float, *, clear: bool = False) -> None:
        """The printer logged in by POP3: becomes `last_poll`, and counts in `poll_gap` unless it was off for a day.

        `clear`: its password came over the network without TLS.

        Cheap and without a sync; a crash may lose it.  Of a person's login nothing is kept.
        """

    # -- draining (bridge): whatever takes a lease raises `LeaseLost` once somebody else holds it

    async def acquire(self, resource: str, owner: str, seconds: float) -> Lease | None:
        """Instant 2.  None if another owner holds it.  The token is greater than every earlier one for `resource`.

        Jobs that an earlier holder of the resource left in `processing` are settled in the same transaction: those past
        instant 3 are in doubt (`processing-stopped`, `x-delivery-unknown`), the others `pending` again.
        """

    async def renew(self, lease: Lease, seconds: float) -> Lease:
        """Raises `LeaseLost`."""

    async def release(self, lease: Lease) -> None: ...

    async def printers_waiting(self) -> Collection[str]:
        """The printers that have a job in `pending` and are not paused."""

    async def pending(self, printers: Collection[str], limit: int) -> Sequence[Job]:
        """The oldest jobs of these printers in `pending`, by number, those that must still back off included."""

    # Jobs can be moved to another printer.  Whoever drains one names it as the `printer` of what follows, and then
    # nothing happens to a job that is another one's by now.

    async def claim(self, lease: Lease, job_id: int, reasons: Sequence[str], *, printer: str = "") -> bool:
        """`pending` to `processing` under the lease, without a sync.  False if the job is no longer pending."""

    async def sending(self, lease: Lease, job_id: int, document: int, *, printer: str = "", told: str = "") -> bool:
        """Instant 3: "attempt k, document d", durable before the first octet goes out; from `pending` or `processing`.

        The first document of a connection (0) counts the attempt.  The trace says "attempt k, `told`", by itself the
        document's number.  False if the job may not be sent (canceled, held).
        """

    async def end(
        self,
        lease: Lease,
        job_id: int,
        event: Event,
        *,
        reasons: Sequence[str],
        proof: DeliveryProof,
        pages: int = 0,
        detail: str = "",
        printer: str = "",
    ) -> bool:
        """Instant 4: COMPLETE, ABORT or CANCEL is durable, and the maildrop entry goes with it."""

    async def move(
        self,
        lease: Lease,
        job_id: int,
        event: Event,
        *,
        reasons: Sequence[str],
        next_attempt_at: float = 0.0,
        detail: str = "",
        printer: str = "",
    ) -> bool:
        """RELEASE, STOP, RESUME, DOUBT, HOLD or REPRINT under the lease.  False if the table has no such arrow.

        STOP, RESUME and DOUBT are of a job that the lease's holder has taken up; one that is in doubt already stays so.
        """

    def read(self, job_id: int) -> AsyncIterator[bytes]:
        """The stored octets of a job's message, in blocks of 128 KiB, without the recipient's fields."""

    # -- looking, and wishes from outside

    async def job(self, job_id: int) -> Job | None: ...

    async def jobs(
        self, *, printer: str = "", states: Collection[str] = (), limit: int = 1000, before: int = 0
    ) -> Sequence[Job]:
        """Newest first; `before`: only those with a smaller number."""

    async def trace(self, job_id: int) -> Sequence[JobEvent]:
        """What happened to the job, oldest first."""

    async def note(self, job_id: int, text: str) -> None:
        """Add a line to the trace, without a sync."""

    async def waiting(self) -> Sequence[Waiting]:
        """One for every printer that ever had a job and was not forgotten; people's maildrops are left out.

        So they are in `jobs`, `printers_waiting` and all that is said of jobs.
        """

    async def origins(self, limit: int) -> Sequence[Origin]:
        """Of the newest `limit` messages, those of insiders without a login, each origin once, in no order."""

    async def printer_state(self, printer: str) -> PrinterState: ...

    async def printer_states(self) -> Sequence[PrinterState]:
        """All that anything is known of, by name."""

    async def set_printer_state(self, state: PrinterState) -> None: ...

    async def set_condition(self, printer: str, state: str, reasons: Sequence[str], detail: str) -> None:
        """How the printer fares (printer-state and its reasons); all else of it stays as it is.  Not waited for.

        An occurrence if the reasons are others than before, in whatever order.
        """

    async def forget_printer(self, printer: str) -> None:
        """The printer was removed: its waiting jobs are canceled, its maildrop emptied.  So with `Person.maildrop`."""

    # -- wishes: what people want; each is in the trace with who wanted it, rings the bridge, and says if it could be

    async def cancel(self, job_id: int, by: str) -> bool:
        """From any state that is not an end, under whosoever's lease; whoever is sending it breaks it off."""

    async def hold(self, job_id: int, by: str) -> bool:
        """`pending` to `pending-held`; the reasons stay, behind `job-hold-until-specified`."""

    async def unhold(self, job_id: int, by: str) -> bool:
        """`pending-held` to `pending`; what a limit of pages held passes it from now on (`Job.waived`).

        Raises `PermanentFailure` ("5.3.0") for a split mail whose parts have not all come.
        """

    async def decide(self, job_id: int, by: str, *, printed: bool, resume: bool = False) -> bool:
        """Of a job in doubt: count it as printed, or print it again under a banner.

        `resume`: go on behind what the printer confirmed (`Following.progress`); False where it confirmed nothing.
        """

    async def print_again(self, job_id: int, by: str) -> int:
        """A new job of an ended one's octets; returns its number.

        Raises `PermanentFailure` ("5.3.0") if there is no such ended job or its octets are kept no longer.  The quota
        is not asked: whoever wishes it may.  It goes to the same printer, under the sender and the trust of the old
        one; whether that printer is still there is the caller's to ask.
        """

    async def set_paused(self, printer: str, paused: bool) -> None:
        """Whether jobs go to the printer, by the bridge or by POP3; all else of its state stays."""

    async def set_accepting(self, printer: str, accepting: bool) -> None:
        """Whether mail for the printer is taken; all else of its state stays."""

    async def kept_until(self, job_id: int) -> float:
        """Until when an ended job's octets are kept (`print_again`); 0.0 if they are gone or it has not ended.

        At least until then, where another job still needs them.
        """

    async def generation(self) -> int:
        """The number that rises with each change of the directory made through Printpost."""

    async def changed(self) -> int:
        """Raise the generation, and ring every process."""

    async def free_octets(self) -> int:
        """Free space for the store above the reserve; negative below it."""

    async def used_octets(self) -> int:
        """Space in use on the disk of the store, by whatever."""

    async def sweep(self, now: float) -> int:
        """Remove octets past their keep and records past theirs; returns how many messages went."""

    # -- the doorbell

    def rings(self) -> AsyncIterator[str]:
        """What other processes rang: a printer's name that has new work, a wish or an occurrence, or "*" for "the
        directory changed".  The bridge does not hear its own rings, all others do.

        A hint and no more: rings may be lost or doubled, so whoever waits must also look by itself now and then.
        """

    async def close(self) -> None: ...
