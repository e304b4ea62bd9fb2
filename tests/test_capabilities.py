"""Addresses to give away: their times and tokens; who makes, sees and revokes them, with a real store and slapd."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from appliance.capabilities import new_token, until
from mailstore.failure import PermanentFailure
from mailstore.options import read, without_token

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("90m", 5400), ("1 minute", 60), ("12h", 43200), ("12 Hours", 43200), ("7d", 604800), ("1 day", 86400)),
        *((" 4w ", 2419200), ("2 weeks", 1209600), ("30 min", 1800)),
        *(("2026-11-23T13:00:00Z", 3600), ("2026-11-23t13:00z", 3600), ("2026-11-23 14:00+01:00", 3600)),
    ],
)
def test_when_it_ends(text: str, seconds: float) -> None:
    assert until(text, NOW) == NOW + seconds


def test_it_may_have_no_end() -> None:
    assert until("", NOW) == until("  ", NOW) == 0.0


def test_a_date_is_meant_with_its_whole_day_here() -> None:
    assert until("2026-12-31", NOW) == datetime(2027, 1, 1).astimezone().timestamp()
    assert until("2026-12-31 18:00", NOW) == datetime(2026, 12, 31, 18).astimezone().timestamp()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        *(
            (word, "is no time")
            for word in ("soon", "0d", "-1d", "7", "d", "3 months", "1y", "7dd", "1.5h", "٣d", "18:00")
        ),
        *((word, "is no time") for word in ("2026-13-01", "31.12.2026", "1234567d", "2026-12-31\x00")),
        *((word, "is over already") for word in ("2026-11-01", "2026-11-23T11:59:59Z", "1970-01-01", "9999-12-30")),
        *((word, "hundred years") for word in ("999999d", "2200-01-01")),
    ],
)
def test_what_is_no_end(text: str, words: str) -> None:
    with pytest.raises(PermanentFailure, match=words) as failure:
        until(text, NOW)
    assert failure.value.status == "5.5.4"


def test_tokens_are_all_others_and_read_as_tokens() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    for token in tokens:
        assert read((token,)).token == token
        assert without_token(f"p+{token}@example.com") == "p@example.com"
    assert {letter for token in tokens for letter in token} == set("abcdefghijklmnopqrstuvwxyz234567")
