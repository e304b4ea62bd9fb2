"""Single values of entries, and how they are read and checked.

Each reader returns a value's usual form, or raises ValueError with a sentence that says what to write instead.

Security: reads what foreign directories and people say.  Names and addresses are checked here before they become part
of a DN, a filter or a mail; whatever is shown again is cut short and escaped.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar
from urllib.parse import urlsplit

from mailstore import ticket_words
from mailstore.failure import PermanentFailure
from mailstore.network import network
from mailstore.ticket import MAX_COPIES, Ticket

PASSWORD_OCTETS = 1024

_T = TypeVar("_T")
_APPSOCKET_PORT = 9100
_MAX_VALUES = 1000  # of one attribute
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_USER_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_ATOM = r"[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
_DOT_STRING = re.compile(rf"{_ATOM}(\.{_ATOM})*")  # RFC 5321 section 4.1.2
_RESERVED = frozenset({"postmaster", "abuse", "mailer-daemon"})  # RFC 2142; the site answers for these, not one account
_GROUP = 256  # characters
_TAKEN = "new"  # /printers/new is the page for new ones

LIMITS = {
    "jobs": "jobs an hour",
    "octets": "octets an hour",
    "pages": "pages a day",
    "sender-jobs": "jobs an hour of each sender",
    "sender-octets": "octets an hour of each sender",
    "sender-pages": "pages a day of each sender",
    "job-pages": "pages of one job",
}
"""What the limits of a printer are called, and what they count: the fields of `PrintLimits`, with hyphens."""


class MalformedEntry(ValueError):
    """The entry cannot be what it should be; the text says why."""


class Source:
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
            return list(dict.fromkeys(read(value) for value in values))
        except ValueError as error:
            raise MalformedEntry(f"{name}: {error}") from None

    def _values(self, name: str) -> list[str]:
        return [octets.decode("utf-8", "replace") for octets in self._attributes.get(name.lower(), ())]


def check_password(password: str) -> None:
    """Raises `PermanentFailure` ("5.5.4") if no LDAP server could be given this password."""
    if not password or len(password.encode("utf-8", "surrogatepass")) > PASSWORD_OCTETS or not password.isprintable():
        raise PermanentFailure(
            "5.5.4", f"a password has 1 to {PASSWORD_OCTETS} octets and no control characters: choose another"
        )


def check(value: str, read: Callable[[str], _T], status: str = "5.5.4") -> _T:
    try:
        return read(value)
    except ValueError as error:
        raise PermanentFailure(status, str(error)) from None


def check_each(values: Sequence[str], read: Callable[[str], str], status: str = "5.5.4") -> tuple[str, ...]:
    if len(values) > _MAX_VALUES:
        raise PermanentFailure(status, f"more than {_MAX_VALUES} values: {values[0]!r} and so on")
    return tuple(dict.fromkeys(check(value, read, status) for value in values))


# The readers of single values: each returns the value's usual form or raises ValueError with a sentence.


def read_name(value: str) -> str:
    """A printer's name."""
    if not _NAME.fullmatch(value.lower()):
        raise ValueError(
            f"{_shown(value)} cannot be a printer's name: use 1 to 63 letters, digits and hyphens, no hyphen first"
        )
    if value.lower() == _TAKEN:
        raise ValueError(f"{_shown(value)} is taken by the page for new printers: choose another name")
    return _not_reserved(value.lower(), value.lower())


def read_user_name(value: str) -> str:
    """A person's name."""
    if not _USER_NAME.fullmatch(value.lower()):
        raise ValueError(
            f"{_shown(value)} cannot be a user name: use 1 to 63 letters, digits, dots, hyphens and underscores,"
            " a letter or digit first"
        )
    return _not_reserved(value.lower(), value.lower())


def read_address(value: str) -> str:
    """A mailbox of RFC 5321 section 4.1.2 in lower case, without quotes, literals and subaddresses."""
    local, at, domain = value.lower().rpartition("@")
    if not (at and len(local) <= 64 and _DOT_STRING.fullmatch(local) and _is_domain(domain)):
        raise ValueError(f"{_shown(value)} is not an address: write it like phaser360@example.com")
    return value.lower()


def read_own_address(value: str) -> str:
    """An address of a printer or person itself, where `+` begins the subaddress (RFC 5233)."""
    if "+" in value:
        raise ValueError(f"{_shown(value)} cannot be anybody's address: what follows + is a job's options")
    address = read_address(value)
    return _not_reserved(address, address.partition("@")[0])


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
        return str(network(value))
    except ValueError:
        raise ValueError(f"{_shown(value)} is not a network: write it like 192.0.2.0/24 or 192.0.2.7") from None


def read_rule(value: str) -> str:
    """A rule's form only; what it means is the policy's affair."""
    if not value or value != value.strip() or len(value) > 320 or not value.isprintable():
        raise ValueError(
            f"{_shown(value)} is not a rule: write one like ada@example.com, @example.com or ip:192.0.2.0/24"
        )
    return value


def read_group(value: str) -> str:
    """The name of a group of people in lower case, with single spaces, as LDAP compares it (RFC 4518 section 2.6.1)."""
    name = re.sub(" +", " ", value.lower()).strip()
    if not name or len(name) > _GROUP or not name.isprintable():
        raise ValueError(f"{_shown(value)} cannot be a group's name: use 1 to {_GROUP} characters, like teachers")
    return name


def read_limit(value: str, least: int = 1) -> tuple[str, int]:
    """`jobs=100`: which limit, and how much."""
    name, sign, number = value.lower().partition("=")
    if not sign or name not in LIMITS:
        raise ValueError(f"{_shown(value)} is not a limit: write it like jobs=100; there are {', '.join(LIMITS)}")
    return name, read_limit_number(number, name, least)


def read_limit_number(value: str, name: str, least: int = 1) -> int:
    """Of the limit `name`; to have none of this name is 0."""
    return _number(value, least, 1 << 50, f"a limit of {name}", LIMITS[name])


def read_max_copies(value: str, most: int = MAX_COPIES) -> int:
    """0: any number."""
    return _number(value, 0, most, "a number of copies", "copies, 0 for any number")


def read_media(value: str) -> str:
    """A self-describing name of PWG 5101.1 section 5, or a short one that people say, as the former in lower case."""
    name = ticket_words.media(value.lower()) if value.isascii() else ""
    if not name:
        raise ValueError(f"{_shown(value)} is no paper: write a4, letter or a name like iso_a4_210x297mm")
    return name


def read_ticket(value: str) -> Ticket:
    """The words of a job ticket, apart by spaces."""
    try:
        return ticket_words.read(value.split())
    except PermanentFailure as failure:
        raise ValueError(failure.text) from None


def read_poll_interval(value: str) -> int:
    return _number(value, 1, 86400, "a poll interval", "seconds")


def read_quota(value: str) -> int:
    return _number(value, 1, 1 << 50, "a quota", "octets")


def read_text(value: str) -> str:
    """A line for people, at most 127 octets (the bound of RFC 7612)."""
    if len(value.encode("utf-8", "surrogatepass")) > 127 or not value.isprintable():
        raise ValueError(f"{_shown(value)} is too long or not one line of text: at most 127 octets")
    return value.strip()


def read_flag(value: str) -> bool:
    """A BOOLEAN of RFC 4517 section 3.3.3."""
    if value.upper() not in ("TRUE", "FALSE"):
        raise ValueError(f"{_shown(value)} is neither TRUE nor FALSE")
    return value.upper() == "TRUE"


def read_ip(value: str) -> str:
    """An IP address, without a zone: what is called eth0 here is called otherwise elsewhere."""
    try:
        address = ipaddress.ip_address(value.strip())
    except ValueError:
        address = None
    if address is None or (address.version == 6 and address.scope_id):
        raise ValueError(f"{_shown(value)} is not an IP address: write it like 192.0.2.7 or 2001:db8::7")
    return str(address)


def read_netmask(value: str, address: str = "") -> str:
    """The netmask of `address`: 255.255.255.0 for IPv4, the prefix length for IPv6; people may write /24 for both."""
    text = value.strip().removeprefix("/")
    sixth = ":" in address
    bits = _mask_bits(text) if "." in text and not sixth else int(text) if re.fullmatch(r"[0-9]{1,3}", text) else 0
    if address and not sixth and bits > 32:
        bits = 0
    if not 1 <= bits <= 128:
        advice = "64, the length of its prefix" if sixth else "255.255.255.0 or /24"
        raise ValueError(f"{_shown(value)} is not the netmask of {address or 'a printer'}: write it like {advice}")
    return str(bits) if sixth or bits > 32 else str(ipaddress.IPv4Network((0, bits)).netmask)


def _mask_bits(dotted: str) -> int:
    """How many ones lead in a mask like 255.255.255.0; 0 if it is none."""
    try:
        bits = f"{int(ipaddress.IPv4Address(dotted)):032b}".rstrip("0")
    except ValueError:
        return 0
    return 0 if "0" in bits else len(bits)


def read_hardware_address(value: str) -> str:
    """An EUI-48 in any usual notation, as 00:00:5e:00:53:01."""
    text = value.strip().lower()
    if re.fullmatch(r"[0-9a-f]{1,2}([:-])([0-9a-f]{1,2}\1){4}[0-9a-f]{1,2}", text):
        octets = [octet.zfill(2) for octet in re.split("[:-]", text)]
    elif re.fullmatch(r"[0-9a-f]{4}([.:-])[0-9a-f]{4}\1[0-9a-f]{4}|[0-9a-f]{6}[.:-]?[0-9a-f]{6}", text):
        octets = re.findall("..", re.sub(r"[.:-]", "", text))
    else:
        raise ValueError(f"{_shown(value)} is not a hardware address: write it like 00:00:5e:00:53:01")
    return ":".join(octets)


def _not_reserved(value: str, local_part: str) -> str:
    if local_part in _RESERVED:
        raise ValueError(f"{_shown(value)} cannot be taken: mail to {local_part} is for whoever runs the site")
    return value


def _number(value: str, low: int, high: int, what: str, unit: str) -> int:
    if not re.fullmatch(r"[0-9]{1,16}", value) or not low <= int(value) <= high:
        raise ValueError(f"{_shown(value)} is not {what}: give {low} to {high} {unit}")
    return int(value)


def _is_domain(value: str) -> bool:
    return _HOST.fullmatch(value) is not None


def _shown(value: str) -> str:
    return ascii(value if len(value) <= 80 else value[:77] + "...")
