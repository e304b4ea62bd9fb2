"""AUTH's responses: what is granted was said, and no failure quotes what may be a password."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

import base64
import contextlib

from appliance.sasl import MECHANISMS, Exchange
from mailstore.failure import PermanentFailure

WORDS = (b"AGFkYQBz", b"AA==", b"*", b"\n", b"YWRh", b"=", b"YWRhAGFkYQBz")


def check(octets: bytes) -> None:
    lines = octets.decode("ascii", "replace").split("\n")[:4]
    for mechanism in MECHANISMS:
        _exchange(mechanism, lines)
    # Every name and password in UTF-8 goes through, whatever its octets, but NUL.
    with contextlib.suppress(UnicodeDecodeError):
        name, _, password = octets.decode().partition("\n")
        if "\0" not in name + password:
            plain = base64.b64encode(f"\0{name}\0{password}".encode()).decode()
            _granted(name, password, plain)


def _exchange(mechanism: str, lines: list[str]) -> None:
    exchange = Exchange(mechanism)
    for line in lines:
        try:
            credentials = exchange.respond(line)
        except PermanentFailure as failure:
            assert failure.status in ("5.5.2", "5.7.8", "5.7.0")
            assert len(line) < 8 or line not in failure.text
            return
        if credentials is not None:
            assert credentials.password not in repr(credentials) or len(credentials.password) < 8
            return


def _granted(name: str, password: str, plain: str) -> None:
    credentials = Exchange("PLAIN").respond(plain)
    assert credentials is not None
    assert (credentials.name, credentials.password) == (name, password)
    login = Exchange("LOGIN")
    assert login.respond(base64.b64encode(name.encode()).decode()) is None
    credentials = login.respond(base64.b64encode(password.encode()).decode())
    assert credentials is not None
    assert (credentials.name, credentials.password) == (name, password)
