"""What printers say of themselves, as metrics: whether they answer, what they have left, how much they printed.

Security: names of supplies and trays are a printer's, so a stranger's text, and each makes a series.  They are cleaned
and cut, of a printer at most `MOST` count, and two of one name are told apart: the same series twice spoils a scrape.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from mailstore.header import clean
from mailstore.report import PrinterReport

MOST = 16
"""Supplies of one printer, and trays, that have a series."""
_NAME = 40  # characters


def answers(reports: Sequence[PrinterReport], left_alone: Collection[str]) -> Iterator[GaugeMetricFamily]:
    """`left_alone`: printers that have quiet hours now; whether they would answer is nobody's business."""
    up = GaugeMetricFamily(
        "printpost_printer_up",
        "Whether the printer answered when it was last asked how it fares; none in its quiet hours.",
        labels=("printer",),
    )
    for report in reports:
        if report.printer not in left_alone:
            up.add_metric((report.printer,), int(report.up))
    yield up
    last = GaugeMetricFamily(
        "printpost_printer_last_status_timestamp_seconds",
        "When the printer last answered how it fares.",
        labels=("printer",),
    )
    for report in reports:
        if report.answered_at:
            last.add_metric((report.printer,), report.answered_at)
    yield last


def levels(reports: Sequence[PrinterReport]) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
    """What is left, where a printer measures it, and its page counter."""
    supplies = GaugeMetricFamily(
        "printpost_printer_supply_level_ratio",
        "What is left of a supply, from 0 to 1; of a waste box the room in it.  None where it is not measured.",
        labels=("printer", "supply", "color"),
    )
    for report in reports:
        found = [((_cut(one.name), _cut(one.color)), one.level) for one in report.supplies[:MOST]]
        for labels, level in _apart(found):
            supplies.add_metric((report.printer, *labels), level)
    yield supplies
    trays = GaugeMetricFamily(
        "printpost_printer_input_level_ratio",
        "How full a paper tray is, from 0 to 1.  None where it is not measured.",
        labels=("printer", "tray"),
    )
    for report in reports:
        for labels, level in _apart([((_cut(one.name),), one.level) for one in report.trays[:MOST]]):
            trays.add_metric((report.printer, *labels), level)
    yield trays
    pages = CounterMetricFamily(
        "printpost_printer_impressions",
        "Pages that the printer has printed in its life, by its own counter.",
        labels=("printer",),
    )
    for report in reports:
        if report.pages is not None:
            pages.add_metric((report.printer,), report.pages)
    yield pages


def _apart(found: Iterable[tuple[tuple[str, ...], float | None]]) -> Iterator[tuple[tuple[str, ...], float]]:
    """Those that are measured, each under labels of its own."""
    named: set[tuple[str, ...]] = set()
    for number, ((name, *more), level) in enumerate(found, start=1):
        labels = (name or str(number), *more)
        if labels in named:
            labels = (f"{labels[0]} {number}", *more)
        named.add(labels)
        if level is not None and 0 <= level <= 1:
            yield labels, level


def _cut(name: str) -> str:
    return clean(name, _NAME)
