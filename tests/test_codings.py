"""The decoders against the standard library and against every way to cut."""

from __future__ import annotations

import binascii
import quopri

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.codings import Base64, QuotedPrintable


def decoded(decoder: Base64 | QuotedPrintable, octets: bytes, cuts: list[int]) -> tuple[bytes, str]:
    out, start = b"", 0
    for stop in [*sorted(cuts), len(octets)]:
        out += decoder.decode(octets[start:stop])
        start = stop
    rest, defect = decoder.end()
    return out + rest, defect


NOISY = st.lists(
    st.sampled_from([b"QUJD", b"QU", b"J", b"\r\n", b" ", b"!", b"\xff", b"=", b"==", b"+/9z" * 19]), max_size=40
)


@given(NOISY.map(b"".join), st.lists(st.integers(0, 400), max_size=10))
@settings(max_examples=250, deadline=None)
def test_base64_is_that_of_the_standard_library_or_a_defect(octets: bytes, cuts: list[int]) -> None:
    out, defect = decoded(Base64(), octets, cuts)
    assert (out, defect) == decoded(Base64(), octets, [])
    assert (out, defect) == decoded(Base64(), octets, list(range(len(octets))))
    if not defect:
        data = octets.translate(None, b"\r\n !\xff=")
        assert out == binascii.a2b_base64(data + b"=" * (-len(data) % 4))


@pytest.mark.parametrize(
    ("octets", "result"),
    [
        (b"QUJD\r\nRA==\r\n", (b"ABCD", "")),
        (b"QUJDRA=", (b"ABCD", "")),
        (b"QUJDRA", (b"ABC", "its base64 is cut short")),
        (b"QUJDR", (b"ABC", "its base64 is cut short")),
        (b"QUJDR===", (b"ABC", "its base64 is cut short")),
        (b"QQ==\r\nQUJD\r\n", (b"A", "its base64 goes on after its padding")),
    ],
)
def test_broken_base64_is_told_not_guessed(octets: bytes, result: tuple[bytes, str]) -> None:
    out, defect = decoded(Base64(), octets, [])
    assert defect == result[1]
    assert defect or out == result[0]


QUOTED = st.lists(
    st.sampled_from([b"=41", b"=", b"==", b"=\r\n", b" ", b"\t", b"\r\n", b"x", b"=3D", b"=zz", b"\xe4"]), max_size=40
)


@given(QUOTED.map(b"".join), st.lists(st.integers(0, 200), max_size=10))
@settings(max_examples=250, deadline=None)
def test_quoted_printable_is_cut_anywhere(octets: bytes, cuts: list[int]) -> None:
    whole = decoded(QuotedPrintable(), octets, [])
    assert decoded(QuotedPrintable(), octets, cuts) == whole
    assert decoded(QuotedPrintable(), octets, list(range(len(octets)))) == whole


@given(st.binary(max_size=2000), st.lists(st.integers(0, 6000), max_size=10))
@settings(max_examples=100, deadline=None)
def test_quoted_printable_comes_back(octets: bytes, cuts: list[int]) -> None:
    quoted = quopri.encodestring(octets.replace(b"\n", b"").replace(b"\r", b"")).replace(b"\n", b"\r\n")
    assert decoded(QuotedPrintable(), quoted, cuts)[0] == octets.replace(b"\n", b"").replace(b"\r", b"")


def test_an_endless_quoted_line_needs_no_memory() -> None:
    line = b"=C3=A4 ==" * 40_000
    decoder, kept, out = QuotedPrintable(), 0, b""
    for start in range(0, len(line), 1000):
        out += decoder.decode(line[start : start + 1000])
        kept = max(kept, len(decoder._line))
    assert kept < 70_000
    assert out + decoder.end()[0] == decoded(QuotedPrintable(), line + b"\r\n", [])[0][:-2]
