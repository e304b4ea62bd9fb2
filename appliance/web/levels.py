"""What a printer has left, and what it says of itself, in words and as shares.  No I/O.

Security: names of supplies, a panel's text and serial numbers are a printer's, so a stranger's text.  It comes out as
one short line, without controls, and the templates escape it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from appliance.web.words import clock, duration
from mailstore.directory.records import Printer, Snmp
from mailstore.header import clean
from mailstore.hours import quiet_until
from mailstore.report import PrinterReport, is_low
from mailstore.ticket_words import SIZES

MOST = 32
"""Supplies, and trays, that are shown of a printer."""
SHORT = {name: short for short, name in reversed(SIZES.items())}
"""Sizes of paper as people call them, by their PWG names; of several the first."""
_NAME = 60  # characters
_CONSOLE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One supply or tray, as a bar and in words."""

    name: str
    about: str  # what it is, or what lies in it; "" for nothing
    share: float | None  # from 0.0 to 1.0, None where the printer does not measure it
    words: str

    @property
    def kind(self) -> str:
        """As a chip's: good, wait, bad, off."""
        if self.share is None:
            return "off"
        return "bad" if self.share <= 0 else "wait" if is_low(self.share) else "good"


def supplies(report: PrinterReport) -> list[Level]:
    """Ink, toner and the like; of a waste box the room in it."""
    made = []
    for number, one in enumerate(report.supplies[:MOST], start=1):
        waste = one.kind.startswith("waste")
        color, kind = clean(one.color, _NAME), clean(one.kind, _NAME).replace("-", " ")
        name = clean(one.name, _NAME) or f"supply {number}"
        about = " ".join(word for word in (color, kind) if word and word.lower() not in name.lower())
        share = _share(one.level)
        made.append(Level(name=name, about=about, share=share, words=_words(share, " room left" if waste else "")))
    return made


def trays(report: PrinterReport) -> list[Level]:
    """Where paper comes from."""
    made = []
    for number, one in enumerate(report.trays[:MOST], start=1):
        share = _share(one.level)
        name = clean(one.name, _NAME) or f"tray {number}"
        media = SHORT.get(one.media, clean(one.media, _NAME))
        made.append(Level(name=name, about=media, share=share, words=_words(share, "")))
    return made


def console(report: PrinterReport) -> str:
    """What its panel shows, on one line."""
    return clean(report.console, _CONSOLE)


def itself(report: PrinterReport) -> str:
    """What it calls itself."""
    serial = clean(report.serial, _NAME)
    return ", ".join(part for part in (clean(report.model, _NAME), f"serial number {serial}" if serial else "") if part)


def answers(printer: Printer, report: PrinterReport | None, now: float) -> list[str]:
    """Whether it answers when it is asked how it fares, and whether it is asked; sentences."""
    told = []
    if printer.snmp is Snmp.OFF:
        told.append("It is not asked how it fares: SNMP is off in its settings.")
    elif report is None:
        told.append("It was not asked yet.")
    elif report.up:
        told.append(f"It answers SNMP, the last time {duration(now - report.answered_at)} ago.")
    elif report.answered_at:
        told.append(f"It does not answer SNMP; the last answer came {duration(now - report.answered_at)} ago.")
    else:
        told.append(f"It has never answered SNMP; it was asked {duration(now - report.asked_at)} ago.")
    if until := quiet_until(printer.quiet_hours, now):
        told.append(f"Quiet until {wall(until, now)}: it is left alone.")
    return told


def wall(at: float, now: float) -> str:
    """A time that is near, as a clock on the wall shows it, with the day if it is another."""
    then = clock(at)
    return then[11:16] if then[:10] == clock(now)[:10] or at - now < 43200 else then[:16]


def in_lines(levels: Iterable[Level]) -> list[str]:
    """For who reads no bars: "Black toner: 42 %"."""
    return [f"{one.name}{f' ({one.about})' if one.about else ''}: {one.words}" for one in levels]


def _share(level: float | None) -> float | None:
    return None if level is None or not 0 <= level <= 1 else level


def _words(share: float | None, of: str) -> str:
    if share is None:
        return "level unknown"
    if share <= 0:
        return "no room left" if of else "empty"
    return f"{'under 1' if share < 0.01 else round(share * 100)} %{of}"
