"""Printers and people as scripts see them: one shape for `--json` and for the API.  Jobs: `described_job`.

Fields are added, never renamed.  Times are RFC 3339 in UTC, None where not reached; sizes octets; periods seconds;
states and reasons the keywords of RFC 8011.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from typing_extensions import TypedDict

from appliance.described_job import moment
from appliance.desk import Standing
from mailstore.condition import PRINTER_STATES
from mailstore.directory.entry import named_limits
from mailstore.directory.records import Person
from mailstore.hours import quiet_until
from mailstore.report import PrinterReport
from mailstore.store.outbox import OutgoingStanding
from mailstore.ticket_words import to_words


class DescribedSupply(TypedDict):
    """Something that is used up, or fills up."""

    name: str
    kind: str  # prtMarkerSuppliesType of RFC 3805, like toner or waste-toner, "" if unknown
    color: str
    level: float | None  # what is left, from 0 to 1, of a waste box the room in it; None if it is not measured


class DescribedTray(TypedDict):
    """Where paper comes from."""

    name: str
    media: str
    level: float | None  # as of a supply


class DescribedReport(TypedDict):
    """What a printer says of itself."""

    up: bool  # it answered when it was asked last
    asked_at: str | None
    answered_at: str | None
    model: str
    serial: str
    console: str  # what its panel shows
    pages: int | None  # that it has printed in its life
    supplies: list[DescribedSupply]
    trays: list[DescribedTray]


class DescribedPrinter(TypedDict):
    """How a printer fares, and who is responsible for it."""

    name: str
    addresses: list[str]
    location: str
    model: str
    sysadmin: list[str]
    service_person: list[str]
    key_user: list[str]
    members: list[str]  # names of printers, of a group
    state: str  # printer-state
    state_reasons: list[str]  # printer-state-reasons
    detail: str
    paused: bool
    accepting: bool
    waiting: int
    oldest: str | None
    last_poll: str | None
    poll_gap: float  # seconds between its polls of late, 0 if it did not
    poll_clear: bool  # its last login sent the password over the network in clear
    quiet_until: str | None  # when the present quiet hours end
    report: DescribedReport | None  # None for one that was never asked


class DescribedPrinterFile(DescribedPrinter):
    """A printer with all its settings."""

    uri: str
    languages: list[str]
    allow: list[str]
    deny: list[str]
    poll_interval: int
    plain_from: list[str]
    quota: int
    when_uncertain: str
    tell_printed: bool
    pjl: bool
    limits: dict[str, int]  # by the names that --limit takes, those that there are
    unverified_ok: bool
    raw: str  # whose PostScript and PDF reach it as they came
    unfiltered: str  # whose printer commands do
    body: str  # when the letter prints
    color: bool
    max_copies: int  # 0: any number
    media: list[str]  # PWG self-describing names, the usual one first
    ticket: str  # how jobs print that do not say otherwise, as --ticket takes it
    confidential: bool
    half_close: bool
    end_wait: int
    stall_limit: int
    pjl_one_option: bool
    ps_echo: bool
    count_pages: bool
    snmp: str  # off, 1 or 2c
    snmp_community: str  # only for whoever may change it, else ""
    snmp_port: int
    status_interval: int
    quiet_hours: list[str]
    hold: str
    hold_expiry: int
    expiry: int
    network_address: str
    netmask: str
    gateway: str
    hardware_address: str
    revision: str  # of the settings, to be sent back with a change; for whoever may make one, else ""


class DescribedPerson(TypedDict):
    """A user."""

    name: str
    addresses: list[str]
    full_name: str
    administrator: bool
    local: bool
    quota: int
    groups: list[str]  # of our own user
    revision: str  # to be sent back with a change


class DescribedDirectory(TypedDict):
    """Whether the directory answers."""

    reachable: bool
    last_answer: str | None


class DescribedNotices(TypedDict):
    """Mail that waits to go out."""

    waiting: int
    oldest: str | None
    last_error: str  # told to administrators: it names the recipient


class DescribedStatus(TypedDict):
    """How the house fares."""

    version: str
    trouble: list[str]  # what is wrong, a sentence each
    printers: dict[str, int]  # by printer-state
    waiting: int  # jobs
    directory: DescribedDirectory
    notices: DescribedNotices
    room: int  # octets on the disk until mail is refused; negative: it is


def printer(standing: Standing) -> DescribedPrinter:
    one, state, waiting = standing.printer, standing.state, standing.waiting
    return DescribedPrinter(
        name=one.name,
        addresses=list(one.addresses),
        location=one.location,
        model=one.model,
        sysadmin=list(one.sysadmin),
        service_person=list(one.service_person),
        key_user=list(one.key_user),
        members=list(one.members),
        state=standing.condition,
        state_reasons=list(state.state_reasons),
        detail=state.detail,
        paused=state.paused,
        accepting=state.accepting,
        waiting=standing.jobs_waiting,
        oldest=moment(waiting.oldest) if waiting else None,
        last_poll=moment(state.last_poll),
        poll_gap=round(state.poll_gap, 1),
        poll_clear=state.poll_clear,
        quiet_until=moment(quiet_until(one.quiet_hours, time.time())),
        report=report(standing.report) if standing.report else None,
    )


def report(one: PrinterReport) -> DescribedReport:
    return DescribedReport(
        up=one.up,
        asked_at=moment(one.asked_at),
        answered_at=moment(one.answered_at),
        model=one.model,
        serial=one.serial,
        console=one.console,
        pages=one.pages,
        supplies=[DescribedSupply(name=s.name, kind=s.kind, color=s.color, level=s.level) for s in one.supplies],
        trays=[DescribedTray(name=tray.name, media=tray.media, level=tray.level) for tray in one.trays],
    )


def printer_file(standing: Standing, *, community: bool) -> DescribedPrinterFile:
    """`community`: whether it may be seen; if not, it could be guessed by the revision, as all else is told."""
    one = standing.printer
    return DescribedPrinterFile(
        **printer(standing),
        uri=one.uri,
        languages=[language.value for language in one.languages],
        allow=list(one.allow),
        deny=list(one.deny),
        poll_interval=one.poll_interval,
        plain_from=list(one.plain_from),
        quota=one.quota,
        when_uncertain=one.when_uncertain.value,
        tell_printed=one.tell_printed,
        pjl=one.pjl,
        limits=named_limits(one.limits),
        unverified_ok=one.unverified_ok,
        raw=one.raw.value,
        unfiltered=one.unfiltered.value,
        body=one.body.value,
        color=one.color,
        max_copies=one.max_copies,
        media=list(one.media),
        ticket=to_words(one.ticket),
        confidential=one.confidential,
        half_close=one.half_close,
        end_wait=one.end_wait,
        stall_limit=one.stall_limit,
        pjl_one_option=one.pjl_one_option,
        ps_echo=one.ps_echo,
        count_pages=one.count_pages,
        snmp=one.snmp.value,
        snmp_community=one.snmp_community if community else "",
        snmp_port=one.snmp_port,
        status_interval=one.status_interval,
        quiet_hours=list(one.quiet_hours),
        hold=one.hold.value,
        hold_expiry=one.hold_expiry,
        expiry=one.expiry,
        network_address=one.network_address,
        netmask=one.netmask,
        gateway=one.gateway,
        hardware_address=one.hardware_address,
        revision=one.revision if community else "",
    )


def status(
    *,
    version: str,
    trouble: list[str],
    reachable: bool,
    reached_at: float,
    standings: Sequence[Standing],
    outgoing: OutgoingStanding,
    room: int,
) -> DescribedStatus:
    """`standings`: none while nothing is known of the printers."""
    conditions = Counter(one.condition for one in standings if not one.printer.is_group)
    return DescribedStatus(
        version=version,
        trouble=trouble,
        printers={state: conditions[state] for state in PRINTER_STATES},
        waiting=sum(one.jobs_waiting for one in standings),
        directory=DescribedDirectory(reachable=reachable, last_answer=moment(reached_at)),
        notices=DescribedNotices(
            waiting=outgoing.waiting, oldest=moment(outgoing.oldest), last_error=outgoing.last_error
        ),
        room=room,
    )


def person(one: Person) -> DescribedPerson:
    return DescribedPerson(
        name=one.name,
        addresses=list(one.addresses),
        full_name=one.full_name,
        administrator=one.administrator,
        local=one.local,
        quota=one.quota,
        groups=list(one.groups),
        revision=one.revision,
    )
