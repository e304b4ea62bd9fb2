"""SPF: a record is read or refused with a sentence, and what its macros make of a stranger's address stays bounded."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from appliance.proof import spf_macro, spf_record
from appliance.proof.result import Result
from appliance.proof.spf_macro import MacroError, Template
from appliance.proof.spf_record import RecordError

WORDS = (
    b"v=spf1 ",
    b" ",
    b"a",
    b"mx",
    b"ptr",
    b"a:",
    b"mx:",
    b"/24",
    b"//64",
    b"ip4:192.0.2.0",
    b"ip6:2001:db8::",
    b"include:",
    b"exists:",
    b"redirect=",
    b"exp=",
    b"x=",
    b"-all",
    b"~",
    b"?",
    b"%{d}",
    b"%{ir}",
    b"%{L2R-+,/_=}",
    b"%%",
    b"%_",
    b"%-",
    b".example.com",
)
_VALUES = dict.fromkeys("slodiphvcrt", "a.b-c+d@e/f_" + "\u00e4" * 40 + ".com")


def check(octets: bytes) -> None:
    text = octets.decode("latin-1")
    for explanation in (False, True):
        try:
            template = spf_macro.parse(text, explanation=explanation)
        except MacroError as error:
            assert str(error)
            continue
        _template(template, len(octets))
        assert explanation or not template.letters & set("crt")
        assert " " not in text or explanation
    assert spf_record.select([octets]) in (None, octets)
    for record in (octets, b"v=spf1 " + octets):
        _record(record)


def _record(octets: bytes) -> None:
    try:
        record = spf_record.parse(octets)
    except RecordError as error:
        assert str(error)
        return
    assert len(octets) <= spf_record.OCTETS
    assert len(record.mechanisms) <= spf_record.TERMS
    assert not (record.redirect and any(mechanism.name == "all" for mechanism in record.mechanisms))
    for mechanism in record.mechanisms:
        assert mechanism.result in (Result.PASS, Result.FAIL, Result.SOFTFAIL, Result.NEUTRAL)
        assert mechanism.name in ("all", "a", "mx", "ptr", "ip4", "ip6", "include", "exists")
        assert (mechanism.address is not None) == (mechanism.name in ("ip4", "ip6"))
        assert mechanism.name not in ("include", "exists") or mechanism.target is not None
        assert 0 <= mechanism.ip4 <= 32
        assert 0 <= mechanism.ip6 <= 128
        if mechanism.target:
            _template(mechanism.target, len(mechanism.text))


def _template(template: Template, octets: int) -> None:
    assert len(template.expand(_VALUES)) <= max(octets, 1) * 300
    name = template.name(_VALUES)
    assert len(name) <= 253
