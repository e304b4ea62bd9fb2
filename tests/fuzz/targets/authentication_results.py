"""Authentication-Results: those of others are read without raising; ours have our results, whatever is in them."""

from __future__ import annotations

from appliance.proof.authres import said
from appliance.proof.report import results
from appliance.proof.result import DkimFinding, Findings, Result, SpfFinding

WORDS = (
    b"mx.example.com;",
    b"dkim=pass",
    b"dmarc=pass",
    b"header.d=",
    b"header.from=",
    b'reason="',
    b"(",
    b")",
    b"\\",
    b"none",
)


def check(octets: bytes) -> None:
    for one in said(octets):
        assert one.method == one.method.lower()
        assert "=" not in one.method + one.result
    first, _, second = octets.decode("utf-8", "replace").partition("\n")
    finding = DkimFinding(result=Result.FAIL, domain=first, selector=second, identity=second, reason=first)
    field = results("example.com", Findings(spf=SpfFinding(result=Result.FAIL, domain=second), dkim=(finding,)))
    assert max(map(len, field.split(b"\r\n"))) < 998
    assert [(one.method, one.result) for one in said(field.partition(b":")[2])] == [("spf", "fail"), ("dkim", "fail")]
