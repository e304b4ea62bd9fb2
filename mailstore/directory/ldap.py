"""The printers' directory: its contract kept by a real LDAP server, whether embedded or the site's own.

Security: names, addresses and passwords come from strangers.  What cannot be a name or an address is not asked for;
the rest is escaped.
"""

from __future__ import annotations

import random as _random
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from mailstore.directory.accounts import PRINTERS, Accounts, addressed, named
from mailstore.directory.cache import LookupCache, Unusable
from mailstore.directory.entry import ATTRIBUTES, checked, to_attributes
from mailstore.directory.listing import Found, Listing, complaints, followed, read
from mailstore.directory.logins import Logins, Pace
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.records import Printer
from mailstore.directory.server import LdapServer, Reader
from mailstore.directory.slapd import secret, socket_url
from mailstore.directory.values import read_address, read_name

LISTING = 60.0  # seconds for all printers


def embedded(folder: Path, runtime: Path, role: Identity | str) -> LdapDirectory:
    """The embedded server's client, as "appliance" or "bridge".  Raises `PermanentFailure` if it was never made."""
    identity = Identity(role)
    return LdapDirectory(socket_url(runtime), SUFFIX, identity.dn, secret(folder, identity))


class LdapDirectory:
    """A `mailstore.directory.contract.Directory`.

    Printers are sought anywhere below `base`; new ones are put into `ou=printers` below it.  Raises `PermanentFailure`
    if `url` or `ca` cannot be used.
    """

    def __init__(
        self,
        url: str,
        base: str,
        bind_dn: str,
        password: str,
        *,
        ca: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._base = base
        self._server = LdapServer(url, bind_dn, password, ca=ca, clock=clock, random=random)
        self._accounts = Accounts(self._server, base, PRINTERS, self.forget)
        self._logins = Logins(self._server, clock=clock, pace=Pace())
        self._by_name = LookupCache(self._find_name, clock=clock)
        self._by_address = LookupCache(self._find_address, clock=clock)
        self._all = LookupCache(self._find_all, clock=clock)
        self._clock = clock
        self._listing = Listing()

    async def printer_by_address(self, address: str) -> Printer | None:
        try:
            found = await self._by_address.get(read_address(address))
        except ValueError:
            return None
        return found.printer if found else None

    async def printer(self, name: str) -> Printer | None:
        try:
            found = await self._by_name.get(read_name(name))
        except ValueError:
            return None
        return found.printer if found else None

    async def printers(self) -> Sequence[Printer]:
        return await self._all.get("") or ()

    async def complaints(self) -> Sequence[tuple[str, str]]:
        return await self._server.looked(
            lambda reader: complaints(reader.everything(self._base, PRINTERS.condition, ATTRIBUTES)), deadline=LISTING
        )

    async def verify(self, name: str, password: str) -> bool:
        try:
            found = await self._by_name.get(read_name(name))
        except ValueError:
            found = None
        return await self._logins.right(found.dn if found else None, password)

    async def add(self, printer: Printer, password: str | None) -> None:
        printer = checked(printer)
        await self._accounts.add(printer.name, to_attributes(printer), password)

    async def replace(self, printer: Printer) -> None:
        printer = checked(printer)
        await self._accounts.replace(printer.name, to_attributes(printer))

    async def remove(self, name: str) -> None:
        await self._accounts.remove(name)

    async def set_password(self, name: str, password: str) -> None:
        await self._accounts.set_password(name, password)

    def forget(self) -> None:
        for cache in (self._by_name, self._by_address, self._all):
            cache.forget()
        self._logins.forget()

    async def close(self) -> None:
        for asking in (self._by_name, self._by_address, self._all, self._logins):
            await asking.close()
        self._server.close()

    async def _find_name(self, name: str) -> Found | None:
        return await self._find_one(named(name))

    async def _find_address(self, address: str) -> Found | None:
        return await self._find_one(addressed(address))

    async def _find_one(self, condition: str) -> Found | None:
        entry = await self._accounts.find(condition)
        if entry is None:
            return None
        found = read(entry)
        if found is None:
            raise Unusable("the printer's entry in the directory is damaged")
        return found

    async def _find_all(self, _: str) -> tuple[Printer, ...]:
        last, now = self._listing, self._clock()
        self._listing = await self._server.looked(
            lambda reader: _followed(reader, self._base, last, now), deadline=LISTING
        )
        return self._listing.printers


def _followed(reader: Reader, base: str, last: Listing, now: float) -> Listing:
    return followed(
        last,
        now,
        lambda wanted: reader.everything(base, PRINTERS.condition, wanted),
        lambda dn, wanted: reader.one(dn, PRINTERS.condition, wanted),
    )
