"""What was found out about a mail's sender, as values.

Security: every text in here is a stranger's; whoever writes it into a header, a log or a page cleans it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailstore.job import Proof


class Result(StrEnum):
    """RFC 8601 section 2.7: the words of SPF (RFC 7208 section 2.6), DKIM, DMARC and ARC alike."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    SOFTFAIL = "softfail"
    NEUTRAL = "neutral"
    NONE = "none"
    POLICY = "policy"
    TEMPERROR = "temperror"
    PERMERROR = "permerror"


@dataclass(frozen=True, slots=True, kw_only=True)
class SpfFinding:
    """SPF of one identity."""

    result: Result
    domain: str = ""  # that was checked, in A-labels and lower case
    helo: bool = False  # of HELO, because the reverse-path is null
    reason: str = ""  # for the administrator, "" if the result says all


@dataclass(frozen=True, slots=True, kw_only=True)
class DkimFinding:
    """One signature.  It proves something only with the result PASS."""

    result: Result
    domain: str = ""  # d=, lower case
    selector: str = ""  # s=
    identity: str = ""  # i=
    reason: str = ""
    digest: bytes = b""  # SHA-256 of its b= value without blanks: by this it is known again
    names: frozenset[str] = frozenset()  # canonical addresses of the signed To and Cc fields
    aligned: bool = False  # with the From author's domain, as DMARC means it; asked where it passed or may pass later


@dataclass(frozen=True, slots=True, kw_only=True)
class ArcFinding:
    """The chain of ARC (RFC 8617 section 5.2)."""

    result: Result
    sealer: str = ""  # d= of the newest seal, where the chain passes
    sealers: tuple[str, ...] = ()  # d= of all seals, oldest first
    author: bool = False  # a trusted link says that it saw the proof for this From author, and all newer are trusted
    reason: str = ""
    digest: bytes = b""  # as of a DKIM signature, of the newest ARC-Message-Signature
    names: frozenset[str] = frozenset()  # canonical addresses of the To and Cc fields that it signs


@dataclass(frozen=True, slots=True, kw_only=True)
class DmarcFinding:
    """What the domain of the From author asks for, and whether the mail fulfils it (RFC 7489, by the tree walk of its
    successor)."""

    result: Result  # PASS, FAIL, NONE (no record), TEMPERROR, PERMERROR
    domain: str = ""  # of the author
    policy: str = ""  # none, quarantine or reject
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All that was found out once a message has ended."""

    author: str = ""  # the one From author, canonical; "" where there is none, or more than one
    spf: SpfFinding | None = None  # None: not asked (an insider, a login, behind a mail server)
    spf_aligned: bool = False  # its domain with the From author's; asked where it passed or may pass later
    dkim: tuple[DkimFinding, ...] = ()
    arc: ArcFinding | None = None
    dmarc: DmarcFinding | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """What the findings prove of a mail that came to one address; what the policy wants to know of them.

    `author` and `envelope` name by what each is proved, `Proof.NONE` if by nothing.  The envelope is proved by SPF; by
    DKIM or ARC only where it is the author's own address (`envelope_domain`: where it has the author's domain), because
    no signature covers it.
    """

    author: Proof = Proof.NONE
    envelope: Proof = Proof.NONE
    envelope_domain: Proof = Proof.NONE
    rejected: bool = False  # the author's domain wants it refused (DMARC p=reject), and nothing proves it
    temporary: bool = False  # a look-up failed for now that might have proved something
    signatures: tuple[bytes, ...] = ()  # digests of what proves the author: by it alone, only if not seen before
    reason: str = ""  # why a signature that passed proves nothing here, for the administrator
