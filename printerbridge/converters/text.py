"""Plain text to PDF: `programs/typeset.py`, in a process of its own because it reads what a stranger wrote.

The font is DejaVu Sans Mono: free, on every distribution, with Latin, Greek, Cyrillic and the box characters.  What it
lacks is drawn by Pango with the fonts of the system.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from mailstore import charset
from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.failure import TransientFailure
from printerbridge.converters import python
from printerbridge.converters.contract import Converter, Task

_FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts")

# What calls itself so is often a superset, which reads it as well (WHATWG Encoding section 4.2).
_IN_FACT = {
    "ascii": "cp1252",
    "latin_1": "cp1252",
    "iso8859_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "tis_620": "cp874",
    "utf_8": "utf-8-sig",
    "utf_8_sig": "utf-8-sig",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "iso2022_jp": "iso2022_jp_ext",
    "iso2022_jp_1": "iso2022_jp_ext",
}


def encoding(label: str) -> str:
    """Python's name for a charset of RFC 2046 section 4.1.2; for one that is unknown, UTF-8."""
    name = charset.codec(label) or "utf_8"
    return _IN_FACT.get(name, name)


@cache
def font() -> Path:
    """Where the font lies.  Raises `TransientFailure` if it is not installed."""
    for folder in _FONT_FOLDERS:
        for path in sorted(Path(folder).rglob("DejaVuSansMono.ttf")):
            return path
    raise TransientFailure("4.3.5", "this server lacks the font DejaVu Sans Mono")


def _command(task: Task) -> list[str]:
    size = (f"{task.media.width:g}", f"{task.media.height:g}")
    words = (str(font()), task.source, task.output, encoding(task.charset), *size)
    return python.command("typeset", *words, packages=True)


def _readable() -> tuple[Path, ...]:
    return (*python.readable("typeset", packages=True), *python.readable("html"), font())


TEXT = Converter(
    name="text-to-pdf", source=DocumentFormat.TEXT, language=Language.PDF, command=_command, readable=_readable
)
