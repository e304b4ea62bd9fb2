"""What is said to a client: a code (RFC 5321 section 4.2), an enhanced status (RFC 2034, RFC 3463) and a sentence.

Security: sentences may quote what a client sent; a reply never holds a line end or control character but its own CRLF,
and never passes 512 octets (RFC 5321 section 4.5.3.1.5).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from mailstore.failure import Failure, TransientFailure
from mailstore.store.admission import Accepted
from mailstore.store.splitting import Part, SplitMail

_NAMED = 12
"""The most jobs that a reply names one by one."""
_UNSAYABLE = re.compile(r"[^ -~\u00a0-\U0010ffff]|[\ud800-\udfff]")

REASONS = (
    "unknown-recipient",
    "relaying-denied",
    "not-allowed",
    "dmarc",
    "dns",
    "limit-reached",
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
    "4.7.0": "rate-limited",
    "4.7.1": "limit-reached",
    "5.2.3": "quota",
    "5.3.4": "too-large",
    "5.4.6": "loop",
    "5.6.0": "malformed",
    "5.6.1": "not-printable",
    "5.7.1": "not-allowed",
}
_CODES = {
    "4.2.1": 450,
    "4.2.2": 452,
    "4.3.1": 452,
    "4.7.0": 450,
    "4.7.1": 450,
    "5.2.3": 552,
    "5.3.4": 552,
    "5.7.1": 550,
}


def refusal(failure: Failure, *, permanent: int = 554, reason: str = "") -> Reply:
    """The reply that says `failure`; `permanent` is the code where the status asks for no other."""
    default = 451 if isinstance(failure, TransientFailure) else permanent
    return Reply(
        code=_CODES.get(failure.status, default),
        status=failure.status,
        text=failure.text,
        reason=reason or _REASONS.get(failure.status, "store" if default == 451 else "malformed"),
    )


def accepted(jobs: Sequence[Accepted], held: Collection[int] = ()) -> Reply:
    """The one reply that makes us answerable for a message; `held`: those of the new jobs that wait to be released.

    Never with a code that releases one: relays log what they are told, and pass it on.
    """
    new = [int(job) for job in jobs if not job.earlier]
    earlier = [int(job) for job in jobs if job.earlier]
    said = [f"as {_jobs(new)}"] if new else []
    said += [f"before as {_jobs(earlier)}"] if earlier else []
    text = " and ".join(["accepted", *said]).replace(" and", "", 1)
    waiting = [number for number in new if number in held]
    return Reply(code=250, status="2.0.0", text=text + (f"; {_waits(waiting, jobs)} to be released" if waiting else ""))


def _waits(waiting: list[int], jobs: Sequence[Accepted]) -> str:
    if len(waiting) == len(jobs):
        return "it waits" if len(jobs) == 1 else "they wait"
    if len(waiting) > _NAMED:
        return f"{len(waiting)} of them wait"
    return f"{_jobs(waiting)} {'waits' if len(waiting) == 1 else 'wait'}"


def _jobs(numbers: list[int]) -> str:
    if len(numbers) == 1:
        return f"job {numbers[0]}"
    if len(numbers) <= _NAMED:
        return f"jobs {', '.join(map(str, numbers))}"
    return f"{len(numbers)} jobs, {min(numbers)} to {max(numbers)}"


def taken_as_part(split: SplitMail, part: Part) -> Reply:
    """Of a part of a split mail."""
    of = f" of {split.total}" if split.total else ""
    return Reply(code=250, status="2.0.0", text=f"accepted as part {part.number}{of} of job {split.job_id}")
