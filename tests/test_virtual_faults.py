from __future__ import annotations

import pytest

from mailstore.failure import PermanentFailure
from printerbridge.virtual_faults import KINDS, Fault, FaultScript, parse_fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("refuse", Fault(name="refuse")),
        ("accept-then-stall", Fault(name="accept-then-stall", octets=65536)),
        ("accept-then-stall:0*1", Fault(name="accept-then-stall", octets=0, count=1)),
        ("slow:5000", Fault(name="slow", octets=5000)),
        ("reset-after:1000*2", Fault(name="reset-after", octets=1000, count=2)),
        ("close-early:7", Fault(name="close-early", octets=7)),
        ("media-empty*1", Fault(name="media-empty", octets=4096, count=1)),
        ("mute", Fault(name="mute")),
        ("never-close", Fault(name="never-close")),
    ],
)
def test_faults_are_read_and_written(text: str, fault: Fault) -> None:
    assert parse_fault(text) == fault
    assert parse_fault(str(fault)) == fault


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is not NAME"),
        ("explode", "is not NAME"),
        ("reset-after:-1", "is not NAME"),
        ("reset-after:1000*", "is not NAME"),
        ("reset-after", "needs a number"),
        ("slow:0", "at least 1"),
        ("mute:3", "takes no argument"),
        ("mute*0", "at least 1"),
        ("refuse*1", "cannot be counted"),
    ],
)
def test_a_wrong_fault_is_told_with_the_right_ones(text: str, why: str) -> None:
    with pytest.raises(PermanentFailure, match="reset-after:N") as raised:
        parse_fault(text)
    assert why in raised.value.text
    assert all(name in raised.value.text for name in KINDS)


def test_faults_are_a_script() -> None:
    script = FaultScript([parse_fault("reset-after:1*2"), parse_fault("mute*1")])
    assert script.peek() == script.take()
    assert [str(fault) if fault else "" for fault in (script.take(), script.take(), script.take())] == [
        "reset-after:1*2",
        "mute*1",
        "",
    ]


def test_a_fault_without_a_count_stays() -> None:
    script = FaultScript([parse_fault("mute")])
    assert [script.take() for _ in range(3)] == [Fault(name="mute")] * 3


def test_loaded_paper_ends_what_has_no_count() -> None:
    script = FaultScript([parse_fault("media-empty"), parse_fault("mute*1")])
    script.load_paper()
    assert script.peek() == parse_fault("mute*1")
    counted = FaultScript([parse_fault("media-empty*2")])
    counted.load_paper()
    assert counted.peek() == parse_fault("media-empty*2")
