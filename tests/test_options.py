"""What stands behind the + of a printer's address: every word there is, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mailstore.address import parse_path, split_subaddress
from mailstore.failure import PermanentFailure
from mailstore.options import (
    TOKEN_LENGTH,
    TOKEN_LETTERS,
    Subaddress,
    of_recipient,
    read,
    token_digest,
    without_token,
)
from mailstore.ticket import Sides, Ticket
from mailstore.ticket_words import KNOWN

TOKEN = "mfrggzdfmztwq2lknnwg23tpob"

tokens = st.text(TOKEN_LETTERS, min_size=TOKEN_LENGTH, max_size=TOKEN_LENGTH)
copies = st.integers(1, 999)
sides = st.sampled_from(Sides)
words = {
    "simplex": Sides.ONE_SIDED,
    "duplex": Sides.LONG_EDGE,
    "tumble": Sides.SHORT_EDGE,
    "sides=one-sided": Sides.ONE_SIDED,
    "sides=two-sided-long-edge": Sides.LONG_EDGE,
    "sides=two-sided-short-edge": Sides.SHORT_EDGE,
}


@pytest.mark.parametrize(
    ("address", "meant"),
    [
        ("phaser360@example.com", Subaddress()),
        ("phaser360+@example.com", Subaddress()),
        ("phaser360+copies=2+duplex@example.com", Subaddress(options=Ticket(copies=2, sides=Sides.LONG_EDGE))),
        ("phaser360++DUPLEX+Copies=999@example.com", Subaddress(options=Ticket(copies=999, sides=Sides.LONG_EDGE))),
        (f"phaser360+{TOKEN.upper()}@example.com", Subaddress(token=TOKEN)),
        (f"phaser360+{TOKEN}+copies=1@example.com", Subaddress(options=Ticket(copies=1), token=TOKEN)),
        *((f"p+{word}@example.com", Subaddress(options=Ticket(sides=side))) for word, side in words.items()),
    ],
)
def test_subaddresses(address: str, meant: Subaddress) -> None:
    assert read(split_subaddress(address)[1]) == meant
    assert of_recipient(address) == meant.options


@pytest.mark.parametrize(
    "detail",
    [
        *(
            "copies",
            "copies=",
            "copies=0",
            "copies=1000",
            "copies=-1",
            "copies=02",
            "copies=2.0",
            "copies=2x",
            "copies=٣",
        ),
        *("sides", "sides=", "sides=two", "sides=duplex", "duplex=1", "duple", "duplexx", "one-sided", "colours", "x"),
        *("copies=2\n", "du\u0130lex", "", " duplex", TOKEN[:-1], TOKEN + "a", TOKEN[:-1] + "1", TOKEN[:-1] + "\u017f"),
    ],
)
def test_anything_else_is_refused_with_a_list_of_what_there_is(detail: str) -> None:
    with pytest.raises(PermanentFailure) as refused:
        read((detail,))
    assert refused.value.status == "5.1.3"
    assert KNOWN in refused.value.text
    assert refused.value.text.isascii()
    assert refused.value.text.isprintable()
    assert len(refused.value.text) < 300
    assert (ascii(detail) in refused.value.text) == (len(detail) <= 16)


@pytest.mark.parametrize(
    ("details", "what"),
    [
        (("copies=2", "copies=2"), "copies"),
        (("duplex", "sides=two-sided-long-edge"), "sides"),
        (("simplex", "duplex"), "sides"),
        ((TOKEN, "duplex", TOKEN), "token"),
    ],
)
def test_nothing_is_said_twice(details: tuple[str, ...], what: str) -> None:
    with pytest.raises(PermanentFailure, match=f"{what} twice") as refused:
        read(details)
    assert refused.value.status == "5.1.3"
    assert TOKEN not in refused.value.text


def test_an_old_jobs_recipient_may_hold_anything() -> None:
    assert of_recipient("phaser360+library+copies=2@example.com") == Ticket()


def test_a_digest_is_that_of_the_lower_case_token() -> None:
    assert token_digest(TOKEN.upper()) == token_digest(TOKEN) == hashlib.sha256(TOKEN.encode()).digest()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"phaser360+{TOKEN}@example.com", "phaser360@example.com"),
        (f"phaser360+{TOKEN.upper()}+copies=2@example.com", "phaser360+copies=2@example.com"),
        (f"phaser360+copies=2+{TOKEN}@example.com", "phaser360+copies=2@example.com"),
        (f"phaser360+{TOKEN}+{TOKEN}@example.com", "phaser360@example.com"),
        (f'"p+{TOKEN}"@example.com', '"p"@example.com'),
        (f"rfc822;phaser360+2B{TOKEN}@example.com", "rfc822;phaser360@example.com"),
        (f"rfc822;phaser360+2B{TOKEN}+2Bduplex@example.com", "rfc822;phaser360+2Bduplex@example.com"),
        (f"phaser360+{TOKEN}x@example.com", f"phaser360+{TOKEN}x@example.com"),
        (f"{TOKEN}@example.com", f"{TOKEN}@example.com"),
        (f"phaser360+{TOKEN}", "phaser360"),
        ("phaser360+copies=2+duplex@example.com", "phaser360+copies=2+duplex@example.com"),
    ],
)
def test_a_token_is_never_shown(text: str, shown: str) -> None:
    assert without_token(text) == shown


@given(st.one_of(st.none(), copies), st.one_of(st.none(), st.sampled_from(sorted(words))), st.one_of(st.none(), tokens))
def test_order_and_case_mean_nothing(number: int | None, side: str | None, token: str | None) -> None:
    details = [word for word in (number and f"copies={number}", side, token) if word]
    meant = Subaddress(options=Ticket(copies=number or 0, sides=words[side] if side else None), token=token or "")
    for way in (details, details[::-1], [detail.upper() for detail in details]):
        address = "+".join(["phaser360", *way]) + "@example.com"
        assert read(split_subaddress(address)[1]) == meant
        shown = without_token(address)
        assert not token or token not in shown.lower()
        assert read(split_subaddress(shown)[1]) == Subaddress(options=meant.options)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_details_are_read_or_refused(details: list[str]) -> None:
    try:
        meant = read(tuple(details))
    except PermanentFailure as failure:
        assert failure.status == "5.1.3"  # noqa: PT017 - it may be refused, and then so
        return
    assert 0 <= meant.options.copies <= 999


@given(st.from_regex(r"[a-z]{1,5}(\+[a-z2-7=+]{0,30}){0,3}@example\.com", fullmatch=True))
def test_what_is_shown_has_no_token_and_is_an_address_still(address: str) -> None:
    assume(len(address.partition("@")[0]) <= 64)
    shown = without_token(address)
    assert without_token(shown) == shown
    parse_path(f"<{shown}>", null_allowed=False)
    before, after = split_subaddress(address)[1], split_subaddress(shown)[1]
    assert [detail for detail in before if len(detail) not in (TOKEN_LENGTH, TOKEN_LENGTH + 2)] == [
        detail for detail in after if len(detail) not in (TOKEN_LENGTH, TOKEN_LENGTH + 2)
    ]
    with contextlib.suppress(PermanentFailure):
        assert read(after).token == ""
