"""What printers say of themselves, as metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from appliance import report_gauges
from mailstore.report import PrinterReport, Supply, Tray

Families = Iterable[GaugeMetricFamily | CounterMetricFamily]


class _Once(Collector):
    def __init__(self, families: Families) -> None:
        self._families = list(families)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        yield from self._families


def series(families: Families) -> dict[tuple[str, ...], float]:
    """As Prometheus reads them: name and values of the labels, by the labels' names."""
    registry = CollectorRegistry()
    registry.register(_Once(families))
    read = [
        ((sample.name, *sample.labels.values()), sample.value)
        for family in text_string_to_metric_families(generate_latest(registry).decode())
        for sample in family.samples
    ]
    assert len(dict(read)) == len(read), "a series twice"
    return {(name.removeprefix("printpost_printer_"), *labels): value for (name, *labels), value in read}


def supply(name: str, level: float | None, color: str = "") -> Supply:
    return Supply(name=name, kind="toner", color=color, level=level)


def report(printer: str = "office", answered: float = 100.0, **more: object) -> PrinterReport:
    return PrinterReport(printer=printer, asked_at=100.0, answered_at=answered, **more)  # type: ignore[arg-type]


def test_who_answers_is_up_and_who_is_left_alone_is_nothing() -> None:
    reports = [report("good"), report("lost", 50.0), report("never", 0.0), report("asleep", 50.0)]
    assert series(report_gauges.answers(reports, {"asleep"})) == {
        ("up", "good"): 1,
        ("up", "lost"): 0,
        ("up", "never"): 0,
        ("last_status_timestamp_seconds", "good"): 100,
        ("last_status_timestamp_seconds", "lost"): 50,
        ("last_status_timestamp_seconds", "asleep"): 50,
    }


def test_levels_are_told_where_they_are_measured() -> None:
    one = report(
        pages=4711,
        supplies=(supply("Black", 0.42, "black"), supply("Waste", None)),
        trays=(Tray(name="Tray 1", media="a4", level=0.0), Tray(name="Tray 2", media="", level=None)),
    )
    assert series(report_gauges.levels([one])) == {
        ("supply_level_ratio", "black", "office", "Black"): 0.42,
        ("input_level_ratio", "office", "Tray 1"): 0,
        ("impressions_total", "office"): 4711,
    }


def test_names_of_strangers_are_cleaned_and_counted() -> None:
    supplies = (
        *(supply(name, 0.5) for name in ("", "Toner", "Toner", "Toner 3", "Toner 3", "a\x1b[2J\nb", "x" * 500)),
        *(supply(f"more {number}", 0.5) for number in range(100)),
        supply("nonsense", 7.0),
    )
    found = series(report_gauges.levels([report(supplies=supplies)]))
    names = [labels[3] for labels in found]
    assert len(names) == report_gauges.MOST
    assert names[:7] == ["1", "Toner", "Toner 3", "Toner 3 4", "Toner 3 5", "a[2J b", "x" * 40]
