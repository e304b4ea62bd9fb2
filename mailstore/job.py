"""A job's life as a table: states, what may happen in each, and why.

The words are those of RFC 8011 (5.3.7 `job-state`, 5.3.8 `job-state-reasons`), used verbatim in code, database,
commands, metrics and mails.  Everything that decides a job's state lives in this file; the store only writes down what
it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JobState(StrEnum):
    """`job-state`, RFC 8011 section 5.3.7."""

    PENDING = "pending"
    PENDING_HELD = "pending-held"
    PROCESSING = "processing"
    PROCESSING_STOPPED = "processing-stopped"
    CANCELED = "canceled"
    ABORTED = "aborted"
    COMPLETED = "completed"

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({JobState.CANCELED, JobState.ABORTED, JobState.COMPLETED})
"""Nothing leaves these."""


class Event(StrEnum):
    """What can happen to a job."""

    CLAIM = "claim"  # the drainer takes it up: the bridge at a device, a POP3 session by RETR
    RELEASE = (
        "release"  # the drainer lets it go untouched: printer busy, session lost, bridge restarted before instant 3
    )
    STOP = "stop"  # the printer takes no more octets (paper out); the line waits
    RESUME = "resume"  # the printer goes on
    DOUBT = "doubt"  # a drainer was lost after instant 3: nobody knows what was printed
    REPRINT = "reprint"  # somebody, or the printer's entry, decided that a doubtful job prints again
    HOLD = "hold"
    UNHOLD = "unhold"
    COMPLETE = "complete"
    ABORT = "abort"
    CANCEL = "cancel"


_S = JobState
TRANSITIONS: dict[tuple[JobState, Event], JobState] = {
    (_S.PENDING, Event.CLAIM): _S.PROCESSING,
    (_S.PENDING, Event.RELEASE): _S.PENDING,
    (_S.PENDING, Event.HOLD): _S.PENDING_HELD,
    (_S.PENDING, Event.CANCEL): _S.CANCELED,
    (_S.PENDING, Event.ABORT): _S.ABORTED,
    (_S.PENDING_HELD, Event.UNHOLD): _S.PENDING,
    (_S.PENDING_HELD, Event.CANCEL): _S.CANCELED,
    (_S.PENDING_HELD, Event.ABORT): _S.ABORTED,
    (_S.PROCESSING, Event.CLAIM): _S.PROCESSING,
    (_S.PROCESSING, Event.RELEASE): _S.PENDING,
    (_S.PROCESSING, Event.STOP): _S.PROCESSING_STOPPED,
    (_S.PROCESSING, Event.DOUBT): _S.PROCESSING_STOPPED,
    (_S.PROCESSING, Event.COMPLETE): _S.COMPLETED,
    (_S.PROCESSING, Event.ABORT): _S.ABORTED,
    (_S.PROCESSING, Event.CANCEL): _S.CANCELED,
    (_S.PROCESSING_STOPPED, Event.STOP): _S.PROCESSING_STOPPED,  # for another reason
    (_S.PROCESSING_STOPPED, Event.RESUME): _S.PROCESSING,
    (_S.PROCESSING_STOPPED, Event.DOUBT): _S.PROCESSING_STOPPED,
    (_S.PROCESSING_STOPPED, Event.REPRINT): _S.PENDING,
    (_S.PROCESSING_STOPPED, Event.COMPLETE): _S.COMPLETED,
    (_S.PROCESSING_STOPPED, Event.ABORT): _S.ABORTED,
    (_S.PROCESSING_STOPPED, Event.CANCEL): _S.CANCELED,
}


REPRINTS = 3
"""Connections in which octets may have gone after which a job in doubt is held, whatever the printer's entry says: one
that breaks each time must not print for ever."""


class Proof(StrEnum):
    """What proved the sender of a job, strongest first."""

    LOGIN = "login"  # SMTP AUTH, and the address is one of the login's own
    NETWORK = "network"  # a client in the site's own networks, where the site answers for its people
    TOKEN = "token"  # noqa: S105 - no password; it came to a capability address
    SPF = "spf"  # RFC 7208, of the reverse-path
    DKIM = "dkim"  # RFC 6376, aligned
    ARC = "arc"  # RFC 8617: a forwarder that the site trusts saw the proof
    NONE = ""


class DeliveryProof(StrEnum):
    """The best evidence that paper came out, weakest first."""

    NONE = "none"  # our kernel took the octets
    ACKED = "acked"  # the printer's TCP acknowledged all of them
    CLOSED = "closed"  # the printer closed in order after our half-close
    INTERPRETED = "interpreted"  # an echo behind the job came back
    IDLE_PAGES = "idle+pages"  # the page counter rose and the printer is idle
    JOB_END = "job-end"  # PJL said END with RESULT=OK
    FETCHED = "fetched"  # a POP3 client retrieved and deleted it


REASONS: dict[str, str] = {
    "job-queued": "waiting for the printer",
    "job-fetchable": "waiting for the printer to poll its mailbox",
    "job-transforming": "being converted",
    "job-printing": "being sent to the printer",
    "queued-in-device": "the printer has all of it, and its pages are waited for",
    "printer-stopped": "the printer does not take data",
    "resources-are-not-ready": "the printer is busy or cannot be reached",
    "job-hold-until-specified": "held until somebody releases it",
    "job-suspended": "suspended until somebody decides",
    "job-incoming": "the rest of its parts is still to come",
    "account-limit-reached": "held, because it would pass a limit of pages",
    "x-delivery-unknown": "the connection was lost while sending; nobody can know what was printed",
    "x-printed-again": "printed again under a banner after an uncertain delivery",
    "x-resumed": "printed from behind the last page that the printer had confirmed",
    "job-canceled-after-timeout": "given up, because its time was over",
    "job-completed-successfully": "printed",
    "job-completed-with-warnings": "printed, with a warning",
    "aborted-by-system": "given up",
    "document-format-error": "the document is damaged",
    "unsupported-document-format": "the printer cannot get this kind of document",
    "document-password-error": "the document is encrypted",
    "document-security-error": "the document holds what must not reach this printer, or may not be opened here",
    "job-completed-with-errors": "printed, but for some of its documents",
    "document-unprintable-error": "the document holds nothing that can be printed",
    "job-canceled-by-user": "canceled",
    "job-canceled-at-device": "canceled at the printer",
}
"""Every `job-state-reasons` keyword that Printpost writes, with its meaning in plain words."""


class IllegalTransition(Exception):
    """The table has no such arrow: a bug, or a wish that came too late (the job has ended)."""


def advance(state: JobState, event: Event) -> JobState:
    """The state after `event`.  Raises `IllegalTransition` where the table has no arrow."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a job that is {state.value} cannot {event.value}") from None


def sources(event: Event) -> tuple[JobState, ...]:
    """The states in which `event` may happen, for the WHERE of an update."""
    return tuple(state for state, known in TRANSITIONS if known is event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One document bundle for one printer, as recorded.  Times are seconds since the epoch, 0.0 where not reached."""

    id: int
    printer: str
    state: JobState
    reasons: tuple[str, ...]
    sender: str  # envelope reverse-path, "" for the null one
    name: str  # the Subject, decoded and cut
    message_id: int  # key of the stored octets, not the header field
    octets: int  # wire octets of the message
    documents: int  # printable parts
    pages: int  # as far as known, else 0
    attempts: int  # connections in which at least one octet may have gone out
    delivery_proof: DeliveryProof
    trust: str  # insider, verified or stranger: fixed at receipt
    detail: str  # one sentence on the present state, "" if the reasons say all
    received_at: float
    processing_at: float
    sending_at: float
    completed_at: float
    next_attempt_at: float
    recipient: str = ""  # as given in RCPT TO
    header_message_id: str = ""  # the header field's, for threading
    login: str = ""  # the user name, if it came by submission
    answerable: bool = False  # the sender was proved at receipt, so he may be answered
    envid: str = ""  # what the sender said of reports (RFC 3461): ENVID, RET, NOTIFY and ORCPT as sent, "" if not
    ret: str = ""
    notify: str = ""
    orcpt: str = ""
    submitter: str = ""  # AUTH= of RFC 4954 section 5, a claim
    proof: Proof = Proof.NONE
    proved: str = ""  # the canonical address that `proof` proved, "" for none
    capability: int = 0  # the number of the capability that it came by
    waived: bool = False  # somebody released it: limits of pages are not asked again
    client_ip: str = ""  # who delivered it
    release_code: str = ""  # digits by which whoever knows them releases it, "" for none
    waits_from: float = 0.0  # when somebody last held it, let it go on or moved it: its time to wait begins anew
