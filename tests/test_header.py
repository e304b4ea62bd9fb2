"""Header fields: decoded for people, cleaned of claims in our name, whatever strangers write."""

from __future__ import annotations

import time
from email.header import Header
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore import header

BLOCK = (
    b"Received: from a\r\n\tby b\r\nRECEIVED : from c\r\n"
    b"Subject: =?utf-8?Q?Gr=C3=BC?= =?UTF-8?B?w58=?=\r\n =?utf-8?q?e_an?= alle\x07\r\n"
    b"not a field\r\n continued\r\nMessage-ID:\r\n <1.2@example.com>\r\n"
)


def test_a_block() -> None:
    assert header.received(BLOCK, 50) == 2
    assert header.received(BLOCK, 1) == 1
    assert header.message_id(BLOCK) == "<1.2@example.com>"
    assert header.value(BLOCK, "Received") == b"from a\tby b"
    assert header.value(BLOCK, "To") == b""


def by_lines(block: bytes, *names: bytes) -> list[tuple[bytes, bytes, int, int]]:
    """What `header.find` finds, line by line: name, value, start, end."""
    fields: list[tuple[bytes, bytes, int, int]] = []
    start = 0
    for line in block.split(b"\r\n"):
        stop = min(start + len(line) + 2, len(block))
        if fields and line[:1] in (b" ", b"\t"):
            name, value, begun, _ = fields[-1]
            fields[-1] = (name, value + line, begun, stop)
        else:
            name, colon, value = line.partition(b":")
            fields.append((name.rstrip(b" \t").lower() if colon else b"", value, start, stop))
        start = stop
    return [(name, value.strip(), start, stop) for name, value, start, stop in fields if name in names]


FIELDS = [
    b"a",
    b"A ",
    b"b\t",
    b":",
    b":",
    b"\r\n",
    b"\r\n",
    b"\r\n ",
    b"\r\n\t",
    b"\r",
    b"\n",
    b" ",
    b"x",
    b"\0",
    b"ab:",
]


@given(st.lists(st.sampled_from(FIELDS), max_size=30).map(b"".join))
@settings(max_examples=400, deadline=None)
def test_fields_are_found_as_if_line_by_line(block: bytes) -> None:
    found = [(field.name, field.value, field.start, field.end) for field in header.find(block, "a", "b")]
    assert found == by_lines(block, b"a", b"b")
    firsts = {name: value for name, value, *_ in reversed(found)}
    assert header.firsts(b"\r\n" + block, "a", "b", most=100) == firsts
    assert header.firsts(b"\r\n" + block, "a", "b", most=1) == {name: value for name, value, *_ in found[:1]}


def subject(value: bytes, limit: int = 200) -> str:
    return header.subject(b"Subject: " + value + b"\r\n", limit)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"plain", "plain"),
        (b"=?utf-8?Q?Gr=C3=BC=C3=9Fe?=", "Grüße"),
        (b"=?iso-8859-1?q?a?= =?iso-8859-1?q?b?= c", "ab c"),
        (b"=?utf-8?B?w7w=?= x =?utf-8*de?B?w7w=?=", "ü x ü"),
        (b"=?utf-8?q?=C3?= =?utf-8?q?=BC?=", "ü"),
        ("Grüße roh".encode(), "Grüße roh"),
        (b"Gr\xfc\xdfe", "Grüße"),
        (b"=?no-such?q?x=41?=", "xA"),
        (b"=?idna?q?xn--?=", "xn--"),
        (b"a\x1b[31m\0b\x7f\tc", "a[31mb c"),
        ("evil\u202egnp.exe\u2028x".encode(), "evilgnp.exe x"),
        (b"=?utf-8?q?line=0D=0ABcc:_x?=", "line Bcc: x"),
        (b"=?utf-8?b?!!!?= =?x?y?z?=", None),
        (b"", ""),
    ],
)
def test_subjects(value: bytes, text: str | None) -> None:
    found = subject(value)
    assert text is None or found == text
    assert "\n" not in found


def test_a_subject_is_cut() -> None:
    assert subject(b"x" * 100_000, 10) == "x" * 10
    assert header.subject(b"From: x\r\n") == ""


@given(st.text(max_size=60))
@settings(max_examples=50, deadline=None)
def test_subjects_of_the_standard_library(text: str) -> None:
    encoded = Header(text.encode("utf-8", "replace").decode(), "utf-8").encode(linesep="\r\n").encode()
    assert subject(encoded) == header.clean(text.encode("utf-8", "replace").decode(), 200)


@given(st.binary(max_size=200))
def test_nothing_raises(octets: bytes) -> None:
    for prefix in (b"", b"Subject: ", b"Message-ID: ", b"Authentication-Results: "):
        block = prefix + octets
        header.subject(block)
        header.message_id(block)
        header.received(block, 50)
        assert len(header.without_results_of(block, "mx.example.com")) <= len(block)
    header.parameters(octets)


OURS = b"Authentication-Results: mx.example.com; spf=pass\r\n\tsmtp.mailfrom=a@b\r\n"


@pytest.mark.parametrize(
    ("field", "stays"),
    [
        (OURS, False),
        (b"authentication-RESULTS : MX.example.COM 1; none\r\n", False),
        (b"Authentication-Results: (a (nested\\)) comment)\r\n mx.example.com; none\r\n", False),
        (b'Authentication-Results: "mx.example.com"; none\r\n', False),
        (b'Authentication-Results: "mx.ex\\ample.com"; none\r\n', False),
        (b"Authentication-Results: mx.example.com.; none\r\n", False),
        (b"Authentication-Results: mx.example.com(x); none\r\n", False),
        (b"Authentication-Results:\r\n", False),
        (b"Authentication-Results: (" + b"x" * 1010 + b") mx.example.com; none\r\n", False),
        (b"Authentication-Results: " + b"()" * 600 + b"other.example.com; none\r\n", False),
        (b"Authentication-Results: other.example.com; spf=pass (mx.example.com)\r\n", True),
        (b"Authentication-Results: amx.example.com; none\r\n", True),
        (b"X-Authentication-Results: mx.example.com; none\r\n", True),
        (b"Subject: x\r\n Authentication-Results: mx.example.com; none\r\n", True),
    ],
)
def test_claims_in_our_name_go(field: bytes, stays: bool) -> None:
    around = b"From: a\r\n", b"odd line\r\n\tmore  \r\nTo:  b \r\n"
    kept = header.without_results_of(around[0] + field + around[1] + field, "mx.example.com")
    assert kept == (around[0] + field + around[1] + field if stays else b"".join(around))


@pytest.mark.parametrize(
    ("value", "result"),
    [
        (b"TEXT/Plain; Charset=UTF-8", ("text/plain", {"charset": "UTF-8"})),
        (b'a/b; name="x; y=\\"z\\"" ; c = d', ("a/b", {"name": 'x; y="z"', "c": "d"})),
        (b"a/b; name=my file.ps", ("a/b", {"name": "my file.ps"})),
        (b"attachment; filename*=UTF-8'de'h%C3%A4.ps", ("attachment", {"filename": "hä.ps"})),
        (b"a; f*0*=iso-8859-1''%e4; f*1=b%20; f*2*=%20c", ("a", {"f": "äb%20 c"})),
        (b"a; f*1=b; f*0=a; f*3=d", ("a", {"f": "ab"})),
        (b"a; f=plain; f*=utf-8''better", ("a", {"f": "better"})),
        (b'a; name="=?utf-8?q?h=C3=A4?="', ("a", {"name": "hä"})),
        (b"a (comment); b=c; b=d", ("a", {"b": "c"})),
        (b"(x) a (y; b=d)(z(z)); (b=e) b=c (w)", ("a", {"b": "c"})),
        (b'a; name="(x)"; b=(c', ("a", {"name": "(x)", "b": "(c"})),
        (b"a; name=report (1).pdf", ("a", {"name": "report (1).pdf"})),
        (b"inline x; name=a", ("inline", {"name": "a"})),
        (b"a; boundary==?utf-8?q?x?=", ("a", {"boundary": "=?utf-8?q?x?="})),
        (b"a; boundary*0*=utf-8''%C3; boundary*1*=%A4", ("a", {"boundary": "\u00c3\u00a4"})),
        (b'a; name="never ends', ("a", {"name": "never ends"})),
        (b"", ("", {})),
        (b"; x=y", ("", {"x": "y"})),
    ],
)
def test_parameters(value: bytes, result: tuple[str, dict[str, str]]) -> None:
    assert header.parameters(value) == result


def test_file_names_of_the_standard_library() -> None:
    message = EmailMessage()
    message.set_content(b"x", maintype="a", subtype="b", filename="Grüße " + "ü" * 100 + '".pdf')
    block = message.as_bytes().replace(b"\n", b"\r\n").partition(b"\r\n\r\n")[0] + b"\r\n"
    _, parameters = header.parameters(header.value(block, "Content-Disposition"))
    assert parameters["filename"] == "Grüße " + "ü" * 100 + '".pdf'


@pytest.mark.parametrize(
    "piece",
    [
        b";a=",
        b';a="',
        b";a*0=",
        b"=?",
        b"=?a?q?",
        b"(",
        b"(()",
        b'("',
        b"()x",
        b"\\",
        b" ",
        b"\r\n ",
        b"\r\n",
        b"=?a?q?x?= ",
        b"\x00",
    ],
)
def test_long_nonsense_is_quick(piece: bytes) -> None:
    block = (b"Subject: " + piece * (250_000 // len(piece)))[:250_000]
    begun = time.process_time()
    header.subject(block, 10_000)
    header.parameters(block)
    header.decode_words(block)
    header.without_results_of(b"Authentication-Results: " + block, "x")
    assert time.process_time() - begun < 1.5


@pytest.mark.parametrize("field", [b"Authentication-Results: " + b"(" * 250_000, b"A: b" + b"\r\nreceived: x" * 20_000])
def test_hostile_headers_cost_milliseconds(field: bytes) -> None:
    begun = time.process_time()
    header.without_results_of(field + b"\r\n", "mx.example.com")
    header.received(field + b"\r\n", 50)
    assert time.process_time() - begun < 0.02
