"""PDFs that are built unusually, encrypted, damaged, or hold more than their pages: forms, notes, fonts elsewhere."""

from __future__ import annotations

import io
from collections.abc import Callable

import pikepdf
from pikepdf import Array, Dictionary, Encryption, Name, ObjectStreamMode, String
from reportlab.lib.pagesizes import A4
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas

from mailstore.document_format import DocumentFormat
from tests.corpus.graphics import painted, title
from tests.corpus.item import Item
from tests.corpus.pages import changed, document


def _as_it_is(pdf: pikepdf.Pdf) -> None:
    """For what only saving makes."""


def object_streams() -> bytes:
    """Objects packed in streams and the table too (ISO 32000-1 section 7.5.7)."""
    return changed(document(A4, A4), _as_it_is, object_stream_mode=ObjectStreamMode.generate)


def linearized() -> bytes:
    """Its first page first, for reading over a network."""
    return changed(document(A4, A4, A4), _as_it_is, linearize=True)


def pdf_2() -> bytes:
    """A PDF that says 2.0, with what 1.7 did not have: a page-level output intent, black point compensation."""

    def change(pdf: pikepdf.Pdf) -> None:
        pdf.pages[0].obj.OutputIntents = Array([Dictionary(S=Name.GTS_PDFX, OutputConditionIdentifier=String("x"))])
        pdf.pages[0].obj.Resources.ExtGState = Dictionary(E=Dictionary(UseBlackPtComp=Name.ON))

    return changed(document(A4), change, force_version="2.0")


def incremental() -> bytes:
    """A page turned by an update at the end of the file: the last word counts."""
    octets = document(A4)
    with pikepdf.open(io.BytesIO(octets)) as pdf:
        root, number = pdf.Root.objgen[0], pdf.pages[0].obj.objgen[0]
        page = pdf.pages[0].obj.unparse(resolved=True)
    start = int(octets.rsplit(b"startxref", 1)[1].split()[0])
    made = octets + b"\n"
    at = len(made)
    made += b"%d 0 obj\n%s\nendobj\n" % (number, page.replace(b"/Rotate 0", b"/Rotate 180"))
    table = len(made)
    made += b"xref\n0 1\n0000000000 65535 f \n%d 1\n%010d 00000 n \n" % (number, at)
    trailer = b"trailer\n<< /Size 99 /Root %d 0 R /Prev %d >>\nstartxref\n%d\n%%%%EOF\n"
    return made + trailer % (root, start, table)


def _encrypted(revision: int) -> Callable[[], bytes]:
    def make() -> bytes:
        allow = pikepdf.Permissions(extract=False, modify_other=False)
        lock = Encryption(user="", owner="owner", R=revision, allow=allow, aes=revision > 3, metadata=revision > 3)  # type: ignore[arg-type]
        return changed(document(A4), _as_it_is, encryption=lock)

    return make


def _damaged(how: Callable[[bytes], bytes]) -> Callable[[], bytes]:
    return lambda: how(document(A4, A4, A4))


def _wrong_lengths(octets: bytes) -> bytes:
    """Streams that say that they are shorter than they are."""
    return octets.replace(b"/Length ", b"/Length 1%")


def form() -> bytes:
    """A form filled in, with appearances, and one field whose reader is to make them; nothing of a hidden one."""
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    canvas.setFont("Helvetica-Bold", 30)
    canvas.drawString(60, 760, "Form")
    fields = canvas.acroForm
    fields.textfield(name="a", x=60, y=640, width=400, height=50, value="Ada Lovelace", fontSize=30)
    fields.checkbox(name="b", x=60, y=560, size=50, checked=True)
    fields.checkbox(name="c", x=160, y=560, size=50, checked=False)
    fields.choice(name="d", x=60, y=480, width=250, height=40, value="Two", options=["One", "Two"], fontSize=24)
    fields.radio(name="e", value="v", selected=True, x=60, y=400, size=50)
    fields.radio(name="e", value="w", selected=False, x=160, y=400, size=50)
    canvas.save()
    return file.getvalue()


def annotations() -> bytes:
    """A stamp and a highlight that print; a note, a link and a hidden square that do not."""

    def change(pdf: pikepdf.Pdf) -> None:
        def note(kind: str, rect: tuple[int, ...], flags: int, content: bytes, **keys: object) -> pikepdf.Object:
            look = pdf.make_stream(content, Subtype=Name.Form, BBox=Array([0, 0, rect[2] - rect[0], rect[3] - rect[1]]))
            look.Resources = Dictionary(ExtGState=Dictionary(M=Dictionary(BM=Name.Multiply)))
            made = Dictionary(Type=Name.Annot, Subtype=Name(f"/{kind}"), Rect=Array(rect), F=flags)
            made.AP = Dictionary(N=look)
            for key, value in keys.items():
                made[f"/{key}"] = value
            return pdf.make_indirect(made)

        square = b"0.8 0 0 rg 0 0 100 100 re f"
        quad = Array([60, 640, 260, 640, 60, 600, 260, 600])
        yellow = Array([1, 0.9, 0])
        stamp = b"0.8 0 0 RG 8 w 4 4 192 72 re S 30 30 140 20 re f"
        pdf.pages[0].obj.Annots = pdf.make_indirect(
            Array(
                [
                    note("Stamp", (300, 100, 500, 180), 4, stamp),
                    note("Square", (60, 300, 160, 400), 6, square),  # hidden
                    note("Text", (200, 300, 300, 400), 0, square, Contents=String("a note")),  # not for paper
                    note(
                        "Highlight",
                        (60, 600, 260, 640),
                        4,
                        b"/M gs 1 0.9 0 rg 0 0 200 40 re f",
                        QuadPoints=quad,
                        C=yellow,
                    ),
                    Dictionary(Type=Name.Annot, Subtype=Name.Link, Rect=Array([60, 200, 160, 250])),
                ]
            )
        )

    return changed(document(A4), change)


def fonts_elsewhere() -> bytes:
    """None of its fonts is in it: the fourteen that readers have, and ones that only Windows has."""
    names = ("Helvetica", "Times-Italic", "Courier-Bold", "Symbol", "Arial,Bold", "TimesNewRoman", "CourierNew")
    fonts = {
        f"/X{n}": Dictionary(
            Type=Name.Font,
            Subtype=Name.Type1 if n < 4 else Name.TrueType,
            BaseFont=Name(f"/{name}"),
            **({} if n == 3 else {"Encoding": Name.WinAnsiEncoding}),
        )
        for n, name in enumerate(names)
    }
    lines = "".join(f"BT /X{n} 24 Tf 60 {680 - 60 * n} Td (Pack my box \344\366) Tj ET\n" for n in range(len(names)))
    return painted(title("Fonts elsewhere") + lines, Font=fonts)


def cjk_fonts_elsewhere() -> bytes:
    """Chinese and Japanese in fonts that are Adobe's Asian packs, not in the file."""
    file = io.BytesIO()
    canvas = Canvas(file, invariant=1)
    for name, y, text in (
        ("STSong-Light", 700, "\u4e2d\u6587\u6253\u5370\u6d4b\u8bd5"),
        ("HeiseiMin-W3", 600, "\u65e5\u672c\u8a9e\u306e\u5370\u5237"),
        ("HeiseiKakuGo-W5", 500, "\u30d7\u30ea\u30f3\u30bf\u30fc"),
    ):
        pdfmetrics.registerFont(UnicodeCIDFont(name))
        canvas.setFont(name, 48)
        canvas.drawString(60, y, text)
    canvas.save()
    return file.getvalue()


PDF = DocumentFormat.PDF
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "garbage-before": lambda octets: b"HTTP/1.1 200 OK\r\n\r\n" + octets,
    "no-table": lambda octets: octets[: octets.rindex(b"xref\n0")] + octets[octets.rindex(b"trailer") : -30],
    "table-elsewhere": lambda octets: octets.replace(b"startxref\n", b"startxref\n9"),
    "wrong-lengths": _wrong_lengths,
    "no-ends": lambda octets: octets.replace(b"endobj\n", b""),
    "garbage-behind": lambda octets: octets + b"\0" * 3000,
}
STRUCTURE = (
    *(Item(make=make, format=PDF) for make in (object_streams, linearized, pdf_2, incremental, form, annotations)),
    *(Item(make=_encrypted(revision), format=PDF, name=f"encrypted-{revision}") for revision in (2, 3, 4, 6)),
    *(
        Item(make=_damaged(how), format=PDF, name=f"damaged-{name}", whole=_damaged(bytes))
        for name, how in DAMAGES.items()
    ),
    Item(make=fonts_elsewhere, format=PDF),
    Item(make=cjk_fonts_elsewhere, format=PDF),
)
