"""Rules, and what they say of one mail.  What happens to whom stands in `tests.policy_table`."""

from __future__ import annotations

import time
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from appliance.policy import (
    NOT_ALLOWED,
    NOT_NOW,
    NOT_PROVED,
    Facts,
    Kind,
    Moment,
    Trust,
    Verdict,
    Want,
    answerable,
    insiders,
    judge,
    parse_rule,
    why,
)
from appliance.proof.result import Proven, Result
from mailstore.directory.records import Printer, Raw
from mailstore.failure import PermanentFailure
from mailstore.job import Proof
from tests.policy_table import ROWS, Row

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
INSIDE = Facts(sender="ada@example.com", ip=ip_address("10.1.2.3"), insider=True)
OUTSIDE = Facts(sender="ada@example.com", ip=ip_address("192.0.2.7"))
UNPROVED = replace(OUTSIDE, spf=Result.FAIL, author="ada@example.com", message=Proven(), groups=frozenset())


def printer(*allow: str, deny: tuple[str, ...] = (), uri: str = "socket://192.0.2.200:9100") -> Printer:
    return Printer(name="phaser360", addresses=("phaser360@example.com",), uri=uri, allow=allow, deny=deny)


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("ada@example.com", Kind.ADDRESS, "ada@example.com"),
        (" Ada@Example.COM ", Kind.ADDRESS, "ada@example.com"),
        ("@Example.com", Kind.DOMAIN, "@example.com"),
        ("@b\u00fccher.example", Kind.DOMAIN, "@xn--bcher-kva.example"),
        ("group:Staff", Kind.GROUP, "group:staff"),
        ("Group: Lehrkr\u00c4fte 5a ", Kind.GROUP, "group:lehrkr\u00e4fte 5a"),
        ("group:Head   Office", Kind.GROUP, "group:head office"),
        ("group:CN=staff,DC=example", Kind.GROUP, "group:cn=staff,dc=example"),
        ("from:ada@example.com", Kind.AUTHOR, "from:ada@example.com"),
        ("ip:10.1.2.3/8", Kind.IP, "ip:10.0.0.0/8"),
        ("IP:192.0.2.7", Kind.IP, "ip:192.0.2.7/32"),
        ("ip:::ffff:192.0.2.0/120", Kind.IP, "ip:192.0.2.0/24"),
        ("ip:2001:db8::/32", Kind.IP, "ip:2001:db8::/32"),
        ("authenticated", Kind.AUTHENTICATED, "authenticated"),
        ("*", Kind.ANYONE, "*"),
    ],
)
def test_rules(text: str, kind: Kind, written: str) -> None:
    rule = parse_rule(text)
    assert (rule.kind, rule.text) == (kind, written)
    assert parse_rule(rule.text) == rule


@pytest.mark.parametrize(
    "text",
    [
        *("", "ada", "@", "a b@example.com", "ip:", "ip:300.0.0.0/8", "ip:10.0.0.0/99", "from:", "**", "@example..com"),
        *("ada@example.com\0", "from:eve@\0example.com"),
        # What is never meant as it stands, and would deny nobody.
        *(
            "*@example.com",
            "@*.example.com",
            "@*",
            "eve*@example.com",
            "from:*@example.com",
            "postmaster",
            "from:postmaster",
        ),
    ],
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(PermanentFailure, match=r"ada@example\.com|192\.0\.2\.0/24"):
        parse_rule(text)


@pytest.mark.parametrize("name", ["", " ", "*", "a\0b", "a\nb", "a\u202eb", "x" * 256])
def test_what_is_no_group(name: str) -> None:
    with pytest.raises(PermanentFailure, match="names no group") as refused:
        parse_rule(f"group:{name}")
    assert refused.value.text.isprintable()


@pytest.mark.parametrize("rule", ["ada@example.com", "@example.com", "*", "from:ada@example.com", "group:staff"])
def test_outside_the_networks_a_claim_is_no_proof(rule: str) -> None:
    verdict = judge(printer(rule), replace(UNPROVED, groups=frozenset({"staff"})))
    assert (verdict.allowed, verdict.status, verdict.sentence) == (False, "5.7.1", NOT_PROVED)
    assert f"the rule {rule} would allow it, but SPF of the sender says fail" in verdict.advice
    assert verdict.remedy == ""


def test_a_stranger_learns_nothing_of_the_list() -> None:
    listed = printer("*", deny=("ada@example.com",)), printer("*", deny=("@example.com",)), printer("*", deny=("*",))
    for facts in (OUTSIDE, UNPROVED, replace(OUTSIDE, spf=Result.PASS)):
        unlisted = judge(printer("@elsewhere.example"), facts)
        assert unlisted.allowed is False
        for entry in (printer(), *listed):
            verdict = judge(entry, facts)
            assert (verdict.status, verdict.sentence, verdict.moment) == ("5.7.1", unlisted.sentence, Moment.RCPT)


def test_an_ip_rule_needs_no_proof_and_gives_no_trust() -> None:
    verdict = judge(printer("ip:192.0.2.0/24"), OUTSIDE)
    assert (verdict.allowed, verdict.trust, verdict.heeds_dmarc) == (True, Trust.STRANGER, False)
    assert judge(printer("*"), INSIDE).trust is Trust.INSIDER


def test_a_printer_that_polls_gets_only_what_it_takes_raw() -> None:
    entry = printer("*", "ip:192.0.2.0/24", uri="")
    verdict = judge(entry, replace(OUTSIDE, spf=Result.PASS))
    assert (verdict.allowed, verdict.status, verdict.sentence) == (False, "5.7.1", NOT_ALLOWED)
    assert "fetches its mail as it came" in verdict.advice
    assert judge(entry, INSIDE).allowed
    verified = replace(entry, raw=Raw.VERIFIED)
    assert judge(verified, replace(OUTSIDE, spf=Result.PASS)).trust is Trust.VERIFIED
    assert judge(verified, OUTSIDE).wants == {Want.SPF, Want.AUTHOR, Want.MESSAGE}
    assert judge(verified, UNPROVED).allowed is False
    assert judge(replace(entry, raw=Raw.STRANGER), UNPROVED).allowed is True
    assert judge(replace(entry, raw=Raw.NOBODY), INSIDE).allowed is False


def test_a_group_prints_only_what_all_its_members_take() -> None:
    group = replace(printer("*", uri=""), members=("office", "hall"))
    office, hall = replace(printer(), name="office"), replace(printer(uri=""), name="hall")
    proved = replace(OUTSIDE, spf=Result.PASS)
    assert judge(group, proved, [office]).allowed is True
    assert judge(group, proved, [office, hall]).allowed is False
    assert judge(group, proved, [office, replace(hall, raw=Raw.VERIFIED)]).allowed is True


def test_a_login_proves_its_own_address_and_no_other() -> None:
    login = replace(OUTSIDE, login=frozenset({"ada@example.com"}), spf=Result.NONE)
    for rule in ("ada@example.com", "authenticated", "*"):
        verdict = judge(printer(rule), login)
        assert (verdict.allowed, verdict.trust, verdict.proof) == (True, Trust.INSIDER, Proof.LOGIN)
    other = replace(login, sender="eve@example.com", author="eve@example.com", message=Proven())
    assert judge(printer("eve@example.com", "authenticated", "*"), other).allowed is False


def test_deny_comes_first_and_needs_no_proof() -> None:
    entry = printer("*", "ip:192.0.2.0/24", deny=("eve@example.com", "ip:10.9.0.0/16"))
    assert judge(entry, INSIDE).allowed
    assert judge(entry, OUTSIDE).allowed
    for facts in (
        replace(INSIDE, sender="eve@example.com"),
        replace(OUTSIDE, sender="Eve@example.com"),
        replace(INSIDE, ip=ip_address("10.9.1.1")),
        replace(OUTSIDE, sender="eve@example.com", token=True),
    ):
        assert judge(entry, facts).allowed is False


def test_who_is_denied_is_denied_with_every_address_of_his_login() -> None:
    login = replace(INSIDE, insider=False, login=frozenset({"ada@example.com", "countess@example.org"}))
    for deny in ("countess@example.org", "@example.org", "ada@example.com"):
        assert judge(printer("authenticated", deny=(deny,)), login).allowed is False
        assert (
            judge(printer("authenticated", deny=(deny,)), replace(login, sender="ADA+x@example.com")).allowed is False
        )
    assert judge(printer("authenticated", deny=("eve@example.org", "@example.net")), login).allowed is True
    # To let somebody in, his other addresses and subaddresses do not help.
    assert judge(printer("countess@example.org"), login).allowed is False
    assert judge(printer("ada@example.com"), replace(INSIDE, sender="ada+x@example.com")).allowed is False


def test_a_denied_author_is_waited_for_and_several_may_hide_him() -> None:
    entry = printer("*", deny=("from:eve@example.com",))
    verdict = judge(entry, INSIDE)
    assert (verdict.allowed, verdict.moment) == (None, Moment.HEADER)
    assert verdict.wants == {Want.AUTHOR}
    assert judge(entry, replace(INSIDE, author="ada@example.com")).allowed is True
    assert judge(entry, replace(INSIDE, author="eve@example.com")).allowed is False
    assert judge(entry, replace(INSIDE, author="")).allowed is False


def test_closed_by_default_and_the_advice_says_how_to_open() -> None:
    verdict = judge(printer(), INSIDE)
    assert verdict.allowed is False
    assert "printpost" not in verdict.sentence
    assert verdict.remedy == "ada@example.com"
    _, told = why(printer(), INSIDE, connected="from home", remedy="allow with: set --allow {}")
    assert told == (
        "ada@example.com, connected from home, may not print on phaser360: the printer has no rule that lets anybody"
        " print; allow with: set --allow ada@example.com"
    )


def test_an_entry_that_cannot_be_read_refuses_everybody() -> None:
    verdict = judge(printer("*", deny=("group:",)), INSIDE)
    assert verdict.allowed is False
    assert "names no group" in verdict.advice


def test_the_null_reverse_path_never_prints() -> None:
    for facts in (INSIDE, replace(OUTSIDE, token=True), replace(OUTSIDE, login=frozenset({"ada@example.com"}))):
        verdict = judge(
            replace(printer("*", "ip:0.0.0.0/0", "authenticated"), unverified_ok=True), replace(facts, sender="")
        )
        assert (verdict.allowed, verdict.status, verdict.moment) == (False, "5.7.1", Moment.RCPT)


def test_an_answer_that_did_not_come_is_asked_for_again() -> None:
    facts = replace(UNPROVED, spf=Result.TEMPERROR)
    assert _told(judge(printer("*"), facts)) == (False, "4.4.3", NOT_NOW)
    assert judge(printer("*"), replace(facts, message=None)).allowed is None
    assert judge(printer("eve@example.com"), facts).status == "5.7.1"
    assert judge(printer("*", deny=("@example.com",)), facts).status == "5.7.1"
    later = replace(UNPROVED, message=Proven(temporary=True))
    assert judge(printer("from:ada@example.com"), later).status == "4.4.3"
    assert judge(printer("from:ada@example.com"), replace(later, author="")).status == "5.7.1"


def _told(verdict: Verdict) -> tuple[bool | None, str, str]:
    return verdict.allowed, verdict.status, verdict.sentence


def test_whose_own_address_is_proved_is_not_trusted_with_another() -> None:
    """unverified-ok lets the claim print, and SPF of the claimant's own domain gives it no trust."""
    entry = replace(printer("from:ada@example.com"), unverified_ok=True)
    facts = replace(UNPROVED, sender="mallory@evil.example", spf=Result.PASS)
    assert judge(entry, facts).trust is Trust.STRANGER
    assert judge(entry, replace(facts, message=Proven(author=Proof.DKIM))).trust is Trust.VERIFIED


def test_the_rule_by_which_a_mail_is_trusted_most_counts() -> None:
    entry = replace(printer("from:ada@example.com", "mallory@evil.example"), unverified_ok=True)
    verdict = judge(entry, replace(UNPROVED, sender="mallory@evil.example", spf=Result.PASS))
    assert (verdict.rule, verdict.proof, verdict.proved) == ("mallory@evil.example", Proof.SPF, "mallory@evil.example")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (INSIDE, False),
        (replace(UNPROVED, token=True), False),
        (replace(INSIDE, spf=Result.PASS), True),
        (replace(INSIDE, login=frozenset({"ada@example.com"})), True),
        (replace(UNPROVED, message=Proven(author=Proof.DKIM, envelope=Proof.DKIM)), True),
        (replace(UNPROVED, author="bob@example.com", message=Proven(author=Proof.DKIM)), False),
        (replace(OUTSIDE, sender="", spf=Result.PASS), False),
    ],
)
def test_who_may_be_answered(facts: Facts, expected: bool) -> None:
    assert answerable(facts) is expected


def test_behind_another_server_nobody_is_of_the_site_by_his_address() -> None:
    assert insiders(NETWORKS, "") == NETWORKS
    assert insiders(NETWORKS, "mta") == insiders(NETWORKS, "nat") == ()


def test_a_decision_is_quick() -> None:
    """The best of many, because the machine may be busy; tests.benchmarks.decide has the figures."""
    entry = printer(*(f"person{number}@example.net" for number in range(49)), "@example.com")
    facts = replace(UNPROVED, message=Proven(author=Proof.DKIM, envelope=Proof.DKIM))
    took = []
    for _ in range(50):
        begun = time.perf_counter()
        assert judge(entry, facts).allowed
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.001


# -- the table


def test_the_table_is_long_and_no_row_is_there_twice() -> None:
    assert len(ROWS) >= 100
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert len({replace(row, name="") for row in ROWS}) == len(ROWS)
    assert {parse_rule(rule).kind for row in ROWS for rule in row.allow if ":e" not in rule and "{" not in rule} == {
        *Kind
    } - {Kind.IP}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table(row: Row) -> None:
    entry, members, wanted = row.printer(), row.group(), row.expected
    decided = None
    for moment, facts in row.steps():
        verdict = judge(entry, facts, members)
        if decided is None and verdict.allowed is not None:
            decided = moment
        assert verdict.allowed in ((None,) if decided is None else (wanted.allowed,))
        assert (verdict.allowed is None) == bool(verdict.wants)
        assert not verdict.wants & {Want.SPF, Want.GROUPS}
    assert (decided, verdict.moment) == (wanted.moment, wanted.moment)
    status = "2.1.5" if wanted.allowed else wanted.status
    assert verdict.status == status
    assert not wanted.allowed or (verdict.trust, verdict.proof) == (wanted.trust, wanted.proof)


@pytest.mark.parametrize("row", [row for row in ROWS if not row.expected.allowed], ids=lambda row: row.name)
def test_what_a_stranger_is_told_names_nobody(row: Row) -> None:
    verdict = judge(row.printer(), row.facts(), row.group())
    assert "@" not in verdict.sentence
    assert not any(rule in verdict.sentence for rule in (*row.allow, *row.deny) if rule != "*")
