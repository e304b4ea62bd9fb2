"""Entries as other LDAP programs leave them: a printer that is read is one that we would have written, or none is."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from mailstore.directory.entry import ATTRIBUTES, checked, from_attributes, to_attributes
from mailstore.directory.values import MalformedEntry

WORDS = (
    *(f"\n{name}: ".encode() for name in ATTRIBUTES),
    b"socket://192.0.2.9:9100",
    b"socket://[2001:db8::9]",
    b"postscript",
    b"ip:10.0.0.0/8",
    b"TRUE",
    b"00:11:22:33:44:55",
    b"255.255.255.0",
)


def check(octets: bytes) -> None:
    attributes: dict[str, list[bytes]] = {}
    for line in octets.split(b"\n"):
        name, colon, value = line.partition(b": ")
        if colon and name.isascii():
            attributes.setdefault(name.decode(), []).append(value)
    try:
        printer, complaints = from_attributes(attributes)
    except MalformedEntry as malformed:
        assert str(malformed).isprintable()
        return
    assert all(complaint.isprintable() for complaint in complaints)
    assert checked(printer) == printer
    written = {name: [value.encode() for value in values] for name, values in to_attributes(printer).items()}
    again = from_attributes(written)
    assert again.printer == printer
    assert not again.complaints
