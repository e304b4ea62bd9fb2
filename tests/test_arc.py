"""Chains of seals by dkimpy's own arithmetic, held against dkimpy's own verdict, and whom of them the site believes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dkim
import pytest

from appliance.proof.arc import LINKS
from appliance.proof.conclude import conclude
from appliance.proof.result import Findings, Result
from mailstore.job import Proof
from tests.dns_server import DnsServer, dns_server
from tests.signing import mail, merged, rsa_signer
from tests.test_mailauth import ADA, PRINTER, RSA, found

ONE, TWO, EVE = (rsa_signer(f"{name}.example.net") for name in ("one", "two", "eve"))
KEYS = merged(RSA.published(), ONE.published(), TWO.published(), EVE.published())
TRUSTED = ("one.example.net", "two.example.net")
SEEN = "dmarc=pass (p=reject) header.from=example.com"


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with dns_server(merged(KEYS, {"_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject"]}})) as server:
        yield server


def oracle(message: bytes) -> bool:
    def txt(name: bytes, timeout: float = 0) -> bytes:
        return KEYS[name.decode().rstrip(".")]["TXT"][0].encode()

    return bool(dkim.arc_verify(message, dnsfunc=txt)[0] == dkim.CV_Pass)


def footer(message: bytes) -> bytes:
    return message + b"-- \r\nsent by a list\r\n"


@dataclass(frozen=True)
class Case:
    """A mail by way of forwarders; `stands` is whether the chain does, `proved` whether the author is."""

    name: str
    message: bytes
    stands: bool = True
    proved: bool = True
    trusted: Sequence[str] = TRUSTED


SIGNED = RSA.sign(mail())
ONCE = ONE.seal(footer(SIGNED), SEEN)
TWICE = TWO.seal(footer(ONCE), "arc=pass; dmarc=fail header.from=example.com")
MIDDLE = TWO.seal(EVE.seal(ONE.seal(mail(), SEEN), "arc=pass"), "arc=pass; dmarc=fail header.from=example.com")
CASES = [
    Case("one link", ONCE),
    Case("two links", TWICE),
    Case("a signature of the domain", ONE.seal(footer(mail()), "dkim=pass header.d=example.com header.s=rsa")),
    Case("after an untrusted one", ONE.seal(EVE.seal(mail(), "dmarc=fail"), f"arc=pass; {SEEN}")),
    Case("an untrusted one in between", MIDDLE, proved=False),
    Case("an untrusted one at the end", EVE.seal(ONE.seal(mail(), SEEN), "arc=pass"), proved=False),
    Case("nobody is trusted", ONCE, proved=False, trusted=()),
    Case("it saw it fail", ONE.seal(mail(), "dmarc=fail header.from=example.com"), proved=False),
    Case("it saw another author", ONE.seal(mail(), "dmarc=pass header.from=example.net"), proved=False),
    Case("it saw another signer", ONE.seal(mail(), "dkim=pass header.d=example.net"), proved=False),
    Case(
        "it saw it in a reason", ONE.seal(mail(), f'dmarc=fail reason="; {SEEN}" header.from=example.com'), proved=False
    ),
    Case("it saw it in a comment", ONE.seal(mail(), f"dmarc=fail (; {SEEN}) header.from=example.com"), proved=False),
    Case("only the envelope", ONE.seal(mail(), "spf=pass smtp.mailfrom=example.com"), proved=False),
    Case("To names somebody else", ONE.seal(mail(to="other@example.org"), SEEN), proved=False),
    Case("body changed", footer(ONCE), stands=False, proved=False),
    Case(
        "results changed",
        ONE.seal(mail(), "dmarc=fail header.from=example.com").replace(b"fail", b"pass"),
        stands=False,
        proved=False,
    ),
    Case("author changed", ONCE.replace(b"ada@", b"eve@"), stands=False, proved=False),
    Case("a link taken out", re.sub(rb"ARC-Seal: i=1;[^:]*\r\n(?=ARC)", b"", TWICE), stands=False, proved=False),
    Case("a chain that failed before", TWO.seal(ONCE, SEEN, verdict="fail"), stands=False, proved=False),
    Case("a beginning that says pass", ONE.seal(mail(), SEEN, verdict="pass"), stands=False, proved=False),
    Case("a second seal", ONCE[: ONCE.index(b"ARC-M")] + ONCE, stands=False, proved=False),
    Case("a second From", b"From: eve@example.net\r\n" + ONCE, stands=False, proved=False),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_whom_a_chain_proves(dns: DnsServer, case: Case) -> None:
    if case.stands or b"eve@example.net" not in case.message:  # dkimpy does not mind a second From
        assert oracle(case.message) is case.stands
    findings = await found(dns.address, case.message, forwarders=case.trusted)
    if findings.arc is not None:
        assert (findings.arc.result is Result.PASS) is case.stands, findings.arc
    # Without the author's own signatures: the chain alone.
    alone = Findings(author=findings.author, arc=findings.arc, dmarc=findings.dmarc)
    proven = conclude(alone, reverse_path=ADA, recipient=PRINTER, forwarders=case.trusted)
    assert proven.author is (Proof.ARC if case.proved else Proof.NONE), findings.arc
    assert bool(proven.signatures) is case.proved


async def test_a_trusted_forwarder_saves_a_mail_that_would_be_rejected(dns: DnsServer) -> None:
    findings = await found(dns.address, ONCE, forwarders=TRUSTED)
    assert findings.dmarc
    assert (findings.dmarc.result, findings.dmarc.policy) == (Result.FAIL, "reject")
    saved = conclude(findings, reverse_path="", recipient=PRINTER, forwarders=TRUSTED)
    assert (saved.author, saved.rejected) == (Proof.ARC, False)
    assert conclude(findings, reverse_path="", recipient=PRINTER, forwarders=()).rejected


async def test_a_long_chain_is_not_looked_at(dns: DnsServer) -> None:
    message = mail()
    for _ in range(LINKS):
        message = ONE.seal(message, SEEN)
    longest = await found(dns.address, message, forwarders=TRUSTED)
    longer = await found(dns.address, ONE.seal(message, SEEN), forwarders=TRUSTED)
    assert longest.arc
    assert longest.arc.result is Result.PASS
    assert longer.arc
    assert longer.arc.result is Result.FAIL
