"""How large pictures are, by their first octets, as other programs write them; and what a page refers to."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mailstore.document_format import DocumentFormat
from mailstore.pictures import PICTURES, is_dot, is_ornament, size
from mailstore.references import References

F = DocumentFormat


@pytest.mark.parametrize("dimensions", [(1, 1), (300, 200), (4000, 3000), (40, 900)])
@pytest.mark.parametrize(
    ("format_", "options"),
    [
        (F.PNG, {"format": "PNG"}),
        (F.GIF, {"format": "GIF"}),
        (F.JPEG, {"format": "JPEG"}),
        (F.JPEG, {"format": "JPEG", "progressive": True}),
        (F.JPEG, {"format": "JPEG", "exif": b"Exif\0\0" + bytes(6000)}),
        (F.WEBP, {"format": "WEBP"}),
        (F.WEBP, {"format": "WEBP", "lossless": True}),
        (F.WEBP, {"format": "WEBP", "exif": b"Exif\0\0" + bytes(60)}),
    ],
    ids=str,
)
def test_pictures_say_how_large_they_are(
    format_: DocumentFormat, options: dict[str, object], dimensions: tuple[int, int]
) -> None:
    made = io.BytesIO()
    Image.new("RGB", dimensions, "teal").save(made, **options)  # type: ignore[arg-type]
    assert size(made.getvalue()[:8192], format_) == dimensions


@pytest.mark.parametrize("format_", sorted(PICTURES))
def test_of_a_stump_nobody_knows(format_: DocumentFormat) -> None:
    made = io.BytesIO()
    Image.new("RGB", (30, 20)).save(made, format=format_.partition("/")[2])
    whole = made.getvalue()
    assert size(whole, format_) == (30, 20)
    found = {size(whole[:end], format_) for end in range(len(whole))}
    assert found == {None, (30, 20)}


@given(st.binary(max_size=200), st.sampled_from(sorted(PICTURES)))
def test_nothing_raises(octets: bytes, format_: DocumentFormat) -> None:
    for head in (b"", b"\xff\xd8\xff\xc0", b"RIFF\0\0\0\0WEBPVP8X", b"RIFF\0\0\0\0WEBPVP8L"):
        found = size(head + octets, format_)
        assert is_ornament(found) in (True, False)


def test_what_is_nothing_to_see() -> None:
    assert is_dot((1, 1))
    assert is_dot((16, 1))
    assert not is_dot((20, 1))
    assert not is_dot(None)
    assert not is_ornament(None)


# What a page refers to


def references(page: bytes, *cuts: int) -> tuple[str, ...]:
    found = References()
    start = 0
    for cut in (*sorted(cuts), len(page)):
        found.feed(page[start:cut])
        start = cut
    return found.close()


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        (b'<img src="cid:a@b">', ("a@b",)),
        (b"<img src='CID:A@B'>", ("a@b",)),
        (b"<img src=cid:a@b>", ("a@b",)),
        (b"<td style='background: url(cid:a@b)'>", ("a@b",)),
        (b'<img src="cid:a%25b%40c">', ("a%b@c",)),
        (b'<img src="cid:a&amp;b">', ("a&b",)),
        (b'"cid:one" "cid:two" "cid:one"', ("one", "two")),
        (b"cid:", ()),
        (b"cid: x", ()),
        ('<img src="cid:ä@b">'.encode(), ("ä@b",)),
        ('<img src="cid:a@b">'.encode("utf-16"), ("a@b",)),
        (b'"cid:' + b"x" * 300 + b'"', ("x" * 255,)),
        (b"cid:end", ("end",)),
    ],
)
def test_what_a_page_refers_to(page: bytes, expected: tuple[str, ...]) -> None:
    assert references(page) == references(page, *range(len(page))) == expected


@given(
    st.lists(
        st.sampled_from([b"cid:", b"ci", b"d:", b"a@b", b'"', b"c", b"x" * 100, b"\0", b"<img src="]), max_size=20
    ),
    st.lists(st.integers(0, 800), max_size=6),
)
def test_cuts_change_nothing(words: list[bytes], cuts: list[int]) -> None:
    page = b"".join(words)
    assert references(page, *(min(cut, len(page)) for cut in cuts)) == references(page)


def test_no_page_refers_to_more_than_it_may() -> None:
    page = b" ".join(b"cid:%d" % number for number in range(50))
    found = References(7)
    found.feed(page)
    assert found.close() == tuple(str(number) for number in range(7))
