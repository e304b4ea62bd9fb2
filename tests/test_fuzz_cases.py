"""Every fuzz target on the inputs that are kept, without the fuzzer: what was found once is not lost again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import fuzz

KNOWN: dict[str, str] = {}
"""Findings that are not mended yet: "TARGET/FILE" and why."""

CASES = [
    pytest.param(
        name,
        path,
        id=f"{name}/{path.name}",
        marks=[pytest.mark.xfail(reason=KNOWN[f"{name}/{path.name}"], strict=True)]
        if f"{name}/{path.name}" in KNOWN
        else [],
    )
    for name in fuzz.NAMES
    for path in fuzz.inputs(name)
]


@pytest.mark.parametrize(("name", "path"), CASES)
def test_the_promises_hold(name: str, path: Path) -> None:
    fuzz.target(name)(path.read_bytes())


@pytest.mark.parametrize("name", fuzz.NAMES)
def test_every_target_has_inputs_and_takes_anything(name: str) -> None:
    check = fuzz.target(name)
    assert fuzz.inputs(name), f"put a few inputs into tests/fuzz/corpus/{name}"
    for octets in (b"", b"\0", b"\r\n.\r\n" * 3, bytes(range(256)), *fuzz.words(name)):
        check(octets)


def test_kept_folders_belong_to_targets() -> None:
    kept = {folder.name for kind in ("corpus", "regressions") for folder in (fuzz.FOLDER / kind).iterdir()}
    assert kept <= set(fuzz.NAMES)


def test_known_findings_are_kept() -> None:
    assert set(KNOWN) <= {f"{name}/{path.name}" for name in fuzz.NAMES for path in fuzz.inputs(name)}
