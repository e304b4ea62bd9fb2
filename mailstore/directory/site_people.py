"""The people of the site's own directory, which Printpost only reads: Active Directory, FreeIPA, OpenLDAP.

Nothing of our schema is expected there.  A user name is sought as `uid` and `sAMAccountName`, an address as `mail` and
among Exchange's `proxyAddresses`; then a bind as the entry that was found tells whether the password is right.

Security: names, addresses and passwords come from strangers, and entries from a directory in which people may change
some attributes of their own.  A name with @ is sought only among addresses and one without only among names, so that
nobody takes another's name by an address; what two entries have is nobody's.  A group may be one that is denied, so the
groups of an address are those of its entry even where that is nobody who could log in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from mailstore.directory.cache import LookupCache, Unusable
from mailstore.directory.logins import Logins, Pace
from mailstore.directory.person import SITE_ATTRIBUTES, FoundPerson, from_site
from mailstore.directory.results import Result
from mailstore.directory.server import LdapServer, check_filter, escaped
from mailstore.directory.site_groups import SiteGroups
from mailstore.directory.values import MalformedEntry, Source, read_own_address, read_user_name
from mailstore.failure import PermanentFailure

log = structlog.get_logger()


class SitePeople:
    """People anywhere below `base` whose entries match `condition` (RFC 4515).

    Raises `PermanentFailure` ("4.3.5") if there is no base, or the condition cannot be read.
    """

    def __init__(
        self,
        server: LdapServer,
        base: str,
        condition: str,
        administrators: Collection[str],
        *,
        clock: Callable[[], float],
        pace: Pace,
    ) -> None:
        if not base:
            raise PermanentFailure("4.3.5", "[people] base is missing: name the entry under which people are sought")
        check_filter(condition, "[people] filter")
        self._server = server
        self._base = base
        self._condition = condition
        self._administrators = frozenset(name.lower() for name in administrators)
        self.logins = Logins(server, clock=clock, pace=pace)
        self._by_name = LookupCache(self._find_name, clock=clock)
        self._by_address = LookupCache(self._find_address, clock=clock)
        self._site_groups = SiteGroups(server, base)
        self._groups = LookupCache(self._find_groups, clock=clock)

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

    async def groups(self, address: str) -> frozenset[str]:
        """The names of the groups of whoever has the address, also of somebody who could not log in here.

        Raises `Unusable` where several have it, or another entry has his user name, which groups may mean.
        """
        try:
            return await self._groups.get(read_own_address(address)) or frozenset()
        except ValueError:
            return frozenset()

    def forget(self) -> None:
        for cache in (self._by_name, self._by_address, self._groups):
            cache.forget()
        self.logins.forget()

    async def close(self) -> None:
        for asking in (self._by_name, self._by_address, self._groups, self.logins):
            await asking.close()
        self._server.close()

    async def _find_name(self, name: str) -> FoundPerson | None:
        value = escaped(name)
        found = await self._find_one(f"(|(uid={value})(sAMAccountName={value}))")
        # The entry may have another name that comes first, and be known by that one alone.
        return found if found and found.person.name == name else None

    async def _find_address(self, address: str) -> FoundPerson | None:
        found = await self._find_one(_having(address))
        return found if found and address in found.person.addresses else None

    async def _find_groups(self, address: str) -> frozenset[str] | None:
        entry = await self._entry(_having(address))
        if entry is None:
            return None
        source = Source({name.lower(): values for name, values in entry["raw_attributes"].items()})
        for name in source.each("uid", read_user_name) + source.each("sAMAccountName", read_user_name):
            await self.named(name)
        return await self._site_groups.of(entry["dn"])

    async def _find_one(self, condition: str) -> FoundPerson | None:
        entry = await self._entry(condition)
        if entry is None:
            return None
        try:
            return FoundPerson(entry["dn"], from_site(entry["raw_attributes"], self._administrators))
        except MalformedEntry as error:
            log.info("an entry of the site's directory is no usable person", dn=entry["dn"], why=str(error))
            return None

    async def _entry(self, condition: str) -> Result | None:
        """Raises `Unusable` if there are several."""
        entries = await self._server.some(self._base, f"(&{self._condition}{condition})", SITE_ATTRIBUTES)
        if len(entries) > 1:
            log.warning("several entries of the site's directory are one person", sought=condition)
            raise Unusable("the site's directory has several people by this name or address")
        return next(iter(entries), None)


def _having(address: str) -> str:
    value = escaped(address)
    return f"(|(mail={value})(proxyAddresses=smtp:{value}))"
