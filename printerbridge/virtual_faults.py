"""How the virtual printer misbehaves, by name.

A fault is written `NAME[:N[:SECONDS]][*COUNT]`: `reset-after:1000*2` resets the first two connections after 1000 octets
each.  N is a number of octets, or the word `connect` (before the first octet is read), or `eof` (when the client has
closed its side).  Several faults are a script: each connection meets the first one that is not used up; when all are
used up the printer is healthy.  One connection meets one fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailstore.failure import PermanentFailure

CONNECT: Final = "connect"
EOF: Final = "eof"
MOMENTS: Final = (CONNECT, EOF)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """What a fault does.

    `default`: where it strikes if nothing is said, octets or a moment; None where an argument makes no sense.
    `moments`: the words that may stand for N.  `seconds`: how long it lasts if nothing is said, None where that makes
    no sense.  `plays`: the hazard of real printers that it plays, "" if none is told apart.
    """

    what: str
    default: int | str | None = None
    needed: bool = False
    least: int = 0
    moments: tuple[str, ...] = MOMENTS
    seconds: float | None = None
    plays: str = ""


KINDS: Final[dict[str, FaultKind]] = {
    "refuse": FaultKind(
        what="nobody listens: connections are refused",
        plays="a printer that is busy with another client, or whose card is switched off",
    ),
    "engaged": FaultKind(
        what="the connection is accepted but not served for SECONDS, as if another client were; then it prints",
        default=CONNECT,
        moments=(CONNECT,),
        seconds=1.0,
        plays="one client at a time, where the card's backlog takes the next one already",
    ),
    "accept-then-stall": FaultKind(
        what="read N octets, then no more until somebody mends it",
        default=65536,
        plays="a window that closes and stays closed while the connection lives",
    ),
    "slow": FaultKind(
        what="read N octets a second",
        default=0,
        needed=True,
        least=1,
        moments=(),
        plays="a serial line behind the card, or a page that takes its time",
    ),
    "reset-after": FaultKind(
        what="reset the connection after N octets; what came is printed as far as it goes",
        default=0,
        needed=True,
        plays="a job that breaks in its middle, and is printed from the beginning if it is sent again",
    ),
    "close-early": FaultKind(
        what="close in order after N octets and read no more; what came is printed as far as it goes",
        default=0,
        needed=True,
        plays="an end of the connection that proves nothing",
    ),
    "media-empty": FaultKind(
        what="run out of paper after N octets, or at the job's end, until paper is loaded",
        default=4096,
        plays="a printer without paper: it keeps the connection alive, for hours",
    ),
    "vanish": FaultKind(
        what="answer no packet any more until somebody mends it; what came is printed when the job's silence is over",
        default=0,
        needed=True,
        plays="a pulled cable, or a power cut: TCP learns nothing of it",
    ),
    "power-cycle": FaultKind(
        what="reset the connection after N octets, lose what is in memory, and refuse connections for SECONDS",
        default=0,
        needed=True,
        seconds=1.0,
        plays="somebody who switches the printer off and on",
    ),
    "idle-timeout": FaultKind(
        what="stop reading after N octets, after SECONDS take that for the job's end, print the stump and close",
        default=65536,
        seconds=30.0,
        plays="a card that cuts a paused job and prints it short, also where the printer itself is what pauses",
    ),
    "chatter": FaultKind(
        what="from N octets on talk without end on the back channel",
        default=CONNECT,
        plays="unread replies, for which a sender that closes gets a reset, and the job is lost",
    ),
    "swallow": FaultKind(
        what="acknowledge everything and print none of it; reset the connection after N octets",
        default=EOF,
        plays="buffers of megabytes between a sender and the paper",
    ),
    "half-close": FaultKind(
        what="take the client's half-close for an abort: drop what is not printed yet, and close in order",
        default=EOF,
        moments=(EOF,),
        plays="printers that cannot bear a connection of which one side is closed",
    ),
    "never-close": FaultKind(
        what="print, but never close the connection",
        plays="clones for which a connection has no end",
    ),
    "mute": FaultKind(
        what="print, but from N octets on answer nothing",
        default=CONNECT,
        plays="clones that understand PJL and say nothing",
    ),
    "job-error": FaultKind(
        what="cancel the job after N octets for want of memory: PJL's RESULT=RESOURCE_CANCELED, or PostScript's error",
        default=4096,
        moments=(CONNECT,),
        plays="one bad job, for which a spooler stops the whole printer",
    ),
    "panel-cancel": FaultKind(
        what="somebody presses Cancel after N octets: the pages so far come out, the rest is thrown away",
        default=4096,
        moments=(CONNECT,),
        plays="a job that ended, but was not printed",
    ),
}
"""Every fault by name."""

HAZARDS: Final[tuple[tuple[str, tuple[str, ...]], ...]] = (
    ("a pause in the middle, which cuts the job: the stump is printed", ("idle-timeout",)),
    ("a send that returns while megabytes lie in buffers", ("swallow", "accept-then-stall")),
    ("a time-out of TCP's own, which ends jobs that only wait for paper", ("media-empty", "accept-then-stall")),
    ("no paper: the window closes and the connection lives on for hours", ("media-empty",)),
    ("a reset at closing, because replies lay unread", ("chatter",)),
    ("closing right behind the last octet, or half-closing, which loses the job", ("half-close", "close-early")),
    ("one client at a time: the next is refused, or accepted and left waiting", ("refuse", "engaged")),
    (
        "a failure in the middle, after which everything is printed again",
        ("reset-after", "power-cycle", "vanish", "close-early"),
    ),
    ("one bad job that stops a whole queue", ("job-error",)),
    ("jobs that overtake each other when one is tried again", ("refuse", "reset-after", "power-cycle")),
    ("a wrong language, printed as pages of garbage", ()),
    ("a look at port 9100 that wakes or locks the printer", ("engaged", "never-close")),
    ("waits without an end: at connecting, and behind the job", ("vanish", "never-close", "mute", "slow")),
    ("a cancel, at the spooler or at the panel", ("panel-cancel", "accept-then-stall")),
)
"""What goes wrong on the way to real printers, and the faults that play it."""

HELP: Final = """\
Signals: SIGUSR1 loads paper (and ends any stall), SIGUSR2 takes the paper out: the next job finds none, and the
printer says so by PJL.  As in: kill -USR1 PROCESS-ID

Faults, written NAME[:N[:SECONDS]][*COUNT] (only the first COUNT connections).  N is a number of octets, or a word:
connect (before the first octet is read) or eof (when the client has closed its side):
""" + "\n".join(f"  {name:<18} {kind.what}" for name, kind in KINDS.items())

_FAULT = re.compile(
    r"(?P<name>[a-z-]+)(?::(?P<argument>[0-9]{1,15}|[a-z]+)(?::(?P<seconds>[0-9]{1,6}(?:\.[0-9]{1,6})?))?)?"
    r"(?:\*(?P<count>[0-9]{1,9}))?"
)
_NOT_COUNTED: Final = ("refused connections cannot be counted: the kernel refuses them", "refuse", "")
_UNHEARD: Final = ("connections that nobody answers cannot be counted", "vanish", CONNECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`octets` is the argument (for `slow`: a second), or `moment` is; `count` how many connections meet it, None: all.

    `seconds` is how long it lasts, 0.0 where that is not the fault's.
    """

    name: str
    octets: int = 0
    moment: str = ""
    seconds: float = 0.0
    count: int | None = None

    def __str__(self) -> str:
        kind = KINDS[self.name]
        seconds = "" if self.seconds == (kind.seconds or 0.0) else f":{self.seconds:g}"
        usual = kind.default is None or (self.moment == kind.default and not seconds)
        argument = "" if usual else f":{self.moment or self.octets}"
        return f"{self.name}{argument}{seconds}" + ("" if self.count is None else f"*{self.count}")


def parse_fault(text: str) -> Fault:
    """Read `NAME[:N[:SECONDS]][*COUNT]`.  Raises `PermanentFailure` ("5.5.4") with the list of faults."""
    match = _FAULT.fullmatch(text)
    kind = KINDS.get(match["name"]) if match else None
    if match is None or kind is None:
        raise _unknown(text, "is not NAME[:N[:SECONDS]][*COUNT] with a known name")
    name = match["name"]
    octets, moment = _place(text, name, kind, match["argument"])
    if match["seconds"] is not None and kind.seconds is None:
        raise _unknown(text, f"{name} takes no seconds")
    count = int(match["count"]) if match["count"] else None
    if count == 0:
        raise _unknown(text, "a count is at least 1")
    for why, *uncounted in (_NOT_COUNTED, _UNHEARD):
        if count is not None and uncounted == [name, moment]:
            raise _unknown(text, why)
    seconds = float(match["seconds"]) if match["seconds"] is not None else kind.seconds or 0.0
    return Fault(name=name, octets=octets, moment=moment, seconds=seconds, count=count)


def _place(text: str, name: str, kind: FaultKind, argument: str | None) -> tuple[int, str]:
    """Where it strikes: octets, or a moment."""
    if argument is None and kind.needed:
        raise _unknown(text, f"{name} needs a number, as in {name}:1000")
    if argument is None:
        return (0, kind.default) if isinstance(kind.default, str) else (kind.default or 0, "")
    if kind.default is None:
        raise _unknown(text, f"{name} takes no argument")
    if not argument.isdigit():
        if argument not in kind.moments:
            words = " or ".join(kind.moments)
            raise _unknown(text, f"{name} takes a number{f', {words}' if words else ''}")
        return 0, argument
    if kind.moments and kind.default in kind.moments and set(kind.moments) == {kind.default}:
        raise _unknown(text, f"{name} can only strike at {kind.default}")
    if int(argument) < kind.least:
        raise _unknown(text, f"{name} needs a number of at least {kind.least}")
    return int(argument), ""


def _unknown(text: str, why: str) -> PermanentFailure:
    return PermanentFailure("5.5.4", f"fault {text!r}: {why}. Faults: {'; '.join(map(spelled, KINDS))}")


def spelled(name: str) -> str:
    """A fault with its arguments, and what it does."""
    kind = KINDS[name]
    seconds = "[:SECONDS]" if kind.seconds is not None else ""
    argument = "" if kind.default is None else f":N{seconds}" if kind.needed else f"[:N{seconds}]"
    return f"{name}{argument} ({kind.what})"


class FaultScript:
    """Which fault the next connection meets."""

    __slots__ = ("_left",)

    def __init__(self, faults: Iterable[Fault] = ()) -> None:
        self._left: list[tuple[Fault, int | None]] = [(fault, fault.count) for fault in faults]

    def peek(self) -> Fault | None:
        """The fault that the next connection will meet, without using it up."""
        return self._left[0][0] if self._left else None

    def take(self) -> Fault | None:
        """Use up one connection's worth of the fault at the head."""
        if not self._left:
            return None
        fault, left = self._left[0]
        if left is not None:
            if left > 1:
                self._left[0] = (fault, left - 1)
            else:
                del self._left[0]
        return fault

    def mend(self) -> None:
        """Somebody loads paper or plugs the cable in: what was so for every connection is over; a count is met."""
        while self._left and self._left[0][0].name in ("media-empty", "vanish") and self._left[0][1] is None:
            del self._left[0]
