"""PostScript to PDF by Ghostscript.  Pictures stay as they are; nothing is compressed with loss again."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task

LOSSLESS = (
    "-dAutoFilterColorImages=false",
    "-dColorImageFilter=/FlateEncode",
    "-dAutoFilterGrayImages=false",
    "-dGrayImageFilter=/FlateEncode",
)


def _command(task: Task) -> list[str]:
    return ghostscript.command(task, "pdfwrite", "-dAutoRotatePages=/None", *LOSSLESS)


PDF = Converter(
    name="postscript-to-pdf", source=DocumentFormat.POSTSCRIPT, language=Language.PDF, command=_command, cost=10
)
