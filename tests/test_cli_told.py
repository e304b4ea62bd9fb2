"""What `printpost printer show` and `job show` tell of printers that speak and of jobs on their way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from appliance import cli_job, cli_printer, shell
from mailstore.job import DeliveryProof, Event
from mailstore.store.contract import Envelope, Lease, Recipient, Store
from tests.directory_server import short_folder
from tests.test_web_told import HALF, REPORT

pytestmark = pytest.mark.slow  # a foreign program

Told = Callable[..., str]
Work = Callable[[Store], Coroutine[Any, Any, Any]]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[shell.Context]:
    file = tmp_path / "printpost.toml"
    file.write_text(f'[store]\nurl = "sqlite:{tmp_path / "data"}"\nreserve = 0\n[site]\ndomains = ["example.com"]\n')
    with short_folder() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        yield shell.Context(file)


@pytest.fixture
def told(context: shell.Context) -> Told:
    app = typer.Typer()
    app.add_typer(cli_job.app, name="job")
    app.add_typer(cli_printer.app, name="printer")

    def run(*words: str) -> str:
        with capture_logs():  # else they are printed
            result = CliRunner().invoke(app, words, obj=context)
        assert result.exit_code == 0, (words, result.output, result.exception)
        return result.stdout

    return run


def done(context: shell.Context, work: Work) -> Any:
    async def within() -> Any:
        async with shell.opened_store(context.settings()) as store:
            return await work(store)

    return asyncio.run(within())


async def sent(store: Store) -> tuple[int, Lease]:
    draft = await store.draft()
    draft.write(b"Subject: a job\r\n\r\nText\r\n")
    envelope = Envelope(
        reverse_path="ada@example.com", client_ip="127.0.0.1", helo="localhost", trust="insider", name="a job"
    )
    recipient = Recipient(maildrop="office", address="office@example.com", quota=1 << 20, fields=b"")
    (number,) = await store.accept(draft, envelope, [recipient])
    lease = await store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
    assert lease is not None
    assert await store.sending(lease, number, 0)
    await store.set_progress(number, HALF)
    return number, lease


def test_no_command_waits_for_the_page() -> None:
    """Each of them would take longer to begin, and the bridge more memory."""
    heavy = ("starlette", "jinja2", "uvicorn", "sqlalchemy", "zeroconf", "pyasn1")
    look = f"import sys, appliance.cli; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", look], text=True, timeout=60) == "[]\n"


def test_a_job_on_its_way_in_doubt_and_printed(told: Told, context: shell.Context) -> None:
    async def lost(store: Store) -> int:
        number, lease = await sent(store)
        assert await store.move(lease, number, Event.DOUBT, reasons=["job-suspended", "x-delivery-unknown"])
        await store.release(lease)
        return number

    async def printed(store: Store) -> int:
        number, lease = await sent(store)
        proof = DeliveryProof.ACKED
        assert await store.end(lease, number, Event.COMPLETE, reasons=["job-completed-successfully"], proof=proof)
        await store.release(lease)
        return number

    doubt = str(done(context, lost))
    for words in (
        "The printer confirmed 3 of 12 pages; 64 kB of 300 kB taken by the printer",
        f"job retry --resume {doubt} (go on from page 4)",
        f"job printed {doubt} (count it as printed)",
    ):
        assert words in told("job", "show", doubt)
    shown = json.loads(told("job", "show", doubt, "--json"))
    assert shown["progress"] | {"document": 1} == shown["progress"]
    assert (shown["progress"]["pages"], shown["progress"]["pages_total"]) == (3, 12)
    assert json.loads(told("job", "list", "--json"))[0]["progress"] == shown["progress"]
    listed = " ".join(told("job", "list").split())
    assert "nobody can know what was printed" in listed
    assert "pages" not in listed  # of one in doubt its detail says it, and that once
    completed = str(done(context, printed))
    text = told("job", "show", completed)
    assert "that proves" in text
    assert "The printer received every octet." in text
    assert "whether paper came out, it does not say." in text
    assert json.loads(told("job", "show", completed, "--json"))["progress"] is None
    sending, _ = done(context, sent)
    assert "64 kB of 300 kB taken by the printer, 3 of 12 pages printed" in told("job", "show", str(sending))


def test_a_printer_says_what_it_has_left_and_why_it_stands(told: Told, context: shell.Context) -> None:
    told("printer", "add", "office", "--uri", "socket://192.0.2.7:9100")
    text = told("printer", "show", "office")
    assert "It was not asked yet." in text
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert {"end wait 90 seconds", "stall limit 1 day", "status interval 1 minute", "expiry 7 days"} <= set(lines)

    async def says(store: Store) -> None:
        await store.set_report(replace(REPORT, console="PAPER\nOUT \x1b[2J"))
        await store.set_condition("office", "stopped", ["media-empty", "toner-low-warning"], "TRAY 2\x1b[2J")

    done(context, says)
    text = told("printer", "show", "office")
    for words in (
        *("the paper is used up; the toner is low (TRAY 2[2J)", "PAPER OUT [2J", "It answers SNMP"),
        *("Black Toner: 42 %", "Fuser: level unknown", "Tray 2 (iso_a4): empty", "123456", "serial number XYZ123"),
    ):
        assert words in text, words
    assert "\x1b" not in text
    assert "stopped" in told("printer", "list")
    assert "the paper is used up" in told("printer", "list").replace("\n", " ")
    one = json.loads(told("printer", "show", "office", "--json"))
    (listed,) = json.loads(told("printer", "list", "--json"))
    assert one["report"] == listed["report"]
    assert (one["report"]["pages"], one["report"]["up"]) == (123_456, True)
