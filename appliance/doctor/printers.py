"""Checks of each printer: what its entry says, how it fares, what its network facts cannot mean."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from urllib.parse import urlsplit

from appliance import facts, opened, policy
from appliance.doctor.delivery import doubts, off_duty, reported, rests, served, silent
from appliance.doctor.finding import Finding, note, ok, warning
from appliance.doctor.house import House
from appliance.doctor.network import all_resolved, own_interfaces
from appliance.web.words import duration
from mailstore import ticket_words
from mailstore.directory.records import Language, Printer, Raw, reaches
from mailstore.failure import Failure
from mailstore.header import clean
from mailstore.job import JobState
from mailstore.store.contract import PrinterState, Waiting

_LONG = 1800.0
"""Seconds that a job may wait before doctor speaks of it."""

_WITHOUT_WORDS = frozenset({Language.PDF, Language.TEXT})
"""Languages in which a document cannot say how it is to be printed."""
_DRAWN_IN_ONE_MODE = frozenset({Language.PCL, Language.PCLXL, Language.PWG})
"""Languages in which a document is drawn either in grey or in colour."""
_SAYS_COLOR = re.compile(r"colou?r(?!less)", re.IGNORECASE)
_NOT_OF_ONE_THAT_POLLS = {
    f"--{field.name.replace('_', '-')}": field
    for field in dataclasses.fields(Printer)
    if field.name in ("unfiltered", "body", "ticket", "max_copies")
}


async def printers(house: House) -> AsyncIterator[Finding]:
    own, now = own_interfaces(), time.time()
    store = house.store
    states = {state.printer: state for state in await store.printer_states()} if store else {}
    waiting = {row.printer: row for row in await store.waiting()} if store else {}
    reports = {one.printer: one for one in await store.reports()} if store else {}
    lost = await _unresolved(house.printers)
    for printer in house.printers:
        subject, report = f"printer {printer.name}", reports.get(printer.name) if printer.reports else None
        state, row = states.get(printer.name, PrinterState(printer=printer.name)), waiting.get(printer.name)
        troubles = [
            *settings(printer),
            *passing(printer),
            *served(printer, now),
            *members(printer, house.printers),
            *(fares(printer, state, now, report.console if report and report.up else "") if store else ()),
            *reported(printer, report, now),
            *(waits(printer, row, now) if row else ()),
            *(await doubts(store, printer) if store and row and JobState.PROCESSING_STOPPED in row.states else ()),
            *facts.warnings(printer, own),
            *([lost[printer.uri]] if printer.uri in lost else ()),
        ]
        for trouble in troubles:
            yield warning(subject, trouble)
        if not (printer.service_person or printer.sysadmin or printer.is_group):
            yield note(
                subject,
                "it names nobody who answers for it, so its trouble is told to administrators:"
                f" printpost printer set {printer.name} --service-person ada@example.com",
            )
        if idle := silent(printer, report, now):
            yield note(subject, idle)
        if not troubles:
            yield ok(subject, "nothing is wrong as far as can be seen from here")


def settings(printer: Printer) -> list[str]:
    """What is wrong with the entry by itself."""
    name, found = printer.name, []
    for rule in (*printer.allow, *printer.deny):
        try:
            policy.parse_rule(rule)
        except Failure as failure:
            found.append(f"everybody is refused, because a rule cannot be read: {failure.text}")
    if not printer.allow:
        found.append(f"nobody may print: printpost printer set {name} --allow ada@example.com")
    if _everywhere(rule[3:] for rule in printer.allow if rule.startswith("ip:")):
        found.append(
            f"everybody on the net may print, by its rules of ip: printpost printer set {name} --allow with your own"
            " networks, and --forget for those"
        )
    if printer.unverified_ok and printer.allow:
        found.append(
            "whoever writes an allowed sender's address into his mail may print, for nothing has to be proved:"
            f" printpost printer set {name} --no-unverified-ok"
        )
    if printer.raw is Raw.STRANGER and printer.allow and not printer.is_group:
        found.append(f"{opened.as_it_came(printer, 'it')}: printpost printer set {name} --raw insider")
    if printer.polls and _everywhere(printer.plain_from):
        found.append(
            "its password may come in clear from anywhere, where others can read it: printpost printer set"
            f" {name} --plain-from with the printer's own address"
        )
    return found


def passing(printer: Printer) -> list[str]:
    """What is wrong with what may pass to it, and with the ticket by which its jobs print."""
    if printer.is_group:
        return []
    change, found = f"printpost printer set {printer.name}", []
    if printer.polls:
        idle = [
            option for option, field in _NOT_OF_ONE_THAT_POLLS.items() if getattr(printer, field.name) != field.default
        ]
        if idle:
            found.append(
                f"it fetches its mail as it is, so {', '.join(idle)} {'counts' if len(idle) == 1 else 'count'} for"
                f" nothing: {change} --uri socket://HOST:9100 if it has port 9100"
            )
        return found
    if printer.unfiltered is Raw.STRANGER and printer.allow:
        found.append(f"{opened.unfiltered(printer, 'it')}: {change} --unfiltered nobody")
    elif wider := _wider(printer):
        found.append(
            f"PostScript and PDF of {wider} reach it as they came whatever --raw says, for --unfiltered lets all of"
            f" theirs through: {change} --unfiltered {printer.raw}"
        )
    if not printer.color and _SAYS_COLOR.search(printer.model) and _DRAWN_IN_ONE_MODE.intersection(printer.languages):
        found.append(
            f"its model says colour, and what is drawn as PCL, PCL XL or PWG raster is drawn in grey: {change} --color"
        )
    _, refused = ticket_words.capped(printer.ticket, printer, Raw.INSIDER)
    found += [f"its own ticket does not fit it, {told}: {change} --ticket with another" for told in refused]
    return found + [f"{told}: {change} --pjl if it speaks PJL" for told in _unsaid(printer)]


def _wider(printer: Printer) -> str:
    """Of which trust documents pass by `unfiltered` that `raw` would have drawn anew."""
    trusts = (Raw.INSIDER, Raw.VERIFIED, Raw.STRANGER)
    wider = [trust for trust in trusts if reaches(printer.unfiltered, trust) and not reaches(printer.raw, trust)]
    return " and ".join(f"{trust} senders" for trust in wider)


def _unsaid(printer: Printer) -> Iterator[str]:
    """What of its ticket nobody can tell it."""
    if printer.pjl:
        return
    ticket = printer.ticket
    if ticket.media_source.startswith("tray-"):
        yield f"its ticket asks for {ticket.media_source}, and only PJL has a number that means one tray on every model"
    if ticket.sides and _WITHOUT_WORDS.issuperset(printer.languages):
        yield f"its ticket asks for {ticket.sides.value}, and no language of its entry has a word for it"


def members(group: Printer, printers: Sequence[Printer]) -> list[str]:
    """What is wrong with the printers that a group names."""
    known = {printer.name: printer for printer in printers}
    missing = [name for name in group.members if name not in known]
    groups = [name for name in group.members if name in known and known[name].is_group]
    rest = [f"--member {name}" for name in group.members if name not in {*missing, *groups}]
    remedy = f"printpost printer {'set' if rest else 'remove'} {' '.join((group.name, *rest))}"
    found = []
    if missing:
        found.append(f"its members {', '.join(missing)} are no printers, and nothing is printed there: {remedy}")
    if groups:
        found.append(f"its members {', '.join(groups)} are groups, and nothing is printed there: {remedy}")
    return found


def _everywhere(networks: Iterable[str]) -> bool:
    read = []
    for network in networks:
        try:
            read.append(ipaddress.ip_network(network.strip(), strict=False))
        except ValueError:
            continue  # told where rules are read
    return bool(facts.everywhere(read))


def fares(printer: Printer, state: PrinterState, now: float, console: str = "") -> list[str]:
    """What is wrong by what the store knows; of a group it knows nothing.  `console`: what its panel shows."""
    if printer.is_group:
        return []
    name, found = printer.name, []
    if state.paused:
        found.append(f"it is paused: printpost printer resume {name}")
    if not state.accepting:
        found.append(f"mail for it is refused: printpost printer accept {name}")
    if printer.drained_by_bridge:
        if state.state == "stopped" and not off_duty(printer, state.state_reasons, now):
            detail, panel = clean(state.detail, 200), clean(console, 200)
            shown = f"; its panel shows: {panel}" if panel and panel not in detail else ""
            found.append(f"it is stopped: {detail or ', '.join(state.state_reasons)}{shown}")
    elif not state.last_poll:
        found.append(
            "it never polled: enter this server, its name and its password at the printer"
            + ("" if printer.plain_from else f"; if it cannot do TLS, printpost printer set {name} --plain-from too")
        )
    elif now - state.last_poll > 3 * printer.poll_interval + 60:
        found.append(f"it did not poll for {duration(now - state.last_poll)}: is it switched on and on the network?")
    return found


def waits(printer: Printer, waiting: Waiting, now: float) -> list[str]:
    """What is wrong by the jobs that have not ended."""
    found, name = [], printer.name
    if stopped := waiting.states.get(JobState.PROCESSING_STOPPED, 0):
        found.append(f"{_jobs(stopped)} for somebody to decide or help: printpost job list --printer {name}")
    queued = waiting.states.get(JobState.PENDING, 0)
    idle = now - max(waiting.oldest, waiting.last_completed)
    if queued and waiting.oldest and idle > _LONG and not rests(printer, now, _LONG):
        found.append(
            f"{_jobs(queued)}, and nothing was printed for {duration(idle)}: printpost job list --printer {name} says"
            " what each waits for"
        )
    return found


def _jobs(count: int) -> str:
    return "1 job waits" if count == 1 else f"{count} jobs wait"


async def _unresolved(printers: Sequence[Printer]) -> Mapping[str, str]:
    """Device addresses whose name has no address -> what to say of it."""
    hosts = {printer.uri: urlsplit(printer.uri).hostname or "" for printer in printers if printer.uri}
    known = await all_resolved(hosts.values())
    return {
        uri: f"its name {host} does not resolve: correct its device address, or your DNS"
        for uri, host in hosts.items()
        if known.get(host) == []
    }
