"""The commands as scripts and people use them: real processes on a running house."""

from __future__ import annotations

import asyncio
import json
import os
import poplib
import signal
import tomllib
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mailstore.directory.records import PrintLimits
from mailstore.job import JobState
from tests.documents import pdf, postscript
from tests.house import PATIENCE, SECRET, Finished, House, free_ports, house
from tests.sink import sink

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

JOB_FIELDS = (
    *("id", "printer", "state", "reasons", "sender", "name", "octets", "documents", "attempts", "delivery_proof"),
    *("received_at", "completed_at", "trust", "proof", "proved"),
)
"""What the design promises to scripts."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def up(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    async with house(tmp_path_factory.mktemp("up")) as made:
        await made.add("waits", "socket://127.0.0.1:9", allow=("ada@example.com",), deny=("eve@example.com",))
        yield made


async def shown(up: House, *words: str) -> Any:
    """What a command shows with --json."""
    done = await up.printpost(*words, "--json")
    assert (done.status, done.err) == (0, ""), done.err
    return json.loads(done.out)


def one_sentence(done: Finished, status: int, *words: str) -> None:
    """The command failed with `status`, and said why in one line that holds all of `words`."""
    assert done.status == status, (done.status, done.err)
    assert done.out == ""
    (line,) = done.err.splitlines()
    assert line.startswith("printpost: ")
    for word in words:
        assert word in line


async def test_jobs_for_scripts(up: House) -> None:
    async with sink() as printer:
        await up.add("lists", printer.uri)
        done = await up.mail("lists", postscript(), postscript(title="Other"))
        await up.jobs(done)
    waiting = await up.mail("waits", postscript())
    everything, only, one = await asyncio.gather(
        shown(up, "job", "list"),
        shown(up, "job", "list", "--printer", "lists", "--state", "completed", "--limit", "1"),
        shown(up, "job", "show", str(done)),
    )
    assert [job["id"] for job in everything][:2] == [waiting, done]  # the newest first
    for job in everything:
        assert job.keys() >= set(JOB_FIELDS)
    assert [job["id"] for job in only] == [done]
    assert {name: one[name] for name in only[0]} == only[0]
    assert (one["printer"], one["state"], one["reasons"]) == ("lists", "completed", ["job-completed-successfully"])
    assert (one["sender"], one["name"], one["documents"], one["attempts"]) == ("ada@example.com", "a job", 2, 1)
    assert one["delivery_proof"] == "closed"
    assert (one["trust"], one["proof"], one["proved"]) == ("insider", "network", "ada@example.com")
    received, ended = (datetime.fromisoformat(one[name]) for name in ("received_at", "completed_at"))
    assert received <= ended
    assert everything[0]["completed_at"] is None
    assert "accepted from <ada@example.com>" in one["trace"][0]["text"]


async def test_jobs_for_people(up: House) -> None:
    async with sink() as printer:
        await up.add("tells", printer.uri)
        number = await up.mail("tells", pdf())
        await up.jobs(number)
    listed, told, none = await asyncio.gather(
        up.printpost("job", "list", "--printer", "tells"),
        up.printpost("job", "show", str(number)),
        up.printpost("job", "list", "--printer", "nobody"),
    )
    assert [line.split()[:3] for line in listed.out.splitlines()] == [
        ["JOB", "PRINTER", "STATE"],
        [str(number), "tells", "completed"],
    ]
    assert "delivery proof  closed" in told.out
    assert "converted in" in told.out
    assert none.out == "There are no jobs.\n"


async def test_a_job_that_a_limit_holds_is_released(up: House) -> None:
    async with sink() as printer:
        await up.add("counts", printer.uri, limits=PrintLimits(job_pages=1))
        number = await up.mail("counts+copies=2+duplex", pdf())
        await up.job(number, JobState.PENDING_HELD)
        listed, told = await asyncio.gather(
            up.printpost("job", "list", "--printer", "counts"), up.printpost("job", "show", str(number))
        )
        limit = "with 2 pages it is longer than the printer's limit of 1 page"
        assert f"held, because it would pass a limit of pages: {limit}" in listed.out
        assert limit in told.out
        assert "the site's own networks gave it" in told.out
        assert (await up.printpost("job", "release", str(number))).status == 0
        assert (await up.job(number)).state is JobState.COMPLETED
        (octets,) = printer.jobs
    assert b"/NumCopies 2 " in octets
    assert b"/Duplex true " in octets


async def test_printers_come_change_and_go(up: House) -> None:
    add = ("printer", "add", "Phaser740", "--plain-from", "192.0.2.0/24", "--allow", "@example.com", "--password-stdin")
    added = await up.printpost(*add, stdin=f"{SECRET}\n")
    assert added.status == 0, added.err
    assert added.out == "phaser740@example.com prints on whatever polls its mailbox.\n"
    words = ("--location", "Room 7", "--poll-interval", "1", "--forget", "@example.com", "--allow", "ip:127.0.0.0/8")
    changed = await up.printpost("printer", "set", "phaser740", *words)
    assert (changed.status, changed.err) == (0, "")
    one, every = await asyncio.gather(shown(up, "printer", "show", "phaser740"), shown(up, "printer", "list"))
    assert one in every
    assert (one["location"], one["poll_interval"], one["allow"]) == ("Room 7", 1, ["ip:127.0.0.0/8"])
    assert (one["plain_from"], one["poll_clear"]) == (["192.0.2.0/24"], False)
    assert login(up, "phaser740", SECRET)
    new = await up.printpost("printer", "password", "phaser740", "--password-stdin", stdin="battery staple\n")
    assert new.status == 0, new.err
    assert login(up, "phaser740", "battery staple")
    number = await up.mail("phaser740", postscript())
    gone = await up.printpost("printer", "remove", "phaser740")
    assert gone.status == 0, gone.err
    assert (await up.job(number)).state is JobState.CANCELED
    one_sentence(await up.printpost("printer", "show", "phaser740"), os.EX_NOUSER, "printer list")


def login(up: House, name: str, password: str) -> bool:
    mailbox = poplib.POP3(*up.pop3, timeout=PATIENCE)
    mailbox.user(name)
    answer = mailbox.pass_(password)
    mailbox.quit()
    return answer.startswith(b"+OK")


async def test_why(up: House) -> None:
    ada, eve, outside = await asyncio.gather(
        up.printpost("printer", "why", "waits", "--from", "ada@example.com"),
        up.printpost("printer", "why", "waits", "--from", "eve@example.com"),
        up.printpost("printer", "why", "waits", "--from", "ada@example.com", "--ip", "192.0.2.99"),
    )
    assert ada.status == 0
    assert ada.out.startswith("ada@example.com, connected from the site's own networks, may print on waits: ")
    assert (eve.status, outside.status) == (os.EX_NOPERM, os.EX_TEMPFAIL)
    assert "may not print" in eve.out
    assert "eve@example.com" in eve.out
    assert "the DNS did not answer" in outside.out


ERRORS = [
    (("job", "show", "999999"), os.EX_NOINPUT, "no job 999999"),
    (("printer", "show", "nobody"), os.EX_NOUSER, "no printer 'nobody'"),
    (("printer", "set", "waits"), 2, "nothing to change"),
    (("printer", "set", "waits", "--forget", "@elsewhere.example"), os.EX_DATAERR, "no rule @elsewhere.example"),
    (("printer", "add", "waits", "--uri", "socket://127.0.0.1:9"), os.EX_DATAERR, "waits"),
    (("printer", "add", "other", "--allow", "every one"), os.EX_DATAERR, "every one"),
    (("printer", "add", "other", "--uri", "lpd://192.0.2.7"), os.EX_DATAERR, "lpd"),
    (("printer", "password", "waits", "--password-stdin"), os.EX_DATAERR, "standard input"),
    (("healthcheck", "--role", "cook"), 2, "cook"),
    (("--config", "nowhere.toml", "config", "check"), os.EX_CONFIG, "nowhere.toml"),
]


@pytest.mark.parametrize(
    ("words", "status", "told"), ERRORS, ids=[" ".join(words[:2]) + str(n) for n, (words, _, _) in enumerate(ERRORS)]
)
async def test_errors_are_one_sentence(up: House, words: tuple[str, ...], status: int, told: str) -> None:
    one_sentence(await up.printpost(*words), status, told)


async def test_wrong_usage(up: House) -> None:
    for done in await asyncio.gather(up.printpost("job", "show", "seventeen"), up.printpost("prnt")):
        assert done.status == 2
        assert done.out == ""
        assert "Traceback" not in done.err


# -- send


async def test_several_files_are_sent_a_large_one_among_them(up: House, tmp_path: Path) -> None:
    small, named, large = tmp_path / "one.ps", tmp_path / "Prüfung der Größe.ps", tmp_path / "large.ps"
    small.write_bytes(postscript())
    named.write_bytes(postscript(title="Umlauts"))
    large.write_bytes(postscript(title="Large") + os.urandom(30 << 20))
    files = (small, named, large)
    async with sink() as printer:
        await up.add("sends", printer.uri)
        to = ("--to", "sends@example.com", "--from", "ada@example.com")
        done = await up.printpost("send", *map(str, files), *to)
        assert done.status == 0, done.err
        number = int(done.out.rpartition("accepted as job ")[2])
        job = await up.job(number)
        assert (job.state, job.documents) == (JobState.COMPLETED, 3)
        assert job.name == "one.ps, Prüfung der Größe.ps, large.ps"
        assert printer.jobs == [file.read_bytes() for file in files]


async def test_send_tells_what_the_server_said(up: House, tmp_path: Path) -> None:
    page = tmp_path / "page.ps"
    page.write_bytes(postscript())
    nowhere = f"127.0.0.1:{free_ports(1)[0]}"
    unknown, refused, closed, missing = await asyncio.gather(
        up.printpost("send", str(page), "--to", "nobody@example.com"),
        up.printpost("send", str(page), "--to", "waits@example.com", "--from", "eve@example.com"),
        up.printpost("send", str(page), "--to", "waits@example.com", "--server", nowhere),
        up.printpost("send", str(tmp_path / "none.ps"), "--to", "waits@example.com"),
    )
    one_sentence(unknown, os.EX_DATAERR, "550 5.1.1")
    one_sentence(refused, os.EX_DATAERR, "550 5.7.1")
    one_sentence(closed, os.EX_TEMPFAIL, nowhere)
    assert missing.status == 2
    assert "none.ps" in missing.err


# -- configuration and processes


async def test_what_config_show_says_is_a_configuration(up: House, tmp_path: Path) -> None:
    told, values = await asyncio.gather(up.printpost("config", "show"), shown(up, "config", "show"))
    assert told.status == 0, told.err
    again = tmp_path / "again.toml"
    again.write_text(told.out, encoding="utf-8")
    assert tomllib.loads(told.out)["smtp"]["listen"] == values["smtp"]["listen"] == "{}:{}".format(*up.smtp)
    checked, same, other = await asyncio.gather(
        up.printpost("--config", str(again), "config", "check"),
        up.printpost("--config", str(again), "config", "show"),
        up.printpost("config", "show", "--json", PRINTPOST_SMTP__MAX_SIZE="5 MiB"),
    )
    assert (checked.status, checked.out) == (0, f"{again}: ok\n")
    assert same.out == told.out
    assert json.loads(other.out)["smtp"]["max_size"] == 5 << 20


async def test_healthcheck_fails_where_a_process_hangs(up: House) -> None:
    done = await up.printpost("healthcheck")
    assert (done.status, done.out, done.err) == (0, "", "")
    children = up.latest["up"].children()
    hung = [children["appliance"], children["bridge"]]
    for pid in hung:
        os.kill(pid, signal.SIGSTOP)
    try:
        serve, bridge = await asyncio.gather(
            up.printpost("healthcheck", "--role", "serve"), up.printpost("healthcheck", "--role", "bridge")
        )
    finally:
        for pid in hung:
            os.kill(pid, signal.SIGCONT)
    one_sentence(serve, os.EX_UNAVAILABLE, "serve does not answer on {}:{}".format(*up.metrics))
    one_sentence(bridge, os.EX_UNAVAILABLE, "bridge does not answer on {}:{}".format(*up.bridge_metrics))
    assert (await up.printpost("healthcheck")).status == 0


async def test_the_bridge_and_the_virtual_printer_as_commands(tmp_path: Path) -> None:
    """`printpost bridge` becomes the bridge, `printpost virtual-printer` a printer."""
    port = free_ports(1)[0]
    async with house(tmp_path, apart=True) as made:
        assert await made.latest["printerbridge"].end() == 0
        words = ("virtual-printer", "--listen", f"127.0.0.1:{port}", "--output", str(tmp_path / "paper"))
        await asyncio.gather(made.start("appliance", "bridge"), made.start("appliance", *words))
        await made.add("virtual", f"socket://127.0.0.1:{port}")
        job = await made.job(await made.mail("virtual", postscript()))
        assert job.state is JobState.COMPLETED
        assert (tmp_path / "paper" / "job-0001.prn").read_bytes() == postscript()
        for running in made.children[-2:]:
            assert await running.end() == 0


async def test_a_test_page_by_command(up: House) -> None:
    async with sink() as printer:
        await up.add("tested", printer.uri)
        told = await up.printpost("printer", "test", "tested")
        assert told.status == 0, told.err
        (page,) = await printer.count(1, PATIENCE)
    assert page.startswith(b"%!PS-Adobe-3.0")
    assert b"(tested)" in page
    one_sentence(await up.printpost("printer", "test", "nobody"), os.EX_NOUSER, "printer list")


async def test_a_printer_that_does_not_poll_needs_no_password(up: House) -> None:
    await up.add("fed", "socket://127.0.0.1:9")
    one_sentence(await up.printpost("printer", "password", "fed"), os.EX_DATAERR, "does not poll")
