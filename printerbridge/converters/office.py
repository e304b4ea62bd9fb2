"""Office documents to PDF: LibreOffice, where it is installed, by `programs/office.py`."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import TransientFailure
from printerbridge.converters import python
from printerbridge.converters.contract import Converter, Task
from printerbridge.sandbox import Limits

_PLACES = ("/usr/lib/libreoffice", "/usr/lib64/libreoffice", "/opt/libreoffice*", "/usr/local/lib/libreoffice")
_SETTINGS = (Path("/etc/libreoffice"), Path("/var/lib/libreoffice"))

# LibreOffice looks at the octets too; the name's end decides where they leave a doubt.
_SUFFIXES = {
    DocumentFormat.DOCX: "docx",
    DocumentFormat.XLSX: "xlsx",
    DocumentFormat.PPTX: "pptx",
    DocumentFormat.ODT: "odt",
    DocumentFormat.ODS: "ods",
    DocumentFormat.ODP: "odp",
    DocumentFormat.RTF: "rtf",
    DocumentFormat.OLE: "ole",  # Word, Excel or PowerPoint
}

# The program waits for LibreOffice, which is started twice and may start others.
LIMITS = Limits(open_files=512, processes=8)


@cache
def _program() -> Path | None:
    """The folder of the newest LibreOffice here, None if it is not installed."""
    found = [
        binary.parent
        for place in _PLACES
        for binary in sorted(Path("/").glob(f"{place[1:]}/program/soffice.bin"), reverse=True)
    ]
    return found[0] if found else None


def available() -> bool:
    """Whether Office documents can be printed on this machine."""
    return _program() is not None


def _command(task: Task, suffix: str) -> list[str]:
    program = _program()
    if program is None:
        raise TransientFailure("4.3.5", "this server lacks the program LibreOffice")
    return python.command("office", str(program), task.source, suffix, task.output)


def _readable() -> tuple[Path, ...]:
    program = _program()
    return (*python.readable("office"), *_SETTINGS, *((program.parent,) if program else ()))


def _converter(source: DocumentFormat, suffix: str) -> Converter:
    return Converter(
        name=f"{suffix}-to-pdf",
        source=source,
        language=Language.PDF,
        command=lambda task: _command(task, suffix),
        readable=_readable,
        cost=300,
        limits=LIMITS,
    )


OFFICE: tuple[Converter, ...] = tuple(_converter(source, suffix) for source, suffix in _SUFFIXES.items())
