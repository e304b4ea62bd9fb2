"""The command `printpost`."""

from __future__ import annotations

import asyncio
import getpass
import http.client
import importlib.metadata
import json
import logging
import os
import sys
import urllib.request
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from appliance import cli_address, cli_dhcp, cli_discover, cli_job, cli_printer, cli_user, shell
from mailstore import config, logs
from mailstore.config_values import bracketed, reached_at
from mailstore.failure import Failure, TransientFailure
from mailstore.store.contract import StoreUnusable

app = typer.Typer(
    name="printpost",
    help="Every printer gets an e-mail address: mail in, paper out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
cli_printer.app.command()(cli_discover.discover)
cli_printer.app.command()(cli_dhcp.dhcp_config)
app.add_typer(cli_printer.app, name="printer")
app.add_typer(cli_job.app, name="job")
app.add_typer(cli_user.app, name="user")
app.add_typer(cli_address.app, name="address")
configuration = typer.Typer(no_args_is_help=True, help="Check and show the configuration.")
app.add_typer(configuration, name="config")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"printpost {importlib.metadata.version('printpost')}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    file: Annotated[Path | None, typer.Option("--config", help="The configuration file.", show_default=False)] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Every printer gets an e-mail address: mail in, paper out."""
    context.obj = shell.Context(file)
    logs.configure("printpost", logging.WARNING)


@app.command()
def up(context: typer.Context) -> None:
    """Run everything on this machine: the directory, the appliance and the bridge."""
    from appliance.up import up as run_up  # the server's imports take longer than most commands

    settings = context.obj.settings()
    logs.configure("up")
    raise typer.Exit(asyncio.run(run_up(settings, context.obj.file)))


@app.command()
def serve(context: typer.Context) -> None:
    """Run the appliance alone: SMTP, POP3 and its metrics."""
    from appliance.serve import serve as run_serve
    from mailstore.loop import run

    settings = context.obj.settings()
    logs.configure("appliance")
    run(run_serve(settings))


@app.command()
def bridge(context: typer.Context) -> None:
    """Run the bridge alone: maildrops to printers."""
    context.obj.settings()
    _become_bridge(context.obj.file)


@app.command("virtual-printer")
def virtual_printer(
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where to listen, like a printer.")],
    output: Annotated[Path, typer.Option("--output", help="Folder for what is printed.")],
    fault: Annotated[
        list[str] | None, typer.Option("--fault", metavar="NAME[:N]", help="Misbehave; may be repeated.")
    ] = None,
    personality: Annotated[
        str, typer.Option("--personality", metavar="NAME", help="What it says and leaves out, like phaser.")
    ] = "plain",
    page_seconds: Annotated[
        float, typer.Option("--page-seconds", min=0.0, max=3600.0, help="How long a page takes to come out.")
    ] = 0.0,
    capture: Annotated[bool, typer.Option("--capture", help="Keep every octet with its time, beside the job.")] = False,
    snmp: Annotated[
        str, typer.Option("--snmp", metavar="HOST:PORT", help="Answer SNMP v1 and v2c there, by UDP.")
    ] = "",
    community: Annotated[str, typer.Option("--community", metavar="NAME", help="SNMP's only community.")] = "public",
    status: Annotated[
        str, typer.Option("--status", metavar="HOST:PORT", help="Tell the status there, as on UDP 9101.")
    ] = "",
) -> None:
    """Run a printer that renders what it gets to PDF and PNG."""
    faults = [word for name in fault or () for word in ("--fault", name)]
    words = ["--listen", listen, "--output", str(output), "--personality", personality]
    words += ["--page-seconds", str(page_seconds), *(["--capture"] if capture else [])]
    words += ["--snmp", snmp, "--community", community, "--status", status]
    _become_bridge(None, "virtual-printer", *words, *faults)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="Print one page and end.")] = False,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="Where to keep all of it; default: a new folder.")
    ] = None,
) -> None:
    """Run everything with a virtual printer, mail it a real PDF and show the page."""
    from appliance.demo import demo as run_demo

    raise typer.Exit(asyncio.run(run_demo(folder, once=once)))


@app.command()
def send(
    context: typer.Context,
    files: Annotated[list[Path], typer.Argument(help="What to print.", exists=True, dir_okay=False, readable=True)],
    to: Annotated[str, typer.Option("--to", help="The printer's address; a name alone is one of ours.")],
    server: Annotated[
        str, typer.Option("--server", metavar="HOST:PORT", help="Default: the one configured here.")
    ] = "",
    sender: Annotated[str, typer.Option("--from", help="Your address; default: your user name here.")] = "",
) -> None:
    """Mail files to a printer."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from appliance.send import send as run_send

    settings = context.obj.settings()
    try:
        where = reached_at(server or settings.smtp.listen)
    except ValueError as error:
        shell.fail(f"--server: {error}", 2)
    columns = ("{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task(to, total=None)
        answer = run_send(
            files,
            recipient=to if "@" in to else f"{to}@{settings.domains[0]}",
            sender=sender or f"{getpass.getuser()}@{settings.site.hostname}",
            server=where,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    typer.echo(answer.removeprefix("2.0.0 "))


@app.command()
def doctor(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look at everything that keeps paper from coming out.  Exit status 0, or 69 if something is an error."""
    from appliance.doctor.command import run as run_doctor

    raise typer.Exit(asyncio.run(run_doctor(context.obj.settings(), as_json=as_json)))


@app.command()
def healthcheck(
    context: typer.Context,
    role: Annotated[str, typer.Option("--role", help="all, serve or bridge.")] = "all",
) -> None:
    """Ask the running processes whether they live; exit status 0 or 69."""
    settings = context.obj.settings()
    listeners = {"serve": settings.metrics.listen, "bridge": settings.bridge.metrics_listen}
    if role != "all" and role not in listeners:
        shell.fail(f"{role} is not a role; all, serve and bridge are", 2)
    # Containers may be told of a proxy for everything; what is asked here is near.
    near = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for name in [role] if role != "all" else listeners:
        host, port = reached_at(listeners[name])
        try:
            near.open(f"http://{bracketed(host)}:{port}/livez", timeout=5).close()
        except (OSError, http.client.HTTPException) as error:
            shell.fail(f"{name} does not answer on {host}:{port}: {error}", os.EX_UNAVAILABLE)


@configuration.command("check")
def check(context: typer.Context) -> None:
    """Say whether the configuration can be meant."""
    _, path = config.load(context.obj.file)
    typer.echo(f"{path or 'the defaults (there is no configuration file)'}: ok")


@configuration.command("show")
def show(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of TOML.")] = False
) -> None:
    """Show every setting as it is in force."""
    settings = context.obj.settings().model_dump(mode="json", by_alias=True)
    if as_json:
        shell.show_json(settings)
        return
    for section, values in settings.items():
        typer.echo(f"[{section}]")
        for key, value in values.items():
            # JSON's strings, numbers and lists are TOML's too; a setting without a value is left out.
            typer.echo(f"{'# ' if value is None else ''}{key} = {json.dumps(value) if value is not None else ''}")
        typer.echo("")


def _become_bridge(file: Path | None, *words: str) -> NoReturn:
    """Commands of the bridge are processes of the bridge: neither package imports the other."""
    option = ["--config", str(file)] if file else []
    os.execv(sys.executable, [sys.executable, "-m", "printerbridge", *option, *words])  # noqa: S606


def _status(failure: Failure) -> int:
    if isinstance(failure, TransientFailure):
        return os.EX_TEMPFAIL
    # RFC 3463 section 3.4: x.3.x is the system's own state, anything else lies in what was asked.
    return os.EX_UNAVAILABLE if failure.status[1:4] == ".3." else os.EX_DATAERR


def main() -> None:
    """Run the command; every expected failure is one sentence and a status of sysexits(3)."""
    try:
        app()
    except config.ConfigError as error:
        shell.fail(str(error), os.EX_CONFIG)
    except Failure as failure:
        shell.fail(failure.text, _status(failure))
    except StoreUnusable as error:
        shell.fail(str(error), os.EX_UNAVAILABLE)
    except OSError as error:
        shell.fail(str(error), os.EX_IOERR)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
