"""What one decision costs: may this sender print here?  Medians of rounds that take turns, in microseconds.

    python -m tests.benchmarks.decide [SECONDS]

A printer with fifty rules, of which the last one matches.  `judge` alone; the decision at RCPT with SPF, where the DNS
is as warm as from the second mail on; and a whole mail, judged at RCPT, at the end of its header and at its end.  The
peer is pyspf with a warm cache of its own and a plain loop over the same rules, as a policy service of Postfix would
have them; asking such a service comes on top.  The name server is a real one on loopback.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network

import dns.resolver
import spf as pyspf  # type: ignore[import-untyped]

from appliance.mailauth import MailAuth
from appliance.policy import Facts, Verdict, judge
from appliance.proof.result import Proven, Result
from mailstore.config import Settings
from mailstore.directory.records import Printer
from mailstore.job import Proof
from tests.dns_server import Records, dns_server

GOAL = 1000.0
"""Microseconds that a decision may cost."""
ROUNDS = 5
CLIENT, HELO, SENDER = "192.0.2.7", "mail.example.org", "ada@example.org"
RULES = (
    *(f"person{number}@example.net" for number in range(30)),
    *(f"ip:198.51.100.{number}" for number in range(15)),
    *(f"group:class{number}" for number in range(4)),
    "@example.org",
)
PRINTER = Printer(name="office", addresses=("office@example.com",), uri="socket://192.0.2.200:9100", allow=RULES)
ZONE: Records = {
    "example.org": {"TXT": ["v=spf1 include:_spf.example.net mx -all"], "MX": [(10, "mail.example.org")]},
    "mail.example.org": {"A": ["198.51.100.1"]},
    "_spf.example.net": {"TXT": ["v=spf1 ip4:203.0.113.0/24 ip4:192.0.2.0/24 -all"]},
}
FACTS = Facts(sender=SENDER, ip=ip_address(CLIENT), groups=frozenset({"teachers"}), spf=Result.PASS)
_KNOWN: dict[object, object] = {}


async def judged() -> bool:
    return judge(PRINTER, FACTS).allowed is True


async def whole_mail() -> bool:
    unproved = replace(FACTS, spf=Result.NONE)
    header = replace(unproved, author=SENDER)
    proven = Proven(author=Proof.DKIM, envelope=Proof.DKIM, envelope_domain=Proof.DKIM)
    steps = [judge(PRINTER, facts) for facts in (unproved, header, replace(header, message=proven))]
    return [step.allowed for step in steps] == [None, None, True]


def at_rcpt(mailauth: MailAuth) -> Callable[[], Awaitable[bool]]:
    unknown = replace(FACTS, spf=None)

    async def decide() -> bool:
        verdict: Verdict = judge(PRINTER, unknown)
        assert verdict.wants
        finding = await mailauth.spf(FACTS.ip, HELO, SENDER)
        return judge(PRINTER, replace(unknown, spf=finding.result)).allowed is True

    return decide


async def peer() -> bool:
    query = pyspf.query(i=CLIENT, s=SENDER, h=HELO)
    query.cache = _KNOWN
    proved = query.check()[0] == "pass"
    for rule in RULES:
        if rule.startswith("ip:"):
            if ip_address(CLIENT) in ip_network(rule[3:]):
                return True
        elif rule.startswith("@"):
            if proved and SENDER.endswith(rule):
                return True
        elif proved and rule == SENDER:
            return True
    return False


async def microseconds(decide: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """The median of one decision."""
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        assert await decide()
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e6


async def measure(seconds: float) -> dict[str, float]:
    """What is measured -> microseconds."""
    with dns_server(ZONE) as server:
        settings = Settings(proof={"dns": [server.address]})
        mailauth = MailAuth(settings)
        pyspf.DNSLookup = _asking(server.port)
        ways = {"judge": judged, "at RCPT, SPF warm": at_rcpt(mailauth), "a whole mail": whole_mail, "peer": peer}
        try:
            for decide in ways.values():  # everything is warm
                assert await decide()
            rounds = [
                {name: await microseconds(decide, seconds) for name, decide in ways.items()} for _ in range(ROUNDS)
            ]
        finally:
            await mailauth.close()
    return {name: statistics.median(one[name] for one in rounds) for name in ways}


def _asking(port: int) -> Callable[..., list[object]]:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], port

    def look_up(name: str, kind: str, *_: object, **__: object) -> list[object]:
        try:
            answer = resolver.resolve(name, kind)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        if kind == "TXT":
            return [((name, kind), tuple(one.strings)) for one in answer]
        if kind == "MX":
            return [((name, kind), (one.preference, str(one.exchange).rstrip("."))) for one in answer]
        return [((name, kind), one.address) for one in answer]

    return look_up


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    figures = asyncio.run(measure(seconds))
    for name, took in figures.items():
        print(f"{name:<24} {took:>9.1f} us")
    ratio = figures["peer"] / figures["at RCPT, SPF warm"]
    print(f"goal: {GOAL:.0f} us; a decision at RCPT takes the peer {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
