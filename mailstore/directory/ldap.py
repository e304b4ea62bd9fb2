"""The LDAP client: a directory's contract kept by a real server, whether embedded or the site's own.

ldap3 is synchronous.  Its calls run in threads that this file owns, each with one connection: some that are bound as
our identity and look up, some that only bind, to try passwords.  Everything an LDAP server may do wrong ends here as
a `TransientFailure` or a `PermanentFailure`.

Security: names and passwords come from strangers.  Filters are escaped, DNs are the server's own or made of checked
names, an empty password is never sent (RFC 4513 section 5.1.2).  Nothing is bound in clear over a network, the
server's certificate is always checked, referrals are never followed (they would carry our password elsewhere), and
every wait has an end.
"""

from __future__ import annotations

import asyncio
import contextlib
import random as _random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
from ldap3 import BASE, MODIFY_REPLACE, NONE, SUBTREE, SYNC, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException, LDAPSASLPrepError
from ldap3.utils.conv import escape_filter_chars

from mailstore.directory.cache import CircuitBreaker, LookupCache, PasswordMemory, Questions, Unusable
from mailstore.directory.entry import (
    ATTRIBUTES,
    OBJECT_CLASSES,
    PASSWORD_OCTETS,
    check_password,
    checked,
    read_address,
    read_name,
    to_attributes,
)
from mailstore.directory.lines import Lines
from mailstore.directory.listing import Found, Listing, followed, read
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.records import Printer
from mailstore.directory.results import (
    ALREADY_EXISTS,
    NO_SUCH_OBJECT,
    SIZE_LIMIT_EXCEEDED,
    Refused,
    Result,
    bound,
    succeeded,
    translated,
)
from mailstore.directory.slapd import secret, socket_url
from mailstore.directory.url import ServerUrl
from mailstore.failure import Failure, PermanentFailure

log = structlog.get_logger()

CONNECTING = 3  # seconds
RECEIVING = 5  # seconds
DEADLINE = 6.0  # seconds for a whole request, waiting for a thread included
LISTING = 60.0  # the same for all printers
_THREADS = 4  # that look up, and as many that try passwords
_LOST = (LDAPException, OSError)  # what ends a connection
_PAGE = 500  # entries; below the size limits that servers come with
_MOST = 100_000  # printers
_PRINTERS = "(objectClass=printpostPrinter)"
_PAGED_RESULTS = "1.2.840.113556.1.4.319"  # RFC 2696


def embedded(folder: Path, runtime: Path, role: Identity | str) -> LdapDirectory:
    """The embedded server's client, as "appliance" or "bridge".  Raises `PermanentFailure` if it was never made."""
    identity = Identity(role)
    return LdapDirectory(socket_url(runtime), SUFFIX, identity.dn, secret(folder, identity))


class LdapDirectory:
    """A `mailstore.directory.contract.Directory`.

    `url` is ldapi://, ldaps:// or ldap:// (then StartTLS, unless the server is this machine).  Printers are sought
    anywhere below `base`; new ones are put into `ou=printers` below it.  `ca` is a file of certificates in PEM form
    that replaces the machine's own.  Raises `PermanentFailure` if the URL cannot be used.
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
        if bind_dn and not password:
            raise PermanentFailure("4.3.5", f"[directory] bind_password_file is missing or empty: {bind_dn} needs one")
        self._base = base
        server = _Server(url, ca)

        def lines(name: str, connect: Callable[[], Connection]) -> Lines[Connection]:
            breaker = CircuitBreaker(clock=clock, random=random, deadline=DEADLINE)
            return Lines(name, _THREADS, connect=connect, abandon=_abandon, lost=_LOST, breaker=breaker)

        self._service = lines("ldap", lambda: server.connect(bind_dn, password))
        self._logins = lines("ldap-login", server.connect)
        self._by_name = LookupCache(self._find_name, clock=clock)
        self._by_address = LookupCache(self._find_address, clock=clock)
        self._all = LookupCache(self._find_all, clock=clock)
        self._clock = clock
        self._listing = Listing()
        self._passwords = PasswordMemory(clock=clock)
        self._binds: Questions[bool] = Questions()

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

    async def verify(self, name: str, password: str) -> bool:
        if not password or len(password.encode("utf-8", "surrogatepass")) > PASSWORD_OCTETS:
            return False
        try:
            name = read_name(name)
        except ValueError:
            return False
        if self._passwords.knows(name, password):
            return True
        # A bind costs the server a hash that is meant to be slow: who asks the same meanwhile waits for the same one.
        return await self._binds.ask(self._passwords.digest(name, password), lambda: self._bind_as(name, password))

    async def add(self, printer: Printer, password: str | None) -> None:
        printer = checked(printer)
        if password is not None:
            check_password(password)
        await self._check_free(printer)
        dn = f"uid={printer.name},ou=printers,{self._base}"
        attributes = {name: values for name, values in to_attributes(printer).items() if values}
        try:
            await self._write("add", lambda line: line.add(dn, list(OBJECT_CLASSES), attributes))
        except Refused as refused:
            if refused.code == ALREADY_EXISTS:
                raise PermanentFailure("5.1.1", f"there is a printer {printer.name} already") from None
            if refused.code == NO_SUCH_OBJECT:
                raise PermanentFailure(
                    "5.3.5", f"the directory has no ou=printers,{self._base}: make it first"
                ) from None
            raise refused.failure() from None
        if password is not None:
            try:
                await self._set_password(dn, password)
            except BaseException:
                # Half a printer is none.  Shielded, for whoever asked may have gone.
                with contextlib.suppress(Refused, Failure):
                    await asyncio.shield(self._write("delete", lambda line: line.delete(dn)))
                raise

    async def replace(self, printer: Printer) -> None:
        printer = checked(printer)
        dn = await self._dn(printer.name)
        await self._check_free(printer, dn)
        changes = {name: [(MODIFY_REPLACE, values)] for name, values in to_attributes(printer).items() if name != "uid"}
        with translated():
            await self._write("modify", lambda line: line.modify(dn, changes))

    async def remove(self, name: str) -> None:
        dn = await self._dn(name)
        with translated():
            await self._write("delete", lambda line: line.delete(dn))

    async def set_password(self, name: str, password: str) -> None:
        check_password(password)
        await self._set_password(await self._dn(name), password)

    def forget(self) -> None:
        for cache in (self._by_name, self._by_address, self._all):
            cache.forget()
        self._passwords.forget()
        self._binds.forget()

    async def close(self) -> None:
        for asking in (self._by_name, self._by_address, self._all, self._binds):
            await asking.close()
        for lines in (self._service, self._logins):
            lines.close()

    async def _bind_as(self, name: str, password: str) -> bool:
        generation = self._passwords.generation
        found = await self._by_name.get(name)
        if found is None:
            return False
        with translated():
            right = await self._logins.request("bind", lambda line: _binds(line, found.dn, password), deadline=DEADLINE)
        if right:
            self._passwords.remember(name, password, generation)
        return right

    async def _find_name(self, name: str) -> Found | None:
        return await self._find_one(_named(name))

    async def _find_address(self, address: str) -> Found | None:
        return await self._find_one(_addressed(address))

    async def _find_one(self, condition: str) -> Found | None:
        entries = await self._search(condition)
        if not entries:
            return None
        if len(entries) > 1:
            log.warning("several directory entries are one printer", sought=condition)
            raise Unusable("the directory has several printers by this name or address")
        found = read(entries[0])
        if found is None:
            raise Unusable("the printer's entry in the directory is damaged")
        return found

    async def _find_all(self, _: str) -> tuple[Printer, ...]:
        with translated():
            last, now = self._listing, self._clock()
            self._listing = await self._service.request(
                "search", lambda line: _followed(line, self._base, last, now), deadline=LISTING
            )
        return self._listing.printers

    async def _search(self, condition: str) -> list[Result]:
        with translated():
            return await self._service.request(
                "search", lambda line: _some(line, self._base, condition), deadline=DEADLINE
            )

    async def _dn(self, name: str) -> str:
        """The DN of an existing printer, asked anew."""
        try:
            entries = await self._search(_named(read_name(name)))
        except ValueError:
            entries = []
        if len(entries) != 1:
            raise PermanentFailure("5.1.1", f"there is no printer {name!a}: see printpost printer list")
        return str(entries[0]["dn"])

    async def _check_free(self, printer: Printer, own: str = "") -> None:
        """Raises `PermanentFailure` if another entry than `own` has one of the printer's addresses, or its name."""
        if not own and await self._search(_named(printer.name)):
            raise PermanentFailure("5.1.1", f"there is a printer {printer.name} already")
        for address in printer.addresses:
            for entry in await self._search(_addressed(address)):
                if entry["dn"].lower() != own.lower():
                    raise PermanentFailure("5.1.1", f"{address} is taken by another printer: choose another address")

    async def _set_password(self, dn: str, password: str) -> None:
        """By RFC 3062, so that the server hashes it."""
        with translated():
            await self._write(
                "password", lambda line: line.extend.standard.modify_password(user=dn, new_password=password)
            )

    async def _write(self, operation: str, work: Callable[[Connection], Any]) -> None:
        """A change, on a new connection: it must not be sent twice because the first one had gone stale."""

        def written(line: Connection) -> None:
            work(line)
            succeeded(line.result)

        try:
            await self._service.request(operation, written, deadline=DEADLINE, fresh=True)
        finally:
            self.forget()  # also of a change that may or may not have been made


class _Tls(Tls):  # type: ignore[misc]
    """TLS as Python's ssl does it.

    ldap3's own loads all certificates again for every connection (50 ms), and compares host names with a function that
    Python has given up.
    """

    def __init__(self, host: str, ca: Path | None) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host = host
        try:
            self._context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise PermanentFailure("4.3.5", f"[directory] ca {ca} holds no certificates in PEM form: {error}") from None

    def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:  # noqa: ARG002
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)


class _Server:
    """Makes connections to one server."""

    def __init__(self, url: str, ca: Path | None) -> None:
        self._url = ServerUrl.parse(url)
        self._tls = _Tls(self._url.host, ca) if self._url.tls else None

    def connect(self, bind_dn: str = "", password: str = "") -> Connection:
        """A connection, encrypted where it must be; bound if there is a name to bind as."""
        connection = Connection(
            Server(self._url.text, get_info=NONE, connect_timeout=CONNECTING, tls=self._tls),
            user=bind_dn or None,
            password=password or None,
            client_strategy=SYNC,  # SAFE_SYNC copies every answer, which takes longer than to read it
            receive_timeout=RECEIVING,
            auto_referrals=False,
            check_names=False,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(_abandon, connection)
            connection.open(read_server_info=False)
            if self._url.start_tls:
                connection.start_tls(read_server_info=False)
            if self._url.tls and not isinstance(connection.socket, ssl.SSLSocket):
                raise LDAPException("the directory does not do TLS")
            if bind_dn:
                connection.bind(read_server_info=False)
                succeeded(connection.result)
            undo.pop_all()
        return connection


def _named(name: str) -> str:
    return f"(uid={escape_filter_chars(name)})"


def _addressed(address: str) -> str:
    value = escape_filter_chars(address)
    return f"(|(mail={value})(mailLocalAddress={value}))"


def _some(line: Connection, base: str, condition: str) -> list[Result]:
    """The printers' entries that match, or of many only so many as show that there are several."""
    sought = f"(&{_PRINTERS}{condition})"
    line.search(base, sought, SUBTREE, attributes=ATTRIBUTES, size_limit=2)
    if line.result["result"] != SIZE_LIMIT_EXCEEDED:
        succeeded(line.result)
    return _entries(line)


def _followed(line: Connection, base: str, last: Listing, now: float) -> Listing:
    return followed(last, now, lambda wanted: _all(line, base, wanted), lambda dn, wanted: _one(line, dn, wanted))


def _all(line: Connection, base: str, wanted: Sequence[str]) -> Iterator[Result]:
    """The entries of all printers, fetched in pages (RFC 2696)."""
    cookie: bytes | None = None
    told = 0
    while told < _MOST:
        line.search(base, _PRINTERS, SUBTREE, attributes=wanted, paged_size=_PAGE, paged_cookie=cookie)
        succeeded(line.result)
        cookie = (line.result.get("controls") or {}).get(_PAGED_RESULTS, {}).get("value", {}).get("cookie")
        page = _entries(line)
        told += len(page)
        yield from page
        if not cookie:
            break


def _one(line: Connection, dn: str, wanted: Sequence[str]) -> Result | None:
    line.search(dn, _PRINTERS, BASE, attributes=wanted)
    if line.result["result"] != NO_SUCH_OBJECT:
        succeeded(line.result)
    return next(iter(_entries(line)), None)


def _entries(line: Connection) -> list[Result]:
    return [entry for entry in line.response or () if entry["type"] == "searchResEntry"]


def _binds(line: Connection, dn: str, password: str) -> bool:
    try:
        line.rebind(user=dn, password=password, read_server_info=False)
    except LDAPSASLPrepError:
        return False  # no password can look like this (RFC 4013)
    return bound(line.result)


def _abandon(connection: Connection) -> None:
    """Close without a word: the server may hang, and a thread may be waiting on the socket."""
    with contextlib.suppress(LDAPException, OSError, AttributeError):
        connection.socket.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(LDAPException, OSError, AttributeError):
        connection.strategy.close()
    with contextlib.suppress(LDAPException, OSError, AttributeError):
        connection.socket.close()
