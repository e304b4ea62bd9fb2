"""What is not documented does not exist, and what is documented must."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from appliance import cli
from tests import make_reference

ROOT = Path(__file__).parent.parent
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", make_reference.PAGES)
def test_the_reference_is_what_the_code_says(name: str) -> None:
    written = (make_reference.FOLDER / name).read_text(encoding="utf-8")
    assert written == make_reference.PAGES[name](), "run: python -m tests.make_reference"


def known_commands() -> dict[str, set[str]]:
    """Every command as its words, with its options."""
    found: dict[str, set[str]] = {}

    def visit(command: object, words: tuple[str, ...]) -> None:
        children = getattr(command, "commands", None)
        if children:
            for name, child in children.items():
                visit(child, (*words, name))
        else:
            options = [name for parameter in command.params for name in parameter.opts]  # type: ignore[attr-defined]
            found[" ".join(words)] = {"--help", *options}

    visit(typer.main.get_command(cli.app), ())
    return found


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_in_the_texts_exist(text: Path) -> None:
    known = known_commands()
    for line in re.findall(
        r"(?:^|`|\$ |\| )(?:\.venv/bin/)?printpost ((?!\[)[^`|\n]+)", text.read_text(encoding="utf-8"), re.MULTILINE
    ):
        words = re.sub(r"^(--config \S+ )", "", line).split()
        command = next((name for count in (2, 1) if (name := " ".join(words[:count])) in known), None)
        if command is None and any(name.startswith(words[0]) for name in known):
            continue  # a group, such as `printpost printer`
        assert command is not None, f"there is no command printpost {line}"
        wrong = {word.partition("=")[0] for word in words if word.startswith("--")} - known[command]
        assert wrong == set(), f"printpost {line}"


@pytest.mark.parametrize("text", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(text: Path) -> None:
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)|src=\"([^\":]+)\"", text.read_text(encoding="utf-8"))
    for target in (one or other for one, other in targets):
        assert (text.parent / target).exists(), target
