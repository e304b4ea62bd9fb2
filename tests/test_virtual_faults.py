from __future__ import annotations

import pytest

from mailstore.failure import PermanentFailure
from printerbridge.virtual_faults import HAZARDS, KINDS, Fault, FaultScript, parse_fault


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
        ("mute", Fault(name="mute", moment="connect")),
        ("mute:100", Fault(name="mute", octets=100)),
        ("reset-after:connect", Fault(name="reset-after", moment="connect")),
        ("reset-after:eof*3", Fault(name="reset-after", moment="eof", count=3)),
        ("power-cycle:0:0.25*1", Fault(name="power-cycle", seconds=0.25, count=1)),
        ("power-cycle:5", Fault(name="power-cycle", octets=5, seconds=1.0)),
        ("engaged:connect:2", Fault(name="engaged", moment="connect", seconds=2.0)),
        ("idle-timeout:65536:0.5", Fault(name="idle-timeout", octets=65536, seconds=0.5)),
        ("vanish:connect", Fault(name="vanish", moment="connect")),
        ("half-close", Fault(name="half-close", moment="eof")),
        ("swallow", Fault(name="swallow", moment="eof")),
        ("chatter:7*1", Fault(name="chatter", octets=7, count=1)),
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
        ("never-close:3", "takes no argument"),
        ("slow:eof", "takes a number"),
        ("engaged:eof", "takes a number, connect"),
        ("engaged:5", "only strike at connect"),
        ("half-close:connect", "takes a number, eof"),
        ("half-close:1", "only strike at eof"),
        ("reset-after:soon", "connect or eof"),
        ("reset-after:1:1", "takes no seconds"),
        ("power-cycle:1:", "is not NAME"),
        ("vanish:connect*1", "nobody answers"),
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
    assert [script.take() for _ in range(3)] == [Fault(name="mute", moment="connect")] * 3


def test_loaded_paper_ends_what_has_no_count() -> None:
    script = FaultScript([parse_fault("media-empty"), parse_fault("mute*1")])
    script.mend()
    assert script.peek() == parse_fault("mute*1")
    counted = FaultScript([parse_fault("media-empty*2")])
    counted.mend()
    assert counted.peek() == parse_fault("media-empty*2")


def test_every_fault_plays_a_hazard() -> None:
    played = {fault for _, faults in HAZARDS for fault in faults}
    assert played == set(KINDS)
    assert all(kind.plays for kind in KINDS.values())
