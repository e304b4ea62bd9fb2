"""SPF of real records on a real name server: RFC 7208."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from ipaddress import ip_address

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.proof import spf
from appliance.proof.dns import Resolver
from appliance.proof.result import Result, SpfFinding
from appliance.proof.spf import check_host
from mailstore.config import ProofSettings
from tests.dns_server import DnsServer, Fault, Records, dns_server, misbehaving

SIX = ip_address("2001:db8::7")


def domain(record: str) -> dict[str, list[str]]:
    return {"TXT": ["other text", record]}


RECORDS: Records = {
    "ip4.example.com": domain("v=spf1 ip4:192.0.2.0/28 -all"),
    "ip6.example.com": domain("v=spf1 ip6:2001:db8::/64 -all"),
    "soft.example.com": domain("v=spf1 ip4:192.0.2.0/28 ~all"),
    "neutral.example.com": domain("v=spf1 ip4:192.0.2.0/28 ?all"),
    "silent.example.com": domain("v=spf1 ip4:192.0.2.0/28"),
    "closed.example.com": domain("v=spf1 -all"),
    "open.example.com": domain("v=spf1 +all"),
    "none.example.com": {"TXT": ["google-site-verification=1", "v=spf10 -all"]},
    "two.example.com": {"TXT": ["v=spf1 +all", "v=spf1 -all"]},
    "wrong.example.com": domain("v=spf1 ip4:192.0.2.7 ipv4:192.0.2.8 -all"),
    "strings.example.com": {"TXT": [("v=spf1 ip4:192.", "0.2.7 -all")]},
    "a.example.com": domain("v=spf1 a -all") | {"A": ["192.0.2.7"], "AAAA": ["2001:db8::7"]},
    "a24.example.com": domain("v=spf1 a:host.example.com/24//64 -all"),
    "host.example.com": {"A": ["192.0.2.200"], "AAAA": ["2001:db8::ffff"]},
    "alias.example.com": domain("v=spf1 a:www.a24.example.com/24 -all"),
    "www.a24.example.com": {"CNAME": ["host.example.com"]},
    "mx.example.com": domain("v=spf1 mx/28 -all") | {"MX": [(10, "four.example.com"), (20, "six.example.com")]},
    "four.example.com": {"A": ["192.0.2.9"]},
    "six.example.com": {"AAAA": ["2001:db8::7"]},
    "manymx.example.com": domain("v=spf1 mx +all")
    | {"MX": [(number, f"h{number}.example.com") for number in range(11)]},
    "tenmx.example.com": domain("v=spf1 mx -all")
    | {"MX": [*((number, f"h{number}.example.com") for number in range(9)), (9, "four.example.com")]},
    "emptymx.example.com": domain("v=spf1 mx ?all") | {"MX": [(0, ".")]},
    "ptr.example.com": domain("v=spf1 ptr -all"),
    "ptrfor.example.com": domain("v=spf1 ptr:Ptr.Example.Com -all"),
    "7.2.0.192.in-addr.arpa": {"PTR": ["liar.ptr.example.com", "mail.ptr.example.com", "notptr.example.com"]},
    "8.2.0.192.in-addr.arpa": {"PTR": ["liar.ptr.example.com", "xptr.example.com"]},
    "mail.ptr.example.com": {"A": ["192.0.2.99", "192.0.2.7"]},
    "xptr.example.com": {"A": ["192.0.2.8"]},
    "liar.ptr.example.com": {"A": ["192.0.2.66"]},
    SIX.reverse_pointer: {"PTR": ["six.ptr.example.com"]},
    "six.ptr.example.com": {"AAAA": ["2001:db8::7"]},
    "exists.example.com": domain("v=spf1 exists:%{ir}.%{l1r+-}.%{v}.allowed.%{d2} -all"),
    "7.2.0.192.ada.in-addr.allowed.example.com": {"A": ["127.0.0.2"]},
    "helo.example.com": domain("v=spf1 exists:%{h}.helos.%{o} -all"),
    "greeting.example.net.helos.helo.example.com": {"A": ["127.0.0.2"]},
    "p.example.com": domain("v=spf1 exists:%{p}.proved.example.com -all"),
    "mail.ptr.example.com.proved.example.com": {"A": ["127.0.0.2"]},
    "unknown.proved.example.com": {"A": ["127.0.0.2"]},
    "include.example.com": domain("v=spf1 include:soft.example.com include:ip6.example.com -all"),
    "includenone.example.com": domain("v=spf1 include:none.example.com +all"),
    "includewrong.example.com": domain("v=spf1 include:wrong.example.com +all"),
    "includeopen.example.com": domain("v=spf1 -include:open.example.com +all"),
    "redirect.example.com": domain("v=spf1 exp=no.example.com redirect=explained.example.com"),
    "redirectnone.example.com": domain("v=spf1 redirect=none.example.com"),
    "redirectall.example.com": domain("v=spf1 redirect=open.example.com ?all"),
    "loop.example.com": domain("v=spf1 include:loop.example.com -all"),
    "tail.example.com": domain("v=spf1 redirect=tail.example.com"),
    "ten.example.com": domain("v=spf1 " + "a:host.example.com " * 9 + "include:open.example.com"),
    "eleven.example.com": domain("v=spf1 " + "a:host.example.com " * 10 + "include:open.example.com"),
    "void2.example.com": domain("v=spf1 a:v1.example.com exists:v2.example.com ip4:192.0.2.7 -all"),
    "void3.example.com": domain("v=spf1 a:v1.example.com mx:v2.example.com exists:v3.example.com ip4:192.0.2.7 -all"),
    "mxsix.example.com": domain("v=spf1 mx:nosix.example.com mx:nosix.example.com ip6:2001:db8::/64 -all"),
    "nosix.example.com": {"MX": [(number, "four.example.com") for number in range(5)]},
    "explained.example.com": domain("v=spf1 exp=%{d1r}.why.example.com -all"),
    "explained.why.example.com": {"TXT": ["%{c} may not send as %{s}; ask %{r}"]},
    "badexp.example.com": domain("v=spf1 exp=x.example.com -all"),
    "x.example.com": {"TXT": ["100% wrong"]},
    "twoexp.example.com": domain("v=spf1 exp=y.example.com -all"),
    "y.example.com": {"TXT": ["one", "two"]},
    "includeexp.example.com": domain("v=spf1 include:explained.example.com -all"),
    "local.example.com": domain("v=spf1 exists:%{l}.open.%{d} a:host.example.com/16 -all"),
    "xn--mnchen-3ya.example.com": domain("v=spf1 a:%{o}/16 -all") | {"A": ["192.0.2.1"]},
    "empty.example.com": domain("v=spf1 a:..example.com ptr:%{l}..example.com ?all"),
    **{
        f"long{number}.example.com": domain(
            "v=spf1" + " ip4:198.51.100.1" * 200 + f" include:long{number + 1}.example.com"
        )
        for number in range(6)
    },
    "_spf.example.com": domain("v=spf1 +all"),
}

# Sender, client, result, a part of the reason.
CASES = [
    ("ada@ip4.example.com", "192.0.2.7", "pass", "ip4:192.0.2.0/28 of ip4.example.com"),
    ("ada@IP4.Example.COM", "192.0.2.16", "fail", "-all of ip4.example.com"),
    ("ada@ip4.example.com", "2001:db8::7", "fail", "-all"),
    ("ada@ip6.example.com", "2001:db8::7", "pass", "ip6:"),
    ("ada@ip6.example.com", "2001:db8:0:1::7", "fail", "-all"),
    ("ada@soft.example.com", "192.0.2.16", "softfail", "~all"),
    ("ada@neutral.example.com", "192.0.2.16", "neutral", "?all"),
    ("ada@silent.example.com", "192.0.2.16", "neutral", "nothing in the SPF record of silent.example.com"),
    ("ada@closed.example.com", "192.0.2.7", "fail", "-all"),
    ("ada@none.example.com", "192.0.2.7", "none", "none.example.com has no SPF record"),
    ("ada@nowhere.example.com", "192.0.2.7", "none", "no SPF record"),
    ("ada@two.example.com", "192.0.2.7", "permerror", "several SPF records"),
    ("ada@wrong.example.com", "192.0.2.7", "permerror", 'wrong.example.com: "ipv4:192.0.2.8" is not understood'),
    ("ada@strings.example.com", "192.0.2.7", "pass", "ip4:192.0.2.7"),
    ("ada@a.example.com", "192.0.2.7", "pass", "a of"),
    ("ada@a.example.com", "192.0.2.8", "fail", "-all"),
    ("ada@a.example.com", "2001:db8::7", "pass", "a of"),
    ("ada@a24.example.com", "192.0.2.1", "pass", "a:host"),
    ("ada@a24.example.com", "192.0.3.1", "fail", "-all"),
    ("ada@a24.example.com", "2001:db8::1", "pass", "a:host"),
    ("ada@a24.example.com", "2001:db8:0:1::", "fail", "-all"),
    ("ada@alias.example.com", "192.0.2.1", "pass", "a:www"),
    ("ada@mx.example.com", "192.0.2.15", "pass", "mx/28"),
    ("ada@mx.example.com", "192.0.2.16", "fail", "-all"),
    ("ada@mx.example.com", "2001:db8::7", "pass", "mx/28"),
    ("ada@manymx.example.com", "192.0.2.7", "permerror", "more than 10 hosts"),
    ("ada@tenmx.example.com", "192.0.2.9", "pass", "mx"),
    ("ada@tenmx.example.com", "192.0.2.8", "fail", "-all"),
    ("ada@emptymx.example.com", "192.0.2.8", "neutral", "?all"),
    ("ada@ptr.example.com", "192.0.2.7", "pass", "ptr of"),
    ("ada@ptr.example.com", "192.0.2.8", "fail", "-all"),
    ("ada@ptr.example.com", "192.0.2.9", "fail", "-all"),
    ("ada@ptrfor.example.com", "2001:db8::7", "pass", "ptr:"),
    ("ada@exists.example.com", "192.0.2.7", "pass", "exists:"),
    ("bob-ada@exists.example.com", "192.0.2.7", "fail", "-all"),
    ("ada+bob@exists.example.com", "192.0.2.7", "pass", "exists:"),
    ("ada@helo.example.com", "192.0.2.7", "pass", "exists:"),
    ("ada@p.example.com", "192.0.2.7", "pass", "exists:"),
    ("ada@p.example.com", "192.0.2.9", "pass", "exists:"),
    ("ada@p.example.com", "192.0.2.8", "fail", "-all"),
    ("ada@include.example.com", "192.0.2.7", "pass", "include:soft"),
    ("ada@include.example.com", "2001:db8::7", "pass", "include:ip6"),
    ("ada@include.example.com", "192.0.2.16", "fail", "-all of include.example.com"),
    ("ada@includenone.example.com", "192.0.2.7", "permerror", "includes none.example.com"),
    ("ada@includewrong.example.com", "192.0.2.7", "permerror", "wrong.example.com"),
    ("ada@includeopen.example.com", "192.0.2.7", "fail", "-include:"),
    ("ada@redirectnone.example.com", "192.0.2.7", "permerror", "redirects to none.example.com"),
    ("ada@redirectall.example.com", "192.0.2.7", "neutral", "?all"),
    ("ada@loop.example.com", "192.0.2.7", "permerror", "more than 10 look-ups"),
    ("ada@tail.example.com", "192.0.2.7", "permerror", "more than 10 look-ups"),
    ("ada@ten.example.com", "192.0.2.7", "pass", "include:open"),
    ("ada@eleven.example.com", "192.0.2.7", "permerror", "more than 10 look-ups"),
    ("ada@void2.example.com", "192.0.2.7", "pass", "ip4:"),
    ("ada@void3.example.com", "192.0.2.7", "permerror", "more than 2 look-ups found nothing"),
    ("ada@mxsix.example.com", "2001:db8::7", "pass", "ip6:"),
    ("ada@redirect.example.com", "192.0.2.7", "fail", "explained.example.com says: 192.0.2.7 may not send as ada@red"),
    ("ada@explained.example.com", "192.0.2.7", "fail", "ada@explained.example.com; ask mx.example.org"),
    ("ada@badexp.example.com", "192.0.2.7", "fail", "-all of badexp.example.com"),
    ("ada@twoexp.example.com", "192.0.2.7", "fail", "-all of twoexp.example.com"),
    ("ada@includeexp.example.com", "192.0.2.7", "fail", "-all of includeexp.example.com"),
    ("ädä@local.example.com", "192.0.2.7", "pass", "a:host"),
    ("ada@münchen.example.com", "192.0.9.1", "pass", "a:%{o}/16"),
    ("ada@empty.example.com", "192.0.2.7", "neutral", "?all"),
    ("ada@_spf.example.com", "192.0.2.7", "pass", "+all"),
    ("ada@long0.example.com", "192.0.2.7", "permerror", "longer than 16384 octets, the last of long4.example.com"),
    ("ada@[192.0.2.7]", "192.0.2.7", "none", "no domain"),
    ("ada@localhost", "192.0.2.7", "none", "no domain"),
    ("ada@192.0.2.7", "192.0.2.7", "none", "no domain"),
    ("ada@exa mple.com", "192.0.2.7", "none", "no domain"),
    ("ada@ip4..example.com", "192.0.2.7", "none", "no domain"),
    ("ada@" + "x" * 64 + ".example.com", "192.0.2.7", "none", "no domain"),
    ("no address", "192.0.2.7", "none", "no domain"),
]


@pytest.fixture(scope="module")
def nsd() -> Iterator[DnsServer]:
    with dns_server(RECORDS) as server:
        yield server


@pytest.fixture
async def resolver(nsd: DnsServer) -> AsyncIterator[Resolver]:
    asking = Resolver(ProofSettings(dns=(nsd.address,)))
    yield asking
    await asking.close()


async def judged(
    resolver: Resolver, sender: str, ip: str = "192.0.2.7", helo: str = "greeting.example.net"
) -> SpfFinding:
    return await check_host(resolver, ip=ip_address(ip), helo=helo, reverse_path=sender, receiver="mx.example.org")


@pytest.mark.parametrize(("sender", "ip", "result", "reason"), CASES)
async def test_what_a_domain_says_of_a_client(
    resolver: Resolver, sender: str, ip: str, result: str, reason: str
) -> None:
    finding = await judged(resolver, sender, ip)
    assert finding.result == result, finding
    assert reason in finding.reason
    assert finding.reason.isprintable()
    assert not finding.helo
    assert finding.domain == "" or result != "none" or "no SPF record" in finding.reason


def test_most_cases_fail() -> None:
    assert sum(result != "pass" for _, _, result, _ in CASES) > len(CASES) / 2


@pytest.mark.parametrize(
    ("helo", "result"),
    [
        ("ip4.example.com", Result.PASS),
        ("closed.example.com", Result.FAIL),
        ("[192.0.2.7]", Result.NONE),
        ("printer", Result.NONE),
        ("", Result.NONE),
        ("x" * 100_000, Result.NONE),
    ],
)
async def test_the_null_reverse_path_is_checked_by_helo(resolver: Resolver, helo: str, result: Result) -> None:
    finding = await judged(resolver, "", helo=helo)
    assert (finding.result, finding.helo) == (result, True)


async def test_the_null_reverse_path_is_postmaster_of_helo(nsd: DnsServer) -> None:
    async with misbehaving(behind=nsd) as listening:
        asking = Resolver(ProofSettings(dns=(listening.address,)))
        await judged(asking, "", helo="local.example.com")
        assert "postmaster.open.local.example.com A" in listening.questions
        await asking.close()


async def test_no_name_that_is_not_ascii_is_asked(nsd: DnsServer) -> None:
    async with misbehaving(behind=nsd) as listening:
        asking = Resolver(ProofSettings(dns=(listening.address,)))
        await judged(asking, "ädä@local.example.com")
        assert listening.questions == ["local.example.com TXT", "host.example.com A"]
        await asking.close()


@pytest.mark.parametrize("fault", [Fault.SILENT, Fault.SERVFAIL])
async def test_a_domain_that_does_not_answer_is_a_temperror(fault: Fault) -> None:
    async with misbehaving(fault) as bad:
        asking = Resolver(ProofSettings(dns=(bad.address,), dns_wait=0.2))
        finding = await judged(asking, "ada@ip4.example.com")
        assert finding.result is Result.TEMPERROR
        assert finding.domain == "ip4.example.com"
        assert finding.reason == "the DNS does not answer about ip4.example.com now"
        await asking.close()


@pytest.mark.parametrize(
    ("sender", "failing", "result"),
    [
        ("ada@a24.example.com", "host.example.com", Result.TEMPERROR),
        ("ada@mx.example.com", "mx.example.com", Result.TEMPERROR),
        ("ada@mx.example.com", "four.example.com", Result.TEMPERROR),
        ("ada@include.example.com", "soft.example.com", Result.TEMPERROR),
        ("ada@redirect.example.com", "explained.example.com", Result.TEMPERROR),
        ("ada@exists.example.com", "7.2.0.192.ada.in-addr.allowed.example.com", Result.TEMPERROR),
        ("ada@ptr.example.com", "7.2.0.192.in-addr.arpa", Result.FAIL),
        ("ada@ptr.example.com", "mail.ptr.example.com", Result.FAIL),
        ("ada@ptr.example.com", "liar.ptr.example.com", Result.PASS),
        ("ada@p.example.com", "mail.ptr.example.com", Result.PASS),  # whose macro says "unknown" then
        ("ada@explained.example.com", "explained.why.example.com", Result.FAIL),
    ],
)
async def test_a_question_that_fails(nsd: DnsServer, sender: str, failing: str, result: Result) -> None:
    async with misbehaving(behind=nsd) as bad:
        bad.failing.add(failing)
        asking = Resolver(ProofSettings(dns=(bad.address,)))
        finding = await judged(asking, sender)
        assert finding.result is result
        assert (failing in finding.reason) == (result is Result.TEMPERROR)
        assert result is Result.PASS or any(question.startswith(failing) for question in bad.questions)
        await asking.close()


async def test_all_of_a_check_has_one_deadline(monkeypatch: pytest.MonkeyPatch, nsd: DnsServer) -> None:
    monkeypatch.setattr(spf, "DEADLINE", 0.2)
    async with misbehaving(behind=nsd) as slow:
        slow.gate.clear()
        asking = Resolver(ProofSettings(dns=(slow.address,), dns_wait=10))
        began = time.monotonic()
        finding = await judged(asking, "ada@ip4.example.com")
        assert time.monotonic() - began < 2
        assert finding.result is Result.TEMPERROR
        assert "in time" in finding.reason
        await asking.close()


async def test_on_uvloop_as_on_asyncio(nsd: DnsServer) -> None:
    def run() -> list[Result]:
        async def work() -> list[Result]:
            asking = Resolver(ProofSettings(dns=(nsd.address,)))
            results = [(await judged(asking, sender, ip)).result for sender, ip, _, _ in CASES]
            await asking.close()
            return results

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work())

    assert await asyncio.to_thread(run) == [result for _, _, result, _ in CASES]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sender=st.text(max_size=300) | st.text(max_size=60).map(lambda local: f"{local}@local.example.com"),
    helo=st.text(max_size=300),
    ip=st.ip_addresses(),
)
def test_nothing_raises_whatever_a_client_says(nsd: DnsServer, sender: str, helo: str, ip: object) -> None:
    async def work() -> None:
        asking = Resolver(ProofSettings(dns=(nsd.address,)))
        finding = await judged(asking, sender, str(ip), helo)
        assert finding.reason.isprintable()
        assert finding.domain.isascii()
        await asking.close()

    asyncio.run(work())
