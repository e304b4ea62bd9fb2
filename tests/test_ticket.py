"""Copies, sides, paper, tray and colour, said in each language where a printer hears them."""

from __future__ import annotations

import asyncio
import itertools
import re
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
from mailstore.ticket_words import MEDIA_SOURCES, media, read
from printerbridge import convert, paper, ticket
from printerbridge.pjl import UEL, Conversation, Said
from printerbridge.ready import Ready
from printerbridge.ticket import Plan
from printerbridge.virtual import VirtualPrinter
from printerbridge.virtual_pjl import Command, Document, JobStream
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
    said = Conversation(b"%PDF-1.4\n", Language.PDF, "1-1 x", said=Said(settings=plan.pjl)).prologue
    assert said.endswith(
        b"@PJL SET DUPLEX = ON\r\n@PJL SET BINDING = SHORTEDGE\r\n@PJL ENTER LANGUAGE = PDF\r\n"
    )  # fmt: skip
    raster = planned(TWO, Language.PWG, b"RaS2PwgRaster\0", pjl=True)
    assert (raster.pjl, "PJL has no name for it" in raster.missing) == ((), True)
    own = Conversation(inside_pjl("PDF") + b"%PDF-1.4\n", Language.PDF, "1-1 x", said=Said(settings=plan.pjl)).prologue
    assert b"DUPLEX" not in own


# -- paper, tray and colour

WORDS = ("duplex", "a3", "a5", "tray=2", "tray=manual", "tray=auto", "mono")
SAID = {  # by PostScript, PCL and PJL
    "duplex": (
        b"2 dict dup/Duplex true put dup/Tumble false put ",
        b"&l1S",
        ("SET DUPLEX = ON", "SET BINDING = LONGEDGE"),
    ),
    "a3": (b"2 dict dup/PageSize[842 1191]put ", b"&l27A", ("SET PAPER = A3",)),
    "a5": (b"2 dict dup/PageSize[420 595]put ", b"&l25A", ("SET PAPER = A5",)),
    "tray=2": (b"2 dict dup/MediaPosition 1 put ", b"&l1H", ("SET MEDIASOURCE = TRAY2",)),
    "tray=manual": (b"2 dict dup/ManualFeed true put ", b"&l2H", ("SET MANUALFEED = ON",)),
    "tray=auto": (
        b"2 dict dup/ManualFeed false put dup/MediaPosition null put ",
        b"&l7H",
        ("SET MANUALFEED = OFF", "SET MEDIASOURCE = AUTOSELECT"),
    ),
    "mono": (b"2 dict dup/ProcessColorModel/DeviceGray put ", b"&b1M", ("SET RENDERMODE = GRAYSCALE",)),
}


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("made", [True, False])
def test_each_wish_in_each_language(word: str, made: bool) -> None:
    wish = read([word])
    postscript_, pcl, pjl = SAID[word]
    for language in ticket.POSTSCRIPT:
        plan = planned(wish, language, b"%!PS\nshowpage\n", made=made)
        guarded = b"/setpagedevice where{pop mark{" + postscript_ + b"setpagedevice}stopped cleartomark}if\n"
        assert plan == Plan(at=5, words=guarded)
    assert planned(wish, Language.PCL, b"\x1bEx", made=made) == Plan(at=2, words=b"\x1b" + pcl)
    assert planned(wish, Language.PDF, b"%PDF-1.7\n", made=made, pjl=True) == Plan(pjl=pjl)
    assert planned(wish, Language.PCLXL, b") HP-PCL XL;", pjl=True) == Plan(pjl=pjl)
    for language in (Language.PCLXL, Language.PWG):
        assert planned(wish, language, b") HP-PCL XL;", made=True, pjl=True) == Plan()


def test_a_tray_with_a_number_is_asked_for_by_pjl_first() -> None:
    wish = read(["tray=2", "duplex"])
    for language, head in ((Language.PCL, b"\x1bE"), (Language.POSTSCRIPT, b"%!PS\n")):
        plan = planned(wish, language, head, pjl=True)
        assert plan.pjl == ("SET MEDIASOURCE = TRAY2",)
        assert plan.words == planned(read(["duplex"]), language, head).words
    plan = planned(wish, Language.POSTSCRIPT, inside_pjl("POSTSCRIPT") + b"%!PS\n", pjl=True)
    assert plan.pjl == ()
    assert b"/MediaPosition 1 " in plan.words


def test_all_wishes_stand_together() -> None:
    wish = read(["copies=3", "tumble", "a3", "tray=3", "mono"])
    assert planned(wish, Language.PCL, b"\x1bEx") == Plan(at=2, words=b"\x1b&l2S\x1b&l27A\x1b&l5H\x1b&b1M", times=3)
    plan = planned(wish, Language.POSTSCRIPT, b"%!PS\nshowpage\n", made=True)
    assert plan.words.count(b"setpagedevice}stopped cleartomark}if\n") == plan.words.count(b"\n") == 5
    plan = planned(wish, Language.PDF, b"%PDF-1.7\n", pjl=True)
    settings = [line.removeprefix("SET ") for line in plan.pjl]
    conversation = Conversation(b"%PDF-1.7\n", Language.PDF, "1-1 x", said=Said(settings=plan.pjl))
    heard = JobStream().feed(b"".join(conversation.dress([b"%PDF-1.7\n"])) + UEL)
    assert [one.rest for one in heard if isinstance(one, Command) and one.verb == "SET"] == settings
    assert [one.language for one in heard if isinstance(one, Document)] == ["PDF"]


WISHES = (
    *SAID,
    "letter",
    "media=custom_slip_80x200mm",
    "tray=main",
    "tray=envelope",
    "tray=tray-20",
    "color",
    "2up fit",
)


@pytest.mark.parametrize("wish", WISHES)
def test_everything_is_asked_for_or_it_is_said_that_it_is_not(wish: str) -> None:
    asked = read(wish.split())
    shown = asked.sides or asked.media or asked.media_source or asked.color
    for language, made, pjl in itertools.product((*Language, None), (True, False), (True, False)):
        plan = ticket.plan(asked, language, b"\x1bE", made=made, pjl=pjl)
        said = bool(plan.words) + bool(plan.pjl) + bool(plan.missing)
        drawn = language in (Language.PCLXL, Language.PWG) or bool(asked.media or asked.color or asked.rearranges)
        assert said <= 1
        assert said == 1 or (made and drawn) or wish == "color"
        assert not plan.missing or asked.rearranges or plan.missing.startswith(f"{shown} could not be asked for: ")
        assert plan.missing.isascii()


def test_what_is_missing_is_one_sentence() -> None:
    plan = planned(read(["tumble", "a3", "tray=2", "pages=1-3"]), Language.TEXT, b"hello\n")
    assert plan.missing == (
        "two-sided-short-edge and iso_a3_297x420mm and tray-2 could not be asked for: text has no word for it, and "
        "the printer's entry does not say that it speaks PJL; "
        "the document goes as it came, so its pages could not be chosen, arranged or scaled"
    )
    custom = planned(read(["media=custom_slip_80x200mm"]), Language.PDF, b"%PDF-1.7\n", pjl=True)
    assert "PJL has no name for it" in custom.missing


def test_every_paper_and_tray_of_the_tables_can_be_asked_for() -> None:
    assert set(paper.PWG_SOURCES) == set(paper.PCLXL_SOURCES) == set(MEDIA_SOURCES)
    for sources in (paper.PCL_SOURCES, paper.PJL_SOURCES, paper.POSTSCRIPT_SOURCES):
        assert set(sources) <= set(MEDIA_SOURCES)
    for name in {*paper.PCL_PAPER, *paper.PJL_PAPER}:
        assert media(name) == name
    for name, number in paper.PCL_PAPER.items():
        words = planned(Ticket(media=name), Language.PCL, b"").words
        assert re.fullmatch(rb"\x1b&l([1-9][0-9]*)A", words, re.DOTALL)
        assert words == b"\x1b&l%dA" % number


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


EVERYTHING = read(["copies=3", "tumble", "a3", "tray=3", "mono"])
DEVICE_SAYS = b"""
currentpagedevice begin
[/NumCopies/Duplex/Tumble/PageSize/MediaPosition/ManualFeed/ProcessColorModel]
{dup currentdict exch known{dup ==only(=)print load ==only( )print}{pop}ifelse}forall end (stack: ) print count == flush
"""


@pytest.mark.slow
@pytest.mark.parametrize("level", [1, 2, 3])
@pytest.mark.parametrize("device", ["pxlmono", "nullpage", "pdfwrite"])
def test_every_wish_runs_on_every_level_of_postscript(tmp_path: Path, level: int, device: str) -> None:
    """Level 1 has no setpagedevice, and none of our words may keep what follows them from being run."""
    document = b"%!PS\n(here) print\n"
    wishes = [read([word]) for word in ("copies=2", *SAID)] + [EVERYTHING]
    program = b"".join(planned(wish, Language.POSTSCRIPT2, document, made=True).words for wish in wishes)
    (tmp_path / "document.ps").write_bytes(document[:5] + program + document[5:])
    tell = f"3 .setlanguagelevel {DEVICE_SAYS.decode()}"
    command = ["gs", "-q", "-dNOSAFER", "-dDELAYBIND", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={device}", "-o", "/dev/null"]
    command += ["-c", f"{level} .setlanguagelevel", "-f", str(tmp_path / "document.ps"), "-c", tell]
    told = subprocess.run(command, check=True, timeout=60, capture_output=True, text=True).stdout
    assert "here" in told
    assert "stack: 0" in told
    if level == 1:
        assert "/NumCopies=3" not in told
        return
    assert "/NumCopies=3 " in told
    assert "/PageSize=[842 1191] " in told
    assert "/MediaPosition=2 " in told
    if device == "pxlmono":
        assert "/Duplex=true /Tumble=true " in told
        assert "/ManualFeed=false " in told
    if device == "pdfwrite":
        assert "/ProcessColorModel=/DeviceGray " in told


@pytest.mark.slow
@pytest.mark.parametrize("tray", ["manual", "tray-2", "tray-20"])
async def test_raster_and_pcl_xl_are_drawn_for_the_tray(tmp_path: Path, tray: str) -> None:
    source = tmp_path / "source.ps"
    source.write_bytes(postscript())
    made = {}
    for language in (Language.PWG, Language.PCLXL):
        converted = await convert.convert(
            source,
            DocumentFormat.POSTSCRIPT,
            [language],
            folder=tmp_path,
            media=MEDIA,
            ticket=Ticket(media_source=tray),
        )
        made[language] = converted.path.read_bytes()
    position = paper.PWG_SOURCES[tray]
    assert struct.unpack(">I", made[Language.PWG][4:][324:328]) == (position,)  # PWG 5102.4 table 2
    # PCL XL: MediaSource is attribute 38; the value before it, as ubyte (tag C0)
    assert b"\xc0%c\xf8\x26" % paper.PCLXL_SOURCES[tray] in made[Language.PCLXL][:400]


@pytest.mark.slow
async def test_a_postscript_printer_prints_with_every_wish(tmp_path: Path) -> None:
    document = postscript(2)
    octets = dressed(document, planned(EVERYTHING, Language.POSTSCRIPT, document, made=True))
    printer = VirtualPrinter(tmp_path / "paper")
    host, port = await printer.start()
    try:
        _, writer = await asyncio.open_connection(host, port)
        writer.write(octets)
        writer.close()
        printed = await printer.job(1)
    finally:
        await printer.close()
    assert printed.pages == 6


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
            source, DocumentFormat.POSTSCRIPT, [language], folder=tmp_path, media=MEDIA, ticket=Ticket(sides=sides)
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
