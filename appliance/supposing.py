"""A mail that nobody has sent: what is known of it, so that the verdict on it can be told beforehand.

What can be looked up is looked up as for a real mail: SPF of the sender in the DNS, his groups in the directory.  What
only a mail can show is supposed: its author, and whether a signature proves him.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from appliance.peer import Address, Network, plain_ip
from appliance.policy import Facts, Verdict
from appliance.proof.conclude import conclude
from appliance.proof.result import DkimFinding, Findings, Proven, Result, SpfFinding
from mailstore import address as addresses
from mailstore.directory.contract import People

_NOWHERE = "0.0.0.0"  # noqa: S104 - an address nobody has
SUPPOSED_HELO = "mail.invalid"
AskSpf = Callable[[Address, str, str], Awaitable[SpfFinding]]
"""`MailAuth.spf`: of a client's address, its HELO and a reverse-path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """A mail as somebody imagines it."""

    sender: str  # the envelope sender, "" for the null one
    ip: str = ""  # where it comes from; "": the site's own networks
    login: bool = False  # sent with a login whose address the sender is
    author: str | None = None  # of the From field; None: the sender
    signed: bool = False  # DKIM proves the author

    @property
    def connected(self) -> str:
        where = f"from {self.ip}" if self.ip else "from anywhere" if self.login else "from the site's own networks"
        where += " and logged in" if self.login else ""
        where += f", with the author {self.author or 'nobody'}" if self.author not in (None, self.sender) else ""
        return where + (", signed by the author's domain" if self.signed else "")


async def facts_of(
    supposed: Supposed, networks: Collection[Network], *, behind: str, people: People | None, spf: AskSpf | None
) -> Facts:
    """All that would be known when it has come.

    `networks` are `policy.insiders`, `behind` is as in `[smtp]`.  Raises `PermanentFailure` for an address of a client
    that is none, and `TransientFailure` where the directory does not answer.
    """
    sender = addresses.canonical(supposed.sender) if supposed.sender else ""
    author = sender if supposed.author is None else addresses.canonical(supposed.author)
    inside = next(iter(networks), None)
    ip = plain_ip(supposed.ip or (_NOWHERE if supposed.login or inside is None else str(inside.network_address)))
    insider = any(ip in network for network in networks)
    applies = bool(sender) and not (insider or supposed.login or behind)
    finding: SpfFinding | None = SpfFinding(result=Result.NONE)
    if applies:
        finding = await spf(ip, SUPPOSED_HELO, supposed.sender) if spf else None
    person = await people.person_by_address(sender) if people and sender else None
    return Facts(
        sender=supposed.sender,
        ip=ip,
        insider=insider,
        login=frozenset({sender}) if supposed.login and sender else frozenset(),
        groups=frozenset(person.groups) if person else frozenset(),
        spf=finding.result if finding else None,
        author=author,
        message=_proven(supposed, author, finding),
    )


def _proven(supposed: Supposed, author: str, spf: SpfFinding | None) -> Proven:
    recipient = "printer@example.com"
    signature = DkimFinding(
        result=Result.PASS, domain=author.rpartition("@")[2], names=frozenset((recipient,)), digest=b"supposed"
    )
    findings = Findings(author=author, spf=spf, dkim=(signature,) if supposed.signed else ())
    return conclude(findings, reverse_path=supposed.sender, recipient=recipient, forwarders=())


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The verdict on a supposed mail, and one sentence on it."""

    verdict: Verdict
    sentence: str

    @property
    def allowed(self) -> bool:
        return self.verdict.allowed is True

    @property
    def uncertain(self) -> bool:
        """Whether the DNS would have to answer first."""
        return self.verdict.allowed is None or self.verdict.status.startswith("4.")
