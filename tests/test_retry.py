"""The arithmetic of trying again."""

from __future__ import annotations

import pytest

from printerbridge.retry import PREPARING_TRIES, SCHEDULES, Backoff, Trouble, gives_up


def test_a_busy_printer_is_tried_soon_and_then_every_half_minute() -> None:
    backoff = Backoff()
    waits = [backoff.failed(Trouble.REFUSED, 0.0) for _ in range(10)]
    assert waits[:5] == [0.1, 0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == 30.0


def test_success_ends_the_row() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.failed(Trouble.UNREACHABLE, 0.0)
    backoff.succeeded()
    assert backoff.failed(Trouble.UNREACHABLE, 0.0) == 5.0


@pytest.mark.parametrize("failures", [1, 2, 3, 10, 1000, 10**9])
@pytest.mark.parametrize("trouble", list(Trouble))
def test_delays_rise_and_are_bounded(trouble: Trouble, failures: int) -> None:
    schedule = SCHEDULES[trouble]
    assert schedule.first <= schedule.delay(failures) <= schedule.delay(failures + 1) <= schedule.longest


@pytest.mark.parametrize(
    ("status", "failures", "expected"),
    [("4.3.0", 1, False), ("4.3.0", PREPARING_TRIES, True), ("4.3.1", 1000, False)],
)
def test_preparing_is_given_up_but_a_full_disk_is_waited_for(status: str, failures: int, expected: bool) -> None:
    assert gives_up(status, failures) is expected


def test_a_printer_that_refuses_is_worth_telling_of_after_a_while() -> None:
    backoff = Backoff()
    assert not backoff.worth_telling(Trouble.REFUSED, 60.0, 100.0)
    assert backoff.worth_telling(Trouble.UNREACHABLE, 60.0, 100.0)
    assert not backoff.worth_telling(Trouble.NOT_PREPARED, 60.0, 100.0)
    backoff.failed(Trouble.REFUSED, 100.0)
    backoff.failed(Trouble.REFUSED, 130.0)
    assert not backoff.worth_telling(Trouble.REFUSED, 60.0, 159.0)
    assert backoff.worth_telling(Trouble.REFUSED, 60.0, 160.0)
    backoff.succeeded()
    assert not backoff.worth_telling(Trouble.REFUSED, 60.0, 200.0)


def test_another_trouble_begins_a_new_row() -> None:
    backoff = Backoff()
    for _ in range(8):
        backoff.failed(Trouble.REFUSED, 0.0)
    assert backoff.failed(Trouble.NOTHING_TAKEN, 0.0) == SCHEDULES[Trouble.NOTHING_TAKEN].first
    assert backoff.failed(Trouble.NOTHING_TAKEN, 0.0) == 4.0
    assert backoff.worth_telling(Trouble.REFUSED, 60.0, 60.0)  # nothing has gone well since
