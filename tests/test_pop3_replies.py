"""Every reply that POP3 can give stands in a golden dialogue or in a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SOURCES = sorted((HERE.parent / "appliance" / "pop3").glob("*.py"))
SAID = "\n".join(
    path.read_text(encoding="utf-8")
    for path in (*HERE.glob("dialogues/pop3/*.txt"), *HERE.glob("test_pop3*.py"))
    if path != Path(__file__)
).replace("\\", "")
SAYING = {"ok", "err", "listing", "BadCommand", "NoSuchMessage", "PermanentFailure"}


def literals(node: ast.expr) -> Iterator[str]:
    """The texts that an expression can be: of each string the longest part that is always the same."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield max((part for value in node.values for part in literals(value)), key=len, default="")
    elif isinstance(node, ast.IfExp):
        yield from literals(node.body)
        yield from literals(node.orelse)


def replies() -> Iterator[tuple[str, str]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in SAYING:
                    for text in literals(node.args[1 if name == "PermanentFailure" else 0]):
                        yield path.name, text.strip()
            elif isinstance(node, ast.Dict | ast.Assign) and path.name == "commands.py":
                yield from ((path.name, text) for text in absent(node))


def absent(node: ast.AST) -> Iterator[str]:
    """What the commands are answered that there are not."""
    if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_ABSENT":
        assert isinstance(node.value, ast.Dict)
        for value in node.value.values:
            yield from literals(value)


FOUND = sorted({reply for reply in replies() if len(reply[1]) > 3})


def test_replies_are_found() -> None:
    assert len(FOUND) > 35
    assert ("authorization.py", "send PASS") in FOUND


@pytest.mark.parametrize(("file", "text"), FOUND)
def test_each_reply_is_said_in_a_test(file: str, text: str) -> None:
    assert text in SAID, f"{file} says it, and no dialogue in tests/dialogues/pop3 and no tests/test_pop3*.py does"
