"""A printer's and a person's entry as values: what the directory says, checked, and nothing of LDAP.

Settings (who may print, languages, device address, people) live in the directory; state (paused, waiting jobs) lives in
the store.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from enum import StrEnum

from mailstore.document_format import DocumentFormat
from mailstore.ticket import NO_TICKET, Ticket


class Language(StrEnum):
    """A language that a printer speaks, by the names that `--language` takes."""

    POSTSCRIPT = "postscript"  # PostScript level 3, and so level 2 too
    POSTSCRIPT2 = "postscript2"  # PostScript level 2 only (Tektronix Phaser 3xx)
    PDF = "pdf"
    PCL = "pcl"  # PCL 5
    PCLXL = "pclxl"  # PCL 6
    PWG = "pwg"
    TEXT = "text"  # prints plain text as it comes

    @property
    def document_format(self) -> DocumentFormat:
        return _FORMATS[self]


_FORMATS = {
    Language.POSTSCRIPT: DocumentFormat.POSTSCRIPT,
    Language.POSTSCRIPT2: DocumentFormat.POSTSCRIPT,
    Language.PDF: DocumentFormat.PDF,
    Language.PCL: DocumentFormat.PCL,
    Language.PCLXL: DocumentFormat.PCLXL,
    Language.PWG: DocumentFormat.PWG,
    Language.TEXT: DocumentFormat.TEXT,
}


class Raw(StrEnum):
    """Whose documents may reach a printer so: of this trust, or of a higher one."""

    NOBODY = "nobody"
    INSIDER = "insider"
    VERIFIED = "verified"
    STRANGER = "stranger"


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintLimits:
    """What one printer prints, for all and for each proved sender; 0: any number."""

    jobs: int = 0  # an hour
    octets: int = 0  # an hour
    pages: int = 0  # a day
    sender_jobs: int = 0
    sender_octets: int = 0
    sender_pages: int = 0
    job_pages: int = 0  # of one job


NO_LIMITS = PrintLimits()


class Body(StrEnum):
    """When the letter itself prints, beside what is attached to it."""

    ALONE = "alone"  # if nothing that can be printed is attached
    ALWAYS = "always"
    NEVER = "never"


class WhenUncertain(StrEnum):
    """What becomes of a job of which nobody knows whether it was printed."""

    HOLD = "hold"  # wait until somebody decides
    REPRINT = "reprint"  # print again under a banner that says so
    RESUME = "resume"  # go on behind the last page that the printer confirmed; hold where it confirmed none
    PRINTED = "printed"  # count it as printed


class Hold(StrEnum):
    """Whether jobs wait at the printer's mailbox until somebody releases them."""

    NONE = "none"
    ALL = "all"  # by command and on the page
    CODE = "code"  # by the code that the sender is told, too


class Snmp(StrEnum):
    """In which version of SNMP a printer is asked how it fares."""

    OFF = "off"
    V1 = "1"  # RFC 1157, which old ones speak too
    V2C = "2c"  # RFC 1901


@dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    """One printer's settings."""

    name: str  # lower case; the local part of its first address and its POP3 user name
    addresses: tuple[str, ...]  # mail and aliases, lower case, the first is the one to show
    uri: str = ""  # socket://HOST:PORT; "" for a printer that polls by POP3
    languages: tuple[Language, ...] = (Language.POSTSCRIPT,)
    allow: tuple[str, ...] = ()  # rules, see appliance.policy
    deny: tuple[str, ...] = ()
    sysadmin: tuple[str, ...] = ()  # addresses of the three roles of PhaserLink
    service_person: tuple[str, ...] = ()
    key_user: tuple[str, ...] = ()
    poll_interval: int = 60  # seconds
    plain_from: tuple[str, ...] = ()  # networks from which it may log in without TLS
    quota: int = 1 << 30  # octets that may wait in its maildrop
    when_uncertain: WhenUncertain = WhenUncertain.HOLD
    tell_printed: bool = False  # PhaserLink's "Job Printed": the sender hears of it, if he may be answered
    pjl: bool = False  # known to speak PJL: it is asked for its status around a job
    members: tuple[str, ...] = ()  # names of printers: then it is a group, and a job for it prints on each of them
    limits: PrintLimits = NO_LIMITS
    unverified_ok: bool = False  # allow rules want no proof here
    raw: Raw = Raw.INSIDER  # whose PostScript and PDF reach it as they came
    unfiltered: Raw = Raw.NOBODY  # whose PJL and PCL commands reach it, too, every one of them
    body: Body = Body.ALONE
    color: bool = False  # prints in colour (printer-color-supported)
    max_copies: int = 0  # copies that one mail may ask for; 0: as many as there can be
    media: tuple[str, ...] = ()  # the paper that it has, PWG self-describing names, the usual one first; (): the site's
    ticket: Ticket = NO_TICKET  # how jobs print that do not say otherwise
    confidential: bool = False  # no pictures of its pages are kept
    # How it is served at its port, and what is odd about it.
    half_close: bool = True  # our side is closed behind the document; False: only when the printer closed, or in time
    end_wait: int = 90  # seconds for its closing, or its word that the job ended, since its last sign of life
    stall_limit: int = 86400  # seconds without progress after which a job is given up
    pjl_one_option: bool = False  # its PJL takes one option a line: JOB NAME, and nothing beside it
    ps_echo: bool = False  # its PostScript writes on the back channel: a mark behind the document is waited for
    count_pages: bool = True  # pages are counted by SNMP where nothing better tells that a job is out
    snmp: Snmp = Snmp.V1
    snmp_community: str = dataclasses.field(default="public", repr=False)  # a password of a kind: in no log
    snmp_port: int = 161
    status_interval: int = 60  # seconds between two looks at how it fares
    quiet_hours: tuple[str, ...] = ()  # in which it is left alone, see `mailstore.hours`
    hold: Hold = Hold.NONE
    hold_expiry: int = 3 * 86400  # seconds after which a job that nobody released is given up
    expiry: int = 7 * 86400  # the same of one that could not be printed
    location: str = ""
    model: str = ""
    # Network facts, for people and for `doctor`; nothing is sent to these.
    network_address: str = ""  # the printer's IP address
    netmask: str = ""  # like 255.255.255.0; of an IPv6 address, the prefix length
    gateway: str = ""
    hardware_address: str = ""  # six octets in hexadecimal with colons

    @property
    def drained_by_bridge(self) -> bool:
        """A maildrop has one drainer: the bridge where there is a device address, else POP3."""
        return bool(self.uri)

    @property
    def polls(self) -> bool:
        """It fetches its mail by POP3."""
        return not (self.uri or self.members)

    @property
    def reports(self) -> bool:
        """It is asked by SNMP how it fares; what it said before that was turned off is no report any more."""
        return bool(self.uri) and self.snmp is not Snmp.OFF

    @property
    def is_group(self) -> bool:
        """It has rules and addresses of its own, and no maildrop."""
        return bool(self.members)

    def takes_raw(self, trust: str) -> bool:
        """Whether a document of this trust (insider, verified or stranger) may reach it as it came."""
        return reaches(self.raw, trust)

    @property
    def revision(self) -> str:
        """Changes whenever a setting does: whoever edits an entry shows which one he has seen.

        Of several values only the first of the addresses and of the media counts as such: LDAP gives them in any order
        (RFC 4511 4.1.7).
        """
        return _revision(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody with a name and a password: sends jobs by submission, reads mail by POP3, uses the page."""

    name: str  # lower case; the user name
    addresses: tuple[str, ...]  # lower case, the first is the one to show; what a login may use as sender
    full_name: str = ""
    administrator: bool = False  # may do everything; the SysAdmin of all printers, who gets mail to postmaster
    local: bool = True  # False: from the site's own directory, which Printpost only reads
    quota: int = 64 << 20  # octets that may wait in the maildrop
    groups: tuple[str, ...] = ()  # of our own user, lower case, for `group:` rules; else see `People.groups`

    @property
    def maildrop(self) -> str:
        """The name of his maildrop in the store, which no printer can have."""
        return f"{MAILDROP_OF_PERSON}{self.name}"

    @property
    def revision(self) -> str:
        """As of a `Printer`."""
        return _revision(self)


def reaches(level: Raw, trust: str) -> bool:
    """Whether `level` names this trust (insider, verified or stranger) or a lower one."""
    return level is not Raw.NOBODY and _TRUSTS.index(trust) <= _TRUSTS.index(level)


MAILDROP_OF_PERSON = "person:"
_TRUSTS = tuple(trust.value for trust in (Raw.INSIDER, Raw.VERIFIED, Raw.STRANGER))


def _revision(entry: Printer | Person) -> str:
    settings = [(field.name, getattr(entry, field.name)) for field in dataclasses.fields(entry)]
    told = [(name, sorted(value) if isinstance(value, tuple) else value) for name, value in settings]
    first = entry.addresses[:1], entry.media[:1] if isinstance(entry, Printer) else ()
    return hashlib.sha256(repr((*first, told)).encode()).hexdigest()[:16]
