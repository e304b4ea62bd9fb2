"""Body hashes while a body streams by: the same as of the whole, however it is cut."""

from __future__ import annotations

import tracemalloc
from hashlib import sha256

import pytest
from dkim.canonicalization import Relaxed, Simple
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.proof.body import RELAXED, SIMPLE, BodyHashes

CANONICALIZATIONS = {SIMPLE: Simple, RELAXED: Relaxed}
PIECES = (
    b"\r\n",
    b"\r\n\r\n",
    b"\r",
    b"\n",
    b" ",
    b"\t",
    b"  ",
    b" \r\n",
    b"\t \r\n",
    b"a",
    b"abc",
    b"\x00",
    b"\r\r\n",
    b" \r",
)
BODIES = st.lists(st.sampled_from(PIECES), max_size=30).map(b"".join)


def hashes(body: bytes, *lengths: int) -> dict[str, bytes]:
    both = BodyHashes(CANONICALIZATIONS)
    stream, start = b"\r\n" + body, 0
    for length in lengths:
        both.feed(stream[start : start + length])
        start += length
    both.feed(memoryview(stream)[start:])
    return both.digests()


@given(BODIES, st.lists(st.integers(0, 5), max_size=60))
@example(b"", [])
@example(b"\r\n", [1, 1, 1, 1])
@example(b" \r\n\t\r\n", [1] * 9)
@example(b"a \r\n \r\n\r\n b", [1] * 20)
def test_like_the_whole_body_of_dkimpy(body: bytes, lengths: list[int]) -> None:
    found = hashes(body, *lengths)
    for name, canonicalization in CANONICALIZATIONS.items():
        # Blanks that end a body which no line end closes: dkimpy keeps them, here they are those of a line.
        whole = body if body.endswith(b"\r\n") or name == SIMPLE else body.rstrip(b" \t")
        assert found[name] == sha256(canonicalization.canonicalize_body(whole)).digest(), name


@given(BODIES, st.lists(st.integers(0, 5), max_size=60))
def test_no_cut_changes_anything(body: bytes, lengths: list[int]) -> None:
    assert hashes(body, *lengths) == hashes(body)


def test_the_empty_bodies_of_the_standard() -> None:
    # RFC 6376 sections 3.4.3 and 3.4.4
    assert hashes(b"") == {SIMPLE: sha256(b"\r\n").digest(), RELAXED: sha256(b"").digest()}
    assert hashes(b"\r\n\r\n") == hashes(b"")


def test_a_message_without_a_body_and_one_without_an_empty_line() -> None:
    nothing = BodyHashes(CANONICALIZATIONS)
    assert nothing.digests() == hashes(b"")
    assert BodyHashes(()).digests() == {}


@pytest.mark.parametrize(
    "piece",
    [b" " * 65536, b"\r\n" * 32768, b"x" * 65536, b"\r" * 65536, b" \r\n" * 21845, b"\t\r" * 32768, b"\n\r" * 32768],
)
def test_memory_is_flat_and_nothing_is_slow(piece: bytes) -> None:
    both = BodyHashes(CANONICALIZATIONS)
    both.feed(b"\r\n")
    tracemalloc.start()
    for _ in range(64):
        both.feed(piece)
    both.feed(b"end")
    both.digests()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
