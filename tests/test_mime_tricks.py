"""Headers and boundaries that programs read differently: what they are to us, once and for all, and so what prints."""

from __future__ import annotations

import pytest

from mailstore.directory.records import Body
from mailstore.documents import Said, Selection, take
from mailstore.failure import PermanentFailure
from mailstore.mime import Data, End, Part, Walker
from mailstore.reencode import Reencoder
from tests.messages import PDF, PS

Leaves = list[tuple[str, str, bytes]]
INSIDE = b"\r\n\r\npreamble\r\n--b\r\nContent-Type: application/postscript\r\n\r\n%!PS\r\n--b--\r\nepilogue"
PARTS: Leaves = [("1", "application/postscript", b"%!PS")]
WHOLE = INSIDE[4:]


def leaves(message: bytes, step: int = 0) -> Leaves:
    """Path, media type and octets of each leaf."""
    walker, found = Walker(), []
    for start in range(0, len(message), step or len(message)):
        found += walker.feed(message[start : start + (step or len(message))])
    told: Leaves = []
    for event in (*found, *walker.close()):
        if isinstance(event, Part):
            told.append((event.path, event.media_type, b""))
        elif isinstance(event, Data):
            told[-1] = *told[-1][:2], told[-1][2] + event.octets
        else:
            assert isinstance(event, End)
    return told


def reencoded(message: bytes) -> bytes:
    reencoder = Reencoder()
    return reencoder.feed(message) + reencoder.end()


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        # Two of a kind: the first counts.
        (b"Content-Type: multipart/mixed; boundary=b\r\nContent-Type: text/plain", PARTS),
        (b"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        (b"Content-Type: multipart/mixed; boundary=b; boundary=c", PARTS),
        (b"Content-Type: multipart/mixed; boundary=c; boundary=b", []),
        # Sections beat the whole, as for file names; those behind a gap do not count.
        (b"Content-Type: multipart/mixed; boundary=c; boundary*0=b", PARTS),
        (b"Content-Type: multipart/mixed; boundary*1=c; boundary*0=b; boundary*3=d", []),
        (b"Content-Type: multipart/mixed; boundary*0=b; boundary*2=c", PARTS),
        (b"Content-Type: multipart/mixed; boundary*=us-ascii'en'%62", PARTS),
        (b"Content-Type: multipart/mixed; boundary*=utf-16''%62", PARTS),  # a boundary is octets
        (b"Content-Type: multipart/mixed; boundary=%62", []),
        # Semicolons
        (b"Content-Type: multipart/mixed boundary=b", [("1", "multipart/mixed", WHOLE)]),
        (b"Content-Type: multipart/mixed; charset=x boundary=b", [("1", "multipart/mixed", WHOLE)]),
        (b"Content-Type: multipart/mixed;;; boundary=b;", PARTS),
        (b'Content-Type: multipart/mixed; boundary="b" charset=x', PARTS),
        (b'Content-Type: multipart/mixed; x="; boundary=c"; boundary=b', PARTS),
        (b'Content-Type: multipart/mixed; x="never ends; boundary=b', [("1", "multipart/mixed", WHOLE)]),
        (b'Content-Type: multipart/mixed; x=a"b; boundary=b', PARTS),
        # Comments
        (b"Content-Type: multipart/mixed (; boundary=c); boundary=b", PARTS),
        (b"Content-Type: (a (b)) multipart/mixed(c)(d); (boundary=c) boundary=b (x;y)", PARTS),
        (b'Content-Type: multipart/mixed; boundary="b"(x)', PARTS),
        (b'Content-Type: multipart/mixed; x="("; boundary=b; y=")"', PARTS),
        (b"Content-Type: multipart/mixed; (boundary=b", [("1", "multipart/mixed", WHOLE)]),
        (b"Content-Type: multipart/mixed (\\); boundary=c); boundary=b", PARTS),
        # Blanks, folds, cases, quotes
        (b"CONTENT-TYPE:Multipart/MIXED;BOUNDARY=b", PARTS),
        (b"Content-Type :\r\n multipart/mixed;\r\n\tboundary\t=\r\n b", PARTS),
        (b'Content-Type: multipart/mixed; boundary="\\b"', PARTS),
        (b'Content-Type: multipart/mixed; boundary="b \t"', PARTS),
        (b'Content-Type: multipart/mixed; boundary=" b"', []),
        (b"Content-Type: multipart/mixed; boundary=B", []),
        (b'Content-Type: multipart/mixed; boundary=""', [("1", "multipart/mixed", WHOLE)]),
        (b"Content-Type: multipart / mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        (b"Content-Type: multipart/; boundary=b", PARTS),
        (b"Content-Type: mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        (b"Content-Type\r\n : multipart/mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        (b"X: y\r\n Content-Type: multipart/mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        (b"Content-Type:\r\nContent-Type: multipart/mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        # NULs, and octets beyond ASCII
        (b"Content-Type: multipart/mixed; boundary=b\0", []),
        (b"Content-Type: multipart/mixed;\0boundary=b", [("1", "multipart/mixed", WHOLE)]),
        (b"Content-Type\0: multipart/mixed; boundary=b", [("1", "text/plain", WHOLE)]),
        (b"Content-Type: multipart/mixed; bound\xffary=b", [("1", "multipart/mixed", WHOLE)]),
        # A message in a message, also an internationalized one; within an encoding it is a leaf.
        (b"Content-Type: message/rfc822\r\n\r\nContent-Type: multipart/mixed; boundary=b", [("1.1", *PARTS[0][1:])]),
        (b"Content-Type: message/global\r\n\r\nContent-Type: multipart/mixed; boundary=b", [("1.1", *PARTS[0][1:])]),
    ],
)
def test_one_header_one_meaning(header: bytes, expected: Leaves) -> None:
    message = header + INSIDE
    assert leaves(message) == leaves(message, 1) == expected
    if b"\0" not in header:
        assert reencoded(message) == message + b"\r\n"


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        (b"base64", b"%!PS"),
        (b"BASE64 (so it is)", b"%!PS"),
        (b"(so it is) base64", b"%!PS"),
        (b"(" + b"x" * 100 + b") base64", b"%!PS"),
        (b"base64; x=y", b"%!PS"),
        (b"\r\n\tbase64", b"%!PS"),
        (b"base64\r\nContent-Transfer-Encoding: 7bit", b"%!PS"),
        (b"7bit\r\nContent-Transfer-Encoding: base64", b"JSFQUw=="),
        (b"", b"JSFQUw=="),
        # What nobody registered is not guessed: nothing of it prints.
        (b'"base64"', b""),
        (b"base64,7bit", b""),
        (b"base\x0064", b""),
        (b"base-64", b""),
    ],
)
def test_one_encoding_one_meaning(field: bytes, expected: bytes) -> None:
    message = b"Content-Type: application/postscript\r\nContent-Transfer-Encoding: %b\r\n\r\nJSFQUw==" % field
    assert leaves(message) == leaves(message, 1) == [("1", "application/postscript", expected)]


@pytest.mark.parametrize(
    "boundary",
    [b"=?utf-8?q?b?=", b"\xe4", b"\xc3\xa4", b"\xa0", b"'()+_,-./:=?", b"-", b"--", b"b--", b".*", b"b" * 200, b"\x7f"],
)
def test_a_boundary_is_its_octets(boundary: bytes) -> None:
    message = (b'Content-Type: multipart/mixed; boundary="b"' + INSIDE).replace(b'"b"', b'"%b"' % boundary)
    message = message.replace(b"--b", b"--" + boundary)
    assert leaves(message) == leaves(message, 1) == PARTS


def test_a_boundary_that_is_too_long_is_refused() -> None:
    with pytest.raises(PermanentFailure, match="longer than 200 octets") as failure:
        leaves(b"Content-Type: multipart/mixed; boundary=" + b"b" * 201 + b"\r\n\r\n")
    assert failure.value.status == "5.6.0"


def nested(outer: bytes, inner: bytes) -> bytes:
    """A part 1.1, a line that belongs to the inner multipart or not, and a part 2."""
    return (
        b"Content-Type: multipart/mixed; boundary=%b\r\n\r\n--%b\r\nContent-Type: multipart/mixed; boundary=%b\r\n\r\n"
        b"--%b\r\n\r\nfirst\r\n--%b--\r\n--%b\r\n\r\nsecond\r\n--%b--\r\n"
    ) % (outer, outer, inner, inner, inner, outer, outer)


@pytest.mark.parametrize(("outer", "inner"), [(b"b", b"bb"), (b"bb", b"b"), (b"b", b"b-"), (b"b-", b"b"), (b"b", b"c")])
def test_a_boundary_may_begin_like_another(outer: bytes, inner: bytes) -> None:
    message = nested(outer, inner)
    assert leaves(message) == leaves(message, 1) == [("1.1", "text/plain", b"first"), ("2", "text/plain", b"second")]


@pytest.mark.parametrize(
    ("outer", "inner", "expected"),
    [
        # The innermost that a line can belong to has it.
        (b"b", b"b", [("1.1", b"first"), ("2", b"second")]),
        (b"b", b"b--", [("1.1", b"first"), ("2", b"second")]),
        (b"b--", b"b", [("1.1", b"first"), ("2", b"second")]),
    ],
)
def test_the_innermost_multipart_has_a_line(outer: bytes, inner: bytes, expected: list[tuple[str, bytes]]) -> None:
    message = nested(outer, inner)
    assert [(path, octets) for path, _, octets in leaves(message)] == expected
    assert leaves(message, 1) == leaves(message)


@pytest.mark.parametrize(
    ("line", "ends"),
    [
        (b"\r\n--b\r\n", True),
        (b"\r\n--b--\r\n", True),
        (b"\r\n--b \t \r\n", True),
        (b"\r\n--b" + b" " * 64 + b"\r\n", True),
        (b"\r\n--b--\t\r\n", True),
        (b"\r\n--b" + b" " * 65 + b"\r\n", False),
        (b"\r\n--b -- \r\n", False),
        (b"\r\n--b-\r\n", False),
        (b"\r\n--b---\r\n", False),
        (b"\r\n--bb\r\n", False),
        (b"\r\n--B\r\n", False),
        (b"\r\n --b\r\n", False),
        (b"\r\n-- b\r\n", False),
        (b"\r\n--b\x0b\r\n", False),
        (b"\r\n--b\0\r\n", False),
        (b"\n--b\n", False),
        (b"\r--b\r", False),
        (b"\n--b\r\n", False),
        (b"\r\n--b\n", False),
        (b"\r\n--b\r \n", False),
    ],
)
def test_which_lines_end_a_part(line: bytes, ends: bool) -> None:
    start = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none"
    message = start + line + b"\r\ntwo\r\n--b--\r\n"
    expected = b"one" if ends else b"one" + line + b"\r\ntwo"
    assert leaves(message)[0][2] == expected
    assert leaves(message, 1) == leaves(message)


@pytest.mark.parametrize(
    "message",
    [
        b"Content-Type: application/pdf (\r\n\r\n" + PDF,
        b"Content-Type: text/html charset=utf-8\r\nContent-Type: application/pdf\r\n\r\n" + PDF,
        b"Content-Type: image/png\0; name=x.png\r\n\r\n" + PDF,
        b"Content-Type: multipart/mixed\r\n\r\n" + PDF,
        b"Content-Type: \xff\xfe/\x00\r\nContent-Disposition: \0\r\n\r\n" + PDF,
    ],
)
def test_what_prints_is_what_the_octets_are(message: bytes) -> None:
    selection, _, octets = taken(message)
    (document,) = selection.documents
    assert (str(document.format), octets[document.path]) == ("application/pdf", PDF)


def taken(message: bytes) -> tuple[Selection, Said, dict[str, bytes]]:
    return take(message, Body.ALONE, lambda _: True)


def test_a_type_without_its_semicolon_is_that_type() -> None:
    """A calendar entry is not printed as text, however its label is written."""
    for label in (b"text/calendar charset=utf-8", b"text/calendar(x)", b"text/calendar\tx; y=z"):
        with pytest.raises(PermanentFailure, match=r"nothing that can be printed: text/calendar\Z") as failure:
            taken(b"Content-Type: " + label + b"\r\n\r\nBEGIN:VCALENDAR\r\n")
        assert failure.value.status == "5.6.1"
    assert taken(b"Content-Type: text/plain charset=utf-8\r\n\r\n" + PS)[2] == {"1": PS}
