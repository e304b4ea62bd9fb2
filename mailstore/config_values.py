"""The kinds of values that a configuration has: sizes, times, endpoints, networks, names, lists.

Each reads what a person writes, and raises ValueError with a sentence where that cannot be meant.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from mailstore.network import network

_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_PERIODS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def _octets(value: object) -> object:
    match = re.fullmatch(r"(\d+) *([kmg]?)(?:i?b)?", value.strip().lower()) if isinstance(value, str) else None
    return int(match[1]) * _UNITS[match[2]] if match else value


def _seconds(value: object) -> object:
    match = re.fullmatch(r"(\d+(?:\.\d+)?) *([smhd]?)", value.strip().lower()) if isinstance(value, str) else None
    return float(match[1]) * _PERIODS[match[2]] if match else value


def _shown(value: str) -> str:
    """As it can be told: octets of the environment that are no UTF-8 stand in a str as half a surrogate pair."""
    return value.encode("utf-8", "replace").decode()


def endpoint(value: str) -> str:
    try:
        split_endpoint(value)
    except ValueError as error:
        raise ValueError(str(error)) from None
    return value


def split_endpoint(value: str) -> tuple[str, int]:
    """("HOST", PORT) of "HOST:PORT"; an IPv6 address stands in brackets.  Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9a-fA-F:.%\w]+)\]|([^\[\]:\s]*)):(\d{1,5})", value)
    if not match or int(match[3]) > 65535:
        raise ValueError(f'"{_shown(value)}" is not HOST:PORT (an IPv6 address stands in brackets, as in [::1]:2525)')
    return match[1] or match[2], int(match[3])


def reached_at(listen: str) -> tuple[str, int]:
    """("HOST", PORT) by which a client on this machine reaches a listener on "HOST:PORT".  Raises ValueError."""
    host, port = split_endpoint(listen)
    return {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port  # noqa: S104


def bracketed(host: str) -> str:
    """A host as it stands before ":PORT"."""
    return f"[{host}]" if ":" in host else host


def _network(value: object) -> object:
    return network(value) if isinstance(value, str) else value


def _words(value: object) -> object:
    """Environment variables hold lists as words apart by commas or blanks."""
    return [word for word in re.split(r"[,\s]+", value) if word] if isinstance(value, str) else value


def domain_name(value: str) -> str:
    host = value.rstrip(".").lower()
    if not re.fullmatch(
        r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*", host
    ):
        raise ValueError(f'"{_shown(value)}" is not a domain name')
    return host


Octets = Annotated[int, BeforeValidator(_octets), Field(ge=0)]
Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0)]
Endpoint = Annotated[str, AfterValidator(endpoint)]
Host = Annotated[str, AfterValidator(domain_name)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(_network), PlainSerializer(str)]
Words = BeforeValidator(_words)
