"""PostScript to PWG raster (PWG 5102.4) by Ghostscript."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge import paper
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task

# PWG 5102.4 table 3: sgray_8 is 18, srgb_8 is 19; both with 8 bits per colour, in chunky order
_GRAY, _RGB = 18, 19


def _command(task: Task) -> list[str]:
    space = _RGB if task.color else _GRAY
    depth = (f"-dcupsColorSpace={space}", "-dcupsBitsPerColor=8", "-dcupsColorOrder=0")
    tray = paper.media_position(paper.PWG_SOURCES, task.ticket.media_source)
    return ghostscript.command(task, "pwgraster", "-r300", *depth, *ghostscript.sides(task), *tray)


PWG = Converter(name="postscript-to-pwg", source=DocumentFormat.POSTSCRIPT, language=Language.PWG, command=_command)
