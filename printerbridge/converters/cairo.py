"""PDF to PostScript by poppler's pdftocairo: the first half of the spine of every conversion.

It flattens transparency and draws only what the page shows.  pdftops is no replacement: it copies PostScript that a
sender hid in a PDF into its output, and so into the printer.
"""

from __future__ import annotations

import math

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters.contract import Converter, Task


def _command(task: Task, *output: str) -> list[str]:
    # A page larger than the paper is shrunk, a smaller one stands in the middle, a landscape one is turned.  Only whole
    # points are taken: rounded down, they would shrink a page that has the paper's very size, and blur what is on it.
    # -origpagesizes rounds so too.
    if task.exact:
        return ["pdftocairo", *output, "-origpagesizes", "-noshrink", task.source, task.output]
    size = ["-paperw", str(math.ceil(task.media.width)), "-paperh", str(math.ceil(task.media.height))]
    return ["pdftocairo", *output, *size, task.source, task.output]


LEVEL3 = Converter(
    name="pdf-to-postscript",
    source=DocumentFormat.PDF,
    language=Language.POSTSCRIPT,
    command=lambda task: _command(task, "-ps", "-level3"),
    cost=2,
)
LEVEL2 = Converter(
    name="pdf-to-postscript2",
    source=DocumentFormat.PDF,
    language=Language.POSTSCRIPT2,
    command=lambda task: _command(task, "-ps", "-level2"),
    cost=3,
)
AGAIN = Converter(
    name="pdf-to-pdf",
    source=DocumentFormat.PDF,
    language=Language.PDF,
    command=lambda task: _command(task, "-pdf"),
    cost=2,
)
