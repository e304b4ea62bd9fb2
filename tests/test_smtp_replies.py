"""Every reply that the receiver can say stands, word by word, in a dialogue or a test: a new one has a test as well."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SOURCES = sorted((TESTS.parent / "appliance" / "smtp").glob("*.py"))


@cache
def said_in_tests() -> str:
    dialogues = [*(TESTS / "dialogues" / "smtp").rglob("*.txt")]
    modules = [path for path in TESTS.glob("test_*.py") if path.name != Path(__file__).name]
    return "\n".join(path.read_text(encoding="utf-8") for path in [*dialogues, *modules])


def pattern(node: ast.expr) -> str | None:
    """What the string looks like in a test; None for one that is not written here."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(pattern(part) or ".*" for part in node.values)
    return None


def sentences(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and pattern of each: with code and status where they are written beside it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Reply":
            given = {word.arg: pattern(word.value) for word in node.keywords}
            if text := given.get("text"):
                code = next(ast.unparse(word.value) for word in node.keywords if word.arg == "code")
                status = given.get("status")
                known = code.isdigit() and status is not None
                yield node.lineno, f"{code} {status} {text}".replace("  ", " ") if known else text
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("PermanentFailure", "TransientFailure"):
            if text := pattern(node.args[1]):
                yield node.lineno, text
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "text" and (text := pattern(node.value)):
            yield node.lineno, text


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_reply_is_said_in_a_test(path: Path) -> None:
    found = list(sentences(ast.parse(path.read_text(encoding="utf-8"))))
    missing = [f"{path.name}:{line}: {text}" for line, text in found if not re.search(text, said_in_tests())]
    assert not missing, "\n".join(missing)


def test_replies_are_found() -> None:
    verbs = next(path for path in SOURCES if path.name == "verbs.py")
    assert len(list(sentences(ast.parse(verbs.read_text(encoding="utf-8"))))) > 30
