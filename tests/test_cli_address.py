"""`printpost address ...`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from appliance import cli_address, cli_printer, shell
from mailstore.address import split_subaddress
from mailstore.failure import PermanentFailure
from mailstore.options import read
from tests.directory_server import short_folder

pytestmark = pytest.mark.slow  # foreign programs

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """A folder of the test's own; the embedded directory runs while a command does."""
    file = tmp_path / "printpost.toml"
    file.write_text(f'[store]\nurl = "sqlite:{tmp_path / "data"}"\nreserve = 0\n[site]\ndomains = ["example.com"]\n')
    app = typer.Typer()
    app.add_typer(cli_address.app, name="address")
    app.add_typer(cli_printer.app, name="printer")

    def run(*words: str) -> tuple[int, str, str]:
        with capture_logs():  # else they are printed
            result = CliRunner().invoke(app, words, obj=shell.Context(file))
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    with short_folder() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        status, _, said = run("printer", "add", "phaser360", "--uri", "socket://192.0.2.7:9100")
        assert status == 0, said
        yield run


def listed(command: Command, *words: str) -> list[dict[str, Any]]:
    status, out, _ = command("address", "list", *words, "--json")
    assert status == 0
    found: list[dict[str, Any]] = json.loads(out)
    return found


def test_one_is_made_listed_and_revoked(command: Command) -> None:
    status, out, said = command(
        *("address", "add", "Phaser360", "--note", "a visitor", "--expires", "2 days", "--jobs", "3", "--pages", "40")
    )
    assert status == 0
    base, details = split_subaddress(out.strip())  # all that is on standard output, for scripts
    assert base == "phaser360@example.com"
    token = read(details).token
    assert token
    assert "shown only now" in said
    assert "for 3 jobs, for 40 pages" in said
    assert "printpost address revoke 1" in said

    (told,) = listed(command)
    assert (told["note"], told["made_by"], told["good"]) == ("a visitor", "the command line", True)
    assert (told["max_jobs"], told["max_pages"], told["jobs"], told["pages"]) == (3, 40, 0, 0)
    table = command("address", "list", "phaser360")[1]
    assert "a visitor" in table
    assert "0 of 3" in table
    assert token not in table + json.dumps(told)

    assert command("address", "revoke", "1") == (0, "", "")
    assert listed(command, "phaser360")[0]["why_not"] == "it was revoked"
    status, out, _ = command("address", "revoke", "1")
    assert (status, "revoked before" in out) == (0, True)
    assert "no: it was revoked" in command("address", "list")[1]


def test_as_json(command: Command) -> None:
    status, out, said = command("address", "add", "phaser360", "--json")
    assert (status, said) == (0, "")
    made = json.loads(out)
    assert made["address"].startswith("phaser360+")
    assert made["expires_at"] is None
    assert {key: value for key, value in made.items() if key != "address"} == listed(command)[0]


def test_what_cannot_be(command: Command) -> None:
    assert "No address was given away yet" in command("address", "list")[1]
    for words in (("add", "cellar"), ("list", "cellar"), ("revoke", "7")):
        status, _, said = command("address", *words)
        assert status == os.EX_NOUSER
        assert words[1] in said
    for option, value in (("--expires", "soon"), ("--note", "x" * 128), ("--jobs", "1000001")):
        with pytest.raises(PermanentFailure):
            command("address", "add", "phaser360", option, value)
    assert command("address", "add", "phaser360", "--jobs", "-1")[0] == 2
    assert listed(command) == []
