from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from printerbridge.virtual_pjl import (
    LINE_OCTETS,
    UEL,
    Command,
    Document,
    JobStream,
    wants_answer,
    wants_job_status,
)

FOUND = list[Command | Document]


def scan(*pieces: bytes) -> FOUND:
    stream = JobStream()
    found: FOUND = []
    for piece in pieces:
        found += stream.feed(piece)
    return found + stream.end()


def documents(job: bytes) -> list[tuple[str, bytes]]:
    return [(one.language, job[one.start : one.end]) for one in scan(job) if isinstance(one, Document)]


def test_a_job_without_pjl_is_one_document() -> None:
    assert scan(b"%!\nshowpage\n") == [Document(start=0, end=12, language="")]


def test_pjl_stands_around_a_document() -> None:
    job = UEL + b'@PJL JOB NAME="a b"\r\n@PJL ENTER LANGUAGE = PostScript\r\n%!\nshowpage\n' + UEL
    job += b"@PJL EOJ\r\n" + UEL
    found = scan(job)
    assert found[0] == Command(verb="JOB", rest='NAME="a b"')
    assert found[2] == Command(verb="EOJ", rest="")
    assert documents(job) == [("POSTSCRIPT", b"%!\nshowpage\n")]


def test_a_uel_alone_around_postscript() -> None:
    assert documents(UEL + b"%!\nshowpage\n" + UEL) == [("", b"%!\nshowpage\n")]


def test_an_escape_after_the_uel_begins_pcl() -> None:
    assert documents(UEL + b"\x1bE hello \x1bE" + UEL) == [("", b"\x1bE hello \x1bE")]
    assert documents(UEL + b"\x1b%-1" + UEL) == [("", b"\x1b%-1")]


def test_whitespace_and_ctrl_d_are_no_document() -> None:
    assert documents(b"\x04\r\n" + UEL + UEL + b"@PJL COMMENT x\r\n" + UEL + b" \x04") == []


def test_a_line_that_is_not_pjl_begins_a_document() -> None:
    assert documents(UEL + b"@PJL COMMENT x\r\nhello\r\n") == [("", b"hello\r\n")]
    assert documents(UEL + b"@P") == []


def test_two_documents_in_one_job() -> None:
    enter = UEL + b"@PJL ENTER LANGUAGE="
    assert documents(enter + b"PCL\r\n\x1bEx" + enter + b"PDF\r\n%PDF-1.4") == [
        ("PCL", b"\x1bEx"),
        ("PDF", b"%PDF-1.4"),
    ]


def test_an_endless_line_is_cut() -> None:
    stream = JobStream()
    stream.feed(UEL + b"@PJL ECHO ")
    for _ in range(100):
        assert stream.feed(b"x" * 4096) == []
    (command,) = stream.feed(b"\r\n")
    assert isinstance(command, Command)
    assert len(command.rest) <= LINE_OCTETS


PARTS = st.sampled_from(
    [
        UEL,
        b"@PJL ECHO abc\r\n",
        b"@PJL ENTER LANGUAGE=PCL\r\n",
        b"@PJL\r\n",
        b"@PJ",
        b"\r\n",
        b"\x1b",
        b"\x1b%-1234",
        b"5X",
        b"%!PS\n",
        b"\x04",
        b" ",
        b"\x1bE",
    ]
)


@given(parts=st.lists(st.one_of(PARTS, st.binary(max_size=20)), max_size=12), data=st.data())
def test_pieces_make_no_difference(parts: list[bytes], data: st.DataObject) -> None:
    job = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(job)), max_size=8)))
    pieces = [job[a:b] for a, b in zip([0, *cuts], [*cuts, len(job)], strict=True)]
    whole = scan(job)
    assert scan(*pieces) == whole
    assert scan(*(job[i : i + 1] for i in range(len(job)))) == whole


@given(parts=st.lists(st.one_of(PARTS, st.binary(max_size=20)), max_size=12))
def test_documents_are_apart_and_hold_no_uel(parts: list[bytes]) -> None:
    job = b"".join(parts)
    at = 0
    for one in scan(job):
        if isinstance(one, Document):
            assert at <= one.start < one.end <= len(job)
            assert UEL not in job[one.start : one.end]
            at = one.end


BODY = st.binary(min_size=1, max_size=200).filter(lambda body: UEL not in body and UEL[0] not in body[-8:])


@given(bodies=st.lists(BODY.map(lambda body: b"x" + body), min_size=1, max_size=4), data=st.data())
def test_every_document_comes_out_as_it_went_in(bodies: list[bytes], data: st.DataObject) -> None:
    head = UEL + b'@PJL JOB NAME="j"\r\n@PJL ENTER LANGUAGE=PCL\r\n'
    job = b"".join(head + body + UEL + b"@PJL EOJ\r\n" for body in bodies) + UEL
    assert documents(job) == [("PCL", body) for body in bodies]


def test_what_makes_the_sender_wait() -> None:
    assert wants_job_status(Command(verb="USTATUS", rest="JOB = ON"))
    assert not wants_job_status(Command(verb="USTATUS", rest="JOB=OFF"))
    assert wants_answer(Command(verb="ECHO", rest="x"))
    assert not wants_answer(Command(verb="EOJ", rest=""))
