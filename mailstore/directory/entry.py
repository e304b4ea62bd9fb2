"""A printer's record and its LDAP entry, one made from the other; and what a record may hold.

The entry is a `printerService` (RFC 7612) with `inetLocalMailRecipient` and our own `printpostPrinter`.  `mail` holds
the address to show, `mailLocalAddress` every address, so that one attribute is enough to keep addresses unique.

Security: reads what foreign directories say.  Whatever is malformed is left out if the printer is then as safe as
before, else the printer is refused: an unreadable device address must not open its mailbox to POP3, and no default may
stand for an unreadable language, rule, member, limit or word of what may pass.  Names and addresses are checked
before they become part of a DN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from mailstore.directory import serving
from mailstore.directory.records import NO_LIMITS, Body, Language, Printer, PrintLimits, Raw, WhenUncertain
from mailstore.directory.values import (
    LIMITS,
    MalformedEntry,
    Source,
    check,
    check_each,
    read_address,
    read_flag,
    read_hardware_address,
    read_ip,
    read_limit,
    read_limit_number,
    read_max_copies,
    read_media,
    read_name,
    read_netmask,
    read_network,
    read_own_address,
    read_poll_interval,
    read_quota,
    read_rule,
    read_text,
    read_ticket,
    read_uri,
)
from mailstore.failure import PermanentFailure
from mailstore.ticket import MAX_COPIES, NO_TICKET, Ticket
from mailstore.ticket_words import capped, to_words

OBJECT_CLASSES = ("printerService", "inetLocalMailRecipient", "printpostPrinter")
ATTRIBUTES = (
    "uid",
    "mail",
    "mailLocalAddress",
    "printer-name",
    "printer-uri",
    "printer-location",
    "printer-make-and-model",
    "printer-service-person",
    "printer-color-supported",
    "printer-copies-supported",
    "printer-media-supported",
    "printpostLanguage",
    "printpostAllow",
    "printpostDeny",
    "printpostSysAdmin",
    "printpostServicePerson",
    "printpostKeyUser",
    "printpostPollInterval",
    "printpostPlainFrom",
    "printpostQuota",
    "printpostWhenUncertain",
    "printpostTellPrinted",
    "printpostPJL",
    "printpostMember",
    "printpostLimit",
    "printpostUnverifiedOk",
    "printpostRaw",
    "printpostUnfiltered",
    "printpostBody",
    "printpostTicket",
    "printpostConfidential",
    "printpostMediaDefault",
    "ipHostNumber",
    "ipNetmaskNumber",
    "printpostGateway",
    "macAddress",
    *serving.ATTRIBUTES,
)
"""What a search asks for."""
DEFAULT_LANGUAGES = (Language.POSTSCRIPT,)


class Reading(NamedTuple):
    """A printer as an entry tells it, and what had to be left out."""

    printer: Printer
    complaints: tuple[str, ...]


def to_attributes(printer: Printer) -> dict[str, list[str]]:
    """The entry's attributes but for `objectClass` and `userPassword`.  An empty list means: not there.

    `printer` must have gone through `checked`.
    """
    return {
        "uid": [printer.name],
        "mail": [printer.addresses[0]],
        "mailLocalAddress": list(printer.addresses),
        "printer-name": [printer.name],
        "printer-uri": [printer.uri] if printer.uri else [],
        "printer-location": [printer.location] if printer.location else [],
        "printer-make-and-model": [printer.model] if printer.model else [],
        "printpostLanguage": [language.value for language in printer.languages],
        "printpostAllow": list(printer.allow),
        "printpostDeny": list(printer.deny),
        "printpostSysAdmin": list(printer.sysadmin),
        "printpostServicePerson": list(printer.service_person),
        "printpostKeyUser": list(printer.key_user),
        "printpostPollInterval": [str(printer.poll_interval)],
        "printpostPlainFrom": list(printer.plain_from),
        "printpostQuota": [str(printer.quota)],
        "printpostWhenUncertain": [printer.when_uncertain.value],
        "printpostTellPrinted": ["TRUE"] if printer.tell_printed else [],
        "printpostPJL": ["TRUE"] if printer.pjl else [],
        "printpostMember": list(printer.members),
        "printpostLimit": [f"{name}={number}" for name, number in named_limits(printer.limits).items()],
        "printpostUnverifiedOk": ["TRUE"] if printer.unverified_ok else [],
        "printpostRaw": [printer.raw.value] if printer.raw is not Raw.INSIDER else [],
        "printpostUnfiltered": [printer.unfiltered.value] if printer.unfiltered is not Raw.NOBODY else [],
        "printpostBody": [printer.body.value] if printer.body is not Body.ALONE else [],
        "printpostTicket": [to_words(printer.ticket)] if printer.ticket != NO_TICKET else [],
        "printpostConfidential": ["TRUE"] if printer.confidential else [],
        "printer-color-supported": ["TRUE"] if printer.color else [],
        "printer-copies-supported": [str(printer.max_copies)] if printer.max_copies else [],
        "printer-media-supported": list(printer.media),
        "printpostMediaDefault": list(printer.media[:1]),
        "ipHostNumber": [printer.network_address] if printer.network_address else [],
        "ipNetmaskNumber": [printer.netmask] if printer.netmask else [],
        "printpostGateway": [printer.gateway] if printer.gateway else [],
        "macAddress": [printer.hardware_address] if printer.hardware_address else [],
        **serving.to_attributes(printer),
    }


def named_limits(limits: PrintLimits) -> dict[str, int]:
    """The limits that there are, by the names they have for people."""
    numbers = {name: getattr(limits, name.replace("-", "_")) for name in LIMITS}
    return {name: number for name, number in numbers.items() if number}


def with_limits(limits: PrintLimits, numbers: Mapping[str, int]) -> PrintLimits:
    """`limits` with some others, by the names they have for people; 0 takes one away."""
    made = replace(limits, **{name.replace("-", "_"): number for name, number in numbers.items()})
    return NO_LIMITS if made == NO_LIMITS else made  # the store knows this one without looking into it


def from_attributes(attributes: Mapping[str, Sequence[bytes]]) -> Reading:
    """The printer that an entry describes, the names of attributes in any case.

    The order of several values is the server's.
    Raises `MalformedEntry` if it has no usable name, address or language, or something that cannot be read and without
    which it might print more, or for others, than it should.
    """
    source = Source({name.lower(): values for name, values in attributes.items()})
    # Where these are unreadable no default is safe.
    name = source.must("uid", read_name)
    uri = source.must("printer-uri", read_uri) if source.has("printer-uri") else ""
    addresses = tuple(
        dict.fromkeys(source.each("mail", read_own_address) + source.each("mailLocalAddress", read_own_address))
    )
    languages = source.each("printpostLanguage", Language)
    if not addresses:
        raise MalformedEntry("neither mail nor mailLocalAddress holds an address")
    if not languages and source.has("printpostLanguage"):
        raise MalformedEntry("printpostLanguage names no language that Printpost knows")
    # Of a rule that is left out nobody would know whom it was meant to keep away.
    allow, deny = (tuple(source.must_each(f"printpost{kind}", read_rule)) for kind in ("Allow", "Deny"))
    members = tuple(source.must_each("printpostMember", read_name))
    if members and uri:
        raise MalformedEntry("it has both printpostMember and printer-uri, and would be a group and a printer")
    service = source.each("printpostServicePerson", read_address)
    network_address = source.one("ipHostNumber", read_ip, "")
    printer = Printer(
        name=name,
        addresses=addresses,
        uri=uri,
        languages=() if members else languages or DEFAULT_LANGUAGES,
        allow=allow,
        deny=deny,
        sysadmin=source.each("printpostSysAdmin", read_address),
        service_person=service or source.each("printer-service-person", read_address),
        key_user=source.each("printpostKeyUser", read_address),
        poll_interval=source.one("printpostPollInterval", read_poll_interval, 60),
        plain_from=source.each("printpostPlainFrom", read_network),
        quota=source.one("printpostQuota", read_quota, 1 << 30),
        when_uncertain=source.one("printpostWhenUncertain", WhenUncertain, WhenUncertain.HOLD),
        tell_printed=source.one("printpostTellPrinted", read_flag, False),
        pjl=source.one("printpostPJL", read_flag, False),
        members=members,
        limits=_limits(source),
        unverified_ok=source.one("printpostUnverifiedOk", read_flag, False),
        location=source.one("printer-location", read_text, ""),
        model=source.one("printer-make-and-model", read_text, ""),
        network_address=network_address,
        netmask=source.one("ipNetmaskNumber", lambda value: read_netmask(value, network_address), ""),
        gateway=source.one("printpostGateway", read_ip, ""),
        hardware_address=source.one("macAddress", read_hardware_address, ""),
    )
    printer = serving.with_serving(_with_printing(printer, source), source)
    return Reading(printer, tuple(source.complaints))


def checked(printer: Printer) -> Printer:
    """The same printer as it will be stored: lower case, default port, networks in their usual form, nothing twice.

    Raises `PermanentFailure` ("5.1.3" addresses, "5.5.4" all else) that says what to write instead.
    """
    if not printer.addresses:
        raise PermanentFailure("5.1.3", f"printer {printer.name} needs an address, such as {printer.name}@example.com")
    if not (printer.languages or printer.members):
        raise PermanentFailure("5.5.4", f"printer {printer.name} needs a language, such as --language postscript")
    _check_group(printer)
    if printer.raw is Raw.NOBODY and not printer.members and not printer.uri:
        text = f"{printer.name} polls, so all that it gets comes raw: give it a device address, or --raw insider"
        raise PermanentFailure("5.5.4", text)
    network_address = check(printer.network_address, read_ip) if printer.network_address else ""
    media = check_each(printer.media, read_media)
    return replace(
        printer,
        name=check(printer.name, read_name),
        addresses=check_each(printer.addresses, read_own_address, "5.1.3"),
        uri=check(printer.uri, read_uri) if printer.uri else "",
        languages=() if printer.members else tuple(dict.fromkeys(printer.languages)),
        allow=check_each(printer.allow, read_rule),
        deny=check_each(printer.deny, read_rule),
        sysadmin=check_each(printer.sysadmin, read_address, "5.1.3"),
        service_person=check_each(printer.service_person, read_address, "5.1.3"),
        key_user=check_each(printer.key_user, read_address, "5.1.3"),
        poll_interval=check(str(printer.poll_interval), read_poll_interval),
        plain_from=check_each(printer.plain_from, read_network),
        quota=check(str(printer.quota), read_quota),
        members=check_each(printer.members, read_name),
        limits=_checked_limits(printer),
        max_copies=check(str(printer.max_copies), read_max_copies),
        media=media,
        ticket=_checked_ticket(replace(printer, media=media)),
        location=check(printer.location, read_text),
        model=check(printer.model, read_text),
        network_address=network_address,
        netmask=check(printer.netmask, lambda value: read_netmask(value, network_address)) if printer.netmask else "",
        gateway=check(printer.gateway, read_ip) if printer.gateway else "",
        hardware_address=check(printer.hardware_address, read_hardware_address) if printer.hardware_address else "",
        **serving.checked_serving(printer),
    )


def _with_printing(printer: Printer, source: Source) -> Printer:
    """The printer with what prints on it, and how."""
    return replace(
        printer,
        raw=_trust(source, "printpostRaw", Raw.INSIDER),
        unfiltered=_trust(source, "printpostUnfiltered", Raw.NOBODY),
        body=source.one("printpostBody", lambda value: Body(value.lower()), Body.ALONE),
        color=source.one("printer-color-supported", read_flag, False),
        max_copies=_max_copies(source),
        media=_media(source),
        ticket=source.one("printpostTicket", read_ticket, NO_TICKET),
        confidential=source.has("printpostConfidential") and source.must("printpostConfidential", read_flag),
    )


def _trust(source: Source, name: str, default: Raw) -> Raw:
    said = source.must_each(name, lambda value: Raw(value.lower()))
    if len(said) > 1:
        raise MalformedEntry(f"{name} says two things")
    return said[0] if said else default


def _max_copies(source: Source) -> int:
    """RFC 7612: 0 for no maximum, -1 for unknown."""
    if not source.has("printer-copies-supported"):
        return 0
    read = partial(read_max_copies, most=1 << 31)
    said = source.must("printer-copies-supported", lambda value: 0 if value == "-1" else read(value))
    return min(said, MAX_COPIES)


def _media(source: Source) -> tuple[str, ...]:
    usual = source.each("printpostMediaDefault", read_media)[:1]
    return tuple(dict.fromkeys(usual + source.each("printer-media-supported", read_media)))


def _limits(source: Source) -> PrintLimits:
    given = source.must_each("printpostLimit", read_limit)
    numbers = dict(given)
    if len(numbers) < len(given):
        raise MalformedEntry("printpostLimit says two numbers for one limit")
    return with_limits(NO_LIMITS, numbers)


def _checked_limits(printer: Printer) -> PrintLimits:
    numbers = named_limits(printer.limits)
    for name, number in numbers.items():
        check(str(number), partial(read_limit_number, name=name))
    return with_limits(NO_LIMITS, numbers)


def _checked_ticket(printer: Printer) -> Ticket:
    """Raises `PermanentFailure` if the printer may not do what its own ticket says."""
    ticket = check(to_words(printer.ticket), read_ticket)
    _, refused = capped(ticket, printer, Raw.INSIDER)
    if refused:
        text = f"the ticket of {printer.name} is not one that it may print by: {'; '.join(refused)}"
        raise PermanentFailure("5.5.4", text)
    return ticket


def _check_group(printer: Printer) -> None:
    """Raises `PermanentFailure` if it has members, and something that only a printer can have."""
    if not printer.members:
        return
    if printer.uri:
        text = f"{printer.name} is a group: give the device address to its members, or leave --member out"
        raise PermanentFailure("5.5.4", text)
    if printer.languages not in ((), DEFAULT_LANGUAGES):
        text = f"{printer.name} is a group and speaks what its members speak: leave --language out"
        raise PermanentFailure("5.5.4", text)
    if limited := [name for name in named_limits(printer.limits) if name.endswith("pages")]:
        text = f"{printer.name} is a group, whose pages count at its members: give {', '.join(limited)} to these"
        raise PermanentFailure("5.5.4", text)
    if printer.name.lower() in (member.lower() for member in printer.members):
        raise PermanentFailure("5.5.4", f"{printer.name} cannot be a member of itself: name other printers")
