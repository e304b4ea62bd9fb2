"""How a job is to be printed: the job ticket, in the words of IPP.  Pure.

What is said in several places is put together attribute by attribute (`Ticket.over`); how it is said, and what a
printer's entry allows of it, is in `mailstore.ticket_words`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import StrEnum

MAX_COPIES = 999


class Sides(StrEnum):
    """`sides`, RFC 8011 section 5.2.8."""

    ONE_SIDED = "one-sided"
    LONG_EDGE = "two-sided-long-edge"
    SHORT_EDGE = "two-sided-short-edge"


class ColorMode(StrEnum):
    """`print-color-mode`, PWG 5100.13 section 6.2.3."""

    AUTO = "auto"  # as the printer can
    COLOR = "color"
    MONOCHROME = "monochrome"


class Scaling(StrEnum):
    """`print-scaling`, PWG 5100.13 section 6.2.4 (as 5100.16 has it)."""

    AUTO = "auto"  # what is larger than the paper is shrunk, what is smaller stays as it is
    FIT = "fit"  # shrunk or enlarged to the paper
    FILL = "fill"  # the same, until no white is left; what stands over is cut off
    NONE = "none"  # never scaled; what stands over is cut off


class Orientation(StrEnum):
    """`orientation-requested`, RFC 8011 section 5.2.10, by the names that CUPS's clients take."""

    PORTRAIT = "portrait"
    LANDSCAPE = "landscape"


PageRange = tuple[int, int]
"""First and last page, from 1, the last not before the first."""
LAST_PAGE = 99_999
"""The last page of a range that goes to the document's end."""
NUMBER_UP = (1, 2, 4, 6, 9, 16)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What was asked for; what has its default was not."""

    copies: int = 0  # 1 to MAX_COPIES; 0: not said
    sides: Sides | None = None
    page_ranges: tuple[PageRange, ...] = ()  # of each document, rising, without overlaps; (): all pages
    media: str = ""  # a PWG self-describing name (PWG 5101.1); "": the printer's
    media_source: str = ""  # a tray: auto, manual, main, alternate, large-capacity, envelope, tray-1 to tray-20
    color: ColorMode | None = None
    number_up: int = 0  # one of NUMBER_UP; 0: not said
    scaling: Scaling | None = None
    orientation: Orientation | None = None

    def over(self, other: Ticket) -> Ticket:
        """What is said here, and what only `other` says."""
        if self == NO_TICKET:
            return other
        said = {
            field.name: mine
            for field in dataclasses.fields(self)
            if (mine := getattr(self, field.name)) != field.default
        }
        return dataclasses.replace(other, **said)

    @property
    def rearranges(self) -> bool:
        """Something is asked for that only a document drawn anew can have."""
        return bool(self.page_ranges or self.number_up > 1 or self.scaling or self.orientation)


NO_TICKET = Ticket()
