"""Options of `printpost printer add` and `set` that are more than one value put in the place of another."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from appliance import shell
from appliance.policy import parse_rule
from mailstore.directory.entry import with_limits
from mailstore.directory.records import Printer, PrintLimits, Raw
from mailstore.directory.values import LIMITS, check, read_limit, read_own_address

Members = Annotated[
    list[str] | None, typer.Option("--member", help="A printer of the group that this is; may be repeated.")
]
Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=NUMBER",
        help=f"What it prints at most: {', '.join(f'{name} ({unit})' for name, unit in LIMITS.items())};"
        " 0 takes a limit away. May be repeated.",
    ),
]
UnverifiedOk = Annotated[
    bool | None,
    typer.Option("--unverified-ok/--no-unverified-ok", help="Senders that are allowed need not prove that they sent."),
]
RawFrom = Annotated[
    Raw | None, typer.Option("--raw", help="Whose documents may reach it as they came; others are made anew.")
]
Aliases = Annotated[list[str] | None, typer.Option("--alias", help="A further address of it; may be repeated.")]
ForgetAliases = Annotated[
    list[str] | None, typer.Option("--forget-alias", help="An address to take away again; may be repeated.")
]


def rules(
    printer: Printer, allow: list[str] | None, deny: list[str] | None, forget: list[str] | None
) -> dict[str, Any]:
    """The rules of `printer` with some more and some less.  Raises `PermanentFailure` for one that cannot be meant."""
    check_rules(*(allow or ()), *(deny or ()))
    gone = _known(forget, (*printer.allow, *printer.deny), f"{printer.name} has no rule {{}}", printer)
    return {
        "allow": tuple(dict.fromkeys(rule for rule in (*printer.allow, *(allow or ())) if rule not in gone)),
        "deny": tuple(dict.fromkeys(rule for rule in (*printer.deny, *(deny or ())) if rule not in gone)),
    }


def check_rules(*texts: str) -> None:
    """Raises `PermanentFailure` for one that cannot be meant."""
    for text in texts:
        parse_rule(text)


def addresses(printer: Printer, alias: list[str] | None, forget: list[str] | None) -> tuple[str, ...]:
    """The addresses of `printer` with some more and some less.  Raises `PermanentFailure` for what is none."""
    more, less = (
        [check(text.strip(), read_own_address, "5.1.3") for text in texts or () if text] for texts in (alias, forget)
    )
    gone = _known(less, printer.addresses, f"{printer.name} has no address {{}}", printer)
    return tuple(dict.fromkeys(one for one in (*printer.addresses, *more) if one not in gone))


def limits(before: PrintLimits, given: list[str] | None) -> PrintLimits:
    """`before` with the limits that were given in their place.  Raises `PermanentFailure` for what is none."""
    return with_limits(
        before, dict(check(text, lambda value: read_limit(value, least=0)) for text in given or () if text)
    )


def warnings(printer: Printer) -> list[str]:
    """What settings of it open, a sentence each."""
    told = []
    if printer.unverified_ok:
        told.append(
            f"Anybody can now print on {printer.name} who writes an allowed sender's address into his mail:"
            " nothing has to be proved. Take it back with --no-unverified-ok."
        )
    if printer.raw in (Raw.VERIFIED, Raw.STRANGER):
        whose = "everybody who may print" if printer.raw is Raw.STRANGER else "senders outside who proved their address"
        told.append(f"Documents of {whose} reach {printer.name} as they came, with every command that is in them.")
    return told


def _known(names: Sequence[str] | None, those: Sequence[str], otherwise: str, printer: Printer) -> set[str]:
    """The names, if they are all among those; else the command ends."""
    for name in names or ():
        if name not in those:
            shell.fail(f"{otherwise.format(name)}; printpost printer show {printer.name}", os.EX_DATAERR)
    return set(names or ())


def given(**options: Any) -> dict[str, Any]:
    """The options that were given, as fields of a `Printer`."""
    return {
        name: tuple(item for item in value if item) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None
    }
