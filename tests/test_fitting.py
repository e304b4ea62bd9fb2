"""What a printer gets of a document: by whose it is, what it is, and what the printer's entry says."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from quopri import encodestring

import pytest
import pytest_asyncio

from mailstore.abilities import Abilities
from mailstore.directory.records import Body, Language, Printer, PrintLimits, Raw
from mailstore.failure import PermanentFailure
from mailstore.job import Job
from mailstore.store.contract import Role, Store
from mailstore.store.papers import Fate
from mailstore.store.sql import open_store
from mailstore.ticket import ColorMode, Ticket
from printerbridge import extraction, fitting, pjl
from printerbridge.ready import Prepared
from printerbridge.slots import Slots
from printerbridge.spool import Spool
from tests.directory_server import short_folder
from tests.documents import pdf, postscript
from tests.printer_view import UEL
from tests.printshop import MEDIA, message
from tests.test_spool import accepted, folders, prepared_of, sent, speaks

POSTSCRIPT, PDF = postscript(1), pdf(1)
PCL = b"\x1bE\x1b&l0Ohello\x0c\x1bE"
PASSWORD = b"@PJL DEFAULT PASSWORD=1\r\n"
BEFORE = UEL + PASSWORD + b"@PJL SET DUPLEX=ON\r\n"
DROPPED = re.compile(r"DEFAULT", re.IGNORECASE)


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with short_folder() as runtime:
        made = await open_store(tmp_path / "data", role=Role.APPLIANCE, reserve=0, runtime=runtime)
        yield made
        await made.close()


@pytest.fixture
def spool(store: Store, tmp_path: Path) -> Spool:
    made = Spool(store, tmp_path / "spool", media=MEDIA, slots=Slots(2, 4 << 30))
    made.open()
    return made


def wrapped(document: bytes, language: bytes) -> bytes:
    return BEFORE + b"@PJL ENTER LANGUAGE=" + language + b"\r\n" + document + UEL


def attached(document: bytes, name: str, media_type: str = "application/octet-stream") -> bytes:
    head = f"Content-Type: {media_type}\r\nContent-Disposition: attachment; filename={name}\r\n"
    return head.encode() + b"Content-Transfer-Encoding: base64\r\n\r\n" + b64encode(document) + b"\r\n"


async def fit(store: Store, spool: Spool, mail: bytes, printer: Printer, trust: str = "insider") -> Prepared:
    return await prepared_of(spool, await accepted(store, mail, trust), printer)


# -- whose document is treated how

AS_IT_CAME, LOOKED_AT, DRAWN, REFUSED = "went as it came", fitting.PASSES_AS_PDF, "drawn anew", "refused"
IN, V, S = Raw.INSIDER, Raw.VERIFIED, Raw.STRANGER
POLICIES = {  # raw and unfiltered of the printer's entry -> trust -> what is done to programs, and to what is none
    (IN, Raw.NOBODY): {IN: (True, True), V: (False, True), S: (False, False)},
    (V, Raw.NOBODY): {IN: (True, True), V: (True, True), S: (False, False)},
    (S, Raw.NOBODY): {IN: (True, True), V: (True, True), S: (True, True)},
    (Raw.NOBODY, Raw.NOBODY): {IN: (False, False), V: (False, False), S: (False, False)},
    (Raw.NOBODY, IN): {IN: (True, True), V: (False, False), S: (False, False)},
    (IN, V): {IN: (True, True), V: (True, True), S: (False, False)},
}
PROGRAM, OTHER = 0, 1
CASES = [
    *((policy, PCL, Language.PCL, OTHER, AS_IT_CAME, REFUSED) for policy in POLICIES),
    ((IN, Raw.NOBODY), POSTSCRIPT, Language.POSTSCRIPT, PROGRAM, AS_IT_CAME, DRAWN),
    ((IN, V), POSTSCRIPT, Language.POSTSCRIPT, PROGRAM, AS_IT_CAME, DRAWN),
    ((V, Raw.NOBODY), PDF, Language.PDF, PROGRAM, LOOKED_AT, DRAWN),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("policy", "document", "language", "kind", "passes", "else_"),
    CASES,
    ids=[f"{case[2].value}, raw {case[0][0].value}, unfiltered {case[0][1].value}" for case in CASES],
)
async def test_by_trust_and_the_printers_entry(
    store: Store,
    spool: Spool,
    policy: tuple[Raw, Raw],
    document: bytes,
    language: Language,
    kind: int,
    passes: str,
    else_: str,
) -> None:
    raw, unfiltered = policy
    printer = replace(speaks(language), raw=raw, unfiltered=unfiltered)
    for trust, may in POLICIES[policy].items():
        expected = passes if may[kind] else else_
        job = await accepted(store, message(document), trust.value)
        if expected == REFUSED:
            with pytest.raises(PermanentFailure, match="from this sender it may not; send it as") as caught:
                await prepared_of(spool, job, printer)
            assert caught.value.reason == "unsupported-document-format"
            continue
        ready = await prepared_of(spool, job, printer)
        assert ready.records[0].detail == expected, trust
        assert (sent(ready) == [document]) == may[kind]
        await spool.discard(ready)


async def test_commands_are_kept_from_the_printer_counted_and_told(store: Store, spool: Spool) -> None:
    def counted() -> float:
        return sum(
            sample.value
            for metric in fitting.DROPPED.collect()
            for sample in metric.samples
            if sample.name.endswith("_total")
        )

    printer, document = replace(speaks(Language.PCL), pjl=True), wrapped(PCL, b"PCL")
    for trust in (IN, V):
        before = counted()
        ready = await fit(store, spool, message(document), printer, trust.value)
        (got,) = sent(ready)
        assert b"PASSWORD" not in got
        assert b"@PJL SET DUPLEX = ON\r\n" in got
        assert PCL in got
        assert counted() == before + 1
        assert [note for note in ready.notes() if DROPPED.search(note)]
        await spool.discard(ready)
    ready = await fit(store, spool, message(document), replace(printer, unfiltered=IN))
    assert (sent(ready), ready.notes()) == ([document], [])
    await spool.discard(ready)


@pytest.mark.slow
@pytest.mark.parametrize("trust", [IN, V, S])
@pytest.mark.parametrize(
    ("document", "language"), [(POSTSCRIPT, Language.POSTSCRIPT), (PDF, Language.PDF)], ids=["postscript", "pdf"]
)
async def test_pjl_around_a_program(
    store: Store, spool: Spool, tmp_path: Path, trust: Raw, document: bytes, language: Language
) -> None:
    printer = replace(speaks(language), pjl=True)
    mail = message(wrapped(document, language.value.upper().encode()))
    ready = await fit(store, spool, mail, printer, trust.value)
    (got,) = sent(ready)
    assert b"PASSWORD" not in got
    assert (document in got) == (trust is IN)
    assert (b"@PJL SET DUPLEX = ON" in got) == (trust is IN)
    assert got.startswith(UEL) == (trust is IN)
    if trust is not IN:
        assert got.startswith((b"%!PS", b"%PDF"))
        assert ready.pages == 1
    assert [note for note in ready.notes() if DROPPED.search(note)]
    await spool.discard(ready)
    assert folders(tmp_path / "spool") == []


# -- what is not opened


async def test_of_a_stranger_what_passes_is_not_opened_where_converters_are_poorly_confined(
    store: Store, spool: Spool, tmp_path: Path
) -> None:
    """Its pages count against a limit, and only a confined program could count them."""
    printer = replace(speaks(Language.POSTSCRIPT), raw=S, limits=PrintLimits(pages=5))
    spool.can(Abilities(level="rlimits", safe=False))
    ready = await fit(store, spool, message(POSTSCRIPT), printer, "stranger")
    assert sent(ready) == [POSTSCRIPT]
    assert (ready.pages, ready.counted) == (0, 1)
    (note,) = ready.notes()
    assert note.startswith('the pages of document 1 ("document-1") are not counted: documents of this format are not')
    assert folders(tmp_path / "spool") == []


@pytest.mark.parametrize("trust", [V, S])
async def test_a_program_of_a_stranger_is_refused_there(store: Store, spool: Spool, trust: Raw) -> None:
    spool.can(Abilities(level="rlimits", safe=False))
    job = await accepted(store, message(POSTSCRIPT, PCL), trust.value)
    if trust is S:
        with pytest.raises(PermanentFailure, match="not opened here for senders that are not proved") as caught:
            await prepared_of(spool, job, speaks(Language.PCL))
        assert caught.value.reason == "document-security-error"
    else:
        assert (await prepared_of(spool, job, speaks(Language.PCL))).failed == ""


# -- what is asked for


@pytest.mark.slow
async def test_a_page_description_that_we_made_has_our_pjl_once(store: Store, spool: Spool) -> None:
    printer = replace(speaks(Language.PCLXL), pjl=True)
    ready = await fit(store, spool, message(PDF), printer)
    (document,) = ready.documents
    name = pjl.job_name(1, 1, "a job")
    conversation = pjl.Conversation(document.head(), document.language, name, said=pjl.Said(settings=document.pjl))
    got = b"".join(conversation.dress(document.blocks()))
    assert (got.count(b"ENTER LANGUAGE"), got.count(b") HP-PCL XL")) == (1, 1)
    assert got.count(UEL) == 2  # before the document and behind it
    await spool.discard(ready)
    ready = await fit(store, spool, message(PDF), speaks(Language.PCLXL))
    (alone,) = ready.documents
    octets = b"".join(alone.blocks())
    assert octets.startswith(UEL + b"@PJL ENTER LANGUAGE = PCLXL\r\n) HP-PCL XL;")
    assert octets.endswith(UEL)
    assert (octets.count(UEL), octets.count(b"@PJL"), alone.octets) == (2, 1, len(octets))
    await spool.discard(ready)


@pytest.mark.slow
@pytest.mark.parametrize("color", [False, True])
async def test_grey_pages_of_a_pdf_that_would_pass(store: Store, spool: Spool, color: bool) -> None:
    """A printer of PDF that speaks no PJL cannot be told, so they are drawn; one without colours need not be told."""
    asked = Ticket(color=ColorMode.MONOCHROME)
    ready = await fit(store, spool, message(PDF), replace(speaks(Language.PDF), color=color, ticket=asked))
    assert ready.records[0].detail == (DRAWN if color else LOOKED_AT)
    await spool.discard(ready)
    told = replace(speaks(Language.PDF), color=color, ticket=asked, pjl=True)
    ready = await fit(store, spool, message(PDF), told)
    assert ready.records[0].detail == LOOKED_AT
    assert ready.documents[0].pjl == ("SET RENDERMODE = GRAYSCALE",)
    await spool.discard(ready)


@pytest.mark.slow
async def test_paper_is_what_is_asked_for_else_the_printers_else_the_sites(store: Store, spool: Spool) -> None:
    letter, a5 = "na_letter_8.5x11in", "iso_a5_148x210mm"
    for printer, subject, size in (
        (speaks(Language.POSTSCRIPT), "x", b"595 842"),
        (replace(speaks(Language.POSTSCRIPT), media=(letter, MEDIA)), "x", b"612 792"),
        (replace(speaks(Language.POSTSCRIPT), media=(letter, a5)), "[media=a5]", b"420 595"),
    ):
        ready = await fit(store, spool, message(PDF, subject=subject), printer)
        (got,) = sent(ready)
        assert re.search(rb"%%(?:BoundingBox: 0 0|DocumentMedia: \S+) " + size, got), subject
        await spool.discard(ready)


@pytest.mark.slow
@pytest.mark.parametrize("color", [False, True])
async def test_colours_only_for_printers_that_have_them(store: Store, spool: Spool, color: bool) -> None:
    body = "1 0 0 setrgbcolor 100 100 200 200 rectfill"
    printer = replace(speaks(Language.PWG), color=color)
    ready = await fit(store, spool, message(postscript(1, body=body)), printer)
    (got,) = sent(ready)
    # cupsColorSpace of the page's header (PWG 5102.4 table 2): 18 is sGray, 19 is sRGB.
    assert int.from_bytes(got[4 + 400 : 4 + 404]) == (19 if color else 18)
    await spool.discard(ready)


# -- where it is asked for


def letter(
    body: str, *, subject: str = "x", field: str = "", charset: str = "utf-8", coding: str = "8bit", kind: str = "plain"
) -> bytes:
    octets = body.encode(charset)
    if coding == "quoted-printable":
        octets = encodestring(octets).replace(b"\n", b"\r\n").replace(b"\r\r\n", b"\r\n")
    fields = f"Printpost-Options: {field}\r\n" if field else ""
    head = f"Subject: {subject}\r\n{fields}Content-Type: text/{kind}; charset={charset}\r\n"
    return f"{head}Content-Transfer-Encoding: {coding}\r\n\r\n".encode() + octets


@pytest.mark.parametrize(
    ("mail", "text"),
    [
        (letter("hello\r\n", subject="[copies=2] x"), b"hello"),
        (letter("hello\r\n", field="copies=2"), b"hello"),
        (letter("#print copies=2\r\nhello\r\n"), b"\r\nhello"),
        (letter("\r\n  #print\t copies=2  \r\nhello\r\n"), b"\r\n\r\nhello"),
        (letter("#PRINT copies=2\r\nGrüße\r\n", charset="iso-8859-1"), b"\r\nGr"),
        (letter("#print copies=2 Grüße\r\nhello\r\n", charset="iso-8859-1"), b"\r\nhello"),
        (letter("#print copies=2\r\nhello=\r\n", coding="quoted-printable"), b"\r\nhello="),
        (letter("#print\u00a0copies=2\r\nhello\r\n"), b"\r\nhello"),
    ],
    ids=["subject", "field", "line", "spaced", "latin-1", "not ascii", "quoted-printable", "no-break space"],
)
async def test_a_ticket_counts_wherever_it_stands_and_is_not_printed(
    store: Store, spool: Spool, mail: bytes, text: bytes
) -> None:
    ready = await fit(store, spool, mail, speaks(Language.TEXT))
    first, second = sent(ready)
    assert first == second
    assert first.lstrip().startswith(text.lstrip())
    assert b"print" not in first.lower()
    assert sum(map(len, (first, second))) == sum(document.octets for document in ready.documents)
    await spool.discard(ready)


@pytest.mark.slow
async def test_the_line_is_cut_out_of_the_html_of_the_same_letter(
    store: Store, spool: Spool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    html = "<html><body><p>#print&nbsp;copies=2</p><p>hello</p></body></html>"
    parts = [letter("#print copies=2\r\nhello\r\n"), letter(html, kind="html", coding="quoted-printable")]
    head = b"Content-Type: multipart/alternative; boundary=b\r\n\r\n"
    mail = head + b"".join(b"--b\r\n" + part.partition(b"\r\n")[2] + b"\r\n" for part in parts) + b"--b--\r\n"
    drawn, real = list[bytes](), extraction.Extraction.whole_file

    async def looked(self: extraction.Extraction, part: object, prepared: Prepared) -> Path:
        path = await real(self, part, prepared)  # type: ignore[arg-type]
        drawn.append(path.read_bytes())
        return path

    monkeypatch.setattr(extraction.Extraction, "whole_file", looked)
    ready = await fit(store, spool, mail, replace(speaks(Language.POSTSCRIPT), body=Body.ALWAYS))
    assert drawn == [b"<html><body><p></p><p>hello</p></body></html>"]
    assert (len(ready.documents), b"/NumCopies 2" in sent(ready)[0]) == (1, True)
    await spool.discard(ready)


# -- what is noted


@pytest.mark.parametrize(
    ("declared", "document", "noted"),
    [
        ("application/postscript", POSTSCRIPT, False),
        ("application/octet-stream", POSTSCRIPT, False),
        ("application/pdf", POSTSCRIPT, True),
        ("text/plain", POSTSCRIPT, True),
        ("image/png", POSTSCRIPT, True),
        ("application/x-foo", POSTSCRIPT, False),
    ],
)
async def test_what_is_called_what_it_is_not_is_noted(
    store: Store, spool: Spool, declared: str, document: bytes, noted: bool
) -> None:
    ready = await fit(store, spool, attached(document, "a.bin", declared), speaks(Language.POSTSCRIPT))
    note = f'document 1 ("a.bin") is called {declared}, and is application/postscript'
    assert ready.notes() == [note] * noted
    await spool.discard(ready)


# -- what it holds


async def test_what_grows_when_it_is_cleaned_counts_as_it_is(
    store: Store, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """U+FDFA is one letter of three octets, and eighteen without its ornament."""
    monkeypatch.setattr(extraction, "DOCUMENT_IN_MEMORY", 9000)
    for letters, in_memory in ((400, True), (2000, False)):
        job: Job = await accepted(store, letter("\ufdfa" * letters))
        ready = await prepared_of(spool, job, speaks(Language.TEXT))
        (document,) = ready.documents
        assert (document.path is None) == in_memory
        assert document.octets == len(sent(ready)[0]) > 18 * letters
        assert ready.held == spool._house.extraction.in_memory == (document.octets if in_memory else 0)
        await spool.discard(ready)
        assert spool._house.extraction.in_memory == 0


async def test_a_letter_that_says_only_how_to_print_is_no_page(store: Store, spool: Spool) -> None:
    parts = [letter("#print copies=2\r\n"), b"Subject: x\r\n" + attached(POSTSCRIPT, "a.ps")]
    head = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
    mail = head + b"".join(b"--b\r\n" + part.partition(b"\r\n")[2] + b"\r\n" for part in parts) + b"--b--\r\n"
    ready = await fit(store, spool, mail, replace(speaks(Language.POSTSCRIPT), body=Body.ALWAYS))
    assert sent(ready) == [POSTSCRIPT] * 2
    assert [(one.number, one.fate, one.detail) for one in ready.records] == [
        (1, Fate.READY, AS_IT_CAME),
        (2, Fate.LEFT_OUT, "it says only how to print"),
    ]
    await spool.discard(ready)
