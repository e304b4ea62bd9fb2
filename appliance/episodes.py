"""A printer's troubles and warnings, from the first to the all-clear: of which people are told, and when.

A paper tray that is open for three seconds is nobody's business, nor is a printer that somebody switches off and on.
So trouble must last; and a printer that falters again and again is told of once an hour and reason.  What only warns,
like toner that is low, is another story with another end, told once a day and reason at most.  What a printer merely
reports is told to nobody, and in the hours in which it is left alone (`shutdown-report`) nothing begins and nothing
ends.  Nor does anybody read a thousand mails of a thousand failed jobs: of more than a few in an hour the rest is told
in one.  Pure: occurrences and the time go in, and what is worth telling comes out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mailstore.condition import keyword
from mailstore.store.outbox import Occasion, Occurrence

NEEDS_A_HAND = 5.0
"""Seconds that trouble must last before anybody is told."""
COMES_BACK = 120.0
"""The same for what often mends itself."""
RUNS_LOW = 60.0
"""The same for what only warns: levels go to and fro."""
FLAPPING = 3600.0
"""Seconds between two notices of one printer for the same reason."""
A_DAY = 86400.0
"""The same for what only warns."""
FAILED_JOBS = 10
"""Failed jobs of one printer of which its people are told one by one within `FAILED_WITHIN`."""
HELD_JOBS = 1
"""The same of jobs that are held for a limit: whoever looks at one sees the others."""
FAILED_WITHIN = 3600.0
"""Seconds."""

_COMES_BACK = frozenset({"connecting-to-device", "timed-out", "shutdown", "other", "unknown"})
_NO_TROUBLE = frozenset({"none", "paused", "moving-to-paused", "hold-new-jobs", "deactivated", "spool-area-full", ""})
_QUIET = "shutdown-report"
"""It is left alone at this hour, and nobody knows how it fares."""


class Kind(StrEnum):
    """What of a printer's reasons is told together."""

    TROUBLE = "trouble"  # it stops, or may
    WARNING = "warning"  # it goes on printing


def keywords(reasons: Sequence[str], kind: Kind = Kind.TROUBLE) -> tuple[str, ...]:
    """Those printer-state-reasons that are trouble, or warnings, without their severity (RFC 8011 section 5.4.12)."""
    told = [reason for reason in reasons if not reason.endswith("-report")]
    bare = [keyword(one) for one in told if one.endswith("-warning") is (kind is Kind.WARNING)]
    return tuple(dict.fromkeys(one for one in bare if one not in _NO_TROUBLE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What is remembered of a printer's trouble, or of its warnings, between two looks."""

    since: Mapping[str, float] = field(default_factory=dict)  # reasons that hold -> since when, never in the future
    began: float = 0.0  # of the present trouble, 0.0 if there is none
    told: Mapping[str, str] = field(default_factory=dict)  # who was told of it -> the message-id
    told_of: frozenset[str] = frozenset()  # its reasons that were told
    last: Mapping[str, float] = field(default_factory=dict)  # reason -> when it was last told


NOTHING = Episode()
Standing = Mapping[Kind, Episode]
"""What is remembered of one printer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Something to tell."""

    occurrence: Occurrence
    reasons: tuple[str, ...]  # those that are new, or all that are over
    began: float  # of the trouble, 0.0 if that was forgotten
    told: Mapping[str, str]  # whoever heard of it before -> the message-id; empty for the first
    kind: Kind = Kind.TROUBLE
    over: bool = False  # an all-clear


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to be told now, which occurrences are done with, and when to look again at the others."""

    standing: Standing
    news: tuple[News, ...]
    done: tuple[Occurrence, ...]
    due: float


def judge(standing: Standing, occurrences: Sequence[Occurrence], now: float) -> Verdict:
    """`occurrences` are one printer's STOPPED and CLEAR, oldest first.

    Of what is not ripe the latest occurrence stays undone, so that a restart forgets nothing.
    """
    news: list[News] = []
    after: dict[Kind, Episode] = {}
    due = math.inf
    for kind in Kind:
        after[kind], told, waits = _judge_one(standing.get(kind, NOTHING), kind, occurrences, now)
        news += told
        due = min(due, waits)
    done = occurrences if due == math.inf else occurrences[:-1]
    return Verdict(standing=after, news=tuple(news), done=tuple(done), due=due)


def _judge_one(
    episode: Episode, kind: Kind, occurrences: Sequence[Occurrence], now: float
) -> tuple[Episode, list[News], float]:
    """One story: how it stands then, what is to be told of it, and when more may be."""
    news: list[News] = []
    latest: Occurrence | None = None
    for one in occurrences:
        if _QUIET in one.reasons and one.occasion is Occasion.STOPPED:
            latest = None
            continue
        words = keywords(one.reasons, kind)
        if one.occasion is Occasion.CLEAR or not words:
            news += _all_clear(episode, kind, one)
            episode, latest = Episode(last=episode.last), None
        else:
            at = min(one.at, now)  # a clock that was wrong and was put right must silence nobody
            since = {word: min(episode.since.get(word, at), now) for word in words}
            episode, latest = replace(episode, since=since, began=episode.began or at), one
    if latest is None:
        return episode, news, math.inf
    due = _due(episode, kind, now)
    ripe = tuple(word for word, at in due.items() if at <= now)
    if ripe:
        news.append(News(occurrence=latest, reasons=ripe, began=episode.began, told=episode.told, kind=kind))
        episode = replace(
            episode, told_of=episode.told_of | set(ripe), last={**episode.last, **dict.fromkeys(ripe, now)}
        )
    return episode, news, min((at for word, at in due.items() if word not in ripe), default=math.inf)


def _due(episode: Episode, kind: Kind, now: float) -> dict[str, float]:
    """When each reason that nobody has heard of in this trouble is to be told."""
    last = {word: at for word, at in episode.last.items() if at <= now}
    return {
        word: max(since + _patience(word, kind), last.get(word, -math.inf) + _pause(kind))
        for word, since in episode.since.items()
        if word not in episode.told_of
    }


def _patience(word: str, kind: Kind) -> float:
    if kind is Kind.WARNING:
        return RUNS_LOW
    return COMES_BACK if word in _COMES_BACK else NEEDS_A_HAND


def _pause(kind: Kind) -> float:
    return A_DAY if kind is Kind.WARNING else FLAPPING


def _all_clear(episode: Episode, kind: Kind, one: Occurrence) -> list[News]:
    """For whoever heard of the trouble.

    If nothing of it is remembered, an earlier process told it: what is not told stays undone until its all-clear.
    """
    gone = tuple(sorted(episode.told_of)) or keywords(one.reasons, kind)
    forgotten = one.occasion is Occasion.CLEAR and not episode.began and gone
    if episode.told or forgotten:
        return [News(occurrence=one, reasons=gone, began=episode.began, told=episode.told, kind=kind, over=True)]
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class Failures:
    """A printer's failed jobs of late, or those that were held.

    A restart forgets them: its people know by then that something is wrong.
    """

    told: tuple[float, ...] = ()  # when its people were told of one, within `FAILED_WITHIN`
    more: int = 0  # of which they were not
    latest: Occurrence | None = None  # of those


def one_failed(failures: Failures, one: Occurrence, now: float) -> tuple[Failures, bool]:
    """A job failed.  Whether the printer's people are told of it now; else it counts among the rest."""
    told = _of_late(failures, now)
    if len(told) < _singly(one):
        return replace(failures, told=(*told, now)), True
    return Failures(told=told, more=failures.more + 1, latest=one), False


def the_rest(failures: Failures, now: float) -> tuple[Failures, Occurrence | None, int]:
    """What is to be told of the rest by now: its latest occurrence, and how many stand behind it."""
    told = _of_late(failures, now)
    if failures.latest is None or len(told) >= _singly(failures.latest):
        return failures, None, 0
    return Failures(told=(*told, now)), failures.latest, failures.more - 1


def _singly(one: Occurrence) -> int:
    return HELD_JOBS if one.occasion is Occasion.HELD else FAILED_JOBS


def _of_late(failures: Failures, now: float) -> tuple[float, ...]:
    return tuple(at for at in failures.told if now - FAILED_WITHIN < at <= now)
