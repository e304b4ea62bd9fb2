"""Documents that Debian's packages bring, of programs that nobody has any more: read where they lie.

They are in packages that `.ci/packages test` installs: groff, and texlive-base, which texlive-latex-base wants.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

from mailstore.document_format import DocumentFormat
from tests.corpus.item import Item

_PLACE = Path("/usr/share/doc")
_GROFF, _TEX = "groff-base", "texlive-doc"
_PDFS = {
    "distiller-3": f"{_TEX}/pdftex/samplepdftex/pic.pdf",
    "distiller-7": f"{_TEX}/support/makeindex/makeindex.pdf",
    "ghostscript-6": f"{_TEX}/pdftex/samplepdftex/tmp.pdf",
    "pstill": f"{_TEX}/dvipdfm/something.pdf",
    "dvipdfm": f"{_TEX}/dvipdfm/dvipdfm.pdf",
    "type-3-bitmaps": f"{_TEX}/pdftex/tests/06-pkmap/prepatch.pdf",
    "dvipdfmx-slides": f"{_TEX}/dvipdfmx/tug2003-slides.pdf",
    "skia-scripts": f"{_TEX}/luatex/base/graphics/luaharfbuzz.pdf",
    "luatex": f"{_TEX}/generic/hyph-utf8/hyphenation-distribution.pdf",
    "xdvipdfmx": f"{_TEX}/support/texdoc/texdoc.pdf",
    "pdftex-samples": f"{_TEX}/pdftex/samplepdftex/samplepdf.pdf",
    "imagemagick": f"{_GROFF}/examples/mom/penguin.pdf.gz",
    "gropdf-slides": f"{_GROFF}/examples/mom/slide-demo.pdf.gz",
}
_FINE_LINES = ("distiller-7", "pdftex-samples")
_PROGRAMS = {
    "groff-colors": f"{_GROFF}/examples/hdtbl/rainbow.ps.gz",
    "groff-pictures": f"{_GROFF}/examples/grnexmpl.ps.gz",
}


def _read(place: str) -> Callable[[], bytes]:
    def make() -> bytes:
        octets = (_PLACE / place).read_bytes()
        return gzip.decompress(octets) if place.endswith(".gz") else octets

    return make


SHIPPED = tuple(
    Item(
        make=_read(place),
        format=DocumentFormat.PDF,
        name=f"shipped-{name}",
        tolerance=0.3 if name in _FINE_LINES else 0.0,
    )
    for name, place in _PDFS.items()
)
SHIPPED_PROGRAMS = tuple(
    Item(make=_read(place), format=DocumentFormat.POSTSCRIPT, name=f"shipped-{name}")
    for name, place in _PROGRAMS.items()
)
SHIPPED_EPS = Item(
    make=_read(f"{_GROFF}/examples/mom/penguin.ps.gz"), format=DocumentFormat.EPS, name="shipped-groff-penguin"
)
