"""What stands behind the + of an address: refused, or one meaning in any order and case; no token is ever shown."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from mailstore import ticket_words
from mailstore.address import split_subaddress
from mailstore.failure import PermanentFailure
from mailstore.options import TOKEN_LENGTH, TOKEN_LETTERS, of_recipient, read, without_token
from mailstore.ticket import MAX_COPIES

WORDS = (
    b"+",
    b"+copies=",
    b"+duplex",
    b"+tumble",
    b"+simplex",
    b"+sides=two-sided-",
    b"short-edge",
    b"+pages=",
    b"+page-ranges=1-3.7.9-",
    b"+media=",
    b"custom_x_80x200mm",
    b"+a3",
    b"+tray=",
    b"+print-color-mode=monochrome",
    b"+mono",
    b"+2up",
    b"+number-up=",
    b"+fit",
    b"+print-scaling=",
    b"+orientation-requested=",
    b"+2B",
    b"@",
    b'"',
)


def check(octets: bytes) -> None:
    address = octets.decode("utf-8", "surrogateescape")
    _, details = split_subaddress(address)
    shown = without_token(address)
    assert without_token(shown) == shown
    try:
        meant = read(details)
    except PermanentFailure as failure:
        assert failure.status == "5.1.3"
        assert failure.text.isascii()
        assert failure.text.isprintable()
        assert not any(detail in failure.text for detail in details if len(detail) >= TOKEN_LENGTH)
        return
    assert meant == read(tuple(reversed(details))) == read(tuple(detail.upper() for detail in details))
    assert 0 <= meant.options.copies <= MAX_COPIES
    assert of_recipient(address) == meant.options
    assert ticket_words.read(ticket_words.to_words(meant.options).split()) == meant.options
    if meant.token:
        assert len(meant.token) == TOKEN_LENGTH
        assert set(meant.token) <= set(TOKEN_LETTERS)
        assert read(split_subaddress(shown)[1]).token == ""
        assert of_recipient(shown) == meant.options
