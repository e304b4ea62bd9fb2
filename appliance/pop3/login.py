"""Who may log in, and from where (design: passwords in clear only where nobody listens, or where the entry allows it).

Security: names and passwords are strangers' guesses.  Each wrong one costs the same time, whether the name exists or
not, a session has few, and a client over all its connections has not many (`guessing`); where a password may not be
sent in clear the name is refused before it is, with one answer for all names.  Only printers are looked up before the
password, and only where one of them may send it in clear.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from ipaddress import ip_network

from appliance.guessing import Guesses
from appliance.peer import Address, within
from mailstore.directory.contract import Directory, People
from mailstore.directory.records import Person, Printer

Account = Printer | Person
"""Who has a maildrop."""


def may_send_in_clear(peer: Address, account: Account | None) -> bool:
    """Whether this account's USER and PASS are taken from here without TLS; None is one that does not exist."""
    if peer.is_loopback:
        return True
    named = account.plain_from if isinstance(account, Printer) else ()
    return within(peer, (ip_network(network, strict=False) for network in named))


def maildrop_of(account: Account) -> str:
    """The store's name of the account's maildrop."""
    return account.maildrop if isinstance(account, Person) else account.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Printers and people by user name, which is a name or an address.  A printer's goes before a person's.

    Every call raises `TransientFailure` if a directory does not answer.
    """

    directory: Directory
    people: People | None
    guesses: Guesses
    delay: float  # seconds that a "no" takes in all

    async def printer(self, name: str) -> Printer | None:
        """A group has no maildrop, so it is like one that does not exist."""
        name = name.lower()
        found = await (self.directory.printer_by_address(name) if "@" in name else self.directory.printer(name))
        return None if found is None or found.is_group else found

    async def find(self, name: str) -> Account | None:
        if (printer := await self.printer(name)) or self.people is None:
            return printer
        name = name.lower()
        return await (self.people.person_by_address(name) if "@" in name else self.people.person(name))

    async def verify(self, client: str, name: str, password: str) -> tuple[Account | None, bool]:
        """The account of this name, and whether it is its password; `client` is the address of who says so.

        Raises `TooManyGuesses`.
        """
        began = time.monotonic()
        async with self.guesses.trying(client, name) as trial:
            account = await self.find(name)
            right = await self._is_right(account, name, password)
            if right:
                trial.right()
        if not right:
            await asyncio.sleep(max(0.0, began + self.delay - time.monotonic()))
        return account, right

    async def _is_right(self, account: Account | None, name: str, password: str) -> bool:
        if isinstance(account, Person):
            assert self.people
            return await self.people.verify(account.name, password) is not None
        # A name that does not exist is asked for all the same: the directory must not be quicker to say no.
        right = await self.directory.verify(account.name if account else name.lower(), password)
        return right and account is not None
