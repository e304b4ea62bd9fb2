"""A printer's record and its LDAP entry, one made from the other; and what a record may hold.

The entry is a `printerService` (RFC 7612) with `inetLocalMailRecipient` and our own `printpostPrinter`.  `mail` holds
the address to show, `mailLocalAddress` every address, so that one attribute is enough to keep addresses unique.

Security: reads what foreign directories say.  Whatever is malformed is left out if the printer is then as safe as
before, else the printer is refused: an unreadable device address must not open its mailbox to POP3, and no
default may stand for an unreadable language.  Names and addresses are checked before they become part of a DN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from mailstore.directory.records import Language, Printer, WhenUncertain
from mailstore.directory.values import (
    MalformedEntry,
    Source,
    check,
    check_each,
    read_address,
    read_flag,
    read_hardware_address,
    read_ip,
    read_name,
    read_netmask,
    read_network,
    read_own_address,
    read_poll_interval,
    read_quota,
    read_rule,
    read_text,
    read_uri,
)
from mailstore.failure import PermanentFailure

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
    "ipHostNumber",
    "ipNetmaskNumber",
    "printpostGateway",
    "macAddress",
)
"""What a search asks for."""


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
        "ipHostNumber": [printer.network_address] if printer.network_address else [],
        "ipNetmaskNumber": [printer.netmask] if printer.netmask else [],
        "printpostGateway": [printer.gateway] if printer.gateway else [],
        "macAddress": [printer.hardware_address] if printer.hardware_address else [],
    }


def from_attributes(attributes: Mapping[str, Sequence[bytes]]) -> Reading:
    """The printer that an entry describes, the names of attributes in any case.

    The order of several values is the server's.
    Raises `MalformedEntry` if it has no usable name, address or language, or a device address that cannot be read.
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
    service = source.each("printpostServicePerson", read_address)
    network_address = source.one("ipHostNumber", read_ip, "")
    printer = Printer(
        name=name,
        addresses=addresses,
        uri=uri,
        languages=languages or (Language.POSTSCRIPT,),
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
        location=source.one("printer-location", read_text, ""),
        model=source.one("printer-make-and-model", read_text, ""),
        network_address=network_address,
        netmask=source.one("ipNetmaskNumber", lambda value: read_netmask(value, network_address), ""),
        gateway=source.one("printpostGateway", read_ip, ""),
        hardware_address=source.one("macAddress", read_hardware_address, ""),
    )
    return Reading(printer, tuple(source.complaints))


def checked(printer: Printer) -> Printer:
    """The same printer as it will be stored: lower case, default port, networks in their usual form, nothing twice.

    Raises `PermanentFailure` ("5.1.3" addresses, "5.5.4" all else) that says what to write instead.
    """
    if not printer.addresses:
        raise PermanentFailure("5.1.3", f"printer {printer.name} needs an address, such as {printer.name}@example.com")
    if not printer.languages:
        raise PermanentFailure("5.5.4", f"printer {printer.name} needs a language, such as --language postscript")
    network_address = check(printer.network_address, read_ip) if printer.network_address else ""
    return replace(
        printer,
        name=check(printer.name, read_name),
        addresses=check_each(printer.addresses, read_own_address, "5.1.3"),
        uri=check(printer.uri, read_uri) if printer.uri else "",
        languages=tuple(dict.fromkeys(printer.languages)),
        allow=check_each(printer.allow, read_rule),
        deny=check_each(printer.deny, read_rule),
        sysadmin=check_each(printer.sysadmin, read_address, "5.1.3"),
        service_person=check_each(printer.service_person, read_address, "5.1.3"),
        key_user=check_each(printer.key_user, read_address, "5.1.3"),
        poll_interval=check(str(printer.poll_interval), read_poll_interval),
        plain_from=check_each(printer.plain_from, read_network),
        quota=check(str(printer.quota), read_quota),
        location=check(printer.location, read_text),
        model=check(printer.model, read_text),
        network_address=network_address,
        netmask=check(printer.netmask, lambda value: read_netmask(value, network_address)) if printer.netmask else "",
        gateway=check(printer.gateway, read_ip) if printer.gateway else "",
        hardware_address=check(printer.hardware_address, read_hardware_address) if printer.hardware_address else "",
    )
