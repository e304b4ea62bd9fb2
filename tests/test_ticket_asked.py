"""What a mail asks for, put together, and what of it one printer does."""

from __future__ import annotations

import dataclasses

import pytest

from mailstore.directory.records import Printer, Raw
from mailstore.ticket import NO_TICKET, Sides, Ticket
from mailstore.ticket_words import SIZES, asked, capped, read

A3, A4, LETTER = SIZES["a3"], SIZES["a4"], SIZES["letter"]
PRINTER = Printer(name="phaser", addresses=("phaser@example.com",), color=True)


def test_what_goes_over_what() -> None:
    printer = dataclasses.replace(PRINTER, ticket=read(["copies=5", "simplex", "a3", "2up", "tray=1"]))
    ticket, notes = asked(
        printer,
        Raw.INSIDER,
        address=Ticket(copies=1),
        subject="[copies=2 duplex]",
        directive="#print copies=3 tumble letter",
        field="copies=4 tumble a4 4up nonsense",
    )
    assert ticket == Ticket(
        copies=1, sides=Sides.LONG_EDGE, media=LETTER, number_up=4, media_source="tray-1"
    )  # fmt: skip
    assert len(notes) == 1
    assert "'nonsense'" in notes[0]
    assert asked(printer, Raw.STRANGER) == (printer.ticket, ())
    assert asked(PRINTER, Raw.STRANGER) == (NO_TICKET, ())


@pytest.mark.parametrize(
    ("words", "printer", "left", "told"),
    [
        ("copies=5", {"max_copies": 3}, "copies=3", "makes at most 3"),
        ("copies=3", {"max_copies": 3}, "copies=3", ""),
        ("duplex", {"max_copies": 3}, "duplex", ""),
        ("copies=999", {"max_copies": 0}, "copies=999", ""),
        ("a3", {"media": (A4, LETTER)}, "", f"{A3} was asked for"),
        ("letter", {"media": (A4, LETTER)}, "letter", ""),
        ("a3", {"media": ()}, "a3", ""),
        ("media=custom_slip_80x200mm", {"media": ("custom_slip_80x200mm",)}, "media=custom_slip_80x200mm", ""),
        ("tray=manual", {}, "tray=manual", ""),
        ("color", {"color": False}, "", "colour was asked for"),
        ("color", {"color": True}, "color", ""),
        ("mono", {"color": False}, "mono", ""),
    ],
)
def test_what_a_printer_allows(words: str, printer: dict[str, object], left: str, told: str) -> None:
    made = dataclasses.replace(PRINTER, **printer)  # type: ignore[arg-type]
    ticket, notes = capped(read(words.split()), made, Raw.INSIDER)
    assert ticket == read(left.split())
    assert (len(notes), told in "".join(notes)) == (bool(told), True)
    assert asked(made, Raw.INSIDER, field=words) == (ticket, notes)
    own = dataclasses.replace(made, ticket=read(words.split()))
    assert asked(own, Raw.STRANGER) == asked(own, Raw.INSIDER) == (ticket, notes)


def test_paper_of_ones_own_size_is_for_printers_that_have_it() -> None:
    asked_for = Ticket(media="custom_slip_80x200mm")
    left, (note,) = capped(asked_for, PRINTER, Raw.INSIDER)
    assert left == NO_TICKET
    assert "this printer's entry does not name (--media)" in note
    own = dataclasses.replace(PRINTER, ticket=asked_for)
    assert asked(own, Raw.STRANGER) == (asked_for, ())


@pytest.mark.parametrize(
    ("words", "printer", "left"),
    [
        ("a3", {}, ""),
        ("a4", {"media": (A4,)}, "a4"),
        ("a3", {"media": (A4,)}, ""),
        ("a3", {"ticket": Ticket(media=A3)}, "a3"),
        ("media=custom_wide_2000x2000mm", {}, ""),
        ("tray=manual", {}, ""),
        ("tray=envelope", {}, ""),
        ("tray=manual", {"ticket": Ticket(media_source="manual")}, "tray=manual"),
        ("tray=2", {}, "tray=2"),
    ],
)
@pytest.mark.parametrize("trust", [Raw.VERIFIED, Raw.STRANGER, ""])
def test_nobody_from_outside_makes_a_printer_wait(
    words: str, printer: dict[str, object], left: str, trust: str
) -> None:
    made = dataclasses.replace(PRINTER, **printer)  # type: ignore[arg-type]
    ticket, notes = asked(made, trust, address=read([words]))
    assert ticket == read(left.split()).over(made.ticket)
    assert len(notes) == (not left)
