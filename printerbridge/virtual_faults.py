"""How the virtual printer misbehaves, by name.

A fault is written `NAME[:N][*COUNT]`: `reset-after:1000*2` resets the first two connections after 1000 octets each.
Several faults are a script: each connection meets the first one that is not used up; when all are used up the printer
is healthy.  One connection meets one fault.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from mailstore.failure import PermanentFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKind:
    """What a fault does, and the octets its argument stands for; `default` None where an argument makes no sense."""

    what: str
    default: int | None
    needed: bool = False
    least: int = 0


KINDS: Final[dict[str, FaultKind]] = {
    "refuse": FaultKind(what="nobody listens: connections are refused", default=None),
    "accept-then-stall": FaultKind(what="read N octets (65536), then no more", default=65536),
    "slow": FaultKind(what="read N octets a second", default=0, needed=True, least=1),
    "reset-after": FaultKind(what="reset the connection after N octets", default=0, needed=True),
    "close-early": FaultKind(what="close in order after N octets and read no more", default=0, needed=True),
    "media-empty": FaultKind(what="run out of paper after N octets (4096) or at the job's end", default=4096),
    "mute": FaultKind(what="print, but answer nothing", default=None),
    "never-close": FaultKind(what="print, but never close the connection", default=None),
}
"""Every fault by name."""

HELP: Final = """\
Signals: SIGUSR1 loads paper (and ends any stall), SIGUSR2 takes the paper out: the next job finds none, and the
printer says so by PJL.  As in: kill -USR1 PROCESS-ID

Faults, written NAME[:N][*COUNT] (only the first COUNT connections):
""" + "\n".join(f"  {name:<18} {kind.what}" for name, kind in KINDS.items())

_FAULT = re.compile(r"(?P<name>[a-z-]+)(?::(?P<argument>[0-9]{1,15}))?(?:\*(?P<count>[0-9]{1,9}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`octets` is the argument (for `slow`: a second); `count` how many connections meet it, None for all."""

    name: str
    octets: int = 0
    count: int | None = None

    def __str__(self) -> str:
        argument = "" if KINDS[self.name].default is None else f":{self.octets}"
        return f"{self.name}{argument}" + ("" if self.count is None else f"*{self.count}")


def parse_fault(text: str) -> Fault:
    """Read `NAME[:N][*COUNT]`.  Raises `PermanentFailure` ("5.5.4") with the list of faults."""
    match = _FAULT.fullmatch(text)
    kind = KINDS.get(match["name"]) if match else None
    if match is None or kind is None:
        raise _unknown(text, "is not NAME[:N][*COUNT] with a known name")
    name, argument = match["name"], match["argument"]
    if argument is not None and kind.default is None:
        raise _unknown(text, f"{name} takes no argument")
    if argument is None and kind.needed:
        raise _unknown(text, f"{name} needs a number, as in {name}:1000")
    octets = int(argument) if argument is not None else kind.default or 0
    if octets < kind.least:
        raise _unknown(text, f"{name} needs a number of at least {kind.least}")
    count = int(match["count"]) if match["count"] else None
    if count == 0:
        raise _unknown(text, "a count is at least 1")
    if name == "refuse" and count is not None:
        raise _unknown(text, "refused connections cannot be counted: the kernel refuses them")
    return Fault(name=name, octets=octets, count=count)


def _unknown(text: str, why: str) -> PermanentFailure:
    known = "; ".join(
        f"{name}{'' if kind.default is None else ':N' if kind.needed else '[:N]'} ({kind.what})"
        for name, kind in KINDS.items()
    )
    return PermanentFailure("5.5.4", f"fault {text!r}: {why}. Faults: {known}")


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

    def load_paper(self) -> None:
        """Somebody did: paper that is out for every connection is there again; a count is still met."""
        while self._left and self._left[0][0].name == "media-empty" and self._left[0][1] is None:
            del self._left[0]
