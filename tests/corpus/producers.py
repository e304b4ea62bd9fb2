"""PDFs as programs write them that people use: LibreOffice, Chromium, cairo, TeX, groff, Ghostscript, WeasyPrint."""

from __future__ import annotations

import ctypes
import ctypes.util
import gc
import io
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from reportlab.lib.pagesizes import A4

from mailstore.document_format import DocumentFormat
from tests.corpus.item import Item, run
from tests.corpus.pages import document

NAMES = (
    ("Latin", "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich"),
    ("Greek", "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία"),
    ("Cyrillic", "Съешь ещё этих мягких французских булок"),
    ("Hebrew", "דג סקרן שט בים מאוכזב ולפתע מצא חברה"),
    ("Arabic", "نص حكيم له سر قاطع وذو شأن عظيم"),
    ("Chinese", "視野無限廣，窗外有藍天"),  # noqa: RUF001
    ("Japanese", "いろはにほへと ちりぬるを"),
    ("Korean", "키스의 고유조건은 입술끼리 만나야 하고"),
)
"""A line of each script, and what it is called."""

_OFFICE = "urn:oasis:names:tc:opendocument:xmlns"


_STYLES = (
    "<office:automatic-styles>"
    '<style:page-layout style:name="L"><style:page-layout-properties fo:page-width="28cm" fo:page-height="21cm"/>'
    '</style:page-layout><style:style style:name="G" style:family="graphic"><style:graphic-properties '
    'draw:fill="solid" draw:fill-color="#336699" draw:stroke="none"/></style:style></office:automatic-styles>'
    '<office:master-styles><style:master-page style:name="M" style:page-layout-name="L"/></office:master-styles>'
)


def flat(kind: str, body: str) -> str:
    """A flat OpenDocument file: `kind` is text, spreadsheet or presentation."""
    spaces = ("office", "text", "table", "draw", "style", "presentation")
    names = " ".join(f'xmlns:{name}="{_OFFICE}:{"drawing" if name == "draw" else name}:1.0"' for name in spaces)
    names += f' xmlns:svg="{_OFFICE}:svg-compatible:1.0" xmlns:fo="{_OFFICE}:xsl-fo-compatible:1.0"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><office:document {names} office:version="1.3" '
        f'office:mimetype="application/vnd.oasis.opendocument.{kind}">{_STYLES}<office:body><office:{kind}>{body}'
        f"</office:{kind}></office:body></office:document>"
    )


@cache
def by_libreoffice() -> dict[str, bytes]:
    """A letter in eight scripts, a table and a slide, by one start of the program."""
    letter = '<text:h text:outline-level="1">Minutes</text:h>' + "".join(
        f"<text:p>{name}: {line}</text:p>" for name, line in NAMES
    )
    rows = "".join(
        "<table:table-row>"
        + "".join(
            f'<table:table-cell office:value-type="float" office:value="{row * column}"><text:p>{row * column}</text:p>'
            "</table:table-cell>"
            for column in range(1, 7)
        )
        + "</table:table-row>"
        for row in range(1, 13)
    )
    slide = (
        '<draw:page draw:name="one" draw:master-page-name="M"><draw:frame svg:x="2cm" svg:y="2cm" svg:width="20cm" svg:height="3cm">'  # noqa: E501
        "<draw:text-box><text:p>Quarterly figures</text:p></draw:text-box></draw:frame>"
        '<draw:ellipse draw:style-name="G" svg:x="4cm" svg:y="6cm" svg:width="8cm" svg:height="5cm"/></draw:page>'
    )
    files = {
        "letter.fodt": flat("text", letter),
        "table.fods": flat("spreadsheet", f'<table:table table:name="a">{rows}</table:table>'),
        "slide.fodp": flat("presentation", slide),
    }
    with TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, "utf-8")
        profile = f"-env:UserInstallation={(folder / 'profile').as_uri()}"
        run(["soffice", profile, "--headless", "--convert-to", "pdf", *files], folder)
        return {file.split(".")[0]: (folder / file).with_suffix(".pdf").read_bytes() for file in files}


def libreoffice_letter() -> bytes:
    """LibreOffice Writer: eight scripts, from both sides."""
    return by_libreoffice()["letter"]


def libreoffice_table() -> bytes:
    """LibreOffice Calc."""
    return by_libreoffice()["table"]


def libreoffice_slide() -> bytes:
    """LibreOffice Impress: a page that is a screen's."""
    return by_libreoffice()["slide"]


def page() -> str:
    """A web page with scripts, a table, a shadow, a gradient, a picture and see-through colours."""
    lines = "".join(f'<p dir="auto"><b>{name}</b> {line}</p>' for name, line in NAMES)
    cells = "".join(f"<tr>{''.join(f'<td>{row * column}</td>' for column in range(1, 9))}</tr>" for row in range(1, 6))
    return (
        "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Page</title><style>body{font:14pt serif}"
        "td{border:1px solid #888;padding:2pt 8pt}tr:nth-child(odd){background:#dde}"
        ".a{width:300px;height:90px;background:linear-gradient(90deg,#c00,#00c);border-radius:20px;opacity:.7}"
        "</style><h1>Newsletter</h1><div class=a></div>"
        f"{lines}<table>{cells}</table>"
        '<svg width=300 height=80><circle cx=40 cy=40 r=36 fill=green fill-opacity=.5 /><path d="M80 70L140 10L200 70Z" '  # noqa: E501
        'fill=none stroke=red stroke-width=8 /></svg><div style="break-before:page"><h2>Second page</h2></div></html>'
    )


def chromium() -> bytes:
    """Chromium (Skia): a web page in eight scripts, as browsers save it."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "page.html").write_text(page(), "utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer", "--disable-dev-shm-usage"]
        options += [f"--user-data-dir={folder / 'user'}", "--print-to-pdf=made.pdf", "--disable-background-networking"]
        run(["chromium", *options, "page.html"], folder)
        return (folder / "made.pdf").read_bytes()


def weasyprint() -> bytes:
    """WeasyPrint: the same web page."""
    from weasyprint import HTML  # type: ignore[import-untyped]

    gc.collect()
    made: bytes = HTML(string=page()).write_pdf()
    return made


def cairo() -> bytes:
    """cairo itself: strokes, see-through groups, a radial gradient, a mesh, and text by its own fonts."""
    library = ctypes.CDLL("libcairo.so.2")
    for name in ("pdf_surface_create", "create", "pattern_create_radial", "pattern_create_mesh"):
        getattr(library, f"cairo_{name}").restype = ctypes.c_void_p

    def call(name: str, *arguments: object) -> int:
        taken = [ctypes.c_double(each) if isinstance(each, float) else each for each in arguments]
        function = getattr(library, f"cairo_{name}")
        return int(
            function(*(ctypes.c_void_p(each) if type(each) is int and each > 1 << 20 else each for each in taken)) or 0
        )

    with TemporaryDirectory() as folder:
        path = Path(folder) / "made.pdf"
        surface = call("pdf_surface_create", str(path).encode(), 595.28, 841.89)
        context = call("create", surface)
        call("select_font_face", context, b"DejaVu Sans", 0, 1)
        call("set_font_size", context, 40.0)
        call("move_to", context, 60.0, 100.0)
        call("show_text", context, "cairo: Größe, Ж, א".encode())
        call("set_line_width", context, 14.0)
        call("rectangle", context, 60.0, 140.0, 200.0, 120.0)
        call("stroke", context)
        call("push_group", context)
        for x, color in ((100.0, (1.0, 0.0, 0.0)), (160.0, (0.0, 0.6, 0.0)), (220.0, (0.0, 0.0, 1.0))):
            call("set_source_rgb", context, *color)
            call("arc", context, x + 40.0, 380.0, 70.0, 0.0, 6.3)
            call("fill", context)
        call("pop_group_to_source", context)
        call("paint_with_alpha", context, 0.5)
        radial = call("pattern_create_radial", 440.0, 360.0, 5.0, 450.0, 380.0, 90.0)
        call("pattern_add_color_stop_rgb", radial, 0.0, 1.0, 1.0, 0.2)
        call("pattern_add_color_stop_rgba", radial, 1.0, 0.6, 0.0, 0.3, 0.4)
        call("set_source", context, radial)
        call("arc", context, 440.0, 370.0, 100.0, 0.0, 6.3)
        call("fill", context)
        mesh = call("pattern_create_mesh")
        call("mesh_pattern_begin_patch", mesh)
        for n, (x, y) in enumerate(((80.0, 520.0), (480.0, 560.0), (500.0, 760.0), (60.0, 740.0))):
            call(f"mesh_pattern_{'line' if n else 'move'}_to", mesh, x, y)
        for n, color in enumerate(((1.0, 0.0, 0.0), (1.0, 1.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.6))):
            call("mesh_pattern_set_corner_color_rgb", mesh, n, *color)
        call("mesh_pattern_end_patch", mesh)
        call("set_source", context, mesh)
        call("paint", context)
        call("show_page", context)
        call("destroy", context)
        call("surface_finish", surface)
        return path.read_bytes()


TEX = r"""\documentclass[a4paper]{article}\usepackage{color}\begin{document}
\section{Integrals}\textcolor[cmyk]{0,.8,1,.1}{Ein gro\ss er Satz} with ligatures: fluffy office.
\[\int_0^\infty \frac{\sin x}{x}\,dx=\frac{\pi}{2}\qquad \sum_{n=1}^{\infty}\frac1{n^2}=\frac{\pi^2}{6}\]
\begin{tabular}{|l|r|}\hline One & 1\\\hline Two & 22\\\hline\end{tabular}\newpage\section{Next}\rule{8cm}{3cm}
\end{document}
"""


def tex(program: str) -> bytes:
    """What pdflatex (PDF) or latex (DVI) makes of a small article."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "made.tex").write_text(TEX)
        run([program, "-interaction=batchmode", "made.tex"], folder)
        return (folder / f"made.{'pdf' if program == 'pdflatex' else 'dvi'}").read_bytes()


def pdflatex() -> bytes:
    """pdfTeX: formulas, ligatures, a rule, colours in CMYK."""
    return tex("pdflatex")


TROFF = """.TL
A Report
.AU
Ada Lovelace
.NH
First
.PP
Pack my box with five dozen liquor jugs.
\\(*a \\(co \\(em \\fBbold\\fP \\fIitalic\\fP
.TS
allbox;
l n.
One\t1
Two\t22
.TE
.PS
box "box"; arrow; circle "circle"
.PE
.bp
.NH
Second
.PP
The end.
"""


def groff(device: str) -> bytes:
    """What groff makes of a report with a table and a drawing, for `pdf` (gropdf) or `ps` (grops)."""
    with TemporaryDirectory() as folder:
        return run(["groff", "-ms", "-t", "-p", f"-T{device}", "-P-pa4", "-dpaper=a4"], Path(folder), TROFF.encode())


def gropdf() -> bytes:
    """groff's own driver for PDF."""
    return groff("pdf")


def ghostscript() -> bytes:
    """Ghostscript's pdfwrite from PostScript, with its PDF/A settings."""
    with TemporaryDirectory() as name:
        command = ["gs", "-q", "-dBATCH", "-dNOPAUSE", "-dPDFA=2", "-sDEVICE=pdfwrite", "-sOutputFile=made.pdf", "-"]
        run(command, Path(name), groff("ps"))
        return (Path(name) / "made.pdf").read_bytes()


def qpdf() -> bytes:
    """qpdf: two copies of a document laid over each other and numbered anew."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "a.pdf").write_bytes(document(A4, A4))
        (folder / "b.pdf").write_bytes(document((300, 400)))
        run(["qpdf", "a.pdf", "--overlay", "b.pdf", "--", "made.pdf"], folder)
        return (folder / "made.pdf").read_bytes()


def pillow() -> bytes:
    """Pillow's own PDF of pictures, as scripts make it."""
    from tests.corpus.bitmaps import card, fax

    file = io.BytesIO()
    card(500, 700).save(file, "PDF", save_all=True, append_images=[fax(), card(300, 200).convert("L")], resolution=72)
    return file.getvalue()


PRODUCERS = tuple(
    Item(make=make, format=DocumentFormat.PDF)
    for make in (
        libreoffice_letter,
        libreoffice_table,
        libreoffice_slide,
        chromium,
        weasyprint,
        cairo,
        pdflatex,
        gropdf,
        ghostscript,
        qpdf,
        pillow,
    )
)
