"""The people of a site: our own users, and those of the site's directory where there is one.

Our own win: a name or an address that both know is our own user's.  So our own are asked first, and the site's
directory only for those whom we do not know; while it is down our own users log in all the same.

Security: in the site's directory people may be able to change their own addresses, and an address is what senders and
the three roles are known by.  One that is one of our own users', or that another entry there has too, is taken away
from whoever claims it; and who bears the name of one of our own users is not let in, for that name is a maildrop and
may be an administrator's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mailstore.address import split_subaddress
from mailstore.directory.cache import Unusable
from mailstore.directory.logins import Logins
from mailstore.directory.own_people import OwnPeople
from mailstore.directory.person import FoundPerson
from mailstore.directory.records import Person
from mailstore.directory.site_people import SitePeople


class LdapPeople:
    """A `mailstore.directory.contract.People`."""

    def __init__(self, own: OwnPeople, site: SitePeople | None = None) -> None:
        self._own = own
        self._site = site

    async def person(self, name: str) -> Person | None:
        found, _ = await self._named(name)
        return found.person if found else None

    async def person_by_address(self, address: str) -> Person | None:
        found, _ = await self._addressed(address)
        return found.person if found else None

    async def groups(self, address: str) -> frozenset[str]:
        plain, _ = split_subaddress(address)
        if (own := await self._own.addressed(plain)) or not self._site:
            return frozenset(own.person.groups if own else ())
        return await self._site.groups(plain)

    async def people(self) -> Sequence[Person]:
        return await self._own.all()

    async def verify(self, name: str, password: str) -> Person | None:
        found, logins = await (self._addressed(name) if "@" in name else self._named(name))
        return found.person if await logins.right(found.dn if found else None, password) and found else None

    async def add(self, person: Person, password: str) -> None:
        await self._own.add(person, password)

    async def replace(self, person: Person) -> None:
        await self._own.replace(person)

    async def remove(self, name: str) -> None:
        await self._own.remove(name)

    async def set_password(self, name: str, password: str) -> None:
        await self._own.set_password(name, password)

    def forget(self) -> None:
        for people in self._both():
            people.forget()

    async def close(self) -> None:
        for people in self._both():
            await people.close()

    async def _named(self, name: str) -> tuple[FoundPerson | None, Logins]:
        """Who bears the name, and where to try passwords."""
        if (own := await self._own.named(name)) or not self._site:
            return own, self._own.logins
        return await self._without_others(self._site, await self._site.named(name)), self._site.logins

    async def _addressed(self, address: str) -> tuple[FoundPerson | None, Logins]:
        if (own := await self._own.addressed(address)) or not self._site:
            return own, self._own.logins
        return await self._without_others(self._site, await self._site.addressed(address)), self._site.logins

    async def _without_others(self, site: SitePeople, found: FoundPerson | None) -> FoundPerson | None:
        """Somebody of the site's directory without what is our own users', or somebody else's there too."""
        if found is None or await self._own.named(found.person.name):
            return None
        free = [
            address
            for address in found.person.addresses
            if not await self._own.addressed(address) and await _is_alone(site, address)
        ]
        return FoundPerson(found.dn, replace(found.person, addresses=tuple(free)))

    def _both(self) -> Sequence[OwnPeople | SitePeople]:
        return (self._own, self._site) if self._site else (self._own,)


async def _is_alone(site: SitePeople, address: str) -> bool:
    """Whether no other entry has the address of the entry in which it was found."""
    try:
        await site.addressed(address)
    except Unusable:
        return False
    return True
