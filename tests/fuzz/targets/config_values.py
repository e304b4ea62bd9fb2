"""What administrators write: a value that is read is of its kind, and only ValueError says no."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from typing import Any

from pydantic import TypeAdapter, ValidationError

from mailstore import config_values as values

WORDS = (
    b"GiB",
    b"kb",
    b" m",
    b"127.0.0.1:25",
    b"[::1]:2525",
    b"10.0.0.0/8",
    b"example.com",
    b"1.5h",
    b":0",
    b"-",
    b".",
)
_KINDS = {
    "octets": TypeAdapter[Any](values.Octets),
    "seconds": TypeAdapter[Any](values.Seconds),
    "endpoint": TypeAdapter[Any](values.Endpoint),
    "host": TypeAdapter[Any](values.Host),
    "network": TypeAdapter[Any](values.Network),
}


def check(octets: bytes) -> None:
    text = octets.decode("utf-8", "surrogateescape")
    read: dict[str, Any] = {}
    for kind, adapter in _KINDS.items():
        try:
            read[kind] = adapter.validate_python(text)
        except ValidationError:
            continue
    assert read.get("octets", 0) >= 0
    assert read.get("seconds", 0.0) >= 0.0  # also not NaN
    assert isinstance(read.get("network", IPv4Network("10.0.0.0/8")), IPv4Network | IPv6Network)
    if "endpoint" in read:
        host, port = values.split_endpoint(text)
        assert 0 <= port <= 65535
        assert values.split_endpoint(f"{values.bracketed(host)}:{port}") == (host, port)
        assert text.strip() == text
        assert values.reached_at(text)[1] == port
    if "host" in read:
        host = read["host"]
        assert _KINDS["host"].validate_python(host) == host
        assert host.isascii()
        assert host == host.lower().rstrip(".")
        assert len(host) <= 253
