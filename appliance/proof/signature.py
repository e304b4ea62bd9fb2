"""A DKIM-Signature or ARC-Message-Signature: read, judged by what stands in it, and what of the header it signs.

Security: the field and the header are a stranger's.  Everything is bounded: tags in one pass, at most 200 names in
`h=`, each field taken once.  RFC 6376 leaves much to the verifier; here a signature proves nothing that others could
have added to: a part of the body (`l=`), a header without From, a second From or Subject above the signed one;
nor what is older than the store's memory of signatures, or of an unknown age.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from hashlib import sha256
from typing import Protocol

from appliance.proof.body import RELAXED, SIMPLE
from appliance.proof.fields import Field, named
from appliance.proof.key import ED25519, RSA, Unproved, check, key
from appliance.proof.result import Result
from appliance.proof.tags import Malformed, base64, domain, number, tags

_KINDS = {"rsa-sha256": RSA, "ed25519-sha256": ED25519}
_NAMES = 200
_CLOCK = 600
"""Seconds by which clocks may differ."""
OLDEST = 29 * 86400.0
"""Seconds for which a signature proves something: while the store remembers that it has seen it, a day less."""
_DATE = 200
"""Octets of a Date field that are looked at."""
_ONCE = (
    *(b"from", b"sender", b"reply-to", b"to", b"cc", b"message-id", b"in-reply-to", b"references", b"subject", b"date"),
    *(b"mime-version", b"content-type", b"content-transfer-encoding", b"content-disposition"),
)
"""Fields of which there is one (RFC 5322 section 3.6, RFC 2045): of two, programs differ in which they show."""


class Questions(Protocol):
    """The DNS, as far as it is asked here.  Raises `TransientFailure` where it does not answer."""

    async def txt(self, name: str) -> Sequence[bytes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What one says of itself.  `named` and `digest` are as in `DkimFinding`."""

    kind: str
    domain: str
    selector: str
    identity: str
    simple_header: bool
    body: str  # its canonicalization
    body_hash: bytes
    octets: bytes  # the signature itself
    digest: bytes
    signed: bytes  # what it signs of the header, in its canonicalization
    names: frozenset[str]

    @property
    def key_name(self) -> str:
        return f"{self.selector}._domainkey.{self.domain}"


def read(field: Field, header: Sequence[Field], now: float) -> Signature:
    """The signature that `field` of `header` is.  Raises `Unproved` where it cannot prove anything.

    `now` is in seconds since the epoch.
    """
    try:
        found = tags(field.content)
        return _signature(field, header, found, now, arc=field.name != b"dkim-signature")
    except Malformed as malformed:
        raise Unproved(Result.PERMERROR, f"the signature is malformed: {malformed}") from None
    except KeyError as missing:
        raise Unproved(Result.PERMERROR, f"the signature has no {missing.args[0]}=") from None


def claimed(field: Field) -> tuple[str, str]:
    """d= and s= of any such field, "" where they cannot be read."""
    try:
        found = tags(field.content)
        return domain(found.get("d", "")), domain(found.get("s", ""))
    except Malformed:
        return "", ""


def _signature(field: Field, header: Sequence[Field], found: Mapping[str, str], now: float, *, arc: bool) -> Signature:
    if not arc and found["v"] != "1":
        raise Malformed("v= is not 1")
    signer, octets = domain(found["d"]), base64(found["b"])
    _check_tags(found, signer, now, arc=arc)
    wanted = [name.strip(" \t\r\n").lower().encode() for name in found["h"].split(":")]
    chosen = _chosen(header, wanted)
    simple_header, body = _canonicalizations(found.get("c", "relaxed/relaxed" if arc else "simple/simple"))
    signature = Signature(
        kind=_KINDS[found["a"].lower()],
        domain=signer,
        selector=domain(found["s"]),
        identity="" if arc else found.get("i", ""),
        simple_header=simple_header,
        body=body,
        body_hash=base64(found["bh"]),
        octets=octets,
        digest=sha256(octets).digest(),
        signed=_signed(chosen, field, simple=simple_header),
        names=named([one.unfolded for one in chosen if one.name in (b"to", b"cc")]),
    )
    _check_age(found, chosen, now)
    return signature


def _check_tags(found: Mapping[str, str], signer: str, now: float, *, arc: bool) -> None:
    algorithm = found["a"].lower()
    if algorithm == "rsa-sha1":
        raise Unproved(Result.POLICY, "rsa-sha1 proves nothing")  # RFC 8301 section 3.1
    if algorithm not in _KINDS:
        raise Malformed("an unknown a=")
    if "l" in found:
        raise Unproved(Result.POLICY, "it signs a part of the body only (l=)")
    if "dns/txt" not in found.get("q", "dns/txt").lower().replace(" ", "").split(":"):
        raise Malformed("an unknown q=")
    if not arc and "i" in found:
        at, host = found["i"].rpartition("@")[1:]
        if not at or not f".{domain(host)}".endswith(f".{signer}"):
            raise Malformed("i= is outside d=")
    signed_at = number(found["t"]) if "t" in found else 0
    if signed_at > now + _CLOCK:
        raise Unproved(Result.POLICY, "it was signed in the future")
    if "x" in found:
        expires = number(found["x"])
        if expires < signed_at:
            raise Malformed("x= is before t=")
        if expires + _CLOCK < now:
            raise Unproved(Result.POLICY, "it has expired")


def _check_age(found: Mapping[str, str], chosen: Sequence[Field], now: float) -> None:
    """By t=, else by the Date that it signs (RFC 5322 section 3.6.1): what is kept for months must not print again."""
    dated = next((one.unfolded for one in chosen if one.name == b"date"), b"")
    signed_at = number(found["t"]) if "t" in found else _seconds(dated)
    if signed_at is None:
        raise Unproved(Result.POLICY, "neither t= nor a signed Date says when it was made")
    if signed_at + OLDEST < now:
        raise Unproved(Result.POLICY, "it is too old: it could have been used before, and nobody would know")


def _seconds(date: bytes) -> int | None:
    """Since the epoch; None for what is no date."""
    try:
        found = parsedate_tz(date[:_DATE].decode("ascii"))
        return mktime_tz(found) if found else None
    except (ValueError, TypeError, IndexError, OverflowError):  # what the library raises at odd ones
        return None


def _canonicalizations(text: str) -> tuple[bool, str]:
    of_header, slash, of_body = text.lower().partition("/")
    of_body = of_body if slash else SIMPLE  # RFC 6376 section 3.5
    if {of_header, of_body} - {SIMPLE, RELAXED}:
        raise Malformed("an unknown c=")
    return of_header == SIMPLE, of_body


def _chosen(header: Sequence[Field], wanted: Sequence[bytes]) -> Sequence[Field]:
    """RFC 6376 section 5.4.2: of each name from the bottom up; what is not there is signed as not being there."""
    if len(wanted) > _NAMES:
        raise Malformed(f"more than {_NAMES} names in h=")
    there: dict[bytes, list[Field]] = {name: [] for name in wanted}
    for field in header:
        if field.name in there:
            there[field.name].append(field)
    for name in _ONCE:
        if len(there.get(name, ())) > 1:
            raise Unproved(Result.POLICY, f"there are several {name.decode()} fields")
    chosen = [there[name].pop() for name in wanted if there[name]]
    if not any(one.name == b"from" for one in chosen):
        raise Unproved(Result.PERMERROR, "it signs no From field")
    return chosen


def _signed(chosen: Sequence[Field], own: Field, *, simple: bool) -> bytes:
    lines = [one.octets if simple else one.relaxed(one.content) for one in chosen]
    content = without_value(own.content)
    head = own.octets[: len(own.octets) - len(own.content)]
    return b"\r\n".join([*lines, head + content if simple else own.relaxed(content)])


def without_value(content: bytes) -> bytes:
    """A signature field with nothing behind `b=` (RFC 6376 section 3.5)."""
    specs = content.split(b";")
    for number_, spec in enumerate(specs):
        name, equals, _ = spec.partition(b"=")
        if equals and name.strip(b" \t\r\n") == b"b":
            specs[number_] = name + equals
    return b";".join(specs)


async def prove(resolver: Questions, signature: Signature, digests: Mapping[str, bytes]) -> None:
    """Raises `Unproved`, or `TransientFailure` where the DNS does not answer."""
    if digests[signature.body] != signature.body_hash:
        raise Unproved(Result.FAIL, "the body was changed")
    public = key(await resolver.txt(signature.key_name), signature.kind)
    host = signature.identity.rpartition("@")[2].lower()
    if public.strict and host and host != signature.domain:
        raise Unproved(Result.PERMERROR, "i= is not of the key's own domain")
    check(public, signature.octets, signature.signed)
