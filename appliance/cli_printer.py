"""`printpost printer ...`: make, see and change printers' entries, and ask why a sender may or may not print."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from appliance import cli_settings, shell
from appliance.described import DescribedPrinterFile, printer_file
from appliance.desk import COMMAND_LINE, Desk, Missing, Standing
from appliance.supposing import Supposed
from appliance.web import levels
from mailstore import condition
from mailstore.config import Settings
from mailstore.directory.records import Printer
from mailstore.directory.serving import PERIODS, SERVING, show_period
from mailstore.header import clean
from mailstore.job import JobState

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Make, see and change printers.")

Name = Annotated[str, typer.Argument(help="The printer's name: the part before the @ of its address.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", help="A rule that lets senders print; may be repeated.")]
Deny = Annotated[list[str] | None, typer.Option("--deny", help="A rule that keeps senders out; may be repeated.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read its POP3 password from standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_NOT_OF_A_GROUP = frozenset({
    "state", "paused", "accepting", "waiting", "poll_gap", "poll_clear", "poll_interval", "quota", "when_uncertain",
    "pjl", "raw", "unfiltered", "tell_printed", "body", "color", "max_copies", "media", "ticket", "confidential",
    *SERVING,
})  # fmt: skip


@app.command()
@cli_settings.with_options
def add(
    context: typer.Context,
    name: Name,
    options: dict[str, Any],
    allow: Allow = None,
    deny: Deny = None,
    limit: cli_settings.Limits = None,
    alias: cli_settings.Aliases = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a printer, or a group of printers.  Without a rule nobody may print on it yet."""
    settings: Settings = context.obj.settings()
    name = name.lower()
    changes = cli_settings.given(options)
    changes |= cli_settings.rules(Printer(name=name, addresses=()), allow, deny, None)
    asked = Printer(name=name, addresses=tuple(f"{name}@{domain}" for domain in settings.domains), **changes)
    asked = replace(
        asked, addresses=cli_settings.addresses(asked, alias, None), limits=cli_settings.limits(asked.limits, limit)
    )
    password = shell.read_password() if password_stdin else None
    made = ""
    if password is None and asked.polls:
        password = made = secrets.token_urlsafe(12)

    printer = at_desk(settings, lambda desk: desk.add(COMMAND_LINE, asked, password))
    where = ", ".join(printer.members) or printer.uri or "whatever polls its mailbox"
    typer.echo(f"{printer.addresses[0]} prints on {where}.")
    if made:
        typer.echo(f"Its POP3 user name is {name}, its password {made} (shown only now).")
    if not printer.allow:
        typer.echo(f"Nobody may print on it yet; say who: printpost printer set {name} --allow ada@example.com")
    for sentence in cli_settings.warnings(printer):
        typer.echo(sentence)


@app.command("set")
@cli_settings.with_options
def set_(
    context: typer.Context,
    name: Name,
    options: dict[str, Any],
    allow: Allow = None,
    deny: Deny = None,
    forget: Annotated[
        list[str] | None, typer.Option("--forget", help="A rule to take away again; may be repeated.")
    ] = None,
    limit: cli_settings.Limits = None,
    alias: cli_settings.Aliases = None,
    forget_alias: cli_settings.ForgetAliases = None,
) -> None:
    """Change what is named.  --allow, --deny, --limit and --alias add to what there is; other options replace it."""
    changes = cli_settings.given(options)
    if not any((changes, allow, deny, forget, limit, alias, forget_alias)):
        shell.fail("nothing to change; see printpost printer set --help", 2)

    def fields(printer: Printer) -> dict[str, Any]:
        more = {
            "addresses": cli_settings.addresses(printer, alias, forget_alias),
            "limits": cli_settings.limits(printer.limits, limit),
        }
        return changes | more | cli_settings.rules(printer, allow, deny, forget)

    changed = at_desk(context.obj.settings(), lambda desk: desk.change(COMMAND_LINE, name, "", fields))
    for sentence in cli_settings.warnings(changed) if cli_settings.OPENING & changes.keys() else ():
        typer.echo(sentence)


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """Show all printers."""
    found = at_desk(context.obj.settings(), lambda desk: desk.printers(COMMAND_LINE, reports=as_json))
    printers = [printer_file(one, community=True) for one in found]
    if as_json:
        shell.show_json(printers)
        return
    shell.show_table(
        ("NAME", "ADDRESS", "DEVICE", "LANGUAGES", "STATE", "WHY", "WAITING"),
        [
            (p["name"], p["addresses"][0], _device(p), ",".join(p["languages"]), _state(p), why_so(one), p["waiting"])
            for p, one in zip(printers, found, strict=True)
        ],
        "There is no printer yet; make one: printpost printer add NAME --uri socket://HOST:9100 --allow ADDRESS",
    )


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one printer."""
    standing = at_desk(context.obj.settings(), lambda desk: desk.printer(COMMAND_LINE, name))
    printer = printer_file(standing, community=True)
    if as_json:
        shell.show_json(printer)
    else:
        shown = printer | {
            "limits": [f"{limit}={number}" for limit, number in printer["limits"].items()],
            **{name: show_period(getattr(standing.printer, name)) for name in PERIODS},
        }
        absent = {"report", "quiet_until", "detail", *(_NOT_OF_A_GROUP if printer["members"] else ())}
        fields = [(key.replace("_", " "), value) for key, value in shown.items() if key not in absent]
        shell.show_fields([*fields, *_told(standing)])


def _told(standing: Standing) -> list[tuple[str, object]]:
    """How it fares in words, and what it says of itself; nothing of a group."""
    printer, report = standing.printer, standing.report
    if printer.is_group:
        return []
    asked = printer.drained_by_bridge or report is not None
    told: list[tuple[str, object]] = [("why", why_so(standing))]
    told.append(("status", " ".join(levels.answers(printer, report, time.time())) if asked else ""))
    stopped = standing.waiting.states.get(JobState.PROCESSING_STOPPED, 0) if standing.waiting else 0
    if stopped:
        told.append(("stopped jobs", f"{stopped}, see printpost job list --printer {printer.name}"))
    if report is not None:
        told += [
            ("panel", levels.console(report)),
            ("calls itself", levels.itself(report)),
            ("page counter", report.pages),
            *(("supply", line) for line in levels.in_lines(levels.supplies(report))),
            *(("paper", line) for line in levels.in_lines(levels.trays(report))),
        ]
    return told


def why_so(standing: Standing) -> str:
    """Why it fares as it does, in words; "" where nothing is wrong."""
    state = standing.state
    paused = "paused by somebody" if state.paused else ""
    refuses = "" if state.accepting else "takes no mail"
    why = condition.why(state.state_reasons, clean(state.detail, 200))
    return "; ".join(part for part in (paused, refuses, why) if part)


def _state(printer: DescribedPrinterFile) -> str:
    return "-" if printer["members"] else printer["state"]


def _device(printer: DescribedPrinterFile) -> str:
    members = len(printer["members"])
    return (f"group of {members}" if members else "") or printer["uri"] or "polls"


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Take a printer away; jobs that wait for it are canceled."""

    at_desk(context.obj.settings(), lambda desk: desk.remove(COMMAND_LINE, name))


@app.command()
def password(context: typer.Context, name: Name, password_stdin: PasswordStdin = False) -> None:
    """Give a printer a new POP3 password, made up or from standard input."""
    given = shell.read_password() if password_stdin else ""
    new = at_desk(context.obj.settings(), lambda desk: desk.new_password(COMMAND_LINE, name, given))
    if not given:
        typer.echo(f"The POP3 password of {name} is now {new} (shown only now).")


@app.command()
def test(context: typer.Context, name: Name) -> None:
    """Print a page about the printer on it."""
    number = at_desk(context.obj.settings(), lambda desk: desk.test_page(COMMAND_LINE, name))
    typer.echo(f"The test page is job {number}.")


@app.command()
def pause(context: typer.Context, name: Name) -> None:
    """Send nothing more to a printer; its mail is taken and waits."""
    at_desk(context.obj.settings(), lambda desk: desk.set_paused(COMMAND_LINE, name, True))


@app.command()
def resume(context: typer.Context, name: Name) -> None:
    """Send to a printer again."""
    at_desk(context.obj.settings(), lambda desk: desk.set_paused(COMMAND_LINE, name, False))


@app.command()
def refuse(context: typer.Context, name: Name) -> None:
    """Take no more mail for a printer; what waits is printed."""
    at_desk(context.obj.settings(), lambda desk: desk.set_accepting(COMMAND_LINE, name, False))


@app.command()
def accept(context: typer.Context, name: Name) -> None:
    """Take mail for a printer again."""
    at_desk(context.obj.settings(), lambda desk: desk.set_accepting(COMMAND_LINE, name, True))


@app.command()
def why(
    context: typer.Context,
    name: Name,
    sender: Annotated[str, typer.Option("--from", help="The sender's address.")],
    ip: Annotated[str, typer.Option("--ip", help="Where the mail comes from; default: the site's networks.")] = "",
    author: Annotated[
        str | None,
        typer.Option(help='The author in the From field, "" for none or several; default: the sender.'),
    ] = None,
    login: Annotated[bool, typer.Option("--login", help="It is sent with the sender's login.")] = False,
    signed: Annotated[bool, typer.Option("--signed", help="DKIM of the author's domain signs it.")] = False,
    given_away: Annotated[
        bool, typer.Option("--given-away", help="It is sent to an address that was given away, and stands.")
    ] = False,
) -> None:
    """Say whether a sender may print, and which rule says so.

    Exit status 0 for yes, 77 for no, 75 if the DNS would have to answer first.
    """
    supposed = Supposed(sender=sender, ip=ip, login=login, author=author, signed=signed, given_away=given_away)
    remedy = f"allow with: printpost printer set {name} --allow {{}}"
    answer = at_desk(
        context.obj.settings(),
        lambda desk: desk.try_sender(COMMAND_LINE, name, supposed, remedy=remedy),
        proving=True,
    )
    typer.echo(answer.sentence)
    raise typer.Exit(0 if answer.allowed else os.EX_TEMPFAIL if answer.uncertain else os.EX_NOPERM)


def at_desk(settings: Settings, act: Callable[[Desk], Coroutine[Any, Any, T]], *, proving: bool = False) -> T:
    """Do `act` at a desk that is opened for it, to its end; with `proving` it can look up what senders prove.

    The command ends with a sentence where something is missing, or fails as `shell.run` knows.
    """
    from mailstore.directory.opening import connect_people

    async def work() -> T:
        async with contextlib.AsyncExitStack() as stack:
            store, directory = await stack.enter_async_context(shell.opened(settings))
            people, mailauth = connect_people(settings), None
            stack.push_async_callback(people.close)
            if proving:
                from appliance.mailauth import MailAuth  # no other command asks the DNS

                mailauth = MailAuth(settings)
                stack.push_async_callback(mailauth.close)
            try:
                return await act(Desk(settings, store, directory, people, mailauth))
            except Missing as missing:
                shell.fail(f"{missing.text}; printpost printer list shows those there are", os.EX_NOUSER)

    return shell.run(work())
