"""Alerts and dashboard, checked by promtool and against the code.  In tests/test_prometheus.py they run."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from appliance import cli
from tests.dashboard import (
    DASHBOARD,
    DEPLOY,
    OF_EVERY_TARGET,
    PROMETHEUS,
    RULES,
    Query,
    dashboard,
    named,
    panels,
    queries,
    samples,
)

GUIDE = DEPLOY.parent / "docs" / "monitoring.md"
ALERTS = {
    text.partition("\n")[0]: text for text in re.split(r"(?m)^ +- alert: ", RULES.read_text(encoding="utf-8"))[1:]
}
MADE_BY_RULES = set(re.findall(r'"(\w+)", "[^"]*", "", ""', RULES.read_text(encoding="utf-8")))
"""Labels that label_replace() writes."""


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize(
    "command",
    [("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml"), ("test", "rules", "rules_test.yml")],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: tuple[str, ...]) -> None:
    promtool(PROMETHEUS, *command)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_the_tests_of_the_rules_miss_each_alert_that_never_fires(tmp_path: Path) -> None:
    """What would they be worth otherwise?"""

    def never(rule: re.Match[str]) -> str:
        return f"{rule[1]}        expr: >-\n          ({' '.join(rule[2].split())}) > +Inf"

    alert = r"(?s)(- alert: \w+\n) +expr: (?:>-\n)?(.*?)(?=\n +(?:for|labels):)"
    rules, count = re.subn(alert, never, RULES.read_text(encoding="utf-8"))
    assert count == len(ALERTS)
    (tmp_path / "rules.yml").write_text(rules)
    shutil.copy(PROMETHEUS / "rules_test.yml", tmp_path)
    promtool(tmp_path, "check", "rules", "rules.yml")
    said = promtool(tmp_path, "test", "rules", "rules_test.yml", status=1)
    assert {name for name in ALERTS if name in said} == set(ALERTS)


def promtool(folder: Path, *command: str, status: int = 0) -> str:
    done = subprocess.run(["promtool", *command], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_says_what_to_do_and_stands_in_the_guide(alert: str) -> None:
    text = ALERTS[alert]
    assert re.search(r"severity: (critical|warning)\}", text)
    assert "summary: " in text
    assert "description: " in text
    assert f"`{alert}`" in GUIDE.read_text(encoding="utf-8")


def known_commands() -> dict[str, set[str]]:
    """Every command as its words, with its options."""
    found: dict[str, set[str]] = {}

    def visit(command: object, words: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                visit(child, (*words, name))
        else:
            found[" ".join(words)] = {name for parameter in command.params for name in parameter.opts}  # type: ignore[attr-defined]

    visit(typer.main.get_command(cli.app), ())
    return found


def test_commands_in_the_alerts_exist() -> None:
    text = re.sub(r"\{\{.*?\}\}", "NAME", re.sub(r"\s+", " ", RULES.read_text(encoding="utf-8")))
    found = re.findall(r"`printpost ([^`]+)`", text)
    known = known_commands()
    assert len(found) > 3
    for line in found:
        words = line.split()
        command = next((name for count in (2, 1) if (name := " ".join(words[:count])) in known), None)
        assert command, line
        assert {word for word in words if word.startswith("--")} <= known[command], line


@pytest.mark.parametrize("path", [RULES, PROMETHEUS / "rules_test.yml"], ids=lambda path: path.name)
def test_rules_speak_of_series_that_exist(path: Path) -> None:
    assert_known(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("query", queries(), ids=lambda query: f"{query.panel}: {query.expr}")
def test_panels_speak_of_series_that_exist(query: Query) -> None:
    assert_known(query.expr)


def assert_known(text: str) -> None:
    known = samples()
    used = list(named(text))
    assert used or "process_" in text
    for name, labels in used:
        assert name in known, f"no code exports {name}"
        assert labels <= known[name] | OF_EVERY_TARGET, f"{name} has no label {labels - known[name]}"
    every = set().union(*(known[name] for name, _ in used), OF_EVERY_TARGET, MADE_BY_RULES)
    for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", text):
        assert set(group.split(", ")) <= every, f"none of the series has a label of ({group})"


def test_the_dashboard_is_whole() -> None:
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))
    titles = [panel["title"] for panel in dashboard()["panels"]]
    assert len(titles) == len(set(titles))
    assert {one["name"] for one in dashboard()["templating"]["list"]} == {"datasource", "job", "instance", "printer"}
    for variable in dashboard()["templating"]["list"][1:]:
        assert_known(variable["definition"])
        assert variable["includeAll"]
        assert variable["allValue"] == ".+"
    assert "uid" in dashboard()
    assert "id" not in dashboard()  # Grafana gives it


def test_panels_do_not_lie_on_one_another() -> None:
    places = [panel["gridPos"] for panel in dashboard()["panels"]]
    for one, other in itertools.combinations(places, 2):
        apart = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart or above, (one, other)
    assert all(place["x"] + place["w"] <= 24 for place in places)


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_explains_itself_and_asks_well(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert [target["refId"] for target in panel["targets"]] == list("ABCDEFGHIJKL"[: len(panel["targets"])])
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert 'job=~"$job", instance=~"$instance"' in target["expr"]
        windows = re.findall(r"\[([^\]]+)\]", target["expr"])
        assert set(windows) <= {"$__rate_interval", "$__range"}
        counters = re.findall(r"(rate\(|increase\()?\w+_(?:total|bucket)\b", target["expr"])
        assert all(counters), "a counter is only worth something under rate() or increase()"
        assert target["legendFormat"] or panel["type"] == "table"


def test_the_dashboard_is_written_as_grafana_and_git_like_it() -> None:
    text = DASHBOARD.read_text(encoding="utf-8")
    assert text.endswith("}\n")
    assert not re.search(r"[^\x00-\x7f]", text)
