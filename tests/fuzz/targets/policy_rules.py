"""Rules of a printer: a rule that was read reads the same again, deny wins, and no stranger is told of a rule."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from ipaddress import ip_address, ip_network
from unicodedata import bidirectional, category

from appliance import policy
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure

WORDS = (b"ip:", b"from:", b"@", b"*", b"authenticated", b"group:", b"10.0.0.0/8", b"::1", b"ada@example.com", b'"')
_UNSEEN = frozenset({"Cc", "Cs", "Co", "Zs", "Zl", "Zp"})
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_INSIDE = (ip_network("192.0.2.0/24"),)


def check(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    try:
        rule = policy.parse_rule(text)
    except PermanentFailure as failure:
        assert failure.status == "5.5.4"
        assert not _judged(("*",), (text,), "ada@example.com", "192.0.2.7").allowed  # it may have been meant for her
        return
    assert policy.parse_rule(rule.text) == rule
    assert (rule.network is not None) == (rule.kind is policy.Kind.IP)
    assert rule.text == rule.text.strip()
    assert not any(category(sign) in _UNSEEN or bidirectional(sign) in _TURNING for sign in rule.text.replace(" ", ""))
    for client, sender in (("192.0.2.7", "ada@example.com"), ("198.51.100.7", "ada@example.com"), ("::1", "")):
        assert not _judged((), (text,), sender, client).allowed
        alone = _judged((text,), (), sender, client)
        both = _judged((text,), (text,), sender, client)
        assert not (both.allowed and alone.allowed)
        assert alone.allowed is not True or sender
        assert both.sentence in (policy.NOT_PROVED, policy.NOT_ALLOWED, policy.NOBODY) or both.allowed is None


def _judged(allow: tuple[str, ...], deny: tuple[str, ...], sender: str, client: str) -> policy.Verdict:
    printer = Printer(name="p", addresses=("p@example.com",), allow=allow, deny=deny, uri="socket://192.0.2.9:9100")
    ip = ip_address(client)
    return policy.judge(printer, policy.Facts(sender=sender, ip=ip, insider=any(ip in inside for inside in _INSIDE)))
