"""BINARYMIME made into lines, against the standard library, against the walk, and against every way to cut."""

from __future__ import annotations

import base64
import email
import time
import tracemalloc
from dataclasses import dataclass
from email.message import Message

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.failure import PermanentFailure
from mailstore.mime import Data, End, Limits, Part, Walker
from mailstore.reencode import Reencoder

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 3 + b"\n--b\n--b\r--b--\r\n.\r\n..\r\n\r\n%%EOF\r"
PLAIN_FIELD = "Content-Transfer-Encoding: {}\r\n"
PLAIN = b"Subject: lines\r\n\r\nhello\r\n"


def reencoded(message: bytes, cuts: list[int] | None = None, limits: Limits | None = None) -> bytes:
    reencoder, out, start = Reencoder(limits), b"", 0
    for stop in [*sorted(cuts or []), len(message)]:
        out += reencoder.feed(memoryview(message)[start:stop])
        start = stop
    return out + reencoder.end()


def leaves(message: bytes) -> list[tuple[str, str, str, bytes]]:
    walker, found = Walker(), []
    for event in (*walker.feed(message), *walker.close()):
        if isinstance(event, Part):
            part, octets = event, b""
        elif isinstance(event, Data):
            octets += event.octets
        elif isinstance(event, End):
            assert not event.defect
            found.append((part.path, part.media_type, part.name, octets))
    return found


def by_the_library(message: bytes) -> list[bytes]:
    """The contents of the leaves."""
    parsed = email.message_from_bytes(message)
    assert not any(part.defects for part in parsed.walk())
    return [octets_of(part) for part in parsed.walk() if not part.is_multipart()]


def octets_of(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def labelled(encoding: str, field: str) -> str:
    # The library reads neither comments nor folds in this field: it must not meet those that stay.
    return field.format(encoding) if encoding == "binary" else PLAIN_FIELD.format(encoding) * bool(encoding)


@dataclass(frozen=True)
class Tree:
    octets: bytes  # with its header
    contents: tuple[bytes, ...]


def leaf(content: bytes, encoding: str, field: str) -> Tree:
    body = base64.encodebytes(content).replace(b"\n", b"\r\n") if encoding == "base64" else content
    return Tree(f"Content-Type: application/x-thing\r\n{labelled(encoding, field)}\r\n".encode() + body, (content,))


def multipart(children: list[Tree], encoding: str, field: str, number: int, preamble: bytes) -> Tree:
    # Contents are drawn from octets that cannot make this boundary.
    head = f'{labelled(encoding, field)}Content-Type: multipart/mixed;\r\n boundary="=_{number} x"\r\n\r\n'.encode()
    body = b"".join(b"--=_%d x\r\n%b\r\n" % (number, child.octets) for child in children)
    contents = tuple(content for child in children for content in child.contents)
    return Tree(head + preamble + body + b"--=_%d x--\r\n" % number, contents)


def enclosed(child: Tree, encoding: str) -> Tree:
    head = f"Content-Type: message/rfc822\r\n{labelled(encoding, PLAIN_FIELD)}"
    return Tree(f"{head}\r\n".encode() + child.octets, child.contents)


FIELDS = st.sampled_from(
    [
        PLAIN_FIELD,
        "content-transfer-encoding:\r\n\t{}\r\nX-Other: a\r\n b\r\n",
        "CONTENT-TRANSFER-ENCODING : {} (as it is)\r\n",
        "Content-Transfer-Encoding: {0}\r\nContent-Transfer-Encoding: {0}\r\n",
    ]
)
ANYTHING = st.one_of(
    st.binary(max_size=200),
    st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"--", b"-", b".", b"\0", b"--=_", b"x" * 57])).map(b"".join),
)
LINES = st.lists(st.sampled_from([b"", b".", b"..", b"hello", b"--", b"-- =", b"\xc3\xa4", b"x" * 1200])).map(
    b"\r\n".join
)
LEAVES = st.one_of(
    st.builds(leaf, ANYTHING, st.sampled_from(["binary", "base64"]), FIELDS),
    st.builds(leaf, LINES, st.sampled_from(["", "7bit", "8bit"]), FIELDS),
)
COMPOSITE = st.sampled_from(["", "8bit", "binary"])
# Numbers differ at each level by the depth of the strategy, so a boundary never is that of a level around.
INNER = st.builds(multipart, st.lists(LEAVES, min_size=1, max_size=3), COMPOSITE, FIELDS, st.just(1), st.just(b""))
MIDDLE = st.one_of(LEAVES, INNER, st.builds(enclosed, INNER, COMPOSITE), st.builds(enclosed, LEAVES, COMPOSITE))
OUTER = st.builds(
    multipart, st.lists(MIDDLE, min_size=1, max_size=3), COMPOSITE, FIELDS, st.just(2), st.sampled_from([b"", b"a\r\n"])
)


@given(OUTER, st.lists(st.integers(0, 1000), max_size=8))
@settings(max_examples=80, deadline=None)
def test_what_is_decoded_stays_the_same(tree: Tree, cuts: list[int]) -> None:
    message = b"Subject: a job\r\nMIME-Version: 1.0\r\n" + tree.octets
    out = reencoded(message)
    assert by_the_library(out) == list(tree.contents)
    assert leaves(out) == leaves(message)
    assert [octets for *_, octets in leaves(out)] == list(tree.contents)
    assert b"binary" not in out.lower()
    assert b"\0" not in out
    assert out.count(b"\r\n") == out.count(b"\r") == out.count(b"\n")
    assert out.endswith(b"\r\n")
    assert reencoded(out) == out
    assert reencoded(message, [min(cut, len(message)) for cut in cuts]) == out
    assert reencoded(message, list(range(len(message)))) == out


@pytest.mark.parametrize("size", [len(PDF), 57, 58, 57 * 1024, 57 * 1024 + 1, 57 * 2048 + 1, 200_000])
def test_a_message_that_is_one_binary_part(size: int) -> None:
    content = (PDF * (size // len(PDF) + 1))[:size]
    message = b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\nSubject: x\r\n\r\n" + content
    out = reencoded(message)
    assert reencoded(message, list(range(0, len(message), 70_001))) == out
    head, _, body = out.partition(b"\r\n\r\n")
    assert head == b"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\nSubject: x"
    assert body == base64.encodebytes(content).replace(b"\n", b"\r\n")


def test_only_labels_and_binary_parts_change() -> None:
    message = (
        b"Content-Type: multipart/mixed; boundary=b\r\nContent-Transfer-Encoding: binary\r\n\r\npreamble\r\n"
        b"--b \t\r\n\r\nhello\r\n--b\r\nContent-Transfer-Encoding: Quoted-Printable\r\n\r\n=\r\n=41\r\n"
        b"--b\r\nX: y\r\nContent-Transfer-Encoding: binary\r\n\r\n\0\r\n--b--\r\nepilogue"
    )
    first, second, third = message.split(b"binary")
    assert reencoded(message) == first + b"8bit" + second + b"base64" + third.replace(b"\0", b"AA==") + b"\r\n"


@pytest.mark.parametrize(
    ("message", "out"),
    [
        (b"", b""),
        (PLAIN, PLAIN),
        (PLAIN[:-2], PLAIN),
        (b"Subject: only a header", b"Subject: only a header\r\n"),
        (b"\r\nbody", b"\r\nbody\r\n"),
        (b"\r\n", b"\r\n"),
        (b"Content-Transfer-Encoding: binary", b"Content-Transfer-Encoding: base64\r\n"),
        (b"Content-Transfer-Encoding: binary\r\n\r\n", b"Content-Transfer-Encoding: base64\r\n\r\n"),
        (b"Content-Transfer-Encoding: x-token\r\n\r\nline\r\n", b"Content-Transfer-Encoding: x-token\r\n\r\nline\r\n"),
        (  # a multipart nobody can take apart is a multipart still
            b"Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: binary\r\n\r\nline",
            b"Content-Type: multipart/mixed\r\nContent-Transfer-Encoding: 8bit\r\n\r\nline\r\n",
        ),
        (  # a delimiter ends a header without its empty line
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: binary\r\n--b--",
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Transfer-Encoding: base64\r\n--b--\r\n",
        ),
    ],
)
def test_the_edges(message: bytes, out: bytes) -> None:
    assert reencoded(message) == reencoded(message, list(range(len(message)))) == out


LABELS = b"7bit", b"8bit", b"base64", b"quoted-printable", b"x-token"


@pytest.mark.parametrize("fault", [b"\r", b"\n", b"\0", b"\r\r\n", b"\n\r", b"\r\n\n", b"\r\0\n"])
@pytest.mark.parametrize(
    "around",
    [
        *((b"Content-Transfer-Encoding: %b\r\n\r\n" % label, b"a\r\n") for label in LABELS),
        (b"\r\n", b""),
        (b"Subject: a", b" b\r\n\r\nbody\r\n"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\npre", b"amble\r\n--b\r\n\r\n--b--\r\n"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nleaf", b"\r\n--b--\r\n"),
        (b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\r\n--b--\r\nepi", b"logue\r\n"),
        (b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\nSubject: a", b"\r\n\r\nbody"),
        (b"Content-Type: message/external-body\r\nContent-Transfer-Encoding: binary\r\n\r\na", b"b"),
    ],
)
def test_what_is_not_binary_is_made_of_lines(fault: bytes, around: tuple[bytes, bytes]) -> None:
    message = fault.join(around)
    for cuts in ([], list(range(len(message)))):
        with pytest.raises(PermanentFailure, match="a NUL, or a CR or LF that stands alone") as failure:
            reencoded(message, cuts)
        assert failure.value.status == "5.6.0"


@given(st.lists(st.sampled_from([b"--b\r\n", b"--b--\r\n", b"\r\n", b"\r", b"\n", b"\0", b"x", b"--", b"--b", *(
    b"Content-Transfer-Encoding: binary\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n",
    b"Content-Type: multipart/mixed; boundary=bx\r\n",
    b"Content-Type: message/rfc822\r\n",
)]), max_size=25).map(b"".join), st.lists(st.integers(0, 500), max_size=8))  # fmt: skip
@settings(max_examples=250, deadline=None)
def test_any_octets_come_out_as_lines_or_not_at_all(message: bytes, cuts: list[int]) -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n" + message
    limits = Limits(depth=4, parts=12)

    def outcome(cuts: list[int]) -> bytes | str:
        try:
            return reencoded(message, cuts, limits)
        except PermanentFailure as failure:
            return failure.status

    whole = outcome([])
    assert outcome([min(cut, len(message)) for cut in cuts]) == whole
    assert outcome(list(range(len(message)))) == whole
    if isinstance(whole, bytes):
        assert whole.endswith(b"\r\n")
        assert b"\0" not in whole
        assert whole.count(b"\r\n") == whole.count(b"\r") == whole.count(b"\n")


def test_limits_hold() -> None:
    with pytest.raises(PermanentFailure, match="nested more than 20 deep"):
        reencoded(b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: binary\r\n\r\n" * 21)
    with pytest.raises(PermanentFailure, match="nested more than 2 deep"):
        reencoded(b"Content-Type: message/rfc822\r\n\r\n" * 3, limits=Limits(depth=2))
    with pytest.raises(PermanentFailure, match="longer than 100 octets"):
        reencoded(b"Subject: " + b"x" * 300, limits=Limits(header=100))


def test_memory_and_time_are_bounded() -> None:
    reencoder, block, out = Reencoder(), bytes(range(256)) * 256, 0
    reencoder.feed(b"Content-Transfer-Encoding: binary\r\n\r\n")
    tracemalloc.start()
    begun = time.process_time()
    for _ in range(100):
        out += len(reencoder.feed(block))
    out += len(reencoder.end())
    spent = time.process_time() - begun
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert out == len(base64.encodebytes(block * 100).replace(b"\n", b"\r\n"))
    assert peak < 1_000_000
    assert spent < 1
