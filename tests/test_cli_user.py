"""`printpost user ...`, and what it does to sessions and maildrops; and printers' settings by command."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import typer
from structlog.testing import capture_logs
from typer.testing import CliRunner

from appliance import cli_printer, cli_user, shell
from mailstore.directory.contract import People
from mailstore.directory.records import Person
from mailstore.failure import Failure, PermanentFailure
from mailstore.store.contract import Envelope, Recipient, Store
from mailstore.store.outbox import WebSession
from tests.directory_server import (
    FOREIGN_BASE,
    FOREIGN_DN,
    FOREIGN_PASSWORD,
    foreign_directory,
    short_folder,
)

pytestmark = pytest.mark.slow  # foreign programs

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    out: str
    err: str
    failure: Failure | None


Command = Callable[..., Done]


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[shell.Context]:
    """A configuration of the test's own; the embedded directory runs while a command does."""
    file = tmp_path / "printpost.toml"
    file.write_text(f'[store]\nurl = "sqlite:{tmp_path / "data"}"\nreserve = 0\n[site]\ndomains = ["example.com"]\n')
    with short_folder() as runtime:
        monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
        yield shell.Context(file)


@pytest.fixture
def command(context: shell.Context) -> Command:
    app = typer.Typer()
    app.add_typer(cli_user.app, name="user")
    app.add_typer(cli_printer.app, name="printer")

    def run(*words: str, stdin: str = "") -> Done:
        with capture_logs():  # else they are printed
            result = CliRunner().invoke(app, words, input=stdin, obj=context)
        if result.exception and not isinstance(result.exception, SystemExit | Failure):
            raise result.exception
        failure = result.exception if isinstance(result.exception, Failure) else None
        return Done(result.exit_code, result.stdout, result.stderr, failure)

    return run


def looked(context: shell.Context, work: Callable[[Store, People], Any]) -> Any:
    """What `work` finds with the store and the people that the commands left."""

    async def look() -> Any:
        async with shell.opened_people(context.settings()) as (store, people):
            return await work(store, people)

    return asyncio.run(look())


def shown(command: Command, *words: str) -> Any:
    done = command(*words, "--json")
    assert done.status == 0, done
    return json.loads(done.out)


def test_users_come_change_and_go(command: Command, context: shell.Context) -> None:
    done = command("user", "list")
    assert "printpost user add" in done.out
    added = command(
        *("user", "add", "Ada", "--mail", "ada@example.com", "--mail", "Countess@example.com"),
        *("--name", "Ada King", "--administrator", "--password-stdin"),
        stdin="sesame\n",
    )
    assert (added.status, added.out) == (0, ""), added
    made = command("user", "add", "grace")
    assert made.status == 0, made
    password = made.out.split()[5]
    assert made.out == f"The password of grace is {password} (shown only now).\n"
    ada = {
        "name": "ada",
        "addresses": ["ada@example.com", "countess@example.com"],
        "full_name": "Ada King",
        "administrator": True,
        "local": True,
        "quota": 64 << 20,
        "groups": [],
    }
    told = shown(command, "user", "show", "ADA")
    assert told == ada | {"revision": told["revision"]}
    assert [user["name"] for user in shown(command, "user", "list")] == ["ada", "grace"]
    assert command("user", "list").out.splitlines()[1].split() == ["ada", "ada@example.com", "Ada", "King", "yes"]
    changed = command("user", "set", "grace", "--mail", "hopper@example.com", "--name", "Grace H", "--administrator")
    assert changed.status == 0, changed
    grace = Person(name="grace", addresses=("hopper@example.com",), full_name="Grace H", administrator=True)
    assert looked(context, lambda _, people: people.verify("hopper@example.com", password)) == grace
    assert command("user", "set", "ada", "--no-administrator", "--name", "").status == 0
    again = shown(command, "user", "show", "ada")
    assert again == ada | {"full_name": "", "administrator": False, "revision": again["revision"]}
    assert again["revision"] != told["revision"]
    assert command("user", "remove", "ada").status == 0
    assert [user["name"] for user in shown(command, "user", "list")] == ["grace"]


def test_a_new_password_ends_the_sessions(command: Command, context: shell.Context) -> None:
    async def log_in(store: Store, _: People) -> int:
        for name in ("ada", "grace"):
            session = WebSession(key=f"key of {name}", person=name, created_at=time.time(), expires_at=time.time() + 60)
            await store.begin_session(session)
        return await store.generation()

    async def state(store: Store, people: People) -> tuple[object, ...]:
        there = [await store.session(f"key of {name}") is not None for name in ("ada", "grace")]
        return (*there, await people.verify("ada", "sesame") is not None, await store.generation())

    for name in ("ada", "grace"):
        assert command("user", "add", name, "--password-stdin", stdin="sesame\n").status == 0
    before = looked(context, log_in)
    assert looked(context, state) == (True, True, True, before)
    done = command("user", "password", "ada")
    assert done.out.startswith("The password of ada is now ")
    assert looked(context, state) == (False, True, False, before + 1)
    assert command("user", "password", "ada", "--password-stdin", stdin="sesame\n").out == ""
    assert looked(context, state) == (False, True, True, before + 2)


def test_whoever_goes_takes_mail_and_sessions_along(command: Command, context: shell.Context) -> None:
    ada = Person(name="ada", addresses=("ada@example.com",))

    async def use(store: Store, _: People) -> None:
        await store.begin_session(
            WebSession(key="key", person="ada", created_at=time.time(), expires_at=time.time() + 60)
        )
        draft = await store.draft(10)
        draft.write(b"Subject: x\r\n\r\n")
        to = Recipient(maildrop=ada.maildrop, address="ada@example.com", quota=ada.quota, fields=b"", reason="")
        await store.accept(draft, envelope, [to])

    async def left(store: Store, people: People) -> tuple[object, ...]:
        return await store.session("key"), (await store.standing(ada.maildrop))[1], await people.person("ada")

    envelope = Envelope(
        reverse_path="", client_ip="127.0.0.1", helo="here", trust="insider", login="", name="x", documents=0
    )
    assert command("user", "add", "ada").status == 0
    looked(context, use)
    assert looked(context, left)[1] > 0
    assert command("user", "remove", "Ada").status == 0
    assert looked(context, left) == (None, 0, None)
    looked(context, use)  # as if the removal had been broken off in the middle
    assert command("user", "remove", "ada").status == 0
    assert looked(context, left) == (None, 0, None)
    assert command("user", "remove", "ada").status == os.EX_NOUSER


def test_the_last_administrator_stays(command: Command) -> None:
    assert command("user", "add", "ada", "--administrator").status == 0
    assert command("user", "add", "grace").status == 0
    for words in (("remove", "ada"), ("set", "ada", "--no-administrator")):
        refused = command("user", *words)
        assert refused.failure
        assert "ada is the last administrator" in refused.failure.text
    assert command("user", "set", "grace", "--administrator").status == 0
    assert command("user", "set", "ada", "--no-administrator").status == 0
    assert command("user", "remove", "ada").status == 0
    assert command("user", "remove", "grace").failure


def test_what_cannot_be_is_told(command: Command) -> None:
    assert command("user", "add", "ada").status == 0
    assert command("printer", "add", "laser", "--uri", "socket://192.0.2.7").status == 0
    refusals = (
        (("user", "add", "ada"), "there is a user ada already"),
        (("user", "add", "grace", "--mail", "ada@example.com"), "taken by another user"),
        (("user", "add", "grace", "--mail", "laser@example.com"), "taken by a printer"),
        (("user", "add", "laser", "--mail", "grace@example.com"), "there is a printer laser already"),
        (("printer", "add", "ada", "--uri", "socket://192.0.2.8"), "there is a user ada already"),
        (("user", "add", "abuse"), "whoever runs the site"),
        (("user", "add", "a b"), "user name"),
        (("user", "add", "grace", "--mail", "grace"), "not an address"),
        (("user", "add", "*)(uid=*", "--mail", "grace@example.com"), "user name"),
    )
    for words, told in refusals:
        done = command(*words)
        assert isinstance(done.failure, PermanentFailure), words
        assert told in done.failure.text
    for name in ("nobody", "*", "ad*"):
        for word, *more in (["show"], ["remove"], ["password"], ["set", "--administrator"]):
            done = command("user", word, name, *more)
            assert done.status == os.EX_NOUSER
            assert "printpost user list" in done.err
    assert command("user", "set", "ada").status == 2
    assert command("user", "password", "ada", "--password-stdin").status == os.EX_DATAERR


async def test_people_of_the_site_are_shown_and_not_changed(command: Command, tmp_path: Path) -> None:
    entry = (
        f"dn: uid=ada,{FOREIGN_BASE}\nobjectClass: inetOrgPerson\nuid: ada\ncn: Ada King\nsn: King\n"
        "mail: ada@corp.example\nuserPassword: sesame\n"
    )
    (tmp_path / "password").write_text(FOREIGN_PASSWORD)
    async with foreign_directory(tmp_path, entries=entry, only_people=True) as foreign:
        with (tmp_path / "printpost.toml").open("a") as file:
            file.write(f'[people]\nurl = "ldaps://127.0.0.1:{foreign.port}"\nbase = "{FOREIGN_BASE}"\n')
            file.write(f'bind_dn = "{FOREIGN_DN}"\nbind_password_file = "{tmp_path / "password"}"\n')
            file.write(f'ca = "{foreign.ca}"\nadministrators = ["ada"]\n')
        ada = await asyncio.to_thread(shown, command, "user", "show", "ada")
        assert (ada["addresses"], ada["local"], ada["administrator"]) == (["ada@corp.example"], False, True)
        assert await asyncio.to_thread(shown, command, "user", "list") == []
        for words in (["set", "--name", "x"], ["remove"], ["password"]):
            done = await asyncio.to_thread(command, "user", words[0], "ada", *words[1:])
            assert done.failure
            assert "the site's own directory" in done.failure.text


# -- printers


def test_every_setting_of_a_printer_by_command(command: Command) -> None:
    roles = ("--sysadmin", "ada@example.com", "--key-user", "grace@example.com")
    facts = ("--network-address", "192.0.2.7", "--netmask", "/24", "--gateway", "192.0.2.1")
    words = (*roles, *facts, "--hardware-address", "00-00-5E-00-53-01", "--tell-printed", "--pjl")
    assert command("printer", "add", "laser", "--uri", "socket://192.0.2.7", *words).status == 0
    wanted = {
        "sysadmin": ["ada@example.com"],
        "key_user": ["grace@example.com"],
        "network_address": "192.0.2.7",
        "netmask": "255.255.255.0",
        "gateway": "192.0.2.1",
        "hardware_address": "00:00:5e:00:53:01",
        "tell_printed": True,
        "pjl": True,
    }
    laser = shown(command, "printer", "show", "laser")
    assert laser.items() >= wanted.items()
    assert laser in shown(command, "printer", "list")
    told = command("printer", "show", "laser").out
    for line in ("netmask           255.255.255.0", "hardware address  00:00:5e:00:53:01", "pjl               True"):
        assert line in told
    again = ("--no-pjl", "--no-tell-printed", "--gateway", "", "--sysadmin", "", "--netmask", "255.255.0.0")
    assert command("printer", "set", "laser", *again).status == 0
    wanted |= {"pjl": False, "tell_printed": False, "gateway": "", "sysadmin": [], "netmask": "255.255.0.0"}
    assert shown(command, "printer", "show", "laser").items() >= wanted.items()
    for option in ("--gateway", "--netmask", "--network-address", "--hardware-address"):
        done = command("printer", "set", "laser", option, "nonsense")
        assert isinstance(done.failure, PermanentFailure), option
        assert "nonsense" in done.failure.text


def test_pause_and_refuse(command: Command) -> None:
    assert command("printer", "add", "laser", "--uri", "socket://192.0.2.7").status == 0

    def state() -> tuple[bool, bool, str]:
        laser = shown(command, "printer", "show", "laser")
        return laser["paused"], laser["accepting"], laser["state"]

    assert state() == (False, True, "idle")
    assert command("printer", "pause", "laser").status == 0
    assert state() == (True, True, "stopped")
    assert command("printer", "refuse", "Laser").status == 0
    assert state() == (True, False, "stopped")
    assert command("printer", "resume", "laser").status == 0
    assert command("printer", "accept", "laser").status == 0
    assert state() == (False, True, "idle")
    for wish in ("pause", "resume", "accept", "refuse"):
        assert command("printer", wish, "nobody").status == os.EX_NOUSER


# -- groups, limits, raw and aliases


def test_groups_of_people_by_command(command: Command, context: shell.Context) -> None:
    assert command("user", "add", "ada", "--group", "Teachers", "--group", "head  office").status == 0
    assert shown(command, "user", "show", "ada")["groups"] == ["teachers", "head office"]
    assert command("user", "set", "ada", "--group", "choir", "--forget-group", "TEACHERS").status == 0
    assert looked(context, lambda _, people: people.groups("ada@example.com")) == {"head office", "choir"}
    assert "head office, choir" in command("user", "list").out
    wrong = command("user", "set", "ada", "--forget-group", "teachers")
    assert (wrong.status, wrong.err) == (
        os.EX_DATAERR,
        "printpost: ada is in no group teachers; printpost user show ada\n",
    )
    unreadable = command("user", "set", "ada", "--group", " ").failure
    assert unreadable
    assert "cannot be a group's name" in unreadable.text


def test_groups_of_printers_by_command(command: Command) -> None:
    for name in ("laser", "phaser"):
        assert command("printer", "add", name, "--uri", "socket://192.0.2.7").status == 0
    made = command("printer", "add", "all", "--member", "laser", "--member", "PHASER", "--allow", "group:teachers")
    assert (made.status, made.out) == (0, "all@example.com prints on laser, phaser.\n"), made
    assert shown(command, "printer", "show", "all")["members"] == ["laser", "phaser"]
    (row,) = (line.split() for line in command("printer", "list").out.splitlines() if line.startswith("all "))
    assert row[2:5] == ["group", "of", "2"]
    assert command("printer", "set", "all", "--member", "laser").status == 0
    told = command("printer", "show", "all").out.split()
    assert told[told.index("members") + 1] == "laser"
    assert not {"state", "poll", "raw"} & set(told)
    for words, why in (
        (("set", "all", "--member", "nowhere"), "nowhere is no printer"),
        (("set", "laser", "--member", "phaser"), "cannot become a group"),
        (("set", "all", "--uri", "socket://192.0.2.8"), "is a group"),
        (("add", "more", "--member", "laser", "--language", "pdf"), "speaks what its members speak"),
        (("password", "all"), "has no password"),
        (("test", "all"), "do this with a member, laser"),
        (("remove", "laser"), "take it out first: printpost printer remove all"),
    ):
        failure = command("printer", *words).failure
        assert failure, words
        assert why in failure.text


def test_limits_raw_and_aliases_by_command(command: Command) -> None:
    laser = ("printer", "add", "laser", "--uri", "socket://192.0.2.7", "--allow", "@example.com")
    made = command(*laser, "--limit", "jobs=100", "--limit", "sender-pages=5", "--alias", "Colour@example.com")
    assert (made.status, made.out) == (0, "laser@example.com prints on socket://192.0.2.7:9100.\n")
    settings = ("printer", "set", "laser")
    assert command(*settings, "--limit", "jobs=0", "--limit", "job-pages=20", "--alias", "a4@example.com").status == 0
    told = shown(command, "printer", "show", "laser")
    assert told["limits"] == {"sender-pages": 5, "job-pages": 20}
    assert told["addresses"] == ["laser@example.com", "colour@example.com", "a4@example.com"]
    assert "sender-pages=5, job-pages=20\n" in command("printer", "show", "laser").out
    assert command(*settings, "--forget-alias", "COLOUR@example.com").status == 0
    assert shown(command, "printer", "show", "laser")["addresses"] == ["laser@example.com", "a4@example.com"]
    assert command("printer", "add", "other", "--uri", "socket://192.0.2.8").status == 0
    for words, why in (
        (("--limit", "sheets=5"), "is not a limit: write it like jobs=100; there are jobs, octets, pages"),
        (("--limit", "jobs=-1"), "give 0 to"),
        (("--alias", "other@example.com"), "is taken by another printer"),
        (("--alias", "a+b@example.com"), "what follows + is a job's options"),
        (("--forget-alias", "laser@example.com", "--forget-alias", "a4@example.com"), "needs an address"),
        (("--uri", "", "--raw", "nobody"), "all that it gets comes raw"),
    ):
        failure = command(*settings, *words).failure
        assert failure, words
        assert why in failure.text
    wrong = command(*settings, "--forget-alias", "other@example.com")
    assert (wrong.status, "laser has no address other@example.com" in wrong.err) == (os.EX_DATAERR, True)


def test_what_opens_a_printer_is_told(command: Command) -> None:
    made = command("printer", "add", "laser", "--uri", "socket://192.0.2.7", "--allow", "*", "--unverified-ok")
    assert "Anybody can now print on laser who writes an allowed sender's address into his mail" in made.out
    settings = ("printer", "set", "laser")
    done = command(*settings, "--raw", "stranger", "--no-unverified-ok")
    program = "reach laser as they came, and PostScript is a program that it runs; their PJL and PCL are filtered.\n"
    assert done.out == f"PostScript and PDF of everybody who may print {program}"
    told = shown(command, "printer", "show", "laser")
    assert (told["raw"], told["unfiltered"], told["unverified_ok"]) == ("stranger", "nobody", False)
    assert command(*settings, "--raw", "nobody").out == ""
    for word, whose in (
        ("insider", "senders inside"),
        ("verified", "senders outside who proved their address"),
        ("stranger", "everybody who may print"),
    ):
        done = command(*settings, "--unfiltered", word)
        assert f"Documents of {whose} reach laser with every command that is in them" in done.out
        assert "Take it back with --unfiltered nobody." in done.out
    assert command(*settings, "--location", "here").out == ""
    assert command(*settings, "--unfiltered", "nobody").out == ""
    polls = command("printer", "add", "phaser", "--allow", "*", "--raw", "verified", "--unfiltered", "stranger")
    came = "Documents of senders outside who proved their address reach phaser as they came"
    assert polls.out.splitlines()[-1] == f"{came}, with every command that is in them."


def test_what_prints_and_how_by_command(command: Command) -> None:
    assert command("printer", "add", "laser", "--uri", "socket://192.0.2.7", "--allow", "*").status == 0
    settings = ("printer", "set", "laser")
    plain = shown(command, "printer", "show", "laser")
    assert [plain[name] for name in ("body", "color", "max_copies", "media", "ticket", "confidential")] == [
        "alone", False, 0, [], "", False,
    ]  # fmt: skip
    words = ("--body", "always", "--color", "--max-copies", "5", "--media", "letter", "--media", "A4", "--confidential")
    assert command(*settings, *words, "--ticket", "Duplex color copies=2").status == 0
    wanted = {
        "body": "always",
        "color": True,
        "max_copies": 5,
        "media": ["na_letter_8.5x11in", "iso_a4_210x297mm"],
        "ticket": "copies=2 sides=two-sided-long-edge print-color-mode=color",
        "confidential": True,
    }
    assert shown(command, "printer", "show", "laser").items() >= wanted.items()
    assert shown(command, "printer", "list")[0].items() >= wanted.items()
    assert "ticket            copies=2 sides=two-sided-long-edge" in command("printer", "show", "laser").out
    for wrong, why in (
        (("--no-color",), "colour was asked for, which this printer does not print"),
        (("--max-copies", "1"), "2 copies were asked for; this printer makes at most 1"),
        (("--ticket", "copies=6"), "6 copies were asked for"),
        (("--ticket", "media=a3"), "iso_a3_297x420mm was asked for, which this printer does not have"),
        (("--ticket", "upside-down"), "no word of a job ticket; there are copies=2"),
        (("--ticket", "duplex tumble"), "says sides twice"),
        (("--media", "paper"), "is no paper: write a4, letter or a name like iso_a4_210x297mm"),
        (("--max-copies", "1000"), "give 0 to 999 copies"),
    ):
        failure = command(*settings, *wrong).failure
        assert failure, wrong
        assert why in failure.text
    assert shown(command, "printer", "show", "laser").items() >= wanted.items()
    back = ("--body", "alone", "--no-color", "--max-copies", "0", "--media", "", "--no-confidential", "--ticket", "")
    assert command(*settings, *back).status == 0
    assert shown(command, "printer", "show", "laser") == plain


def test_how_it_is_served_by_command(command: Command) -> None:
    assert command("printer", "add", "laser", "--uri", "socket://192.0.2.7", "--allow", "*").status == 0
    settings = ("printer", "set", "laser")
    plain = shown(command, "printer", "show", "laser")
    usual = {
        "half_close": True,
        "end_wait": 90,
        "stall_limit": 86400,
        "pjl_one_option": False,
        "ps_echo": False,
        "count_pages": True,
        "snmp": "1",
        "snmp_community": "public",
        "snmp_port": 161,
        "status_interval": 60,
        "quiet_hours": [],
        "hold": "none",
        "hold_expiry": 3 * 86400,
        "expiry": 7 * 86400,
        "when_uncertain": "hold",
    }
    assert plain.items() >= usual.items()
    words = [
        *(
            "--no-half-close",
            "--end-wait",
            "10m",
            "--stall-limit",
            "7d",
            "--pjl-one-option",
            "--ps-echo",
            "--no-count-pages",
        ),
        *(
            "--snmp",
            "2c",
            "--snmp-port",
            "1161",
            "--status-interval",
            "300",
            "--hold",
            "code",
        ),
        *(
            "--hold-expiry",
            "8h",
            "--expiry",
            "90s",
            "--when-uncertain",
            "resume",
        ),
    ]
    hours = ("--quiet-hours", "mon-fri 18:00-7:00", "--quiet-hours", "sat,sun 0:00-24:00")
    assert command(*settings, *words, *hours, "--snmp-community", "-", stdin="sesame\n").status == 0
    wanted = {
        "half_close": False,
        "end_wait": 600,
        "stall_limit": 7 * 86400,
        "pjl_one_option": True,
        "ps_echo": True,
        "count_pages": False,
        "snmp": "2c",
        "snmp_community": "sesame",
        "snmp_port": 1161,
        "status_interval": 300,
        "quiet_hours": ["mon,tue,wed,thu,fri 18:00-07:00", "sat,sun 00:00-24:00"],
        "hold": "code",
        "hold_expiry": 8 * 3600,
        "expiry": 90,
        "when_uncertain": "resume",
    }
    assert wanted.keys() == usual.keys()
    assert shown(command, "printer", "show", "laser").items() >= wanted.items()
    for wrong, why in (
        (("--end-wait", "2h"), "give 1 second to 1 hour, like 90s, 15m, 8h or 7d"),
        (("--stall-limit", "soon"), "'soon' is not a limit of a stall"),
        (("--snmp-port", "0"), "is no UDP port: give 1 to 65535"),
        (("--snmp-community", "open sesame"), "that is no SNMP community"),
        (("--quiet-hours", "at night"), "write it like 22:00-06:00 or sat,sun 00:00-24:00"),
        (("--quiet-hours", "8:00-8:00"), "a whole day is 00:00-24:00"),
    ):
        failure = command(*settings, *wrong).failure
        assert failure, wrong
        assert why in failure.text
        assert "open sesame" not in failure.text
    assert command(*settings, "--snmp", "3").status == 2
    nothing = command(*settings, "--snmp-community", "-", stdin="")
    assert (nothing.status, "no community came on standard input" in nothing.err) == (65, True)
    assert shown(command, "printer", "show", "laser").items() >= wanted.items()
    back = [
        *(
            "--half-close",
            "--end-wait",
            "90",
            "--stall-limit",
            "1d",
            "--no-pjl-one-option",
            "--no-ps-echo",
            "--count-pages",
        ),
        *(
            "--snmp",
            "1",
            "--snmp-port",
            "161",
            "--status-interval",
            "60s",
            "--hold",
            "none",
        ),
        *(
            "--hold-expiry",
            "3d",
            "--expiry",
            "7d",
            "--when-uncertain",
            "hold",
        ),
    ]
    assert command(*settings, *back, "--snmp-community", "", "--quiet-hours", "").status == 0
    assert shown(command, "printer", "show", "laser") == plain
    group = command("printer", "add", "all", "--member", "laser", "--hold", "all", "--end-wait", "7")
    assert group.failure
    assert "is a group: give --end-wait, --hold to its members" in group.failure.text
