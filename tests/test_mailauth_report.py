"""Authentication-Results as we write them, read back; and what a header of others says."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.proof.authres import Said, said
from appliance.proof.report import results
from appliance.proof.result import ArcFinding, DkimFinding, DmarcFinding, Findings, Proven, Result, SpfFinding
from mailstore.header import without_results_of
from mailstore.job import Proof

HOST = "print.example.org"
FOUND = Findings(
    author="ada@example.com",
    spf=SpfFinding(result=Result.PASS, domain="example.com"),
    dkim=(
        DkimFinding(result=Result.PASS, domain="example.com", selector="s1", identity="@example.com"),
        DkimFinding(result=Result.POLICY, domain="example.net", selector="s2", reason="rsa-sha1 proves nothing"),
    ),
    arc=ArcFinding(result=Result.PASS, sealer="lists.example.net"),
    dmarc=DmarcFinding(result=Result.PASS, domain="example.com", policy="reject"),
)


def test_a_mail_from_outside() -> None:
    assert results(HOST, FOUND, reverse_path="ada@example.com").decode() == (
        "Authentication-Results: print.example.org;\r\n"
        "\tspf=pass\r\n\t smtp.mailfrom=ada@example.com;\r\n"
        "\tdkim=pass\r\n\t header.d=example.com\r\n\t header.s=s1\r\n\t header.i=@example.com;\r\n"
        '\tdkim=policy reason="rsa-sha1 proves nothing"\r\n\t header.d=example.net\r\n\t header.s=s2;\r\n'
        "\tarc=pass\r\n\t header.d=lists.example.net;\r\n"
        "\tdmarc=pass (p=reject)\r\n\t header.from=example.com\r\n"
    )


def test_a_login() -> None:
    assert results(HOST, login="ada") == b"Authentication-Results: print.example.org;\r\n\tauth=pass smtp.auth=ada\r\n"


def test_an_insider_is_not_asked() -> None:
    field = results(HOST, insider_ip="2001:db8::7")
    assert field == (
        b"Authentication-Results: print.example.org;\r\n\tnone (client 2001:db8::7 is in the networks of this site)\r\n"
    )
    assert said(field.partition(b":")[2]) == []


def test_helo_and_what_proves_nothing_here() -> None:
    findings = Findings(spf=SpfFinding(result=Result.NONE, domain="mail.example.net", helo=True), dkim=FOUND.dkim[:1])
    field = results(HOST, findings, proven=Proven(reason="To (names) nobody"))
    assert b"spf=none\r\n\t smtp.helo=mail.example.net" in field
    assert b"header.i=@example.com (proves nothing here: To [names] nobody)\r\n" in field
    assert b"proves nothing" not in results(HOST, findings, proven=Proven(author=Proof.DKIM, reason="x"))


STRANGE = st.text(max_size=400) | st.sampled_from(
    [
        '"; dmarc=pass header.from=example.com; x="',
        "\r\n\r\nbody",
        "a;dkim=pass",
        "x) ; dkim=pass (",
        "\\",
        '\\"',
        "é=",
        "(",
        ")",
    ]
)


@given(STRANGE, STRANGE, STRANGE, STRANGE)
@example('x"; dmarc=pass', "\\", "y\r\n\r\n", "é")
def test_no_stranger_writes_a_result(domain: str, reason: str, identity: str, login: str) -> None:
    findings = Findings(
        spf=SpfFinding(result=Result.FAIL, domain=domain, reason=reason),
        dkim=(DkimFinding(result=Result.FAIL, domain=domain, selector=identity, identity=identity, reason=reason),),
        arc=ArcFinding(result=Result.TEMPERROR, sealer=domain, reason=reason),
        dmarc=DmarcFinding(result=Result.FAIL, domain=domain, policy="none", reason=reason),
    )
    field = results(HOST, findings, login=login, reverse_path=identity, insider_ip=domain, proven=Proven(reason=reason))
    lines = field.split(b"\r\n")
    assert lines.pop() == b""
    assert all(re.fullmatch(rb"[\t -~]{1,998}", line) and line.strip() for line in lines)
    assert all(line.startswith(b"\t") for line in lines[1:])
    read = said(field.partition(b":")[2])
    wanted = [("auth", "pass")] * bool(login) + [("spf", "fail"), ("dkim", "fail"), ("arc", "fail"), ("dmarc", "fail")]
    assert [(one.method, one.result) for one in read] == wanted
    assert without_results_of(field, HOST) == b""


def test_what_others_write() -> None:
    gmail = (
        b" mx.google.com;\r\n       dkim=pass header.i=@example.com header.s=20230601 header.b=IuVc/+Zq;\r\n"
        b"       arc=pass (i=1);\r\n       spf=pass (google.com: domain of ada@example.com designates 192.0.2.7 as"
        b" permitted sender) smtp.mailfrom=ada@example.com;\r\n"
        b'       dmarc=pass (p=NONE sp="x") header.from=Example.com'
    )
    assert said(gmail) == [
        Said("dkim", "pass", {"header.i": "@example.com", "header.s": "20230601", "header.b": "IuVc/+Zq"}),
        Said("arc", "pass", {}),
        Said("spf", "pass", {"smtp.mailfrom": "ada@example.com"}),
        Said("dmarc", "pass", {"header.from": "Example.com"}),
    ]
    verp = (
        b"host; spf=pass smtp.mailfrom=bounce+ada=example.com@list.example; dkim=pass header.d=a.example header.b=AA=="
    )
    assert [dict(one.properties) for one in said(verp)] == [
        {"smtp.mailfrom": "bounce+ada=example.com@list.example"},
        {"header.d": "a.example", "header.b": "AA=="},
    ]
    microsoft = (
        b"mx.microsoft.com 1; spf=pass smtp.mailfrom=a.example; dmarc=pass action=none header.from=a.example; arc=none"
    )
    assert [one.method for one in said(microsoft)] == ["spf", "dmarc", "arc"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"host",
        b"host; none",
        b"host;",
        b"host; dkim",
        b"host; dkim=",
        b"host; dkim=pass header.d",
        b'host; "dkim=pass',
        b'host; dkim="pass"',
        b"host; dkim=pass=x",
        b'host; "dkim"=pass',
        b'host; dkim=pass "header.d"=a',
        b"host; (dkim=pass",
        b"host; dkim==pass",
        b"host; dkim=pass header.d=a header.d=b",
        b"host; dkim=pass \\",
        b"host;" + b"dkim=pass;" * 101,
        b"host; dkim=pass" + b" " * 40_000,
    ],
)
def test_what_says_nothing(content: bytes) -> None:
    assert not said(content)
