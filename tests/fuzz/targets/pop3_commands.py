"""POP3's lines and commands: cuts change nothing, no line is too long, no control character gets through."""

# ruff: noqa: PT017 - nothing is expected to fail here
from __future__ import annotations

from appliance.pop3.commands import LINE_OCTETS, VERBS, BadCommand, LineBuffer, LineTooLong, NotPop3, State, parse
from tests.fuzz import pieces

WORDS = (*(f"{verb} ".encode() for verb in sorted(VERBS)), b"\r\n", b"\n", b"\r", b"1 2", b"x" * 250, b"GET / HTTP/1.1")


def check(octets: bytes) -> None:
    stream = octets[4:]
    lines = _lines(pieces(octets))
    assert lines == _lines([stream])
    plain = stream.split(b"\n")[:-1]
    assert len(plain) <= len(lines) <= len(plain) + 1  # one more where the last has no end but is too long
    for given, line in zip(plain, lines, strict=False):
        if line is None:
            assert len(given) + 1 > LINE_OCTETS
        else:
            assert line == given.removesuffix(b"\r")
            _command(line)


def _lines(cut: list[bytes]) -> list[bytes | None]:
    """The lines, None for one that was too long."""
    buffer = LineBuffer()
    found: list[bytes | None] = []
    for piece in cut:
        buffer.feed(piece)
        while True:
            try:
                line = buffer.next()
            except LineTooLong:
                found.append(None)
                continue
            if line is None:
                break
            found.append(line)
        assert len(buffer) < LINE_OCTETS
    return found


def _command(line: bytes) -> None:
    for state in State:
        try:
            command = parse(line, state)
        except NotPop3:
            continue
        except BadCommand as bad:
            assert "\r" not in str(bad)
            assert str(bad).isprintable()
            continue
        assert command.verb in VERBS
        assert line.upper().startswith(command.verb.encode())
        for argument in command.arguments:
            assert isinstance(argument, str) or 0 <= argument < 10**10
            assert not any(ord(letter) < 32 and letter != "\t" for letter in str(argument))
