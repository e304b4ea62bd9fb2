"""Who may print, as a table: printers, mails, and what becomes of them.

A row says everything that is needed to act it out by SMTP: where the client connects from, what the mail claims, what
the DNS of its sender says of it and who signed it.  `facts` is the same as the policy is told it, step by step.
docs/reference/who-may-print.md is written from it.

Example people: Ada is a teacher at school, Eve a pupil there, Mallory is nobody's friend.  `{inside}`, `{outside}` and
`{library}` in a rule stand for addresses of clients.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from types import MappingProxyType

from appliance.policy import Facts, Moment, Trust
from appliance.proof.conclude import conclude
from appliance.proof.result import DkimFinding, Findings, Result, SpfFinding
from mailstore import address as addresses
from mailstore.directory.records import Printer, Raw
from mailstore.job import Proof

ADA, EVE, MALLORY = "ada@example.org", "eve@example.org", "mallory@example.net"
PRINTER = "office@example.com"
GROUPS: Mapping[str, frozenset[str]] = MappingProxyType(
    {ADA: frozenset({"teachers", "staff"}), EVE: frozenset({"pupils"})}
)
CLIENTS: Mapping[str, str] = MappingProxyType({"inside": "10.0.0.7", "outside": "192.0.2.7", "library": "192.0.2.99"})
"""Where a client connects from; another site may be put in their place."""


class Where(StrEnum):
    INSIDE = "inside"
    OUTSIDE = "outside"
    LIBRARY = "library"  # outside of the site's networks, too
    LOGIN = "login"  # by submission, from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """A DKIM signature and how it fares."""

    domain: str  # d=
    result: Result = Result.PASS  # TEMPERROR: the DNS does not answer for its key
    to: str = PRINTER  # the signed To


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What becomes of the mail."""

    allowed: bool
    moment: Moment
    trust: Trust = Trust.STRANGER
    proof: Proof = Proof.NONE
    status: str = "5.7.1"  # of the refusal

    @property
    def reply(self) -> str:
        """Code and status that the client sees at `moment`."""
        return "250" if self.allowed else f"{451 if self.status[0] == '4' else 550} {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One mail to one printer."""

    name: str  # a sentence without its full stop
    expected: Expected
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    polls: bool = False
    raw: Raw = Raw.INSIDER
    unverified_ok: bool = False
    members: tuple[str, ...] = ()  # of a group: "bridged" or "polls" each
    where: Where = Where.OUTSIDE
    sender: str = ADA
    authors: tuple[str, ...] | None = None  # None: the sender
    spf: Result = Result.NONE  # what the record of the sender's domain says of this client
    signature: Signature | None = None
    token: bool = False
    behind: str = ""  # [smtp] behind

    def printer(self, clients: Mapping[str, str] = CLIENTS) -> Printer:
        return Printer(
            name="office",
            addresses=(PRINTER,),
            uri="" if self.polls or self.members else "socket://192.0.2.200:9100",
            allow=tuple(rule.format(**clients) for rule in self.allow),
            deny=tuple(rule.format(**clients) for rule in self.deny),
            unverified_ok=self.unverified_ok,
            raw=self.raw,
            members=tuple(f"{kind}-{number}" for number, kind in enumerate(self.members)),
        )

    def group(self) -> list[Printer]:
        """The members, where it is a group; they have no rules, so that nobody could print on them directly."""
        return [
            Printer(
                name=f"{kind}-{number}",
                addresses=(f"{kind}-{number}@example.com",),
                uri="" if kind == "polls" else "socket://192.0.2.201:9100",
            )
            for number, kind in enumerate(self.members)
        ]

    @property
    def author(self) -> str:
        """The one From author."""
        authors = (self.sender,) if self.authors is None else self.authors
        return addresses.canonical(authors[0]) if len(authors) == 1 else ""

    def facts(self, clients: Mapping[str, str] = CLIENTS) -> Facts:
        """All of them, as they are known when the message has ended."""
        sender = addresses.canonical(self.sender)
        insider = self.where is Where.INSIDE and not self.behind
        login = self.where is Where.LOGIN
        applies = bool(sender) and not (insider or login or self.behind)
        spf = self.spf if applies else Result.NONE
        return Facts(
            sender=self.sender,
            ip=ip_address(clients["outside" if login else self.where]),
            insider=insider,
            login=frozenset({sender}) if login else frozenset(),
            token=self.token,
            groups=GROUPS.get(sender, frozenset()),
            spf=spf,
            author=self.author,
            message=conclude(self._findings(sender, spf), reverse_path=self.sender, recipient=PRINTER, forwarders=()),
        )

    def _findings(self, sender: str, spf: Result) -> Findings:
        signed = self.signature
        finding = signed and DkimFinding(
            result=signed.result, domain=signed.domain, names=frozenset({signed.to}), digest=self.name.encode()
        )
        return Findings(
            author=self.author,
            spf=SpfFinding(result=spf, domain=sender.rpartition("@")[2]),
            dkim=(finding,) if finding else (),
        )

    def steps(self) -> Iterator[tuple[Moment, Facts]]:
        """What is known at each moment, once the directory and the DNS have answered."""
        whole = self.facts()
        yield Moment.RCPT, replace(whole, author=None, message=None)
        yield Moment.HEADER, replace(whole, message=None)
        yield Moment.DATA, whole


RCPT, HEADER, DATA = Moment.RCPT, Moment.HEADER, Moment.DATA
_TRUST = {Proof.LOGIN: Trust.INSIDER, Proof.NETWORK: Trust.INSIDER, Proof.NONE: Trust.STRANGER}


def yes(moment: Moment, proof: Proof) -> Expected:
    return Expected(allowed=True, moment=moment, proof=proof, trust=_TRUST.get(proof, Trust.VERIFIED))


def no(moment: Moment) -> Expected:
    return Expected(allowed=False, moment=moment)


def later(moment: Moment) -> Expected:
    return Expected(allowed=False, moment=moment, status="4.4.3")


OWN, OTHER = Signature(domain="example.org"), Signature(domain="example.net")
_PROOFS: Mapping[str, tuple[Row, Expected, Expected]] = {
    # What proves Ada: how, and what that does for a rule on the envelope, and for one on the author.
    "sends with her login": (
        Row(name="", expected=no(RCPT), where=Where.LOGIN),
        yes(RCPT, Proof.LOGIN),
        yes(HEADER, Proof.LOGIN),
    ),
    "sends from the site's own networks": (
        Row(name="", expected=no(RCPT), where=Where.INSIDE),
        yes(RCPT, Proof.NETWORK),
        yes(HEADER, Proof.NETWORK),
    ),
    "sends from elsewhere and SPF says pass": (
        Row(name="", expected=no(RCPT), spf=Result.PASS),
        yes(RCPT, Proof.SPF),
        yes(DATA, Proof.SPF),
    ),
    "sends from elsewhere, without SPF, but her domain has signed": (
        Row(name="", expected=no(RCPT), signature=OWN),
        yes(DATA, Proof.DKIM),
        yes(DATA, Proof.DKIM),
    ),
    "is forwarded, so that SPF says fail, but her domain has signed": (
        Row(name="", expected=no(RCPT), spf=Result.FAIL, signature=OWN),
        yes(DATA, Proof.DKIM),
        yes(DATA, Proof.DKIM),
    ),
    "sends while SPF cannot be asked, but her domain has signed": (
        Row(name="", expected=no(RCPT), spf=Result.TEMPERROR, signature=OWN),
        yes(DATA, Proof.DKIM),
        yes(DATA, Proof.DKIM),
    ),
    **{
        f"sends from elsewhere and SPF says {spf}": (Row(name="", expected=no(RCPT), spf=spf), no(DATA), no(DATA))
        for spf in (Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL, Result.NONE, Result.PERMERROR)
    },
    "sends while SPF cannot be asked": (
        Row(name="", expected=no(RCPT), spf=Result.TEMPERROR),
        later(DATA),
        later(DATA),
    ),
    "sends while the key of her domain's signature cannot be asked for": (
        Row(name="", expected=no(RCPT), signature=replace(OWN, result=Result.TEMPERROR)),
        later(DATA),
        later(DATA),
    ),
    "sends from elsewhere with a signature that fails": (
        Row(name="", expected=no(RCPT), signature=replace(OWN, result=Result.FAIL)),
        no(DATA),
        no(DATA),
    ),
    "sends from elsewhere, signed by another domain": (
        Row(name="", expected=no(RCPT), signature=OTHER),
        no(DATA),
        no(DATA),
    ),
    "sends from elsewhere with a signed mail that was addressed to somebody else": (
        Row(name="", expected=no(RCPT), signature=replace(OWN, to="bob@example.com")),
        no(DATA),
        no(DATA),
    ),
}
_RULES = {
    ADA: "Ada is allowed",
    "@example.org": "Her domain is allowed",
    "group:Teachers": "Her group is allowed",
    "*": "Everybody who proves an address is allowed",
    f"from:{ADA}": "Ada is allowed as author",
}


def _proved() -> Iterator[Row]:
    for rule, told in _RULES.items():
        for how, (row, envelope, author) in _PROOFS.items():
            said = f"{told}, and {'Ada' if rule in (ADA, '*', '@example.org', 'group:Teachers') else 'she'} {how}"
            yield replace(row, name=said, allow=(rule,), expected=author if rule.startswith("from:") else envelope)


def _row(name: str, expected: Expected, *allow: str, **said: object) -> Row:
    return Row(name=name, expected=expected, allow=allow, **said)  # type: ignore[arg-type]


_PASS = Result.PASS
_CLAIMS: Sequence[Row] = (
    _row("A printer without rules prints for nobody, also not inside", no(RCPT), where=Where.INSIDE),
    _row("A printer without rules prints for nobody, also not with a login", no(RCPT), where=Where.LOGIN),
    _row("Who is not listed is refused at once, proved or not", no(RCPT), ADA, sender=EVE, spf=_PASS),
    _row(
        "Capitals make no other address", yes(RCPT, Proof.SPF), "Ada@Example.ORG", sender="ADA@example.org", spf=_PASS
    ),
    _row("A domain means no domain below it", no(RCPT), "@example.org", sender="ada@sub.example.org", spf=_PASS),
    _row("A domain means no domain that ends like it", no(RCPT), "@example.org", sender="a@notexample.org", spf=_PASS),
    _row(
        "A domain with an umlaut is the same in both ways to write it",
        yes(RCPT, Proof.NETWORK),
        "@b\u00fccher.example",
        sender="ada@xn--bcher-kva.example",
        where=Where.INSIDE,
    ),
    _row(
        "An address that is allowed is not allowed with a subaddress",
        no(RCPT),
        ADA,
        sender="ada+print@example.org",
        spf=_PASS,
    ),
    _row("Who is in another group is refused", no(RCPT), "group:teachers", sender=EVE, where=Where.INSIDE),
    _row("Who is in no group is refused", no(RCPT), "group:teachers", sender=MALLORY, spf=_PASS),
    _row("The first rule need not match, another may", yes(RCPT, Proof.SPF), EVE, "group:staff", ADA, spf=_PASS),
    _row("A login is allowed as such", yes(RCPT, Proof.LOGIN), "authenticated", where=Where.LOGIN),
    _row(
        "Where only logins are allowed the site's networks are not enough",
        no(RCPT),
        "authenticated",
        where=Where.INSIDE,
    ),
    _row("Where only logins are allowed SPF is not enough", no(RCPT), "authenticated", spf=_PASS),
    _row(
        "An address that her own network sends needs no DNS",
        yes(RCPT, Proof.NETWORK),
        "*",
        where=Where.INSIDE,
        spf=Result.FAIL,
    ),
)
_AUTHORS: Sequence[Row] = (
    _row(
        "Another author is refused when the header has come",
        no(HEADER),
        f"from:{ADA}",
        sender=MALLORY,
        authors=(EVE,),
        spf=_PASS,
    ),
    _row(
        "The author counts and not who sends for her",
        yes(DATA, Proof.DKIM),
        f"from:{ADA}",
        sender=MALLORY,
        authors=(ADA,),
        signature=OWN,
    ),
    _row(
        "A forged author is not proved by the sender's own SPF",
        no(DATA),
        f"from:{ADA}",
        sender=MALLORY,
        authors=(ADA,),
        spf=_PASS,
    ),
    _row(
        "A forged author is not proved by the forger's own signature",
        no(DATA),
        f"from:{ADA}",
        sender=MALLORY,
        authors=(ADA,),
        signature=OTHER,
    ),
    _row("Of several authors none counts", no(HEADER), f"from:{ADA}", authors=(ADA, MALLORY), spf=_PASS, signature=OWN),
    _row("A mail without an author has none", no(HEADER), f"from:{ADA}", authors=(), spf=_PASS),
    _row(
        "Who writes another author proves the author, not the envelope",
        no(HEADER),
        EVE,
        sender=EVE,
        authors=(ADA,),
        signature=OWN,
    ),
    _row(
        "A signature of her domain proves the domain of her colleague's envelope",
        yes(DATA, Proof.DKIM),
        "@example.org",
        sender=EVE,
        authors=(ADA,),
        signature=OWN,
    ),
    _row(
        "A signed author is somebody who proves an address",
        yes(DATA, Proof.DKIM),
        "*",
        sender=MALLORY,
        authors=(ADA,),
        signature=OWN,
    ),
    _row(
        "A proved envelope is enough, whatever the From field says",
        yes(RCPT, Proof.SPF),
        "*",
        sender=MALLORY,
        authors=(ADA,),
        spf=_PASS,
    ),
    _row(
        "A login with another author is not that author",
        no(DATA),
        f"from:{ADA}",
        sender=EVE,
        authors=(ADA,),
        where=Where.LOGIN,
    ),
    _row(
        "The site's network answers for the author too",
        yes(HEADER, Proof.NETWORK),
        f"from:{ADA}",
        sender=EVE,
        authors=(ADA,),
        where=Where.INSIDE,
    ),
    _row("Without an author and without SPF nobody is proved when the header has come", no(HEADER), "*", authors=()),
)
_DENIED: Sequence[Row] = (
    _row("A denied address is refused inside", no(RCPT), "*", deny=(EVE,), sender=EVE, where=Where.INSIDE),
    _row(
        "A denied address is refused with her login",
        no(RCPT),
        "authenticated",
        deny=(EVE,),
        sender=EVE,
        where=Where.LOGIN,
    ),
    _row(
        "Who is denied does not escape by a subaddress",
        no(RCPT),
        "@example.org",
        deny=(EVE,),
        sender="eve+novel@example.org",
        spf=_PASS,
    ),
    _row(
        "A denied author does not escape by a subaddress",
        no(HEADER),
        "*",
        deny=(f"from:{EVE}",),
        authors=("Eve+Novel@example.org",),
        where=Where.INSIDE,
    ),
    _row("A denied address needs no proof to be refused", no(RCPT), "*", deny=(EVE,), sender=EVE, spf=Result.FAIL),
    _row(
        "Deny comes before allow, also of the same address", no(RCPT), EVE, deny=(EVE,), sender=EVE, where=Where.INSIDE
    ),
    _row("A denied domain is refused", no(RCPT), "*", deny=("@example.org",), spf=_PASS),
    _row("A denied group is refused", no(RCPT), "@example.org", deny=("group:PUPILS",), sender=EVE, spf=_PASS),
    _row(
        "Who is not in a denied group prints", yes(RCPT, Proof.SPF), "@example.org", deny=("group:pupils",), spf=_PASS
    ),
    _row("A denied network is refused", no(RCPT), "*", deny=("ip:{outside}",), spf=_PASS),
    _row("Another network is not", yes(RCPT, Proof.SPF), "*", deny=("ip:{library}",), spf=_PASS),
    _row("Logins can be denied", no(RCPT), "*", deny=("authenticated",), where=Where.LOGIN),
    _row("Everybody can be denied", no(RCPT), ADA, deny=("*",), where=Where.INSIDE),
    _row(
        "A denied author is refused when the header has come",
        no(HEADER),
        "*",
        deny=(f"from:{EVE}",),
        authors=(EVE,),
        where=Where.INSIDE,
    ),
    _row(
        "Where an author is denied another one prints, but not before the header has come",
        yes(HEADER, Proof.SPF),
        "*",
        deny=(f"from:{EVE}",),
        spf=_PASS,
    ),
    _row(
        "Where an author is denied several authors are refused: he may be among them",
        no(HEADER),
        "*",
        deny=(f"from:{EVE}",),
        authors=(EVE, ADA),
        where=Where.INSIDE,
    ),
    _row(
        "Where an author is denied a mail without one is refused",
        no(HEADER),
        "*",
        deny=(f"from:{EVE}",),
        authors=(),
        where=Where.INSIDE,
    ),
    _row(
        "Who is denied is not asked to come again when the DNS does not answer",
        no(RCPT),
        "*",
        deny=(ADA,),
        spf=Result.TEMPERROR,
    ),
    _row("Who is not listed is not asked to come again either", no(RCPT), EVE, spf=Result.TEMPERROR),
    _row("A deny rule that cannot be read refuses everybody", no(RCPT), "*", deny=("group:",), where=Where.INSIDE),
    _row("An allow rule that cannot be read refuses everybody", no(RCPT), "*", "ip:everywhere", where=Where.INSIDE),
)
_NETWORKS: Sequence[Row] = (
    _row(
        "A library system is allowed by its address",
        yes(RCPT, Proof.NONE),
        "ip:{library}",
        where=Where.LIBRARY,
        sender=MALLORY,
    ),
    _row(
        "A library system that SPF proves is verified",
        yes(RCPT, Proof.SPF),
        "ip:{library}",
        where=Where.LIBRARY,
        spf=_PASS,
    ),
    _row("Another address is not the library system", no(RCPT), "ip:{library}", sender=MALLORY, spf=_PASS),
    _row(
        "An ip: rule for a client of the site keeps him an insider",
        yes(RCPT, Proof.NETWORK),
        "ip:{inside}",
        where=Where.INSIDE,
    ),
    _row(
        "The null reverse-path never prints, also not from an allowed address",
        no(RCPT),
        "ip:{library}",
        where=Where.LIBRARY,
        sender="",
    ),
    _row("The null reverse-path never prints, also not inside", no(RCPT), "*", where=Where.INSIDE, sender=""),
    _row("The null reverse-path never prints, also not at a capability address", no(RCPT), token=True, sender=""),
    _row("Behind another mail server nobody is inside", no(DATA), "*", where=Where.INSIDE, behind="mta"),
    _row("Behind another mail server SPF says nothing", no(DATA), "*", spf=_PASS, behind="mta"),
    _row(
        "Behind another mail server a signature still proves", yes(DATA, Proof.DKIM), "*", behind="mta", signature=OWN
    ),
    _row(
        "Behind another mail server a login still proves", yes(RCPT, Proof.LOGIN), "*", where=Where.LOGIN, behind="mta"
    ),
    _row("Behind a NAT nobody is inside", no(DATA), ADA, where=Where.INSIDE, behind="nat"),
    _row(
        "Behind a NAT an ip: rule still means what it says",
        yes(RCPT, Proof.NONE),
        "ip:{inside}",
        where=Where.INSIDE,
        behind="nat",
    ),
)
_LOOSE: Sequence[Row] = (
    _row("With unverified-ok a claim is enough", yes(RCPT, Proof.NONE), ADA, unverified_ok=True),
    _row(
        "With unverified-ok a claimed domain is enough",
        yes(RCPT, Proof.NONE),
        "@example.org",
        unverified_ok=True,
        spf=Result.FAIL,
    ),
    _row("With unverified-ok a claimed group is enough", yes(RCPT, Proof.NONE), "group:teachers", unverified_ok=True),
    _row(
        "With unverified-ok everybody may mean everybody",
        yes(RCPT, Proof.NONE),
        "*",
        unverified_ok=True,
        sender=MALLORY,
    ),
    _row(
        "With unverified-ok the author is believed when the header has come",
        yes(HEADER, Proof.NONE),
        f"from:{ADA}",
        unverified_ok=True,
        sender=MALLORY,
        authors=(ADA,),
    ),
    _row(
        "With unverified-ok who is proved is verified all the same",
        yes(RCPT, Proof.SPF),
        ADA,
        unverified_ok=True,
        spf=_PASS,
    ),
    _row(
        "With unverified-ok a signature that comes later still makes it verified",
        yes(RCPT, Proof.DKIM),
        ADA,
        unverified_ok=True,
        signature=OWN,
    ),
    _row(
        "With unverified-ok nobody is trusted with another's name because his own is proved",
        yes(HEADER, Proof.NONE),
        f"from:{ADA}",
        unverified_ok=True,
        sender=MALLORY,
        authors=(ADA,),
        spf=_PASS,
    ),
    _row(
        "With unverified-ok nobody is asked to come again",
        yes(RCPT, Proof.NONE),
        ADA,
        unverified_ok=True,
        spf=Result.TEMPERROR,
    ),
    _row("With unverified-ok who is denied is refused", no(RCPT), "*", unverified_ok=True, deny=(EVE,), sender=EVE),
    _row("With unverified-ok who is not listed is refused", no(RCPT), ADA, unverified_ok=True, sender=EVE),
    _row(
        "With unverified-ok a login is still wanted where only logins are allowed",
        no(RCPT),
        "authenticated",
        unverified_ok=True,
    ),
)
_TOKENS: Sequence[Row] = (
    _row("A capability address lets its owner print where nobody else may", yes(RCPT, Proof.TOKEN), token=True),
    _row(
        "A capability address needs no proof of the sender",
        yes(RCPT, Proof.TOKEN),
        ADA,
        token=True,
        sender=MALLORY,
        spf=Result.FAIL,
    ),
    _row(
        "Who is denied does not print by a capability address either",
        no(RCPT),
        token=True,
        deny=("@example.net",),
        sender=MALLORY,
    ),
    _row(
        "A denied author does not print by a capability address either",
        no(HEADER),
        token=True,
        deny=(f"from:{EVE}",),
        authors=(EVE,),
    ),
    _row("A login at a capability address stays an insider", yes(RCPT, Proof.LOGIN), token=True, where=Where.LOGIN),
    _row("A capability address of a printer that polls is not enough for raw", no(RCPT), token=True, polls=True),
    _row(
        "A capability address is enough where verified senders' mail may go raw",
        yes(RCPT, Proof.TOKEN),
        token=True,
        polls=True,
        raw=Raw.VERIFIED,
    ),
)
_POLLING: Sequence[Row] = (
    _row("A printer that polls gets an insider's mail", yes(RCPT, Proof.NETWORK), "*", polls=True, where=Where.INSIDE),
    _row("A printer that polls gets a login's mail", yes(RCPT, Proof.LOGIN), "*", polls=True, where=Where.LOGIN),
    _row("A printer that polls gets nothing of verified senders", no(RCPT), "*", polls=True, spf=_PASS),
    _row(
        "A printer that polls gets nothing of a library system",
        no(RCPT),
        "ip:{library}",
        polls=True,
        where=Where.LIBRARY,
    ),
    _row(
        "A printer that polls, and takes verified mail, gets it",
        yes(RCPT, Proof.SPF),
        "*",
        polls=True,
        raw=Raw.VERIFIED,
        spf=_PASS,
    ),
    _row(
        "A printer that polls, and takes verified mail, waits for a signature",
        yes(DATA, Proof.DKIM),
        "*",
        polls=True,
        raw=Raw.VERIFIED,
        signature=OWN,
    ),
    _row(
        "A printer that polls, and takes verified mail, gets none of a stranger's",
        no(DATA),
        "ip:{library}",
        polls=True,
        raw=Raw.VERIFIED,
        where=Where.LIBRARY,
    ),
    _row(
        "A printer that polls, and takes verified mail, asks again when the DNS does not answer",
        later(DATA),
        "ip:{library}",
        polls=True,
        raw=Raw.VERIFIED,
        where=Where.LIBRARY,
        spf=Result.TEMPERROR,
    ),
    _row(
        "A printer that polls, and takes all mail, gets a stranger's",
        yes(RCPT, Proof.NONE),
        "ip:{library}",
        polls=True,
        raw=Raw.STRANGER,
        where=Where.LIBRARY,
    ),
    _row(
        "A printer that polls, and takes nothing raw, gets nothing at all",
        no(RCPT),
        "*",
        polls=True,
        raw=Raw.NOBODY,
        where=Where.INSIDE,
    ),
    _row(
        "A printer with a device address takes what is redrawn, whatever may go raw",
        yes(RCPT, Proof.SPF),
        "*",
        raw=Raw.NOBODY,
        spf=_PASS,
    ),
    _row("A group prints by its own rules", yes(RCPT, Proof.SPF), ADA, members=("bridged", "bridged"), spf=_PASS),
    _row("A group without rules prints for nobody", no(RCPT), members=("bridged",), where=Where.INSIDE),
    _row(
        "A group with a printer that polls gets nothing of verified senders",
        no(RCPT),
        ADA,
        members=("bridged", "polls"),
        spf=_PASS,
    ),
    _row(
        "A group with a printer that polls gets an insider's mail",
        yes(RCPT, Proof.NETWORK),
        ADA,
        members=("bridged", "polls"),
        where=Where.INSIDE,
    ),
)
SECTIONS: Mapping[str, Sequence[Row]] = {
    "Proved or not": tuple(_proved()),
    "Who is meant": _CLAIMS,
    "Authors": _AUTHORS,
    "Denied": _DENIED,
    "Networks, and other mail servers in front": _NETWORKS,
    "Unverified is good enough": _LOOSE,
    "Capability addresses": _TOKENS,
    "Printers that poll, and groups": _POLLING,
}
ROWS: Sequence[Row] = tuple(row for rows in SECTIONS.values() for row in rows)


_MOMENTS = {
    Moment.RCPT: "at once",
    Moment.HEADER: "when the header has come",
    Moment.DATA: "when the whole message has come",
}
_BY = {
    Proof.LOGIN: "by the login",
    Proof.NETWORK: "by the network",
    Proof.TOKEN: "by the address",
    Proof.SPF: "by SPF",
    Proof.DKIM: "by DKIM",
    Proof.ARC: "by ARC",
    Proof.NONE: "with no proof",
}


def outcome(row: Row) -> str:
    """What becomes of it, read aloud."""
    wanted = row.expected
    if wanted.allowed:
        return f"It prints, which is decided {_MOMENTS[wanted.moment]}: *{wanted.trust}*, {_BY[wanted.proof]}."
    return f"It is refused {_MOMENTS[wanted.moment]} with `{wanted.reply}`."
