"""Parts of a split mail, as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.failure import PermanentFailure
from mailstore.partial import Joiner, merged, part_of
from mailstore.store.splitting import Part

OUTER = (
    b"Received: from a by b; today\r\nFrom: ada@example.com\r\nTo: phaser360@example.com\r\nSubject: [1/2] plan\r\n"
    b"Message-ID: <1@example.com>\r\nMIME-Version: 1.0\r\nX-Folded: a\r\n b\r\n"
    b'Content-Type: message/partial; id="x@example.com"; number=1; total=2\r\n'
)
INNER = (
    b"From: eve@example.com\r\nSubject: plan\r\nMessage-ID: <whole@example.com>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain;\r\n charset=utf-8\r\nReply-To: eve@example.com\r\n"
)
WHOLE = (
    b"Received: from a by b; today\r\nFrom: ada@example.com\r\nTo: phaser360@example.com\r\nX-Folded: a\r\n b\r\n"
    b"Subject: plan\r\nMessage-ID: <whole@example.com>\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: text/plain;\r\n charset=utf-8\r\n"
)


def block(kind: str, extra: str = "") -> bytes:
    return f"From: ada@example.com\r\nContent-Type: {kind}\r\n{extra}".encode()


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        ("text/plain", None),
        ("message/rfc822; id=x; number=1", None),
        ("message/partial; id=x; number=1", Part(id="x", number=1)),
        ('Message/Partial; NUMBER=2; Total=3; id="a b@c"', Part(id="a b@c", number=2, total=3)),
        ("message/partial; id=x; number=2; total=", Part(id="x", number=2)),
    ],
)
def test_reads_what_a_part_says(kind: str, part: Part | None) -> None:
    assert part_of(block(kind)) == part


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("message/partial; number=1; total=2", "needs an id"),
        (f"message/partial; id={'x' * 201}; number=1", "needs an id"),
        ("message/partial; id=x", "needs a number"),
        ("message/partial; id=x; number=0; total=1", "no number from 1"),
        ("message/partial; id=x; number=-1", "no number from 1"),
        ("message/partial; id=x; number=1; total=99999999999", "no number from 1"),
        ("message/partial; id=x; number=\u0663", "no number from 1"),
        ("message/partial; id=x; number=3; total=2", "number 3 of 2"),
    ],
)
def test_refuses_a_part_that_says_nothing_useful(kind: str, said: str) -> None:
    with pytest.raises(PermanentFailure, match=said) as refused:
        part_of(block(kind))
    assert refused.value.status == "5.6.0"


def test_a_part_is_not_encoded_itself() -> None:
    with pytest.raises(PermanentFailure, match="may not be encoded"):
        part_of(block("message/partial; id=x; number=1", "Content-Transfer-Encoding: base64\r\n"))


def test_the_sender_is_the_outer_headers_and_the_content_the_inner_ones() -> None:
    assert merged(OUTER, INNER) == WHOLE


def test_nothing_of_the_inner_header_but_what_is_of_the_content() -> None:
    assert b"eve@" not in merged(OUTER, INNER)
    assert merged(b"", INNER).startswith(b"Subject: plan\r\n")
    assert merged(OUTER, b"") == WHOLE[: WHOLE.index(b"Subject:")]


FIRST = OUTER + b"\r\n" + INNER + b"\r\n" + b"one\r\n\r\n"
SECOND = b"From: mallory@example.com\r\nContent-Type: message/partial; id=x; number=2\r\n\r\ntwo\r\n"


def joined(parts: list[list[bytes]], limit: int = 65536) -> bytes:
    joiner, whole = Joiner(limit), b""
    for part in parts:
        joiner.begin()
        for piece in part:
            whole += joiner.feed(piece)
    return whole + joiner.end()


@given(st.data())
def test_parts_cut_anywhere_make_the_same_mail(data: st.DataObject) -> None:
    def cut(octets: bytes) -> list[bytes]:
        places = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=8)))
        return [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]

    assert joined([cut(FIRST), cut(SECOND)]) == WHOLE + b"\r\none\r\n\r\ntwo\r\n"


def test_octet_by_octet() -> None:
    parts = [[bytes([octet]) for octet in part] for part in (FIRST, SECOND)]
    assert joined(parts) == WHOLE + b"\r\none\r\n\r\ntwo\r\n"


def test_a_mail_without_a_body() -> None:
    assert joined([[OUTER + b"\r\n" + INNER]]) == WHOLE + b"\r\n"


def test_a_first_part_without_a_header_inside_is_a_body() -> None:
    assert joined([[OUTER + b"\r\n\r\nbody\r\n"]]) == merged(OUTER, b"") + b"\r\nbody\r\n"


def test_a_header_that_does_not_end_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="ends within its header"):
        joined([[OUTER], [SECOND]])
    with pytest.raises(PermanentFailure, match="ends within its header"):
        joined([[FIRST], [b"From: x\r\n"]])


def test_a_header_inside_may_go_on_in_the_next_part() -> None:
    cut = INNER.index(b"MIME-Version")
    parts = [[OUTER + b"\r\n" + INNER[:cut]], [OUTER + b"\r\n" + INNER[cut:] + b"\r\nbody\r\n"]]
    assert joined(parts) == WHOLE + b"\r\nbody\r\n"


@pytest.mark.parametrize("parts", [[[OUTER * 9]], [[OUTER + b"\r\n" + INNER * 9]], [[FIRST], [b"X: y\r\n" * 200]]])
def test_a_header_is_bounded(parts: list[list[bytes]]) -> None:
    with pytest.raises(PermanentFailure, match="longer than 1000 octets") as refused:
        joined(parts, limit=1000)
    assert refused.value.status == "5.3.4"


def test_no_cut_makes_a_header_too_long() -> None:
    whole = joined([[FIRST], [SECOND]], limit=len(OUTER))
    assert joined([[bytes([octet]) for octet in part] for part in (FIRST, SECOND)], limit=len(OUTER)) == whole
    with pytest.raises(PermanentFailure):
        joined([[FIRST], [SECOND]], limit=len(OUTER) - 1)
