"""Records and macros of SPF, read without a network."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.proof import spf_macro, spf_record
from appliance.proof.result import Result
from appliance.proof.spf_macro import MacroError
from appliance.proof.spf_record import RecordError
from tests.fuzz.targets import spf

FOUR = {
    "s": "night-shift@paper.print.example.com",
    "l": "night-shift",
    "o": "paper.print.example.com",
    "d": "paper.print.example.com",
    "i": spf_macro.dotted(ip_address("192.0.2.30")),
    "v": spf_macro.version(ip_address("192.0.2.30")),
    "p": "mail.example.org",
    "h": "helo.example.net",
    "c": "192.0.2.30",
    "r": "printpost.example.org",
    "t": "86400",
}

NO_MACROS = "% %a %{ %{d %{} %{x} %{d0} %{d00r} %{dr2} %{d;} %{c} %{r} %{t} %(d) \u00e4 %{d}%"
NO_DOMAINS = "museum com. a.com- a.-b a.123 a.. a.b! %{d}com %{d}. a.b} %%{d} 192.0.2.1"
WRONG = """
    foo all: all. all/8 - +-all --all = =a 1x=a x=% x=%{c} \u00e4 mx, redirect= redirect=com exp=
    a: a/ a// a/33 a//129 a/024 a/8/8 a:/8 a:b.com/ a:b.com/33 a:b.com/8// a.com A:%{z}.b mx:com a:b.c:80
    ptr: ptr/8 include include: include/8 include:a.com/8 exists exists: exists:a.com/8
    ip4 ip4: ip4/8 ip4:1.2.3 ip4:1.2.3.256 ip4:1.2.3.4/33 ip4:1.2.3.4/08 ip4:1.2.3.4/ ip4:1.2.3.04 ip4:::1
    ip4:1.2.3.4/255.255.255.0 ip4:16909060 ip6:1.2.3.4 ip6:::1%eth0 ip6:::/129 ip6: ip6:1:2
"""


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        # Every letter and transformer as section 7.4 shows them.
        ("%{s}", "night-shift@paper.print.example.com"),
        ("%{o}", "paper.print.example.com"),
        ("%{d}", "paper.print.example.com"),
        ("%{d4}", "paper.print.example.com"),
        ("%{d3}", "print.example.com"),
        ("%{d2}", "example.com"),
        ("%{d1}", "com"),
        ("%{d99999999999999999999}", "paper.print.example.com"),
        ("%{dr}", "com.example.print.paper"),
        ("%{d2r}", "print.paper"),
        ("%{l}", "night-shift"),
        ("%{l-}", "night.shift"),
        ("%{lr}", "night-shift"),
        ("%{lr-}", "shift.night"),
        ("%{l1r-}", "night"),
        ("%{s1-}", "shift@paper.print.example.com"),
        ("%{S}", "night-shift%40paper.print.example.com"),
        ("%{h}", "helo.example.net"),
        ("%{p2}", "example.org"),
        ("%{ir}.%{v}._spf.%{d2}", "30.2.0.192.in-addr._spf.example.com"),
        ("%{lr-}.lp._spf.%{d2}", "shift.night.lp._spf.example.com"),
        ("%{lr-}.lp.%{ir}.%{v}._spf.%{d2}", "shift.night.lp.30.2.0.192.in-addr._spf.example.com"),
        ("%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}", "30.2.0.192.in-addr.night.lp._spf.example.com"),
        ("%{d2}.trusted-sites.example.net", "example.com.trusted-sites.example.net"),
        ("a%%b%_c%-d.example.com.", "a%b c%20d.example.com"),
        ("%{D2}", "example.com"),
        ("%{IR}", "30.2.0.192"),
        ("%{dR}", "com.example.print.paper"),
        ("%{s2-./}", "example.com"),
    ],
)
def test_macros_of_a_name(text: str, expanded: str) -> None:
    assert spf_macro.parse(text).name(FOUR) == expanded


def test_an_ipv6_address_is_written_digit_by_digit() -> None:
    ip = ip_address("2001:db8::cb01")
    values = FOUR | {"i": spf_macro.dotted(ip), "v": spf_macro.version(ip)}
    reverse = ip.reverse_pointer.removesuffix(".ip6.arpa")
    assert spf_macro.parse("%{ir}.%{v}._spf.%{d2}").name(values) == f"{reverse}.ip6._spf.example.com"


def test_an_explanation_may_have_blanks_and_more_letters() -> None:
    template = spf_macro.parse("%{c} may not send as %{l}, ask %{r} (%{t})", explanation=True)
    assert template.expand(FOUR) == "192.0.2.30 may not send as night-shift, ask printpost.example.org (86400)"


def test_a_name_that_is_too_long_loses_labels_from_the_left() -> None:
    values = FOUR | {"l": ".".join(["x" * 60] * 8)}
    name = spf_macro.parse("%{l}.example.com").name(values)
    assert name == ".".join(["x" * 60] * 3) + ".example.com"
    assert spf_macro.parse("%{l}").name(FOUR | {"l": "x" * 1000}) == ""
    assert spf_macro.parse("%{l}.com").name(FOUR | {"l": "x" * 1000}) == "com"


@pytest.mark.parametrize(
    "text",
    [*NO_MACROS.split(), "a b", "\x7f", "\0"],
)
def test_what_is_no_macro_string(text: str) -> None:
    with pytest.raises(MacroError):
        spf_macro.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "a.b-c",
        "%{d}",
        "%{i}._spf.%{d2}",
        "a.example.com.",
        "%%",
        "_spf.xn--p1ai.xn--p1ai",
        "a.9-9",
        "a.1b",
    ],
)
def test_what_is_a_domain(text: str) -> None:
    spf_macro.parse_domain(text)


@pytest.mark.parametrize(
    "text",
    ["", *NO_DOMAINS.split(), "a." + "b" * 600],
)
def test_what_is_no_domain(text: str) -> None:
    with pytest.raises(MacroError):
        spf_macro.parse_domain(text)


def test_a_record_is_read_whole() -> None:
    record = spf_record.parse(
        b"V=SpF1  +a -MX:example.com/24//64 ~ip4:192.0.2.77/24 ?ip6:2001:db8::/32 ptr PTR:x.example.com"
        b" include:%{d2} exists:%{i}.example.com a/8 mx//48 x-new=%{s} -all redirect=b.example.com exp=c.example.com "
    )
    assert [mechanism.name for mechanism in record.mechanisms] == (
        ["a", "mx", "ip4", "ip6", "ptr", "ptr", "include", "exists", "a", "mx", "all"]
    )
    assert [mechanism.result for mechanism in record.mechanisms[:5]] == (
        [Result.PASS, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL, Result.PASS]
    )
    lengths = [(mechanism.ip4, mechanism.ip6) for mechanism in record.mechanisms if mechanism.name in ("a", "mx")]
    assert lengths == [(32, 128), (24, 64), (8, 128), (32, 48)]
    four, six = record.mechanisms[2:4]
    assert [four.near(ip_address(ip), ip_address("192.0.2.77")) for ip in ("192.0.2.1", "192.0.3.1")] == [True, False]
    assert (str(four.address), four.ip4, str(six.address), six.ip6) == ("192.0.2.77", 24, "2001:db8::", 32)
    assert record.redirect is None  # because of the all
    assert record.explanation is not None
    assert spf_record.parse(b"v=spf1 redirect=b.example.com").redirect is not None
    assert spf_record.parse(b"v=spf1").mechanisms == ()


@pytest.mark.parametrize(
    "term",
    [
        *WRONG.split(),
        "redirect=a.b redirect=a.c",
        "exp=a.b exp=a.b",
        "a:exa\tmple.com",
        "all\r\n",
    ],
)
def test_a_term_that_is_wrong_makes_the_record_wrong(term: str) -> None:
    with pytest.raises(RecordError):
        spf_record.parse(f"v=spf1 {term} -all".encode())
    with pytest.raises(RecordError):
        spf_record.parse(f"v=spf1 +all {term}".encode())


def test_long_records_are_wrong() -> None:
    with pytest.raises(RecordError, match="longer than 4096 octets"):
        spf_record.parse(b"v=spf1 " + b"ip4:192.0.2.1 " * 300)
    with pytest.raises(RecordError, match="more than 250 terms"):
        spf_record.parse(b"v=spf1" + b" a" * 251)
    spf_record.parse(b"v=spf1" + b" a" * 250)


def test_the_record_is_found_among_others() -> None:
    other = [b"v=spf10 -all", b"v=spf1-all", b" v=spf1 -all", b"spf2.0/pra -all", b"", b"v=spf1\t-all"]
    assert spf_record.select(other) is None
    assert spf_record.select([*other, b"v=SPF1 a"]) == b"v=SPF1 a"
    assert spf_record.select([b"v=spf1", *other]) == b"v=spf1"
    with pytest.raises(RecordError, match="several"):
        spf_record.select([b"v=spf1 -all", b"v=spf1 -all"])


@given(st.binary(max_size=200) | st.lists(st.sampled_from(spf.WORDS), max_size=20).map(b"".join))
@example(b"v=spf1 a:%{d99999999999999999999999}.com")
def test_no_record_raises_anything_else(octets: bytes) -> None:
    spf.check(octets)
