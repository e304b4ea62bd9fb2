"""The header fields that we put in front of a message.

Each ends with CRLF and is folded so that no line passes 998 octets (RFC 5322 section 2.1.1).

Security: what a client says of itself stands in these fields, and a line end in it would be a field of its choosing.
Whatever is not a plain domain or address literal is left out; every field is checked again before it is given out.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from functools import lru_cache

_EXTENDED_DOMAIN = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,253}[A-Za-z0-9])?|\[[A-Za-z0-9:.]{2,60}\]")
_CONTROLS = re.compile("[\x00-\x1f\x7f\x80-\x9f]")
_BLANK_LINE = re.compile(r"\r\n\t *(?:\r|\Z)")  # many programs take it for the header's end


def received(
    *, helo: str, client_ip: str, hostname: str, protocol: str, queue_id: str, recipient: str, at: float
) -> bytes:
    """`Received` (RFC 5321 section 4.4).

    `protocol` is what `protocol` gives; `recipient` is "" when there are several, who need not
    know of each other (section 7.6); `at` is seconds since the epoch.
    """
    literal = f"[IPv6:{client_ip}]" if ":" in client_ip else f"[{client_ip}]"
    said = helo if _EXTENDED_DOMAIN.fullmatch(helo) else literal
    wanted = f"\r\n\tfor <{recipient}>" if recipient else ""
    date = _date(int(at))
    return _field(
        f"Received: from {said} ({literal})\r\n\tby {hostname} with {protocol} id {queue_id}{wanted};\r\n\t{date}"
    )


def protocol(*, extended: bool, smtputf8: bool, tls: bool, authenticated: bool) -> str:
    """The transmission type: SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA (RFC 3848), or UTF8SMTP and so on (RFC 6531)."""
    if not extended:
        return "SMTP"
    return ("UTF8SMTP" if smtputf8 else "ESMTP") + "S" * tls + "A" * authenticated


@lru_cache(maxsize=4)
def _date(second: int) -> str:
    """RFC 5322 section 3.3, in local time."""
    return formatdate(second, localtime=True)


def return_path(reverse_path: str) -> bytes:
    """`Return-Path` (RFC 5321 section 4.4); "" is the null reverse-path."""
    return _field(f"Return-Path: <{reverse_path}>")


def delivered_to(address: str) -> bytes:
    """`Delivered-To` (RFC 9228 section 2), with the recipient's address as it was given."""
    return _field(f"Delivered-To: {address}")


def _field(text: str) -> bytes:
    """Raises ValueError if a value brought a line end of its own, or another control character."""
    if _CONTROLS.search(text.replace("\r\n\t", "")) or _BLANK_LINE.search(text):
        raise ValueError(f"control character in a trace field: {text!r}")
    return text.encode("utf-8") + b"\r\n"
