"""The walk, against the standard library and against every way to cut."""

from __future__ import annotations

import contextlib
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.failure import PermanentFailure
from mailstore.mime import Between, Data, End, Head, Limits, Part, Walker, everything
from tests.messages import LINES, NESTED, SAMPLES, crlf, mail


def told(message: bytes, cuts: list[int], appetite=everything, limits=None) -> list[tuple[Part, bytes, End]]:
    """Each part with its octets, the message fed in pieces that end at `cuts`."""
    walker = Walker(appetite, limits)
    events, start = [], 0
    for stop in [*sorted(cuts), len(message)]:
        events += walker.feed(message[start:stop])
        start = stop
    events += walker.close()
    parts: list[tuple[Part, bytes, End]] = []
    for event in events:
        if isinstance(event, Part):
            part, octets = event, b""
        elif isinstance(event, Data):
            assert event.octets
            octets += event.octets
        elif isinstance(event, End):
            parts.append((part, octets, event))
    return parts


def test_a_nested_message_is_told_in_order() -> None:
    parts = told(NESTED, [])
    assert [(part.path, part.media_type, octets) for part, octets, _ in parts] == [
        ("1.1", "text/plain", b"plain"),
        ("1.2", "text/html", b"<html>"),
        ("2.1", "application/postscript", b"%!PS\r\nshow  \r\n--abc--no"),
        ("3", "text/plain", b""),
        ("4", "text/plain", b"last\r\n"),
    ]
    assert parts[2][0].name == "hä.ps"
    assert parts[2][0].within == ("multipart/mixed", "message/rfc822", "multipart/mixed")


@pytest.mark.parametrize("message", SAMPLES)
@pytest.mark.parametrize("appetite", [everything, lambda part: 10, lambda part: 0])
def test_how_it_is_cut_makes_no_difference(message: bytes, appetite) -> None:
    whole = told(message, [], appetite)
    assert told(message, list(range(len(message))), appetite) == whole
    for size in (2, 3, 7, 76, 1000):
        assert told(message, list(range(0, len(message), size)), appetite) == whole


@given(st.lists(LINES, max_size=25), st.booleans(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_lines_survive_any_cut(lines: list[str], ended: bool, data) -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=a\n\n" + "\n".join(lines) + "\n" * ended)
    limits = Limits(depth=4, parts=12)
    cuts = data.draw(st.lists(st.integers(0, len(message)), max_size=12))

    def outcome(cuts: list[int]):
        try:
            return told(message, cuts, limits=limits)
        except PermanentFailure as failure:
            return str(failure)

    whole = outcome([])
    assert outcome(cuts) == whole
    assert outcome(list(range(len(message)))) == whole


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
@settings(max_examples=200, deadline=None)
def test_any_octets_survive(octets: bytes, cuts: list[int]) -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + octets + b"\r\n--b--\r\n"
    assert told(message, [min(cut, len(message)) for cut in cuts]) == told(message, [])


ATTACHMENTS = st.lists(st.tuples(st.binary(max_size=9000), st.just("application/x-thing"), st.just("n")), max_size=3)


@given(ATTACHMENTS, st.integers(1, 5000))
@settings(max_examples=50, deadline=None)
def test_attachments_come_out_as_they_went_in(attachments: list[tuple[bytes, str, str]], size: int) -> None:
    message = mail(*attachments)
    parts = told(message, list(range(0, len(message), size)))
    assert [octets for _, octets, _ in parts[1:]] == [octets for octets, _, _ in attachments]
    assert not any(end.defect for _, _, end in parts)


# What a part may hold that is no delimiter line of its multipart.
BINARY = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"\0", b"--b", b"--b--", b"--", b" ", b"\t", b".", b"x", b"%PDF", b"\xff\x1a"]
    )
).map(b"".join)
DELIMITER = re.compile(rb"\r\n--b(--)?[ \t]*\r\n")


@given(st.lists(BINARY, min_size=1, max_size=3), st.lists(st.integers(0, 300), max_size=8))
@settings(max_examples=200, deadline=None)
def test_what_is_binary_comes_out_bit_for_bit(contents: list[bytes], cuts: list[int]) -> None:
    contents = [content for content in contents if not DELIMITER.search(b"\r\n%b\r\n" % content)]
    label = b"Content-Transfer-Encoding: binary\r\n\r\n"
    parts = b"".join(b"\r\n--b\r\n%b%b" % (label, content) for content in contents)
    message = b"Content-Type: multipart/mixed; boundary=b\r\n" + parts + b"\r\n--b--\r\n"
    cuts = [min(cut, len(message)) for cut in cuts]
    for found in (told(message, cuts), told(message, list(range(len(message))))):
        assert [(octets, end.complete, end.defect) for _, octets, end in found] == [
            (each, True, "") for each in contents
        ]
    for content in contents:
        assert told(label + content, cuts)[0][1] == content


def verbatim(message: bytes, cuts: list[int]) -> bytes:
    walker, start, octets = Walker(everything, Limits(depth=4, parts=12), verbatim=True), 0, b""
    for stop in [*sorted(cuts), len(message), None]:
        for event in walker.close() if stop is None else walker.feed(message[start:stop]):
            octets += event.octets if isinstance(event, Data | Head | Between) else b""
        start = stop or 0
    return octets


@given(st.lists(LINES, max_size=25), st.lists(st.integers(0, 500), max_size=8))
@settings(max_examples=200, deadline=None)
def test_a_verbatim_walk_tells_every_octet(lines: list[str], cuts: list[int]) -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=a\n\n" + "\n".join(lines))
    with contextlib.suppress(PermanentFailure):
        for way in ([], [min(cut, len(message)) for cut in cuts], list(range(len(message)))):
            assert verbatim(message, way) == b"\r\n" + message


@pytest.mark.parametrize("message", SAMPLES)
def test_a_verbatim_walk_of_samples(message: bytes) -> None:
    assert verbatim(message, []) == verbatim(message, list(range(len(message)))) == b"\r\n" + message


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"Subject: " + b"x" * 300_000, "5.3.4"),
        (b"Subject: " + b"x" * 300_000 + b"\r\n\r\nbody", "5.3.4"),
        (crlf("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\n\n" * 1001), "5.3.4"),
        (crlf("Content-Type: message/rfc822\n\n" * 30), "5.6.0"),
        (crlf(f"Content-Type: multipart/mixed; boundary={'b' * 300}\n\n"), "5.6.0"),
    ],
)
def test_limits_hold(message: bytes, status: str) -> None:
    for size in (1 << 20, 1000):
        with pytest.raises(PermanentFailure) as failure:
            told(message, list(range(0, len(message), size)))
        assert failure.value.status == status


@pytest.mark.parametrize("before", [b"", b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"])
def test_a_header_may_be_as_long_as_the_limit_says(before: bytes) -> None:
    for size, fits in ((100, True), (101, False)):
        message = before + b"A: " + b"x" * (size - 5) + b"\r\n\r\nbody"
        for cuts in ([], list(range(len(message)))):
            with contextlib.nullcontext() if fits else pytest.raises(PermanentFailure, match="longer than 100 octets"):
                told(message, cuts, limits=Limits(header=100))


def test_little_is_kept_between_chunks() -> None:
    walker = Walker()
    walker.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n")
    for chunk in (b"\r\n--bx" * 20_000, b"\r\n--b" + b" " * 100_000, b"\r\n" * 50_000, b"\r\n--" + b"b" * 100_000):
        walker.feed(chunk)
        assert len(walker._held) <= 300


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@pytest.mark.parametrize(
    "piece", [b"\r\n--bx", b"\r\n--", b"\r\n--b" + b" " * 65, b" \r\n", b" ", b"=", b"QUJ\r\n", b"QUJD=\r\n", b"\n"]
)
def test_hostile_bodies_cost_linear_time(encoding: str, piece: bytes) -> None:
    start = f"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: {encoding}\n\n"
    message = crlf(start) + piece * (500_000 // len(piece))
    begun = time.process_time()
    told(message, list(range(0, len(message), 4096)))
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize("piece", [b"x", b"\r\n ", b"a:\r\n"])
def test_a_header_that_comes_octet_by_octet_costs_linear_time(piece: bytes) -> None:
    """By BDAT a client may cut its message into chunks of one octet."""
    walker = Walker(verbatim=True)
    walker.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nX: ")
    begun = time.process_time()
    for start in range(200_000):
        octet = start % len(piece)
        assert walker.feed(piece[octet : octet + 1]) == []
    assert len(walker._held) + len(walker._waiting) < 201_000
    head, *_ = walker.feed(b"\r\n\r\n" + b"body" * 10_000)
    assert time.process_time() - begun < 1
    assert isinstance(head, Head)
    assert len(head.octets) > 200_000


@pytest.mark.parametrize(
    "field", [b"content-id:\r\n", b"a:\r\n", b" \r\n", b"Content-Type: a" + b";a=b" * 60_000 + b"\r\n"]
)
def test_hostile_headers_cost_linear_time(field: bytes) -> None:
    header = (b"A: b\r\n" + field * (250_000 // len(field)) + b"\r\n--b\r\n") * 4
    begun = time.process_time()
    told(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + header, [])
    assert time.process_time() - begun < 0.5
