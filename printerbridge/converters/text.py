"""Plain text to PDF: `typeset.py`, run as a program of its own because it reads what a stranger wrote.

The font is DejaVu Sans Mono: free, on every distribution, with Latin, Greek, Cyrillic and the box characters.
"""

from __future__ import annotations

import codecs
import sys
from functools import cache
from pathlib import Path

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import TransientFailure
from printerbridge.converters import typeset
from printerbridge.converters.contract import Converter, Task

_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")

# What a mail may call its text.  Python has codecs that are no charsets (zip, idna), so a name is only looked up here.
# What calls itself us-ascii or iso-8859-1 is in truth windows-1252, which holds both (WHATWG Encoding section 4.2).
_CHARSETS = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "utf-8": "utf-8-sig",
    **{name: name for name in ("utf-16", "utf-16-le", "utf-16-be", "koi8-r", "koi8-u", "mac-roman")},
    **{name: name for name in ("cp437", "cp850", "cp852", "cp866", *(f"cp{n}" for n in range(1250, 1259)))},
    **{name: name for name in (f"iso8859-{n}" for n in range(2, 17) if n != 12)},
}


def encoding(charset: str) -> str:
    """Python's name for a charset of RFC 2046 section 4.1.2; for one that is unknown, UTF-8."""
    try:
        name = codecs.lookup(charset).name
    except (LookupError, ValueError):
        name = "utf-8"
    return _CHARSETS.get(name, "utf-8-sig")


@cache
def font() -> Path:
    """Where the font lies.  Raises `TransientFailure` if it is not installed."""
    for folder in _FONT_FOLDERS:
        for path in sorted(Path(folder).rglob("DejaVuSansMono.ttf")):
            return path
    raise TransientFailure("4.3.5", "this server lacks the font DejaVu Sans Mono")


def _interpreter() -> Path:
    # The real one, since a virtual environment's is a link to it.
    return Path(sys.executable).resolve()


def _command(task: Task) -> list[str]:
    size = (f"{task.media.width:g}", f"{task.media.height:g}")
    program = (str(_interpreter()), "-I", "-S", "-B", str(Path(typeset.__file__).resolve()))
    return [*program, str(font()), task.source, task.output, encoding(task.charset), *size]


def _readable() -> tuple[Path, ...]:
    return (Path(sys.base_prefix).resolve(), Path(typeset.__file__).resolve(), font())


TEXT = Converter(
    name="text-to-pdf", source=DocumentFormat.TEXT, language=Language.PDF, command=_command, readable=_readable
)
