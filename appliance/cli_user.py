"""`printpost user ...`: make, see and change Printpost's own users."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import typer

from appliance import described, shell
from appliance.desk import COMMAND_LINE, Missing
from appliance.register import Register
from mailstore.config import Settings
from mailstore.directory.records import Person
from mailstore.directory.values import check, read_group

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="Make, see and change users.")

Name = Annotated[str, typer.Argument(help="The user's name: what logs in.")]
Mail = Annotated[
    list[str] | None,
    typer.Option("--mail", help="An address of the user, the one to show first; may be repeated."),
]
FullName = Annotated[str | None, typer.Option("--name", help="The full name.")]
Groups = Annotated[
    list[str] | None, typer.Option("--group", help="A group he is in, for rules like group:teachers; may be repeated.")
]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    mail: Mail = None,
    full_name: FullName = None,
    administrator: Annotated[bool, typer.Option("--administrator", help="May do everything.")] = False,
    group: Groups = None,
    password_stdin: PasswordStdin = False,
) -> None:
    """Make a user; without --mail, of the address NAME@ each of our domains."""
    settings: Settings = context.obj.settings()
    name = name.lower()
    person = Person(
        name=name,
        addresses=tuple(mail or (f"{name}@{domain}" for domain in settings.domains)),
        full_name=full_name or "",
        administrator=administrator,
        groups=tuple(group or ()),
    )
    given = shell.read_password() if password_stdin else ""
    password = _in_register(settings, lambda register: register.add(COMMAND_LINE, person, given))
    if not given:
        typer.echo(f"The password of {name} is {password} (shown only now).")


@app.command("set")
def set_(
    context: typer.Context,
    name: Name,
    mail: Mail = None,
    full_name: FullName = None,
    administrator: Annotated[
        bool | None, typer.Option("--administrator/--no-administrator", help="May do everything.")
    ] = None,
    group: Groups = None,
    forget_group: Annotated[
        list[str] | None, typer.Option("--forget-group", help="A group he is no longer in; may be repeated.")
    ] = None,
) -> None:
    """Change what is named.  --mail replaces all addresses, --group adds to the groups he is in."""
    given = {"addresses": tuple(mail) if mail else None, "full_name": full_name, "administrator": administrator}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if not (changes or group or forget_group):
        shell.fail("nothing to change; see printpost user set --help", 2)

    def fields(person: Person) -> dict[str, Any]:
        return changes | {"groups": _groups(person, group, forget_group)}

    _in_register(context.obj.settings(), lambda register: register.change(COMMAND_LINE, name, "", fields))


def _groups(person: Person, more: list[str] | None, less: list[str] | None) -> tuple[str, ...]:
    """The groups of `person` with some more and some less.  Raises `PermanentFailure` for what is no group's name."""
    added, gone = ([check(name, read_group) for name in names or ()] for names in (more, less))
    for name in gone:
        if name not in person.groups:
            shell.fail(f"{person.name} is in no group {name}; printpost user show {person.name}", os.EX_DATAERR)
    return tuple(dict.fromkeys(name for name in (*person.groups, *added) if name not in gone))


@app.command("list")
def list_(context: typer.Context, as_json: Json = False) -> None:
    """Show our own users; people of the site's directory are not listed."""

    async def work() -> list[Person]:
        async with shell.opened_people(context.obj.settings()) as (_, people):
            return list(await people.people())

    users = shell.run(work())
    if as_json:
        shell.show_json([described.person(user) for user in users])
        return
    shell.show_table(
        ("NAME", "ADDRESS", "FULL NAME", "ADMINISTRATOR", "GROUPS"),
        [
            (user.name, user.addresses[0], user.full_name, "yes" if user.administrator else "", ", ".join(user.groups))
            for user in users
        ],
        "There is no user yet; make one: printpost user add NAME --mail ADDRESS --administrator",
    )


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one user with his groups, also of the site's directory."""

    async def work() -> Person:
        async with shell.opened_people(context.obj.settings()) as (_, people):
            if (person := await people.person(name)) is None:
                shell.fail(f"there is no user {name}; printpost user list shows those there are", os.EX_NOUSER)
            if person.local or not person.addresses:
                return person
            return replace(person, groups=tuple(sorted(await people.groups(person.addresses[0]))))

    user = described.person(shell.run(work()))
    if as_json:
        shell.show_json(user)
    else:
        shell.show_fields([(key.replace("_", " "), value) for key, value in user.items()])


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Take a user away, with the mail that waits for him."""

    _in_register(context.obj.settings(), lambda register: register.remove(COMMAND_LINE, name))


@app.command()
def password(context: typer.Context, name: Name, password_stdin: PasswordStdin = False) -> None:
    """Give a user a new password, made up or from standard input; whoever is logged in has to log in again."""
    given = shell.read_password() if password_stdin else ""
    new = _in_register(context.obj.settings(), lambda register: register.set_password(COMMAND_LINE, name, given))
    if not given:
        typer.echo(f"The password of {name} is now {new} (shown only now).")


def _in_register(settings: Settings, act: Callable[[Register], Coroutine[Any, Any, T]]) -> T:
    async def work() -> T:
        async with shell.opened_people(settings) as (store, people):
            try:
                return await act(Register(settings, store, people))
            except Missing as missing:
                shell.fail(f"{missing.text}; printpost user list shows those there are", os.EX_NOUSER)

    return shell.run(work())
