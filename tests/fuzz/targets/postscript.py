"""What PostScript printers say: cuts change nothing, little is kept, a mark goes behind a document or not at all."""

from __future__ import annotations

from mailstore.condition import PRINTER_REASONS
from printerbridge import postscript
from tests.fuzz import pieces

WORDS = (
    b"%%[ ",
    b" ]%%",
    b"%%[ Error: undefined; OffendingCommand: x ]%%\r\n",
    b"%%[ Flushing: rest of job ]%%",
    b"%%[ PrinterError: out of paper ]%%",
    b"%%[ printpost: 42 ]%%",
    b"%!PS\n",
    b"\x04",
    b"\x1b%-12345X",
)


def check(octets: bytes) -> None:
    stream = octets[4:]
    cut = pieces(octets)
    assert _heard(cut) == _heard([stream])
    reports = postscript.Reports()
    for piece in cut:
        reports.feed(piece)
        assert reports.stands in ("", "other") or reports.stands in PRINTER_REASONS
        assert reports.errors.isprintable()
        assert len(reports.errors) <= postscript.TEXT_OCTETS
    _marked(stream, cut)


def _heard(cut: list[bytes]) -> list[str]:
    messages = postscript.Messages()
    found = [text for piece in cut for text in messages.feed(piece)]
    assert len(messages._held) < postscript.MESSAGE_OCTETS
    return found


def _marked(stream: bytes, cut: list[bytes]) -> None:
    conversation = postscript.Conversation(stream[:64], "printpost: 42")
    out = b"".join(conversation.dress(cut))
    assert out.startswith(stream)
    assert conversation.marks is (len(out) > len(stream))
    if stream.rstrip(b" \t\r\n\x0c\0").endswith((b"\x04", b"\x1b%-12345X")):
        assert not conversation.marks
    conversation.hear(stream, whole=True)
    assert not conversation.marked or conversation.marks
