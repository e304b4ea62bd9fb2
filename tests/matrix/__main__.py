"""`python -m tests.matrix [--page]`: play every cell and print the table; with `--page` write the page of the docs."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mailstore import logs
from tests.matrix.cells import MOMENTS, ROWS, WHAT, Expected, cells
from tests.matrix.expected import EXPECTED, OR
from tests.matrix.stage import LIMITED, Played, stage

PAGE: Final = "docs/reference/faults.md"
_INTRODUCTION: Final = """\
<!-- Written by `python -m tests.matrix --page` from tests/matrix: change it there. -->

# Every fault at every moment

What becomes of a job of four pages when its printer fails at this moment of the sending, for a printer of which nothing
is known but its port, and for one that speaks PJL (`--pjl`).  `make matrix` plays all of it with [the virtual
printer](virtual-printer.md) and compares: what the job is said to be, beside the paper that came out.  While a fault
stands and in the end it asks the page, the API and `printpost doctor`, too, whether they say the same.

A cell says how the job ends and [what proves it](../jobs.md), then what lies in the tray.  *In doubt* is
`processing-stopped` with `x-delivery-unknown`: nobody can know what the printer made of what it had, and its entry says
what follows (`--when-uncertain`).  *Stands* is what the job and its printer say until somebody mends it; then it goes
on.  *2 tries*: nothing had been taken, so it was sent again.  No job comes out whole twice, ever.

Where the proof is no more than `closed` or `acked`, the printer's card has taken everything and nobody says what became
of it: the rows in which nothing lies in the tray all the same are why PJL, `--ps-echo` and `--count-pages` are worth
having.
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.matrix", description="What becomes of a job at each fault.")
    parser.add_argument("--page", action="store_true", help=f"write {PAGE} from what is expected, and play nothing")
    if parser.parse_args().page:
        Path(PAGE).write_text(page(), encoding="utf-8")
        return
    logs.configure("matrix")
    with tempfile.TemporaryDirectory(prefix="pp-matrix-") as folder:
        played = asyncio.run(play_all(Path(folder)))
    wrong = 0
    for one in played:
        right = one.as_expected and not one.untold
        wrong += not right
        print(f"{'ok   ' if right else 'WRONG'} {one.cell.name:<32} {told(one.observed)}", *one.untold, sep="  ")
    print(f"{len(played)} cells, {wrong} not as expected")
    sys.exit(1 if wrong else 0)


async def play_all(folder: Path) -> list[Played]:
    """Every cell, in the order of the table."""
    played: list[Played] = []
    async with stage(folder / "usual") as usual:
        ahead = await usual.ahead()
        wanted = [*cells(pjl=False), *cells(pjl=True, ahead=ahead)]
        played += await usual.play([cell for cell in wanted if cell.row != "give-up"])
    async with stage(folder / "limited", LIMITED, silence=3.0) as limited:
        played += await limited.play([cell for cell in wanted if cell.row == "give-up"])
    order = {cell: number for number, cell in enumerate(wanted)}
    return sorted(played, key=lambda one: order[one.cell])


def page() -> str:
    """The page of the docs."""
    return "\n".join([_INTRODUCTION, *_table("Without PJL", pjl=False), "", *_table("With PJL", pjl=True), ""])


def _table(title: str, *, pjl: bool) -> Iterator[str]:
    expected = EXPECTED[pjl]
    yield f"## {title}\n"
    yield f"| the printer | {' | '.join(MOMENTS)} |"
    yield f"|---|{'---|' * len(MOMENTS)}"
    for row, fault in ROWS.items():
        ends = [[one for one in (expected.get((row, moment)), OR.get((row, moment, pjl))) if one] for moment in MOMENTS]
        yield f"| {WHAT[row]} (`{fault}`) | {' | '.join(', or '.join(map(told, known)) for known in ends)} |"


def told(one: Expected) -> str:
    """A cell in words."""
    stands = f"stands: {one.printer}; then " if one.stands else ""
    if one.state == "processing-stopped":
        end = "in doubt"
    elif one.state == "pending":
        return f"waits: {one.printer}"
    else:
        warned = " with warnings" if "warnings" in one.reasons else ""
        why = next((reason for reason in one.reasons.split() if reason.startswith("job-canceled-a")), "")
        end = f"{one.state}{warned}" + (f" ({why})" if why else "")
    proof = f", `{one.proof}`" if one.proof != "none" else ""
    tries = ", 2 tries" if one.attempts == 2 else ""
    paper = {"printed": "all 4 pages", "nothing": "no paper"}.get(one.paper, one.paper.removeprefix("part: "))
    return f"{stands}{end}{proof}{tries}: {paper}"


if __name__ == "__main__":
    main()
