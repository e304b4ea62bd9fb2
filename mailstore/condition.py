"""How a printer fares, in plain words: `printer-state` and `printer-state-reasons` (RFC 8011 5.4.11, 5.4.12).

The keywords are what is stored, measured and sent to programs; the words here are what people read, on the page, in
notices and from the commands.
"""

from __future__ import annotations

from collections.abc import Iterable

PRINTER_STATES: dict[str, str] = {
    "idle": "ready",
    "processing": "printing",
    "stopped": "stopped",
}
"""RFC 8011 section 5.4.11."""

PRINTER_REASONS: dict[str, str] = {
    "none": "nothing is wrong",
    "other": "the printer reports trouble",
    "connecting-to-device": "the printer does not answer, or is busy",
    "cover-open": "a cover is open",
    "developer-empty": "the developer is empty",
    "developer-low": "the developer is low",
    "door-open": "a door is open",
    "fuser-over-temp": "the fuser is too hot",
    "fuser-under-temp": "the fuser is too cold",
    "input-tray-missing": "a paper tray is missing",
    "interlock-open": "a safety lock is open",
    "interpreter-resource-unavailable": "the printer lacks a font or another resource",
    "marker-supply-empty": "ink or toner is used up",
    "marker-supply-low": "ink or toner is low",
    "marker-supply-missing": "an ink or toner cartridge is missing",
    "marker-waste-almost-full": "the waste container is nearly full",
    "marker-waste-full": "the waste container is full",
    "media-empty": "the paper is used up",
    "media-jam": "paper is jammed",
    "media-low": "paper is low",
    "media-needed": "the printer wants other paper, or paper by hand",
    "moving-to-paused": "being paused",
    "offline": "the printer is off line",
    "opc-life-over": "the drum is worn out",
    "opc-near-eol": "the drum is nearly worn out",
    "output-area-almost-full": "the output tray is nearly full",
    "output-area-full": "the output tray is full",
    "output-tray-missing": "the output tray is missing",
    "paused": "paused by somebody",
    "shutdown": "the printer is switched off or cannot be reached",
    "spool-area-full": "the spool is full",
    "stopped-partly": "stopped in part",
    "stopping": "stopping",
    "timed-out": "the printer does not answer in time",
    "toner-empty": "the toner is used up",
    "toner-low": "the toner is low",
    "x-maintenance-due": "maintenance is overdue",
    "x-service-requested": "the printer asks for service",
}
"""Every `printer-state-reasons` keyword of RFC 8011 section 5.4.12, those of PWG 5100.9 printers tell, and ours."""

_SEVERITIES = ("-error", "-warning", "-report")


def keyword(reason: str) -> str:
    """The keyword without the severity that may follow it."""
    for severity in _SEVERITIES:
        if reason.endswith(severity) and reason != severity:
            return reason.removesuffix(severity)
    return reason


def in_words(reason: str) -> str:
    """What a `printer-state-reasons` keyword means; one that nobody knows speaks for itself."""
    bare = keyword(reason)
    return PRINTER_REASONS.get(bare) or bare.removeprefix("x-").replace("-", " ")


def all_in_words(reasons: Iterable[str]) -> str:
    """All of them, apart by semicolons; "" if nothing is wrong."""
    return "; ".join(in_words(reason) for reason in reasons if keyword(reason) != "none")


def why(reasons: Iterable[str], detail: str) -> str:
    """All of them, and what more is known behind them, which may begin with the same words; "" for nothing."""
    words = all_in_words(reasons)
    if not words or detail.startswith(words):
        return detail or words
    return f"{words} ({detail})" if detail else words
