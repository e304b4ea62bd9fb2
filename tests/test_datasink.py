from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.smtp.datasink import DataSink, Fault, line_end_fault

HUGE = 1 << 40


def run(pieces: list[bytes], limit: int = HUGE) -> tuple[DataSink, bytes, bytes | None]:
    """The sink, what it wrote and what stood behind the end (None: the end did not come)."""
    out = bytearray()
    sink = DataSink(out.extend, limit=limit)
    for number, piece in enumerate(pieces):
        rest = sink.feed(piece)
        if rest is not None:
            return sink, bytes(out), bytes(rest) + b"".join(pieces[number + 1 :])
    return sink, bytes(out), None


def reference(stream: bytes) -> tuple[bytes, bytes, bool] | None:
    """The message, the rest, and whether it is faultless, by RFC 5321 section 4.5.2 read naively."""
    end = (b"\r\n" + stream).find(b"\r\n.\r\n")
    if end < 0:
        return None
    message, rest = (b"\r\n" + stream)[: end + 2][2:], stream[end + 3 :]
    lines = [line.removeprefix(b".") for line in message.split(b"\r\n")]
    return b"\r\n".join(lines), rest, not re.search(rb"\r(?!\n)|(?<!\r)\n", message)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(stream) + 1) for place in places})
    return [stream[a:b] for a, b in zip([0, *marks], [*marks, len(stream)], strict=True)]


STREAMS = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"..", b"a", b"\r\n.\r\n", b"bb\r\n", b"\0"])).map(
    b"".join
)


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8))
def test_any_cut_gives_what_the_reference_gives(stream: bytes, places: list[int]) -> None:
    expected = reference(stream)
    for pieces in ([stream], [bytes([octet]) for octet in stream], cut(stream, places), [b"", stream, b""]):
        sink, message, rest = run(pieces)
        if expected is None:
            assert rest is None
            continue
        assert rest == expected[1]
        assert (sink.fault is None) == expected[2]
        assert sink.octets == len(expected[0])
        assert message == expected[0] or sink.fault


@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.tuples(st.integers(0, 99), st.sampled_from([b"\r", b"\n", b"x", b"\r\n", b""]))),
)
def test_the_verdict_on_line_ends_is_that_of_a_search(width: int, lines: int, edits: list[tuple[int, bytes]]) -> None:
    body = bytearray((b"x" * width + b"\r\n") * lines)
    for place, octets in edits:
        place %= len(body) + 1
        body[place : place + 1] = octets
    assert (line_end_fault(bytes(body)) is None) == (not re.search(rb"\r(?!\n)|(?<!\r)\n", bytes(body)))


@pytest.mark.slow
def test_sixty_thousand_split_cases() -> None:
    source = random.Random(5321)
    words = [b"\r\n", b"\r\n", b"\r", b"\n", b".", b"x" * 7, b"y", b"\r\n.\r\n", b"\r\n."]
    for _ in range(60_000):
        stream = b"".join(source.choices(words, weights=[9, 9, 1, 1, 4, 9, 4, 1, 2], k=source.randrange(30)))
        pieces = cut(stream, [source.randrange(200) for _ in range(source.randrange(5))])
        expected, (sink, message, rest) = reference(stream), run(pieces)
        assert (rest is None) == (expected is None), (stream, pieces)
        if expected is not None:
            assert rest == expected[1], (stream, pieces)
            assert (sink.fault is None) == expected[2], (stream, pieces)
            assert message == expected[0] or sink.fault, (stream, pieces)


@pytest.mark.parametrize(
    ("false_end", "fault"),
    [
        (b"\n.\r\n", Fault.BARE_LF),
        (b"\r\n.\n", Fault.BARE_LF),
        (b"\n.\n", Fault.BARE_LF),
        (b"\r.\r", Fault.BARE_CR),
        (b"\r\n.\r", Fault.BARE_CR),
        (b"\r.\r\n", Fault.BARE_CR),
        (b"\r\r\n.\r\r\n", Fault.BARE_CR),
    ],
)
def test_a_false_end_is_no_end_and_spoils_the_message(false_end: bytes, fault: Fault) -> None:
    sink, _, rest = run([b"text" + false_end + b"MAIL FROM:<eve@example.com>\r\n.\r\nQUIT\r\n"])
    assert rest == b"QUIT\r\n"
    assert sink.fault is fault


def test_an_empty_message() -> None:
    sink, message, rest = run([b".\r\nQUIT\r\n"])
    assert (message, rest, sink.octets) == (b"", b"QUIT\r\n", 0)


def test_past_the_limit_nothing_is_written_but_all_is_counted() -> None:
    sink, message, rest = run([b"1234\r\n", b"5678\r\n", b"9\r\n.\r\n"], limit=12)
    assert (message, rest) == (b"1234\r\n5678", b"")
    assert sink.too_large
    assert sink.octets == 15


def test_memory_holds_no_more_than_four_octets() -> None:
    out = bytearray()
    sink = DataSink(out.extend, limit=HUGE)
    sink.feed(b"line\r\n.\r")
    assert out == b"line"
