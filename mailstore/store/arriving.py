"""A mail that is coming in, as a store is told of it; the conventions are those of `contract`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from mailstore.directory.records import NO_LIMITS, Hold, PrintLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """What the SMTP transaction said, and what we concluded at receipt."""

    reverse_path: str
    client_ip: str
    helo: str
    trust: str  # insider, verified or stranger
    smtputf8: bool = False
    body: str = "8BITMIME"  # RFC 6152, RFC 3030: 7BIT, 8BITMIME or BINARYMIME
    login: str = ""  # the user name, if it came by submission
    answerable: bool = False  # the reverse-path was proved in this very transaction: it may be answered
    name: str = ""  # the job's name: Subject, decoded and cut
    header_message_id: str = ""
    documents: int = 0  # printable parts
    pop3_octets: int = 0  # as POP3 sends it, where that is not what is kept (BINARYMIME); 0: the same
    envid: str = ""  # ENVID of RFC 3461 section 4.4, xtext as sent
    ret: str = ""  # RET of section 4.3: FULL or HDRS, "" if not said
    submitter: str = ""  # AUTH of RFC 4954 section 5, xtext as sent, "<>" for nobody's, "" if not said
    proof: str = ""  # what proved the sender, a word of `mailstore.job.Proof`
    proved: str = ""  # the canonical address that it proved, "" for none: whose limits these are
    content: bytes = b""  # digest of what stands behind the header; b"": cannot be told from others, never a duplicate
    signatures: tuple[bytes, ...] = ()  # digests of DKIM signatures by which alone it is proved: each counts once
    also_signed: tuple[bytes, ...] = ()  # likewise, where SPF proved it too: remembered, so that nobody can replay it


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipient:
    """One maildrop that gets the message."""

    maildrop: str  # the printer's name, or `Person.maildrop`: what lies there is mail to be read, and no job
    address: str  # as given in RCPT TO
    quota: int  # octets that may wait there
    fields: bytes  # Return-Path and Delivered-To, CRLF-ended header fields that stand before the stored octets
    reason: str = "job-queued"  # "job-fetchable" where the printer polls
    notify: str = ""  # NOTIFY of RFC 3461 section 4.1 in capitals, "" if not said
    orcpt: str = ""  # ORCPT of section 4.2, xtext as sent
    limits: PrintLimits = NO_LIMITS  # of the printer; jobs and octets are asked of it here
    group: str = ""  # the name of the group by which it came to this printer, "" for none
    group_limits: PrintLimits = NO_LIMITS  # asked and counted under that name, once for a mail
    capability: int = 0  # the number of the `Capability` that it came by, 0 for none
    waived: bool = False  # no limit of pages holds it: a test page
    hold: Hold = Hold.NONE  # the job waits until it is released, and has a code where the printer's entry says so


class Draft(Protocol):
    """The octets of a message that is arriving.  Nothing of them is visible, or remains, unless it is accepted."""

    @property
    def octets(self) -> int: ...

    @property
    def congested(self) -> bool:
        """More waits to be written than memory should hold: stop reading from the peer until `drained`."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take octets, without blocking.  The buffer may be reused after the call."""

    async def drained(self) -> None:
        """Return when not `congested` any more.  Raises `TransientFailure` ("4.3.1" disk full, "4.3.0" else)."""

    async def discard(self) -> None:
        """Forget the octets.  May be called more than once, and after `accept` it does nothing."""
