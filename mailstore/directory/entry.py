"""A printer's record and its LDAP entry, one made from the other; and what a record may hold.

The entry is a `printerService` (RFC 7612) with `inetLocalMailRecipient` and our own `printpostPrinter`.  `mail` holds
the address to show, `mailLocalAddress` every address, so that one attribute is enough to keep addresses unique.

Security: reads what foreign directories say.  Whatever is malformed is left out if the printer is then as safe as
before, else the printer is refused: an unreadable device address must not open its mailbox to POP3, and no
default may stand for an unreadable language.  Names and addresses are checked before they become part of a DN.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from mailstore.directory.records import Language, Printer, WhenUncertain
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
)
"""What a search asks for."""

PASSWORD_OCTETS = 1024

_T = TypeVar("_T")
_APPSOCKET_PORT = 9100
_MAX_VALUES = 1000  # of one attribute
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(\.{_ATOM})*")  # RFC 5321 section 4.1.2


class MalformedEntry(ValueError):
    """The entry cannot be a printer's; the text says why."""


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
    }


def from_attributes(attributes: Mapping[str, Sequence[bytes]]) -> Reading:
    """The printer that an entry describes, the names of attributes in any case.

    The order of several values is the server's.
    Raises `MalformedEntry` if it has no usable name, address or language, or a device address that cannot be read.
    """
    source = _Source({name.lower(): values for name, values in attributes.items()})
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
        location=source.one("printer-location", read_text, ""),
        model=source.one("printer-make-and-model", read_text, ""),
    )
    return Reading(printer, tuple(source.complaints))


class _Source:
    """An entry's values, read one by one; what cannot be read goes to `complaints`."""

    def __init__(self, attributes: Mapping[str, Sequence[bytes]]) -> None:
        self._attributes = attributes
        self.complaints: list[str] = []

    def has(self, name: str) -> bool:
        return bool(self._values(name))

    def each(self, name: str, read: Callable[[str], _T]) -> tuple[_T, ...]:
        kept: dict[_T, None] = {}
        for value in self._values(name)[:_MAX_VALUES]:
            try:
                kept[read(value)] = None
            except ValueError as error:
                self.complaints.append(f"{name}: {error}")
        return tuple(kept)

    def one(self, name: str, read: Callable[[str], _T], default: _T) -> _T:
        return next(iter(self.each(name, read)), default)

    def must(self, name: str, read: Callable[[str], _T]) -> _T:
        for value in self.must_each(name, read):
            return value
        raise MalformedEntry(f"{name} is missing")

    def must_each(self, name: str, read: Callable[[str], _T]) -> list[_T]:
        values = self._values(name)
        if len(values) > _MAX_VALUES:
            raise MalformedEntry(f"{name} has more than {_MAX_VALUES} values")
        try:
            return [read(value) for value in values]
        except ValueError as error:
            raise MalformedEntry(f"{name}: {error}") from None

    def _values(self, name: str) -> list[str]:
        return [octets.decode("utf-8", "replace") for octets in self._attributes.get(name.lower(), ())]


def checked(printer: Printer) -> Printer:
    """The same printer as it will be stored: lower case, default port, networks in their usual form, nothing twice.

    Raises `PermanentFailure` ("5.1.3" addresses, "5.5.4" all else) that says what to write instead.
    """
    if not printer.addresses:
        raise PermanentFailure("5.1.3", f"printer {printer.name} needs an address, such as {printer.name}@example.com")
    if not printer.languages:
        raise PermanentFailure("5.5.4", f"printer {printer.name} needs a language, such as --language postscript")
    return replace(
        printer,
        name=_check(printer.name, read_name),
        addresses=_check_each(printer.addresses, read_own_address, "5.1.3"),
        uri=_check(printer.uri, read_uri) if printer.uri else "",
        languages=tuple(dict.fromkeys(printer.languages)),
        allow=_check_each(printer.allow, read_rule),
        deny=_check_each(printer.deny, read_rule),
        sysadmin=_check_each(printer.sysadmin, read_address, "5.1.3"),
        service_person=_check_each(printer.service_person, read_address, "5.1.3"),
        key_user=_check_each(printer.key_user, read_address, "5.1.3"),
        poll_interval=_check(str(printer.poll_interval), read_poll_interval),
        plain_from=_check_each(printer.plain_from, read_network),
        quota=_check(str(printer.quota), read_quota),
        location=_check(printer.location, read_text),
        model=_check(printer.model, read_text),
    )


def check_password(password: str) -> None:
    """Raises `PermanentFailure` ("5.5.4") if no LDAP server could be given this password."""
    if not password or len(password.encode("utf-8", "surrogatepass")) > PASSWORD_OCTETS or not password.isprintable():
        raise PermanentFailure(
            "5.5.4", f"a password has 1 to {PASSWORD_OCTETS} octets and no control characters: choose another"
        )


def _check(value: str, read: Callable[[str], _T], status: str = "5.5.4") -> _T:
    try:
        return read(value)
    except ValueError as error:
        raise PermanentFailure(status, str(error)) from None


def _check_each(values: Sequence[str], read: Callable[[str], str], status: str = "5.5.4") -> tuple[str, ...]:
    if len(values) > _MAX_VALUES:
        raise PermanentFailure(status, f"more than {_MAX_VALUES} values: {values[0]!r} and so on")
    return tuple(dict.fromkeys(_check(value, read, status) for value in values))


# The readers of single values: each returns the value's usual form or raises ValueError with a sentence.


def read_name(value: str) -> str:
    if not _NAME.fullmatch(value.lower()):
        raise ValueError(
            f"{_shown(value)} cannot be a printer's name: use 1 to 63 letters, digits and hyphens, no hyphen first"
        )
    return value.lower()


def read_address(value: str) -> str:
    """A mailbox of RFC 5321 section 4.1.2 in lower case, without quotes, literals and subaddresses."""
    local, at, domain = value.lower().rpartition("@")
    if not (at and len(local) <= 64 and _DOT_STRING.fullmatch(local) and _is_domain(domain)):
        raise ValueError(f"{_shown(value)} is not an address: write it like phaser360@example.com")
    return value.lower()


def read_own_address(value: str) -> str:
    """An address of a printer itself, where `+` begins the subaddress (RFC 5233)."""
    if "+" in value:
        raise ValueError(f"{_shown(value)} cannot be a printer's address: what follows + is a job's options")
    return read_address(value)


def read_uri(value: str) -> str:
    """`socket://HOST:PORT`; the port is 9100 where none is given."""
    advice = f"{_shown(value)} is not a printer's address: write it like socket://192.0.2.7:9100"
    try:
        parts = urlsplit(value)
        port = _APPSOCKET_PORT if parts.port is None else parts.port
    except ValueError:
        raise ValueError(advice) from None
    host = (parts.hostname or "").removesuffix(".")
    rest = (parts.path.removeprefix("/"), parts.query, parts.fragment, parts.username, parts.password)
    if not (value.isascii() and value.isprintable()) or parts.scheme != "socket" or any(rest) or not 1 <= port <= 65535:
        raise ValueError(advice)
    if "[" in parts.netloc:
        try:
            return f"socket://[{ipaddress.IPv6Address(host)}]:{port}"
        except ValueError:
            raise ValueError(advice) from None
    if not _HOST.fullmatch(host):
        raise ValueError(advice)
    return f"socket://{host}:{port}"


def read_network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False))
    except ValueError:
        raise ValueError(f"{_shown(value)} is not a network: write it like 192.0.2.0/24 or 192.0.2.7") from None


def read_rule(value: str) -> str:
    """A rule's form only; what it means is the policy's affair."""
    if not value or value != value.strip() or len(value) > 320 or not value.isprintable():
        raise ValueError(
            f"{_shown(value)} is not a rule: write one like ada@example.com, @example.com or ip:192.0.2.0/24"
        )
    return value


def read_poll_interval(value: str) -> int:
    return _number(value, 1, 86400, "a poll interval", "seconds")


def read_quota(value: str) -> int:
    return _number(value, 1, 1 << 50, "a quota", "octets")


def read_text(value: str) -> str:
    """A line for people, at most 127 octets (the bound of RFC 7612)."""
    if len(value.encode("utf-8", "surrogatepass")) > 127 or not value.isprintable():
        raise ValueError(f"{_shown(value)} is too long or not one line of text: at most 127 octets")
    return value.strip()


def _number(value: str, low: int, high: int, what: str, unit: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", value) or not low <= int(value) <= high:
        raise ValueError(f"{_shown(value)} is not {what}: give {low} to {high} {unit}")
    return int(value)


def _is_domain(value: str) -> bool:
    return _HOST.fullmatch(value) is not None


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 80 else value[:77] + "...")
