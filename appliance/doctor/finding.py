"""What a check finds, and what it looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum

from mailstore.config import Settings
from mailstore.directory.contract import Directory, People
from mailstore.store.contract import Store


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"  # worth knowing
    WARNING = "warning"  # something does not work for somebody
    ERROR = "error"  # nothing works until it is mended


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One sentence on one subject."""

    level: Level
    subject: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """What is examined."""

    settings: Settings
    store: Store
    directory: Directory
    people: People


Check = Callable[[House], AsyncIterator[Finding]]


def ok(subject: str, text: str) -> Finding:
    return Finding(level=Level.OK, subject=subject, text=text)


def note(subject: str, text: str) -> Finding:
    return Finding(level=Level.NOTE, subject=subject, text=text)


def warning(subject: str, text: str) -> Finding:
    return Finding(level=Level.WARNING, subject=subject, text=text)


def error(subject: str, text: str) -> Finding:
    return Finding(level=Level.ERROR, subject=subject, text=text)
