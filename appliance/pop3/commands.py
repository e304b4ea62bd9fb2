"""What a POP3 client says: octets to lines, lines to commands, by a table of states (RFC 1939, 2449, 2595, 5034, 6856).

Security: every octet here is a stranger's.  A line is 255 octets at most (RFC 2449 section 4) and a longer one is
dropped as it comes in, so nothing grows; a line is matched whole against the pattern of its verb, and only verbs of the
table are ever looked up.  A browser can be made to speak to any port, so a line as browsers send it ends the session.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

LINE_OCTETS = 255
"""The longest command with its CRLF, RFC 2449 section 4."""


class State(StrEnum):
    """RFC 1939 section 3; QUIT leads from the second to UPDATE, in which no command is read."""

    AUTHORIZATION = "AUTHORIZATION"
    TRANSACTION = "TRANSACTION"


class BadCommand(Exception):
    """Answered by -ERR and this text."""


class NotPop3(Exception):
    """A browser, or something else that must not be spoken to."""


@dataclass(frozen=True, slots=True)
class Command:
    """A verb of the table in capitals, and its arguments: message numbers and line counts as int, the rest as str."""

    verb: str
    arguments: tuple[int | str, ...] = ()


_NUMBER = r"([0-9]{1,10})"
_BEFORE = frozenset({State.AUTHORIZATION})
_AFTER = frozenset({State.TRANSACTION})
_ANY = _BEFORE | _AFTER

# verb: where it is valid, its arguments as a pattern, and how to write it
_TABLE: dict[str, tuple[frozenset[State], re.Pattern[str], str]] = {
    verb: (states, re.compile(pattern, re.DOTALL), usage)
    for verb, states, pattern, usage in (
        ("CAPA", _ANY, r"", "CAPA"),
        ("QUIT", _ANY, r"", "QUIT"),
        ("STLS", _BEFORE, r"", "STLS"),
        ("USER", _BEFORE, r" +([^ ]+)", "USER name"),
        ("PASS", _BEFORE, r" (.+)", "PASS password"),  # blanks belong to it, RFC 1939 section 7
        ("AUTH", _BEFORE, r"(?: +([^ ]+)(?: ([^ ]+))?)?", "AUTH [mechanism [initial-response]]"),
        ("UTF8", _BEFORE, r"", "UTF8"),
        ("LANG", _ANY, r"(?: +([^ ]+))?", "LANG [language]"),
        ("STAT", _AFTER, r"", "STAT"),
        ("LIST", _AFTER, rf"(?: +{_NUMBER})?", "LIST [message]"),
        ("UIDL", _AFTER, rf"(?: +{_NUMBER})?", "UIDL [message]"),
        ("RETR", _AFTER, rf" +{_NUMBER}", "RETR message"),
        ("DELE", _AFTER, rf" +{_NUMBER}", "DELE message"),
        ("TOP", _AFTER, rf" +{_NUMBER} +{_NUMBER}", "TOP message lines"),
        ("NOOP", _AFTER, r"", "NOOP"),
        ("RSET", _AFTER, r"", "RSET"),
    )
}
VERBS = frozenset(_TABLE)
_NUMBERED = VERBS - {"USER", "PASS", "AUTH", "LANG"}
"""Their arguments are numbers."""

_ABSENT = {
    "APOP": "APOP is not offered, use USER and PASS",
    "LAST": "LAST is obsolete (RFC 1725), use UIDL",
    "RPOP": "RPOP is obsolete, use USER and PASS",
    "XTND": "XTND is not offered",
}
_WEB = re.compile(
    rb"[A-Za-z]+ \S+ HTTP/[0-9.]+\s*|(?:GET|POST|PUT|HEAD|OPTIONS|CONNECT) [/*h].*|[A-Za-z-]+:.*", re.DOTALL
)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def parse(line: bytes, state: State) -> Command:
    """The command in a line without its CRLF.  Raises `BadCommand` or `NotPop3`."""
    if _WEB.fullmatch(line):
        raise NotPop3
    if _CONTROL.search(line):
        raise BadCommand("a command is one line of printable characters")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        raise BadCommand("a command is ASCII or UTF-8") from None
    word, blank, rest = text.partition(" ")
    verb = word.upper() if word.isascii() else ""
    if verb in _ABSENT:
        raise BadCommand(_ABSENT[verb])
    if verb not in _TABLE:
        raise BadCommand("unknown command")
    states, pattern, usage = _TABLE[verb]
    if state not in states:
        raise BadCommand("log in first" if state is State.AUTHORIZATION else "you are logged in already")
    # Blanks at the end are common in old firmware and can mean nothing, but in a password.
    match = pattern.fullmatch(blank + rest if verb == "PASS" else (blank + rest).rstrip(" "))
    if not match:
        raise BadCommand(f"usage: {usage}")
    given = [group for group in match.groups() if group is not None]
    return Command(verb, tuple(map(int, given) if verb in _NUMBERED else given))


class LineTooLong(BadCommand):
    """The line was longer than it may be, and is gone."""

    def __init__(self, most: int) -> None:
        super().__init__(f"a {'command' if most == LINE_OCTETS else 'line'} has at most {most} octets")


class LineBuffer:
    """Octets as they come in, lines as they are wanted.  Ends lines at LF, with or without a CR before it."""

    __slots__ = ("_octets", "_skipping")

    def __init__(self) -> None:
        self._octets = bytearray()
        self._skipping = False

    def __len__(self) -> int:
        return len(self._octets)

    def feed(self, octets: bytes) -> None:
        self._octets += octets
        if self._skipping:
            self._skip()

    def next(self, most: int = LINE_OCTETS) -> bytes | None:
        """The next line without its end, None if none is complete.

        Raises `LineTooLong` once for each that has more than `most` octets with its end.
        """
        if self._skipping:
            return None
        end = self._octets.find(b"\n", 0, most)
        if end >= 0:
            line = bytes(self._octets[:end])
            del self._octets[: end + 1]
            return line.removesuffix(b"\r")
        if len(self._octets) >= most:
            self._skipping = True
            self._skip()
            raise LineTooLong(most)
        return None

    def _skip(self) -> None:
        end = self._octets.find(b"\n")
        self._skipping = end < 0
        del self._octets[: end + 1 if end >= 0 else len(self._octets)]
