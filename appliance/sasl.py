"""SASL's PLAIN (RFC 4616) and the older LOGIN, as SMTP (RFC 4954) and POP3 (RFC 5034) carry them: decoding alone.

Security: what comes here is a stranger's, and some of it is a password.  It is decoded strictly, its length is the
line's, and no error quotes any of it.
"""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Final

from mailstore.failure import PermanentFailure

LINE_OCTETS: Final = 12288
"""RFC 4954 section 4: the longest line of an exchange, CRLF included."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who somebody says he is, and what he shows for it."""

    name: str
    password: str = field(repr=False)


_Steps = Generator[bytes, bytes, Credentials]


def _plain() -> _Steps:
    """RFC 4616 section 2: [authzid] NUL authcid NUL passwd.  Acting for somebody else is not offered."""
    words = (yield b"").split(b"\0")
    if len(words) != 3:
        raise _unreadable()
    acting_as, name, password = map(_text, words)
    if acting_as not in ("", name):
        raise PermanentFailure("5.7.8", "a login acts for itself alone: leave the authorization identity empty")
    return Credentials(name=name, password=password)


def _login() -> _Steps:
    name = yield b"Username:"
    password = yield b"Password:"
    return Credentials(name=_text(name), password=_text(password))


MECHANISMS: Final[dict[str, Callable[[], _Steps]]] = {"PLAIN": _plain, "LOGIN": _login}


class Exchange:
    """One authentication.  `challenge` is what is to be said next, in base64."""

    def __init__(self, mechanism: str) -> None:
        """`mechanism` is one of `MECHANISMS`."""
        self._steps = MECHANISMS[mechanism]()
        self.challenge = b64encode(next(self._steps)).decode()

    def respond(self, response: str) -> Credentials | None:
        """Take a response in base64.  None while more is wanted.

        Raises `PermanentFailure`: "5.5.2" what is no response, "5.7.8" one that cannot be granted, "5.7.0" cancelled.
        """
        if response == "*":
            raise PermanentFailure("5.7.0", "authentication cancelled")
        try:
            decoded = binascii.a2b_base64(response.encode(), strict_mode=True)
        except binascii.Error:
            raise PermanentFailure("5.5.2", "the response is not base64") from None
        try:
            self.challenge = b64encode(self._steps.send(decoded)).decode()
        except StopIteration as end:
            credentials: Credentials = end.value
            return credentials
        return None


def _text(octets: bytes) -> str:
    try:
        return octets.decode()
    except UnicodeDecodeError:
        raise _unreadable() from None


def _unreadable() -> PermanentFailure:
    return PermanentFailure("5.5.2", "the response is not what the mechanism wants")
