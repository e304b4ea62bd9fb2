"""What a converter is: one foreign program and the command line that takes one format to one language."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from mailstore.ticket import NO_TICKET, Sides, Ticket
from printerbridge.sandbox import Limits

_POINTS = {"mm": 72 / 25.4, "in": 72.0}
_SELF_DESCRIBING = re.compile(r"_(\d{1,4}(?:\.\d{1,3})?)x(\d{1,4}(?:\.\d{1,3})?)(mm|in)$", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """A size of paper, in points (1/72 inch)."""

    width: float
    height: float

    @classmethod
    def named(cls, name: str) -> Media:
        """The size in a self-describing name like `iso_a4_210x297mm` (PWG 5101.1 section 5).

        Raises `ValueError` if the name has none, or one that no printer can hold (under 1 or over 100 inches).
        """
        found = _SELF_DESCRIBING.search(name)
        if found is None:
            raise ValueError(f"{name!r} is no media name: write it like iso_a4_210x297mm or na_letter_8.5x11in")
        width, height = (float(side) * _POINTS[found[3]] for side in found.groups()[:2])
        if not all(72 <= side <= 7200 for side in (width, height)):
            raise ValueError(f"{name!r} is no size of paper")
        return cls(width=round(width, 2), height=round(height, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One document for one converter: `source` is a path beginning with / or ./, `output` a name in the work folder."""

    source: str
    output: str
    media: Media
    charset: str = "utf-8"  # of plain text
    color: bool = False  # it is to be in colour, and the printer has it: only raster and PCL XL need to know
    sides: Sides | None = None  # that were asked for: as colour
    exact: bool = False  # each page of the PDF has the size of the paper already
    ticket: Ticket = NO_TICKET  # for what arranges pages
    shown: tuple[tuple[str, str], ...] = ()  # of an HTML letter: Content-ID and path of each picture that it shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """Takes documents of `source` format to `language`.

    `command` gives the argument list; it runs in the work folder, exits with 0 only if the whole document was
    converted, and may tell the pages it made as a line `pages: N` on stdout.  `readable` are the files and folders it
    needs besides the system's.  The way with the smallest sum of costs is taken (`printerbridge.convert`).
    """

    name: str
    source: DocumentFormat
    language: Language
    command: Callable[[Task], list[str]]
    readable: Callable[[], tuple[Path, ...]] = tuple
    cost: int = 10  # of the route through it: about hundredths of a second for a page, more where it loses something
    limits: Limits | None = None  # where those of every child are too narrow, or too wide
