"""The register: what an administrator does with our own users, the same for the page, the API and the commands.

Security: rights are asked here.  Somebody who can administer always remains; whoever is removed, or gets another
password, is out of every session, and so is whoever bore a name that becomes one of our own users'.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.desk import COMMAND_LINE, Conflict, Missing
from appliance.people import made_up_password
from appliance.rights import Act, NotAllowed, demand
from mailstore.config import Settings
from mailstore.directory.contract import People
from mailstore.directory.person import checked
from mailstore.directory.records import MAILDROP_OF_PERSON, Person
from mailstore.directory.turn import our_turn
from mailstore.failure import PermanentFailure
from mailstore.store.contract import Store

Changes = Mapping[str, Any] | Callable[[Person], Mapping[str, Any]]


class Register:
    """Every call may raise `NotAllowed`, `Missing`, another `PermanentFailure`, or `TransientFailure`."""

    def __init__(self, settings: Settings, store: Store, people: People) -> None:
        self._settings = settings
        self._store = store
        self._people = people

    async def listed(self, by: Person) -> Sequence[Person]:
        """Our own users, by name."""
        demand(by, Act.MANAGE)
        return await self._people.people()

    async def person(self, by: Person, name: str) -> Person:
        """One of our own users.  Raises `Missing`; says so of one whom the site's own directory keeps."""
        demand(by, Act.MANAGE)
        return await self._own(name)

    async def add(self, by: Person, person: Person, password: str = "") -> str:
        """Make a user; returns the password, made up if none is given."""
        demand(by, Act.MANAGE)
        secret = password or made_up_password()
        async with our_turn(self._settings.store.folder):
            await self._people.add(person, secret)
            await self._store.changed()
            # Somebody of this name in the site's own directory is another person, and may be logged in.
            await self._store.end_sessions(person.name.lower())
        return secret

    async def change(self, by: Person, name: str, seen: str, changes: Changes) -> Person:
        """Change one of whom `by` has seen the revision `seen` ("": whichever).  Raises `Conflict`.

        `changes` are fields of a `Person`, or what makes them of him as he is.  Returns him as he is stored.
        """
        demand(by, Act.MANAGE)
        async with our_turn(self._settings.store.folder):
            await self._look_again(by)
            person = await self._own(name)
            if seen and seen != person.revision:
                raise Conflict(person)
            fields = changes(person) if callable(changes) else changes
            changed = checked(dataclasses.replace(person, **fields))
            if person.administrator and not changed.administrator:
                await self._demand_another(by, person, "nobody takes this right from himself")
            if changed != person:
                await self._people.replace(changed)
                await self._store.changed()
        return changed

    async def remove(self, by: Person, name: str) -> None:
        """Take a user away, with the mail that waits for him; also what a removal that was broken off left."""
        demand(by, Act.MANAGE)
        name = name.lower()
        maildrop = f"{MAILDROP_OF_PERSON}{name}"
        async with our_turn(self._settings.store.folder):
            await self._look_again(by)
            _, left = await self._store.standing(maildrop)
            if not left or await self._people.person(name):
                person = await self._own(name)
                await self._demand_another(by, person, "nobody removes himself")
                await self._people.remove(person.name)
            await self._store.changed()  # before the mail goes: from now on nobody takes any for him
            await self._store.end_sessions(name)
            await self._store.forget_printer(maildrop)

    async def set_password(self, by: Person, name: str, password: str = "") -> str:
        """Give a user another password, made up if none is given; returns it.  Everybody may change his own."""
        if by.name != name:
            demand(by, Act.MANAGE)
        secret = password or made_up_password()
        async with our_turn(self._settings.store.folder):
            person = await self._own(name)
            await self._people.set_password(person.name, secret)
            await self._store.changed()
            await self._store.end_sessions(person.name)
        return secret

    async def _look_again(self, by: Person) -> None:
        """What is remembered may be a minute old.  Raises `NotAllowed` if somebody took the right from `by` in it."""
        self._people.forget()
        if by is not COMMAND_LINE:
            now = await self._people.person(by.name)
            demand(now or dataclasses.replace(by, administrator=False), Act.MANAGE)

    async def _own(self, name: str) -> Person:
        person = await self._people.person(name.lower())
        if person is None:
            raise Missing(f"there is no user {name[:100]!a}")
        if not person.local:
            raise PermanentFailure(
                "5.5.4", f"{person.name} is in the site's own directory, which Printpost only reads: change it there"
            )
        return person

    async def _demand_another(self, by: Person, person: Person, himself: str) -> None:
        """Raises `NotAllowed` or `PermanentFailure` if nobody but `person` could administer, or it is he who asks."""
        if by.name == person.name:
            raise NotAllowed(f"{himself}; another administrator can")
        others = (one for one in await self._people.people() if one.name != person.name)
        if person.administrator and not any(one.administrator for one in others):
            raise PermanentFailure(
                "5.5.4",
                f"{person.name} is the last administrator; make another one first: "
                "printpost user set NAME --administrator",
            )
