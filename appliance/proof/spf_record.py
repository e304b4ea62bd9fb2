"""Records of SPF: the one of a domain found among its TXT records, and read whole (RFC 7208 sections 4.5, 4.6, 12).

Security: a record is a stranger's.  It is cut at its blanks and each term read by expressions without backtracking; it
may have so many octets and so many terms, and a record that is longer or wrong anywhere is wrong altogether.  What was
read is remembered for a number of records.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from appliance.peer import Address
from appliance.proof import spf_macro
from appliance.proof.result import Result
from appliance.proof.spf_macro import MacroError, Template

OCTETS: Final = 4096
"""Of one record.  Section 3.4 recommends 450; the longest that honest domains have is a fraction of this."""
TERMS: Final = 250

_QUALIFIERS = {"+": Result.PASS, "-": Result.FAIL, "~": Result.SOFTFAIL, "?": Result.NEUTRAL}
_VERSION = re.compile(rb"v=spf1(?: |\Z)", re.IGNORECASE)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)", re.DOTALL)
_DIRECTIVE = re.compile(r"([+?~-]?)([A-Za-z0-9]+)(?::([^\x00]*))?", re.DOTALL)
_BARE = re.compile(r"([+?~-]?)(a|mx)(/[0-9/]+)", re.IGNORECASE)  # a dual-cidr without a domain
_DUAL = re.compile(r"(?:/(0|[1-9]\d?))?(?://(0|[1-9]\d{0,2}))?\Z")
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")


class RecordError(ValueError):
    """The record is no record (permerror), and why, for the domain's owner."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A directive of section 5."""

    text: str  # as in the record
    name: str  # in lower case
    result: Result  # when it matches
    target: Template | None = None  # None: the domain that is being checked
    address: Address | None = None  # of ip4 and ip6
    ip4: int = 32  # lengths of prefix
    ip6: int = 128

    def near(self, ip: Address, address: Address) -> bool:
        """Whether both begin with the prefix."""
        shift = 32 - self.ip4 if ip.version == 4 else 128 - self.ip6
        return ip.version == address.version and int(ip) >> shift == int(address) >> shift


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    mechanisms: tuple[Mechanism, ...]
    redirect: Template | None = None
    explanation: Template | None = None


def select(texts: Sequence[bytes]) -> bytes | None:
    """The record among the TXT records of a domain, None if there is none.

    Raises `RecordError` if there are several: section 4.5.
    """
    records = [text for text in texts if _VERSION.match(text)]
    if len(records) > 1:
        raise RecordError("there are several SPF records")
    return records[0] if records else None


@lru_cache(maxsize=256)
def parse(octets: bytes) -> Record:
    """What `select` found, read.  Raises `RecordError`."""
    if len(octets) > OCTETS:
        raise RecordError(f"the SPF record is longer than {OCTETS} octets")
    try:
        text = octets.decode("ascii")
    except UnicodeDecodeError:
        raise RecordError("the SPF record has characters outside ASCII") from None
    terms = [term for term in text[6:].split(" ") if term]
    if len(terms) > TERMS:
        raise RecordError(f"the SPF record has more than {TERMS} terms")
    mechanisms: list[Mechanism] = []
    modifiers: dict[str, Template] = {}
    for term in terms:
        try:
            _term(term, mechanisms, modifiers)
        except ValueError as error:  # MacroError, and those of ipaddress
            raise RecordError(f'"{term[:80]}" is not understood: {error}') from None
    ended = any(mechanism.name == "all" for mechanism in mechanisms)  # section 6.1
    return Record(
        mechanisms=tuple(mechanisms),
        redirect=None if ended else modifiers.get("redirect"),
        explanation=modifiers.get("exp"),
    )


def _term(term: str, mechanisms: list[Mechanism], modifiers: dict[str, Template]) -> None:
    found = _MODIFIER.fullmatch(term)
    if found is None:
        mechanisms.append(_mechanism(term))
        return
    name, value = found[1].lower(), found[2]
    if name not in ("redirect", "exp"):
        spf_macro.parse(value)  # section 6: unknown ones are passed over, but they must be well-formed
    elif name in modifiers:
        raise MacroError("it stands there twice")
    else:
        modifiers[name] = spf_macro.parse_domain(value)


def _mechanism(term: str) -> Mechanism:
    """Sections 4.6.1 and 5.  Raises ValueError."""
    bare = _BARE.fullmatch(term)
    found = bare or _DIRECTIVE.fullmatch(term)
    if found is None:
        raise MacroError("no mechanism is written like that")
    result = _QUALIFIERS[found[1] or "+"]
    name, argument = found[2].lower(), found[3]
    if name in ("a", "mx"):
        target, ip4, ip6 = _dual(argument, bare=bare is not None)
        return Mechanism(text=term, name=name, result=result, target=target, ip4=ip4, ip6=ip6)
    if name in ("ip4", "ip6"):
        address, length = _network(name, argument or "")
        lengths = (length, 128) if name == "ip4" else (32, length)
        return Mechanism(text=term, name=name, result=result, address=address, ip4=lengths[0], ip6=lengths[1])
    if name == "all" and argument is None:
        return Mechanism(text=term, name=name, result=result)
    if name == "ptr" and argument is None:
        return Mechanism(text=term, name=name, result=result)
    if name in ("include", "exists", "ptr") and argument is not None:
        return Mechanism(text=term, name=name, result=result, target=spf_macro.parse_domain(argument))
    raise MacroError("there is no such mechanism" if argument is None else "the mechanism takes no domain like that")


def _dual(argument: str | None, *, bare: bool) -> tuple[Template | None, int, int]:
    """[domain-spec] [dual-cidr-length]: section 5.3."""
    if argument is None:
        return None, 32, 128
    lengths = _DUAL.search(argument)
    assert lengths is not None
    ip4, ip6 = int(lengths[1] or 32), int(lengths[2] or 128)
    if ip4 > 32 or ip6 > 128:
        raise MacroError("the prefix is too long")
    domain = argument[: lengths.start()]
    if bare:
        if domain:
            raise MacroError("the prefix is no number")
        return None, ip4, ip6
    return spf_macro.parse_domain(domain), ip4, ip6


def _network(name: str, argument: str) -> tuple[Address, int]:
    """Address and length of the prefix: section 5.6.  Raises ValueError."""
    text, slash, digits = argument.partition("/")
    if "%" in text or (slash and not _LENGTH.fullmatch(digits)):
        raise MacroError("the address or its prefix is wrong")
    address, longest = (IPv4Address(text), 32) if name == "ip4" else (IPv6Address(text), 128)
    length = int(digits) if slash else longest
    if length > longest:
        raise MacroError("the prefix is too long")
    return address, length
