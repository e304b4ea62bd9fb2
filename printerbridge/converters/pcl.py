"""PostScript to PCL 5 by Ghostscript, as a raster."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.sniff import DocumentFormat
from printerbridge.converters import ghostscript
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    # cljet5 draws PCL 5c for colour; 300 dpi is what every PCL 5c printer can do
    return ghostscript.command(task, "cljet5", "-r300") if task.color else ghostscript.command(task, "ljet4", "-r600")


PCL = Converter(name="postscript-to-pcl", source=DocumentFormat.POSTSCRIPT, language=Language.PCL, command=_command)
