"""The entries that Printpost writes: those of printers, and those of its own users.

Names and addresses are unique over both, for both are POP3 user names and recipients of mail.  This file looks before
it writes, and `turn` keeps two from looking at once; the server's overlay `unique` stops other clients.

Security: an entry's DN is the server's own or made of a name that was checked; values in filters are escaped.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import structlog

from mailstore.directory import entry, person
from mailstore.directory.cache import Unusable
from mailstore.directory.results import ALREADY_EXISTS, NO_SUCH_OBJECT, Refused, Result, translated
from mailstore.directory.server import LdapServer, escaped
from mailstore.directory.values import check_password, read_name, read_user_name
from mailstore.failure import Failure, PermanentFailure

log = structlog.get_logger()

Attributes = Mapping[str, Sequence[str]]
"""An entry's attributes without `objectClass` and `userPassword`; an empty list means: not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What tells printers' entries from people's."""

    noun: str
    unit: str  # the entry under which new ones are made
    object_classes: Sequence[str]
    attributes: Sequence[str]
    read_name: Callable[[str], str]
    command: str  # that shows all

    @property
    def condition(self) -> str:
        """The filter that all entries of the kind match."""
        return f"(objectClass={self.object_classes[-1]})"


PRINTERS = Kind(
    noun="printer",
    unit="printers",
    object_classes=entry.OBJECT_CLASSES,
    attributes=entry.ATTRIBUTES,
    read_name=read_name,
    command="printpost printer list",
)
USERS = Kind(
    noun="user",
    unit="people",
    object_classes=person.OBJECT_CLASSES,
    attributes=person.ATTRIBUTES,
    read_name=read_user_name,
    command="printpost user list",
)
_KINDS = (PRINTERS, USERS)


def named(name: str) -> str:
    return f"(uid={escaped(name)})"


def addressed(address: str) -> str:
    value = escaped(address)
    return f"(|(mail={value})(mailLocalAddress={value}))"


class Accounts:
    """The entries of one kind anywhere below `base`.  `changed` is called after each change, also one that failed."""

    def __init__(self, server: LdapServer, base: str, kind: Kind, changed: Callable[[], None]) -> None:
        self._server = server
        self._base = base
        self._kind = kind
        self._changed = changed

    async def find(self, condition: str) -> Result | None:
        """Raises `Unusable` if there are several."""
        entries = await self._search(self._kind.condition, condition, self._kind.attributes)
        if len(entries) > 1:
            log.warning(f"several directory entries are one {self._kind.noun}", sought=condition)
            raise Unusable(f"the directory has several {self._kind.noun}s by this name or address")
        return entries[0] if entries else None

    async def add(self, name: str, attributes: Attributes, password: str | None) -> None:
        """Raises `PermanentFailure` ("5.1.1") if the name or an address is taken, ("5.5.4") for a bad password."""
        if password is not None:
            check_password(password)
        await self._check_free(name, attributes)
        dn = f"uid={name},ou={self._kind.unit},{self._base}"
        try:
            await self._done(self._server.add(dn, self._kind.object_classes, attributes))
        except Refused as refused:
            if refused.code == ALREADY_EXISTS:
                raise PermanentFailure("5.1.1", f"there is a {self._kind.noun} {name} already") from None
            if refused.code == NO_SUCH_OBJECT:
                raise PermanentFailure(
                    "5.3.5", f"the directory has no ou={self._kind.unit},{self._base}: make it first"
                ) from None
            raise refused.failure() from None
        if password is not None:
            try:
                await self._done(self._server.set_password(dn, password))
            except BaseException:
                # Half an account is none.  Shielded, for whoever asked may have gone.
                with contextlib.suppress(Refused, Failure):
                    await asyncio.shield(self._done(self._server.delete(dn)))
                raise

    async def replace(self, name: str, attributes: Attributes) -> None:
        """Raises `PermanentFailure` ("5.1.1") if there is none of that name, or an address is taken."""
        dn = await self._dn(name)
        await self._check_free(name, attributes, dn)
        changes = {key: values for key, values in attributes.items() if key != "uid"}
        with translated():
            await self._done(self._server.modify(dn, changes))

    async def remove(self, name: str) -> None:
        """Raises `PermanentFailure` ("5.1.1") if there is none of that name."""
        dn = await self._dn(name)
        with translated():
            await self._done(self._server.delete(dn))

    async def set_password(self, name: str, password: str) -> None:
        """Raises `PermanentFailure` ("5.1.1") if there is none of that name, ("5.5.4") for a bad password."""
        check_password(password)
        await self._done(self._server.set_password(await self._dn(name), password))

    async def _done(self, change: Awaitable[None]) -> None:
        try:
            await change
        finally:
            self._changed()  # also if it may or may not have been made

    async def _search(self, of_kind: str, condition: str, attributes: Sequence[str]) -> list[Result]:
        return await self._server.some(self._base, f"(&{of_kind}{condition})", attributes)

    async def _dn(self, name: str) -> str:
        """The DN of an existing entry, asked anew."""
        try:
            entries = await self._search(self._kind.condition, named(self._kind.read_name(name)), ("uid",))
        except ValueError:
            entries = []
        if len(entries) != 1:
            raise PermanentFailure("5.1.1", f"there is no {self._kind.noun} {name!a}: see {self._kind.command}")
        return str(entries[0]["dn"])

    async def _check_free(self, name: str, attributes: Attributes, own: str = "") -> None:
        """Raises `PermanentFailure` if another entry than `own` has one of the addresses, or the name."""
        if not own and (kind := await self._taken(named(name), own)):
            raise PermanentFailure("5.1.1", f"there is a {kind.noun} {name} already")
        for address in attributes["mailLocalAddress"]:
            if kind := await self._taken(addressed(address), own):
                whom = f"another {kind.noun}" if kind is self._kind else f"a {kind.noun}"
                raise PermanentFailure("5.1.1", f"{address} is taken by {whom}: choose another address")

    async def _taken(self, condition: str, own: str) -> Kind | None:
        """Of which kind the entry is, other than `own`, that matches."""
        for kind in _KINDS:
            for found in await self._search(kind.condition, condition, ("uid",)):
                if found["dn"].lower() != own.lower():
                    return kind
        return None
