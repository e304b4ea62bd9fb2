"""`python -m printerbridge look NAME`: what a printer says now, as JSON, for doctor and for people."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest

from mailstore.directory.ldap import embedded
from mailstore.directory.openldap import Identity
from mailstore.directory.records import Printer
from mailstore.directory.slapd import EmbeddedDirectory
from mailstore.store.runtime import runtime_folder
from tests.directory_server import short_folder
from tests.snmp_agent import agent, printer

pytestmark = pytest.mark.slow


async def test_one_printer_is_asked_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, data = tmp_path / "printpost.toml", tmp_path / "data"
    config.write_text(f'[store]\nurl = "sqlite:{data}"\n')

    async def look(name: str) -> tuple[int, Any, str]:
        argv = [sys.executable, "-m", "printerbridge", "--config", str(config), "look", name]
        process = await asyncio.create_subprocess_exec(*argv, env=os.environ, stdout=PIPE, stderr=PIPE)
        async with asyncio.timeout(30):
            told, complaint = await process.communicate()
        return process.returncode or 0, json.loads(told) if told else None, complaint.decode()

    with short_folder() as base:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
        runtime = runtime_folder(data)
        async with EmbeddedDirectory(data / "directory", runtime) as server, agent(printer(pages=7)) as other:
            directory = embedded(server.folder, runtime, Identity.APPLIANCE)
            at = {"uri": "socket://127.0.0.1:9100", "snmp_community": "our-secret"}
            other.community = b"our-secret"
            for name, port in {"phaser": other.port, "silent": 9}.items():
                entry = Printer(name=name, addresses=(f"{name}@example.com",), snmp_port=port, **at)  # type: ignore[arg-type]
                await directory.add(entry, None)
            (status, told, said), (_, silent, _), (missing, nothing, complaint) = await asyncio.gather(
                *map(look, ("Phaser", "silent", "nobody"))
            )
            await directory.close()
    assert status == 0
    assert {key: told[key] for key in ("printer", "answers", "state", "reasons", "pages", "console", "model")} == {
        "printer": "phaser",
        "answers": True,
        "state": "idle",
        "reasons": [],
        "pages": 7,
        "console": "Ready",
        "model": "Example Laser 7",
    }
    assert told["supplies"][0] == {"name": "Toner cartridge", "kind": "toner", "color": "black", "level": 0.4}
    assert "our-secret" not in json.dumps(told) + said
    assert (silent["answers"], silent["printer"]) == (False, "silent")
    assert silent["why"]
    assert (missing, nothing, complaint) == (os.EX_UNAVAILABLE, None, "printerbridge: there is no printer nobody\n")
