"""Which parts print, by survey, extraction and both in one walk."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document, Extractor, Said, Selection, Survey, Surveyor, take
from mailstore.failure import PermanentFailure
from mailstore.mime import Limits
from mailstore.sniff import PREFIX_OCTETS
from tests.messages import LINES, PDF, PS, SAMPLES, crlf, mail


def survey(message: bytes, size: int = 0) -> tuple[tuple[Document, ...], Survey]:
    surveyor = Surveyor()
    for start in range(0, len(message), size or len(message) or 1):
        surveyor.feed(message[start : start + (size or len(message))])
    made = surveyor.close()
    return made.select(Body.ALONE, anything).documents, made


def anything(_: DocumentFormat) -> bool:
    return True


def extract(message: bytes, path: str) -> bytes:
    extractor = Extractor([path])
    pieces = [octets for _, octets in extractor.feed(message)]
    return b"".join(pieces + [octets for _, octets in extractor.close()])


def test_documents_of_a_usual_mail() -> None:
    message = mail((PDF, "application/octet-stream", "a.pdf"), (PS, "text/plain", "b.txt"), html="<html>x</html>")
    for size in (0, 1, 1000):
        documents, _ = survey(message, size)
        assert [(d.index, d.path, d.format, d.name) for d in documents] == [
            (1, "2", DocumentFormat.PDF, "a.pdf"),
            (2, "3", DocumentFormat.POSTSCRIPT, "b.txt"),
        ]
    assert extract(message, "2") == PDF
    assert extract(message, "3").replace(b"\r\n", b"\n") == PS


@pytest.mark.parametrize(
    ("message", "paths"),
    [
        (mail(), ["1"]),
        (mail(html="<html>x</html>"), ["2"]),
        (mail(text="\n \n"), []),
        (mail((b"", "application/pdf", "empty.pdf")), ["1"]),
        (mail((b"a,b\n", "text/csv", "t.csv")), ["2"]),
        (mail((b"BEGIN:VCARD\n", "text/x-vcard", "me.vcf")), ["1"]),
        (mail((b"-----BEGIN PGP SIGNATURE-----\n", "application/pgp-signature", "s.asc")), ["1"]),
        (b"\r\n" + PS, ["1"]),
        (crlf("Content-Type: application/pdf\nContent-Transfer-Encoding: binary\n\n") + PDF, ["1"]),
        (crlf("Content-Type: text/html\n\n<p>x"), ["1"]),
        (crlf("Content-Type: application/pdf\nContent-Transfer-Encoding: x-uuencode\n\n") + PDF, []),
        (b"", []),
    ],
)
def test_which_parts_print(message: bytes, paths: list[str]) -> None:
    documents, _ = survey(message)
    assert [document.path for document in documents] == paths


def test_a_refusal_says_what_the_message_held() -> None:
    _, found = survey(mail((b"\0\1", "video/mp4", "p.mp4"), (b"<html>", "text/html", "x.html"), text="\n"))
    failure = found.refusal()
    assert failure.status == "5.6.1"
    assert (
        failure.text
        == "the message holds nothing that can be printed: text/plain (empty), video/mp4, text/html (empty)"
    )


@given(st.binary(max_size=300))
def test_any_octets_survive_a_survey(octets: bytes) -> None:
    survey(octets)


def test_a_survey_keeps_only_heads() -> None:
    surveyor = Surveyor()
    surveyor.feed(crlf("Content-Type: application/pdf\n\n%PDF-1.4\n"))
    for _ in range(20):
        surveyor.feed(b"x" * 100_000)
        assert surveyor._taste is not None
        assert len(surveyor._taste.head) <= PREFIX_OCTETS
    (document,) = surveyor.close().found
    assert document.octets == 2_000_010


def test_half_a_document_is_refused() -> None:
    message = crlf("Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n") + base64.b64encode(PDF)[:-5]
    assert [document.format for document in survey(message)[0]] == [DocumentFormat.PDF]
    with pytest.raises(PermanentFailure, match="part 1 of the message is damaged: its base64 is cut short") as failure:
        extract(message, "1")
    assert (failure.value.status, failure.value.reason) == ("5.6.0", "document-format-error")
    with pytest.raises(PermanentFailure, match="has no part 7"):
        extract(message, "7")


def test_of_what_is_only_shown_there_is_what_there_is() -> None:
    message = crlf("Content-Type: image/png\nContent-Transfer-Encoding: base64\n\n") + base64.b64encode(PDF)[:-5]
    extractor = Extractor(["1"], lenient=["1"])
    octets = b"".join(octets for _, octets in (*extractor.feed(message), *extractor.close()))
    assert len(octets) > 9000
    assert PDF.startswith(octets)
    assert extractor.damaged["1"].text == "part 1 of the message is damaged: its base64 is cut short"


def test_an_extraction_ends_early() -> None:
    message = mail((PDF, "application/pdf", "a.pdf"), (bytes(9000), "application/x-thing", "b"))
    extractor = Extractor(["2"])
    cut = message.index(b"\r\n--", message.index(b"a.pdf")) + 100
    octets = b"".join(octets for _, octets in extractor.feed(memoryview(message)[:cut]))
    assert octets == PDF
    assert extractor.done


def in_two_walks(message: bytes, limits: Limits | None) -> tuple[Selection, Said, dict[str, bytes]]:
    surveyor = Surveyor(limits)
    surveyor.feed(message)
    found = surveyor.close()
    selection = found.select(Body.ALONE, anything)
    if not selection.documents:
        raise found.refusal(selection)
    shown = {each.path for document in selection.documents for each in document.shown}
    taken = dict.fromkeys(shown | {document.path for document in selection.documents}, b"")
    extractor = Extractor(taken, limits, lenient=shown)
    for path, octets in (*extractor.feed(message), *extractor.close()):
        taken[path] += octets
    return selection, found.said, taken


def in_one(message: bytes, limits: Limits | None) -> tuple[Selection, Said, dict[str, bytes]]:
    return take(message, Body.ALONE, anything, limits)


def outcome(way, message: bytes, limits: Limits | None = None):
    try:
        return way(message, limits)
    except PermanentFailure as failure:
        return failure.status, failure.text, failure.reason


@pytest.mark.parametrize("message", SAMPLES)
def test_one_walk_is_as_good_as_two(message: bytes) -> None:
    assert outcome(in_one, message) == outcome(in_two_walks, message)


# Around the border of what a survey sees; damaged, padded, unknown, empty.
BODIES = st.tuples(
    st.sampled_from([b"", b"%PDF-1.4\n", b"%!PS\n", b"letter ", b"\0\1"]),
    st.sampled_from([0, 1, 5, 100, PREFIX_OCTETS - 9, PREFIX_OCTETS - 5, PREFIX_OCTETS, PREFIX_OCTETS + 1, 20_000]),
    st.sampled_from(["7bit", "base64", "quoted-printable", "x-uuencode"]),
    st.sampled_from([0, 1, 2, 3, 4, 5]),  # octets cut off at the end
    st.sampled_from(["", "QUJD\r\n", " =41= "]),  # something behind it
    st.sampled_from(["text/plain", "application/pdf", "application/octet-stream"]),
    st.sampled_from(["", "Content-Disposition: attachment; filename=a.b\r\n"]),
)


@given(st.lists(BODIES, min_size=1, max_size=4), st.sampled_from([None, Limits(parts=4)]))
@settings(max_examples=200, deadline=None)
def test_one_walk_takes_what_two_would(bodies, limits: Limits | None) -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    for start, length, encoding, cut, behind, media_type, disposition in bodies:
        octets = start + b"x" * length
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n") if encoding == "base64" else octets
        head = f"--b\r\nContent-Type: {media_type}\r\n{disposition}Content-Transfer-Encoding: {encoding}\r\n\r\n"
        message += head.encode() + octets[: len(octets) - cut] + behind.encode() + b"\r\n"
    assert outcome(in_one, message + b"--b--\r\n", limits) == outcome(in_two_walks, message + b"--b--\r\n", limits)


@given(st.lists(LINES, max_size=25))
@settings(max_examples=200, deadline=None)
def test_one_walk_takes_what_two_would_of_any_lines(lines: list[str]) -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=a\n\n" + "\n".join(lines))
    limits = Limits(depth=4, parts=12)
    assert outcome(in_one, message, limits) == outcome(in_two_walks, message, limits)
