"""The MIME walk and the survey: the network's cuts change nothing, and the limits hold."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from collections.abc import Iterator

from mailstore.directory.records import Body
from mailstore.document_format import DocumentFormat
from mailstore.documents import Surveyor, take
from mailstore.failure import PermanentFailure
from mailstore.mime import Data, End, Event, Limits, Part, Walker
from tests.fuzz import pieces

LIMITS = Limits(header=1024, depth=4, parts=12, boundary=40)
WORDS = (
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n",
    b"Content-Type: message/rfc822\r\n\r\n",
    b"\r\n--b\r\n",
    b"\r\n--b--\r\n",
    b"\r\n--b \t\r\n",
    b"--b\r\n",
    b"Content-Transfer-Encoding: base64\r\n",
    b"Content-Transfer-Encoding: quoted-printable\r\n",
    b"Content-Disposition: attachment; filename=a.pdf\r\n",
    b"Content-Type: multipart/digest; boundary=bb\r\n\r\n",
    b"Content-Type: multipart/alternative; boundary=b\r\n\r\n",
    b"Content-Type: multipart/related; boundary=bb\r\n\r\n",
    b"Content-Type: text/html\r\n\r\n<img src=cid:a>",
    b"Content-Type: image/png\r\nContent-ID: <a>\r\n\r\n\x89PNG\r\n\x1a\n",
    b"Printpost-Options: copies=2\r\n",
    b"%PDF-1.4\n",
    b"\r\n\r\n",
)
_Found = tuple[list[tuple[Part, bytes, End]], str]


def check(octets: bytes) -> None:
    stream = octets[4:]
    whole = _walked([stream])
    assert _walked(pieces(octets)) == whole
    assert _surveyed(pieces(octets)) == _surveyed([stream])
    parts, failure = whole
    assert len(parts) <= LIMITS.parts
    assert all(len(part.within) <= LIMITS.depth for part, _, _ in parts)
    assert len({part.path for part, _, _ in parts}) == len(parts)
    assert all(end.path == part.path for part, _, end in parts)
    assert sum(end.encoded for _, _, end in parts) <= len(stream)
    if not failure:
        _taken(stream, {part.path: content for part, content, _ in parts})


def _walked(cut: list[bytes]) -> _Found:
    walker = Walker(limits=LIMITS)
    found: list[tuple[Part, bytes, End]] = []
    part, content = None, bytearray()
    try:
        for event in _events(walker, cut):
            if isinstance(event, Part):
                assert part is None
                part, content = event, bytearray()
            elif isinstance(event, Data):
                assert event.octets
                content += event.octets
            else:
                assert isinstance(event, End)
                assert part is not None
                found.append((part, bytes(content), event))
                part = None
    except PermanentFailure as failure:
        assert failure.status in ("5.6.0", "5.3.4")
        return [], failure.text  # what was told before depends on the cuts
    assert part is None
    return found, ""


def _events(walker: Walker, cut: list[bytes]) -> Iterator[Event]:
    for piece in cut:
        yield from walker.feed(piece)
    yield from walker.close()


def _surveyed(cut: list[bytes]) -> object:
    surveyor = Surveyor(LIMITS)
    try:
        for piece in cut:
            surveyor.feed(piece)
        return surveyor.close()
    except PermanentFailure as failure:
        return failure.text


def _taken(stream: bytes, contents: dict[str, bytes]) -> None:
    """What prints is what the walk tells, and what the survey announced; nothing is lost without a word."""
    surveyor = Surveyor(LIMITS)
    surveyor.feed(stream)
    survey = surveyor.close()
    for body in Body:
        announced = survey.select(body, _able)
        shown = {each.path for document in announced.documents for each in document.shown}
        told = [document.path for document in announced.documents]
        told += [left.path for left in announced.left_out]
        assert len(told) == len(set(told))
        assert {*told, *shown} == set(contents)
        assert body is Body.NEVER or bool(announced.documents) == survey.printable
        try:
            selection, said, octets = take(stream, body, _able, LIMITS)
        except PermanentFailure as failure:
            assert failure.status == ("5.6.0" if announced.documents else "5.6.1")
            continue
        assert (selection, said) == (announced, survey.said)
        assert set(octets) == {document.path for document in announced.documents} | shown
        assert all(content == contents[path] for path, content in octets.items())


def _able(source: DocumentFormat) -> bool:
    return source is not DocumentFormat.HTML
