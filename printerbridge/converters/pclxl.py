"""PostScript to PCL XL (PCL 6) by Ghostscript, as vectors.  It brings its own PJL head and tail."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge import paper
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    tray = paper.media_position(paper.PCLXL_SOURCES, task.ticket.media_source)
    device = "pxlcolor" if task.color else "pxlmono"
    return ghostscript.command(task, device, "-r600", *ghostscript.sides(task), *tray)


PCLXL = Converter(
    name="postscript-to-pclxl", source=DocumentFormat.POSTSCRIPT, language=Language.PCLXL, command=_command, cost=3
)
