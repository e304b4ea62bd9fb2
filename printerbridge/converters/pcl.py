"""PostScript to PCL 5 by Ghostscript, as a raster; in colour on A4 and Letter only."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task

# What cljet5pr takes, in points: for any other paper it ends with a range check.
_IN_COLOR = ((612.0, 792.0), (595.28, 841.89))


def _command(task: Task) -> list[str]:
    width, height = task.media.width, task.media.height
    known = any(abs(width - each[0]) < 1 and abs(height - each[1]) < 1 for each in _IN_COLOR)
    # PCL 5c for colour: cljet5 itself refuses upright pages, and 300 dpi is all it knows.
    device, resolution = ("cljet5pr", "-r300") if task.color and known else ("ljet4", "-r600")
    return ghostscript.command(task, device, resolution)


PCL = Converter(
    name="postscript-to-pcl", source=DocumentFormat.POSTSCRIPT, language=Language.PCL, command=_command, cost=20
)
