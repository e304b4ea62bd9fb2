"""PJL around a job: what is said, and what is understood however it is cut."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.directory.records import Language
from mailstore.job import DeliveryProof
from printerbridge import virtual_pjl
from printerbridge.pjl import UEL, Conversation, Said, display_name, job_name
from printerbridge.pjl_messages import (
    LINE_OCTETS,
    Answer,
    BackChannel,
    DeviceStatus,
    Echo,
    JobEnd,
    JobStart,
    Message,
    PagesOut,
)
from printerbridge.virtual_device import Device
from printerbridge.virtual_panel import Panel
from printerbridge.virtual_personality import personality

DEVICE = b'@PJL USTATUS DEVICE\r\nCODE=41213\r\nDISPLAY="LOAD PAPER"\r\nONLINE=FALSE\r\n\x0c'
READY = b'@PJL INFO STATUS\r\nCODE=10001\r\nDISPLAY="READY"\r\nONLINE=TRUE\r\n\x0c'
END = b'@PJL USTATUS JOB\r\nEND\r\nNAME="17-1 a job"\r\nPAGES=3\r\nRESULT=OK\r\n\x0c'
EMPTY = DeviceStatus(code=41213, display="LOAD PAPER", online=False)
WELL = Answer(status=DeviceStatus(code=10001, display="READY", online=True))
ENDED = JobEnd(name="17-1 a job", result="OK", pages=3)
PAGE = b"%!\nshowpage\n"


def heard(*pieces: bytes) -> list[Message]:
    channel = BackChannel()
    return [message for piece in pieces for message in channel.feed(piece)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (DEVICE, [EMPTY]),
        (READY + DEVICE + END, [WELL, EMPTY, ENDED]),
        (DEVICE.replace(b"\r\n", b"\n"), [EMPTY]),
        (DEVICE.replace(b"\x0c", b"") + READY, [EMPTY, WELL]),  # a printer that forgets the form feed
        (b"%%[ Error: undefined ]%%\r\n" + DEVICE, [EMPTY]),
        (b"\x04\x00garbage\x0c" + END, [ENDED]),
        (b"@PJL USTATUS DEVICE\r\nCODE=35078\r\n\x0c", [DeviceStatus(code=35078, display="")]),
        (b"@PJL USTATUS JOB\r\nEND\r\nPAGES=2\r\n\x0c", [JobEnd(name="", result="", pages=2)]),
        (b'@PJL USTATUS JOB\r\nCANCELED\r\nNAME="x"\r\n\x0c', [JobEnd(name="x", result="USER_CANCELED", pages=None)]),
        (b'@PJL USTATUS JOB\r\nSTART\r\nNAME="x"\r\n\x0c', [JobStart(name="x")]),
        (b"@PJL USTATUS PAGE\r\n4\r\n\x0c", [PagesOut(pages=4)]),
        (b"@PJL USTATUS PAGE\r\nPAGES=12\r\n\x0c", [PagesOut(pages=12)]),
        (b"@PJL USTATUS PAGE\r\nmany\r\n\x0c", []),
        (b"@PJL ECHO printpost 17 end\r\n\x0c", [Echo(words="printpost 17 end")]),
        (b"@PJL INFO ID\r\n\"LASERJET\"\r\n\x0c", []),
        (b"@PJL USTATUS DEVICE\r\nCODE=forty\r\n\x0c", []),
        (b"@PJL USTATUS DEVICE\r\nCODE=" + b"9" * 5000 + b"\r\n\x0c", []),
        (b"@PJL USTATUS DEVICE\r\n" + b"FILL=1\r\n" * 500 + b"CODE=41000\r\n\x0c", []),
        (b'@PJL USTATUS DEVICE\r\nCODE=1\r\nDISPLAY=" \x1bA   B "\r\n\x0c', [DeviceStatus(code=1, display="A B")]),
    ],
)  # fmt: skip
def test_messages_are_found(said: bytes, expected: Sequence[Message]) -> None:
    assert heard(said) == expected
    assert heard(*(said[index : index + 1] for index in range(len(said)))) == expected


PIECES = st.one_of(
    st.sampled_from([DEVICE, READY, END, b"@PJL USTATUS DEVICE\r\n", b"CODE=1\r\n", b"\x0c", b"\r\n", UEL, b"@PJL"]),
    st.binary(max_size=300),
)


@given(parts=st.lists(PIECES, max_size=12), data=st.data())
def test_pieces_make_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    said = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(said)), max_size=8)))
    whole = heard(said)
    assert heard(*(said[a:b] for a, b in zip([0, *cuts], [*cuts, len(said)], strict=True))) == whole
    assert heard(*(said[index : index + 1] for index in range(len(said)))) == whole


@given(st.lists(st.one_of(st.binary(max_size=2000), st.just(b"@PJL X\n"), st.just(b"A=1\n")), max_size=40))
def test_what_is_kept_is_bounded(pieces: list[bytes]) -> None:
    channel = BackChannel()
    for piece in pieces:
        channel.feed(piece)
        assert len(channel._line) <= LINE_OCTETS
        assert len(channel._lines) <= 16


@given(st.lists(st.sampled_from(["INFO STATUS", "USTATUS DEVICE=ON", "USTATUS JOB=ON", 'JOB NAME="x y"', "EOJ"])))
def test_all_that_the_virtual_printer_says_is_understood(lines: list[str]) -> None:
    panel = Panel(Device(), personality("plain"))
    said = b""
    for line in lines:
        verb, _, rest = line.partition(" ")
        said += panel.answer(virtual_pjl.Command(verb=verb, rest=rest)) + panel.show(virtual_pjl.LOAD_PAPER)
    assert len(heard(said)) == said.count(b"CODE=") + said.count(b"\nEND") + said.count(b"\nSTART")


@pytest.mark.parametrize(
    ("code", "display", "online", "reason"),
    [
        (10001, "READY", True, ""),
        (10001, "READY", None, ""),
        (10002, "OFFLINE", False, "offline"),
        (10003, "WARMING UP", False, ""),
        (10006, "TONER LOW", True, ""),
        (10023, "PRINTING", True, ""),
        (11304, "TRAY 3 EMPTY", True, ""),  # another tray serves
        (11304, "TRAY 3 EMPTY", False, "media-empty"),
        (12201, "TRAY 2 OPEN", True, ""),
        (15101, "BIN FULL", False, "output-area-full"),
        (20001, "SYNTAX", True, ""),
        (30016, "MEM OVERFLOW", True, ""),
        (30016, "MEM OVERFLOW", False, "other"),
        (35078, "POWERSAVE", True, ""),
        (40000, "SLEEP", False, ""),
        (40010, "NO CARTRIDGE", False, "marker-supply-empty"),
        (40021, "PRINTER OPEN", False, "door-open"),
        (40022, "PAPER JAM", False, "media-jam"),
        (40038, "TONER LOW", True, ""),
        (40038, "TONER LOW", False, "marker-supply-low"),
        (40079, "OFFLINE", False, "offline"),
        (40199, "Close rear cover", False, "door-open"),
        (40200, "UPPER BIN IS FULL", False, "output-area-full"),
        (40201, "REPLACE TONER", None, "marker-supply-empty"),
        (41213, "LOAD PAPER", False, "media-empty"),
        (41213, "", None, "media-empty"),
        (42202, "13.2 JAM", False, "media-jam"),
        (44010, "", False, "media-jam"),
        (50599, "SERVICE ERROR", False, "other"),
    ],
)
def test_what_a_status_means(code: int, display: str, online: bool | None, reason: str) -> None:
    assert DeviceStatus(code=code, display=display, online=online).reason == reason


def sections(job: bytes) -> list[virtual_pjl.Command | virtual_pjl.Document]:
    stream = virtual_pjl.JobStream()
    return [*stream.feed(job), *stream.end()]


@pytest.mark.parametrize(
    ("language", "entered"),
    [
        (Language.POSTSCRIPT, "POSTSCRIPT"),
        (Language.POSTSCRIPT2, "POSTSCRIPT"),
        (Language.PDF, "PDF"),
        (Language.PCL, "PCL"),
        (Language.PCLXL, "PCLXL"),
        (Language.TEXT, "PCL"),
    ],
)
@pytest.mark.parametrize("body", [PAGE, b"@PJL FSDELETE NAME=x\r\n", b"\x1bE\x1b&l0O", b"\x04%!\n"])
def test_a_document_is_dressed(language: Language, entered: str, body: bytes) -> None:
    name = job_name(17, 1, "a job")
    job = b"".join(Conversation(body, language, name).dress([body]))
    *head, document, tail = sections(job)
    assert [f"{one.verb} {one.rest}" for one in head if isinstance(one, virtual_pjl.Command)] == [
        "USTATUS DEVICE = ON",
        "INFO STATUS",
        "USTATUS JOB = ON",
        "USTATUS PAGE = ON",
        'JOB NAME = "17-1 a job"',
    ]
    assert isinstance(document, virtual_pjl.Document)
    assert (document.language, job[document.start : document.end]) == (entered, body)
    assert tail == virtual_pjl.Command(verb="EOJ", rest='NAME = "17-1 a job"')


@given(blocks=st.lists(st.binary(min_size=1, max_size=50), max_size=6))
def test_dressing_changes_nothing_inside(blocks: list[bytes]) -> None:
    conversation = Conversation(b"".join(blocks), Language.PCL, "1-1")
    dressed = list(conversation.dress(blocks))
    assert len(dressed) == max(1, len(blocks))
    whole = b"".join(dressed)
    assert whole.startswith(conversation.prologue)
    assert whole.endswith(conversation.epilogue)
    assert whole == conversation.prologue + b"".join(blocks) + conversation.epilogue


def test_a_document_with_pjl_of_its_own_is_not_dressed_twice() -> None:
    """As Ghostscript's pxlmono writes it."""
    body = UEL + b"@PJL SET RENDERMODE=GRAYSCALE\n@PJL ENTER LANGUAGE = PCLXL\n) HP-PCL XL;2;0\n" + UEL
    conversation = Conversation(body, Language.PCLXL, "17-1 a job")
    found = sections(b"".join(conversation.dress([body])))
    verbs = [one.verb for one in found if isinstance(one, virtual_pjl.Command)]
    assert verbs == ["USTATUS", "INFO", "USTATUS", "USTATUS", "JOB", "SET", "EOJ"]
    assert [one.language for one in found if isinstance(one, virtual_pjl.Document)] == ["PCLXL"]
    assert conversation.awaited


def test_a_document_that_names_its_own_job_keeps_it() -> None:
    body = UEL + b'@PJL JOB NAME="theirs"\r\n@PJL ENTER LANGUAGE=PCL\r\nx' + UEL + b"@PJL EOJ\r\n" + UEL
    conversation = Conversation(body, Language.PCL, "17-1 a job")
    whole = b"".join(conversation.dress([body]))
    assert whole.endswith(body)
    assert whole.count(b"JOB NAME") == 1
    assert whole.startswith(UEL + b"@PJL USTATUS DEVICE = ON\r\n")
    assert not conversation.awaited
    assert conversation.farewell == b""


def test_what_pjl_has_no_word_for_goes_bare() -> None:
    for language in (Language.PWG, None):
        conversation = Conversation(b"RaS2PwgRaster\0", language, "17-1 a job")
        assert list(conversation.dress([b"ab", b"cd"])) == [b"ab", b"cd"]
        assert not conversation.awaited
        assert conversation.breaking_off == b""


@given(st.text())
def test_a_jobs_name_is_harmless(name: str) -> None:
    given_name = job_name(123456, 1, name)
    assert len(given_name) <= 32
    assert given_name.startswith("123456-1")
    assert not set(given_name) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 ._-")


def test_an_end_counts_behind_the_whole_document_and_under_our_name() -> None:
    conversation = Conversation(PAGE, Language.POSTSCRIPT, "17-1 a job")
    assert not conversation.hear(END, whole=False)  # the document itself may have said so
    assert not conversation.hear(END.replace(b"17-1", b"16-1"), whole=True)
    before = conversation.awaited
    assert conversation.hear(END, whole=True)
    assert (before, conversation.awaited, conversation.end) == (True, False, ENDED)


def test_a_job_canceled_at_the_printer_ends_at_once() -> None:
    conversation = Conversation(PAGE, Language.POSTSCRIPT, "17-1 a job")
    assert conversation.hear(END.replace(b"=OK", b"=USER_CANCELED"), whole=False)
    assert conversation.end is not None
    assert conversation.end.result == "USER_CANCELED"


def test_a_fault_counts_until_the_job_has_ended() -> None:
    conversation = Conversation(PAGE, Language.POSTSCRIPT, "17-1 a job")
    conversation.hear(DEVICE, whole=True)  # the last sheet of the tray, or a forgery by the document
    before = conversation.stands
    conversation.hear(END, whole=True)
    assert (before, conversation.stands) == ("media-empty", "")


def test_news_are_told_once() -> None:
    told: list[str] = []
    conversation = Conversation(PAGE, Language.POSTSCRIPT, "17-1", lambda: told.append(conversation.stands))
    for said in (READY, READY, DEVICE, DEVICE, READY):
        conversation.hear(said, whole=False)
    assert told == ["", "media-empty", ""]
    assert str(conversation.status) == "the printer says: READY"


# -- with a word of ours

WORD = Said(cookie="ours 1")
BEGIN = b"@PJL ECHO ours 1 begin\r\n\x0c"
BEHIND = b"@PJL ECHO ours 1 end\r\n\x0c"
START = b'@PJL USTATUS JOB\r\nSTART\r\nNAME="17-1 a job"\r\n\x0c'


def page(number: int) -> bytes:
    return b"@PJL USTATUS PAGE\r\n%d\r\n\x0c" % number


def conversing(said: Said = WORD, *, ends: bool = True) -> Conversation:
    return Conversation(PAGE, Language.POSTSCRIPT, "17-1 a job", said=said, ends=ends)


def test_what_is_said_around_a_document_with_a_word_of_ours() -> None:
    said = Said(cookie="ours 1", display="ada@example.com", settings=["SET DUPLEX = ON"], start=4)
    whole = b"".join(conversing(said).dress([PAGE]))
    assert whole == (
        UEL + b"@PJL ECHO ours 1 begin\r\n@PJL USTATUS DEVICE = ON\r\n@PJL INFO STATUS\r\n@PJL USTATUS JOB = ON\r\n"
        b'@PJL USTATUS PAGE = ON\r\n@PJL JOB NAME = "17-1 a job" START = 4 DISPLAY = "ada@example.com"\r\n'
        b"@PJL SET DUPLEX = ON\r\n@PJL ENTER LANGUAGE = POSTSCRIPT\r\n" + PAGE + UEL +
        b'@PJL EOJ NAME = "17-1 a job"\r\n@PJL ECHO ours 1 end\r\n'
    )  # fmt: skip


@given(st.text())
def test_who_sent_it_brings_no_command(sender: str) -> None:
    shown = display_name(sender)
    assert len(shown) <= 32
    assert not set(shown) & set('"\r\n\x1b=')


def test_what_was_said_to_others_before_is_not_heard() -> None:
    conversation = conversing()
    conversation.hear(DEVICE + START + page(1) + END, whole=True)
    assert (conversation.stands, conversation.out, conversation.end) == ("", 0, None)
    conversation.hear(BEGIN + START + page(1) + DEVICE, whole=True)
    assert (conversation.stands, conversation.out) == ("media-empty", 1)


def test_one_that_does_not_know_echo_is_heard_from_its_first_answer_on() -> None:
    conversation = conversing()
    conversation.hear(READY + END, whole=True)
    assert conversation.proof is DeliveryProof.JOB_END


def test_an_echo_from_behind_the_document_proves_that_it_was_read() -> None:
    conversation = conversing()
    conversation.hear(BEGIN + BEHIND, whole=False)  # forged: nobody has read so far
    early = conversation.proof
    conversation.hear(BEHIND.replace(b"ours 1", b"ours 2"), whole=True)
    other = conversation.proof
    conversation.hear(BEHIND, whole=True)
    assert (early, other, conversation.proof) == (DeliveryProof.NONE, DeliveryProof.NONE, DeliveryProof.INTERPRETED)
    assert conversation.awaited
    assert conversation.patient
    conversation.hear(END, whole=True)
    assert (conversation.proof, conversation.pages) == (DeliveryProof.JOB_END, 3)


def test_one_that_never_tells_of_an_end_is_not_waited_for_once_it_has_read_all() -> None:
    conversation = conversing(ends=False)
    conversation.hear(BEGIN, whole=True)
    before = conversation.patient
    conversation.hear(BEHIND, whole=True)
    assert (before, conversation.patient, conversation.awaited) == (True, False, True)


def test_a_document_that_is_its_own_job_is_awaited_until_it_was_read() -> None:
    body = UEL + b'@PJL JOB NAME="theirs"\r\n@PJL ENTER LANGUAGE=PCL\r\nx' + UEL + b"@PJL EOJ\r\n" + UEL
    conversation = Conversation(body, Language.PCL, "17-1 a job", said=WORD)
    assert b"".join(conversation.dress([body])).endswith(body + UEL + b"@PJL ECHO ours 1 end\r\n")
    before = conversation.awaited
    conversation.hear(BEGIN + page(1) + BEHIND, whole=True)
    assert (before, conversation.awaited, conversation.out) == (True, False, 0)
    assert conversation.proof is DeliveryProof.INTERPRETED


@pytest.mark.parametrize(
    ("said", "total", "out"),
    [
        ([START, page(1), page(2), page(3)], 0, 3),
        ([START, page(2), page(4)], 0, 4),  # on both sides
        ([page(1), page(2)], 0, 0),  # whose?
        ([START, page(2), page(1)], 0, 2),
        ([START, page(4711)], 0, 0),  # a life's counter, or a forgery
        ([START, page(1), page(2), page(3)], 2, 2),
        ([START, page(7), END.replace(b"17-1", b"16-1"), page(1)], 0, 1),  # the job before was still printing
        ([START, page(1), END, page(2)], 0, 1),
    ],
)
def test_pages_count_while_our_job_prints(said: list[bytes], total: int, out: int) -> None:
    conversation = conversing(Said(cookie="ours 1", pages=total))
    conversation.hear(BEGIN + b"".join(said), whole=True)
    assert conversation.out == out


@pytest.mark.parametrize(("numbers", "out"), [((4, 5), 5), ((1, 2), 3), ((1, 2, 3, 4), 4)])
def test_a_job_that_goes_on_counts_from_where_it_began(numbers: tuple[int, ...], out: int) -> None:
    """Printers number its pages from one, or from the first that they print; too few are better than too many."""
    conversation = conversing(Said(cookie="ours 1", start=4))
    conversation.hear(BEGIN + START + b"".join(map(page, numbers)), whole=True)
    assert conversation.out == out


@given(st.lists(st.sampled_from([START, END, BEGIN, BEHIND, DEVICE, READY, *map(page, range(12))]), max_size=30))
def test_pages_never_go_back_nor_beyond_what_there_is(said: list[bytes]) -> None:
    conversation = conversing(Said(cookie="ours 1", pages=5))
    before = 0
    for piece in said:
        conversation.hear(piece, whole=True)
        assert before <= conversation.out <= 5
        before = conversation.out


def test_what_a_postscript_program_did_wrong_is_heard_through_pjl_too() -> None:
    conversation = conversing()
    conversation.hear(BEGIN + b"%%[ Error: undefined; OffendingCommand: shwo ]%%\r\n" + BEHIND + END, whole=True)
    assert conversation.errors == "undefined; OffendingCommand: shwo"
    assert conversation.failed
