"""PostScript to a PDF without colour, by Ghostscript: a step more where the ticket or the printer's entry wants grey.

What goes in is pdftocairo's, which has no transparency left: Ghostscript straight from a PDF with transparency would
draw whole pages as pictures.  The conversion without ICC profiles takes half the time.
"""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task
from printerbridge.converters.pdfwrite import LOSSLESS

_GREY = ("-sColorConversionStrategy=Gray", "-dProcessColorModel=/DeviceGray", "-dUseFastColor=true")


def _command(task: Task) -> list[str]:
    return ghostscript.command(task, "pdfwrite", "-dAutoRotatePages=/None", *_GREY, *LOSSLESS)


MONO = Converter(
    name="postscript-to-grey-pdf",
    source=DocumentFormat.POSTSCRIPT,
    language=Language.PDF,
    command=_command,
    cost=40,
)
