"""What a message's header says of itself, as far as it decides what becomes of the message.

Security: the block is a stranger's, bounded by the intake; one pass in linear time finds every field that counts here.
Where a field may stand once and stands twice, the worse of the two counts.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from mailstore import address as addresses
from mailstore import header
from mailstore.failure import PermanentFailure

_NOT_ANSWERED = frozenset({b"bulk", b"list", b"junk"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Heading:
    """A header, read."""

    block: bytes  # as it came, each line ended by CRLF
    subject: str
    message_id: str  # with its angle brackets, "" if there is none that is well-formed
    automatic: bool = False  # a program or a list sent it, so it is not answered (RFC 3834 section 2)
    replied: bool = False  # `Auto-Submitted: auto-replied`: a program answers something (RFC 3834 section 5)
    report: bool = False  # multipart/report (RFC 6522), at the outside
    partial: bool = False  # message/partial (RFC 2046 section 5.2.2)
    delivered_to: frozenset[str] = frozenset()  # where it has been (RFC 9228), canonical, without subaddresses


def read(block: bytes) -> Heading:
    """Nothing is raised, whatever stands there."""
    automatic = replied = report = partial = False
    delivered: set[str] = set()
    for field in header.find(block, "auto-submitted", "precedence", "list-id", "content-type", "delivered-to"):
        match field.name:
            case b"content-type":
                said = field.value.lower()
                report = report or (b"report" in said and _first(said) == "multipart/report")
                partial = partial or (b"partial" in said and _first(said) == "message/partial")
            case b"delivered-to":
                address = field.value.decode("utf-8", "replace").strip("<>")
                delivered.add(addresses.split_subaddress(addresses.canonical(address))[0])
            case b"auto-submitted":
                # "no" is for people; what cannot be read is no "no".
                word = _first(field.value)
                automatic = automatic or word != "no"
                replied = replied or word == "auto-replied"
            case b"precedence":  # older than RFC 3834
                automatic = automatic or field.value.lower() in _NOT_ANSWERED
            case _:
                automatic = True
    return Heading(
        block=block,
        subject=header.subject(block),
        message_id=header.message_id(block),
        automatic=automatic,
        replied=replied,
        report=report,
        partial=partial,
        delivered_to=frozenset(delivered),
    )


def _first(value: bytes) -> str:
    return header.parameters(value)[0]


def refuse_loop(heading: Heading, own: Collection[str]) -> None:
    """Raises `PermanentFailure` for what no printer may get: answers of programs ("5.7.1"), and what was here before.

    `own` are the addresses of the printers that it goes to ("5.4.6").
    """
    if heading.replied:
        raise PermanentFailure("5.7.1", "automatic replies are not printed (Auto-Submitted: auto-replied)")
    if heading.report:
        raise PermanentFailure("5.7.1", "delivery reports are not printed (multipart/report)")
    if not heading.delivered_to.isdisjoint(own):
        raise PermanentFailure("5.4.6", "the message was delivered to this printer before: a mail loop")
