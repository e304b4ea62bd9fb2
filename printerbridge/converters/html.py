"""HTML letters to PDF: `programs/html.py`, which is WeasyPrint with nothing within reach but the letter's own parts."""

from __future__ import annotations

from pathlib import Path

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import python, text
from printerbridge.converters.contract import Converter, Task


def _command(task: Task) -> list[str]:
    size = (f"{task.media.width:g}", f"{task.media.height:g}")
    shown = [word for pair in task.shown for word in pair]
    return python.command("html", task.source, task.output, text.encoding(task.charset), *size, *shown, packages=True)


def _readable() -> tuple[Path, ...]:
    return python.readable("html", packages=True)


HTML = Converter(
    name="html-to-pdf",
    source=DocumentFormat.HTML,
    language=Language.PDF,
    command=_command,
    readable=_readable,
    cost=60,
)
