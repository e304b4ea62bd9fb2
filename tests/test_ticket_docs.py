"""The page on the job ticket names every word that there is, and none that there is not."""

from __future__ import annotations

import itertools
import re

import pytest

from mailstore.directory.records import Language
from mailstore.failure import PermanentFailure
from mailstore.options import of_recipient
from mailstore.ticket import MAX_COPIES, NO_TICKET, ColorMode, Orientation, Scaling, Sides, Ticket
from mailstore.ticket_words import (
    ALIASES,
    ATTRIBUTES,
    MEDIA_SOURCES,
    SHORT,
    SIZES,
    of_directive,
    of_field,
    of_subject,
    read,
)
from tests.test_docs import ROOT, in_code

PAGE = (ROOT / "docs/ticket.md").read_text(encoding="utf-8")
ADDRESSES = (ROOT / "docs/addresses.md").read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    found = re.search(rf"^##+ {title}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(text: str) -> list[list[str]]:
    """The cells of the tables, without their heads."""
    return [line.split("|") for line in re.findall(r"^\|(?!---)(.*)\|$", text, re.MULTILINE)]


WORDS = in_code("\n".join(cell for row in rows(section(PAGE, "The words"))[1:] for cell in row[:2]))


@pytest.mark.parametrize("word", WORDS)
def test_every_word_of_the_table_is_one(word: str) -> None:
    if word == "media=":  # with a name of paper
        word += "a4"
    assert read([word]) != NO_TICKET


def test_every_word_there_is_stands_in_the_table() -> None:
    assert set(SHORT) <= set(WORDS)
    named = {word.partition("=")[0] for word in WORDS if "=" in word}
    assert named == set(ATTRIBUTES) | set(ALIASES)
    for name, keywords in (
        ("sides", Sides),
        ("print-color-mode", ColorMode),
        ("print-scaling", Scaling),
        ("orientation-requested", Orientation),
    ):
        assert {f"{name}={keyword.value}" for keyword in keywords} <= set(WORDS)
    assert f"1 to {MAX_COPIES}" in PAGE


def test_what_stands_in_one_row_is_the_same() -> None:
    for row in rows(section(PAGE, "The words"))[1:]:
        short, long = in_code(row[0]), [word for word in in_code(row[1]) if word != "media="]
        if short and long and not short[0].endswith("16up"):
            alike = [word for word in (*short, *long) if not word.endswith("up")] or [short[0], *long]
            assert len({read([word]) for word in alike}) == 1, row


def test_every_name_of_paper_is_told() -> None:
    told = {}
    for row in rows(section(PAGE, "Paper"))[1:]:
        (name,) = in_code(row[1])
        told.update(dict.fromkeys(in_code(row[0]), name))
    assert told == SIZES


def test_every_tray_is_told() -> None:
    told = set(in_code(section(PAGE, "Trays")))
    assert {source for source in MEDIA_SOURCES if not source.startswith("tray-")} | {"tray-1", "tray-20"} <= told
    for word in told & {"tray=1", "tray=20"}:
        assert read([word]).media_source in MEDIA_SOURCES


def test_the_examples_of_places_mean_the_same() -> None:
    meant = Ticket(copies=2, sides=Sides.LONG_EDGE)
    address, subject, line, field = (in_code(row[1])[0] for row in rows(section(PAGE, "Four places"))[1:])
    assert of_recipient(address) == meant
    assert of_subject(subject) == (meant, ())
    assert of_directive(line) == (meant, ())
    assert of_field(field.removeprefix("Printpost-Options: ")) == (meant, ())


def test_brackets_mean_what_the_page_says() -> None:
    brackets = [code for code in in_code(section(PAGE, "Four places")) if code.startswith("[") and code.endswith("]")]
    assert len(brackets) >= 8
    for bracket in brackets:
        assert (of_subject(bracket)[0] != NO_TICKET) == (bracket == "[media=legal]")


def test_addresses_of_the_pages_are_good() -> None:
    found = [code for code in itertools.chain(in_code(PAGE), in_code(ADDRESSES)) if re.match(r"\w+\+.*@", code)]
    assert len(found) >= 3
    for address in found:
        if not re.search(r"\+[a-z2-7]{26}@", address):
            assert of_recipient(address) != NO_TICKET, address


def test_the_tickets_of_commands_are_good() -> None:
    tickets = re.findall(r'--ticket "([^"]*)"', PAGE)
    assert tickets
    for ticket in tickets:
        assert read(ticket.split()) != NO_TICKET


def test_options_of_an_address_are_words() -> None:
    for row in rows(section(ADDRESSES, "Options"))[1:]:
        for word in in_code(" ".join(row)):
            try:
                read([word])
            except PermanentFailure as failure:
                pytest.fail(failure.text)


def test_every_language_has_its_column() -> None:
    head = rows(section(PAGE, "How a printer is told"))[0]
    assert len(head[1:]) == len(Language) - 1  # two levels of PostScript are told alike
