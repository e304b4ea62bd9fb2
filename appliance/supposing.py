"""A mail that nobody has sent: what is known of it, so that the verdict on it can be told beforehand.

What can be looked up is looked up as for a real mail, by what the door asks: SPF and DMARC of the sender in the DNS,
his groups in the directory.  What only a mail can show is supposed: its author, whether a signature proves him, whether
it came to an address that was given away.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance import holding
from appliance.peer import Network, plain_ip, within
from appliance.policy import Facts, Verdict, answerable, why
from appliance.proof.conclude import conclude
from appliance.proof.result import DkimFinding, Findings, Result
from mailstore import address as addresses
from mailstore.directory.contract import People
from mailstore.directory.records import Printer

if TYPE_CHECKING:
    from appliance.mailauth import MailAuth  # asks name servers, which most commands do not

_NOWHERE = "0.0.0.0"  # noqa: S104 - an address nobody has
_HELO = "mail.invalid"
_PRINTER = "printer@example.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Supposed:
    """A mail as somebody imagines it."""

    sender: str  # the envelope sender, "" for the null one
    ip: str = ""  # where it comes from; "": the site's own networks
    login: bool = False  # sent with a login whose address the sender is
    author: str | None = None  # the one of the From field, "" for none or several; None: the sender
    signed: bool = False  # DKIM of the author's domain proves the author
    given_away: bool = False  # sent to an address of this printer that was given away, and still stands

    @property
    def connected(self) -> str:
        where = f"from {self.ip}" if self.ip else "from anywhere" if self.login else "from the site's own networks"
        where += " and logged in" if self.login else ""
        where += ", to an address that was given away" if self.given_away else ""
        where += f", with the author {self.author or 'nobody'}" if self.author not in (None, self.sender) else ""
        return where + (", signed by the author's domain" if self.signed else "")


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


async def answer(
    supposed: Supposed, printer: Printer, members: Sequence[Printer], *, remedy: str, **asked: Any
) -> Answer:
    """What the door would say, with whether the job would wait then; `asked` and what it raises as of `facts_of`.

    `members`: what prints; `remedy` as of `policy.why`.
    """
    known = await facts_of(supposed, printer, **asked)
    verdict, sentence = why(printer, known, members, connected=supposed.connected, remedy=remedy)
    waits = holding.would_wait(members, answered=answerable(known)) if verdict.allowed else ""
    return Answer(verdict=verdict, sentence=f"{sentence}; {waits}" if waits else sentence)


async def facts_of(
    supposed: Supposed,
    printer: Printer,
    *,
    networks: Collection[Network],
    behind: str,
    people: People | None,
    mailauth: MailAuth | None,
) -> Facts:
    """All that would be known when it has come, to be judged by the rules of `printer`.

    `networks` are `policy.insiders`, `behind` is as in `[smtp]`.  Raises `PermanentFailure` for what is no address, and
    `TransientFailure` where the directory does not answer.
    """
    sender = _address(supposed.sender)
    author = sender if supposed.author is None else _address(supposed.author)
    inside = next(iter(networks), None)
    ip = plain_ip(supposed.ip or (_NOWHERE if supposed.login or inside is None else str(inside.network_address)))
    insider = within(ip, networks)
    applies = bool(sender) and not (insider or supposed.login or behind)
    spf = await mailauth.spf(ip, _HELO, supposed.sender) if applies and mailauth else None
    findings = Findings(author=author, spf=spf)
    if mailauth and not (insider or (supposed.login and author == sender)):  # nor is anything asked at the door
        header = f"From: <{author}>\r\n".encode() if author else b""
        findings = await mailauth.examine(header).end(spf)
    if supposed.signed:
        findings = replace(findings, dkim=(_signature(author),), dmarc=None)
    return Facts(
        sender=supposed.sender,
        ip=ip,
        insider=insider,
        login=frozenset({sender}) if supposed.login and sender else frozenset(),
        token=supposed.given_away,
        groups=await people.groups(sender) if people and sender and _names_groups(printer) else frozenset(),
        spf=spf.result if spf else None if applies else Result.NONE,
        author=author,
        message=conclude(findings, reverse_path=supposed.sender, recipient=_PRINTER, forwarders=()),
    )


def _address(text: str) -> str:
    return addresses.canonical(addresses.parse_path(f"<{text}>", utf8=True, null_allowed=True).address)


def _names_groups(printer: Printer) -> bool:
    return any(rule.strip().lower().startswith("group:") for rule in (*printer.allow, *printer.deny))


def _signature(author: str) -> DkimFinding:
    domain = author.rpartition("@")[2]
    return DkimFinding(result=Result.PASS, domain=domain, names=frozenset((_PRINTER,)), digest=b"supposed")
