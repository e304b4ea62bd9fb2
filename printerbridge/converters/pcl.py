"""PostScript to PCL 5 by Ghostscript, as a raster."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    # PCL 5c for colour: cljet5 itself refuses upright pages, and 300 dpi is all it knows.
    device, resolution = ("cljet5pr", "-r300") if task.color else ("ljet4", "-r600")
    return ghostscript.command(task, device, resolution)


PCL = Converter(name="postscript-to-pcl", source=DocumentFormat.POSTSCRIPT, language=Language.PCL, command=_command)
