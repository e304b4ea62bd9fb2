"""Which converters a document goes through: the cheapest way in their table to a language that the printer speaks.

Pure.  PDF is in the middle: what arranges pages or takes their colours away works there.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Collection, Sequence

from mailstore.directory.records import Language
from mailstore.document_format import DocumentFormat
from printerbridge.converters import CONVERTERS
from printerbridge.converters.contract import Converter

Route = tuple[Converter, ...]


def spoken(source: DocumentFormat, languages: Sequence[Language]) -> Language | None:
    """The first of `languages` that a document of `source` format is in."""
    return next((language for language in languages if language.document_format is source), None)


def route(
    source: DocumentFormat,
    targets: Sequence[Language],
    *,
    as_is: bool = True,
    through: Sequence[Converter] = (),
    by_pdf: bool = False,
) -> Route | None:
    """The way with the smallest sum of costs from `source` to one of `targets`; None if there is none.

    () means that the printer speaks it.  Among ways that cost the same the printer's order of languages decides, then
    the table's.  With `as_is` false every document is drawn anew, even into its own language, so that no octet of the
    sender's reaches the printer.  `through` are converters from PDF to PDF that it has to go through, in this order;
    `by_pdf`: it is a PDF once, because of these its pages are counted from outside.
    """
    if as_is and not through and not by_pdf and spoken(source, targets) is not None:
        return ()
    if source is DocumentFormat.PCLM:  # a PDF with rasters in it, and marks that only its printers need
        source = DocumentFormat.PDF
    if not through and not by_pdf:
        return _cheapest(source, targets)
    to_pdf: Route | None = () if source is DocumentFormat.PDF else _cheapest(source, (Language.PDF,))
    if to_pdf is None:
        return None
    # What was drawn on the way to PDF is ours; what was a PDF and was only arranged still has the sender's octets.
    ours = as_is or bool(to_pdf)
    rest: Route | None = () if ours and Language.PDF in targets else _cheapest(DocumentFormat.PDF, targets)
    return None if rest is None else (*to_pdf, *through, *rest)


def _cheapest(source: DocumentFormat, targets: Collection[Language]) -> Route | None:
    """Through one converter at least (E. W. Dijkstra)."""
    order = {language: number for number, language in reversed(list(enumerate(targets)))}
    turn = itertools.count()
    ways: list[tuple[int, int, int, Route]] = []

    def lengthen(cost: int, way: Route, reached: DocumentFormat) -> None:
        for converter in CONVERTERS:
            if converter.source is reached:
                rank = order.get(converter.language, len(order))
                heapq.heappush(ways, (cost + converter.cost, rank, next(turn), (*way, converter)))

    lengthen(0, (), source)
    seen: set[Language] = set()
    while ways:
        cost, rank, _, way = heapq.heappop(ways)
        here = way[-1].language
        if rank < len(order):
            return way
        if here not in seen:
            seen.add(here)
            lengthen(cost, way, here.document_format)
    return None
