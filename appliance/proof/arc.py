"""The chain of seals that forwarders put on a mail (ARC, RFC 8617), as far as the site trusts them.

A seal says who sealed, not that he is honest: any link can put any words about the mail that it got, and any mail
behind them.  So the chain is looked at from its newest link backwards as long as the sealers are forwarders that the
site names, and only such a link is believed when it says that it saw the author proved.  An untrusted link in between
could have changed the mail, so nothing behind one counts.

Security: every seal costs a question to the DNS and a reckoning over all that is below.  Nothing is asked unless the
newest sealer is trusted; of more than ten links nothing is believed (real chains have two or three; RFC 8617 section
5.1.1.1 allows 50, which is for guarding against loops).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from appliance.proof.authres import said
from appliance.proof.fields import Field
from appliance.proof.key import RSA, Unproved, check, key
from appliance.proof.result import ArcFinding, Result
from appliance.proof.signature import Questions, Signature, prove, read, without_value
from appliance.proof.tags import Malformed, base64, domain, tags
from mailstore.failure import TransientFailure

LINKS = 10

_RESULTS, _MESSAGE, _SEAL = b"arc-authentication-results", b"arc-message-signature", b"arc-seal"
_SET = (_RESULTS, _MESSAGE, _SEAL)  # in the order in which they are sealed (section 5.1.1)
_INSTANCE = re.compile(rb"[ \t\r\n]*+i[ \t\r\n]*+=[ \t\r\n]*+([0-9]{1,2})[ \t\r\n]*+;")


@dataclass(frozen=True, slots=True)
class Link:
    """One set, in the order of `_SET`, and what its seal says."""

    fields: tuple[Field, Field, Field]
    domain: str
    selector: str
    verdict: str  # cv=
    octets: bytes
    kind: str


@dataclass(frozen=True, slots=True)
class Chain:
    """The sets of one mail, the oldest first, and what the newest of them signs."""

    links: tuple[Link, ...]
    signature: Signature | None
    unproved: Unproved | None = None

    def finding(self, result: Result, reason: str = "", *, author: bool = False) -> ArcFinding:
        sealers = tuple(link.domain for link in self.links)
        own = self.signature
        return ArcFinding(
            result=result,
            sealer=sealers[-1] if sealers else "",
            sealers=sealers,
            author=author,
            reason=reason,
            digest=own.digest if own else b"",
            names=own.names if own else frozenset(),
        )


def chain(header: Sequence[Field], forwarders: Collection[str], now: float) -> Chain | None:
    """None where there is none, or where its newest seal is of nobody whom the site trusts."""
    own = [field for field in header if field.name in _SET]
    if not own or not forwarders:
        return None
    links: tuple[Link, ...] = ()
    try:
        links = _links(own)
        if links[-1].domain not in forwarders:
            return None
        return Chain(links, read(links[-1].fields[1], header, now))
    except Unproved as unproved:
        return Chain(links, None, unproved)


def _links(own: Sequence[Field]) -> tuple[Link, ...]:
    """Raises `Unproved` where the sets are not whole (section 5.2, steps 1 to 3)."""
    broken = Unproved(Result.FAIL, "the sets of the chain are not whole")
    sets: dict[int, dict[bytes, Field]] = {}
    if len(own) > len(_SET) * LINKS:
        raise Unproved(Result.FAIL, f"the chain has more than {LINKS} links")
    for field in own:
        number = _instance(field)
        if field.name in sets.setdefault(number, {}):
            raise broken
        sets[number][field.name] = field
    if sorted(sets) != list(range(1, len(sets) + 1)) or any(len(one) != len(_SET) for one in sets.values()):
        raise broken
    links = tuple(_link(sets[number]) for number in sorted(sets))
    if [link.verdict for link in links] != ["none", *["pass"] * (len(links) - 1)]:
        raise Unproved(Result.FAIL, "a link says that the chain was broken before it")
    return links


def _instance(field: Field) -> int:
    """Raises `Unproved`."""
    if field.name == _RESULTS:
        found = _INSTANCE.match(field.content)
        return int(found[1]) if found else 0
    try:
        text = tags(field.content).get("i", "")
    except Malformed:
        text = ""
    return int(text) if re.fullmatch("[0-9]{1,2}", text) else 0


def _link(fields: Mapping[bytes, Field]) -> Link:
    try:
        found = tags(fields[_SEAL].content)
        octets, sealer, selector = base64(found["b"]), domain(found["d"]), domain(found["s"])
        verdict, algorithm = found["cv"].lower(), found["a"].lower()
    except (Malformed, KeyError):
        raise Unproved(Result.FAIL, "a seal of the chain is malformed") from None
    if algorithm != "rsa-sha256" or "h" in found:  # section 4.1.3
        raise Unproved(Result.FAIL, "a seal of the chain has an unknown a=, or h=")
    whole = (fields[_RESULTS], fields[_MESSAGE], fields[_SEAL])
    return Link(whole, sealer, selector, verdict, octets, RSA)


async def validate(
    resolver: Questions, found: Chain, digests: Mapping[str, bytes], *, author: str, forwarders: Collection[str]
) -> ArcFinding:
    """Whether the chain stands, and whether a link that is trusted saw the author proved.  Never raises."""
    try:
        if found.signature is None:
            raise found.unproved or Unproved(Result.FAIL, "the newest signature of the chain is malformed")
        await prove(resolver, found.signature, digests)
        for number, link in enumerate(found.links, 1):
            public = key(await resolver.txt(f"{link.selector}._domainkey.{link.domain}"), link.kind)
            check(public, link.octets, _sealed(found.links[:number]))
    except Unproved as unproved:
        return found.finding(Result.FAIL, unproved.reason)
    except TransientFailure as failure:
        return found.finding(Result.TEMPERROR, failure.text)
    return found.finding(Result.PASS, author=_witnessed(found.links, author, forwarders))


def _sealed(links: Sequence[Link]) -> bytes:
    """Section 5.1.1: all sets up to this one, relaxed, the newest seal without its value."""
    lines = [field.relaxed(field.content) for link in links for field in link.fields]
    seal = links[-1].fields[2]
    return b"\r\n".join([*lines[:-1], seal.relaxed(without_value(seal.content))])


def _witnessed(links: Sequence[Link], author: str, forwarders: Collection[str]) -> bool:
    own = author.rpartition("@")[2]
    for link in reversed(links):
        if link.domain not in forwarders:
            return False
        if own and _says(link.fields[0], own):
            return True
    return False


def _says(results: Field, own: str) -> bool:
    """That DMARC passed for this domain, or a signature of the domain itself."""
    about = {"dmarc": "header.from", "dkim": "header.d"}
    return any(
        one.result == "pass" and one.properties.get(about.get(one.method, ""), "").lower() == own
        for one in said(_INSTANCE.sub(b"", results.content, count=1))
    )
