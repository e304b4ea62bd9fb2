"""The files that Prometheus and Grafana are given, as tests read them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from tests import make_reference

DEPLOY = Path(__file__).parents[1] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
RULES = PROMETHEUS / "rules.yml"
DASHBOARD = DEPLOY / "grafana" / "printpost.json"
OF_EVERY_TARGET = {"job", "instance"}
_VARIABLES = {
    "$job": "printpost",
    "$instance": ".*",
    "$printer": ".*",
    "$__rate_interval": "20s",
    "$__range": "2m",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One target of a panel."""

    panel: str
    expr: str

    @property
    def filled_in(self) -> str:
        """As Grafana would ask it, with everything chosen and a window as short as a test."""
        expr = self.expr
        for name in sorted(_VARIABLES, key=len, reverse=True):
            expr = expr.replace(name, _VARIABLES[name])
        assert "$" not in expr, expr
        return expr


def dashboard() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return read


def panels() -> list[dict[str, Any]]:
    """All but the rows' headings."""
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> list[Query]:
    return [Query(panel=panel["title"], expr=target["expr"]) for panel in panels() for target in panel["targets"]]


@cache
def samples() -> dict[str, set[str]]:
    """Every series that our code exports, with its labels."""
    found: dict[str, set[str]] = {}
    for family in make_reference.families():
        labels = set(make_reference.label_names(family))
        if family.type == "histogram":
            found |= {f"{family.name}_{end}": labels for end in ("sum", "count")}
            found[f"{family.name}_bucket"] = labels | {"le"}
        else:
            found[f"{family.name}_total" if family.type == "counter" else family.name] = labels
    return found


def named(text: str) -> Iterator[tuple[str, set[str]]]:
    """The series of ours that a PromQL text names, each with the labels that it selects by."""
    for name, matchers in re.findall(r"\b(printpost_\w+)(?:\{([^}]*)\})?", text):
        yield name, set(re.findall(r"(\w+)\s*=?[=~!]", matchers))
