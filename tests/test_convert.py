"""From a document to the printer's language: the way, the pages, and what cannot be printed."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from reportlab.lib.pagesizes import A4, landscape, letter

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import PermanentFailure, TransientFailure
from mailstore.passage import no_way
from printerbridge import sandbox
from printerbridge.convert import Converted, _Conversion, convert, failure
from printerbridge.converters import CONVERTERS, python
from printerbridge.converters.contract import Converter, Media, Task
from printerbridge.route import route
from printerbridge.slots import Slots
from tests import documents, levels

pytestmark = pytest.mark.slow  # foreign programs

A4_MEDIA = "iso_a4_210x297mm"
PDF, PS, TEXT = DocumentFormat.PDF, DocumentFormat.POSTSCRIPT, DocumentFormat.TEXT


async def _convert(
    folder: Path,
    octets: bytes,
    source: DocumentFormat,
    *languages: Language,
    media: str = A4_MEDIA,
    color: bool = False,
    as_is: bool = True,
    timeout: float = 60.0,
) -> Converted:
    document = folder / "document"
    document.write_bytes(octets)
    return await convert(
        document,
        source,
        languages,
        folder=folder,
        media=media,
        color=color,
        as_is=as_is,
        timeout=timeout,
    )


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _same(one: list[Image.Image], other: list[Image.Image]) -> None:
    assert len(one) == len(other)
    for page, again in zip(one, other, strict=True):
        assert documents.ink(page) > 0.01
        assert documents.difference(page, again) < 0.2


# The way


def test_a_printers_own_language_goes_as_it_is() -> None:
    assert route(PS, [Language.PCL, Language.POSTSCRIPT2]) == ()
    assert route(DocumentFormat.PCL, [Language.PCL]) == ()
    assert route(TEXT, [Language.TEXT]) == ()


@pytest.mark.parametrize(
    ("source", "targets", "names"),
    [
        (PDF, [Language.POSTSCRIPT], ["pdf-to-postscript"]),
        (PDF, [Language.POSTSCRIPT2], ["pdf-to-postscript2"]),
        (PDF, [Language.PCLXL], ["pdf-to-postscript", "postscript-to-pclxl"]),
        (PDF, [Language.PCL, Language.POSTSCRIPT], ["pdf-to-postscript"]),
        (PDF, [Language.PWG, Language.PCL], ["pdf-to-postscript", "postscript-to-pwg"]),
        (PS, [Language.PCL], ["postscript-to-pcl"]),
        (PS, [Language.PDF], ["postscript-to-pdf"]),
        (TEXT, [Language.PDF], ["text-to-pdf"]),
        (TEXT, [Language.POSTSCRIPT2, Language.PCL], ["text-to-pdf", "pdf-to-postscript2"]),
        (TEXT, [Language.PCL], ["text-to-pdf", "pdf-to-postscript", "postscript-to-pcl"]),
    ],
)
def test_the_shortest_way_is_taken(source: DocumentFormat, targets: list[Language], names: list[str]) -> None:
    way = route(source, targets)
    assert way is not None
    assert [converter.name for converter in way] == names


def test_a_document_can_be_drawn_anew_into_its_own_language() -> None:
    ways = [
        route(source, [language], as_is=False) for source, language in ((PS, Language.POSTSCRIPT), (PDF, Language.PDF))
    ]
    assert [[converter.name for converter in way or ()] for way in ways] == [
        ["postscript-to-pdf", "pdf-to-postscript"],
        ["pdf-to-pdf"],
    ]


CHEAT = b"""%!PS
/currentpagedevice {<</PageCount 1>>} def
showpage showpage showpage
(\\npages: 1\\n) print flush quit
"""


@pytest.mark.slow
@pytest.mark.parametrize("language", [Language.POSTSCRIPT2, Language.PDF, Language.PCL, Language.PCLXL, Language.PWG])
async def test_a_program_does_not_say_how_many_pages_it_has_where_they_count(
    tmp_path: Path, language: Language
) -> None:
    source = tmp_path / "source.ps"
    source.write_bytes(CHEAT)
    made = await convert(source, PS, [language], folder=tmp_path, media=A4_MEDIA, as_is=False, counted=True)
    assert made.pages == 3
    assert made.route[0] == "postscript-to-pdf"


def test_every_way_fits_together() -> None:
    for source in DocumentFormat:
        for language in Language:
            way = route(source, [language], as_is=False) or ()
            for step, following in itertools.pairwise(way):
                assert step.language.document_format is following.source
            if way:
                assert way[0].source is (PDF if source is DocumentFormat.PCLM else source)
                assert way[-1].language is language
    assert len({converter.name for converter in CONVERTERS}) == len(CONVERTERS)


def test_what_cannot_be_printed() -> None:
    assert route(PDF, [Language.PWG]) is not None
    assert route(DocumentFormat.OCTETS, list(Language)) is None
    assert route(DocumentFormat.PCL, [Language.POSTSCRIPT, Language.PDF]) is None
    assert route(PDF, [Language.TEXT]) is None
    assert route(PDF, []) is None


@pytest.mark.parametrize("as_is", [True, False])
def test_what_the_door_lets_in_has_a_way(as_is: bool) -> None:
    for count in range(len(Language) + 1):
        for languages in itertools.combinations(Language, count):
            for source in DocumentFormat:
                refused = no_way(source, languages, as_is=as_is)
                assert (refused is None) == (route(source, languages, as_is=as_is) is not None), (source, languages)


@pytest.mark.parametrize(
    ("name", "size"),
    [(A4_MEDIA, (595.28, 841.89)), ("na_letter_8.5x11in", (612.0, 792.0)), ("custom_x_100x150mm", (283.46, 425.2))],
)
def test_media_by_name(name: str, size: tuple[float, float]) -> None:
    media = Media.named(name)
    assert (media.width, media.height) == size


@pytest.mark.parametrize(
    "name", ["", "a4", "iso_a4_210x297", "custom_x_0x0mm", "custom_x_9999x1in", "x_1e9x1mm", "x_8x8in;"]
)
def test_media_that_is_none(name: str) -> None:
    with pytest.raises(ValueError, match=r"paper|media"):
        Media.named(name)


# PDF


@pytest.mark.parametrize("language", [Language.POSTSCRIPT, Language.POSTSCRIPT2])
async def test_pdf_becomes_postscript_with_the_same_pixels(tmp_path: Path, language: Language) -> None:
    octets = documents.pdf(2, transparent=True)
    converted = await _convert(tmp_path, octets, PDF, language)
    assert (converted.language, converted.document_format, converted.pages) == (language, PS, 2)
    level = b"%%LanguageLevel: 2" if language is Language.POSTSCRIPT2 else b"%%LanguageLevel: 3"
    head = converted.path.read_bytes()
    assert head.startswith(b"%!PS-Adobe-3.0")
    assert level in head[:1000]
    _same(documents.pages_of(tmp_path / "document"), documents.pages_of(converted.path))


async def test_level_2_means_what_it_says(tmp_path: Path) -> None:
    converted = await _convert(tmp_path, documents.pdf(transparent=True), PDF, Language.POSTSCRIPT2)
    # The operators and filters that PostScript level 3 added (PLRM appendix A.1) and a level 2 printer stops at.
    body = converted.path.read_bytes()
    for name in (b"FlateDecode", b"shfill", b"setsmoothness", b"DeviceN", b"clipsave", b"ReusableStreamDecode"):
        assert name not in body
    # The level 3 form of the same page shows that this page does call for one of them.
    third = await _convert(tmp_path, documents.pdf(transparent=True), PDF, Language.POSTSCRIPT)
    assert b"FlateDecode" in third.path.read_bytes()


async def test_intermediate_files_are_gone_and_the_document_is_untouched(tmp_path: Path) -> None:
    octets = documents.pdf()
    converted = await _convert(tmp_path, octets, PDF, Language.PCLXL)
    assert converted.route == ("pdf-to-postscript", "postscript-to-pclxl")
    assert (tmp_path / "document").read_bytes() == octets
    assert _names(tmp_path) == {converted.path.name, "document"}
    with pytest.raises(PermanentFailure):
        await _convert(tmp_path, documents.damaged_pdf(), PDF, Language.PCLXL)
    assert _names(tmp_path) == {converted.path.name, "document"}


@pytest.mark.parametrize(
    ("language", "color", "mark"),
    [
        (Language.PCLXL, False, b") HP-PCL XL;"),
        (Language.PCLXL, True, b") HP-PCL XL;"),
        (Language.PCL, False, b"\x1bE"),
        (Language.PCL, True, b"\x1bE"),
        (Language.PWG, False, b"RaS2PwgRaster\0"),
        (Language.PWG, True, b"RaS2PwgRaster\0"),
    ],
)
async def test_pdf_becomes_a_printers_language(tmp_path: Path, language: Language, color: bool, mark: bytes) -> None:
    one = await _convert(tmp_path, documents.pdf(1), PDF, language, color=color)
    two = await _convert(tmp_path, documents.pdf(3), PDF, language, color=color)
    assert (one.pages, two.pages) == (1, 3)
    assert mark in one.path.read_bytes()[:600]
    assert two.path.stat().st_size > 1.5 * one.path.stat().st_size


async def test_pwg_raster_is_that_of_the_standard(tmp_path: Path) -> None:
    header = (await _convert(tmp_path, documents.pdf(), PDF, Language.PWG)).path.read_bytes()[4:1800]

    def field(offset: int) -> int:  # PWG 5102.4 table 2
        return int.from_bytes(header[offset : offset + 4], "big")

    assert (field(276), field(280)) == (300, 300)  # HWResolution
    assert abs(field(372) - 2480) <= 1  # Width
    assert abs(field(376) - 3508) <= 1  # Height
    assert (field(384), field(388), field(400)) == (8, 8, 18)  # BitsPerColor, BitsPerPixel, ColorSpace sGray


@pytest.mark.parametrize("size", [letter, landscape(A4), (1684, 2384)])
async def test_other_sizes_are_shrunk_or_turned_onto_the_paper(tmp_path: Path, size: tuple[float, float]) -> None:
    converted = await _convert(tmp_path, documents.pdf(size=size), PDF, Language.POSTSCRIPT)
    (page,) = documents.pages_of(converted.path)
    assert page.size == (595, 842)
    dark = page.point(lambda value: 255 if value < 128 else 0).getbbox()
    assert dark is not None
    assert min(dark[0], dark[1], 595 - dark[2], 842 - dark[3]) > 5  # the frame is on the paper, all of it


async def test_no_postscript_of_the_sender_gets_through(tmp_path: Path) -> None:
    marker = "injected-into-the-printer"
    octets = documents.pdf_with_hidden_postscript(marker)
    assert marker.encode() in octets
    converted = await _convert(tmp_path, octets, PDF, Language.POSTSCRIPT)
    assert marker.encode() not in converted.path.read_bytes()
    assert documents.ink(documents.pages_of(converted.path)[0]) > 0.02
    again = await _convert(tmp_path, octets, PDF, Language.PDF, as_is=False)
    assert marker.encode() not in again.path.read_bytes()


async def test_a_pdf_for_a_pdf_printer_is_looked_at_but_not_touched(tmp_path: Path) -> None:
    converted = await _convert(tmp_path, documents.pdf(4), PDF, Language.PDF)
    assert (converted.path, converted.pages, converted.route) == (tmp_path / "document", 4, ())
    with pytest.raises(PermanentFailure) as caught:
        await _convert(tmp_path, documents.pdf(password="secret"), PDF, Language.PDF)
    assert caught.value.reason == "document-password-error"


@pytest.mark.parametrize(
    ("octets", "reason", "words"),
    [
        (documents.pdf(password="secret"), "document-password-error", "without a password"),
        (documents.damaged_pdf(), "document-format-error", "damaged"),
        (documents.pdf()[:600], "document-format-error", "damaged"),
        (b"", "document-format-error", "damaged"),
    ],
)
async def test_a_pdf_that_cannot_be_printed(tmp_path: Path, octets: bytes, reason: str, words: str) -> None:
    with pytest.raises(PermanentFailure) as caught:
        await _convert(tmp_path, octets, PDF, Language.POSTSCRIPT)
    assert caught.value.reason == reason
    assert words in caught.value.text


async def test_a_small_pdf_of_very_many_pages_is_refused(tmp_path: Path) -> None:
    """One page, shown ten thousand and one times."""
    source = tmp_path / "source.pdf"
    pages = 10_001
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count %d/Kids[%s]>>" % (pages, b"3 0 R " * pages),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>",
    ]
    octets, places = b"%PDF-1.4\n", []
    for number, body in enumerate([*objects, *[b"null"] * pages], 1):  # more objects than pages, else it is no PDF
        places.append(len(octets))
        octets += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    size = len(places) + 1
    octets += b"xref\n0 %d\n0000000000 65535 f \n%strailer\n<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (
        size,
        table,
        size,
        len(octets),
    )
    source.write_bytes(octets)
    with pytest.raises(PermanentFailure, match="has 10001 pages; send at most 10000 in one") as caught:
        await convert(source, PDF, [Language.PDF], folder=tmp_path, media=A4_MEDIA)
    assert caught.value.reason == "document-unprintable-error"


async def test_no_way_is_a_permanent_failure(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure) as caught:
        await _convert(tmp_path, b"?", DocumentFormat.OCTETS, Language.POSTSCRIPT)
    assert caught.value.reason == "unsupported-document-format"


# PostScript


async def test_postscript_becomes_pdf_with_the_same_pixels(tmp_path: Path) -> None:
    converted = await _convert(tmp_path, documents.postscript(2), PS, Language.PDF)
    assert converted.pages == 2
    _same(documents.pages_of(tmp_path / "document"), documents.pages_of(converted.path))


async def test_encapsulated_postscript_is_brought_onto_the_paper(tmp_path: Path) -> None:
    head = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 1000 1000 1200 1300\n%%EndComments\n"
    converted = await _convert(tmp_path, head + b"1000 1000 200 300 rectfill\n%%EOF\n", PS, Language.PDF)
    assert converted.pages == 1
    (page,) = documents.pages_of(converted.path)
    assert documents.ink(page) > 0.5


async def test_postscript_for_other_paper_is_scaled(tmp_path: Path) -> None:
    poster = b"%!PS\n<< /PageSize [1190 1684] >> setpagedevice 8 setlinewidth 20 20 1150 1644 rectstroke showpage\n"
    (page,) = documents.pages_of((await _convert(tmp_path, poster, PS, Language.PDF)).path)
    dark = page.point(lambda value: 255 if value < 128 else 0).getbbox()
    assert dark is not None
    assert all(abs(side - near) < 5 for side, near in zip(dark, (8, 8, 587, 834), strict=True))


@pytest.mark.parametrize("language", [Language.PCLXL, Language.PCL, Language.PWG])
async def test_pages_of_postscript_are_counted(tmp_path: Path, language: Language) -> None:
    spoofed = documents.postscript(3, body="(\npages: 99\n) print")
    assert (await _convert(tmp_path, spoofed, PS, language)).pages == 3


async def test_postscript_without_a_page_is_no_success(tmp_path: Path) -> None:
    for language in (Language.PDF, Language.PCL, Language.PCLXL, Language.PWG):
        with pytest.raises(PermanentFailure) as caught:
            await _convert(tmp_path, b"%!PS\n72 72 moveto\n", PS, language)
        assert caught.value.reason == "document-unprintable-error"


async def test_damaged_postscript_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure) as caught:
        await _convert(tmp_path, documents.postscript(body="nosuchoperator"), PS, Language.PCLXL)
    assert caught.value.reason == "document-format-error"


async def test_postscript_that_never_ends_is_stopped(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(PermanentFailure) as caught:
        await _convert(tmp_path, b"%!PS\n{} loop\n", PS, Language.PCLXL, timeout=0.5)
    assert time.monotonic() - begun < 5
    assert caught.value.reason == "aborted-by-system"


async def test_postscript_that_talks_without_end_is_stopped(tmp_path: Path) -> None:
    with pytest.raises(PermanentFailure) as caught:
        await _convert(tmp_path, b"%!PS\n{ (0123456789abcdef) print flush } loop\n", PS, Language.PCLXL, timeout=20)
    assert "talk" in caught.value.text


async def test_postscript_reads_no_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for path in ("/etc/passwd", str(secret)):
        show = f"({path}) (r) file 100 string readstring pop 72 72 moveto show"
        with pytest.raises(PermanentFailure):
            await _convert(tmp_path, documents.postscript(body=show), PS, Language.PDF)
    # Even an interpreter that lets it (no -dSAFER) finds no file to read.
    program = (
        f"%!PS\n(/etc/passwd) status {{ (found) print }} if ({secret}) status {{ (found) print }} if (.) print quit\n"
    )
    (tmp_path / "job").mkdir()
    (tmp_path / "job" / "program.ps").write_text(program)
    open_gs = ["gs", "-q", "-dNOSAFER", "-dBATCH", "-dNODISPLAY", "-f", "program.ps"]
    if await sandbox.level(tmp_path) is sandbox.Level.BUBBLEWRAP:
        assert (await sandbox.run(open_gs, folder=tmp_path / "job", timeout=10)).stdout == b"."


@pytest.mark.parametrize(
    ("returncode", "said", "free", "status", "reason"),
    [
        (1, b"", 1 << 30, "5.6.5", "document-format-error"),
        (1, b"Command Line Error: Incorrect password", 1 << 30, "5.6.1", "document-password-error"),
        (1, b"Error: /VMerror in --image--", 1 << 30, "5.6.5", "aborted-by-system"),
        (-signal.SIGSEGV, b"", 1 << 30, "5.6.5", "document-format-error"),
        (-signal.SIGXFSZ, b"", 1 << 30, "5.6.5", "aborted-by-system"),
        (0, b"cairo error", 1 << 30, "5.6.5", "aborted-by-system"),
        (1, b"", 1 << 20, "4.3.1", ""),
        (-signal.SIGSYS, b"", 1 << 30, "5.6.5", "aborted-by-system"),
        (1, b"Traceback (most recent call last):\nOSError: no libpango\n", 1 << 30, "5.6.5", "aborted-by-system"),
        (1, b"Traceback (most recent call last):\nMemoryError\n", 1 << 30, "5.6.5", "aborted-by-system"),
        (127, b"cannot allocate memory for thread-local data: ABORT\n", 1 << 30, "5.6.5", "aborted-by-system"),
        (1, b"more than 10000 pages\n", 1 << 30, "5.6.1", "document-unprintable-error"),
        (1, b"No space left on device", 1 << 30, "5.6.5", "document-format-error"),  # says the document
    ],
)
def test_what_the_end_of_a_converter_means(returncode: int, said: bytes, free: int, status: str, reason: str) -> None:
    found = failure(sandbox.Finished(returncode=returncode, stdout=b"", stderr=said), free=free)
    assert (found.status, found.reason) == (status, reason)
    assert isinstance(found, TransientFailure if status[0] == "4" else PermanentFailure)


async def test_a_fault_of_our_own_is_an_error_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    task = Task(source="", output="", media=Media.named(A4_MEDIA))
    conversion = _Conversion(tmp_path / "document", tmp_path, task, 30.0, None)
    with pytest.raises(PermanentFailure, match="could not be converted"):
        await conversion._run([*python.command("html")[:3], "-c", "import nothing_like_it"], python.readable("html"))
    with pytest.raises(PermanentFailure, match="damaged"):
        await conversion._run(["perl", "-e", 'print STDERR "no\n\033[2J"; exit 1'], ())
    assert [(record.levelno, record.args) for record in caplog.records if record.name == "printerbridge.convert"] == [
        (logging.ERROR, (1, "ModuleNotFoundError: No module named 'nothing_like_it'")),
        (logging.INFO, (1, "\x1b[2J")),
    ]


# All together


@pytest.mark.parametrize("what", ["symlink '/etc/passwd', 'step-1'", "mkdir 'step-2'; mkdir 'step-1'"])
async def test_what_an_earlier_step_left_may_be_another_things_by_now(tmp_path: Path, what: str) -> None:
    script = f"unlink 'step-1'; unlink 'step-2'; {what}; open F, '>step-3'; print F '%%EOF'"
    taken_over = Converter(
        name="taken-over", source=PS, language=Language.POSTSCRIPT, command=lambda _: ["perl", "-e", script]
    )
    document, folder = tmp_path / "document", tmp_path / "work"
    document.write_text("text")
    folder.mkdir()
    task = Task(source="", output="", media=Media.named(A4_MEDIA))
    way = (*(route(TEXT, [Language.POSTSCRIPT]) or ()), taken_over)
    assert len(way) == 3
    conversion = _Conversion(document, folder, task, 30.0, None)
    with pytest.raises(PermanentFailure, match="could not be converted"):
        await conversion.go(TEXT, [Language.POSTSCRIPT], way, keep_pdf=True)


async def test_the_slots_bound_what_runs_at_once(tmp_path: Path) -> None:
    slots = Slots(1, 1 << 30)
    document = tmp_path / "document"
    document.write_bytes(documents.postscript())
    async with slots.take(1):
        waiting = asyncio.create_task(
            convert(document, PS, [Language.PDF], folder=tmp_path, media=A4_MEDIA, slots=slots, timeout=10)
        )
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        assert not done
        assert _names(tmp_path) == {"document"}
    assert (await waiting).pages == 1


@pytest.mark.parametrize("level", [sandbox.Level.LANDLOCK, sandbox.Level.RLIMITS])
async def test_all_converters_work_without_namespaces_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: sandbox.Level
) -> None:
    if not levels.has(level):
        pytest.skip("this kernel has no Landlock")
    monkeypatch.setattr(sandbox, "_level", level)
    picture = io.BytesIO()
    Image.new("L", (600, 400), 0).save(picture, "PNG")
    drawn = await _convert(tmp_path, picture.getvalue(), DocumentFormat.PNG, Language.PWG)
    raster = await _convert(tmp_path, drawn.path.read_bytes(), DocumentFormat.PWG, Language.PDF)
    assert (drawn.pages, raster.pages) == (1, 1)
    assert documents.ink(documents.pages_of(raster.path)[0]) > 0.1
    pcl = await _convert(tmp_path, documents.TEXT.encode(), TEXT, Language.PCL)
    assert (pcl.pages, len(pcl.route)) == (1, 3)
    again = await _convert(tmp_path, documents.postscript(2), PS, Language.POSTSCRIPT, as_is=False)
    _same(documents.pages_of(tmp_path / "document"), documents.pages_of(again.path))


async def test_a_relative_path_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-a document 100%.pdf").write_bytes(documents.pdf())
    converted = await convert(
        Path("-a document 100%.pdf"), PDF, [Language.PCL], folder=Path(), media=A4_MEDIA, timeout=30
    )
    assert converted.pages == 1
    assert converted.path.exists()
