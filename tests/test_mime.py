"""The walk, the decoders, the survey and the extraction, against the standard library and against every way to cut."""

from __future__ import annotations

import base64
import binascii
import quopri
import time
from email.message import EmailMessage

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstore.codings import Base64, QuotedPrintable
from mailstore.document_format import DocumentFormat
from mailstore.documents import Document, Extractor, Surveyor, take
from mailstore.failure import PermanentFailure
from mailstore.mime import Data, End, Limits, Part, Walker, everything
from mailstore.sniff import PREFIX_OCTETS

PDF = b"%PDF-1.4\n" + bytes(range(256)) * 40 + b"\n%%EOF\n"
PS = b"%!PS-Adobe-3.0\n/Courier findfont 12 scalefont setfont (hello) show showpage\n"


def crlf(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode("utf-8", "surrogateescape")


def told(message: bytes, cuts: list[int], appetite=everything, limits=None) -> list[tuple[Part, bytes, End]]:
    """Each part with its octets, the message fed in pieces that end at `cuts`."""
    walker = Walker(appetite, limits)
    events, start = [], 0
    for stop in [*sorted(cuts), len(message)]:
        events += walker.feed(message[start:stop])
        start = stop
    events += walker.close()
    parts: list[tuple[Part, bytes, End]] = []
    for event in events:
        if isinstance(event, Part):
            part, octets = event, b""
        elif isinstance(event, Data):
            assert event.octets
            octets += event.octets
        else:
            parts.append((part, octets, event))
    return parts


def survey(message: bytes, size: int = 0) -> tuple[tuple[Document, ...], Surveyor]:
    surveyor = Surveyor()
    for start in range(0, len(message), size or len(message) or 1):
        surveyor.feed(message[start : start + (size or len(message))])
    return surveyor.close(), surveyor


def extract(message: bytes, path: str) -> bytes:
    extractor = Extractor([path])
    pieces = [octets for _, octets in extractor.feed(message)]
    return b"".join(pieces + [octets for _, octets in extractor.close()])


def mail(*attachments: tuple[bytes, str, str], text: str = "See the file.\n", html: str = "") -> bytes:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "ada@example.com", "phaser@example.com", "Job"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    for octets, media_type, name in attachments:
        main, sub = media_type.split("/")
        message.add_attachment(octets, maintype=main, subtype=sub, filename=name)
    return message.as_bytes().replace(b"\n", b"\r\n")


NESTED = crlf(
    """\
From: ada@example.com
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary=abc

preamble
--abcdef
not a part
--abc
Content-Type: multipart/alternative; boundary="abcdef"

--abcdef

plain
--abcdef  \t
Content-Type: text/html

<html>
--abcdef--
epilogue of the inner
--abcdef
--abc
Content-Type: message/rfc822

Subject: inner
Content-Type: multipart/mixed; boundary="=_x y"

--=_x y
Content-Type: application/postscript
Content-Disposition: attachment; filename*=UTF-8''h%C3%A4.ps
Content-Transfer-Encoding: quoted-printable

%!PS=0D=0A=
show =20
--abc--no
--=_x y--
--abc
--abc
Content-Type: text/plain

last

--abc--
epilogue
--abc
"""
)


def test_a_nested_message_is_told_in_order() -> None:
    parts = told(NESTED, [])
    assert [(part.path, part.media_type, octets) for part, octets, _ in parts] == [
        ("1.1", "text/plain", b"plain"),
        ("1.2", "text/html", b"<html>"),
        ("2.1", "application/postscript", b"%!PS\r\nshow  \r\n--abc--no"),
        ("3", "text/plain", b""),
        ("4", "text/plain", b"last\r\n"),
    ]
    assert parts[2][0].name == "hä.ps"
    assert parts[2][0].within == ("multipart/mixed", "message/rfc822", "multipart/mixed")


SAMPLES = [
    NESTED,
    mail((PDF, "application/pdf", "a.pdf"), (PS, "application/postscript", "b.ps"), html="<html>x</html>"),
    mail(text="Grüße, mit viel Text am Ende =\n" * 3),
    crlf("Content-Transfer-Encoding: base64\nContent-Type: application/pdf\n\n") + base64.encodebytes(PDF)[:-9],
    crlf("Content-Type: multipart/mixed; boundary=b\n\n--b\nA: b\n--b\n\n\n--b\n\n--b--x\n--b"),
    b"no header at all",
    b"Subject: only a header\r\n",
    b"",
    b"\r\n\r\n--\r\n",
]


@pytest.mark.parametrize("message", SAMPLES)
@pytest.mark.parametrize("appetite", [everything, lambda part: 10, lambda part: 0])
def test_how_it_is_cut_makes_no_difference(message: bytes, appetite) -> None:
    whole = told(message, [], appetite)
    assert told(message, list(range(len(message))), appetite) == whole
    for size in (2, 3, 7, 76, 1000):
        assert told(message, list(range(0, len(message), size)), appetite) == whole


LINES = st.sampled_from(
    [
        *(
            "--a",
            "--a--",
            "--ab",
            "--ab--",
            "--a-- ",
            "--a \t",
            "--a----",
            "--a--b",
            "",
            "",
            " ",
            "\t",
            "-",
            "--",
            "\r",
            "\n",
            "x =",
        ),
        *("QUJDRA==", "QUJD", "QUJ", "=41=", "--a" + " " * 64, "--a" + " " * 65, " boundary=ab"),
        "Content-Type: multipart/mixed; boundary=a",
        "content-type: multipart/digest; boundary=ab",
        'Content-Type: multipart/mixed; boundary="a--"',
        "Content-Type: multipart/mixed;",
        "Content-Type: message/rfc822",
        "Content-Type: text/plain; charset=utf-8",
        "Content-Transfer-Encoding: base64",
        "Content-Transfer-Encoding: quoted-printable",
    ]
)


@given(st.lists(LINES, max_size=25), st.booleans(), st.data())
@settings(max_examples=200, deadline=None)
def test_any_lines_survive_any_cut(lines: list[str], ended: bool, data) -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=a\n\n" + "\n".join(lines) + "\n" * ended)
    limits = Limits(depth=4, parts=12)
    cuts = data.draw(st.lists(st.integers(0, len(message)), max_size=12))

    def outcome(cuts: list[int]):
        try:
            return told(message, cuts, limits=limits)
        except PermanentFailure as failure:
            return str(failure)

    whole = outcome([])
    assert outcome(cuts) == whole
    assert outcome(list(range(len(message)))) == whole


@given(st.binary(max_size=300), st.lists(st.integers(0, 300)))
@settings(max_examples=200, deadline=None)
def test_any_octets_survive(octets: bytes, cuts: list[int]) -> None:
    message = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + octets + b"\r\n--b--\r\n"
    assert told(message, [min(cut, len(message)) for cut in cuts]) == told(message, [])
    survey(octets)


ATTACHMENTS = st.lists(st.tuples(st.binary(max_size=9000), st.just("application/x-thing"), st.just("n")), max_size=3)


@given(ATTACHMENTS, st.integers(1, 5000))
@settings(max_examples=50, deadline=None)
def test_attachments_come_out_as_they_went_in(attachments: list[tuple[bytes, str, str]], size: int) -> None:
    message = mail(*attachments)
    parts = told(message, list(range(0, len(message), size)))
    assert [octets for _, octets, _ in parts[1:]] == [octets for octets, _, _ in attachments]
    assert not any(end.defect for _, _, end in parts)


def decoded(decoder: Base64 | QuotedPrintable, octets: bytes, cuts: list[int]) -> tuple[bytes, str]:
    out, start = b"", 0
    for stop in [*sorted(cuts), len(octets)]:
        out += decoder.decode(octets[start:stop])
        start = stop
    rest, defect = decoder.end()
    return out + rest, defect


NOISY = st.lists(
    st.sampled_from([b"QUJD", b"QU", b"J", b"\r\n", b" ", b"!", b"\xff", b"=", b"==", b"+/9z" * 19]), max_size=40
)


@given(NOISY.map(b"".join), st.lists(st.integers(0, 400), max_size=10))
@settings(max_examples=250, deadline=None)
def test_base64_is_that_of_the_standard_library_or_a_defect(octets: bytes, cuts: list[int]) -> None:
    out, defect = decoded(Base64(), octets, cuts)
    assert (out, defect) == decoded(Base64(), octets, [])
    assert (out, defect) == decoded(Base64(), octets, list(range(len(octets))))
    if not defect:
        data = octets.translate(None, b"\r\n !\xff=")
        assert out == binascii.a2b_base64(data + b"=" * (-len(data) % 4))


@pytest.mark.parametrize(
    ("octets", "result"),
    [
        (b"QUJD\r\nRA==\r\n", (b"ABCD", "")),
        (b"QUJDRA=", (b"ABCD", "")),
        (b"QUJDRA", (b"ABC", "its base64 is cut short")),
        (b"QUJDR", (b"ABC", "its base64 is cut short")),
        (b"QUJDR===", (b"ABC", "its base64 is cut short")),
        (b"QQ==\r\nQUJD\r\n", (b"A", "its base64 goes on after its padding")),
    ],
)
def test_broken_base64_is_told_not_guessed(octets: bytes, result: tuple[bytes, str]) -> None:
    out, defect = decoded(Base64(), octets, [])
    assert defect == result[1]
    assert defect or out == result[0]


QUOTED = st.lists(
    st.sampled_from([b"=41", b"=", b"==", b"=\r\n", b" ", b"\t", b"\r\n", b"x", b"=3D", b"=zz", b"\xe4"]), max_size=40
)


@given(QUOTED.map(b"".join), st.lists(st.integers(0, 200), max_size=10))
@settings(max_examples=250, deadline=None)
def test_quoted_printable_is_cut_anywhere(octets: bytes, cuts: list[int]) -> None:
    whole = decoded(QuotedPrintable(), octets, [])
    assert decoded(QuotedPrintable(), octets, cuts) == whole
    assert decoded(QuotedPrintable(), octets, list(range(len(octets)))) == whole


@given(st.binary(max_size=2000), st.lists(st.integers(0, 6000), max_size=10))
@settings(max_examples=100, deadline=None)
def test_quoted_printable_comes_back(octets: bytes, cuts: list[int]) -> None:
    quoted = quopri.encodestring(octets.replace(b"\n", b"").replace(b"\r", b"")).replace(b"\n", b"\r\n")
    assert decoded(QuotedPrintable(), quoted, cuts)[0] == octets.replace(b"\n", b"").replace(b"\r", b"")


def test_an_endless_quoted_line_needs_no_memory() -> None:
    line = b"=C3=A4 ==" * 40_000
    decoder, kept, out = QuotedPrintable(), 0, b""
    for start in range(0, len(line), 1000):
        out += decoder.decode(line[start : start + 1000])
        kept = max(kept, len(decoder._line))
    assert kept < 70_000
    assert out + decoder.end()[0] == decoded(QuotedPrintable(), line + b"\r\n", [])[0][:-2]


@pytest.mark.parametrize(
    ("message", "status"),
    [
        (b"Subject: " + b"x" * 300_000, "5.3.4"),
        (b"Subject: " + b"x" * 300_000 + b"\r\n\r\nbody", "5.3.4"),
        (crlf("Content-Type: multipart/mixed; boundary=b\n\n" + "--b\n\n\n" * 1001), "5.3.4"),
        (crlf("Content-Type: message/rfc822\n\n" * 30), "5.6.0"),
        (crlf(f"Content-Type: multipart/mixed; boundary={'b' * 300}\n\n"), "5.6.0"),
    ],
)
def test_limits_hold(message: bytes, status: str) -> None:
    for size in (1 << 20, 1000):
        with pytest.raises(PermanentFailure) as failure:
            told(message, list(range(0, len(message), size)))
        assert failure.value.status == status


def test_little_is_kept_between_chunks() -> None:
    walker = Walker()
    walker.feed(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n")
    for chunk in (b"\r\n--bx" * 20_000, b"\r\n--b" + b" " * 100_000, b"\r\n" * 50_000, b"\r\n--" + b"b" * 100_000):
        walker.feed(chunk)
        assert len(walker._held) <= 300


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
        (mail(html="<html>x</html>"), ["1"]),
        (mail(text="\n \n"), []),
        (mail((b"", "application/pdf", "empty.pdf")), ["1"]),
        (mail((b"a,b\n", "text/csv", "t.csv")), ["2"]),
        (mail((b"BEGIN:VCARD\n", "text/x-vcard", "me.vcf")), ["1"]),
        (mail((b"-----BEGIN PGP SIGNATURE-----\n", "application/pgp-signature", "s.asc")), ["1"]),
        (b"\r\n" + PS, ["1"]),
        (crlf("Content-Type: application/pdf\nContent-Transfer-Encoding: binary\n\n") + PDF, ["1"]),
        (crlf("Content-Type: text/html\n\n<p>x"), []),
        (crlf("Content-Type: application/pdf\nContent-Transfer-Encoding: x-uuencode\n\n") + PDF, []),
        (b"", []),
    ],
)
def test_which_parts_print(message: bytes, paths: list[str]) -> None:
    documents, _ = survey(message)
    assert [document.path for document in documents] == paths


def test_a_refusal_says_what_the_message_held() -> None:
    photo = b"\0\0\0\x18ftypheic" + bytes(40)
    _, surveyor = survey(mail((photo, "image/heic", "p.heic"), (b"<html>", "text/html", "x.html"), text="\n"))
    failure = surveyor.refusal()
    assert failure.status == "5.6.1"
    assert failure.text == "the message holds nothing that can be printed: text/plain (empty), image/heic, text/html"


def test_a_survey_keeps_only_heads() -> None:
    surveyor = Surveyor()
    surveyor.feed(crlf("Content-Type: application/pdf\n\n%PDF-1.4\n"))
    for _ in range(20):
        surveyor.feed(b"x" * 100_000)
        assert len(surveyor._head) <= PREFIX_OCTETS
    (document,) = surveyor.close()
    assert document.octets == 2_000_010


def test_half_a_document_is_refused() -> None:
    message = crlf("Content-Type: application/pdf\nContent-Transfer-Encoding: base64\n\n") + base64.b64encode(PDF)[:-5]
    assert [document.format for document in survey(message)[0]] == [DocumentFormat.PDF]
    with pytest.raises(PermanentFailure, match="part 1 of the message is damaged: its base64 is cut short") as failure:
        extract(message, "1")
    assert (failure.value.status, failure.value.reason) == ("5.6.0", "document-format-error")
    with pytest.raises(PermanentFailure, match="has no part 7"):
        extract(message, "7")


def test_an_extraction_ends_early() -> None:
    message = mail((PDF, "application/pdf", "a.pdf"), (bytes(9000), "application/x-thing", "b"))
    extractor = Extractor(["2"])
    cut = message.index(b"\r\n--", message.index(b"a.pdf")) + 100
    octets = b"".join(octets for _, octets in extractor.feed(memoryview(message)[:cut]))
    assert octets == PDF
    assert extractor.done


def in_two_walks(message: bytes, limits: Limits | None) -> list[tuple[Document, bytes]]:
    surveyor = Surveyor(limits)
    surveyor.feed(message)
    documents = surveyor.close()
    if not documents:
        raise surveyor.refusal()
    extractor = Extractor([document.path for document in documents], limits)
    taken = {document.path: b"" for document in documents}
    for path, octets in (*extractor.feed(message), *extractor.close()):
        taken[path] += octets
    return [(document, taken[document.path]) for document in documents]


def outcome(way, message: bytes, limits: Limits | None = None):
    try:
        return way(message, limits)
    except PermanentFailure as failure:
        return failure.status, failure.text, failure.reason


@pytest.mark.parametrize("message", SAMPLES)
def test_one_walk_is_as_good_as_two(message: bytes) -> None:
    assert outcome(take, message) == outcome(in_two_walks, message)


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
    assert outcome(take, message + b"--b--\r\n", limits) == outcome(in_two_walks, message + b"--b--\r\n", limits)


@given(st.lists(LINES, max_size=25))
@settings(max_examples=200, deadline=None)
def test_one_walk_takes_what_two_would_of_any_lines(lines: list[str]) -> None:
    message = crlf("Content-Type: multipart/mixed; boundary=a\n\n" + "\n".join(lines))
    limits = Limits(depth=4, parts=12)
    assert outcome(take, message, limits) == outcome(in_two_walks, message, limits)


@pytest.mark.parametrize("encoding", ["8bit", "base64", "quoted-printable"])
@pytest.mark.parametrize(
    "piece", [b"\r\n--bx", b"\r\n--", b"\r\n--b" + b" " * 65, b" \r\n", b" ", b"=", b"QUJ\r\n", b"QUJD=\r\n", b"\n"]
)
def test_hostile_bodies_cost_linear_time(encoding: str, piece: bytes) -> None:
    start = f"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Transfer-Encoding: {encoding}\n\n"
    message = crlf(start) + piece * (500_000 // len(piece))
    begun = time.process_time()
    told(message, list(range(0, len(message), 4096)))
    assert time.process_time() - begun < 0.5


@pytest.mark.parametrize(
    "field", [b"content-id:\r\n", b"a:\r\n", b" \r\n", b"Content-Type: a" + b";a=b" * 60_000 + b"\r\n"]
)
def test_hostile_headers_cost_linear_time(field: bytes) -> None:
    header = (b"A: b\r\n" + field * (250_000 // len(field)) + b"\r\n--b\r\n") * 4
    begun = time.process_time()
    told(b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" + header, [])
    assert time.process_time() - begun < 0.5
