"""Who may print where: a printer's rules, and what they say about one sender.  Closed by default.

Rules: `ada@example.com` (the envelope sender) · `@example.com` (its domain) · `from:ada@example.com` (the one From
author) · `ip:10.0.0.0/8` · `authenticated` (SMTP AUTH) · `*` (anyone who proves an address).  Deny rules first, then
allow rules, none matched: refused.

Security: an envelope sender is a claim that costs nothing to make.  So an address only counts towards *allow* when it
is proved; towards *deny* the claim is enough.  Proofs that there are: a login's own address, and a client in the site's
own networks, where the site answers for its people.  What a stranger is told names no rule and no other sender.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from appliance.peer import Address, Network, plain_ip, within
from mailstore import address as addresses
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure
from mailstore.network import network

KINDS = "ada@example.com, @example.com, from:ada@example.com, ip:192.0.2.0/24, authenticated or *"
ONLY_INSIDERS = "only logins and clients in the site's own networks may print here until senders can be verified"


class Trust(StrEnum):
    """Fixed at receipt; decides what reaches the printer."""

    INSIDER = "insider"  # SMTP AUTH, or a client in the site's own networks
    VERIFIED = "verified"  # SPF or DKIM proved the sender
    STRANGER = "stranger"


class Kind(StrEnum):
    """What a rule looks at."""

    ADDRESS = "address"
    DOMAIN = "domain"
    AUTHOR = "from"
    IP = "ip"
    AUTHENTICATED = "authenticated"
    ANYONE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule, read.  `value` is a canonical address, a domain, or "" ; `network` only for `ip:`."""

    text: str
    kind: Kind
    value: str = ""
    network: Network | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether this sender may print here, and why.

    `status` is an enhanced status code (RFC 3463), `sentence` what a stranger may read, `rule` the text of the rule
    that decided ("" if none did), `advice` what the administrator should know, `remedy` a rule that would let the
    sender print ("" if none can, or he may).
    """

    allowed: bool
    status: str
    sentence: str
    rule: str
    trust: Trust
    advice: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sender:
    address: str  # canonical, "" for the null reverse-path
    domain: str
    ip: Address
    insider: bool
    authenticated: bool

    @property
    def proved(self) -> bool:
        """A null reverse-path names nobody, so nobody can prove it."""
        return bool(self.address) and (self.insider or self.authenticated)


def insiders(networks: Iterable[Network], behind: str) -> tuple[Network, ...]:
    """The networks whose clients are insiders by their address.

    None where `[smtp] behind` says that whoever connects is not the sender: a mail server's address, or a translator's,
    would make everybody behind it one of the site.
    """
    return () if behind else tuple(networks)


@lru_cache(maxsize=4096)
def parse_rule(text: str) -> Rule:
    """Raises `PermanentFailure` ("5.5.4") that names the rules there are."""
    word = text.strip()
    lower = word.lower()
    if lower in (Kind.ANYONE, Kind.AUTHENTICATED):
        return Rule(text=lower, kind=Kind(lower))
    if lower.startswith("group:"):
        raise PermanentFailure(
            "5.5.4", f'the rule "{word}" cannot be used yet: groups come with the directory of people'
        )
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


def _network_rule(word: str) -> Rule:
    try:
        found = network(word[3:].strip())
    except ValueError:
        raise PermanentFailure("5.5.4", f'the rule "{word}" names no network; write ip:192.0.2.0/24') from None
    return Rule(text=f"ip:{found}", kind=Kind.IP, network=found)


def _canonical(address: str, word: str) -> str:
    try:
        return addresses.canonical(addresses.parse_path(f"<{address}>", utf8=True, null_allowed=False).address)
    except PermanentFailure:
        raise PermanentFailure("5.5.4", f'"{word}" is not a rule; write {KINDS}') from None


def judge(
    printer: Printer, *, sender: str, client_ip: str, networks: Iterable[Network], authenticated: str = ""
) -> Verdict:
    """May `sender` (the reverse-path, "" for the null one), connected from `client_ip`, print on `printer`?

    A rule in the entry that cannot be read refuses everybody: it may have been meant to.
    """
    known = tuple(networks)
    who = _sender(sender, client_ip, known, authenticated)
    trust = Trust.INSIDER if who.insider or who.authenticated else Trust.STRANGER
    try:
        deny = [parse_rule(text) for text in printer.deny]
        allow = [parse_rule(text) for text in printer.allow]
    except PermanentFailure as failure:
        return _no(trust, "this printer's rules cannot be read; its administrator must correct them", failure.text)
    for rule in deny:
        if _matches(rule, who, proved=True):
            # The same words whether or not the claimed address is on a list: the lists are nobody's business.
            sentence = ONLY_INSIDERS if trust is Trust.STRANGER else _REFUSED
            return _no(trust, sentence, f"the rule {rule.text} refuses it", rule.text)
    for rule in allow:
        if _matches(rule, who, proved=who.proved):
            if trust is Trust.STRANGER and not printer.drained_by_bridge:
                way = "or name the client's network there" if known else "or send with a login"
                return _no(trust, ONLY_INSIDERS, f"{_RAW}: give it a device address, {way}", rule.text)
            return Verdict(
                allowed=True,
                status="2.1.5",
                sentence="may print",
                rule=rule.text,
                trust=trust,
                advice=f"the rule {rule.text} allows it",
            )
    return _unmatched(allow, who, trust, anybody_inside=bool(known))


_RAW = "the printer fetches its mail as it came, and nothing redraws what a client outside [site] networks sends"
_REFUSED = "this sender may not print here"


def _no(trust: Trust, sentence: str, advice: str, rule: str = "", remedy: str = "") -> Verdict:
    return Verdict(
        allowed=False, status="5.7.1", sentence=sentence, rule=rule, trust=trust, advice=advice, remedy=remedy
    )


def _unmatched(allow: list[Rule], who: _Sender, trust: Trust, *, anybody_inside: bool) -> Verdict:
    if trust is Trust.STRANGER:
        outside = f"{who.ip} is not in [site] networks"
        if not anybody_inside:
            outside = "nobody is of the site by his address ([smtp] behind, [site] networks)"
        return _no(trust, ONLY_INSIDERS, f"{outside}, and no ip: rule names it: {ONLY_INSIDERS}")
    if not allow:
        return _no(trust, _REFUSED, "the printer has no rule that lets anybody print", remedy=who.address)
    if not who.address:
        return _no(trust, "the null reverse-path proves no sender", "only an ip: rule can allow mail without a sender")
    advice = "no rule matches"
    if any(rule.kind is Kind.AUTHOR for rule in allow):
        advice += "; from: rules look at the header, which is not done yet, so they match nobody"
    if any(rule.kind is Kind.AUTHENTICATED for rule in allow):
        advice += "; the rule authenticated wants a login: send by submission, with user name and password"
    return _no(trust, _REFUSED, advice, remedy=who.address)


def _sender(sender: str, client_ip: str, networks: Iterable[Network], authenticated: str) -> _Sender:
    ip = plain_ip(client_ip)
    address = addresses.canonical(sender) if sender else ""
    return _Sender(
        address=address,
        domain=address.rpartition("@")[2],
        ip=ip,
        insider=within(ip, networks),
        # A login proves its own address and no other.
        authenticated=bool(authenticated) and (not address or addresses.canonical(authenticated) == address),
    )


def _matches(rule: Rule, who: _Sender, *, proved: bool) -> bool:
    match rule.kind:
        case Kind.ADDRESS:
            return proved and who.address == rule.value
        case Kind.DOMAIN:
            return proved and bool(who.domain) and who.domain == rule.value
        case Kind.IP:
            return rule.network is not None and who.ip in rule.network
        case Kind.AUTHENTICATED:
            return who.authenticated
        case Kind.ANYONE:
            return proved
        case Kind.AUTHOR:
            return False


def why(
    printer: Printer,
    *,
    sender: str,
    client_ip: str = "",
    networks: Iterable[Network],
    authenticated: str = "",
    remedy: str = "the rule {} would allow it",
) -> tuple[bool, str]:
    """Whether `sender` may print, and one sentence on it for the administrator.

    `remedy` says, where a rule can help, how it is given.
    `networks` are `insiders`.  `authenticated` is an address of the login that he uses, if any.  Without it and
    `client_ip`, for a client in these networks.  Raises `PermanentFailure` for a client that is no address.
    """
    known = tuple(networks)
    if authenticated and not (sender and addresses.canonical(sender) == addresses.canonical(authenticated)):
        told = f"{sender or 'the null reverse-path <>'} may not be used by the login of {authenticated}"
        return False, f"{told}: a login sends from its own addresses only"
    nowhere = "0.0.0.0"  # noqa: S104 - an address nobody has
    ip = client_ip or (str(known[0].network_address) if known and not authenticated else nowhere)
    verdict = judge(printer, sender=sender, client_ip=ip, networks=known, authenticated=authenticated)
    where = f"from {client_ip}" if client_ip else "from the site's own networks"
    if not client_ip and (authenticated or not known):
        where = "from anywhere"
    where += " and logged in" if authenticated else ""
    may = "may" if verdict.allowed else "may not"
    told = f"{sender or 'the null reverse-path <>'}, connected {where}, {may} print on {printer.name}: {verdict.advice}"
    return verdict.allowed, f"{told}; {remedy.format(verdict.remedy)}" if verdict.remedy else told
