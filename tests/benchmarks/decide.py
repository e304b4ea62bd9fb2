"""What one decision costs: may this sender print here?  Medians, in microseconds.

A printer with fifty rules, of which the last one matches.  Ours is all that RCPT does for a sender from outside: the
printer and the sender's groups from the directory, SPF from the DNS, the rules, the room in the mailbox; caches are as
warm as from the second mail on.  And the rules alone for a mail that only its signature proves, asked three times: at
RCPT, at the end of the header and at its end.  The peer is pyspf with a warm cache of its own and a plain loop over the
same rules, as a policy service of Postfix would have them; asking such a service comes on top.  The name server, the
directory and the store are real ones.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import dns.resolver
import spf as pyspf  # type: ignore[import-untyped]

from appliance.policy import Facts, judge
from appliance.proof.result import Proven, Result
from appliance.smtp.client import Client
from appliance.smtp.destination import Destination, Wanted
from appliance.smtp.evidence import gather
from appliance.smtp.recipients import find
from appliance.smtp.site import Site
from mailstore.directory.records import Printer
from mailstore.job import Proof
from mailstore.parameters import RcptParameters
from tests.dns_server import Records, dns_server
from tests.smtp_client import site

AT_RCPT, WHOLE = "us at RCPT", "us, 3 times"
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
_KNOWN: dict[object, object] = {}


def at_rcpt(of: Site) -> Callable[[], Awaitable[bool]]:
    client, address = Client(ip=CLIENT, insider=False, helo=HELO), PRINTER.addresses[0]
    wanted = Wanted(address=address, key=address, declared=0, said=RcptParameters())

    async def decide() -> bool:
        found = await find(gather(of, client, SENDER), wanted)
        return isinstance(found, Destination) and found.verdict is not None and found.verdict.proof is Proof.SPF

    return decide


async def whole_mail() -> bool:
    unproved = Facts(sender=SENDER, ip=ip_address(CLIENT), groups=frozenset({"teachers"}), spf=Result.NONE)
    header = replace(unproved, author=SENDER)
    proven = Proven(author=Proof.DKIM, envelope=Proof.DKIM, envelope_domain=Proof.DKIM)
    steps = [judge(PRINTER, facts) for facts in (unproved, header, replace(header, message=proven))]
    return [step.allowed for step in steps] == [None, None, True]


async def _peer() -> bool:
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


async def _microseconds(decide: Callable[[], Awaitable[bool]], seconds: float) -> float:
    """The median of one decision; the first one warms everything."""
    took, end = [], time.perf_counter() + seconds
    assert await decide()
    while time.perf_counter() < end:
        begun = time.perf_counter()
        assert await decide()
        took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e6


async def ours(seconds: float) -> dict[str, float]:
    """What is measured -> microseconds."""
    with dns_server(ZONE) as server, tempfile.TemporaryDirectory(prefix="pp-decide-") as folder:
        async with site(Path(folder)) as house, house.receiver(dns=(server.address,)) as receiver:
            await house.directory.add(PRINTER, None)
            decide = at_rcpt(receiver.site)
            return {AT_RCPT: await _microseconds(decide, seconds), WHOLE: await _microseconds(whole_mail, seconds)}


async def theirs(seconds: float) -> dict[str, float]:
    """The same of the peer."""
    with dns_server(ZONE) as server:
        pyspf.DNSLookup = _asking(server.port)
        return {AT_RCPT: await _microseconds(_peer, seconds)}


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
