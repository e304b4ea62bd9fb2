"""Pictures to PDF, each page of them the size of the paper: the program `pictures`, on Pillow."""

from __future__ import annotations

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import python
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    size = (f"{task.media.width:g}", f"{task.media.height:g}")
    return python.command("pictures", task.source, task.output, *size, packages=True)


def _converter(source: DocumentFormat) -> Converter:
    return Converter(
        name=f"{source.name.lower()}-to-pdf",
        source=source,
        language=Language.PDF,
        command=_command,
        readable=lambda: python.readable("pictures", packages=True),
        cost=30,
    )


JPEG = _converter(DocumentFormat.JPEG)
PNG = _converter(DocumentFormat.PNG)
TIFF = _converter(DocumentFormat.TIFF)
GIF = _converter(DocumentFormat.GIF)
WEBP = _converter(DocumentFormat.WEBP)
PICTURES = (JPEG, PNG, TIFF, GIF, WEBP)
