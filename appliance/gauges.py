"""What the store knows, as gauges.  Only the appliance exports them: a sum over both processes counts nothing twice.

They are read at each scrape, so a printer that was removed leaves no stale series behind.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

from appliance.report_gauges import answers, levels
from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer, Snmp
from mailstore.failure import TransientFailure
from mailstore.hours import quiet_until
from mailstore.job import ENDED, JobState
from mailstore.report import PrinterReport
from mailstore.store.contract import PrinterState, Store, Waiting
from mailstore.store.outbox import OutgoingStanding

LIVE_STATES = tuple(state for state in JobState if state not in ENDED)
PRINTER_STATES = ("idle", "processing", "stopped")  # RFC 8011 section 5.4.11
_UNKNOWN = "x-delivery-unknown"


class StoreGauges(Collector):
    """A collector over a snapshot that `refresh` takes."""

    def __init__(self, store: Store, directory: Directory, registry: CollectorRegistry = REGISTRY) -> None:
        self._store = store
        self._directory = directory
        self._registry = registry
        self._waiting: Sequence[Waiting] = ()
        self._states: Sequence[PrinterState] = ()
        self._printers: Sequence[Printer] = ()
        self._uncertain: Mapping[str, int] = {}
        self._outgoing = OutgoingStanding(waiting=0, oldest=0.0, last_error="")
        self._free = self._used = 0
        self._reports: Sequence[PrinterReport] = ()
        self._left_alone: frozenset[str] = frozenset()
        registry.register(self)

    async def refresh(self) -> None:
        """Take a new snapshot.  While the directory is down the printers last known are kept."""
        with contextlib.suppress(TransientFailure):  # counted by the directory's own metrics
            self._printers = await self._directory.printers()
        known = {printer.name for printer in self._printers}
        self._waiting = [row for row in await self._store.waiting() if row.printer in known or any(row.states.values())]
        states = {state.printer: state for state in await self._store.printer_states()}
        names = (one.name for one in self._printers if not one.is_group)
        self._states = [states.get(name, PrinterState(printer=name)) for name in names]
        reports = await self._store.reports()
        asked = {one.name: one for one in self._printers if one.snmp is not Snmp.OFF and not one.is_group}
        self._reports = [report for report in reports if report.printer in asked]
        now = time.time()  # of thousands of printers most have the same hours, and each answer takes a while
        quiet = {hours for hours in {one.quiet_hours for one in asked.values()} if quiet_until(hours, now)}
        self._left_alone = frozenset(name for name, one in asked.items() if one.quiet_hours in quiet)
        self._uncertain = await self._count_uncertain()
        self._outgoing = await self._store.outgoing()
        self._free, self._used = await self._store.free_octets(), await self._store.used_octets()

    async def _count_uncertain(self) -> Mapping[str, int]:
        if not any(row.states.get(JobState.PROCESSING_STOPPED) for row in self._waiting):
            return {}
        stopped = await self._store.jobs(states=[JobState.PROCESSING_STOPPED])
        return Counter(job.printer for job in stopped if _UNKNOWN in job.reasons)

    def close(self) -> None:
        self._registry.unregister(self)

    def collect(self) -> Iterator[GaugeMetricFamily | CounterMetricFamily]:
        """One family after the other: with thousands of printers each is large, and need not outlive its lines."""
        yield from _jobs(self._waiting, self._uncertain)
        yield from _maildrops(self._waiting, self._printers)
        yield from _printers(self._printers)
        yield from _conditions(self._states, self._waiting)
        yield from _rhythm(self._states, self._printers)
        yield from answers(self._reports, self._left_alone)
        yield from levels(self._reports)
        yield from _outgoing(self._outgoing)
        yield _gauge(
            "printpost_spool_bytes", "Disk space in use, by whatever, where messages lie.", (), [((), self._used)]
        )
        yield _gauge(
            "printpost_spool_free_bytes",
            "Free disk space for messages above the reserve.",
            (),
            [((), max(self._free, 0))],
        )


def _gauge(
    name: str, documentation: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[str], float]]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, documentation, labels=labels)
    for values, value in rows:
        family.add_metric(values, value)
    return family


def _jobs(waiting: Sequence[Waiting], uncertain: Mapping[str, int]) -> Iterator[GaugeMetricFamily]:
    yield _gauge(
        "printpost_jobs",
        "Jobs that have not ended, by job-state.",
        ("printer", "state"),
        (((row.printer, state), row.states.get(state, 0)) for row in waiting for state in LIVE_STATES),
    )
    yield _gauge(
        "printpost_oldest_job_timestamp_seconds",
        "When the oldest job that has not ended came in.",
        ("printer",),
        (((row.printer,), row.oldest) for row in waiting if row.oldest),
    )
    yield _gauge(
        "printpost_last_job_completed_timestamp_seconds",
        "When a job was last completed.",
        ("printer",),
        (((row.printer,), row.last_completed) for row in waiting if row.last_completed),
    )
    yield _gauge(
        "printpost_jobs_uncertain",
        "Jobs that wait for a decision: nobody knows whether they were printed.",
        ("printer",),
        (((row.printer,), uncertain.get(row.printer, 0)) for row in waiting),
    )


def _maildrops(waiting: Sequence[Waiting], printers: Sequence[Printer]) -> Iterator[GaugeMetricFamily]:
    yield _gauge(
        "printpost_mailbox_messages",
        "Messages in the maildrop.",
        ("printer",),
        (((row.printer,), row.messages) for row in waiting),
    )
    yield _gauge(
        "printpost_mailbox_bytes",
        "Octets in the maildrop.",
        ("printer",),
        (((row.printer,), row.octets) for row in waiting),
    )
    yield _gauge(
        "printpost_mailbox_quota_bytes",
        "Octets that the maildrop may hold.",
        ("printer",),
        (((printer.name,), printer.quota) for printer in printers if not printer.is_group),
    )


def _printers(printers: Sequence[Printer]) -> Iterator[GaugeMetricFamily]:
    yield _gauge(
        "printpost_printer_info",
        "One for each printer, and for each group of printers.",
        ("printer", "model", "location", "transport"),
        (((one.name, one.model, one.location, _transport(one)), 1) for one in printers),
    )
    yield _gauge(
        "printpost_printer_poll_interval_seconds",
        "How often the printer is to poll.",
        ("printer",),
        (((one.name,), one.poll_interval) for one in printers if one.polls),
    )


def _transport(printer: Printer) -> str:
    if printer.is_group:
        return "group"
    return "pop3" if printer.polls else "socket"


def _conditions(states: Sequence[PrinterState], waiting: Sequence[Waiting]) -> Iterator[GaugeMetricFamily]:
    """How the printers fare.  The store is told of trouble and of its end; work is seen by the jobs."""
    yield _gauge(
        "printpost_printer_accepting_jobs",
        "Whether mail for the printer is taken.",
        ("printer",),
        (((one.printer,), int(one.accepting)) for one in states),
    )
    yield _gauge(
        "printpost_printer_enabled",
        "Whether the printer is not paused.",
        ("printer",),
        (((one.printer,), int(not one.paused)) for one in states),
    )
    busy = {row.printer for row in waiting if row.states.get(JobState.PROCESSING)}
    now = {one.printer: "processing" if one.state == "idle" and one.printer in busy else one.state for one in states}
    yield _gauge(
        "printpost_printer_state",
        "1 for the printer-state that holds, 0 for the others.",
        ("printer", "state"),
        (((name, state), int(state == holds)) for name, holds in now.items() for state in PRINTER_STATES),
    )
    yield _gauge(
        "printpost_printer_state_reason",
        "1 for each printer-state-reason that holds.",
        ("printer", "reason"),
        (((one.printer, keyword), 1) for one in states for keyword in one.state_reasons),
    )


def _rhythm(states: Sequence[PrinterState], printers: Sequence[Printer]) -> Iterator[GaugeMetricFamily]:
    """When printers poll.."""
    yield _gauge(
        "printpost_printer_last_poll_timestamp_seconds",
        "When the printer last logged in by POP3.",
        ("printer",),
        (((one.printer,), one.last_poll) for one in states if one.last_poll),
    )
    polling = {printer.name for printer in printers if printer.polls}
    yield _gauge(
        "printpost_printer_poll_gap_seconds",
        "Time between the printer's logins of late, a running average; none until it polled twice.",
        ("printer",),
        (((one.printer,), one.poll_gap) for one in states if one.poll_gap and one.printer in polling),
    )
    yield _gauge(
        "printpost_printer_poll_clear",
        "Whether the printer's last login by POP3 sent its password over the network in clear.",
        ("printer",),
        (((one.printer,), int(one.poll_clear)) for one in states if one.last_poll and one.printer in polling),
    )


def _outgoing(standing: OutgoingStanding) -> Iterator[GaugeMetricFamily]:
    yield _gauge(
        "printpost_outgoing_mails", "Mails of our own that wait to be delivered.", (), [((), standing.waiting)]
    )
    yield _gauge(
        "printpost_oldest_outgoing_timestamp_seconds",
        "When the oldest mail that waits to be delivered was written.",
        (),
        [((), standing.oldest)] if standing.oldest else [],
    )
