"""The end of DATA and its dots, against RFC 5321 section 4.5.2 read naively, however the network cuts."""

from __future__ import annotations

import re
from collections.abc import Callable

from appliance.smtp.datasink import DataSink
from tests.fuzz import pieces

WORDS = (b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n..", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r", b"\r\r\n", b"\r\n")
_LIMIT = 300


def check(octets: bytes) -> None:
    _judged(octets, _fed)
    _judged(octets, _fed_from_a_room)


def _fed(sink: DataSink, piece: bytes) -> bytes | None:
    return sink.feed(piece)


def _fed_from_a_room(sink: DataSink, piece: bytes) -> bytes | None:
    """As large messages are read: behind what is held, and behind the piece there is what was there before."""
    room = bytearray(sink.held + piece + b"\r\n.\r\nQUIT\r\n")
    return sink.feed_from(room, len(sink.held) + len(piece))


def _judged(octets: bytes, feed: Callable[[DataSink, bytes], bytes | None]) -> None:
    stream = octets[4:]
    written = bytearray()
    sink = DataSink(written.extend, limit=_LIMIT)
    behind: bytes | None = None
    for piece in pieces(octets):
        if behind is not None:
            behind += piece
        elif (rest := feed(sink, piece)) is not None:
            behind = rest
    end = (b"\r\n" + stream).find(b"\r\n.\r\n")
    assert sink.ended == (end >= 0)
    if end < 0:
        assert behind is None
        return
    message = stream[:end]
    plain = b"\r\n".join(line.removeprefix(b".") for line in message.split(b"\r\n"))
    assert behind == stream[end + 3 :]
    assert sink.octets == len(plain)
    assert sink.too_large == (len(plain) > _LIMIT)
    assert (sink.fault is None) == (not re.search(rb"\r(?!\n)|(?<!\r)\n", message))
    if sink.fault is None and not sink.too_large:
        assert written == plain
    else:
        assert plain.startswith(written) or sink.fault
        assert len(written) <= _LIMIT
