"""Parts of a split mail: what they say is in bounds; cut anywhere they make the same mail, whose sender is theirs."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from collections.abc import Iterable

from mailstore import header
from mailstore.failure import PermanentFailure
from mailstore.partial import Joiner, part_of

WORDS = (
    b"\r\n\r\n",
    b"\r\n",
    b"\n",
    b"\r\n ",
    b"--next--",
    b"Content-Type: message/partial; id=x; number=1; total=2",
    b"; number=",
    b"; total=",
    b"id*0=",
    b"Content-Transfer-Encoding: base64",
    b"From: ada@example.com",
    b"From : eve@example.com",
    b"Sender: eve@example.com",
    b"Subject: plan",
    b"Message-ID: <whole@example.com>",
    b"Content-",
    b"X-Any:\r\n\tFrom: eve@example.com",
)
_LIMIT = 4096
_SENDERS = ("from", "sender", "reply-to", "to", "cc", "received", "auto-submitted", "delivered-to", "dkim-signature")


def check(octets: bytes) -> None:
    parts = octets.split(b"--next--")
    for part in parts:
        _says(part.partition(b"\r\n\r\n")[0] + b"\r\n")
    whole = _joined([part] for part in parts)
    for cut in (1, 7):
        assert _joined([part[at : at + cut] for at in range(0, len(part), cut)] for part in parts) == whole
    if whole is not None:
        _keeps_its_sender(parts[0], whole)
        assert len(whole) <= len(octets) + 4


def _says(block: bytes) -> None:
    try:
        part = part_of(block)
    except PermanentFailure as failure:
        assert failure.status == "5.6.0"
        return
    if part is not None:
        assert 1 <= len(part.id) <= 200
        assert part.id == part.id.strip()
        assert "\n" not in part.id
        assert 1 <= part.number <= (part.total or part.number) < 10**9


def _joined(parts: Iterable[Iterable[bytes]]) -> bytes | None:
    joiner, whole = Joiner(_LIMIT), b""
    try:
        for part in parts:
            joiner.begin()
            for piece in part:
                whole += joiner.feed(piece)
        return whole + joiner.end()
    except PermanentFailure as failure:
        assert failure.status in ("5.6.0", "5.3.4")
        return None


def _keeps_its_sender(first: bytes, whole: bytes) -> None:
    """Of whom it comes says the first part's own header, and nothing inside."""
    outer, inside = _block(first), _block(whole)
    for name in _SENDERS:
        assert _values(inside, name) == _values(outer, name)


def _block(mail: bytes) -> bytes:
    return b"" if mail.startswith(b"\r\n") else mail.partition(b"\r\n\r\n")[0] + b"\r\n"


def _values(block: bytes, name: str) -> list[bytes]:
    return [field.value for field in header.find(block, name)]
