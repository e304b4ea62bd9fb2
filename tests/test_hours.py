"""Quiet hours: how they are written, and when they end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstore.hours import DAYS, WEEK, quiet_until, read_span

BERLIN = ZoneInfo("Europe/Berlin")
NIGHT = "22:00-06:00"
WEEKEND = "sat,sun 00:00-24:00"


@pytest.mark.parametrize(
    ("written", "usual"),
    [
        ("22:00-06:00", "22:00-06:00"),
        (" 7:00 - 9:30 ", "07:00-09:30"),
        ("SUN,Sat 00:00-24:00", "sat,sun 00:00-24:00"),
        ("mon-fri 18:00-07:00", "mon,tue,wed,thu,fri 18:00-07:00"),
        ("fri-mon 00:00-24:00", "mon,fri,sat,sun 00:00-24:00"),
        ("sat-sat 12:00-13:00", "sat 12:00-13:00"),
        ("mon-wed,tue,sun 12:00-13:00", "mon,tue,wed,sun 12:00-13:00"),
        ("mon-sun 12:00-13:00", "12:00-13:00"),
        ("22:00-00:00", "22:00-24:00"),
        ("mon,tue,wed,thu,fri,sat,sun 23:59-23:58", "23:59-23:58"),
    ],
)
def test_a_span_has_a_usual_form(written: str, usual: str) -> None:
    assert read_span(written) == usual
    assert read_span(usual) == usual


@pytest.mark.parametrize(
    "written",
    [
        "",
        "22:00",
        "22-06",
        "24:00-06:00",
        "22:00-24:01",
        "22:60-23:00",
        "22:00-23:60",
        "25:00-26:00",
        "caturday 22:00-06:00",
        "sat, sun 22:00-06:00",
        "sat,sun",
        "mon-wed-fri 22:00-06:00",
        "22:00-06:00 sat",
        "\u0662\u0662:00-06:00",
        "22:00-06:00\n23:00-24:00",
        "sat," * 50 + "sun 22:00-06:00",
    ],
)
def test_what_is_no_span_is_refused_with_an_example(written: str) -> None:
    with pytest.raises(ValueError, match=r"write (it|them) like (22:00-06:00 or )?(mon-fri or )?sat,sun"):
        read_span(written)


def test_a_span_that_ends_when_it_begins_says_nothing() -> None:
    with pytest.raises(ValueError, match=r"ends when it begins: a whole day is 00:00-24:00"):
        read_span("08:00-08:00")


@pytest.mark.parametrize(
    ("spans", "now", "ends"),
    [
        # The 18th of May 2026 is a Monday.
        ([NIGHT], "2026-05-18 21:59:59", ""),
        ([NIGHT], "2026-05-18 22:00:00", "2026-05-19 06:00:00"),
        ([NIGHT], "2026-05-19 05:59:59", "2026-05-19 06:00:00"),
        ([NIGHT], "2026-05-19 06:00:00", ""),
        (["12:00-13:00"], "2026-05-18 12:30:30", "2026-05-18 13:00:00"),
        (["22:00-24:00"], "2026-05-18 23:59:59", "2026-05-19 00:00:00"),
        (["22:00-24:00"], "2026-05-19 00:00:00", ""),
        ([WEEKEND], "2026-05-22 23:59:59", ""),
        ([WEEKEND], "2026-05-23 00:00:00", "2026-05-25 00:00:00"),
        ([WEEKEND], "2026-05-25 00:00:00", ""),
        # A day is the one on which the span begins.
        (["mon 22:00-06:00"], "2026-05-19 05:00:00", "2026-05-19 06:00:00"),
        (["mon 22:00-06:00"], "2026-05-18 05:00:00", ""),
        (["sun 22:00-06:00"], "2026-05-18 05:00:00", "2026-05-18 06:00:00"),
        # What adjoins or overlaps is one quiet time.
        ([WEEKEND, NIGHT], "2026-05-22 23:00:00", "2026-05-25 06:00:00"),
        (["06:00-08:00", NIGHT], "2026-05-18 23:00:00", "2026-05-19 08:00:00"),
        (["12:00-14:00", "13:00-15:00", "15:00-15:01"], "2026-05-18 12:00:00", "2026-05-18 15:01:00"),
        (["12:00-16:00", "13:00-14:00"], "2026-05-18 13:30:00", "2026-05-18 16:00:00"),
        (["12:00-13:00", "13:01-14:00"], "2026-05-18 12:30:00", "2026-05-18 13:00:00"),
        # Across the turn of the year.
        ([NIGHT], "2026-12-31 23:30:00", "2027-01-01 06:00:00"),
        # The clock is put forward at 02:00 on the 29th of March 2026, and back at 03:00 on the 25th of October.
        ([NIGHT], "2026-03-28 23:00:00", "2026-03-29 06:00:00"),
        (["22:00-02:30"], "2026-03-28 23:00:00", "2026-03-29 03:00:00"),
        (["02:30-06:00"], "2026-03-29 03:00:00", "2026-03-29 06:00:00"),
        (["02:30-06:00"], "2026-03-29 01:59:59", ""),
        (["02:15-02:45"], "2026-03-29 03:00:00", ""),
        ([NIGHT], "2026-10-24 23:00:00", "2026-10-25 06:00:00"),
        (["22:00-02:30"], "2026-10-24 23:00:00", "2026-10-25 02:30:00 again"),
        (["22:00-02:30"], "2026-10-25 02:45:00", "2026-10-25 02:30:00 again"),
        (["22:00-02:30"], "2026-10-25 02:30:00 again", ""),
        (["02:30-06:00"], "2026-10-25 02:29:59", ""),
        (["02:30-06:00"], "2026-10-25 02:10:00 again", "2026-10-25 06:00:00"),
        ([], "2026-05-18 12:00:00", ""),
    ],
)
def test_when_it_ends(spans: list[str], now: str, ends: str) -> None:
    assert quiet_until(spans, instant(now), BERLIN) == (instant(ends) if ends else 0.0)


def instant(shown: str) -> float:
    """When the clock in Berlin shows so; `again` for the second time."""
    wall = datetime.fromisoformat(shown.removesuffix(" again"))
    return wall.replace(tzinfo=BERLIN, fold=int(shown.endswith(" again"))).timestamp()


@pytest.mark.parametrize("spans", [["00:00-24:00"], [NIGHT, "06:00-22:00"], ["mon-fri 00:00-24:00", WEEKEND]])
@pytest.mark.parametrize("now", ["2026-05-18 00:00:00", "2026-03-29 01:59:59", "2026-10-25 02:30:00 again"])
def test_what_never_ends_is_told_to_last_a_week(spans: list[str], now: str) -> None:
    assert quiet_until(spans, instant(now) + 0.25, BERLIN) == instant(now) + 0.25 + WEEK


def test_a_day_that_a_country_left_out() -> None:
    apia = ZoneInfo("Pacific/Apia")  # no 30th of December in 2011
    eve = datetime(2011, 12, 29, 23, tzinfo=apia).timestamp()
    assert quiet_until([NIGHT], eve, apia) == datetime(2011, 12, 31, 6, tzinfo=apia).timestamp()
    assert quiet_until(["thu 22:00-06:00"], eve, apia) == datetime(2011, 12, 31, tzinfo=apia).timestamp()
    assert quiet_until(["22:00-24:00"], eve, apia) == eve + 3600


@pytest.fixture
def machine_in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("machine_in_berlin")
def test_the_time_is_the_machines_own_where_none_is_named() -> None:
    for now in ("2026-03-28 23:00:00", "2026-05-18 23:00:00", "2026-05-18 12:00:00", "2026-10-25 02:10:00 again"):
        for spans in ([NIGHT], ["22:00-02:30"], ["02:30-06:00"]):
            assert quiet_until(spans, instant(now)) == quiet_until(spans, instant(now), BERLIN)


minutes = st.integers(0, 24 * 60)
spans_written = st.builds(
    lambda days, begin, end: (
        (",".join(sorted(days, key=DAYS.index)) + " " if days else "")
        + f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"
    ),
    st.sets(st.sampled_from(DAYS)),
    minutes.filter(lambda begin: begin < 24 * 60),
    minutes,
).filter(lambda text: text[-11:-6] != text[-5:])
zones = st.sampled_from(
    [BERLIN, UTC, ZoneInfo("America/St_Johns"), ZoneInfo("Australia/Lord_Howe"), timezone(timedelta(hours=-11))]
)
instants = st.integers(1_700_000_000, 1_900_000_000)


@given(spans_written, st.lists(spans_written, max_size=4), instants, zones)
def test_the_end_is_an_end(span: str, others: list[str], now: int, zone: ZoneInfo) -> None:
    spans = [read_span(text) for text in (span, *others)]
    until = quiet_until(spans, now, zone)
    if until:
        assert now < until <= now + WEEK
        assert quiet_until(spans, until - 1, zone) == until if until < now + WEEK else True
        assert quiet_until(spans, until, zone) == 0.0 or until == now + WEEK
    for one in spans:
        assert quiet_until([one], now, zone) <= until


@given(spans_written, instants)
def test_it_is_quiet_while_the_clock_shows_a_time_of_the_span(span: str, now: int) -> None:
    usual = read_span(span)
    days, _, times = usual.rpartition(" ")
    begin, end = ((int(text[:2]) * 60 + int(text[3:])) for text in times.split("-"))
    wall = datetime.fromtimestamp(now, UTC)
    minute, names = wall.hour * 60 + wall.minute, days.split(",") if days else DAYS
    today, yesterday = DAYS[wall.weekday()] in names, DAYS[wall.weekday() - 1] in names
    late, early = today and minute >= begin, minute < end
    quiet = late and early if begin < end else late or (yesterday and early)
    assert (quiet_until([usual], now, UTC) > 0) is quiet


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        usual = read_span(text)
    except ValueError:
        return
    assert read_span(usual) == usual
