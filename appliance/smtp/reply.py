"""What is said to a client: a code (RFC 5321 section 4.2), an enhanced status (RFC 2034, RFC 3463) and a sentence.

Security: sentences may quote what a client sent; a reply never holds a line end or control character but its own CRLF,
and never passes 512 octets (RFC 5321 section 4.5.3.1.5).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mailstore.failure import Failure, TransientFailure

_UNSAYABLE = re.compile(r"[^ -~\u00a0-\U0010ffff]|[\ud800-\udfff]")

REASONS = (
    "unknown-recipient",
    "relaying-denied",
    "not-allowed",
    "not-accepting",
    "too-large",
    "quota",
    "disk",
    "directory",
    "too-many-recipients",
    "rate-limited",
    "not-printable",
    "malformed",
    "loop",
    "line-ends",
    "store",
    "disconnected",
    "internal",
)
"""Why a recipient or a message was refused, as the metric tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """`reason` is one of `REASONS` when a recipient or a message is refused; `close` ends the connection behind it."""

    code: int
    status: str
    text: str
    reason: str = ""
    close: bool = False
    more: tuple[str, ...] = ()  # further lines, as EHLO has them

    @property
    def refused(self) -> bool:
        return self.code >= 400

    @lru_cache(maxsize=256)  # noqa: B019 - values, of which most are said again and again
    def octets(self) -> bytes:
        text = _UNSAYABLE.sub("?", self.text)
        line = f"{self.code} {self.status} {text}".replace("  ", " ", 1).encode()  # 354 has no status
        if self.more:
            first = f"{self.code}-{self.text}\r\n"
            lines = [f"{self.code}{'-' if word is not self.more[-1] else ' '}{word}\r\n" for word in self.more]
            return "".join((first, *lines)).encode()
        return line[:510].decode("utf-8", "ignore").encode() + b"\r\n"


SHUTTING_DOWN: Final = Reply(code=421, status="4.3.2", text="the server is going down, try again soon", close=True)

_REASONS = {
    "4.2.1": "not-accepting",
    "4.2.2": "quota",
    "4.3.1": "disk",
    "4.4.3": "directory",
    "5.2.3": "quota",
    "5.3.4": "too-large",
    "5.4.6": "loop",
    "5.6.0": "malformed",
    "5.6.1": "not-printable",
}
_CODES = {"4.2.1": 450, "4.2.2": 452, "4.3.1": 452, "5.2.3": 552, "5.3.4": 552}


def refusal(failure: Failure, *, permanent: int = 554, reason: str = "") -> Reply:
    """The reply that says `failure`; `permanent` is the code where the status asks for no other."""
    default = 451 if isinstance(failure, TransientFailure) else permanent
    return Reply(
        code=_CODES.get(failure.status, default),
        status=failure.status,
        text=failure.text,
        reason=reason or _REASONS.get(failure.status, "store" if default == 451 else "malformed"),
    )


def accepted(jobs: list[int]) -> Reply:
    """The one reply that makes us answerable for a message."""
    if not jobs:
        text = "accepted"  # by people, which makes no job
    elif len(jobs) == 1:
        text = f"accepted as job {jobs[0]}"
    elif len(jobs) <= 20:
        text = f"accepted as jobs {', '.join(map(str, jobs))}"
    else:
        text = f"accepted as {len(jobs)} jobs, {min(jobs)} to {max(jobs)}"
    return Reply(code=250, status="2.0.0", text=text)
