"""PJL commands: what a sender may say to a printer around his document, and what is only counted.  Pure.

Syntax and names are those of HP's PJL Technical Reference Manual; the names that are counted are those with which
printers have been attacked, as the PRET toolkit collects them.

Security: a line is a stranger's, of at most `LINE_OCTETS`.  Nothing of it is copied: a setting is a name of `SETTINGS`
with a value that matches its closed pattern, in capitals; a language is one of a table.  All else has no effect but a
name from the closed list `COMMANDS`, so that nobody can fill a metric with labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mailstore.document_format import DocumentFormat

LINE_OCTETS: Final = 1024
OTHER: Final = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """`SET name = value`, both harmless."""

    name: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entered:
    """`ENTER LANGUAGE`: what follows is a document.  `format` is None for a language that no table names."""

    format: DocumentFormat | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Boundary:
    """`JOB` or `EOJ`: settings end here.  Not said again: the bridge says its own, and awaits its own job's end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """Anything else, by its name in `COMMANDS`.  With `data`, it brings octets that are no document."""

    name: str
    data: bool = False


Command = Setting | Entered | Boundary | Dropped | None
"""None: nothing is said (an empty command, a comment)."""

SETTINGS: Final[Mapping[str, str]] = {
    "COPIES": r"[0-9]{1,5}",
    "QTY": r"[0-9]{1,5}",
    "DUPLEX": "ON|OFF",
    "BINDING": "LONGEDGE|SHORTEDGE",
    "PAPER": "[A-Z][A-Z0-9]{1,19}",
    "MEDIASOURCE": "AUTO|AUTOSELECT|TRAY[0-9]{1,2}|MPTRAY|MPFEEDER|ENVFEEDER|HCI|LCT",
    "MEDIATYPE": "[A-Z][A-Z0-9]{1,19}",
    "RESOLUTION": "[0-9]{2,4}(?:X[0-9]{2,4})?",
    "RENDERMODE": "COLOR|GRAYSCALE|MONOCHROME",
    "ECONOMODE": "ON|OFF",
    "OUTBIN": "AUTO|UPPER|LOWER|STANDARD|OPTIONALOUTBIN[0-9]{1,2}|BIN[0-9]{1,2}",
    "BITSPERPIXEL": "1|2|4|8",
    "ORIENTATION": "PORTRAIT|LANDSCAPE",
    "MANUALFEED": "OFF",
}
"""The allow list: variables that `SET` may change for one job, with what their values must match, in capitals."""

LANGUAGES: Final[Mapping[str, DocumentFormat]] = {
    "POSTSCRIPT": DocumentFormat.POSTSCRIPT,
    "PS": DocumentFormat.POSTSCRIPT,
    "PDF": DocumentFormat.PDF,
    "PCL": DocumentFormat.PCL,
    "PCL5": DocumentFormat.PCL,
    "PCL5C": DocumentFormat.PCL,
    "PCL5E": DocumentFormat.PCL,
    "PCLXL": DocumentFormat.PCLXL,
    "PWGRASTER": DocumentFormat.PWG,
}
NAMES: Final[Mapping[DocumentFormat, str]] = {format_: name for name, format_ in reversed(tuple(LANGUAGES.items()))}
"""What PJL calls a format: the first name of each in `LANGUAGES`."""

_COUNTED: Final = (
    # the file system
    *("FSAPPEND", "FSDELETE", "FSDIRLIST", "FSDOWNLOAD", "FSINIT", "FSMKDIR", "FSQUERY", "FSUPLOAD"),
    # memory, settings and modes that outlive the job
    *("DEFAULT", "INITIALIZE", "RESET", "EXECUTE", "CLEARNVRAM", "NVRAMINIT", "RNVRAM", "WNVRAM", "SUPERUSER"),
    *("SUPERUSEROFF", "DMCMD", "DMINFO", "UPGRADE", "DISPLAY", "PASSWORD", "DISABLE"),
    # the panel
    *("OPMSG", "RDYMSG", "STMSG"),
    # questions, whose answers are not for the sender
    *("ECHO", "INFO", "INQUIRE", "DINQUIRE", "USTATUS", "USTATUSOFF"),
    # parts of commands
    *("JOB PASSWORD", "SET", "SET HOLD", "SET JOBMEDIA", "SET LPARM", "SET PAGECOUNT", "SET RETAIN"),
    *("SET SERVICEMODE", "ENTER"),
)
COMMANDS: Final = frozenset(
    {
        *_COUNTED,
        *("COPIES", "PCL MACRO", "PCL FONT", "PCL PATTERN", "PCL CONFIGURATION", "PCL SELF TEST", "PCL STATUS"),
        *("PCL other", "HP-GL/2 other", OTHER),
    }
)
"""Every name that can be counted.  COPIES: more were asked for than one may."""

_BRINGS_DATA: Final = frozenset({"FSAPPEND", "FSDOWNLOAD", "UPGRADE"})
_LINE: Final = re.compile(r"@PJL[ \t]*([A-Z0-9]*)(?![A-Z0-9])[ \t]*(.*)", re.DOTALL)
_ASSIGNED: Final = re.compile(r"([A-Z0-9]+)[ \t]*=[ \t]*([^ \t]*)")
_LANGUAGE: Final = re.compile(r"LANGUAGE[ \t]*=[ \t]*([A-Z0-9]+)")
_VALUES: Final = {name: re.compile(pattern) for name, pattern in SETTINGS.items()}
_HARMLESS: Final = frozenset({"", "COMMENT"})


def read(line: bytes, *, whole: bool = True) -> Command:
    """The command on a line that begins with `@PJL` in any case, without its end; `whole` is false if it was cut."""
    found = _LINE.fullmatch(line.decode("latin-1").rstrip(" \t\r\n\0\x04").upper())
    if found is None:
        return Dropped(name=OTHER)
    name, rest = found.groups()
    if name in _HARMLESS:
        return None
    if name in ("JOB", "EOJ"):
        return Dropped(name="JOB PASSWORD") if "PASSWORD" in rest else Boundary()
    if name == "SET":
        return _setting(rest, whole=whole)
    if name == "ENTER" and whole and (entered := _LANGUAGE.fullmatch(rest)):
        return Entered(format=LANGUAGES.get(entered[1]))
    return Dropped(name=name if name in COMMANDS else OTHER, data=name in _BRINGS_DATA)


def _setting(rest: str, *, whole: bool) -> Setting | Dropped:
    found = _ASSIGNED.fullmatch(rest)
    if whole and found is not None and (allowed := _VALUES.get(found[1])) and allowed.fullmatch(found[2]):
        return Setting(name=found[1], value=found[2])
    variable = re.match("[A-Z]*", rest)
    named = f"SET {variable[0]}" if variable else ""
    return Dropped(name=named if named in COMMANDS else "SET")


def tell(dropped: Mapping[str, int]) -> str:
    """The sentence for a job's trace, like "the print firewall dropped FSDOWNLOAD (3), RDYMSG (1)"; "" for nothing."""
    counted = ", ".join(f"{name} ({number})" for name, number in sorted(dropped.items()) if number)
    return f"the print firewall dropped {counted}" if counted else ""
