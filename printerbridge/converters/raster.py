"""Rasters for printers (PWG, CUPS, URF) to PDF, so that they can be drawn anew: the program `raster`."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import python
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    size = (f"{task.media.width:g}", f"{task.media.height:g}")
    return python.command("raster", task.source, task.output, *size, packages=True)


def _converter(source: DocumentFormat, name: str) -> Converter:
    return Converter(
        name=f"{name}-to-pdf",
        source=source,
        language=Language.PDF,
        command=_command,
        readable=lambda: python.readable("raster", packages=True),
        cost=100,
    )


PWG = _converter(DocumentFormat.PWG, "pwg")
URF = _converter(DocumentFormat.URF, "urf")
CUPS_RASTER = _converter(DocumentFormat.CUPS_RASTER, "cups-raster")
RASTERS = (PWG, URF, CUPS_RASTER)
