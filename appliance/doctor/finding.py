"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # worth knowing
    WARNING = "warning"  # something does not work for somebody, or is less safe than it could be
    ERROR = "error"  # must be mended: nothing works until it is, or everybody may print


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence on one subject: what is wrong, and what to do."""

    level: Level
    subject: str
    text: str


def ok(subject: str, text: str) -> Finding:
    return Finding(level=Level.OK, subject=subject, text=text)


def note(subject: str, text: str) -> Finding:
    return Finding(level=Level.NOTE, subject=subject, text=text)


def warning(subject: str, text: str) -> Finding:
    return Finding(level=Level.WARNING, subject=subject, text=text)


def error(subject: str, text: str) -> Finding:
    return Finding(level=Level.ERROR, subject=subject, text=text)
