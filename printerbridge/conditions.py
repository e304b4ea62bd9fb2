"""How printers fare, put together from all that tell of it: the line that prints, SNMP, and the clock.

A printer without paper is told of by whoever notices first, and no more than once; it is well again when nobody says
otherwise.  No I/O but the store's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from mailstore.condition import keyword
from mailstore.store.contract import Store


class Source(StrEnum):
    """Who tells, the best informed first."""

    QUIET = "quiet"  # it is its quiet time
    LINE = "line"  # while jobs are sent, and what PJL says then
    SNMP = "snmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """`printer-state`, its reasons and what they mean in a sentence.  Reasons without a suffix are errors."""

    state: str = "idle"
    reasons: tuple[str, ...] = ()
    text: str = ""


WELL: Final = Condition()
_VAGUE: Final = frozenset({"timed-out", "other", "printer-stopped"})  # where another reason says why


def merged(told: Mapping[Source, Condition]) -> Condition:
    """One condition of what several tell."""
    if Source.QUIET in told:  # whoever switched it off knows
        return told[Source.QUIET]
    ordered = [told[source] for source in Source if source in told]
    stopped = [one for one in ordered if one.state == "stopped"]
    reasons: dict[str, str] = {}
    for one in (*stopped, *ordered):
        for reason in one.reasons:
            reasons.setdefault(keyword(reason), reason)
    telling = [bare for bare, reason in reasons.items() if bare not in _VAGUE and bare == reason]
    kept = tuple(reason for bare, reason in reasons.items() if not (telling and bare in _VAGUE))
    state = "stopped" if stopped else "processing" if any(one.state == "processing" for one in ordered) else "idle"
    said = [one.text for one in (*stopped, *ordered) if one.text and any(reason in kept for reason in one.reasons)]
    return Condition(state=state, reasons=kept, text=said[0] if said else "")


class Conditions:
    """What was last told of each printer, for all that tell."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._told: dict[str, dict[Source, Condition]] = {}
        self._written: dict[str, Condition] = {}

    async def tell(self, printers: Iterable[str], source: Source, condition: Condition = WELL) -> None:
        """`source` says how these printers fare now.  Written once."""
        for printer in printers:
            told = self._told.setdefault(printer, {})
            if condition == WELL:
                told.pop(source, None)
            else:
                told[source] = condition
            now = merged(told)
            if self._written.get(printer) != now:
                self._written[printer] = now
                await self._store.set_condition(printer, now.state, now.reasons, now.text)

    def of(self, printer: str) -> Condition:
        """What all tell of it together."""
        return merged(self._told.get(printer, {}))

    def forget_but(self, printers: Iterable[str]) -> None:
        """Others than these are not served any more."""
        for printer in self._told.keys() - set(printers):
            del self._told[printer]
            self._written.pop(printer, None)
