"""Copies and sides, said in each language where a printer hears them."""

from __future__ import annotations

import itertools
import struct
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.ticket import Sides, Ticket
from printerbridge import convert, ticket
from printerbridge.pjl import UEL, Conversation
from printerbridge.spool import Ready
from printerbridge.ticket import Plan
from tests.documents import postscript
from tests.printshop import MEDIA

TWO = Ticket(sides=Sides.LONG_EDGE)
DSC = b"%!PS-Adobe-3.0\r\n%%Pages: 1\r\n%%EndComments\r\n"


def inside_pjl(language: str) -> bytes:
    return UEL + f'@PJL JOB NAME="x"\r\n@PJL ENTER LANGUAGE = {language}\r\n'.encode()


def dressed(document: bytes, plan: Plan, *pieces: int) -> bytes:
    """What goes out of a document that comes in pieces of these lengths."""
    cuts = [0, *itertools.accumulate(pieces), len(document)]
    kept = tuple(document[start:end] for start, end in itertools.pairwise(cuts))
    ready = Ready(octets=len(document) + len(plan.words), pages=0, kept=kept, at=plan.at, words=plan.words)
    octets = b"".join(ready.blocks())
    assert len(octets) == ready.octets
    return octets


def planned(asked: Ticket, language: Language, document: bytes, *, made: bool = False, pjl: bool = False) -> Plan:
    return ticket.plan(asked, language, document[:8192], made=made, pjl=pjl)


@pytest.mark.parametrize("language", [*Language, None])
@pytest.mark.parametrize("made", [True, False])
def test_nothing_asked_for_changes_nothing(language: Language | None, made: bool) -> None:
    assert ticket.plan(Ticket(), language, postscript()[:8192], made=made, pjl=True) == Plan()


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("sides", [None, *Sides])
@pytest.mark.parametrize("pjl", [True, False])
def test_copies_come_out_in_every_language(language: Language, made: bool, sides: Sides | None, pjl: bool) -> None:
    plan = planned(Ticket(copies=7, sides=sides), language, b"%!PS\nshowpage\n", made=made, pjl=pjl)
    assert plan.copies * plan.times == 7
    assert (plan.copies == 7) == (b"/NumCopies 7 " in plan.words) == (made and language in ticket.POSTSCRIPT)


@pytest.mark.parametrize("language", Language)
@pytest.mark.parametrize("made", [True, False])
@pytest.mark.parametrize("sides", Sides)
@pytest.mark.parametrize("pjl", [True, False])
def test_sides_are_asked_for_or_it_is_said_that_they_are_not(
    language: Language, made: bool, sides: Sides, pjl: bool
) -> None:
    plan = planned(Ticket(sides=sides), language, b"\x1bE", made=made, pjl=pjl)
    drawn = made and language in (Language.PCLXL, Language.PWG)
    assert [bool(plan.words), bool(plan.pjl), drawn, bool(plan.missing)].count(True) == 1
    assert (sides.value in plan.missing) == bool(plan.missing)
    if plan.missing:
        assert not pjl or language is Language.PWG
        assert language in (Language.PDF, Language.PCLXL, Language.PWG, Language.TEXT)


@pytest.mark.parametrize(
    ("document", "before"),
    [
        (DSC + b"showpage\r\n", DSC),
        (b"\x04%!PS\rshowpage\r", b"\x04%!PS\r"),
        (b"%! showpage", b"%!PS-Adobe-3.0\n"),
        (b"%!PS\n" + b"% x\n" * 3000 + b"showpage\n", b"%!PS\n" + b"% x\n" * 2046),
        (inside_pjl("POSTSCRIPT") + b"\x04%!PS\nshowpage\n", inside_pjl("POSTSCRIPT") + b"\x04%!PS\n"),
    ],
    ids=["dsc", "end of transmission", "one line", "no end of comments", "pjl of its own"],
)  # fmt: skip
def test_the_words_stand_where_postscript_begins(document: bytes, before: bytes) -> None:
    plan = planned(TWO, Language.POSTSCRIPT, document)
    octets = dressed(document, plan)
    assert octets.startswith(before + b"/setpagedevice where")
    assert octets.replace(plan.words, b"") == document


def test_the_words_stand_behind_the_reset_of_pcl() -> None:
    for head in (b"\x1bE", inside_pjl("PCL") + b"\x1bE"):
        document = head + b"\x1b&l0Ohello\x0c\x1bE"
        assert dressed(document, planned(TWO, Language.PCL, document)) == head + b"\x1b&l1S\x1b&l0Ohello\x0c\x1bE"
    document = b"\x1b&l0Ohello"
    short = Ticket(sides=Sides.SHORT_EDGE)
    assert dressed(document, planned(short, Language.PCL, document)) == b"\x1b&l2S" + document


@pytest.mark.parametrize("language", [Language.POSTSCRIPT, Language.PCL, Language.TEXT])
def test_a_document_whose_own_pjl_hides_its_beginning_is_left_alone(language: Language) -> None:
    document = UEL + b"@PJL COMMENT nothing\r\n\x1bEhello"
    plan = planned(TWO, language, document, pjl=True)
    assert (plan.words, plan.pjl) == (b"", ())
    assert "PJL of its own" in plan.missing


@given(
    st.binary(max_size=300),
    st.sampled_from(Language),
    st.sampled_from(Sides),
    st.integers(1, 99),
    st.booleans(),
    st.lists(st.integers(0, 40), max_size=4),
)
def test_no_octet_of_a_document_is_lost(
    head: bytes, language: Language, sides: Sides, copies: int, made: bool, pieces: list[int]
) -> None:
    document = head + bytes(200)
    asked = Ticket(copies=copies, sides=sides)
    octets = dressed(document, plan := planned(asked, language, document, made=made), *pieces)
    assert octets[: plan.at] + octets[plan.at + len(plan.words) :] == document
    assert octets[plan.at : plan.at + len(plan.words)] == plan.words


def test_sides_are_said_in_pjl_before_the_language() -> None:
    plan = planned(Ticket(sides=Sides.SHORT_EDGE), Language.PDF, b"%PDF-1.4\n", pjl=True)
    said = Conversation(b"%PDF-1.4\n", Language.PDF, "1-1 x", settings=plan.pjl).prologue
    assert said.endswith(
        b"@PJL SET DUPLEX = ON\r\n@PJL SET BINDING = SHORTEDGE\r\n@PJL ENTER LANGUAGE = PDF\r\n"
    )  # fmt: skip
    raster = planned(TWO, Language.PWG, b"RaS2PwgRaster\0", pjl=True)
    assert (raster.pjl, "PJL has no name for it" in raster.missing) == ((), True)
    own = Conversation(inside_pjl("PDF") + b"%PDF-1.4\n", Language.PDF, "1-1 x", settings=plan.pjl).prologue
    assert b"DUPLEX" not in own


# -- what interpreters make of it


def run(tmp_path: Path, program: bytes, *options: str) -> str:
    document = tmp_path / "document.ps"
    document.write_bytes(program)
    command = ["gs", "-q", "-dSAFER", "-dBATCH", "-dNOPAUSE", *options, str(document)]
    return subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout


TELL = b"""
(told: ) print currentpagedevice dup /NumCopies get ==only ( ) print
dup /Duplex known {dup /Duplex get ==only ( ) print dup /Tumble get ==only} if pop flush
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sides", "told"),
    [(Sides.ONE_SIDED, "false false"), (Sides.LONG_EDGE, "true false"), (Sides.SHORT_EDGE, "true true")],
)
def test_a_postscript_printer_understands(tmp_path: Path, sides: Sides, told: str) -> None:
    document = postscript(2) + TELL
    plan = planned(Ticket(copies=3, sides=sides), Language.POSTSCRIPT2, document, made=True)
    assert f"told: 3 {told}" in run(tmp_path, dressed(document, plan), "-sDEVICE=pxlmono", "-sOutputFile=/dev/null")


@pytest.mark.slow
@pytest.mark.parametrize(
    "before",
    [
        b"/where{pop false}def\n",
        b"/setpagedevice{/setpagedevice /configurationerror signalerror}def\n",
        b"/setpagedevice{pop (left on the stack) stop}def\n",
    ],
    ids=["level 1", "no such unit", "stops"],
)
def test_a_printer_that_cannot_prints_all_the_same(tmp_path: Path, before: bytes) -> None:
    document = b"%!PS\nshowpage (stack: ) print count ==only flush\n"
    plan = planned(Ticket(copies=3, sides=Sides.LONG_EDGE), Language.POSTSCRIPT2, document, made=True)
    program = b"%!PS\n" + before + plan.words + document
    assert "stack: 0" in run(tmp_path, program, "-sDEVICE=nullpage")


@pytest.mark.slow
@pytest.mark.parametrize("sides", [None, *Sides])
async def test_raster_and_pcl_xl_are_drawn_for_the_sides(tmp_path: Path, sides: Sides | None) -> None:
    source = tmp_path / "source.ps"
    source.write_bytes(postscript())
    made = {}
    for language in (Language.PWG, Language.PCLXL):
        converted = await convert.convert(
            source, DocumentFormat.POSTSCRIPT, [language], folder=tmp_path, media=MEDIA, sides=sides
        )
        made[language] = converted.path.read_bytes()
    duplex, tumble = sides in (Sides.LONG_EDGE, Sides.SHORT_EDGE), sides is Sides.SHORT_EDGE
    header = made[Language.PWG][4:]  # PWG 5102.4 table 2
    assert struct.unpack(">I", header[272:276]) == (duplex,)
    assert struct.unpack(">I", header[368:372]) == (tumble,)
    # PCL XL: DuplexPageMode is attribute 53, SimplexPageMode 52; the value before it, as ubyte (tag C0)
    first_page = made[Language.PCLXL].partition(b"\x43")[0]
    mode = b"\xc0%c\xf8\x35" % (0 if tumble else 1) if duplex else b"\xc0\x00\xf8\x34"
    assert mode in first_page or mode in made[Language.PCLXL][:400]


async def test_pages_of_postscript_are_counted_with_its_own_copies(tmp_path: Path) -> None:
    source = tmp_path / "source.ps"
    for program, pages in (
        (postscript(3), 3),
        (b"%!PS\n<</NumCopies 4>> setpagedevice showpage showpage\n", 8),
        (b"%!PS\n%%Pages: 70\n", 0),
        (b"%!PS\nshowpage undefined-word showpage\n", 0),
    ):
        source.write_bytes(program)
        assert await convert.count(source, folder=tmp_path) == pages
    assert list(tmp_path.iterdir()) == [source]  # noqa: ASYNC240


def test_a_ready_document_without_words_is_not_copied() -> None:
    ready = Ready(octets=3, pages=0, kept=(b"abc",))
    assert next(ready.blocks()) is ready.kept[0]
    assert b"".join(replace(ready, words=b"!", at=3, octets=4).blocks()) == b"abc!"
