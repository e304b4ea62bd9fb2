"""The job table: what the design promises of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.job import ENDED, REASONS, TRANSITIONS, Event, IllegalTransition, JobState, advance, sources


def test_nothing_leaves_an_end_state() -> None:
    assert [state for state, _ in TRANSITIONS if state in ENDED] == []


def test_every_state_can_be_reached_from_pending() -> None:
    reached, fresh = set(), {JobState.PENDING}
    while fresh:
        reached |= fresh
        fresh = {target for (state, _), target in TRANSITIONS.items() if state in reached} - reached
    assert reached == set(JobState)


def test_every_job_can_still_end() -> None:
    for state in set(JobState) - ENDED:
        assert {target for (source, _), target in TRANSITIONS.items() if source is state} & ENDED


def test_a_doubtful_job_is_neither_lost_nor_printed_again_by_itself() -> None:
    doubtful = advance(JobState.PROCESSING, Event.DOUBT)
    assert doubtful is JobState.PROCESSING_STOPPED
    with pytest.raises(IllegalTransition):
        advance(doubtful, Event.CLAIM)
    assert advance(doubtful, Event.REPRINT) is JobState.PENDING


def test_a_late_wish_says_so() -> None:
    with pytest.raises(IllegalTransition, match="completed cannot cancel"):
        advance(JobState.COMPLETED, Event.CANCEL)


@given(st.sampled_from(JobState), st.sampled_from(Event))
def test_sources_and_table_agree(state: JobState, event: Event) -> None:
    assert (state in sources(event)) == ((state, event) in TRANSITIONS)


def test_reasons_are_keywords_with_a_meaning() -> None:
    for keyword, words in REASONS.items():
        assert keyword == keyword.lower()
        assert " " not in keyword
        assert words
        assert not words.endswith(".")
