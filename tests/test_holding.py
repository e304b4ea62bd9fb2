"""What senders and those who run a printer are told of its holding jobs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance import cli_settings
from appliance.holding import codes, in_words, would_wait
from mailstore.directory.records import Hold, Printer

PLAIN = Printer(name="plain", addresses=("plain@example.com",), uri="socket://192.0.2.7:9100")
ALL = replace(PLAIN, name="office", hold=Hold.ALL)
CODE = replace(PLAIN, name="coded", hold=Hold.CODE)


@pytest.mark.parametrize(
    ("members", "answered", "says"),
    [
        ([], True, ""),
        ([PLAIN], False, ""),
        ([ALL], True, "it waits at office then, until somebody who runs it releases it"),
        ([PLAIN, CODE], True, "it waits at coded then, until it is released, and its sender is told the code"),
        ([CODE], False, "its sender is told no code, for neither a login nor his domain proves him"),
        ([ALL, CODE], False, "it waits at office and coded then, until"),
    ],
)
def test_whether_a_job_would_wait(members: list[Printer], answered: bool, says: str) -> None:
    told = would_wait(members, answered=answered)
    assert says in told
    assert bool(says) is bool(told)


def test_who_runs_it_hears_to_whom_codes_are_told() -> None:
    assert codes(PLAIN) == codes(ALL) == ""
    assert "networks prove nobody" in codes(CODE)
    assert [line for line in cli_settings.warnings(CODE) if "networks prove nobody" in line]
    assert cli_settings.warnings(ALL) == []
    assert "hold" in cli_settings.OPENING


def test_who_sends_sees_that_it_holds() -> None:
    assert in_words(PLAIN) == ""
    assert in_words(ALL) == "every job, until somebody who runs it releases it"
    assert "its code is typed in at the release page" in in_words(CODE)
