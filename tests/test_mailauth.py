"""Mails signed by a real signer, keys and policies in a real name server: what each is found to prove."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import dkim
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.mailauth import RESULTS, MailAuth
from appliance.proof import dns as resolving
from appliance.proof.conclude import conclude
from appliance.proof.result import Findings, Proven, Result, SpfFinding
from appliance.proof.signature import OLDEST
from mailstore.config import Settings
from mailstore.job import Proof
from mailstore.store.admission import SIGNATURE_SECONDS
from tests.dns_server import DnsServer, Fault, dns_server, misbehaving
from tests.signing import DNS, H, Signer, ed25519_signer, mail, merged, rsa_record, rsa_signer

PRINTER = "phaser360@example.org"
ADA = "ada@example.com"
IP = ip_address("192.0.2.7")
OTHER_IP = ip_address("192.0.2.99")
RSA, ED = rsa_signer(), ed25519_signer()
LIST = rsa_signer("list.example.net")
BELOW = rsa_signer("mail.example.com", "below")
STRICT = rsa_signer("strict.example.com", "below")
LONER = rsa_signer("loner.example")
LONER_BELOW = rsa_signer("mail.loner.example")


def zone() -> DNS:
    keys = [one.published() for one in (RSA, ED, LIST, BELOW, STRICT, LONER, LONER_BELOW)]
    variants = {
        "revoked": "v=DKIM1; p=",
        "testing": RSA.record + "; t=y",
        "own": RSA.record + "; t=s",
        "sha1": RSA.record + "; h=sha1",
        "web": RSA.record + "; s=web",
        "mail": RSA.record + "; s=email:web; n=a note; x=y",
        "other": ED.record,
        "weak": rsa_record((1 << 1022) + 1),
        "huge": rsa_record((1 << 4200) + 1),
        "slow": rsa_record((1 << 2047) + 1, (1 << 2000) + 1),
        "even": rsa_record(1 << 2047),
        "noise": "v=DKIM1; k=rsa; p=AAAA",
        "no64": "v=DKIM1; p=***",
        "short": "p=" + RSA.record.partition("p=")[2],
    }
    variant_keys = {f"{name}._domainkey.example.com": {"TXT": [record]} for name, record in variants.items()}
    return merged(
        *keys,
        variant_keys,
        {"twice._domainkey.example.com": {"TXT": [RSA.record, ED.record]}},
        {"wild._domainkey.example.com": {"TXT": ["v=spf1 -all", RSA.record]}},
        {
            "example.com": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]},
            "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject; sp=quarantine; np=reject; psd=n"]},
            "list.example.net": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"]},
            "_dmarc.strict.example.com": {"TXT": ["v=DMARC1; p=reject; adkim=s; aspf=s"]},
            "mail.example.com": {"TXT": ["v=spf1 ip4:192.0.2.7 -all"], "A": ["192.0.2.7"]},
            "_dmarc.test.example": {"TXT": ["v=DMARC1; p=reject; t=y"]},
            "_dmarc.broken.example": {"TXT": ["v=DMARC1; p=refuse"]},
        },
    )


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with dns_server(zone()) as server:
        yield server


def configured(address: str, *forwarders: str, wait: float = 2.0) -> Settings:
    return Settings.model_validate({"proof": {"dns": [address], "dns_wait": wait, "forwarders": list(forwarders)}})


async def found(
    address: str,
    message: bytes,
    *,
    sender: str = "",
    ip: str = "192.0.2.99",
    forwarders: Sequence[str] = (),
    cut: Callable[[bytes], Sequence[bytes]] = lambda octets: [octets],
    now: float | None = None,
    deadline: float = 10.0,
) -> Findings:
    clock = time.time if now is None else lambda: now
    auth = MailAuth(configured(address, *forwarders), clock=clock, deadline=deadline)
    try:
        spf = await auth.spf(ip_address(ip), "client.example.net", sender) if sender else None
        block, _, body = message.partition(b"\r\n\r\n")
        examination = auth.examine(block + b"\r\n")
        for piece in cut(b"\r\n" + body):
            examination.feed(piece)
        return await examination.end(spf)
    finally:
        await auth.close()


def proves(findings: Findings, sender: str = ADA, recipient: str = PRINTER, *forwarders: str) -> Proven:
    return conclude(findings, reverse_path=sender, recipient=recipient, forwarders=forwarders)


def with_selector(signer: Signer, selector: str) -> Signer:
    return Signer(signer.domain, selector, signer.kind, signer.private, signer.record)


@dataclass(frozen=True)
class Case:
    """A mail from outside, and what it proves at the printer."""

    name: str
    message: bytes
    sender: str = "bounce@elsewhere.example"
    ip: str = "192.0.2.99"
    dkim: Sequence[Result] = (Result.PASS,)
    dmarc: Result | None = Result.PASS
    author: Proof = Proof.DKIM
    envelope: Proof = Proof.NONE
    rejected: bool = False
    reason: str = ""  # of the first signature


def second_from(message: bytes) -> bytes:
    return b"From: eve@example.net\r\n" + message


def refused(
    name: str,
    message: bytes,
    *,
    sender: str = "bounce@elsewhere.example",
    ip: str = "192.0.2.99",
    dkim: Sequence[Result] = (Result.PASS,),
    envelope: Proof = Proof.NONE,
    reason: str = "",
) -> Case:
    """One whose author's domain wants it refused, and nothing proves it."""
    return Case(
        name,
        message,
        sender=sender,
        ip=ip,
        dkim=dkim,
        envelope=envelope,
        reason=reason,
        author=Proof.NONE,
        dmarc=Result.FAIL,
        rejected=True,
    )


PASS, FAIL, NONE, POLICY, PERMERROR = Result.PASS, Result.FAIL, Result.NONE, Result.POLICY, Result.PERMERROR
PLAIN = mail()
CASES = [
    Case("rsa", RSA.sign(PLAIN)),
    Case("ed25519", ED.sign(PLAIN)),
    Case("both", ED.sign(RSA.sign(PLAIN)), dkim=(PASS, PASS)),
    Case("own envelope", RSA.sign(PLAIN), sender=ADA, envelope=Proof.DKIM),
    Case("spf alone", PLAIN, sender=ADA, ip="192.0.2.7", dkim=(), author=Proof.SPF, envelope=Proof.SPF),
    Case(
        "spf of a subdomain",
        PLAIN,
        sender="x@mail.example.com",
        ip="192.0.2.7",
        dkim=(),
        author=Proof.SPF,
        envelope=Proof.SPF,
    ),
    Case("spf and dkim", RSA.sign(PLAIN), sender=ADA, ip="192.0.2.7", author=Proof.SPF, envelope=Proof.SPF),
    Case("a subdomain signs", BELOW.sign(PLAIN)),
    Case("extended key", with_selector(RSA, "mail").sign(PLAIN)),
    Case("a key without a version", with_selector(RSA, "short").sign(PLAIN)),
    Case("a wildcard beside the key", with_selector(RSA, "wild").sign(PLAIN)),
    Case("no record, own domain", LONER.sign(mail(author="a@loner.example")), dmarc=NONE),
    Case(
        "no record, a subdomain signs", LONER_BELOW.sign(mail(author="a@loner.example")), dmarc=NONE, author=Proof.NONE
    ),
    Case("strict, a subdomain's own", STRICT.sign(mail(author="a@strict.example.com"))),
    refused("strict, the organisation signs", RSA.sign(mail(author="a@strict.example.com"))),
    refused(
        "strict, a sibling's envelope",
        mail(author="a@strict.example.com"),
        sender=ADA,
        ip="192.0.2.7",
        dkim=(),
        envelope=Proof.SPF,
    ),
    refused("nothing", PLAIN, dkim=()),
    Case("nothing, sp", mail(author="a@mail.example.com"), dkim=(), author=Proof.NONE, dmarc=FAIL),
    refused("nothing, np", mail(author="a@nobody.example.com"), dkim=()),
    Case("nothing, testing", mail(author="a@test.example"), dkim=(), author=Proof.NONE, dmarc=FAIL),
    Case("a broken record", mail(author="a@broken.example"), dkim=(), author=Proof.NONE, dmarc=PERMERROR),
    refused("a stranger's envelope", PLAIN, sender="x@list.example.net", ip="192.0.2.7", dkim=(), envelope=Proof.SPF),
    refused("spf fails", PLAIN, sender=ADA, dkim=()),
    refused("a stranger signs", LIST.sign(PLAIN)),
    refused("body changed", RSA.sign(PLAIN).replace(b"Hello", b"Hallo"), dkim=(FAIL,), reason="body"),
    refused("subject changed", RSA.sign(PLAIN).replace(b"the plan", b"the plot"), dkim=(FAIL,), reason="header"),
    Case(
        "a second From",
        second_from(RSA.sign(PLAIN)),
        dkim=(POLICY,),
        reason="several from",
        author=Proof.NONE,
        dmarc=None,
    ),
    refused("a second Subject", b"Subject: other\r\n" + RSA.sign(PLAIN), dkim=(POLICY,), reason="several subject"),
    refused(
        "a second Subject oversigned",
        b"Subject: other\r\n" + RSA.sign(PLAIN, h=(*H, b"subject")),
        dkim=(POLICY,),
        reason="several",
    ),
    refused("a Cc added", b"Cc: x@example.net\r\n" + RSA.sign(PLAIN), dkim=(FAIL,), reason="header"),
    refused("l=", RSA.sign(PLAIN, length=True), dkim=(POLICY,), reason="l="),
    refused("l= and more", RSA.sign(PLAIN, length=True) + b"more\r\n", dkim=(POLICY,), reason="l="),
    refused("no such key", with_selector(RSA, "none").sign(PLAIN), dkim=(PERMERROR,), reason="not published"),
    refused("two keys", with_selector(RSA, "twice").sign(PLAIN), dkim=(PERMERROR,), reason="several"),
    refused("revoked", with_selector(RSA, "revoked").sign(PLAIN), dkim=(FAIL,), reason="revoked"),
    refused("testing", with_selector(RSA, "testing").sign(PLAIN), dkim=(POLICY,), reason="testing"),
    refused(
        "t=s", with_selector(RSA, "own").sign(PLAIN, identity="a@mail.example.com"), dkim=(PERMERROR,), reason="own"
    ),
    Case("t=s and i= of itself", with_selector(RSA, "own").sign(PLAIN, identity="a@example.com")),
    refused("h=sha1", with_selector(RSA, "sha1").sign(PLAIN), dkim=(PERMERROR,), reason="SHA-256"),
    refused("s=web", with_selector(RSA, "web").sign(PLAIN), dkim=(PERMERROR,), reason="mail"),
    refused("another kind", with_selector(RSA, "other").sign(PLAIN), dkim=(PERMERROR,), reason="kind"),
    refused("no key in it", with_selector(RSA, "noise").sign(PLAIN), dkim=(PERMERROR,), reason="malformed"),
    refused("no base64 in it", with_selector(RSA, "no64").sign(PLAIN), dkim=(PERMERROR,), reason="malformed"),
    refused("a weak key", with_selector(RSA, "weak").sign(PLAIN), dkim=(POLICY,), reason="bits"),
    refused("a huge key", with_selector(RSA, "huge").sign(PLAIN), dkim=(POLICY,), reason="bits"),
    refused("a slow key", with_selector(RSA, "slow").sign(PLAIN), dkim=(PERMERROR,), reason="malformed"),
    refused("an even key", with_selector(RSA, "even").sign(PLAIN), dkim=(PERMERROR,), reason="malformed"),
    Case("To names somebody else", RSA.sign(mail(to="other@example.org")), author=Proof.NONE),
    Case("To is not signed", RSA.sign(PLAIN, h=(b"from", b"subject")), author=Proof.NONE),
    Case("several authors", RSA.sign(mail(author="ada@example.com, eve@example.com")), author=Proof.NONE, dmarc=None),
    refused("a line that is no field", RSA.sign(PLAIN).replace(b"To:", b"garbage\r\nTo:", 1), dkim=()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_what_a_mail_proves(dns: DnsServer, case: Case) -> None:
    findings = await found(dns.address, case.message, sender=case.sender, ip=case.ip)
    assert [one.result for one in findings.dkim] == list(case.dkim), findings.dkim
    assert case.reason in (findings.dkim[0].reason if findings.dkim else "")
    assert (findings.dmarc.result if findings.dmarc else None) is case.dmarc, findings.dmarc
    proven = proves(findings, case.sender)
    assert (proven.author, proven.envelope) == (case.author, case.envelope)
    assert proven.rejected is case.rejected
    assert not proven.temporary
    assert bool(proven.signatures) is (case.author is Proof.DKIM or case.name == "spf and dkim")


def test_half_of_the_cases_prove_nothing() -> None:
    assert len(CASES) >= 15
    assert sum(case.author is Proof.NONE for case in CASES) * 2 >= len(CASES)


async def test_a_signature_has_its_time(dns: DnsServer) -> None:
    signed = RSA.sign(PLAIN)
    stamp = re.search(rb"t=(\d+)", signed)
    assert stamp
    at = float(stamp[1])
    for now, result in ((at, PASS), (at - 590, PASS), (at - 610, POLICY), (at + OLDEST, PASS), (at + 1e8, POLICY)):
        assert [one.result for one in (await found(dns.address, signed, now=now)).dkim] == [result]


def test_a_signature_is_too_old_before_it_is_forgotten() -> None:
    assert OLDEST + 600 < SIGNATURE_SECONDS  # it may be used before its t=, by as much as clocks differ


async def test_without_t_the_signed_date_counts(dns: DnsServer) -> None:
    june = 1780304400.0  # the Date of `mail`
    for h, now, result in (
        (H, june, PASS),
        (H, june + OLDEST + 1, POLICY),
        ([name for name in H if name != b"date"], june, POLICY),
    ):
        signed = RSA.sign_undated(PLAIN, h)
        assert [one.result for one in (await found(dns.address, signed, now=now)).dkim] == [result]


async def test_a_silent_dns_is_for_now(dns: DnsServer) -> None:
    async with misbehaving(Fault.SILENT, behind=dns) as silent:
        findings = await found(silent.address, RSA.sign(PLAIN), deadline=0.2)
    assert [one.result for one in findings.dkim] == [Result.TEMPERROR]
    assert findings.dmarc
    assert findings.dmarc.result is Result.TEMPERROR
    proven = proves(findings)
    assert (proven.author, proven.temporary, proven.rejected) == (Proof.NONE, True, False)


async def test_a_dns_that_fails_is_for_now_where_it_might_have_proved(dns: DnsServer) -> None:
    async with misbehaving(Fault.SERVFAIL, behind=dns) as failing:
        named = await found(failing.address, RSA.sign(PLAIN))
        unnamed = await found(failing.address, RSA.sign(mail(to="other@example.org")))
        strangers = await found(failing.address, LIST.sign(PLAIN))
        changed = await found(failing.address, RSA.sign(PLAIN).replace(b"Hello", b"Hallo"))
    assert proves(named).temporary
    assert not proves(unnamed).temporary
    assert proves(strangers).temporary  # nobody knows now what the author's domain says of it
    assert not proves(changed).temporary
    assert not any(proves(one).rejected for one in (named, unnamed, strangers, changed))


async def test_a_signature_counts_once_at_each_address(dns: DnsServer) -> None:
    two = RSA.sign(mail(to=f"{PRINTER}, Other <other@example.org>"))
    findings = await found(dns.address, two)
    first = proves(findings).signatures
    assert first == proves(findings).signatures
    assert first == proves(findings, recipient="PHASER360+copies=3@Example.ORG").signatures
    assert len(first) == 1
    assert proves(findings, recipient="other@example.org").signatures != first
    assert proves(await found(dns.address, b"X-Trace: 1\r\n" + two)).signatures == first
    rewritten = two.replace(b"; b=", b";\r\n b=") if b"; b=" in two else two.replace(b"\r\n b=", b" b=")
    assert proves(await found(dns.address, rewritten)).signatures == first


async def test_the_subaddress_of_to_is_not_the_subaddress_of_another_rcpt(dns: DnsServer) -> None:
    findings = await found(dns.address, RSA.sign(mail(to="phaser360+copies=2@example.org")))
    for recipient, proof in (("+copies=2", Proof.DKIM), ("+copies=99", Proof.NONE), ("", Proof.NONE)):
        assert proves(findings, recipient=f"phaser360{recipient}@example.org").author is proof


async def test_at_most_five_signatures_are_looked_at_and_the_authors_first(dns: DnsServer) -> None:
    message = RSA.sign(PLAIN)
    for number in range(30):
        message = with_selector(LIST, f"s{number}").sign(message)
    async with misbehaving(behind=dns) as listening:
        findings = await found(listening.address, message)
        asked = [question for question in listening.questions if "_domainkey" in question]
    assert len(findings.dkim) == len(asked) == 5
    assert findings.dkim[0].result is PASS
    assert proves(findings).author is Proof.DKIM


@pytest.mark.parametrize(("behind", "questions"), [("", 2), ("mta", 6)])
async def test_a_client_asks_so_much_at_once(
    monkeypatch: pytest.MonkeyPatch, dns: DnsServer, behind: str, questions: int
) -> None:
    """All but a mail server in front, by which everybody comes."""
    monkeypatch.setattr(resolving, "EACH", 2)
    message = PLAIN
    for number in range(5):
        message = with_selector(RSA, f"s{number}").sign(message)
    async with misbehaving(behind=dns) as listening:
        listening.gate.clear()
        given = {"proof": {"dns": [listening.address]}, "smtp": {"behind": behind}}
        auth = MailAuth(Settings.model_validate(given))

        async def asked() -> None:
            while len(listening.questions) < questions * 2:
                listening.asked.clear()
                await listening.asked.wait()

        block, _, body = message.partition(b"\r\n\r\n")
        renamed = block.replace(b"example.com", b"example.net")  # nobody knows what is asked for the other
        pairs = ((IP, block), (OTHER_IP, renamed))
        examinations = [auth.examine(one + b"\r\n", ip) for ip, one in pairs]
        for examination in examinations:
            examination.feed(b"\r\n" + body)
        ends = [asyncio.create_task(examination.end(None)) for examination in examinations]
        async with asyncio.timeout(5):
            await asked()
        assert len(listening.questions) == questions * 2
        listening.gate.set()
        assert [len(findings.dkim) for findings in await asyncio.gather(*ends)] == [5, 5]
        assert len(listening.questions) >= 12
        await auth.close()


async def test_spf_is_asked_once(dns: DnsServer) -> None:
    async with misbehaving(behind=dns) as listening:
        auth = MailAuth(configured(listening.address))
        both = await asyncio.gather(*(auth.spf(IP, "client.example", ADA) for _ in range(5)))
        both.append(await auth.spf(IP, "client.example", ADA))
        assert {one.result for one in both} == {PASS}
        assert (await auth.spf(OTHER_IP, "client.example", ADA)).result is FAIL
        assert len(listening.questions) == len(set(listening.questions))
        await auth.close()


async def test_results_are_counted(dns: DnsServer) -> None:
    labels = (("dkim", "pass"), ("dmarc", "pass"), ("spf", "pass"))
    before = [RESULTS.labels(*pair)._value.get() for pair in labels]
    await found(dns.address, RSA.sign(PLAIN), sender=ADA, ip="192.0.2.7")
    assert [RESULTS.labels(*pair)._value.get() for pair in labels] == [value + 1 for value in before]


def oracle(message: bytes, records: DNS) -> bool:
    def txt(name: bytes, timeout: float = 0) -> bytes:
        return records[name.decode().rstrip(".")]["TXT"][0].encode()

    return bool(dkim.verify(message, dnsfunc=txt))


# No octets on which they must differ: dkimpy ends lines at a lone LF, and keeps blanks behind the last line's end.
LINES = st.lists(
    st.sampled_from([b"", b" ", b"\t", b"  a\t \tb ", b"a", b"x" * 70, b"a\rb", b"\r", b"--"]), max_size=12
)
BODIES = LINES.map(lambda lines: b"".join(line + b"\r\n" for line in lines))
CANONICALIZATIONS = [f"{header}/{body}" for header in ("simple", "relaxed") for body in ("simple", "relaxed")]


@dataclass
class Pieces:
    """Cuts what it is given at places that Hypothesis chooses."""

    lengths: Sequence[int]
    seen: list[int] = field(default_factory=list)

    def __call__(self, octets: bytes) -> Sequence[bytes]:
        cut, start = [], 0
        for length in self.lengths:
            cut.append(octets[start : start + length])
            start += length
        return [*cut, octets[start:]]


@pytest.mark.parametrize("canonicalization", CANONICALIZATIONS)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES, other=st.none() | BODIES, lengths=st.lists(st.integers(0, 9), max_size=20))
async def test_like_dkimpy(
    dns: DnsServer, canonicalization: str, body: bytes, other: bytes | None, lengths: Sequence[int]
) -> None:
    signed = ED.sign(mail(body=body), canonicalization=canonicalization)
    if other is not None:
        signed = signed.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + other
    wanted = oracle(signed, ED.published())
    for cut in (Pieces(lengths), Pieces([1] * (len(signed) + 2))):
        findings = await found(dns.address, signed, cut=cut)
        assert (findings.dkim[0].result is PASS) == wanted, findings.dkim


@pytest.mark.parametrize("canonicalization", CANONICALIZATIONS)
async def test_rsa_in_all_canonicalizations(dns: DnsServer, canonicalization: str) -> None:
    body = b" a \t b\t\r\n\r\n.\r\n\r\n\r\n"
    signed = RSA.sign(
        mail(author='"Lovelace,\tAda"\r\n  <ada@example.com>', body=body), canonicalization=canonicalization
    )
    assert oracle(signed, RSA.published())
    assert [one.result for one in (await found(dns.address, signed)).dkim] == [PASS]
    blanks = signed.replace(b" a \t b\t\r\n", b" a b\r\n").replace(b"Subject: the plan", b"SUBJECT:the   plan ")
    relaxed = canonicalization == "relaxed/relaxed"
    assert oracle(blanks, RSA.published()) is relaxed
    assert [one.result is PASS for one in (await found(dns.address, blanks)).dkim] == [relaxed]


async def test_a_header_of_a_quarter_megabyte_costs_little(dns: DnsServer) -> None:
    size = 250_000
    hostile = [
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=rsa; bh=; h=from; b=" + b"\r\n " * (size // 3),
        b"DKIM-Signature: v=1; x=" + b" b" * (size // 2),
        b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=rsa; bh=; b=; h="
        + b":".join(b"%x" % n for n in range(40_000)),
        b"To: " + b"(" * size,
        b"To: " + b'"' * size,
        b"From: " + b"\\(" * (size // 2),
        b"To: " + b"a@b," * (size // 4),
        b"Cc: " + b"<" * size,
        b"a:\r\n" * (size // 5) + b"a:",
        b"ARC-Seal: i=1; b=" + b" \r\n \r\n" * (size // 6),
        b"ARC-Authentication-Results: i=1; x; " + b'dkim=pass reason="' * (size // 20),
        *(RSA.sign(PLAIN).partition(b"From:")[0][:-2] for _ in range(1)),
        b"\r\n".join([b"DKIM-Signature: v=1; a=rsa-sha256; d=example.com; s=rsa; bh=AA==; h=from; b=AA=="] * 2500),
    ]
    auth = MailAuth(configured(dns.address, "example.net"))
    loop = asyncio.get_running_loop()
    for block in hostile:
        began = loop.time()
        examination = auth.examine(block + b"\r\n" + PLAIN.partition(b"\r\n\r\n")[0] + b"\r\n")
        findings = await examination.end(SpfFinding(result=NONE))
        assert loop.time() - began < 1.0, block[:60]
        assert not any(one.result is PASS for one in findings.dkim)
    await auth.close()
