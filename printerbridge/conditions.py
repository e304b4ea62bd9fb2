"""How printers fare, put together from all that tell of it: the line that prints, SNMP, and the clock.

A printer without paper is told of by whoever notices first, and no more than once; it is well again when nobody says
otherwise.  No I/O but the store's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
# How trouble shows from outside: not told where somebody knows what the trouble is.
_VAGUE: Final = frozenset({"connecting-to-device", "offline", "other", "printer-stopped", "timed-out"})
_SEVERITY: Final = ("-report", "-warning", "-error")


def merged(told: Mapping[Source, Condition]) -> Condition:
    """One condition of what several tell, in whatever order they told it.

    Stopped if anybody says so.  Each keyword once, as severe as anybody says, the worst first and then the best
    informed's; vague ones only where no error says why.  The text is that of the best informed who has something to
    say about the worst.
    """
    if Source.QUIET in told:  # whoever switched it off knows
        return told[Source.QUIET]
    ordered = [told[source] for source in Source if source in told]
    found: dict[str, str] = {}
    for reason in (reason for one in ordered for reason in one.reasons if keyword(reason) != "none"):
        bare = keyword(reason)
        if bare not in found or _severity(reason) > _severity(found[bare]):
            found[bare] = reason
    known = any(_is_error(reason) and bare not in _VAGUE for bare, reason in found.items())
    kept = [reason for bare, reason in found.items() if not (known and bare in _VAGUE)]
    reasons = tuple(sorted(kept, key=_severity, reverse=True))  # which keeps the order of equals
    states = {one.state for one in ordered}
    state = next((state for state in ("stopped", "processing") if state in states), "idle")
    return Condition(state=state, reasons=reasons, text=_text(ordered, reasons))


def _text(ordered: Iterable[Condition], reasons: tuple[str, ...]) -> str:
    for reason in reasons:
        for one in ordered:
            if one.text and reason in one.reasons:
                return one.text
    return next((one.text for one in ordered if one.text), "") if not reasons else ""


def _severity(reason: str) -> int:
    """No suffix is an error (RFC 8011 section 5.4.12)."""
    suffix = reason.removeprefix(keyword(reason))
    return _SEVERITY.index(suffix or "-error")


def _is_error(reason: str) -> bool:
    return _severity(reason) == len(_SEVERITY) - 1


class Conditions:
    """What was last told of each printer, for all that tell.

    `doubted` is called with a printer that printed well while SNMP's last word is that it stands.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.doubted: Callable[[str], object] = lambda _: None
        self._told: dict[str, dict[Source, Condition]] = {}
        self._written: dict[str, Condition] = {}

    async def tell(self, printers: Iterable[str], source: Source, condition: Condition = WELL) -> None:
        """`source` says how these printers fare now.  Written where that changes anything.

        Raises `TransientFailure`: then it is known (`of`), and written when somebody tells next.
        """
        names = tuple(printers)
        for printer in names:  # all are known before anything is waited for
            told = self._told.setdefault(printer, {})
            if condition == WELL:
                told.pop(source, None)
                if source is Source.LINE and told.get(Source.SNMP, WELL).state == "stopped":
                    self.doubted(printer)
            else:
                told[source] = condition
        for printer in names:
            await self._write(printer)

    async def _write(self, printer: str) -> None:
        now = self.of(printer)
        if self._written.get(printer) == now:
            return
        self._written[printer] = now
        try:
            await self._store.set_condition(printer, now.state, now.reasons, now.text)
        except BaseException:
            self._written.pop(printer, None)
            raise

    def of(self, printer: str) -> Condition:
        """What all tell of it together."""
        return merged(self._told.get(printer, {}))

    def forget_but(self, printers: Iterable[str]) -> None:
        """Others than these are not served any more."""
        for printer in self._told.keys() - set(printers):
            del self._told[printer]
            self._written.pop(printer, None)
