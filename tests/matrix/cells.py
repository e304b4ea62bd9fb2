"""The rows and the moments of the table: which fault is played, and who mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

OCTETS: Final = 240_000
PAGES: Final = 4
CONNECT, FIRST, MIDDLE, LAST, EOF = "connect", "first 64 KiB", "middle", "last octet", "end of file"
MOMENTS: Final = (CONNECT, FIRST, MIDDLE, LAST, EOF)
_BEHIND: Final = 15  # octets behind a document's last one that PJL stands in

ROWS: Final[Mapping[str, str]] = {
    "stall": "accept-then-stall",
    "media-empty": "media-empty",
    "vanish": "vanish",
    "reset": "reset-after",
    "close-early": "close-early",
    "power-cycle": "power-cycle",
    "idle-timeout": "idle-timeout",
    "chatter": "chatter",
    "swallow": "swallow",
    "mute": "mute",
    "job-error": "job-error",
    "panel-cancel": "panel-cancel",
    "cancel": "accept-then-stall",
    "give-up": "vanish",
    "refuse": "refuse",
    "engaged": "engaged",
    "slow": "slow",
    "half-close": "half-close",
    "never-close": "never-close",
}
"""What a row is called, and the virtual printer's fault that plays it."""

WHAT: Final[Mapping[str, str]] = {
    "stall": "takes nothing more, until somebody mends it",
    "media-empty": "has no paper, until somebody loads it",
    "vanish": "answers no packet, until somebody plugs it in again",
    "reset": "resets the connection",
    "close-early": "closes the connection in order",
    "power-cycle": "is switched off and on",
    "idle-timeout": "stops reading, takes the silence for the end, and prints the stump",
    "chatter": "talks without end",
    "swallow": "acknowledges all, prints nothing, and resets",
    "mute": "says nothing any more",
    "job-error": "gives up this job for want of memory",
    "panel-cancel": "somebody presses Cancel at it",
    "cancel": "stalls, and somebody cancels the job at the page",
    "give-up": "answers no packet for longer than its stall limit",
    "refuse": "refuses connections, for a while",
    "engaged": "serves somebody else first",
    "slow": "takes its time",
    "half-close": "takes our half-close for an abort",
    "never-close": "never closes the connection",
}
_SINGLE: Final = {"refuse": CONNECT, "engaged": CONNECT, "slow": CONNECT, "half-close": EOF, "never-close": EOF}
_WHILE_READ: Final = frozenset({"job-error", "panel-cancel"})  # they strike at a job that is being read
_ARGUMENT: Final = {"engaged": ":connect:1", "slow": ":200000", "refuse": "", "half-close": "", "never-close": ""}
_SECONDS: Final = {"idle-timeout": ":1"}
_FOR_EVER: Final = frozenset(
    {"chatter", "mute", "refuse", "vanish"}
)  # of which connections cannot, or need not, be counted


@cache
def document() -> bytes:
    """PostScript of four pages of like size, exactly `OCTETS` long."""
    made = b"%!PS-Adobe-3.0\n%%Pages: 4\n"
    page = b"%%%%Page: %d %d\n/Helvetica findfont 20 scalefont setfont 72 72 moveto (Page %d) show showpage\n"
    line = b"% " + b"0123456789" * 6 + b"\n"
    tail = b"%%Trailer\n%%EOF\n"
    for number in range(1, PAGES + 1):
        made += page % (number, number, number)
        share = (OCTETS - len(tail)) * number // PAGES
        made += line * ((share - len(made)) // len(line))
    return made + b"%" * (OCTETS - len(tail) - len(made) - 1) + b"\n" + tail


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What is to be said of a cell, and what comes out.

    `stands`: job-state, and the printer's reasons, while somebody has to mend it; "" where nobody has to.
    """

    stands: str = ""
    printer: str = ""
    state: str
    reasons: str
    proof: str
    attempts: int
    paper: str = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A fault at a moment.  `ahead`: octets of PJL that go before the document."""

    row: str
    moment: str
    pjl: bool
    ahead: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def name(self) -> str:
        return f"{self.row}-{self.moment.replace(' ', '-')}{'-pjl' if self.pjl else ''}".lower()

    @property
    def fault(self) -> str:
        """As the virtual printer takes it."""
        kind = ROWS[self.row]
        count = "" if kind in _FOR_EVER else "*1"
        argument = _ARGUMENT.get(self.row, f":{octets(self.moment, self.ahead)}{_SECONDS.get(self.row, '')}")
        return f"{kind}{argument}{count}"


def octets(moment: str, ahead: int = 0) -> str:
    """The moment as the argument of a fault."""
    behind = _BEHIND if ahead else 0
    return {
        CONNECT: "connect",
        FIRST: "32768",
        MIDDLE: str(OCTETS // 2),
        LAST: str(OCTETS + ahead + behind),
        EOF: "eof",
    }[moment]


def cells(*, pjl: bool, ahead: int = 0) -> Iterator[Cell]:
    """All cells of one table."""
    for row in ROWS:
        for moment in MOMENTS:
            while_read = moment not in (CONNECT, EOF) or row not in _WHILE_READ
            if while_read and _SINGLE.get(row, moment) == moment:
                yield Cell(row=row, moment=moment, pjl=pjl, ahead=ahead, settings={"pjl": pjl})
