"""Checks of how each printer is served: its oddities, its own reports, jobs in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from appliance.web.words import duration
from mailstore.directory.records import Hold, Language, Printer, Snmp, WhenUncertain
from mailstore.directory.serving import show_period, unlike_usual
from mailstore.header import clean
from mailstore.hours import WEEK, quiet_until
from mailstore.job import Job, JobState
from mailstore.report import PrinterReport, Supply, is_low
from mailstore.store.contract import Store
from mailstore.store.following import Progress

UNKNOWN = "x-delivery-unknown"
HASTY = 30
"""Seconds between two questions, below which an agent that falls silent may have been asked too often."""
_MOST = 3  # jobs, or supplies, that are told one by one
_POSTSCRIPT = frozenset({Language.POSTSCRIPT, Language.POSTSCRIPT2})
_OF_ALL = frozenset({"hold", "hold_expiry", "expiry"})
_OF_SNMP = frozenset({"snmp_community", "snmp_port", "status_interval"})


def served(printer: Printer, now: float) -> list[str]:
    """What does not go together in the way it is served."""
    return [] if printer.is_group else list(_served(printer, now))


def _served(printer: Printer, now: float) -> Iterator[str]:
    change = f"printpost printer set {printer.name}"
    if printer.hold is Hold.ALL and not (printer.service_person or printer.key_user or printer.sysadmin):
        yield (
            "each job waits until somebody releases it, and its entry names nobody who may, so only an administrator"
            f" can: {change} --key-user ada@example.com"
        )
    if printer.polls:
        if idle := _options(name for name in unlike_usual(printer) if name not in _OF_ALL):
            yield f"it fetches its mail by itself, and nothing is done by {idle}: take that back"
        return
    if printer.stall_limit <= printer.end_wait:
        yield (
            f"a job is given up as stalled after {show_period(printer.stall_limit)}, before its end was waited for"
            f" ({show_period(printer.end_wait)}): {change} --stall-limit 1d"
        )
    if quiet_until(printer.quiet_hours, now) >= now + WEEK:
        yield f'its quiet hours never end, and nothing is printed: {change} --quiet-hours "" or shorter ones'
    if not printer.pjl:
        if printer.pjl_one_option:
            yield f"--pjl-one-option says how its PJL is written, and it is sent none: {change} --pjl"
        if printer.when_uncertain is WhenUncertain.RESUME:
            yield (
                "a job in doubt cannot be gone on with and is held, for without PJL nothing confirms single pages:"
                f" {change} --pjl if it speaks PJL, or --when-uncertain hold"
            )
    elif printer.pjl_one_option and printer.when_uncertain is WhenUncertain.RESUME:
        yield (
            "a job in doubt cannot be gone on with and is held, for with --pjl-one-option it is told of no range of"
            f" pages: {change} --when-uncertain hold"
        )
    if printer.ps_echo and not _POSTSCRIPT.intersection(printer.languages):
        yield f"--ps-echo waits for an answer of PostScript, which it does not speak: {change} --no-ps-echo"
    if printer.snmp is Snmp.OFF and (idle := _options(name for name in unlike_usual(printer) if name in _OF_SNMP)):
        yield f"it is not asked by SNMP, and nothing is done by {idle}: {change} --snmp 1 or 2c"


def _options(names: Iterator[str]) -> str:
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def reported(printer: Printer, report: PrinterReport | None, now: float) -> list[str]:
    """What is wrong by its own word, or by its silence; nothing in its quiet hours."""
    if report is None or not _asked(printer, now) or not report.answered_at:
        return []
    if not report.up:
        hasty = printer.status_interval < HASTY
        remedy = (
            f"it is asked every {show_period(printer.status_interval)}, which not every printer bears:"
            f" printpost printer set {printer.name} --status-interval 60s"
            if hasty
            else "is it switched on and on the network?"
        )
        return [f"it does not answer SNMP any more, the last time {duration(now - report.answered_at)} ago: {remedy}"]
    low = [one for one in report.supplies if is_low(one.level)]
    told = [f"{clean(one.name, 60) or 'a supply'} {_left(one)}" for one in low[:_MOST]]
    more = [f"{len(low) - _MOST} more"] if len(low) > _MOST else []
    return [f"{', '.join((*told, *more))}: have new ones at hand"] if told else []


def silent(printer: Printer, report: PrinterReport | None, now: float) -> str:
    """What to do about one that was asked and has never answered; "" for others."""
    if report is None or not _asked(printer, now) or report.answered_at:
        return ""
    return (
        "it has never answered SNMP, so nobody knows of its supplies and counts its pages: printpost printer set"
        f" {printer.name} --snmp-community, --snmp 2c, or --snmp off if it has none"
    )


def _asked(printer: Printer, now: float) -> bool:
    asked = printer.drained_by_bridge and printer.snmp is not Snmp.OFF
    return asked and not quiet_until(printer.quiet_hours, now)


def _left(one: Supply) -> str:
    level = one.level or 0.0
    if one.kind.startswith("waste"):
        return "is full" if level <= 0 else f"is full but for {level:.0%}"
    return "is used up" if level <= 0 else f"is down to {level:.0%}"


async def doubts(store: Store, printer: Printer) -> list[str]:
    """Of its newest jobs in doubt what is known, and what to do."""
    stopped = await store.jobs(printer=printer.name, states=(JobState.PROCESSING_STOPPED,))
    doubtful = [job for job in stopped if UNKNOWN in job.reasons]
    return [doubt(job, await store.progress(job.id)) for job in doubtful[:_MOST]]


def doubt(job: Job, progress: Progress | None) -> str:
    """What is known of a job in doubt, and what to do."""
    again = f"printpost job retry {job.id} prints it again under a banner"
    counted = f"printpost job printed {job.id} counts it as printed"
    if progress is None or not progress.resumable:
        return f"of job {job.id} nobody knows whether it was printed, and no page is confirmed: {again}, {counted}"
    if progress.confirmed:
        of = f" of {progress.pages_all}" if progress.pages_all else ""
        known = f"{progress.confirmed}{of} page{'' if progress.confirmed == 1 and not of else 's'} confirmed"
    else:
        known = f"{progress.document} of its documents confirmed"
    return f"job {job.id} is in doubt, {known}: printpost job retry {job.id} --resume goes on behind them, {again}"


def rests(printer: Printer, now: float, before: float) -> bool:
    """Whether it is quiet, or was so many seconds ago: that nothing is printed then is no trouble."""
    return any(quiet_until(printer.quiet_hours, at) for at in (now, now - before))


def off_duty(printer: Printer, reasons: Sequence[str], now: float) -> bool:
    """Whether all that is wrong is that it does not answer in its quiet hours."""
    return set(reasons) <= {"connecting-to-device", "none"} and bool(quiet_until(printer.quiet_hours, now))
