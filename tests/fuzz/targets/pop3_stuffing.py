"""Multi-line responses: a reader gets back what was stored wherever blocks end, and no line ends it too early."""

from __future__ import annotations

import re

from appliance.pop3.stuffing import Stuffer, Top
from tests.fuzz import pieces

WORDS = (b"\r\n.\r\n", b"\r\n", b".", b"..", b"\n.\n", b"\r", b"\n", b"\r\n\r\n")


def check(octets: bytes) -> None:
    stream = octets[4:]
    stuffer = Stuffer()
    sent = b"".join(stuffer.feed(piece) for piece in pieces(octets)) + stuffer.end()
    assert sent.endswith(b"\r\n.\r\n") or sent == b".\r\n"
    body = sent.removesuffix(b".\r\n")
    for end in (b"\r\n", b"\n"):  # many readers split at LF alone
        assert b"." not in [line.rstrip(b"\r") for line in body.split(end)]
    unstuffed = re.sub(rb"(\A|\n)\.", rb"\1", body)
    assert unstuffed == stream if stream.endswith(b"\r\n") or not stream else unstuffed == stream + b"\r\n"
    _top(octets, stream)


def _top(octets: bytes, stream: bytes) -> None:
    lines = octets[0] % 4 if octets else 0
    top = Top(lines)
    cut = bytearray()
    for piece in pieces(octets):
        if not top.done:
            cut += top.feed(piece)
    whole = Top(lines)
    assert bytes(cut) == whole.feed(stream)
    assert stream.startswith(cut)
    blank = re.search(rb"(?:\A|\n)\r?\n", stream)
    if blank is None:
        assert cut == stream
        return
    body = stream[blank.end() :].split(b"\n")
    assert bytes(cut) == stream[: blank.end()] + b"\n".join(body)[: sum(len(line) + 1 for line in body[:lines])]
