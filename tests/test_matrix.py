"""What becomes of a job at every fault and moment, played all at once; the page of the docs says the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix.__main__ import PAGE, page, play_all
from tests.matrix.expected import EXPECTED

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
async def test_every_cell_ends_as_it_should_and_is_told_truly(tmp_path: Path) -> None:
    played = await play_all(tmp_path)
    assert len(played) == sum(map(len, EXPECTED.values()))
    wrong = {one.cell.name: (one.observed, one.expected) for one in played if not one.as_expected}
    assert not wrong
    assert {one.cell.name: one.untold for one in played if one.untold} == {}
    # Whatever the fault was, no job came out whole twice.
    assert [one.cell.name for one in played if one.whole > 1] == []


def test_the_page_says_the_same() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "python -m tests.matrix --page writes it"
