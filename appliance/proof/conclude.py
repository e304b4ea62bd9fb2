"""From what was found out about a mail to what it proves at one address.  Pure.

A signature covers no envelope: whoever has a signed mail can send it anywhere.  So by DKIM or ARC alone a mail is
proved only where its signed To or Cc names the address it came to, either exactly or without its subaddress (a person
writes to the printer, his program adds the options), and there only once: `Proven.signatures` has for each a digest of
the signature and of that address, so that one mail to two printers may come in two transactions.

Security: all texts are strangers'.  Only addresses and domains in their canonical forms are compared, and only for
being equal; a mail without exactly one author proves no author.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from hashlib import sha256

from appliance.proof.result import ArcFinding, DkimFinding, Findings, Proven, Result
from mailstore.address import canonical, split_subaddress
from mailstore.job import Proof


def conclude(findings: Findings, *, reverse_path: str, recipient: str, forwarders: Collection[str]) -> Proven:
    """What `findings` prove of a mail from `reverse_path` that came to `recipient`, as RCPT gave it.

    `forwarders` are domains in lower case whose ARC seals are trusted.
    """
    sender, envelope = canonical(reverse_path), Proof.NONE
    if _spf(findings) == Result.PASS and findings.spf and findings.spf.domain == _domain(sender):
        envelope = Proof.SPF
    author, signatures, reason = _author(findings, canonical(recipient), forwarders)
    by_signature = author if author in (Proof.DKIM, Proof.ARC) else Proof.NONE
    own_domain = bool(sender) and _domain(sender) == _domain(findings.author)
    dmarc = findings.dmarc
    failed = dmarc is not None and dmarc.result is Result.FAIL and dmarc.policy == "reject"
    return Proven(
        author=author,
        envelope=envelope or (by_signature if sender and sender == findings.author else Proof.NONE),
        envelope_domain=envelope or (by_signature if own_domain else Proof.NONE),
        rejected=failed and not _forwarded(findings, forwarders),
        temporary=(not author and _temporary(findings, canonical(recipient), forwarders))
        or (not envelope and _spf(findings) == Result.TEMPERROR),
        signatures=signatures,
        reason=reason,
    )


def _domain(address: str) -> str:
    return address.rpartition("@")[2]


def _spf(findings: Findings) -> Result | None:
    """Of the reverse-path: that of HELO proves nobody."""
    return findings.spf.result if findings.spf and not findings.spf.helo else None


def _spf_aligned(findings: Findings) -> bool:
    own = findings.spf is not None and findings.spf.domain == _domain(findings.author)
    return bool(findings.author) and not (findings.spf and findings.spf.helo) and (own or findings.spf_aligned)


def _aligned(findings: Findings) -> Iterator[DkimFinding]:
    """An author's own domain is aligned in either mode."""
    if findings.author:
        yield from (one for one in findings.dkim if one.aligned or one.domain == _domain(findings.author))


def _author(findings: Findings, recipient: str, forwarders: Collection[str]) -> tuple[Proof, tuple[bytes, ...], str]:
    passed = [one for one in _aligned(findings) if one.result is Result.PASS]
    signatures = tuple(_once(one, recipient) for one in passed if _names(one, recipient))
    if _spf_aligned(findings) and _spf(findings) == Result.PASS:
        return Proof.SPF, signatures, ""
    if signatures:
        return Proof.DKIM, signatures, ""
    arc = findings.arc
    if arc is not None and _forwarded(findings, forwarders):
        if _names(arc, recipient):
            return Proof.ARC, (_once(arc, recipient),), ""
        return Proof.NONE, (), "the forwarder's signature covers no To or Cc that names this address"
    if passed:
        return Proof.NONE, (), "the signature covers no To or Cc that names this address"
    if findings.author and any(one.result is Result.PASS for one in findings.dkim):
        return Proof.NONE, (), "the signatures that pass are not of the From author's domain"
    return Proof.NONE, (), ""


def _plain(recipient: str) -> str:
    return split_subaddress(recipient)[0]


def _names(signature: DkimFinding | ArcFinding, recipient: str) -> bool:
    return not signature.names.isdisjoint((recipient, _plain(recipient)))


def _once(signature: DkimFinding | ArcFinding, recipient: str) -> bytes:
    return sha256(signature.digest + _plain(recipient).encode()).digest()


def _forwarded(findings: Findings, forwarders: Collection[str]) -> bool:
    arc = findings.arc
    return bool(findings.author and arc and arc.result is Result.PASS and arc.author and arc.sealer in forwarders)


def _temporary(findings: Findings, recipient: str, forwarders: Collection[str]) -> bool:
    """Whether a look-up that failed for now might have proved the author."""
    if not findings.author:
        return _spf(findings) == Result.TEMPERROR
    signatures = [one for one in findings.dkim if _names(one, recipient)]
    awaited = [_spf(findings), *(one.result for one in signatures if one in set(_aligned(findings)))]
    if findings.dmarc is not None and findings.dmarc.result is Result.TEMPERROR:
        # Nobody knows what is aligned, so all that passed might be.
        awaited += [Result.TEMPERROR for one in signatures if one.result in (Result.PASS, Result.TEMPERROR)]
        awaited += [Result.TEMPERROR] * (_spf(findings) == Result.PASS)
    if findings.arc is not None and forwarders:
        awaited.append(findings.arc.result)
    return Result.TEMPERROR in awaited
