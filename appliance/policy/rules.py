"""One rule of a printer, read: whom it names.  No I/O.

Security: rules come from the directory, which strangers do not write.  What cannot be read is an error and never a rule
that matches less, or more, than was meant; it is shown again cut short and escaped.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from appliance.peer import Network
from mailstore import address as addresses
from mailstore.failure import PermanentFailure
from mailstore.network import network

KINDS = "ada@example.com, @example.com, group:staff, from:ada@example.com, ip:192.0.2.0/24, authenticated or *"
_GROUP_OCTETS = 255


class Kind(StrEnum):
    """What a rule looks at."""

    ADDRESS = "address"
    DOMAIN = "domain"
    GROUP = "group"
    AUTHOR = "from"
    IP = "ip"
    AUTHENTICATED = "authenticated"
    ANYONE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, read.  `value` is a canonical address, a domain, a group's name, or ""; `network` only for `ip:`."""

    text: str
    kind: Kind
    value: str = ""
    network: Network | None = None


@lru_cache(maxsize=4096)
def parse_rule(text: str) -> Rule:
    """Raises `PermanentFailure` ("5.5.4") that names the rules there are."""
    word = text.strip()
    lower = word.lower()
    if lower in (Kind.ANYONE, Kind.AUTHENTICATED):
        return Rule(text=lower, kind=Kind(lower))
    if lower.startswith("group:"):
        return _group_rule(word)
    if lower.startswith("ip:"):
        return _network_rule(word)
    if lower.startswith("@"):
        domain = _canonical(f"x{word}", word).rpartition("@")[2]
        return Rule(text=f"@{domain}", kind=Kind.DOMAIN, value=domain)
    if lower.startswith("from:"):
        author = _canonical(word[5:], word)
        return Rule(text=f"from:{author}", kind=Kind.AUTHOR, value=author)
    sender = _canonical(word, word)
    return Rule(text=sender, kind=Kind.ADDRESS, value=sender)


def _group_rule(word: str) -> Rule:
    name = folded(word[6:].strip())
    if name in ("", "*") or not name.isprintable() or len(name.encode("utf-8", "surrogatepass")) > _GROUP_OCTETS:
        text = f"{word[:80]!a} names no group; write group: and the name that it has in the directory"
        raise PermanentFailure("5.5.4", text)
    return Rule(text=f"group:{name}", kind=Kind.GROUP, value=name)


def folded(name: str) -> str:
    """A group's name as LDAP compares it: without case, one space for several (RFC 4518 sections 2.2 and 2.6.1)."""
    return unicodedata.normalize("NFC", re.sub(" +", " ", name.lower()))


def _network_rule(word: str) -> Rule:
    try:
        found = network(word[3:].strip())
    except ValueError:
        raise PermanentFailure("5.5.4", f'the rule "{word}" names no network; write ip:192.0.2.0/24') from None
    return Rule(text=f"ip:{found}", kind=Kind.IP, network=found)


def _canonical(address: str, word: str) -> str:
    if "*" in address:  # it may stand in an address, but nobody has one: who writes it means something else
        raise PermanentFailure("5.5.4", f'"{word}" is not a rule: * stands alone; write {KINDS}')
    try:
        path = addresses.parse_path(f"<{address}>", utf8=True, null_allowed=False)
    except PermanentFailure:
        path = addresses.NULL
    if not path.domain:
        raise PermanentFailure("5.5.4", f'"{word}" is not a rule; write {KINDS}')
    return addresses.canonical(path.address)
