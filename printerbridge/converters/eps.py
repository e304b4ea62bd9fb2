"""EPS (Adobe Technical Note 5002) to PDF by Ghostscript: one page, as large as the bounding box.

A preview in a binary header is skipped, a missing showpage supplied; nothing is enlarged.  The page that comes of it
has not the size of the paper: what puts it there is the next step, pdftocairo or `arrange`.
"""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task
from printerbridge.converters.pdfwrite import LOSSLESS


def _command(task: Task) -> list[str]:
    return ghostscript.cropped(task, "pdfwrite", "-dAutoRotatePages=/None", *LOSSLESS)


EPS = Converter(name="eps-to-pdf", source=DocumentFormat.EPS, language=Language.PDF, command=_command, cost=20)
DOS_EPS = Converter(
    name="dos-eps-to-pdf", source=DocumentFormat.DOS_EPS, language=Language.PDF, command=_command, cost=20
)
