"""PostScript and EPS as programs write them, and by hand with what their pages can ask for."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from reportlab.lib.pagesizes import A4, landscape

from mailstore.document_format import DocumentFormat
from tests.corpus.graphics import shadings, transparency
from tests.corpus.item import Item, run
from tests.corpus.pages import document
from tests.corpus.producers import groff, tex

_MARKS = """/Helvetica-Bold findfont 36 scalefont setfont {x} {y} moveto ({text}) show
{x} {y} 60 sub 200 20 rectfill 0.6 0.1 0.1 setrgbcolor {x} {y} 120 sub 60 40 rectfill 0 setgray
"""


def _marks(x: int, y: int, text: str) -> str:
    return _MARKS.format(x=x, y=y, text=text)


def grops() -> bytes:
    """groff's own driver for PostScript."""
    return groff("ps")


def dvips() -> bytes:
    """TeX by way of DVI."""
    with TemporaryDirectory() as name:
        (Path(name) / "made.dvi").write_bytes(tex("latex"))
        return run(["dvips", "-q", "-f", "-t", "a4", "made.dvi"], Path(name))


def _of_pdf(command: tuple[str, ...], octets: bytes) -> bytes:
    with TemporaryDirectory() as name:
        (Path(name) / "a.pdf").write_bytes(octets)
        return run([*command, "a.pdf", "-"], Path(name))


def cairo_level_3() -> bytes:
    """cairo's PostScript with what is see-through as pictures."""
    return _of_pdf(("pdftocairo", "-ps"), transparency())


def xpdf_shadings() -> bytes:
    """pdftops: shadings as level 3 has them."""
    return _of_pdf(("pdftops", "-level3"), shadings())


def xpdf_landscape() -> bytes:
    """pdftops of pages that lie across."""
    return _of_pdf(("pdftops", "-paper", "match"), document(landscape(A4), A4))


def ps2write() -> bytes:
    """Ghostscript's own PostScript of level 2, which is a program that reads another language."""
    return _of_pdf(("gs", "-q", "-dBATCH", "-dNOPAUSE", "-sDEVICE=ps2write", "-sOutputFile=-"), document(A4, A4))


def by_hand() -> bytes:
    """No comments but the first, no page size, procedures, a loop, save and restore."""
    return (
        b"%!\n/Times-Italic findfont 30 scalefont setfont /row {0 exch moveto (Row ) show 3 string cvs show} def\n"
        b"save 72 100 translate 1 1 10 {dup 50 mul row} for restore 300 400 100 0 360 arc stroke showpage\n"
    )


def page_sizes() -> bytes:
    """A page larger than the paper, one across, and one that asks for duplex, a tray, copies and a transfer."""
    sizes = ((842, 1191), (842, 595), (595, 842))
    pages = "".join(
        f"<< /PageSize [{width} {height}] >> setpagedevice {_marks(80, height - 100, f'Page {n}')} showpage\n"
        for n, (width, height) in enumerate(sizes, 1)
    )
    asked = "<< /Duplex true /MediaPosition 3 /ManualFeed false >> setpagedevice\n"
    return f"%!PS-Adobe-3.0\n%%Pages: 3\n%%EndComments\n{asked}{pages}%%EOF\n".encode()


def bitmaps() -> bytes:
    """Pictures by `image`, `imagemask` and `colorimage`, their octets in the program."""
    ramp = bytes(range(0, 256, 16)) * 16
    color = bytes(value for y in range(8) for x in range(8) for value in (x * 32, y * 32, 90))
    return (
        "%!PS-Adobe-3.0\n%%Pages: 1\n%%EndComments\n/hex {currentfile exch readhexstring pop} def\n"
        "gsave 80 560 translate 200 200 scale /s 16 string def 16 16 8 [16 0 0 -16 0 16] {s hex} image\n"
        f"{ramp.hex()}\ngrestore gsave 320 560 translate 200 200 scale 0.1 0.3 0.6 setrgbcolor\n"
        "8 8 true [8 0 0 -8 0 8] {<80c0e0f0f8fcfeff>} imagemask grestore\n"
        "gsave 80 300 translate 200 200 scale /t 24 string def 8 8 8 [8 0 0 -8 0 8] {t hex} false 3 colorimage\n"
        f"{color.hex()}\ngrestore showpage\n%%EOF\n"
    ).encode()


_EPS = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: {box}\n%%EndComments\n{body}%%EOF\n"


def eps() -> bytes:
    """An EPS whose box begins below zero, without showpage."""
    body = "1 0.9 0.6 setrgbcolor -40 -60 300 200 rectfill 0 setgray " + _marks(-20, 90, "Logo")
    return _EPS.format(box="-40 -60 260 140", body=body).encode()


def eps_large() -> bytes:
    """An EPS larger than the paper and far from the origin, shrunk."""
    body = "0.6 0.8 1 setrgbcolor 1000 2000 1200 900 rectfill 0 setgray 20 setlinewidth 1050 2050 1100 800 rectstroke\n"
    return _EPS.format(box="1000 2000 2200 2900", body=f"{body}{_marks(1200, 2500, 'Plan')}showpage\n").encode()


def dos_eps() -> bytes:
    """The same as `eps` behind a binary header, with a preview (Adobe Technical Note 5002)."""
    program, preview = eps(), b"II*\0" + bytes(60)
    head = struct.pack("<4s6LH", b"\xc5\xd0\xd3\xc6", 30, len(program), 0, 0, 30 + len(program), len(preview), 0xFFFF)
    return head + program + preview


def _rasterized(device: str, *options: str) -> Callable[[], bytes]:
    """What Ghostscript's driver for a printer's raster makes of two pages."""
    command = ("gs", "-q", "-dBATCH", "-dNOPAUSE", f"-sDEVICE={device}", "-r100", *options, "-sOutputFile=-")
    return lambda: _of_pdf(command, _two_pages())


_two_pages = partial(document, A4, A4)
PS = DocumentFormat.POSTSCRIPT
PROGRAMS = (
    *(
        Item(make=make, format=PS)
        for make in (
            grops,
            dvips,
            cairo_level_3,
            xpdf_shadings,
            xpdf_landscape,
            ps2write,
            by_hand,
            page_sizes,
            bitmaps,
        )
    ),
    Item(make=eps, format=DocumentFormat.EPS),
    Item(make=eps_large, format=DocumentFormat.EPS),
    Item(make=dos_eps, format=DocumentFormat.DOS_EPS, whole=eps),
)
_GREY, _COLOR = ("-dcupsColorSpace=18", "-dcupsBitsPerColor=8"), ("-dcupsColorSpace=19", "-dcupsBitsPerColor=8")
RASTERS = (
    Item(make=_rasterized("pwgraster", *_COLOR), format=DocumentFormat.PWG, name="pwg-color", whole=_two_pages),
    Item(make=_rasterized("pwgraster", *_GREY), format=DocumentFormat.PWG, name="pwg-grey", whole=_two_pages),
    Item(make=_rasterized("cups", *_COLOR), format=DocumentFormat.CUPS_RASTER, name="cups-color", whole=_two_pages),
    Item(make=_rasterized("urf", *_COLOR), format=DocumentFormat.URF, name="urf", whole=_two_pages),
    Item(make=_rasterized("pclm"), format=DocumentFormat.PCLM, name="pclm", whole=_two_pages),
)
