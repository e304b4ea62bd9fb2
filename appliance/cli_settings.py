"""Options of `printpost printer add` and `set` that are more than one value put in the place of another."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Annotated, Any

import typer

from appliance import holding, opened, shell
from appliance.policy import parse_rule
from mailstore.directory.entry import with_limits
from mailstore.directory.records import Body, Hold, Language, Printer, PrintLimits, Raw, Snmp, WhenUncertain
from mailstore.directory.serving import PERIODS, USUAL, read_period
from mailstore.directory.values import LIMITS, check, read_limit, read_own_address, read_ticket

Limits = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=NUMBER",
        help=f"What it prints at most: {', '.join(f'{name} ({unit})' for name, unit in LIMITS.items())};"
        " 0 takes a limit away. May be repeated.",
    ),
]
Aliases = Annotated[list[str] | None, typer.Option("--alias", help="A further address of it; may be repeated.")]
ForgetAliases = Annotated[
    list[str] | None, typer.Option("--forget-alias", help="An address to take away again; may be repeated.")
]

_Text = str | None
_Number = int | None
_Flag = bool | None
_Several = list[str] | None
OPTIONS: Mapping[str, Any] = {
    "uri": Annotated[
        _Text, typer.Option("--uri", help='Its device address, socket://HOST:9100; "" if it polls by POP3.')
    ],
    "languages": Annotated[
        list[Language] | None, typer.Option("--language", help="A language it speaks; may be repeated.")
    ],
    "members": Annotated[
        _Several, typer.Option("--member", help="A printer of the group that this is; may be repeated.")
    ],
    "raw": Annotated[
        Raw | None,
        typer.Option("--raw", help="Whose PostScript and PDF reach it as they came; others' are drawn anew."),
    ],
    "unfiltered": Annotated[
        Raw | None, typer.Option("--unfiltered", help="Whose printer commands (PJL, PCL) reach it, every one of them.")
    ],
    "body": Annotated[
        Body | None, typer.Option("--body", help="When the letter prints: if nothing else does, always or never.")
    ],
    "ticket": Annotated[
        _Text,
        typer.Option(
            "--ticket", help='How jobs print that say nothing else, like "duplex copies=2"; "" takes it away.'
        ),
    ],
    "color": Annotated[
        _Flag,
        typer.Option(
            "--color/--no-color", help="It prints in colour; without, PCL, PCL XL and raster are drawn in grey."
        ),
    ],
    "media": Annotated[
        _Several,
        typer.Option("--media", help="Paper it has, a4, letter or a PWG name, the usual first; may be repeated."),
    ],
    "max_copies": Annotated[
        _Number, typer.Option("--max-copies", help="Copies that one mail may ask for; 0 for any number.")
    ],
    "confidential": Annotated[
        _Flag, typer.Option("--confidential/--no-confidential", help="Keep no pictures of its pages.")
    ],
    "pjl": Annotated[_Flag, typer.Option("--pjl/--no-pjl", help="It speaks PJL and is asked how it fares.")],
    "unverified_ok": Annotated[
        _Flag,
        typer.Option(
            "--unverified-ok/--no-unverified-ok", help="Senders that are allowed need not prove that they sent."
        ),
    ],
    "sysadmin": Annotated[_Several, typer.Option("--sysadmin", help="Who may change its settings; may be repeated.")],
    "service_person": Annotated[
        _Several, typer.Option("--service-person", help="Who hears of trouble; may be repeated.")
    ],
    "key_user": Annotated[_Several, typer.Option("--key-user", help="Who looks after it; may be repeated.")],
    "poll_interval": Annotated[_Number, typer.Option("--poll-interval", help="How often it polls, in seconds.")],
    "plain_from": Annotated[
        _Several,
        typer.Option("--plain-from", help="A network from which it may log in without TLS; may be repeated."),
    ],
    "when_uncertain": Annotated[
        WhenUncertain | None,
        typer.Option("--when-uncertain", help="What to do when nobody can know what was printed."),
    ],
    "tell_printed": Annotated[
        _Flag, typer.Option("--tell-printed/--no-tell-printed", help="Tell senders that their jobs were printed.")
    ],
    "hold": Annotated[
        Hold | None,
        typer.Option("--hold", help="Jobs wait until somebody releases them, or until their sender types in a code."),
    ],
    "hold_expiry": Annotated[
        _Text, typer.Option("--hold-expiry", help="When a job that nobody released is given up, like 8h or 3d.")
    ],
    "expiry": Annotated[
        _Text, typer.Option("--expiry", help="When a job that cannot be printed is given up, like 7d.")
    ],
    "half_close": Annotated[
        _Flag,
        typer.Option(
            "--half-close/--no-half-close",
            help="Our side of its connection is closed behind the document; some take this for a broken one.",
        ),
    ],
    "end_wait": Annotated[
        _Text, typer.Option("--end-wait", help="How long to wait for its end since it was last heard of, like 90s.")
    ],
    "stall_limit": Annotated[
        _Text, typer.Option("--stall-limit", help="When a job that does not get on is given up, like 1d.")
    ],
    "pjl_one_option": Annotated[
        _Flag, typer.Option("--pjl-one-option/--no-pjl-one-option", help="Its PJL takes one option a line.")
    ],
    "ps_echo": Annotated[
        _Flag,
        typer.Option(
            "--ps-echo/--no-ps-echo", help="Its PostScript answers at its port, and is asked when it is done."
        ),
    ],
    "count_pages": Annotated[
        _Flag,
        typer.Option(
            "--count-pages/--no-count-pages",
            help="Count its pages by SNMP where nothing better tells that a job is out.",
        ),
    ],
    "snmp": Annotated[Snmp | None, typer.Option("--snmp", help="In which version of SNMP it is asked how it fares.")],
    "snmp_community": Annotated[
        _Text,
        typer.Option(
            "--snmp-community",
            metavar="WORD",
            help='The community by which it answers; "-" reads it from standard input, "" is public again.',
        ),
    ],
    "snmp_port": Annotated[_Number, typer.Option("--snmp-port", help="The UDP port of its SNMP agent.")],
    "status_interval": Annotated[
        _Text, typer.Option("--status-interval", help="How often it is asked how it fares, like 60s or 5m.")
    ],
    "quiet_hours": Annotated[
        _Several,
        typer.Option(
            "--quiet-hours",
            metavar="SPAN",
            help='When it is left alone, like 22:00-06:00 or "sat,sun 00:00-24:00"; may be repeated, "" for never.',
        ),
    ],
    "location": Annotated[_Text, typer.Option("--location", help="Where it stands.")],
    "model": Annotated[_Text, typer.Option("--model", help="What it is.")],
    "network_address": Annotated[_Text, typer.Option("--network-address", help="Its IP address.")],
    "netmask": Annotated[_Text, typer.Option("--netmask", help="Its netmask, 255.255.255.0 or /24.")],
    "gateway": Annotated[_Text, typer.Option("--gateway", help="The IP address of the router that it uses.")],
    "hardware_address": Annotated[
        _Text, typer.Option("--hardware-address", help="Its Ethernet address, like 00:00:5e:00:53:01.")
    ],
}
"""The options that put a value in the place of another, by the field of `Printer`."""
OPENING = frozenset({"unverified_ok", "raw", "unfiltered", "hold"})
"""Those that may do more, or less, than one thinks; see `warnings`."""


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as Typer shall see it: with each of `OPTIONS` where it has `options`, a dictionary of them."""
    signature = inspect.signature(command, eval_str=True)

    @wraps(command)
    def run(**given: Any) -> None:
        command(options={name: given.pop(name) for name in OPTIONS}, **given)

    parameters: list[inspect.Parameter] = []
    for own in signature.parameters.values():
        if own.name == "options":
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters += [inspect.Parameter(n, kind, default=None, annotation=a) for n, a in OPTIONS.items()]
        else:
            parameters.append(own)
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that were given, as fields of a `Printer`.

    Raises `PermanentFailure` for what is no ticket or no period.
    """
    changes: dict[str, Any] = {
        name: tuple(item for item in value if item) if isinstance(value, list) else value
        for name, value in options.items()
        if value is not None
    }
    if "ticket" in changes:
        changes["ticket"] = check(changes["ticket"], read_ticket)
    for name in PERIODS.keys() & changes.keys():
        changes[name] = check(changes[name], partial(read_period, name=name))
    if "snmp_community" in changes:
        word = changes["snmp_community"]
        changes["snmp_community"] = shell.read_password("community") if word == "-" else word or USUAL["snmp_community"]
    return changes


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
    """What settings of it open, and what they leave to be done, a sentence each."""
    told = []
    if printer.unverified_ok:
        told.append(
            f"Anybody can now print on {printer.name} who writes an allowed sender's address into his mail:"
            " nothing has to be proved. Take it back with --no-unverified-ok."
        )
    if sentence := opened.as_it_came(printer, printer.name):
        told.append(f"{sentence[:1].upper()}{sentence[1:]}.")
    if sentence := opened.unfiltered(printer, printer.name):
        told.append(f"{sentence[:1].upper()}{sentence[1:]}. Take it back with --unfiltered nobody.")
    if sentence := holding.codes(printer):
        told.append(f"{sentence[:1].upper()}{sentence[1:]}.")
    return told


def _known(names: Sequence[str] | None, those: Sequence[str], otherwise: str, printer: Printer) -> set[str]:
    """The names, if they are all among those; else the command ends."""
    for name in names or ():
        if name not in those:
            shell.fail(f"{otherwise.format(name)}; printpost printer show {printer.name}", os.EX_DATAERR)
    return set(names or ())
