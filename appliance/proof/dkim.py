"""The DKIM signatures of one mail (RFC 6376): which are looked at, and what each is worth once the body has ended.

Security: whoever sends may add any number of signatures of any domains, each of which costs a question to the DNS and a
reckoning.  At most five are looked at, those first that could be of the author's domain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from appliance.proof.fields import Field
from appliance.proof.key import Unproved
from appliance.proof.result import DkimFinding, Result
from appliance.proof.signature import Questions, Signature, claimed, prove, read
from mailstore.failure import TransientFailure

LOOKED_AT = 5
_PRESENT = 50


@dataclass(frozen=True, slots=True)
class Candidate:
    """A signature that is looked at: what it says, or why it cannot prove anything."""

    field: Field
    signature: Signature | None
    unproved: Unproved | None = None

    def finding(self, result: Result, reason: str = "") -> DkimFinding:
        if self.signature is None:
            domain, selector = claimed(self.field)
            return DkimFinding(result=result, domain=domain, selector=selector, reason=reason)
        own = self.signature
        return DkimFinding(
            result=result,
            domain=own.domain,
            selector=own.selector,
            identity=own.identity,
            reason=reason,
            digest=own.digest,
            names=own.names,
        )


def candidates(header: Sequence[Field], author: str, now: float) -> Sequence[Candidate]:
    """Those that are looked at, of the author's own domain first."""
    own = author.rpartition("@")[2]

    def distance(field: Field) -> int:
        domain = claimed(field)[0]
        related = own.endswith(f".{domain}") or domain.endswith(f".{own}")
        return 3 if not domain else 0 if domain == own else 1 if related else 2

    present = list(islice((field for field in header if field.name == b"dkim-signature"), _PRESENT))
    return [candidate(field, header, now) for field in sorted(present, key=distance)[:LOOKED_AT]]


def candidate(field: Field, header: Sequence[Field], now: float) -> Candidate:
    try:
        return Candidate(field, read(field, header, now))
    except Unproved as unproved:
        return Candidate(field, None, unproved)


async def verify(resolver: Questions, one: Candidate, digests: Mapping[str, bytes]) -> DkimFinding:
    """What it is worth, given the body's digests by canonicalization.  Never raises."""
    try:
        if one.signature is None:
            raise one.unproved or Unproved(Result.PERMERROR, "the signature is malformed")
        await prove(resolver, one.signature, digests)
    except Unproved as unproved:
        return one.finding(unproved.result, unproved.reason)
    except TransientFailure as failure:
        return one.finding(Result.TEMPERROR, failure.text)
    return one.finding(Result.PASS)
