from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.smtp.chunksink import Chunk, ChunkSink, chunk_of
from appliance.smtp.datasink import Fault

HUGE = 1 << 40
STREAMS = st.lists(st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"a", b"\r\n.\r\n", b"bb\r\n", b"\0"])).map(b"".join)


class Out(list[bytes]):
    def write(self, octets: memoryview) -> None:
        self.append(bytes(octets))


def sent(chunks: list[bytes], pieces: int, *, binary: bool = False, limit: int = HUGE) -> tuple[ChunkSink, list[bytes]]:
    """A message in these chunks, each cut into pieces of so many octets; what was written."""
    out = Out()
    sink = ChunkSink(out.write, limit=limit, binary=binary)
    for number, octets in enumerate(chunks, 1):
        chunk = Chunk(len(octets), last=number == len(chunks))
        chunk.sink = sink
        wire, rest = octets + b"NEXT", None
        while rest is None:
            rest, wire = chunk.feed(wire[:pieces]), wire[pieces:]
        assert bytes(rest) + wire == b"NEXT"
    return sink, out


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    marks = sorted({place % (len(stream) + 1) for place in places})
    return [stream[a:b] for a, b in zip([0, *marks], [*marks, len(stream)], strict=True)]


@given(STREAMS, st.lists(st.integers(0, 1000), max_size=8), st.integers(1, 9), st.booleans())
@example(b"text\r\n", [5], 1, False)
def test_chunks_and_the_network_cut_anywhere(stream: bytes, places: list[int], pieces: int, binary: bool) -> None:
    whole = stream if binary or not stream or stream.endswith(b"\r\n") else stream + b"\r\n"
    faultless = binary or not re.search(rb"\r(?!\n)|(?<!\r)\n", stream)
    for chunks in ([stream], [stream, b""], [bytes([octet]) for octet in stream] or [b""], cut(stream, places)):
        sink, out = sent(chunks, pieces, binary=binary)
        assert (sink.fault is None) == faultless
        if faultless:
            assert b"".join(out) == whole
            assert sink.octets == len(whole)
        so_far = b""
        for written in out:
            so_far += written
            assert so_far == whole or not so_far.endswith(b"\r") or not whole[len(so_far) :].startswith(b"\n")


@pytest.mark.parametrize(
    ("chunks", "fault"),
    [
        ([b"a\n"], Fault.BARE_LF),
        ([b"a", b"\nb\r\n"], Fault.BARE_LF),
        ([b"a\r", b"b\r\n"], Fault.BARE_CR),
        ([b"a\r"], Fault.BARE_CR),
        ([b"a\r", b""], Fault.BARE_CR),
        ([b"\r", b"\r\n"], Fault.BARE_CR),
        ([b"a\r", b"\n"], None),
    ],
)
def test_line_ends_are_judged_across_chunks(chunks: list[bytes], fault: Fault | None) -> None:
    assert sent(chunks, 100)[0].fault is fault
    assert sent(chunks, 100, binary=True)[0].fault is None


def test_past_the_limit_nothing_is_written_but_all_is_counted() -> None:
    sink, out = sent([b"1234\r\n", b"5678\r\n", b"9\r\n"], 100, limit=12)
    assert b"".join(out) == b"1234\r\n5678\r\n"
    assert sink.too_large
    assert sink.octets == 15


def test_a_chunk_that_goes_nowhere_is_counted() -> None:
    chunk = Chunk(6, last=True)
    assert chunk.feed(b"QUI") is None
    assert chunk.octets == 3
    assert chunk.feed(b"T\r\nNOOP\r\n") == b"NOOP\r\n"


@pytest.mark.parametrize(
    ("argument", "size", "last"),
    [
        ("0", 0, False),
        ("0 LAST", 0, True),
        ("86 last", 86, True),
        ("007  Last", 7, True),
        ("9" * 20, 10**20 - 1, False),
    ],
)
def test_sizes(argument: str, size: int, last: bool) -> None:
    chunk = chunk_of(argument)
    assert chunk is not None
    assert (chunk.size, chunk.last) == (size, last)


@pytest.mark.parametrize(
    "argument", ["", "LAST", "-1", "+1", "1.0", "0x10", "1_0", "86LAST", "86 LAST 1", "86 FIRST", "٣", "²", "9" * 21]
)
def test_what_is_no_size(argument: str) -> None:
    assert chunk_of(argument) is None
