"""Whatever becomes known of a mail, and in whatever order: what was decided stays decided, and forbidden stays so."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address

from hypothesis import assume, given
from hypothesis import strategies as st

from appliance.policy import Facts, Moment, Trust, Want, answerable, judge
from appliance.proof.result import Proven, Result
from mailstore.directory.records import Printer, Raw
from mailstore.job import Proof

PEOPLE = ("ada@example.org", "eve@example.org", "mallory@example.net", "ada@sub.example.org", "eve+x@example.org")
CLIENTS = ("192.0.2.7", "192.0.2.99", "2001:db8::7")
GROUPS = ("teachers", "pupils")
ORDER = (Moment.RCPT, Moment.HEADER, Moment.DATA)

people, groups = st.sampled_from(PEOPLE), st.frozensets(st.sampled_from(GROUPS))
rules = st.sampled_from(
    [
        *PEOPLE,
        *("@example.org", "@example.net", "*", "authenticated", "ip:192.0.2.99", "ip:2001:db8::/32"),
        *(f"group:{name}" for name in GROUPS),
        *(f"from:{person}" for person in PEOPLE),
    ]
)
proofs = st.sampled_from([Proof.NONE, Proof.SPF, Proof.DKIM, Proof.ARC])
messages = st.builds(Proven, author=proofs, envelope=proofs, envelope_domain=proofs, temporary=st.booleans())
printers = st.builds(
    Printer,
    name=st.just("office"),
    addresses=st.just(("office@example.com",)),
    uri=st.sampled_from(["", "socket://192.0.2.200:9100"]),
    allow=st.lists(rules, max_size=4).map(tuple),
    deny=st.lists(rules, max_size=2).map(tuple),
    unverified_ok=st.booleans(),
    raw=st.sampled_from(Raw),
)
whole = st.builds(
    Facts,
    sender=st.sampled_from([*PEOPLE, ""]),
    ip=st.sampled_from(CLIENTS).map(ip_address),
    insider=st.booleans(),
    login=st.frozensets(people, max_size=2),
    token=st.booleans(),
    groups=groups,
    spf=st.sampled_from(Result),
    author=st.sampled_from([*PEOPLE, ""]),
    message=messages,
)
UNKNOWN = ("groups", "spf", "author", "message")
WANTS = {"groups": Want.GROUPS, "spf": Want.SPF, "author": Want.AUTHOR, "message": Want.MESSAGE}


@given(printer=printers, facts=whole, order=st.permutations(UNKNOWN))
def test_what_was_decided_stays_decided(printer: Printer, facts: Facts, order: list[str]) -> None:
    known = replace(facts, groups=None, spf=None, author=None, message=None)
    before = judge(printer, known)
    for name in order:
        assert (before.allowed is None) == bool(before.wants)
        assert not before.wants & {WANTS[one] for one in UNKNOWN if getattr(known, one) is not None}
        known = replace(known, **{name: getattr(facts, name)})
        now = judge(printer, known)
        if before.allowed is not None:
            assert (now.allowed, now.moment) == (before.allowed, before.moment)
        elif now.allowed is not None:
            assert WANTS[name] in before.wants
            assert ORDER.index(now.moment) <= ORDER.index(before.moment)
        before = now
    assert before.allowed is not None


@given(printer=printers, facts=whole)
def test_nobody_prints_whom_the_rules_forbid(printer: Printer, facts: Facts) -> None:
    verdict = judge(printer, facts)
    own = facts.sender in facts.login
    assume(verdict.allowed)
    assert facts.sender
    assert printer.allow or facts.token
    assert "*" not in printer.deny
    for name in (facts.sender, *facts.login):
        assert {name, name.replace("+x", ""), f"@{name.rpartition('@')[2]}"}.isdisjoint(printer.deny)
    author = facts.author or ""
    assert {f"from:{author}", f"from:{author.replace('+x', '')}"}.isdisjoint(printer.deny)
    assert not any(f"group:{name}" in printer.deny for name in facts.groups or ())
    assert (verdict.trust is Trust.INSIDER) == (own or facts.insider)
    if printer.uri == "":
        assert printer.takes_raw(verdict.trust)
    if verdict.trust is Trust.STRANGER:
        assert printer.unverified_ok or verdict.rule.startswith("ip:")
    if verdict.heeds_dmarc:
        assert verdict.trust is Trust.VERIFIED


@given(printer=printers, facts=whole)
def test_what_is_better_proved_never_prints_less(printer: Printer, facts: Facts) -> None:
    assume(judge(printer, facts).allowed)
    proved = Proven(author=Proof.DKIM, envelope=Proof.DKIM, envelope_domain=Proof.DKIM)
    assert judge(printer, replace(facts, spf=Result.PASS, message=proved)).allowed


@given(printer=printers, facts=whole)
def test_a_network_and_a_token_prove_nobody_to_others(printer: Printer, facts: Facts) -> None:
    plain = replace(facts, insider=False, token=False)
    assert answerable(facts) is answerable(plain)
    assume(facts.sender and not answerable(facts))
    assert facts.spf is not Result.PASS
    assert facts.sender not in facts.login
