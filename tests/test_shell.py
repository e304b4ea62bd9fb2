"""What commands show: strangers' text comes to a terminal as text, whatever it was meant to do there."""

from __future__ import annotations

import pytest

from appliance import shell

CLEVER = "\x1b]0;owned\x07\x1b[2J\x9b31m[red]paper[/red]\r\nsupplies\u202e"
SHOWN = "]0;owned[2J31m[red]paper[/red] supplies"


def test_fields_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    shell.show_fields([("why", CLEVER), ("rules", ["a", CLEVER]), ("none", ""), ("zero", 0)])
    assert capsys.readouterr().out == f"why    {SHOWN}\nrules  a, {SHOWN}\nzero   0\n"


def test_tables_show_what_stands_there(capsys: pytest.CaptureFixture[str]) -> None:
    shell.show_table(("JOB", "WHY"), [(1, CLEVER)], "There are no jobs.")
    lines = capsys.readouterr().out.splitlines()
    assert [line.rstrip() for line in lines] == ["JOB  WHY", f"1    {SHOWN}"]
