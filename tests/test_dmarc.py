"""DMARC records, the tree walk, and who is aligned with whom, asked of a real name server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from appliance.proof import dmarc
from appliance.proof.dns import DnsFailure, Resolver
from appliance.proof.tags import Malformed
from mailstore.config import ProofSettings
from tests.dns_server import DnsServer, Fault, dns_server, misbehaving

RECORDS = {
    "_dmarc.example.com": {"TXT": ["v=DMARC1; p=reject"]},
    "_dmarc.sub.example.com": {"TXT": ["v=DMARC1; p=none; psd=n"]},
    "_dmarc.bank": {"TXT": ["v=DMARC1; p=reject; psd=y"]},
    "_dmarc.land": {"TXT": ["v=DMARC1; p=reject; psd=n"]},
    "_dmarc.first.bank": {"TXT": ["v=DMARC1; p=quarantine"]},
    "_dmarc.two.example": {"TXT": ["v=DMARC1; p=reject", "v=DMARC1; p=none"]},
    "_dmarc.noise.example": {"TXT": ["some words", "v=spf1 -all", "v=DMARC1; p=reject"]},
    "_dmarc.wrong.example": {"TXT": ["v=DMARC1; p=refuse"]},
    "_dmarc.np.example": {"TXT": ["v=DMARC1; p=none; sp=quarantine; np=reject; psd=n"]},
    "there.np.example": {"AAAA": ["2001:db8::1"]},
    "_dmarc.h.i.j.k.l.deep.example": {"TXT": ["v=DMARC1; p=none"]},
}


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsServer]:
    with dns_server(RECORDS) as server:
        yield server


def resolver(address: str) -> Resolver:
    return Resolver(ProofSettings.model_validate({"dns": [address], "dns_wait": 1.0}))


@pytest.mark.parametrize(
    ("record", "asked"),
    [
        ("v=DMARC1; p=reject", ("reject", "reject", "reject")),
        ("v = DMARC1 ;p=Reject;", ("reject", "reject", "reject")),
        ("v=DMARC1; p=none; sp=reject", ("none", "reject", "reject")),
        ("v=DMARC1; p=none; sp=quarantine; np=reject", ("none", "quarantine", "reject")),
        ("v=DMARC1; p=reject; sp=what; np=ever", ("reject", "reject", "reject")),
        ("v=DMARC1; p=reject; sp=none; t=y", ("quarantine", "none", "none")),
        ("v=DMARC1; p=quarantine; t=y", ("none", "none", "none")),
        ("v=DMARC1; p=reject; pct=0", ("quarantine", "quarantine", "quarantine")),
        ("v=DMARC1; p=reject; pct=50", ("reject", "reject", "reject")),  # the successor of RFC 7489 knows no pct
        ("v=DMARC1; rua=mailto:a@example.com", ("none", "none", "none")),
    ],
)
def test_what_a_record_asks_for(record: str, asked: tuple[str, str, str]) -> None:
    found = dmarc.parse(record.encode(), "example.com")
    assert found
    assert (found.policy, found.of_subdomains, found.of_nobody) == asked


@pytest.mark.parametrize("record", ["", "v=DMARC2; p=none", "v=dmarc1; p=none", "p=none; v=DMARC1", "v=spf1 -all"])
def test_what_is_no_record(record: str) -> None:
    assert dmarc.parse(record.encode(), "example.com") is None


@pytest.mark.parametrize("record", ["v=DMARC1", "v=DMARC1; p=refuse", "v=DMARC1; p=none; p=reject", "v=DMARC1; p"])
def test_what_cannot_be_read(record: str) -> None:
    with pytest.raises(Malformed):
        dmarc.parse(record.encode(), "example.com")


def test_a_walk_asks_at_most_eight_times() -> None:
    assert dmarc.steps("example.com") == ["example.com", "com"]
    assert dmarc.steps("com") == ["com"]
    deep = ".".join("abcdefghijklmnopqrst")
    assert dmarc.steps(deep) == [deep, "n.o.p.q.r.s.t", "o.p.q.r.s.t", "p.q.r.s.t", "q.r.s.t", "r.s.t", "s.t", "t"]
    eight = "a.b.c.d.e.f.g.h"
    assert dmarc.steps(eight)[:2] == [eight, "b.c.d.e.f.g.h"]
    assert len(dmarc.steps(eight)) == 8


@pytest.mark.parametrize(
    ("domain", "organisation", "policy"),
    [
        ("example.com", "example.com", "reject"),
        ("a.b.example.com", "example.com", "reject"),
        ("sub.example.com", "sub.example.com", "none"),
        ("x.sub.example.com", "sub.example.com", "none"),
        ("nobody.example", "nobody.example", ""),
        ("a.nobody.example", "a.nobody.example", ""),
        ("first.bank", "first.bank", "quarantine"),
        ("www.first.bank", "first.bank", "quarantine"),
        ("second.bank", "second.bank", "reject"),
        ("www.second.bank", "second.bank", "reject"),
        ("www.first.land", "first.land", "reject"),
        ("two.example", "two.example", ""),
        ("noise.example", "noise.example", "reject"),
        ("www.wrong.example", "www.wrong.example", ""),
        ("there.np.example", "np.example", "quarantine"),
        ("nowhere.np.example", "np.example", "reject"),
        ("a.b.c.d.e.f.g.h.i.j.k.l.deep.example", "h.i.j.k.l.deep.example", "none"),
    ],
)
async def test_the_tree_walk(dns: DnsServer, domain: str, organisation: str, policy: str) -> None:
    asked = resolver(dns.address)
    found = await dmarc.walk(asked, domain)
    assert (found.organisation, found.policy) == (organisation, policy)
    await asked.close()


@pytest.mark.parametrize(
    ("author", "other", "aligned"),
    [
        ("example.com", "example.com", True),
        ("example.com", "mail.example.com", True),
        ("a.example.com", "b.example.com", True),
        ("a.example.com", "example.com", True),
        ("example.com", "sub.example.com", False),
        ("x.sub.example.com", "example.com", False),
        ("x.sub.example.com", "y.sub.example.com", True),
        ("first.bank", "second.bank", False),
        ("www.second.bank", "mail.second.bank", True),
        ("first.land", "second.land", False),
        ("first.land", "land", False),
        ("a.nobody.example", "b.nobody.example", False),
        ("example.com", "notexample.com", False),
        ("example.com", "com", False),
    ],
)
async def test_who_is_aligned(dns: DnsServer, author: str, other: str, aligned: bool) -> None:
    asked = resolver(dns.address)
    found = await dmarc.align(asked, await dmarc.walk(asked, author), spf=other, signers=[other])
    assert found == dmarc.Alignment(spf=aligned, signers=frozenset({other} if aligned else ()))
    await asked.close()


async def test_the_domains_own_malformed_record_is_an_error(dns: DnsServer) -> None:
    asked = resolver(dns.address)
    with pytest.raises(Malformed):
        await dmarc.walk(asked, "wrong.example")
    await asked.close()


async def test_a_dns_that_fails_is_no_missing_record(dns: DnsServer) -> None:
    async with misbehaving(Fault.SERVFAIL, behind=dns) as failing:
        asked = resolver(failing.address)
        with pytest.raises(DnsFailure):
            await dmarc.walk(asked, "example.com")
        await asked.close()
