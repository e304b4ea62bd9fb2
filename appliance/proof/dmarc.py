"""What the domain of the From author asks for (DMARC: RFC 7489, and the tree walk of its successor).

The organisational domain is found by asking the DNS for records from the domain upwards, so there is no list of public
suffixes to keep fresh.  Without any record a domain is its own organisation.  A top-level domain is nobody's: whatever
its own record says, or does not, those below it are no organisation.

Security: domains and records are strangers'.  A walk asks at most eight questions, whatever the domain; several records
at one name are none, and so is one that is malformed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from appliance.proof.result import DmarcFinding, Result
from appliance.proof.tags import Malformed, tags

QUESTIONS = 8
POLICIES = ("none", "quarantine", "reject")
_MILDER = {"reject": "quarantine", "quarantine": "none", "none": "none"}


class Questions(Protocol):
    """The DNS, as far as it is asked here: [] for what is not there; raises `TransientFailure`."""

    async def txt(self, name: str) -> Sequence[bytes]: ...

    async def mx(self, name: str) -> Sequence[tuple[int, str]]: ...

    async def a(self, name: str) -> Sequence[object]: ...

    async def aaaa(self, name: str) -> Sequence[object]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A policy record as published at `domain`."""

    domain: str
    policy: str
    of_subdomains: str
    of_nobody: str  # of subdomains that do not exist
    strict_dkim: bool = False
    strict_spf: bool = False
    suffix: str = ""  # psd=: y for a public suffix, n for an organisation, "" if it does not say


@dataclass(frozen=True, slots=True, kw_only=True)
class Domain:
    """What a tree walk found: the record that applies to the domain, if any, and its organisation."""

    name: str
    organisation: str
    record: Record | None = None
    policy: str = ""


def parse(octets: bytes, domain: str) -> Record | None:
    """None for what is no DMARC record.  Raises `Malformed` for one that asks for nothing that can be read."""
    if not octets.lstrip(b" \t").startswith(b"v"):
        return None
    version, _, _ = octets.partition(b";")
    if b"".join(version.split()) != b"v=DMARC1":
        return None
    found = {name.lower(): value.lower() for name, value in tags(octets).items()}
    policy = found.get("p", "")
    if policy not in POLICIES:
        if "rua" not in found:
            raise Malformed("p= is none of none, quarantine and reject")
        policy = "none"  # RFC 7489 section 6.6.3
    below = found.get("sp", policy)
    below = below if below in POLICIES else policy
    nobody = found.get("np", below)
    record = {"p": policy, "sp": below, "np": nobody if nobody in POLICIES else below}
    if found.get("t") == "y" or found.get("pct") == "0":  # only testing: one step milder
        record = {name: _MILDER[asked] for name, asked in record.items()}
    return Record(
        domain=domain,
        policy=record["p"],
        of_subdomains=record["sp"],
        of_nobody=record["np"],
        strict_dkim=found.get("adkim") == "s",
        strict_spf=found.get("aspf") == "s",
        suffix="y" if "." not in domain else found["psd"] if found.get("psd") in ("y", "n") else "",
    )


def steps(domain: str) -> Sequence[str]:
    """The names that a walk asks about, the domain first; of a long one it skips to seven labels."""
    labels = domain.split(".")
    above = labels[1:] if len(labels) < QUESTIONS else labels[-(QUESTIONS - 1) :]
    return [domain, *(".".join(above[number:]) for number in range(len(above)))]


async def walk(resolver: Questions, domain: str) -> Domain:
    """Raises `TransientFailure`, and `Malformed` where the domain's own record is."""
    found: list[Record] = []
    for name in steps(domain):
        record = await _record(resolver, name, own=name == domain)
        if record is not None:
            found.append(record)
            if record.suffix == "n" or (record.suffix and name != domain):
                break
    organisation = _organisation(domain, found)
    applies = next((one for wanted in (domain, organisation) for one in found if one.domain == wanted), None)
    applies = applies or next((one for one in found if one.suffix == "y"), None)
    policy = await _policy(resolver, domain, applies) if applies else ""
    return Domain(name=domain, organisation=organisation, record=applies, policy=policy)


async def _record(resolver: Questions, name: str, *, own: bool) -> Record | None:
    found: list[Record] = []
    malformed: Malformed | None = None
    for octets in await resolver.txt(f"_dmarc.{name}"):
        try:
            record = parse(octets, name)
        except Malformed as error:
            malformed = error
        else:
            found += [record] if record else []
    if malformed and own:
        raise malformed
    return found[0] if len(found) == 1 and not malformed else None


def _organisation(domain: str, found: Sequence[Record]) -> str:
    """`found` goes from the longest domain to the shortest."""
    for record in found:
        if record.suffix == "n":
            return record.domain
        if record.suffix == "y" and record.domain != domain:
            below = domain.removesuffix(f".{record.domain}").rpartition(".")[2]
            return f"{below}.{record.domain}"
    return found[-1].domain if found else domain


async def _policy(resolver: Questions, domain: str, record: Record) -> str:
    if record.domain == domain:
        return record.policy
    if record.of_nobody == record.of_subdomains:
        return record.of_subdomains
    for ask in (resolver.mx, resolver.a, resolver.aaaa):
        if await ask(domain):
            return record.of_subdomains
    return record.of_nobody


@dataclass(frozen=True, slots=True, kw_only=True)
class Alignment:
    """Which identifiers are aligned with the author's domain: SPF's, and d= of signatures."""

    spf: bool = False
    signers: frozenset[str] = frozenset()


async def align(resolver: Questions, author: Domain, *, spf: str, signers: Sequence[str]) -> Alignment:
    """Raises `TransientFailure`."""
    record = author.record
    own = spf and await _aligned(resolver, author, spf, strict=record is None or record.strict_spf)
    strict = record is None or record.strict_dkim
    found = [signer for signer in set(signers) if await _aligned(resolver, author, signer, strict=strict)]
    return Alignment(spf=bool(own), signers=frozenset(found))


async def _aligned(resolver: Questions, author: Domain, domain: str, *, strict: bool) -> bool:
    if domain == author.name:
        return True
    if strict or not f".{domain}".endswith(f".{author.organisation}"):
        return False  # nothing outside can have the same organisation
    try:
        return (await walk(resolver, domain)).organisation == author.organisation
    except Malformed:
        return False


def judged(author: Domain, *, passed: bool) -> DmarcFinding:
    """`passed`: something that is aligned did."""
    if author.record is None:
        return DmarcFinding(result=Result.NONE, domain=author.name)
    result = Result.PASS if passed else Result.FAIL
    return DmarcFinding(result=result, domain=author.name, policy=author.policy)
