"""What the store knows, as gauges.  Only the appliance exports them: a sum over both processes counts nothing twice.

They are read at each scrape, so a printer that was removed leaves no stale series behind.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import REGISTRY, Collector, CollectorRegistry

from mailstore.directory.contract import Directory
from mailstore.directory.records import Printer
from mailstore.failure import TransientFailure
from mailstore.job import ENDED, JobState
from mailstore.store.contract import PrinterState, Store, Waiting

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
        self._free = self._used = 0
        registry.register(self)

    async def refresh(self) -> None:
        """Take a new snapshot.  While the directory is down the printers last known are kept."""
        with contextlib.suppress(TransientFailure):  # counted by the directory's own metrics
            self._printers = await self._directory.printers()
        known = {printer.name for printer in self._printers}
        self._waiting = [row for row in await self._store.waiting() if row.printer in known or any(row.states.values())]
        states = {state.printer: state for state in await self._store.printer_states()}
        self._states = [states.get(name, PrinterState(printer=name)) for name in (one.name for one in self._printers)]
        self._uncertain = await self._count_uncertain()
        self._free, self._used = await self._store.free_octets(), await self._store.used_octets()

    async def _count_uncertain(self) -> Mapping[str, int]:
        if not any(row.states.get(JobState.PROCESSING_STOPPED) for row in self._waiting):
            return {}
        stopped = await self._store.jobs(states=[JobState.PROCESSING_STOPPED])
        return Counter(job.printer for job in stopped if _UNKNOWN in job.reasons)

    def close(self) -> None:
        self._registry.unregister(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _jobs(self._waiting, self._uncertain)
        yield from _maildrops(self._waiting, self._printers)
        yield from _printers(self._printers, self._states)
        yield from _conditions(self._states, self._waiting)
        yield GaugeMetricFamily(
            "printpost_spool_bytes", "Disk space in use, by whatever, where messages lie.", value=self._used
        )
        yield GaugeMetricFamily(
            "printpost_spool_free_bytes", "Free disk space for messages above the reserve.", value=max(self._free, 0)
        )


def _jobs(waiting: Sequence[Waiting], uncertain: Mapping[str, int]) -> Iterator[GaugeMetricFamily]:
    jobs = GaugeMetricFamily("printpost_jobs", "Jobs that have not ended, by job-state.", labels=["printer", "state"])
    oldest = GaugeMetricFamily(
        "printpost_oldest_job_timestamp_seconds", "When the oldest job that has not ended came in.", labels=["printer"]
    )
    last = GaugeMetricFamily(
        "printpost_last_job_completed_timestamp_seconds", "When a job was last completed.", labels=["printer"]
    )
    doubtful = GaugeMetricFamily(
        "printpost_jobs_uncertain",
        "Jobs that wait for a decision: nobody knows whether they were printed.",
        labels=["printer"],
    )
    for row in waiting:
        for state in LIVE_STATES:
            jobs.add_metric([row.printer, state.value], row.states.get(state.value, 0))
        doubtful.add_metric([row.printer], uncertain.get(row.printer, 0))
        if row.oldest:
            oldest.add_metric([row.printer], row.oldest)
        if row.last_completed:
            last.add_metric([row.printer], row.last_completed)
    return iter((jobs, oldest, last, doubtful))


def _maildrops(waiting: Sequence[Waiting], printers: Sequence[Printer]) -> Iterator[GaugeMetricFamily]:
    messages = GaugeMetricFamily("printpost_mailbox_messages", "Messages in the maildrop.", labels=["printer"])
    octets = GaugeMetricFamily("printpost_mailbox_bytes", "Octets in the maildrop.", labels=["printer"])
    quota = GaugeMetricFamily("printpost_mailbox_quota_bytes", "Octets that the maildrop may hold.", labels=["printer"])
    for row in waiting:
        messages.add_metric([row.printer], row.messages)
        octets.add_metric([row.printer], row.octets)
    for printer in printers:
        quota.add_metric([printer.name], printer.quota)
    return iter((messages, octets, quota))


def _printers(printers: Sequence[Printer], states: Sequence[PrinterState]) -> Iterator[GaugeMetricFamily]:
    info = GaugeMetricFamily(
        "printpost_printer_info", "One for each printer.", labels=["printer", "model", "location", "transport"]
    )
    interval = GaugeMetricFamily(
        "printpost_printer_poll_interval_seconds", "How often the printer is to poll.", labels=["printer"]
    )
    poll = GaugeMetricFamily(
        "printpost_printer_last_poll_timestamp_seconds", "When the printer last logged in by POP3.", labels=["printer"]
    )
    accepting = GaugeMetricFamily(
        "printpost_printer_accepting_jobs", "Whether mail for the printer is taken.", labels=["printer"]
    )
    enabled = GaugeMetricFamily("printpost_printer_enabled", "Whether the printer is not paused.", labels=["printer"])
    for printer in printers:
        transport = "socket" if printer.drained_by_bridge else "pop3"
        info.add_metric([printer.name, printer.model, printer.location, transport], 1)
        if not printer.drained_by_bridge:
            interval.add_metric([printer.name], printer.poll_interval)
    for state in states:
        accepting.add_metric([state.printer], int(state.accepting))
        enabled.add_metric([state.printer], int(not state.paused))
        if state.last_poll:
            poll.add_metric([state.printer], state.last_poll)
    return iter((info, interval, poll, accepting, enabled))


def _conditions(states: Sequence[PrinterState], waiting: Sequence[Waiting]) -> Iterator[GaugeMetricFamily]:
    """How the printers fare.  The store is told of trouble and of its end; work is seen by the jobs."""
    condition = GaugeMetricFamily(
        "printpost_printer_state", "1 for the printer-state that holds, 0 for the others.", labels=["printer", "state"]
    )
    reason = GaugeMetricFamily(
        "printpost_printer_state_reason", "1 for each printer-state-reason that holds.", labels=["printer", "reason"]
    )
    busy = {row.printer for row in waiting if row.states.get(JobState.PROCESSING)}
    for one in states:
        now = "processing" if one.state == "idle" and one.printer in busy else one.state
        for state in PRINTER_STATES:
            condition.add_metric([one.printer, state], int(state == now))
        for keyword in one.state_reasons:
            reason.add_metric([one.printer, keyword], 1)
    return iter((condition, reason))
