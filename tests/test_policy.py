from __future__ import annotations

from ipaddress import ip_network

import pytest

from appliance.policy import Kind, Trust, insiders, judge, parse_rule, why
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure

NETWORKS = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))
INSIDE, OUTSIDE = "10.1.2.3", "192.0.2.7"


def printer(*allow: str, deny: tuple[str, ...] = (), uri: str = "socket://192.0.2.200:9100") -> Printer:
    return Printer(name="phaser360", addresses=("phaser360@example.com",), uri=uri, allow=allow, deny=deny)


def allowed(entry: Printer, sender: str = "ada@example.com", ip: str = INSIDE, authenticated: str = "") -> bool:
    return judge(entry, sender=sender, client_ip=ip, networks=NETWORKS, authenticated=authenticated).allowed


@pytest.mark.parametrize(
    ("text", "kind", "written"),
    [
        ("ada@example.com", Kind.ADDRESS, "ada@example.com"),
        (" Ada@Example.COM ", Kind.ADDRESS, "ada@example.com"),
        ("@Example.com", Kind.DOMAIN, "@example.com"),
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
    ["", "ada", "@", "a b@example.com", "ip:", "ip:300.0.0.0/8", "ip:10.0.0.0/99", "from:", "**", "@example..com"],
)
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(PermanentFailure, match=r"ada@example\.com|192\.0\.2\.0/24"):
        parse_rule(text)


def test_groups_are_refused_with_a_reason() -> None:
    with pytest.raises(PermanentFailure, match="groups come with the directory of people"):
        parse_rule("group:staff")


@pytest.mark.parametrize(
    ("rule", "sender", "expected"),
    [
        ("ada@example.com", "ada@example.com", True),
        ("ada@example.com", "ADA@EXAMPLE.COM", True),
        ("ada@example.com", "eve@example.com", False),
        ("@example.com", "eve@example.com", True),
        ("@example.com", "eve@sub.example.com", False),
        ("@example.com", "eve@notexample.com", False),
        ("*", "eve@elsewhere.example", True),
        ("*", "", False),
        ("ip:10.1.0.0/16", "", True),
        ("ip:10.2.0.0/16", "ada@example.com", False),
        ("authenticated", "ada@example.com", False),
        ("from:ada@example.com", "ada@example.com", False),
    ],
)
def test_an_insider(rule: str, sender: str, expected: bool) -> None:
    assert allowed(printer(rule), sender) is expected


@pytest.mark.parametrize("rule", ["ada@example.com", "@example.com", "*", "authenticated", "from:ada@example.com"])
def test_outside_the_networks_no_address_is_proved(rule: str) -> None:
    verdict = judge(printer(rule), sender="ada@example.com", client_ip=OUTSIDE, networks=NETWORKS)
    assert not verdict.allowed
    assert verdict.status == "5.7.1"
    assert verdict.sentence == (
        "only logins and clients in the site's own networks may print here until senders can be verified"
    )


def test_a_stranger_learns_nothing_of_the_list() -> None:
    denied = printer("*", deny=("ada@example.com",))
    told = {
        judge(entry, sender="ada@example.com", client_ip=OUTSIDE, networks=NETWORKS).sentence
        for entry in (printer(), printer("ada@example.com"), printer("@elsewhere.example"), denied)
    }
    assert len(told) == 1


def test_an_ip_rule_needs_no_proof_and_gives_no_trust() -> None:
    verdict = judge(printer("ip:192.0.2.0/24"), sender="ada@example.com", client_ip=OUTSIDE, networks=NETWORKS)
    assert verdict.allowed
    assert verdict.trust is Trust.STRANGER
    assert judge(printer("*"), sender="a@example.com", client_ip=INSIDE, networks=NETWORKS).trust is Trust.INSIDER


def test_a_printer_that_polls_gets_nothing_of_strangers() -> None:
    entry = printer("*", "ip:192.0.2.0/24", uri="")
    verdict = judge(entry, sender="ada@example.com", client_ip=OUTSIDE, networks=NETWORKS)
    assert (verdict.allowed, verdict.status, verdict.rule) == (False, "5.7.1", "ip:192.0.2.0/24")
    assert "fetches its mail as it came" in verdict.advice
    assert "fetches" not in verdict.sentence
    assert allowed(entry)


def test_a_login_proves_its_own_address_and_no_other() -> None:
    assert allowed(printer("ada@example.com"), ip=OUTSIDE, authenticated="ada@example.com")
    assert allowed(printer("authenticated"), ip=OUTSIDE, authenticated="ada@example.com")
    assert not allowed(printer("ada@example.com"), ip=OUTSIDE, authenticated="eve@example.com")


def test_deny_comes_first_and_needs_no_proof() -> None:
    entry = printer("*", "ip:192.0.2.0/24", deny=("eve@example.com", "ip:10.9.0.0/16"))
    assert allowed(entry)
    assert not allowed(entry, "eve@example.com")
    assert not allowed(entry, "Eve@example.com", OUTSIDE)
    assert allowed(entry, "ada@example.com", OUTSIDE)
    assert not allowed(entry, ip="10.9.1.1")


def test_closed_by_default_and_the_advice_says_how_to_open() -> None:
    verdict = judge(printer(), sender="ada@example.com", client_ip=INSIDE, networks=NETWORKS)
    assert not verdict.allowed
    assert "printpost" not in verdict.sentence
    assert verdict.remedy == "ada@example.com"
    _, told = why(printer(), sender="ada@example.com", networks=NETWORKS, remedy="allow with: set --allow {}")
    assert told.endswith(": the printer has no rule that lets anybody print; allow with: set --allow ada@example.com")


def test_an_entry_that_cannot_be_read_refuses_everybody() -> None:
    verdict = judge(printer("*", deny=("group:guests",)), sender="a@example.com", client_ip=INSIDE, networks=NETWORKS)
    assert not verdict.allowed
    assert "groups" in verdict.advice


@pytest.mark.parametrize(
    ("ip", "expected"), [("::ffff:10.1.2.3", True), ("fd00::1%eth0", True), ("2001:db8::1", False)]
)
def test_other_ways_to_write_a_client(ip: str, expected: bool) -> None:
    assert allowed(printer("*"), ip=ip) is expected


def test_why() -> None:
    entry = printer("@example.com")
    assert why(entry, sender="ada@example.com", networks=NETWORKS) == (
        True,
        (
            "ada@example.com, connected from the site's own networks, may print on phaser360: "
            "the rule @example.com allows it"
        ),
    )
    assert why(entry, sender="ada@example.com", client_ip=OUTSIDE, networks=NETWORKS) == (
        False,
        (
            "ada@example.com, connected from 192.0.2.7, may not print on phaser360: "
            "192.0.2.7 is not in [site] networks, and no ip: rule names it: "
            "only logins and clients in the site's own networks may print here until senders can be verified"
        ),
    )
    may, told = why(entry, sender="", networks=NETWORKS)
    assert not may
    assert "may not print" in told


def test_why_a_login_may_or_may_not() -> None:
    entry = printer("authenticated", "ada@example.com", deny=("ip:198.51.100.0/24",))
    assert why(entry, sender="eve@example.com", authenticated="Eve@example.com", networks=NETWORKS) == (
        True,
        (
            "eve@example.com, connected from anywhere and logged in, may print on phaser360: "
            "the rule authenticated allows it"
        ),
    )
    may, told = why(
        entry, sender="ada@example.com", authenticated="ada@example.com", client_ip="198.51.100.1", networks=NETWORKS
    )
    assert not may
    assert told.startswith("ada@example.com, connected from 198.51.100.1 and logged in, may not print")
    for sender in ("ada@example.com", ""):
        may, told = why(entry, sender=sender, authenticated="eve@example.com", networks=NETWORKS)
        assert not may
        assert told.endswith(
            "may not be used by the login of eve@example.com: a login sends from its own addresses only"
        )
    told = why(entry, sender="eve@example.com", networks=NETWORKS)[1]
    assert "the rule authenticated wants a login: send by submission, with user name and password; " in told


def test_a_client_that_is_no_address() -> None:
    with pytest.raises(PermanentFailure, match="is not an IP address"):
        why(printer("*"), sender="ada@example.com", client_ip="printer.example.com", networks=NETWORKS)


def test_behind_another_server_nobody_is_of_the_site_by_his_address() -> None:
    assert insiders(NETWORKS, "") == NETWORKS
    for behind in ("mta", "nat"):
        known = insiders(NETWORKS, behind)
        verdict = judge(printer("*"), sender="ada@example.com", client_ip=INSIDE, networks=known)
        assert (verdict.allowed, verdict.trust) == (False, Trust.STRANGER)
        login = judge(
            printer("*"), sender="ada@example.com", client_ip=INSIDE, networks=known, authenticated="ada@example.com"
        )
        assert (login.allowed, login.trust) == (True, Trust.INSIDER)
        named = judge(printer("ip:10.0.0.0/8"), sender="ada@example.com", client_ip=INSIDE, networks=known)
        assert (named.allowed, named.trust) == (True, Trust.STRANGER)  # as its administrator says


def test_why_says_that_nobody_is_inside() -> None:
    known = insiders(NETWORKS, "mta")
    told = "ada@example.com, connected from anywhere, may not print on phaser360: nobody is of the site by his address"
    may, said = why(printer("*"), sender="ada@example.com", networks=known)
    assert not may
    assert said.startswith(f"{told} ([smtp] behind, [site] networks), and no ip: rule names it: only logins and")
    may, said = why(printer("ip:10.0.0.0/8", uri=""), sender="ada@example.com", client_ip=INSIDE, networks=known)
    assert not may
    assert said.endswith("give it a device address, or send with a login")
