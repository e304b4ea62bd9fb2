"""The end of DATA and its dots, against RFC 5321 section 4.5.2 read naively, however the network cuts."""

from __future__ import annotations

import re

from appliance.smtp.datasink import DataSink
from tests.fuzz import pieces

WORDS = (b"\r\n.\r\n", b"\n.\n", b"\r.\r", b"\r\n..", b"\r\n.\n", b"\n.\r\n", b"\r\n.\r", b"\r\r\n", b"\r\n")
_LIMIT = 300


def check(octets: bytes) -> None:
    stream = octets[4:]
    written = bytearray()
    sink = DataSink(written.extend, limit=_LIMIT)
    behind: bytes | None = None
    for piece in pieces(octets):
        if behind is not None:
            behind += piece
        elif (rest := sink.feed(piece)) is not None:
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
