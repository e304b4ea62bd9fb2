"""What is known of one mail, and what that says to one rule: yes, no, or what must be known first.  No I/O.

Security: senders and authors are claims of strangers in canonical form.  `Mail.claims` believes them, `Mail.denied_by`
believes the worst, `Mail.proved` believes nobody.  No signature covers an envelope, so one proves a sender only who is
the author himself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from appliance.peer import Address
from appliance.policy.rules import Kind, Rule, folded
from appliance.proof.result import Proven, Result
from mailstore import address as addresses
from mailstore.job import Proof


class Want(StrEnum):
    """An unknown fact that could change the verdict."""

    GROUPS = "groups"
    SPF = "spf"
    AUTHOR = "author"
    MESSAGE = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a mail so far; None: not yet."""

    sender: str  # the reverse-path, "" for the null one
    ip: Address
    insider: bool = False  # a client in the site's networks, on a listener that is end to end
    login: frozenset[str] = frozenset()  # canonical addresses of the login, empty without one: it proves no other
    token: bool = False  # the recipient is a capability address of this printer that stands
    groups: frozenset[str] | None = None  # of the person whose address the sender is
    spf: Result | None = None  # of the reverse-path, never of HELO; NONE where it does not apply
    author: str | None = None  # the one From author, canonical; "" for none or several
    message: Proven | None = None  # what the whole message proves


Answer = bool | frozenset[Want]
"""Three-valued: True, False, or what must be known first."""


def both(one: Answer, other: Answer) -> Answer:
    if one is False or other is False:
        return False
    if one is True or other is True:
        return other if one is True else one
    return one | other


def either(one: Answer, other: Answer) -> Answer:
    if one is True or other is True:
        return True
    if one is False or other is False:
        return other if one is False else one
    return one | other


class Mail:
    """The facts, in the form in which rules ask for them."""

    __slots__ = ("author", "domain", "facts", "groups", "own", "sender")

    def __init__(self, facts: Facts) -> None:
        self.facts = facts
        self.sender = addresses.canonical(facts.sender) if facts.sender else ""
        self.domain = self.sender.rpartition("@")[2]
        self.groups = None if facts.groups is None else frozenset(map(folded, facts.groups))
        self.own = bool(self.sender) and self.sender in facts.login
        self.author = facts.author

    def claims(self, rule: Rule) -> Answer:
        """Whether the mail says of itself what the rule names."""
        match rule.kind:
            case Kind.ADDRESS:
                return self.sender == rule.value
            case Kind.DOMAIN:
                return self.domain == rule.value
            case Kind.GROUP:
                return frozenset({Want.GROUPS}) if self.groups is None else rule.value in self.groups
            case Kind.AUTHOR:
                return frozenset({Want.AUTHOR}) if self.author is None else self.author == rule.value
            case Kind.IP:
                return rule.network is not None and self.facts.ip in rule.network
            case Kind.AUTHENTICATED:
                return self.own
            case Kind.ANYONE:
                return True

    def denied_by(self, rule: Rule) -> Answer:
        """As `claims`, but nobody escapes by a subaddress, nor by another address of his login."""
        match rule.kind:
            case Kind.ADDRESS:
                return rule.value in self._names()
            case Kind.DOMAIN:
                return any(name.rpartition("@")[2] == rule.value for name in self._names())
            case Kind.AUTHOR if self.author is not None:
                return self.author == "" or rule.value in (self.author, addresses.split_subaddress(self.author)[0])
            case _:
                return self.claims(rule)

    def _names(self) -> frozenset[str]:
        """Whose mail it may be, as far as its envelope and its login say."""
        written = (self.sender, *self.facts.login)
        return frozenset(written).union(addresses.split_subaddress(name)[0] for name in written)

    def proved(self, kind: Kind) -> Answer:
        """Whether the address that a rule of this kind looks at is proved."""
        if self.facts.insider:
            return True  # his network answers for him, whatever he writes
        match kind:
            case Kind.ADDRESS | Kind.GROUP:
                return self._envelope(whole=True)
            case Kind.DOMAIN:
                return self._envelope(whole=False)
            case Kind.AUTHOR:
                return self._authorship()
            case Kind.ANYONE | Kind.IP | Kind.AUTHENTICATED:
                return either(self._envelope(whole=True), self._authorship())

    def _envelope(self, *, whole: bool) -> Answer:
        """No signature covers the envelope: it proves a sender only who is the author, or of his domain."""
        facts = self.facts
        if self.own or facts.spf is Result.PASS:
            return True
        wants = {Want.SPF} if facts.spf is None else set()
        if self.author is None:
            wants |= self._of_the_author()
        elif self._author_sends(whole=whole):
            if facts.message is None:
                wants.add(Want.MESSAGE)
            elif self._signed(whole=whole):
                return True
        return frozenset(wants) or False

    def _of_the_author(self) -> frozenset[Want]:
        return frozenset({Want.AUTHOR, Want.MESSAGE} if self.facts.message is None else {Want.AUTHOR})

    def _author_sends(self, *, whole: bool) -> bool:
        author = self.author or ""
        return author == self.sender if whole else author.rpartition("@")[2] == self.domain

    def _signed(self, *, whole: bool) -> Proof:
        """By what a signature proves the sender; never by SPF, which was asked before."""
        proven = self.facts.message
        if proven is None or not self._author_sends(whole=whole):
            return Proof.NONE
        found = proven.envelope if whole or proven.envelope in _SIGNED else proven.envelope_domain
        return found if found in _SIGNED else Proof.NONE

    def _authorship(self) -> Answer:
        if self.author is None:
            return self._of_the_author()
        if not self.author:
            return False
        if self.own and self.author in self.facts.login:
            return True
        proven = self.facts.message
        return frozenset({Want.MESSAGE}) if proven is None else proven.author is not Proof.NONE

    def proof(self, kind: Kind) -> tuple[Proof, str]:
        """What proves the address that a rule of this kind looks at, as far as is known, and which address that is."""
        if self.own or self.facts.insider:
            return Proof.LOGIN if self.own else Proof.NETWORK, self.sender
        found, address = Proof.NONE, ""
        if kind is not Kind.AUTHOR:
            signed = self._signed(whole=kind is not Kind.DOMAIN)
            found = Proof.SPF if self.facts.spf is Result.PASS else signed
            whole = found is Proof.SPF or bool(self._signed(whole=True))
            address = "" if not found else self.sender if whole else self.author or ""
        if not found and kind not in (Kind.ADDRESS, Kind.GROUP, Kind.DOMAIN) and self.author and self.facts.message:
            found = self.facts.message.author
            address = self.author if found else ""
        return (Proof.TOKEN if self.facts.token else found), address


_SIGNED = (Proof.DKIM, Proof.ARC)
