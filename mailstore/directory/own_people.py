"""Our own users, whom Printpost keeps beside the printers.

Security: names, addresses and passwords come from strangers.  What cannot be a name or an address is not asked for;
the rest is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from mailstore.directory.accounts import USERS, Accounts, addressed, named
from mailstore.directory.cache import LookupCache, Unusable
from mailstore.directory.logins import Logins, Pace
from mailstore.directory.person import FoundPerson, checked, from_attributes, to_attributes
from mailstore.directory.records import Person
from mailstore.directory.results import Result
from mailstore.directory.server import LdapServer, Reader
from mailstore.directory.values import MalformedEntry, read_own_address, read_user_name

LISTING = 30.0  # seconds for all users

log = structlog.get_logger()


class OwnPeople:
    """Users anywhere below `base`; new ones are put into `ou=people` below it."""

    def __init__(self, server: LdapServer, base: str, *, clock: Callable[[], float], pace: Pace) -> None:
        self._base = base
        self._server = server
        self._accounts = Accounts(server, base, USERS, self.forget)
        self.logins = Logins(server, clock=clock, pace=pace)
        self._by_name = LookupCache(self._find_name, clock=clock)
        self._by_address = LookupCache(self._find_address, clock=clock)
        self._all = LookupCache(self._find_all, clock=clock)

    async def named(self, name: str) -> FoundPerson | None:
        try:
            return await self._by_name.get(read_user_name(name))
        except ValueError:
            return None

    async def addressed(self, address: str) -> FoundPerson | None:
        try:
            return await self._by_address.get(read_own_address(address))
        except ValueError:
            return None

    async def all(self) -> Sequence[Person]:
        return await self._all.get("") or ()

    async def add(self, person: Person, password: str) -> None:
        person = checked(person)
        await self._accounts.add(person.name, to_attributes(person), password)

    async def replace(self, person: Person) -> None:
        person = checked(person)
        await self._accounts.replace(person.name, to_attributes(person))

    async def remove(self, name: str) -> None:
        await self._accounts.remove(name)

    async def set_password(self, name: str, password: str) -> None:
        await self._accounts.set_password(name, password)

    def forget(self) -> None:
        for cache in (self._by_name, self._by_address, self._all):
            cache.forget()
        self.logins.forget()

    async def close(self) -> None:
        for asking in (self._by_name, self._by_address, self._all, self.logins):
            await asking.close()
        self._server.close()

    async def _find_name(self, name: str) -> FoundPerson | None:
        return await self._find_one(named(name))

    async def _find_address(self, address: str) -> FoundPerson | None:
        return await self._find_one(addressed(address))

    async def _find_one(self, condition: str) -> FoundPerson | None:
        entry = await self._accounts.find(condition)
        if entry is None:
            return None
        person = _read(entry)
        if person is None:
            raise Unusable("the user's entry in the directory is damaged")
        return FoundPerson(entry["dn"], person)

    async def _find_all(self, _: str) -> tuple[Person, ...]:
        def read(reader: Reader) -> tuple[Person, ...]:
            entries = reader.everything(self._base, USERS.condition, USERS.attributes)
            people = (person for entry in entries if (person := _read(entry)))
            return tuple(sorted(people, key=lambda person: person.name))

        return await self._server.looked(read, deadline=LISTING)


def _read(entry: Result) -> Person | None:
    """The entry's person, or None, and then the log says why."""
    try:
        return from_attributes(entry["raw_attributes"])
    except MalformedEntry as error:
        log.warning("a directory entry is no usable user", dn=entry["dn"], why=str(error))
        return None
