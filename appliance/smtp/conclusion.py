"""What the end of a message says of its sender: one conclusion for all its recipients.

Security: what decides on paper is decided here for the last time, with all that is known.  Where recipients are judged
differently, the least of it counts for all: a message at rest has one trust.  Who may be answered is another question
than who may print: only an address that was proved in this transaction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

from appliance import policy, trace
from appliance.mailauth import Examination
from appliance.policy import Trust, Verdict
from appliance.proof.conclude import conclude
from appliance.proof.report import results
from appliance.proof.result import Findings, Proven, Result
from appliance.smtp.destination import Destination
from appliance.smtp.evidence import Evidence, refused
from appliance.smtp.reply import Reply
from mailstore.job import Proof

DMARC_FAILED: Final = Reply(
    code=550,
    status="5.7.1",
    text="the domain in From wants this refused (DMARC): nothing proves that the message is its own",
    reason="dmarc",
)
_BY_SIGNATURE: Final = (Proof.DKIM, Proof.ARC)
_TRUSTS: Final = tuple(Trust)
_PROOFS: Final = tuple(Proof)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """Of a message that is taken."""

    trust: Trust
    proof: Proof = Proof.NONE
    proved: str = ""  # the canonical address that `proof` proved
    signatures: tuple[bytes, ...] = ()  # of which none may have been seen before
    also_signed: tuple[bytes, ...] = ()  # where SPF proved it too: to be remembered
    answerable: bool = False  # the reverse-path was proved in this very transaction
    reports: Mapping[str, bytes] = field(default_factory=dict)  # Authentication-Results by `Destination.key`

    def fields(self, recipient: Destination, return_path: bytes) -> bytes:
        """What stands before the stored octets for this recipient."""
        return return_path + trace.delivered_to(recipient.address) + self.reports[recipient.key]


async def concluded(
    evidence: Evidence, recipients: Sequence[Destination], examination: Examination | None
) -> Conclusion | Reply:
    """What the message proves, or why it is refused.  `examination` is None where nothing is examined."""
    findings = await examination.end(await evidence.asked_spf()) if examination else None
    reports: dict[str, bytes] = {}
    verdicts: list[Verdict] = []
    signatures: tuple[bytes, ...] = ()
    also_signed: tuple[bytes, ...] = ()
    answerable = findings is not None or evidence.client.login is not None  # a network proves nobody
    for recipient in recipients:
        proven = _proven(evidence, recipient, findings) if findings else None
        reports[recipient.key] = _report(evidence, findings, proven)
        if recipient.verdict is not None:
            verdict = await _judged(evidence, recipient, findings, proven)
            if not verdict.allowed:
                return refused(verdict)
            if policy.dmarc_refuses(verdict, proven):
                return DMARC_FAILED
            if verdict.proof in _BY_SIGNATURE and proven is not None:
                signatures += proven.signatures
            elif verdict.proof is Proof.SPF and proven is not None and proven.author is Proof.SPF:
                also_signed += proven.signatures
            verdicts.append(verdict)
            # Of a holder of a token nobody remembers the signatures, so they may be another's.
            by_token = verdict.proof is Proof.TOKEN and evidence.facts.spf is not Result.PASS
            answerable = answerable and not by_token
        answerable = answerable and policy.answerable(evidence.facts)
    weakest = max(verdicts, key=_weakness, default=None)
    people = Trust.INSIDER if evidence.client.inside else Trust.STRANGER
    return Conclusion(
        trust=weakest.trust if weakest else people,
        proof=weakest.proof if weakest else Proof.NONE,
        proved=weakest.proved if weakest else "",
        signatures=signatures,
        also_signed=also_signed,
        answerable=answerable,
        reports=reports,
    )


def _weakness(verdict: Verdict) -> tuple[int, int]:
    return _TRUSTS.index(verdict.trust), _PROOFS.index(verdict.proof)


def _proven(evidence: Evidence, recipient: Destination, findings: Findings) -> Proven:
    forwarders = evidence.site.settings.proof.forwarders
    return conclude(findings, reverse_path=evidence.reverse_path, recipient=recipient.key, forwarders=forwarders)


async def _judged(
    evidence: Evidence, recipient: Destination, findings: Findings | None, proven: Proven | None
) -> Verdict:
    """The verdict with all that is known; of a client of the site nothing new is."""
    assert recipient.printer is not None
    assert recipient.verdict is not None
    if findings is None:
        return recipient.verdict
    evidence.facts = replace(evidence.facts, author=findings.author, message=proven)
    return await evidence.judge(recipient.printer, recipient.members, token=bool(recipient.capability))


def _report(evidence: Evidence, findings: Findings | None, proven: Proven | None) -> bytes:
    client = evidence.client
    hostname = evidence.site.settings.site.hostname
    if findings is None:
        return _known(hostname, client.login.name if client.login else "", client.ip if client.insider else "")
    return results(hostname, findings, reverse_path=evidence.reverse_path, proven=proven)


@lru_cache(maxsize=256)
def _known(hostname: str, login: str, insider_ip: str) -> bytes:
    return results(hostname, login=login, insider_ip=insider_ip)
