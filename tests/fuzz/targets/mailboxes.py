"""From, To and Cc: at most one author, who is canonical and an address; nobody is named who is no address."""

from __future__ import annotations

from appliance.proof.fields import author, fields, named
from mailstore.address import canonical, parse_path

WORDS = (
    b"From:",
    b"To:",
    b"\r\n",
    b"ada@example.com",
    b"<",
    b">",
    b'"',
    b"(",
    b")",
    b"\\",
    b",",
    b":",
    b";",
    b"=?utf-8?q?a?=",
    b"@",
)


def check(octets: bytes) -> None:
    found = author(octets)
    addresses = named([octets, octets.replace(b"\r\n", b"")]) | ({found} if found else set())
    for one in addresses:
        assert one == canonical(one)
        assert parse_path(f"<{one}>", utf8=True, null_allowed=False).domain
    header = fields(octets)
    if header is not None:
        assert b"".join(field.octets + b"\r\n" for field in header) == octets
