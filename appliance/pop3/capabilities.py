"""What CAPA and LANG say (RFC 2449 section 6, RFC 2595, RFC 5034, RFC 6856).  Pure.

Security: every word is a promise that clients believe, also of what is safe: a mechanism stands here only where a
password may be sent, STLS only while it can still be had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from appliance.pop3.commands import State

LANGUAGES: Final = {"en": "English"}
"""Language tags of RFC 5646, and their names in themselves; the first is spoken from the beginning."""


def capabilities(state: State, *, stls: bool, mechanisms: Sequence[str], delay: str) -> list[str]:
    """`delay`: the arguments of LOGIN-DELAY, "" if there is none.  Nothing in a maildrop expires unread."""
    words = ["TOP", "UIDL", "USER"]
    if mechanisms:
        words.append(f"SASL {' '.join(mechanisms)}")
    words += ["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "EXPIRE NEVER", "UTF8 USER", "LANG"]
    if stls and state is State.AUTHORIZATION:
        words.append("STLS")
    if delay:
        words.append(f"LOGIN-DELAY {delay}")
    return [*words, "IMPLEMENTATION Printpost"]


def language(wanted: str) -> str | None:
    """The language for a range like "en-GB" by RFC 4647 section 3.4, "*" being the first; None if there is none."""
    if wanted == "*":
        return next(iter(LANGUAGES))
    tag = wanted.lower()
    while tag not in LANGUAGES and "-" in tag:
        tag = tag.rpartition("-")[0]
    return tag if tag in LANGUAGES else None
