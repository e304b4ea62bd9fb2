"""The commands of docs/api.md, run by a shell against a real house: they do what is written there."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.openapi import PREFIX
from tests.web_house import GRACE_NAME, GRACE_PASSWORD, PRINTER, WebHouse, web_house

TEXT = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
WRITTEN = "http://127.0.0.1:8025"
VARIES = {"revision", "password", "address"}
"""Fields whose values are made up; where one is written later, the real one is meant."""


def commands() -> list[tuple[str, str]]:
    """Each command of the page, with the answer that is written under it."""
    found: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command = re.match(r"(?:.*\\\n)*.*\n", part)
            assert command
            found.append((command[0].strip(), part[command.end() :].strip()))
    return found


def compare(written: Any, real: Any, learned: dict[str, str], where: str = "$") -> None:
    """All that is written is real; objects may have more fields."""
    if isinstance(written, dict):
        assert written.keys() <= real.keys(), where
        for name, value in written.items():
            if name in VARIES:
                assert isinstance(real[name], str)
                learned[value] = real[name]
            else:
                compare(value, real[name], learned, f"{where}.{name}")
    elif isinstance(written, list):
        assert len(written) == len(real), where
        for one, other in zip(written, real, strict=True):
            compare(one, other, learned, f"{where}[]")
    else:
        assert written == real, where


async def run(command: str, house: WebHouse, home: Path) -> str:
    """What the command says."""
    script = f"set -e; API={house.origin}{PREFIX}; {command}"
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", script),
        cwd=home,
        env={"HOME": str(home), "PATH": os.environ["PATH"]},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 0, (command, err.decode())
    return out.decode()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
async def test_the_commands_of_the_page_do_what_is_written(tmp_path: Path) -> None:
    (tmp_path / ".netrc").write_text(f'machine 127.0.0.1 login {GRACE_NAME} password "{GRACE_PASSWORD}"\n')
    (tmp_path / ".netrc").chmod(0o600)
    found = commands()
    assert ("cat ~/.netrc", (tmp_path / ".netrc").read_text().strip()) in found
    assert (f"API={WRITTEN}{PREFIX}", "") in found
    learned: dict[str, str] = {}
    curls = [(command, answer) for command, answer in found if command.startswith("curl ")]
    assert len(curls) > 15
    async with web_house(tmp_path / "data", PRINTER) as house:
        for command, answer in curls:
            for written, real in learned.items():
                command = command.replace(written, real)
            said = await run(command, house, tmp_path)
            if answer:
                compare(json.loads(answer), json.loads(said), learned, command)
            else:
                assert said == "", command
        document = json.loads((tmp_path / "printpost.json").read_text())
    routes = {
        f"{method.upper()} {path.removeprefix(PREFIX)}" for path, of in document["paths"].items() for method in of
    }
    told = set(re.findall(r"`((?:GET|POST|PATCH|PUT|DELETE) /[^` ]*)`", TEXT))
    assert told == routes
