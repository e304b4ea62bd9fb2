"""What stands behind the + of a printer's address (RFC 5233): how a job is to be printed, and a capability's token.

`phaser360+copies=2+duplex@example.com` is read by the same grammar twice: when the mail is taken in, where a word that
is none is refused, and when the job is printed.  The words are those of `mailstore.ticket_words`.

Security: reads strangers' recipients.  A token is 130 random bits, so it can't be guessed; only its digest is kept, and
`without_token` takes it out of whatever is shown, stored or logged.  Whatever else stands there must be a word of a job
ticket.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from mailstore import ticket_words
from mailstore.address import split_subaddress
from mailstore.failure import PermanentFailure
from mailstore.ticket import NO_TICKET, Ticket

TOKEN_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"  # noqa: S105 - base32, RFC 4648 section 6
TOKEN_LENGTH = 26  # 130 bits

_TOKEN = re.compile(rf"[a-z2-7]{{{TOKEN_LENGTH}}}")
# Behind a plus, which is +2B in xtext (RFC 3461 section 4); never the first thing, where it would leave no address.
_TOKEN_WITHIN = re.compile(
    rf"(?<=.)\+(?:2B)?[A-Z2-7]{{{TOKEN_LENGTH}}}(?![^+@\"])", re.IGNORECASE | re.ASCII | re.DOTALL
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subaddress:
    """All that stands behind the + of a printer's address."""

    options: Ticket = NO_TICKET
    token: str = ""  # lower case; "" for none


def read(details: tuple[str, ...]) -> Subaddress:
    """What the details that `split_subaddress` gave mean; in any order, each option once, without case.

    Raises `PermanentFailure` ("5.1.3") with a sentence that says what there is.
    """
    token = ""
    words = []
    for detail in details:
        lower = detail.lower() if detail.isascii() else ""
        if not _TOKEN.fullmatch(lower):
            words.append(detail)
        elif token:
            raise PermanentFailure("5.1.3", "the address says a token twice; say it once")
        else:
            token = lower
    return Subaddress(options=ticket_words.read(words), token=token)


def of_recipient(address: str) -> Ticket:
    """The options in a recipient that was taken in; none if it can't be read, as one from before there were any."""
    try:
        return read(split_subaddress(address)[1]).options
    except PermanentFailure:
        return NO_TICKET


def token_digest(token: str) -> bytes:
    """SHA-256 of the token in lower case: all that is kept of it."""
    return hashlib.sha256(token.lower().encode()).digest()


def without_token(text: str) -> str:
    """An address, or a parameter or command that has one in it, with no token that anybody could print by.

    >>> without_token("phaser360+copies=2+abcdefghijklmnopqrstuvwxyz@example.com")
    'phaser360+copies=2@example.com'
    """
    return _TOKEN_WITHIN.sub("", text)
