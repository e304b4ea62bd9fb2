"""The words of a job ticket: each one, the four places, what goes over what, and what a printer allows."""

from __future__ import annotations

import contextlib
import dataclasses
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore import ticket_words
from mailstore.address import split_subaddress
from mailstore.directory.records import Printer
from mailstore.failure import PermanentFailure
from mailstore.options import of_recipient
from mailstore.ticket import LAST_PAGE, NO_TICKET, NUMBER_UP, ColorMode, Orientation, Scaling, Sides, Ticket
from mailstore.ticket_words import (
    ALIASES,
    ATTRIBUTES,
    KNOWN,
    MAX_RANGES,
    MEDIA_SOURCES,
    READ_CHARACTERS,
    SHORT,
    SIZES,
    media,
    of_directive,
    of_field,
    of_subject,
    page_ranges,
    read,
    size,
    to_words,
)
from printerbridge.converters.contract import Media

A3, A4, LETTER = SIZES["a3"], SIZES["a4"], SIZES["letter"]
PRINTER = Printer(name="phaser", addresses=("phaser@example.com",), color=True)

WORDS = {
    "copies=1": Ticket(copies=1),
    "copies=999": Ticket(copies=999),
    "simplex": Ticket(sides=Sides.ONE_SIDED),
    "duplex": Ticket(sides=Sides.LONG_EDGE),
    "tumble": Ticket(sides=Sides.SHORT_EDGE),
    "sides=one-sided": Ticket(sides=Sides.ONE_SIDED),
    "sides=two-sided-long-edge": Ticket(sides=Sides.LONG_EDGE),
    "sides=two-sided-short-edge": Ticket(sides=Sides.SHORT_EDGE),
    "page-ranges=3": Ticket(page_ranges=((3, 3),)),
    "pages=1-3,7,9-": Ticket(page_ranges=((1, 3), (7, 7), (9, LAST_PAGE))),
    "pages=1-3.7.9-": Ticket(page_ranges=((1, 3), (7, 7), (9, LAST_PAGE))),
    "pages=1-3;7;9-": Ticket(page_ranges=((1, 3), (7, 7), (9, LAST_PAGE))),
    "pages=-5": Ticket(page_ranges=((1, 5),)),
    "pages=9,1-3,2-5,6": Ticket(page_ranges=((1, 6), (9, 9))),
    "media=a4": Ticket(media=A4),
    "a3": Ticket(media=A3),
    "letter": Ticket(media=LETTER),
    "tabloid": Ticket(media=SIZES["ledger"]),
    "media=iso_a4_210x297mm": Ticket(media=A4),
    "media=com10": Ticket(media="na_number-10_4.125x9.5in"),
    "media=jis-b5": Ticket(media="jis_b5_182x257mm"),
    "media=custom_slip_80x200mm": Ticket(media="custom_slip_80x200mm"),
    "media=om_small-photo_100x150mm": Ticket(media="om_small-photo_100x150mm"),
    "media-source=manual": Ticket(media_source="manual"),
    "media-source=tray-2": Ticket(media_source="tray-2"),
    "tray=2": Ticket(media_source="tray-2"),
    "tray=20": Ticket(media_source="tray-20"),
    "tray=large-capacity": Ticket(media_source="large-capacity"),
    "mono": Ticket(color=ColorMode.MONOCHROME),
    "monochrome": Ticket(color=ColorMode.MONOCHROME),
    "bw": Ticket(color=ColorMode.MONOCHROME),
    "color": Ticket(color=ColorMode.COLOR),
    "colour": Ticket(color=ColorMode.COLOR),
    "print-color-mode=auto": Ticket(color=ColorMode.AUTO),
    "print-color-mode=monochrome": Ticket(color=ColorMode.MONOCHROME),
    "number-up=4": Ticket(number_up=4),
    "number-up=1": Ticket(number_up=1),
    "nup=16": Ticket(number_up=16),
    "2up": Ticket(number_up=2),
    "fit": Ticket(scaling=Scaling.FIT),
    "noscale": Ticket(scaling=Scaling.NONE),
    "print-scaling=auto": Ticket(scaling=Scaling.AUTO),
    "print-scaling=fill": Ticket(scaling=Scaling.FILL),
    "print-scaling=none": Ticket(scaling=Scaling.NONE),
    "landscape": Ticket(orientation=Orientation.LANDSCAPE),
    "portrait": Ticket(orientation=Orientation.PORTRAIT),
    "orientation-requested=landscape": Ticket(orientation=Orientation.LANDSCAPE),
    "orientation-requested=3": Ticket(orientation=Orientation.PORTRAIT),
    "orientation-requested=4": Ticket(orientation=Orientation.LANDSCAPE),
}

NO_WORDS = [
    *("", " ", "=", "copies", "copies=", "copies=0", "copies=01", "copies=1000", "copies=2 ", "copies==2", "=2"),
    *("pages=", "pages=0", "pages=3-1", "pages=-", "pages=1-3-5", "pages=1,,2", "pages=100000", "pages=a", "pages=1 2"),
    *("media=", "media=a7", "media=a4_210x297mm", "media=iso_a4_200x297mm", "media=iso_a4_210x297in", "a2", "dl"),
    *("media=custom_x_0x0mm", "media=custom_x_5x5mm", "media=custom_x_9999x100mm", "media=custom_x_080x100mm"),
    *("media=custom_x_80.0x200mm", "media=custom__80x200mm", "media=custom_x\u0661_80x200mm", "media=x_y_80x200mm"),
    *("tray=", "tray=0", "tray=21", "tray=02", "tray=-2", "tray=\u0662", "media-source=upper", "tray=tray-"),
    *("3up", "1up", "nup=3", "number-up=0", "number-up=02", "print-color-mode=bw", "mono=1", "print-scaling=noscale"),
    *(
        "orientation-requested=5",
        "landscape=1",
        "duplex=duplex",
        "token",
        "dupl\u0435x",
        "\u212aopies=2",
        "auto",
        "none",
    ),
]


@pytest.mark.parametrize("word", WORDS)
def test_each_word(word: str) -> None:
    assert read([word]) == read([word.upper()]) == WORDS[word]


@pytest.mark.parametrize("word", NO_WORDS)
def test_what_is_no_word(word: str) -> None:
    with pytest.raises(PermanentFailure, match="is no word of a job ticket") as refused:
        read(["duplex", word])
    assert refused.value.status == "5.1.3"
    assert KNOWN in refused.value.text
    assert refused.value.text.isascii()


def test_all_that_stands_in_the_tables_is_read() -> None:
    for short, long in SHORT.items():
        assert read([short]) == read([long]) != NO_TICKET
    for short, name in SIZES.items():
        assert read([f"media={short}"]).media == name
    for source in MEDIA_SOURCES:
        assert read([f"media-source={source}"]).media_source == source
    for number in NUMBER_UP:
        assert read([f"nup={number}"]).number_up == number
    for alias, name in ALIASES.items():
        assert alias not in ATTRIBUTES
        assert name in ATTRIBUTES
    assert {field for field, _ in ATTRIBUTES.values()} == {field.name for field in dataclasses.fields(Ticket)}


def test_a_list_of_ranges_is_bounded() -> None:
    assert len(page_ranges(",".join(str(2 * number + 1) for number in range(MAX_RANGES)))) == MAX_RANGES
    assert page_ranges(",".join("1" for _ in range(MAX_RANGES + 1))) == ()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("copies=2 copies=2", "copies"),
        ("duplex simplex", "sides"),
        ("a4 media=letter", "media"),
        ("pages=1 page-ranges=2", "page-ranges"),
        ("tray=1 media-source=manual", "media-source"),
        ("bw color", "print-color-mode"),
        ("2up nup=4", "number-up"),
        ("fit noscale", "print-scaling"),
        ("portrait landscape", "orientation-requested"),
    ],
)
def test_nothing_is_said_twice(words: str, what: str) -> None:
    with pytest.raises(PermanentFailure, match=f"the ticket says {what} twice"):
        read(words.split())
    first = read(words.split()[:1])
    for ticket, notes in (of_field(words), of_directive(f"#print {words}"), of_subject(f"[{words}]")):
        assert ticket == first
        assert len(notes) == 1
        assert f"says {what} more than once; the first one counts" in notes[0]


# -- round trip

ranges = st.lists(st.integers(1, 300), min_size=1, max_size=12, unique=True).map(
    lambda pages: page_ranges(",".join(map(str, pages)))
)
sizes = st.one_of(
    st.sampled_from(sorted(SIZES.values())),
    st.builds(lambda width, height: f"custom_slip_{width}x{height}mm", st.integers(26, 2539), st.integers(26, 2539)),
)
tickets = st.builds(
    Ticket,
    copies=st.integers(0, 999),
    sides=st.none() | st.sampled_from(Sides),
    page_ranges=st.just(()) | ranges | st.just(((3, LAST_PAGE),)) | st.just(((LAST_PAGE, LAST_PAGE),)),
    media=st.just("") | sizes,
    media_source=st.just("") | st.sampled_from(MEDIA_SOURCES),
    color=st.none() | st.sampled_from(ColorMode),
    number_up=st.just(0) | st.sampled_from(NUMBER_UP),
    scaling=st.none() | st.sampled_from(Scaling),
    orientation=st.none() | st.sampled_from(Orientation),
)


@given(tickets)
def test_what_is_written_is_read(ticket: Ticket) -> None:
    words = to_words(ticket)
    assert read(words.split()) == read(words.upper().split()[::-1]) == ticket
    assert words.isascii()


@given(tickets)
def test_all_places_mean_the_same(ticket: Ticket) -> None:
    words = to_words(ticket)
    in_address = words.replace(",", ".").replace(" ", "+")
    assert of_recipient(f"phaser+{in_address}@example.com") == ticket
    if len(words) + 2 > READ_CHARACTERS:
        return
    assert of_subject(f"[{words}] Report") == (ticket, ())
    assert of_field(words) == of_field(words.replace(" ", "; ")) == of_field(words.replace(" ", ", ")) == (ticket, ())
    assert of_directive(f"#print {words}") == (ticket, ())


# -- strangers' texts


@given(st.text(max_size=60) | st.text("[]=,;. -019copiesdux\n\u00a0", max_size=120))
def test_any_text_is_read(text: str) -> None:
    for place in (of_subject, of_field, of_directive):
        ticket, notes = place(text)
        assert read(to_words(ticket).split()) == ticket
        assert all(note.isascii() and note.isprintable() and len(note) < 300 for note in notes)
    for word in text.split():
        with contextlib.suppress(PermanentFailure):
            read([word])


@pytest.mark.parametrize(
    "piece", [" ", "= ", "[", "[=", "[copies=", "1,", "1 , ", "1-", "[duplex]", ",;", "x ", "[duplex x ", "\u00a0"]
)
def test_long_texts_take_no_time(piece: str) -> None:
    text = piece * 200_000
    started = time.process_time()
    for place in (of_subject, of_field, of_directive):
        place(text)
        _, notes = place(f"#print {text}")
        assert sum(map(len, notes)) < 60_000
    with contextlib.suppress(PermanentFailure):
        read([f"pages={text}"])
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    ("subject", "ticket", "told"),
    [
        ("[copies=2 duplex] Report", Ticket(copies=2, sides=Sides.LONG_EDGE), ""),
        ("Fwd: [EXT] Report [Duplex] [Spam] [copies = 2,pages=1-3, 7]",
         Ticket(copies=2, sides=Sides.LONG_EDGE, page_ranges=((1, 3), (7, 7))), ""),
        ("[copies=2; duplex.]", Ticket(copies=2, sides=Sides.LONG_EDGE), ""),
        ("[\u00a0duplex\u00a0a4\u00a0]", Ticket(sides=Sides.LONG_EDGE, media=A4), ""),
        ("[EXT] [ticket #12] [Spam 5] [tray 2] [2up to date]  copies=2 duplex", NO_TICKET, "'to' and 'date'"),
        ("[Legal] terms [letter] [Fit] [LEDGER]", NO_TICKET, ""),
        ("[legal duplex]", Ticket(media=SIZES["legal"], sides=Sides.LONG_EDGE), ""),
        ("[media=legal]", Ticket(media=SIZES["legal"]), ""),
        ("[fit for purpose]", NO_TICKET, "'for' and 'purpose'"),
        ("[duplex copies=0] [a4]", Ticket(media=A4), "'copies=0'"),
        ("[copies=many thanks]", NO_TICKET, "'copies=many' and 'thanks'"),
        ("[duplex mfrggzdfmztwq2lknnwg23tpob]", NO_TICKET, "a long word"),
        ("[]", NO_TICKET, ""),
        ("[duplex", NO_TICKET, ""),
        ("[[duplex]]", Ticket(sides=Sides.LONG_EDGE), ""),
        (" " * READ_CHARACTERS + "[duplex]", NO_TICKET, ""),
    ],
)  # fmt: skip
def test_subjects(subject: str, ticket: Ticket, told: str) -> None:
    read_, notes = of_subject(subject)
    assert read_ == ticket
    assert len(notes) == bool(told)
    assert told in "".join(notes)
    assert "mfrg" not in "".join(notes)


@pytest.mark.parametrize(
    ("subject", "copies", "told"),
    [
        ("Re: [copies=5] Report", 0, 1),
        ("AW: Re: Report [copies=5]", 0, 1),
        ("RE[2] : [copies=5] Report", 0, 1),
        ("[EXT] [Team] re: [copies=5]", 0, 1),
        ("Re: Fwd: [copies=5]", 0, 1),
        ("Re: [copies=5] and [ticket #12]", 0, 1),
        ("[copies=5] Re: Report", 5, 0),
        ("[copies=5] Re: [copies=7] Report", 5, 1),
        ("Fwd: Report [copies=5]", 5, 0),
        ("WG: Re: Report [copies=5]", 5, 0),
        ("Report: [copies=5]", 5, 0),
        ("Re [copies=5]", 5, 0),
        ("[" * 400 + "copies=5] Re:", 5, 0),
    ],
)
def test_what_an_answer_repeats_does_not_count(subject: str, copies: int, told: int) -> None:
    ticket, notes = of_subject(subject)
    assert (ticket.copies, len(notes)) == (copies, told)


@pytest.mark.parametrize(
    ("line", "ticket", "told"),
    [
        ("#print copies=2 duplex", Ticket(copies=2, sides=Sides.LONG_EDGE), 0),
        ("#PRINT\tduplex", Ticket(sides=Sides.LONG_EDGE), 0),
        ("#print", NO_TICKET, 0),
        ("#print duplx copies=2", Ticket(copies=2), 1),
        ("#printer duplex", NO_TICKET, 0),
        ("# print duplex", NO_TICKET, 0),
        ("print duplex", NO_TICKET, 0),
        ("Dear #print duplex", NO_TICKET, 0),
    ],
)
def test_first_lines(line: str, ticket: Ticket, told: int) -> None:
    read_, notes = of_directive(line)
    assert (read_, len(notes)) == (ticket, told)


def test_a_sentence_names_few_words() -> None:
    ticket, (note,) = of_field("copies=3 " + " ".join(f"word{number}" for number in range(40)))
    assert ticket == Ticket(copies=3)
    assert "'word0' and 'word1'" in note
    assert note.count("word") == 5
    assert "and more" in note
    _, (note,) = of_field("copies=3 " + " ".join("\U00010000" * number for number in range(3, 17)))
    assert "a long word" in note
    assert len(note) < 300


# -- paper


@given(sizes | st.from_regex(r"(na|custom)_[a-z]{1,3}_[0-9]{1,4}(\.[0-9]{1,3})?x[0-9]{1,3}(mm|in)", fullmatch=True))
def test_a_size_that_may_be_asked_for_can_be_drawn(name: str) -> None:
    if media(name):
        drawn = Media.named(media(name))
        assert size(name) == pytest.approx((drawn.width, drawn.height), abs=0.01)


def test_names_in_the_table_are_names() -> None:
    assert all(media(name) == media(short) == name for short, name in SIZES.items())
    assert ticket_words.size(A4) == pytest.approx((595.28, 841.89), abs=0.01)


def test_an_address_says_it_in_a_local_part() -> None:
    assert split_subaddress("phaser360+pages=1-3.7+a3+mono@example.com")[1] == ("pages=1-3.7", "a3", "mono")
