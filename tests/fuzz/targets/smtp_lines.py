"""Command lines of SMTP: the network's cuts change nothing but what is left of a line that is too long."""

from __future__ import annotations

from appliance.smtp.lines import Line, Lines
from appliance.smtp.verbs import HTTP, VERBS
from tests.fuzz import pieces

WORDS = (*(verb.encode() + b" " for verb in sorted(VERBS)), b"\r\n", b"\n", b"x" * 64, b"GET / HTTP/1.1", b"Host: ")
_LIMIT = 64


def check(octets: bytes) -> None:
    stream = octets[4:]
    lines = _lines(pieces(octets))
    plain = [line + b"\n" for line in stream.split(b"\n")[:-1]]
    assert len(lines) == len(plain)
    for line, given in zip(lines, plain, strict=True):
        assert line.too_long == (len(given) > _LIMIT)
        assert line.octets[:_LIMIT] == given[:_LIMIT]
        assert line.octets == given or line.too_long
        HTTP.match(line.octets)


def _lines(cut: list[bytes]) -> list[Line]:
    waiting = Lines()
    found = []
    for piece in cut:
        waiting.add(piece)
        while line := waiting.take(_LIMIT):
            found.append(line)
        assert len(waiting) <= _LIMIT
    return found
