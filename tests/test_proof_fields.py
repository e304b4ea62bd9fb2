"""Whom a header names as author and recipients, and which headers are none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.proof.fields import author, fields, named

ADA = "ada@example.com"


@pytest.mark.parametrize(
    "content",
    [
        "ada@example.com",
        "<ada@example.com>",
        " Ada <ada@example.com>",
        "Ada Lovelace <ADA@Example.com>",
        '"eve@example.net" <ada@example.com>',
        "Ada (eve@example.net) <ada@example.com>",
        "ada@example.com (Ada)",
        "(a (nested\\) ) comment) ada@example.com",
        "=?utf-8?q?eve=40example.net?= <ada@example.com>",
        "<ada@example.com>,",
        "J. R. Ada <ada@example.com>",
        '"a\\"b, <eve@example.net>" <ada@example.com>',
        "ada @ example.com",
        '<"ada"@example.com>',
        "Ada\r\n <ada@example.com>",
        "Ad\u00e4 <ada@example.com>",
    ],
)
def test_the_one_author(content: str) -> None:
    assert author(b"From:" + content.encode() + b"\r\n") == ADA


@pytest.mark.parametrize(
    "content",
    [
        "",
        " ",
        "Ada",
        "ada",
        "ada@",
        "@example.com",
        "ada@example.com eve@example.net",
        "ada@example.com <eve@example.net>",
        "<ada@example.com> <eve@example.net>",
        "<ada@example.com> eve",
        "ada@example.com, eve@example.net",
        "Lovelace, Ada <ada@example.com>",
        "friends: ada@example.com;",
        "ada@example.com;",
        "<@example.net:ada@example.com>",
        "<ada@example.com",
        "ada@example.com>",
        "<<ada@example.com>>",
        '"ada@example.com',
        "(ada@example.com",
        "ada@example.com)",
        "a da@example.com",
        "ada@exam ple.com",
        "ada@eve@example.com",
        "<>",
        "ada@example.com\x00",
        "<ada@example.com>\\",
        "a" * 20_000 + " <ada@example.com>",
    ],
)
def test_no_author(content: str) -> None:
    assert author(b"From: " + content.encode() + b"\r\n") == ""


def test_from_must_stand_there_once() -> None:
    assert author(b"Subject: x\r\nFROM : ada@example.com\r\n") == ADA
    assert author(b"Subject: x\r\n") == ""
    assert author(b"From: ada@example.com\r\nfrom: ada@example.com\r\n") == ""
    assert author(b"X-From: ada@example.com\r\n") == ""


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("ada@example.com", {ADA}),
        ("Ada <ada@example.com>, (x) <bob@example.com>,,", {ADA, "bob@example.com"}),
        ("people: ada@example.com, bob@example.com;, c@example.com", {ADA, "bob@example.com", "c@example.com"}),
        ("undisclosed-recipients:;", set()),
        ("broken <, ada@example.com", {ADA}),
        ('"ada@example.com"', set()),
        ("Ada <ada@example.com> bob@example.com", set()),
    ],
)
def test_who_is_named(content: str, names: set[str]) -> None:
    assert named([content.encode()]) == names


def test_very_many_are_not_all_looked_at() -> None:
    assert len(named([b",".join(b"a%d@b.c" % n for n in range(3000))])) == 1000
    assert named([b"ada@example.com," * 10_000]) == frozenset()


@pytest.mark.parametrize(
    "block",
    [
        b"garbage\r\n",
        b" folded\r\n",
        b"From: a\r\ngarbage\r\n",
        b"From: a\nTo: b\r\n",
        b"From: a\rTo: b\r\n",
        b"From: a",
        b": x\r\n",
        b"Fr\xc3\xb6m: x\r\n",
        b"a:\r\n" * 5001,
        b"From a@example.com Mon\r\n",
        b"\r\n",
    ],
)
def test_what_is_no_header(block: bytes) -> None:
    assert fields(block) is None


@given(
    st.lists(
        st.tuples(st.sampled_from([b"From", b"To ", b"x-y"]), st.sampled_from([b" a", b"", b"\t\r\n b", b" \x00\xff"]))
    )
)
def test_a_header_is_all_its_fields(parts: list[tuple[bytes, bytes]]) -> None:
    block = b"".join(name + b":" + content + b"\r\n" for name, content in parts)
    found = fields(block)
    assert found is not None
    assert b"".join(field.octets + b"\r\n" for field in found) == block
    assert [(field.name, field.content) for field in found] == [
        (name.strip().lower(), content) for name, content in parts
    ]
