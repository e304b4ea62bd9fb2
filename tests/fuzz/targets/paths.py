"""Reverse-path and forward-path: nothing that could end a line, and what was read reads the same again."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

import re

from mailstore import address
from mailstore.failure import PermanentFailure

WORDS = (b"<", b">", b"@", b":", b",", b'"', b'\\"', b"[127.0.0.1]", b"[IPv6:::1]", b"<postmaster>", b"%", b"!", b"..")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def check(octets: bytes) -> None:
    text = octets[1:].decode("utf-8", "surrogateescape")
    flags = octets[0] if octets else 0
    utf8, reverse = bool(flags & 1), bool(flags & 2)
    try:
        path = address.parse_path(text, utf8=utf8, null_allowed=reverse)
    except PermanentFailure as failure:
        assert failure.status == ("5.1.7" if reverse else "5.1.3")
        assert not _CONTROL.search(failure.text)
        return
    assert not _CONTROL.search(path.address)
    path.address.encode("utf-8")
    assert utf8 or path.address.isascii()
    assert "<" not in path.domain
    assert ">" not in path.domain
    if not path.address:
        assert reverse
        assert path == address.NULL
        return
    assert len(path.local.encode()) <= 64
    assert len(path.domain.encode()) <= 255
    again = address.parse_path(f"<{path.address}>", utf8=True, null_allowed=reverse)
    assert again == path
    _subaddress(path)


def _subaddress(path: address.Path) -> None:
    canonical = address.canonical(path.address)
    assert address.canonical(canonical) == canonical
    base, details = address.split_subaddress(path.address)
    assert base.rpartition("@")[2] == path.address.rpartition("@")[2]
    assert all(details)
    if not details and base == path.address:
        return
    assert "+" not in base.rpartition("@")[0]
    assert path.address.startswith(base.rpartition("@")[0] + "+")
    assert "+".join(details).replace("+", "") in path.address.replace("+", "")
