"""What stands behind the + of a printer's address (RFC 5233): how a job is to be printed, and a capability's token.

`phaser360+copies=2+duplex@example.com` is read by the same grammar twice: when the mail is taken in, where a word that
is none is refused, and when the job is printed.  The words are those of RFC 8011, and short ones for the usual.

Security: reads strangers' recipients.  A word must be one of a few or match an anchored pattern of bounded length, and
is ASCII before its case is taken away.  A token is 130 random bits, so it can't be guessed; only its digest is kept,
and `without_token` takes it out of whatever is shown, stored or logged.  A long word is never repeated in a refusal: it
may be a token that lost a letter.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TypeVar

from mailstore.address import split_subaddress
from mailstore.failure import PermanentFailure
from mailstore.ticket import MAX_COPIES, Sides

TOKEN_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # noqa: S105 - base32, RFC 4648 section 6
TOKEN_LENGTH = 26  # 130 bits

_COPIES = re.compile(r"copies=([1-9][0-9]{0,2})")
_TOKEN = re.compile(rf"[a-z2-7]{{{TOKEN_LENGTH}}}")
# Behind a plus, which is +2B in xtext (RFC 3461 section 4); never the first thing, where it would leave no address.
_TOKEN_WITHIN = re.compile(
    rf"(?<=.)\+(?:2B)?[A-Z2-7]{{{TOKEN_LENGTH}}}(?![^+@\"])", re.IGNORECASE | re.ASCII | re.DOTALL
)
_SHOWN = 16

_T = TypeVar("_T")


_SIDES = {f"sides={sides.value}": sides for sides in Sides} | {
    "simplex": Sides.ONE_SIDED,
    "duplex": Sides.LONG_EDGE,
    "tumble": Sides.SHORT_EDGE,
}
KNOWN = f"copies=1 to copies={MAX_COPIES}, duplex, tumble, simplex and sides= with a keyword of IPP"
"""The options there are, for sentences."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How a job is to be printed, as far as its address says it."""

    copies: int = 0  # 0: not said
    sides: Sides | None = None  # None: not said


@dataclass(frozen=True, slots=True, kw_only=True)
class Subaddress:
    """All that stands behind the + of a printer's address."""

    options: Options = Options()
    token: str = ""  # lower case; "" for none


def read(details: tuple[str, ...]) -> Subaddress:
    """What the details that `split_subaddress` gave mean; in any order, each option once, without case.

    Raises `PermanentFailure` ("5.1.3") with a sentence that says what there is.
    """
    copies = 0
    sides: Sides | None = None
    token = ""
    for detail in details:
        word = detail.lower() if detail.isascii() else ""
        if found := _COPIES.fullmatch(word):
            copies = _once(copies, int(found[1]), "copies")
        elif word in _SIDES:
            sides = _once(sides, _SIDES[word], "sides")
        elif _TOKEN.fullmatch(word):
            token = _once(token, word, "a token")
        else:
            shown = f"{detail!a} is" if len(detail) <= _SHOWN else "a word is"
            raise PermanentFailure("5.1.3", f"{shown} no option of a printer's address; there are {KNOWN}")
    return Subaddress(options=Options(copies=copies, sides=sides), token=token)


def _once(known: _T | None, said: _T, what: str) -> _T:
    if known:
        raise PermanentFailure("5.1.3", f"the address says {what} twice; say it once")
    return said


def of_recipient(address: str) -> Options:
    """The options in a recipient that was taken in; none if it can't be read, as one from before there were any."""
    try:
        return read(split_subaddress(address)[1]).options
    except PermanentFailure:
        return Options()


def token_digest(token: str) -> bytes:
    """SHA-256 of the token in lower case: all that is kept of it."""
    return hashlib.sha256(token.lower().encode()).digest()


def without_token(text: str) -> str:
    """An address, or a parameter or command that has one in it, with no token that anybody could print by.

    >>> without_token("phaser360+copies=2+abcdefghijklmnopqrstuvwxyz@example.com")
    'phaser360+copies=2@example.com'
    """
    return _TOKEN_WITHIN.sub("", text)
