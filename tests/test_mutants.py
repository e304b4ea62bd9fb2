"""The list of defences is true to the code: `make mutants` itself takes minutes and is run by hand."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from tests.mutants import Defence, page
from tests.mutants.lists import DEFENCES

ROOT = Path(__file__).parent.parent
each_defence = pytest.mark.parametrize("defence", DEFENCES, ids=lambda defence: defence.name)


@each_defence
def test_what_is_switched_off_stands_once_in_the_code(defence: Defence) -> None:
    text = (ROOT / defence.file).read_text(encoding="utf-8")
    assert text.count(defence.text) == 1, "the code has changed: change tests/mutants with it"
    ast.parse(text.replace(defence.text, defence.instead))


@each_defence
def test_its_test_exists(defence: Defence) -> None:
    file, _, name = defence.test.partition("::")
    assert name.partition("[")[0] in functions(ROOT / file)


@cache
def functions(file: Path) -> frozenset[str]:
    """Those of a file of tests and of the suites that it collects."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and [alias.name for alias in node.names] == ["*"]:
            found |= functions(ROOT / f"{node.module.replace('.', '/')}.py")
    return frozenset(found)


def test_names_are_different_and_there_are_enough() -> None:
    names = {defence.name for defence in DEFENCES}
    assert len(names) == len(DEFENCES) >= 40


def test_the_page_says_what_the_list_says() -> None:
    assert page.FILE.read_text(encoding="utf-8") == page.page(), "run: python -m tests.mutants --page"
