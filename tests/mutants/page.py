"""docs/defences.md, written from the lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.mutants import Defence
from tests.mutants.lists import SECTIONS

FILE: Final = Path(__file__).parent.parent.parent / "docs" / "defences.md"


def page(_: Sequence[Defence] = ()) -> str:
    lines = [
        "<!-- Written by `python -m tests.mutants --page` from tests/mutants: change it there. -->\n",
        "# Defences\n",
        "What strangers, senders, printers and their documents cannot do here, and the test that watches over it.",
        "`make mutants` switches each defence off in a copy of the program and runs its test, which must fail then.\n",
    ]
    for heading, defences in SECTIONS.items():
        lines += [f"## {heading}\n", "| defence | what it is for | where | watched over by |", "|---|---|---|---|"]
        lines += [f"| {one.name} | {one.why} | `{one.file}` | `{one.test.partition('[')[0]}` |" for one in defences]
        lines.append("")
    return "\n".join(lines)
