"""What a directory must be able to do.  Every engine is held to `tests/contracts/directory.py`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mailstore.directory.records import Person, Printer


class Directory(Protocol):
    """The accounts of a site.

    Every call has a deadline of its own and raises `TransientFailure` ("4.4.3") when the directory does not answer and
    no remembered answer will do.  Look-ups are remembered (60 s; a miss 10 s; up to an hour while the directory is
    down), except passwords, which are never believed without the directory but for ten minutes after a good bind.
    A change made through Printpost raises the generation number in the store, upon which every process asks anew.
    """

    async def printer_by_address(self, address: str) -> Printer | None:
        """The printer that has `address` (domain and local part compared without case), without any subaddress."""

    async def printer(self, name: str) -> Printer | None: ...

    async def printers(self) -> Sequence[Printer]:
        """All of them, by name."""

    async def complaints(self) -> Sequence[tuple[str, str]]:
        """What `printers` had to leave out: the entry's DN, and why.  All are read anew."""

    async def verify(self, name: str, password: str) -> bool:
        """Whether the printer `name` has this password, asked by an LDAP bind.  An empty password is never right."""

    async def add(self, printer: Printer, password: str | None) -> None:
        """Raises `PermanentFailure` ("5.1.1") if the name or an address is taken."""

    async def replace(self, printer: Printer) -> None:
        """Write all settings of an existing printer.  Raises `PermanentFailure` if there is none of that name."""

    async def remove(self, name: str) -> None: ...

    async def set_password(self, name: str, password: str) -> None: ...

    def forget(self) -> None:
        """Believe nothing that is remembered: somebody changed the directory.

        Passwords are forgotten for good; anything else still serves when the directory does not answer.
        """

    async def close(self) -> None: ...


class People(Protocol):
    """The people of a site: our own users, whom Printpost keeps, and those of the site's directory, if it has one.

    Remembering, deadlines and failures are as for `Directory`.  A name or address that both know is our own user's.
    """

    async def person(self, name: str) -> Person | None: ...

    async def person_by_address(self, address: str) -> Person | None:
        """The person who has `address` (compared without case).

        `groups` is filled for our own users only; for everybody's there is `groups`.
        """

    async def groups(self, address: str) -> frozenset[str]:
        """The names, lower case, of the groups of the person who has `address`; none if nobody has.

        A subaddress is his who has the address without it (RFC 5233), and somebody who could not log in has groups too.
        Asks the site's directory once more, so it is called only where a rule names a group.  Raises `TransientFailure`
        also where the groups cannot be known whole: what is missing could be one that is denied.
        """

    async def people(self) -> Sequence[Person]:
        """Our own users, by name; the site's directory is not listed."""

    async def verify(self, name: str, password: str) -> Person | None:
        """The person of this user name or address if it is his password, asked by an LDAP bind; else None."""

    async def add(self, person: Person, password: str) -> None:
        """Raises `PermanentFailure` ("5.1.1") if the name or an address is taken, also by a printer."""

    async def replace(self, person: Person) -> None:
        """Write all that is known of one of our own users.  Raises `PermanentFailure` if there is none of that name."""

    async def remove(self, name: str) -> None: ...

    async def set_password(self, name: str, password: str) -> None: ...

    def forget(self) -> None: ...

    async def close(self) -> None: ...
