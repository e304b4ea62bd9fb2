"""What PostScript printers say, however it is cut, and the mark behind a document."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.condition import PRINTER_REASONS
from mailstore.job import DeliveryProof
from printerbridge.postscript import MESSAGE_OCTETS, Conversation, Messages, Reports

PROGRAM = b"%!PS-Adobe-3.0\nshowpage\n"
UEL = b"\x1b%-12345X"
MARK = b"\n(%%[ printpost: 42 ]%%) print flush\n"
CAME_BACK = b"%%[ printpost: 42 ]%%\r\n"
ERROR = b"%%[ Error: undefined; OffendingCommand: shwo ]%%\r\n"
FLUSHING = b"%%[ Flushing: rest of job (to end-of-file) will be ignored ]%%\r\n"


def heard(*pieces: bytes) -> list[str]:
    messages = Messages()
    return [text for piece in pieces for text in messages.feed(piece)]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (ERROR, ["Error: undefined; OffendingCommand: shwo"]),
        (b"%%[ a ]%%%%[ b ]%%", ["a", "b"]),
        (b"%%[ a \r\n %%[ b ]%%", ["a \r\n %%[ b"]),
        (b"%[ a ]%%", []),
        (b"%%[ " + b"x" * 400 + b" ]%% %%[ b ]%%", ["b"]),
        (b"%%[" * 200 + b" a ]%%", ["%%[" * 97 + " a"]),
        (b"no message", []),
    ],
)
def test_messages_are_found(said: bytes, expected: list[str]) -> None:
    assert heard(said) == expected
    assert heard(*(said[index : index + 1] for index in range(len(said)))) == expected


PIECES = st.one_of(
    st.sampled_from([ERROR, FLUSHING, CAME_BACK, b"%%[ PrinterError: out of paper ]%%", b"%%[", b"]%%", b"%"]),
    st.binary(max_size=400),
)


@given(st.lists(PIECES, max_size=12), st.data())
def test_cuts_change_nothing_and_little_is_kept(said: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(said)
    cut = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    pieces = [whole[a:b] for a, b in zip([0, *cut], [*cut, len(whole)], strict=True)]
    assert heard(*pieces) == heard(whole)
    messages, reports = Messages(), Reports()
    for piece in pieces:
        messages.feed(piece)
        assert len(messages._held) < MESSAGE_OCTETS
        reports.feed(piece)
        assert reports.stands in ("", "other", *PRINTER_REASONS)
        assert reports.errors.isprintable()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"out of paper", "media-empty"),
        (b"paper entry misfeed", "media-jam"),
        (b"cover open", "door-open"),
        (b"no paper tray", "input-tray-missing"),
        (b"manual feed time-out", "media-needed"),
        (b"off line", "offline"),
        (b"tray full", "output-area-full"),
        (b"warming up", ""),
        (b"something new", "other"),
    ],
)
def test_what_a_printer_waits_for(text: bytes, reason: str) -> None:
    reports = Reports()
    reports.feed(b"%%[ PrinterError: " + text + b" ]%%")
    assert reports.stands == reason
    reports.feed(b"%%[ status: idle ]%%")
    assert reports.stands == ""
    reports.feed(b"%%[ status: PrinterError: " + text + b"; source: Ethernet ]%%")
    assert reports.stands == reason


def dressed(*blocks: bytes, head: bytes = PROGRAM) -> tuple[list[bytes], Conversation]:
    conversation = Conversation(head, "printpost: 42")
    return list(conversation.dress(blocks)), conversation


@pytest.mark.parametrize(
    ("blocks", "marked"),
    [
        ([PROGRAM], True),
        ([PROGRAM, b"%%EOF"], True),
        ([PROGRAM, b"\n" * 40], True),
        ([PROGRAM + b"\x04"], False),  # what comes behind it is another job
        ([PROGRAM + b"\x04", b"\r\n", b" " * 40], False),
        ([PROGRAM, b"\x04" + b"\n" * 40], False),
        ([PROGRAM, UEL[:4], UEL[4:] + b"\r\n"], False),
        ([b"\x04" + PROGRAM], True),
    ],
)
def test_a_mark_goes_behind_a_document_that_does_not_end_its_job_itself(blocks: list[bytes], marked: bool) -> None:
    out, conversation = dressed(*blocks, head=b"".join(blocks)[: len(PROGRAM)])
    assert len(out) == len(blocks)
    assert b"".join(out) == b"".join(blocks) + (MARK if marked else b"")
    assert conversation.awaited is conversation.marks is marked


@pytest.mark.parametrize("head", [b"\xc5\xd0\xd3\xc6\x20\0\0\0", UEL + b"@PJL ENTER LANGUAGE=POSTSCRIPT\r\n%!", b""])
def test_no_mark_where_it_would_be_no_program(head: bytes) -> None:
    out, conversation = dressed(head, head=head)
    assert out == [head]
    assert not conversation.awaited


def test_the_mark_that_comes_back_is_the_proof() -> None:
    _, conversation = dressed(PROGRAM)
    assert not conversation.hear(CAME_BACK, whole=False)
    early = conversation.proof, conversation.settled
    assert conversation.hear(CAME_BACK, whole=True)
    assert early == (DeliveryProof.NONE, False)
    assert (conversation.proof, conversation.settled) == (DeliveryProof.INTERPRETED, True)
    assert not conversation.awaited


def test_a_job_that_is_flushed_sends_no_mark_back() -> None:
    _, conversation = dressed(PROGRAM)
    conversation.hear(ERROR, whole=True)
    waiting = conversation.awaited, conversation.patient
    conversation.hear(FLUSHING, whole=True)
    assert waiting == (True, False)
    assert not conversation.awaited
    assert conversation.failed
    assert conversation.errors == "undefined; OffendingCommand: shwo"


def test_an_error_that_the_program_survived_is_no_failure() -> None:
    _, conversation = dressed(PROGRAM)
    conversation.hear(ERROR + CAME_BACK, whole=True)
    assert conversation.errors
    assert not conversation.failed


def test_a_fault_holds_until_the_printer_goes_on() -> None:
    told: list[str] = []
    conversation = Conversation(PROGRAM, "", lambda: told.append(conversation.stands))
    conversation.hear(b"%%[ PrinterError: out of paper ]%%", whole=False)
    assert (conversation.stands, conversation.fault) == ("media-empty", "the printer says: out of paper")
    conversation.goes_on()
    conversation.goes_on()
    assert told == ["media-empty", ""]
