"""`printpost user ...`: make, see and change Printpost's own users."""

from __future__ import annotations

import dataclasses
import os
from typing import Annotated, Any

import typer

from appliance import described, shell
from appliance.people import made_up_password
from mailstore.config import Settings
from mailstore.directory.contract import People
from mailstore.directory.records import MAILDROP_OF_PERSON, Person

app = typer.Typer(no_args_is_help=True, help="Make, see and change users.")

Name = Annotated[str, typer.Argument(help="The user's name: what logs in.")]
Mail = Annotated[
    list[str] | None,
    typer.Option("--mail", help="An address of the user, the one to show first; may be repeated."),
]
FullName = Annotated[str | None, typer.Option("--name", help="The full name.")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command()
def add(
    context: typer.Context,
    name: Name,
    mail: Mail = None,
    full_name: FullName = None,
    administrator: Annotated[bool, typer.Option("--administrator", help="May do everything.")] = False,
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
    )
    password = shell.read_password() if password_stdin else made_up_password()

    async def work() -> None:
        async with shell.opened_people_to_change(settings) as (store, people):
            await people.add(person, password)
            await store.changed()

    shell.run(work())
    if not password_stdin:
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
) -> None:
    """Change what is named.  --mail replaces all addresses."""
    given = {"addresses": tuple(mail) if mail else None, "full_name": full_name, "administrator": administrator}
    changes: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if not changes:
        shell.fail("nothing to change; see printpost user set --help", 2)

    async def work() -> None:
        async with shell.opened_people_to_change(context.obj.settings()) as (store, people):
            person = await _own(people, name)
            if administrator is False:
                await _not_the_last(people, person)
            await people.replace(dataclasses.replace(person, **changes))
            await store.changed()

    shell.run(work())


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
        ("NAME", "ADDRESS", "FULL NAME", "ADMINISTRATOR"),
        [(user.name, user.addresses[0], user.full_name, "yes" if user.administrator else "") for user in users],
        "There is no user yet; make one: printpost user add NAME --mail ADDRESS --administrator",
    )


@app.command()
def show(context: typer.Context, name: Name, as_json: Json = False) -> None:
    """Show one user, also of the site's directory."""

    async def work() -> Person:
        async with shell.opened_people(context.obj.settings()) as (_, people):
            return await _existing(people, name)

    user = described.person(shell.run(work()))
    if as_json:
        shell.show_json(user)
    else:
        shell.show_fields([(key.replace("_", " "), value) for key, value in user.items()])


@app.command()
def remove(context: typer.Context, name: Name) -> None:
    """Take a user away, with the mail that waits for him."""

    async def work() -> None:
        async with shell.opened_people_to_change(context.obj.settings()) as (store, people):
            maildrop = f"{MAILDROP_OF_PERSON}{name.lower()}"
            # A removal that was broken off leaves mail of somebody who is gone.
            _, left = await store.standing(maildrop)
            if not left or await people.person(name):
                person = await _own(people, name)
                await _not_the_last(people, person)
                await people.remove(person.name)
            await store.changed()  # before the mail goes: from now on nobody takes any for him
            await store.end_sessions(name.lower())
            await store.forget_printer(maildrop)

    shell.run(work())


@app.command()
def password(context: typer.Context, name: Name, password_stdin: PasswordStdin = False) -> None:
    """Give a user a new password, made up or from standard input; whoever is logged in has to log in again."""
    new = shell.read_password() if password_stdin else made_up_password()

    async def work() -> None:
        async with shell.opened_people_to_change(context.obj.settings()) as (store, people):
            person = await _own(people, name)
            await people.set_password(person.name, new)
            await store.changed()
            await store.end_sessions(person.name)

    shell.run(work())
    if not password_stdin:
        typer.echo(f"The password of {name} is now {new} (shown only now).")


async def _existing(people: People, name: str) -> Person:
    person = await people.person(name)
    if person is None:
        shell.fail(f"there is no user {name}; printpost user list shows those there are", os.EX_NOUSER)
    return person


async def _own(people: People, name: str) -> Person:
    person = await _existing(people, name)
    if not person.local:
        shell.fail(f"{name} is in the site's own directory, which Printpost only reads: change it there", os.EX_DATAERR)
    return person


async def _not_the_last(people: People, person: Person) -> None:
    if person.administrator and not any(one.administrator for one in await people.people() if one.name != person.name):
        shell.fail(
            f"{person.name} is the last administrator; make another one first: printpost user set NAME --administrator",
            os.EX_DATAERR,
        )
