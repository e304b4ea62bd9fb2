"""A mail of ours as octets: plain text, seven bits, CRLF, so small that any server takes it (RFC 5322, RFC 2045).

Security: job names, senders and message-ids are strangers' text.  Text goes through `header.clean`, which leaves no
control character, and becomes encoded words (RFC 2047) where it is not plain ASCII; addresses and message-ids that hold
anything but visible ASCII are refused.  So no line end in them can begin a field of its own.
"""

from __future__ import annotations

import base64
import quopri
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.utils import formataddr, formatdate

from mailstore.address import parse_path
from mailstore.failure import PermanentFailure
from mailstore.header import clean

SUBJECT_CHARACTERS = 120
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,500}>")


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One mail to one recipient."""

    name: str  # shown in From before the address
    sender: str
    to: str
    subject: str
    text: str  # lines apart by line feeds; nothing in it but what may be shown
    at: float
    message_id: str  # with its angle brackets, as are those of the thread
    thread: tuple[str, ...] = ()  # what it follows, oldest first
    replied: bool = False  # RFC 3834: an answer to what somebody sent, else made by itself


def octets(letter: Letter) -> bytes:
    """The whole mail.  Raises ValueError for an address or a message-id that cannot stand in a header."""
    encoding, body = _body(letter.text)
    fields = [
        f"From: {formataddr((clean(letter.name, 80), _plain(letter.sender)))}",
        f"To: {_plain(letter.to)}",
        f"Subject: {_unstructured(letter.subject, len('Subject: '))}",
        f"Date: {formatdate(letter.at, localtime=True)}",
        f"Message-ID: {_id(letter.message_id)}",
    ]
    if letter.thread:  # RFC 5322 section 3.6.4
        fields.append(f"In-Reply-To: {_id(letter.thread[-1])}")
        fields.append("References: " + "\r\n ".join(map(_id, letter.thread)))
    fields += [
        f"Auto-Submitted: auto-{'replied' if letter.replied else 'generated'}",  # RFC 3834 section 5
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=utf-8",
        f"Content-Transfer-Encoding: {encoding}",
    ]
    return "\r\n".join([*fields, "", ""]).encode("ascii") + body.replace(b"\n", b"\r\n")


def _plain(address: str) -> str:
    try:
        parse_path(f"<{address}>", null_allowed=False)
    except PermanentFailure as failure:
        raise ValueError(f"not an address for a header: {address!r}") from failure
    return address


def _id(message_id: str) -> str:
    if not _MESSAGE_ID.fullmatch(message_id):
        raise ValueError(f"not a message-id: {message_id!r}")
    return message_id


def _unstructured(text: str, room: int) -> str:
    """Folded, and encoded if it is not ASCII or would be taken for an encoded word."""
    shown = clean(text, SUBJECT_CHARACTERS)
    charset = "us-ascii" if shown.isascii() and "=?" not in shown else "utf-8"
    return Header(shown, charset, maxlinelen=76, header_name=" " * (room - 2)).encode(linesep="\r\n")


def _body(text: str) -> tuple[str, bytes]:
    """The transfer encoding that takes least, and the text in it with line feeds."""
    plain = text.encode("utf-8", "replace")
    if text.isascii() and max(map(len, text.split("\n"))) <= 78:
        return "7bit", plain
    return min(
        ("quoted-printable", quopri.encodestring(plain)),
        ("base64", base64.encodebytes(plain.replace(b"\n", b"\r\n"))),
        key=lambda encoded: len(encoded[1]),
    )


def laid_out(said: str, facts: Iterable[tuple[str, str]], to_do: Iterable[str]) -> str:
    """What is said, a table of facts, and paragraphs on what is to be done; what is empty is left out."""
    lines = [*textwrap.wrap(said, 76), ""]
    for name, value in facts:
        if value:
            lines += textwrap.wrap(
                value, 76, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12, break_long_words=False
            )
    paragraphs = [textwrap.fill(one, 76, break_long_words=False) for one in to_do if one]
    return "\n".join([*lines, "", "\n\n".join(paragraphs)]).rstrip() + "\n"


def cut(text: str, limit: int = 300) -> str:
    """A stranger's text, fit to be shown."""
    return clean(text, limit)


def moment(at: float) -> str:
    """A time in the house's own zone."""
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M %Z")


def lasting(seconds: float) -> str:
    """A length of time in words, roughly."""
    for unit, name in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= 2 * unit or (unit == 60 and seconds >= 60):
            count = round(seconds / unit)
            return f"{count} {name}{'s' * (count != 1)}"
    count = max(1, round(seconds))
    return f"{count} second{'s' * (count != 1)}"
