"""A printer's rules asked about one mail: the verdict, and what is said of it.  No I/O.

Security: trust is given for the address by which a rule matched and for no other, so that nobody who proves his own is
trusted with somebody else's.  What a stranger is told names no rule and no other sender, and is the same for one who is
denied and for one whom nobody listed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from appliance.peer import Network
from appliance.policy.mail import Answer, Facts, Mail, Want, both, either
from appliance.policy.rules import Kind, Rule, parse_rule
from appliance.proof.result import Proven, Result
from mailstore.directory.records import Printer, Raw
from mailstore.failure import PermanentFailure
from mailstore.job import Proof

NOT_ALLOWED = "this sender may not print here"
NOT_PROVED = f"{NOT_ALLOWED}, or your mail server's SPF or DKIM did not prove that the mail is yours"
NOT_NOW = "the DNS did not answer what would prove the sender, try again later"
NOBODY = "mail with the null reverse-path is not printed"
_UNREADABLE = "this printer's rules cannot be read; its administrator must correct them"


class Trust(StrEnum):
    """Fixed at receipt; decides what reaches the printer."""

    INSIDER = "insider"  # SMTP AUTH, or a client in the site's own networks
    VERIFIED = "verified"  # SPF or DKIM proved the sender, or he knew a capability address
    STRANGER = "stranger"


class Moment(StrEnum):
    """When a verdict is reached."""

    RCPT = "rcpt"
    HEADER = "header"  # when it has ended
    DATA = "data"  # when the message has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Whether this mail may print here, and why.

    `allowed` None: it depends on what is not known yet, `wants`.  `moment`: when it was decided, or will be at the
    latest.  `status` is an enhanced status code (RFC 3463), "4.4.3" if it may be another one when the DNS answers;
    `sentence` what a stranger may read, `rule` the text of the rule that decided ("" if none did), `advice` what the
    administrator should know, `remedy` a rule that would let the sender print ("" if none can, or he may).  `proved` is
    the canonical address that is proved, "" for none.  `heeds_dmarc`: whether the wish of the author's domain counts.
    """

    allowed: bool | None
    moment: Moment
    status: str
    sentence: str
    rule: str
    advice: str
    trust: Trust
    proof: Proof
    proved: str
    heeds_dmarc: bool
    wants: frozenset[Want] = frozenset()
    remedy: str = ""


def insiders(networks: Iterable[Network], behind: str) -> tuple[Network, ...]:
    """The networks whose clients are insiders by their address.

    None where `[smtp] behind` says that whoever connects is not the sender: a mail server's address, or a translator's,
    would make everybody behind it one of the site.
    """
    return () if behind else tuple(networks)


def answerable(facts: Facts) -> bool:
    """Whether the reverse-path was proved in this very transaction, so that it may be answered.

    A network or a token proves nobody's address to others.
    """
    return (
        bool(facts.sender)
        and Mail(dataclasses.replace(facts, insider=False, token=False)).proof(Kind.ADDRESS)[0] is not Proof.NONE
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcome:
    """What the rules say: yes, no, or what must be known first."""

    answer: Answer
    rule: str = ""  # that decided, or may
    denied: bool = False
    unfit: bool = False  # a rule would allow it, but somebody fetches mail as it came and takes none of this trust
    free: bool = False  # a rule allows it that wants no proof
    proof: Proof = Proof.NONE
    proved: str = ""


_TOKEN_RULE = Rule(text="the capability address", kind=Kind.ANYONE)


@lru_cache(maxsize=4096)
def parsed(texts: tuple[str, ...]) -> tuple[Rule, ...]:
    return tuple(parse_rule(text) for text in texts)


def _levels(printer: Printer, members: Collection[Printer]) -> frozenset[Raw]:
    """Of those that fetch their mail as it came: whose mail they take."""
    return frozenset(one.raw for one in (printer, *members) if not (one.drained_by_bridge or one.is_group))


def _fit(mail: Mail, kind: Kind, levels: frozenset[Raw]) -> Answer:
    """Whether mail allowed by a rule of this kind is trusted enough for all that fetch it as it came."""
    if Raw.NOBODY in levels:
        return False
    inside = mail.own or mail.facts.insider
    if Raw.INSIDER in levels:
        return inside
    return inside or mail.facts.token or Raw.VERIFIED not in levels or mail.proved(kind)


def _decide(printer: Printer, facts: Facts, levels: frozenset[Raw]) -> _Outcome:
    """Raises `PermanentFailure` if a rule cannot be read."""
    mail = Mail(facts)
    deny, allow = parsed(printer.deny), parsed(printer.allow)
    denied: Answer = False
    for rule in deny:
        denied = either(denied, mail.denied_by(rule))
        if denied is True:
            proof, proved = mail.proof(Kind.ANYONE)
            return _Outcome(answer=False, rule=rule.text, denied=True, proof=proof, proved=proved)
    found = _allowed(mail, allow, levels, unverified_ok=printer.unverified_ok)
    if denied is False or found.answer is False:
        return found
    return dataclasses.replace(found, answer=denied if found.answer is True else either(denied, found.answer))


def _allowed(mail: Mail, allow: tuple[Rule, ...], levels: frozenset[Raw], *, unverified_ok: bool) -> _Outcome:
    """Of several rules that allow it, the one by which it is trusted most."""
    answer: Answer = False
    best: tuple[int, Rule] | None = None
    maybe = unfit = ""
    token = mail.facts.token
    free = token
    for rule in (_TOKEN_RULE,) if token else allow:
        matched = mail.claims(rule)
        if matched is False:
            continue
        wants_no_proof = token or unverified_ok or rule.kind in _FREE
        if not wants_no_proof:
            matched = both(matched, mail.proved(rule.kind))
        fits = both(matched, _fit(mail, rule.kind, levels))
        answer = either(answer, fits)
        if fits is True:
            rank = _PROOFS.index(mail.proof(rule.kind)[0])
            best = (rank, rule) if best is None or rank < best[0] else best
            free = free or wants_no_proof
        elif fits is not False:
            maybe = maybe or rule.text
        elif matched is not False:
            unfit = unfit or rule.text
    proof, proved = mail.proof(best[1].kind if best else Kind.ANYONE)
    told = best[1].text if best else maybe or unfit
    return _Outcome(
        answer=answer, rule=told, unfit=answer is False and bool(unfit), free=free, proof=proof, proved=proved
    )


_FREE = (Kind.IP, Kind.AUTHENTICATED)
_PROOFS = tuple(Proof)
_TRUSTS = {Proof.LOGIN: Trust.INSIDER, Proof.NETWORK: Trust.INSIDER, Proof.NONE: Trust.STRANGER}


def judge(printer: Printer, facts: Facts, members: Collection[Printer] = ()) -> Verdict:
    """May this mail print on `printer`, which has these `members` if it is a group?

    Find out what the verdict wants and judge again.  A rule in the entry that cannot be read refuses everybody: it may
    have been meant to.
    """
    levels = _levels(printer, members)
    if not facts.sender:
        return _refused(_NO_SENDER, NOBODY, "mail that names no sender is never printed")
    try:
        outcome = _decide(printer, facts, levels)
    except PermanentFailure as failure:
        return _refused(_Outcome(answer=False), _UNREADABLE, failure.text)
    moment = _moment(printer, facts, levels, outcome.answer)
    if outcome.answer is False:
        return _no(printer, facts, levels, outcome, moment)
    if outcome.answer is True:
        return _verdict(outcome, moment, "2.1.5", "may print", f"the rule {outcome.rule} allows it")
    advice = f"the rule {outcome.rule} may allow it: that is seen when {_SEEN[moment]}"
    return _verdict(outcome, moment, "2.1.5", "may print if it is proved", advice)


_NO_SENDER = _Outcome(answer=False, denied=True)
_SEEN = {
    Moment.RCPT: "the DNS and the directory have answered",
    Moment.HEADER: "the header has come",
    Moment.DATA: "the whole message has come",
}


def _moment(printer: Printer, facts: Facts, levels: frozenset[Raw], answer: Answer) -> Moment:
    if not isinstance(answer, bool):
        if Want.MESSAGE in answer or facts.message is not None:
            return Moment.DATA
        return Moment.HEADER if Want.AUTHOR in answer else Moment.RCPT
    if facts.author is None:
        return Moment.RCPT
    for moment, author in ((Moment.RCPT, None), (Moment.HEADER, facts.author)):
        if isinstance(_decide(printer, dataclasses.replace(facts, author=author, message=None), levels).answer, bool):
            return moment
    return Moment.DATA


def _no(printer: Printer, facts: Facts, levels: frozenset[Raw], outcome: _Outcome, moment: Moment) -> Verdict:
    mail = Mail(facts)
    hoped = _if_the_dns_answered(facts)
    if hoped != facts and _decide(printer, hoped, levels).answer is not False:
        advice = "the DNS did not answer what may prove the sender, so he is asked to try again later"
        return _verdict(outcome, moment, "4.4.3", NOT_NOW, advice)
    sentence = NOT_PROVED if outcome.proof is Proof.NONE else NOT_ALLOWED
    if outcome.denied:
        return _verdict(outcome, moment, "5.7.1", sentence, f"the rule {outcome.rule} refuses it")
    if outcome.unfit:
        return _verdict(outcome, moment, "5.7.1", sentence, _RAW)
    proved = _decide(printer, dataclasses.replace(facts, insider=True), levels)
    if proved.answer is not False:
        told = f"the rule {proved.rule} would allow it, but {_unproved(facts)}"
        return _verdict(outcome, moment, "5.7.1", sentence, told)
    advice = "no rule matches" if printer.allow else "the printer has no rule that lets anybody print"
    if any(rule.kind is Kind.AUTHENTICATED for rule in parsed(printer.allow)):
        advice += "; the rule authenticated wants a login: send by submission, with user name and password"
    wish = (Rule(text=mail.sender, kind=Kind.ADDRESS, value=mail.sender),)
    helps = _allowed(mail, wish, levels, unverified_ok=printer.unverified_ok).answer is not False
    return _verdict(outcome, moment, "5.7.1", sentence, advice, remedy=mail.sender if helps else "")


_RAW = "a printer that fetches its mail as it came gets none of this trust: give it a device address, or set --raw"


def _unproved(facts: Facts) -> str:
    told = "SPF does not prove the sender" if facts.spf is None else f"SPF of the sender says {facts.spf}"
    if facts.message is None:
        return f"{told}, and no signature of the From author's can"
    return f"{told}, and no signature proves him" + (f" ({facts.message.reason})" if facts.message.reason else "")


def _if_the_dns_answered(facts: Facts) -> Facts:
    """The same mail, if every look-up that failed for now had proved something."""
    hoped = dataclasses.replace(facts, spf=Result.PASS) if facts.spf is Result.TEMPERROR else facts
    if facts.message is None or not facts.message.temporary:
        return hoped
    proven = dataclasses.replace(
        facts.message, author=Proof.DKIM, envelope=Proof.DKIM, envelope_domain=Proof.DKIM, temporary=False
    )
    return dataclasses.replace(hoped, message=proven)


def _refused(outcome: _Outcome, sentence: str, advice: str) -> Verdict:
    return _verdict(outcome, Moment.RCPT, "5.7.1", sentence, advice)


def _verdict(outcome: _Outcome, moment: Moment, status: str, sentence: str, advice: str, remedy: str = "") -> Verdict:
    answer = outcome.answer
    trust = _TRUSTS.get(outcome.proof, Trust.VERIFIED)
    return Verdict(
        allowed=answer if isinstance(answer, bool) else None,
        wants=frozenset() if isinstance(answer, bool) else answer,
        moment=moment,
        status=status,
        sentence=sentence,
        rule=outcome.rule,
        advice=advice,
        remedy=remedy,
        trust=trust,
        proof=outcome.proof,
        proved=outcome.proved,
        heeds_dmarc=trust is not Trust.INSIDER and not outcome.free,
    )


def dmarc_refuses(verdict: Verdict, message: Proven | None) -> bool:
    """Whether the wish of the author's domain (RFC 7489 section 6.3, p=reject) refuses what the rules allow."""
    return verdict.heeds_dmarc and message is not None and message.rejected


def _heeded(verdict: Verdict, facts: Facts) -> Verdict:
    if not (verdict.allowed and dmarc_refuses(verdict, facts.message)):
        return verdict
    advice = "the domain in From wants mail refused that nothing proves to be its own (DMARC)"
    return dataclasses.replace(verdict, allowed=False, moment=Moment.DATA, status="5.7.1", advice=advice)


def why(
    printer: Printer,
    facts: Facts,
    members: Collection[Printer] = (),
    *,
    connected: str,
    remedy: str = "the rule {} would allow it",
) -> tuple[Verdict, str]:
    """The verdict, and one sentence on it for the administrator.

    `connected` says how the sender came; `remedy`, where a rule can help, how it is given.
    """
    verdict = _heeded(judge(printer, facts, members), facts)
    may = {True: "may", False: "may not", None: "may perhaps"}[verdict.allowed]
    sender = facts.sender or "the null reverse-path <>"
    told = f"{sender}, connected {connected}, {may} print on {printer.name}: {verdict.advice}"
    if verdict.moment is not Moment.RCPT and verdict.allowed is not None:
        told += f", which is seen when {_SEEN[verdict.moment]}"
    return verdict, f"{told}; {remedy.format(verdict.remedy)}" if verdict.remedy else told
