"""`printpost address ...`: make, see and revoke addresses to give away."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, TypeVar

import typer

from appliance import shell
from appliance.capabilities import Capabilities, described, ends_in_words, until
from appliance.desk import COMMAND_LINE, Missing
from mailstore.config import Settings

T = TypeVar("T")

app = typer.Typer(
    no_args_is_help=True, help="Make, see and revoke addresses to give away: whoever knows one may print."
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    context: typer.Context,
    printer: Annotated[str, typer.Argument(help="The printer or group on which it prints.")],
    note: Annotated[str, typer.Option("--note", help="What it is for.")] = "",
    expires: Annotated[
        str, typer.Option("--expires", metavar="WHEN", help="12h, 7d, 4w or a date; default: when it is revoked.")
    ] = "",
    jobs: Annotated[int, typer.Option("--jobs", min=0, help="So many jobs; 0: any number.")] = 0,
    pages: Annotated[int, typer.Option("--pages", min=0, help="So many pages; 0: any number.")] = 0,
    as_json: Json = False,
) -> None:
    """Make an address to give away.  It is shown this once; whoever knows it may print."""
    ends = until(expires, time.time())
    given = _with(
        context.obj.settings(),
        lambda those: those.make(COMMAND_LINE, printer, note=note, expires_at=ends, max_jobs=jobs, max_pages=pages),
    )
    made = given.capability
    if as_json:
        shell.show_json({"address": given.address, **described(made, time.time())})
        return
    typer.echo(given.address)
    typer.echo(
        f"It is shown only now. Whoever knows it may print on {made.printer}, {ends_in_words(made)};"
        f" take it back with: printpost address revoke {made.id}",
        err=True,
    )


@app.command("list")
def list_(
    context: typer.Context,
    printer: Annotated[str, typer.Argument(help="Only those of this printer.", show_default=False)] = "",
    as_json: Json = False,
) -> None:
    """Show the addresses that were given away, newest first; those that ended stay listed for 90 days."""
    found = _with(context.obj.settings(), lambda those: those.listed(COMMAND_LINE, printer))
    now = time.time()
    if as_json:
        shell.show_json([described(one, now) for one in found])
        return
    shell.show_table(
        ("NUMBER", "PRINTER", "FOR", "MADE BY", "JOBS", "PAGES", "UNTIL", "GOOD"),
        [
            (
                *(one.id, one.printer, one.note, one.made_by),
                *(_used(one.jobs, one.max_jobs), _used(one.pages, one.max_pages)),
                shell.clock(one.expires_at) or "it is revoked",
                f"no: {why}" if (why := one.why_not(now)) else "yes",
            )
            for one in found
        ],
        "No address was given away yet; make one: printpost address add PRINTER --note TEXT --expires 7d",
    )


@app.command()
def revoke(context: typer.Context, number: Annotated[int, typer.Argument(help="Its number in the list.")]) -> None:
    """Take an address back: nobody prints by it any more.  Jobs that came before stay."""
    was = _with(context.obj.settings(), lambda those: those.revoke(COMMAND_LINE, number))
    if was.revoked_at:
        by = f" by {was.revoked_by}" if was.revoked_by else ""  # nobody did, if the printer went away
        typer.echo(f"It was revoked before, on {shell.clock(was.revoked_at)}{by}.")


def _used(count: int, most: int) -> str:
    return f"{count} of {most}" if most else str(count)


def _with(settings: Settings, act: Callable[[Capabilities], Coroutine[Any, Any, T]]) -> T:
    async def work() -> T:
        async with shell.opened(settings) as (store, directory):
            try:
                return await act(Capabilities(store, directory))
            except Missing as missing:
                shell.fail(f"{missing.text}; see printpost printer list and printpost address list", os.EX_NOUSER)

    return shell.run(work())
