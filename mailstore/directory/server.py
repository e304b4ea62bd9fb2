"""Connections to one LDAP server, and the few things that are asked of it.  The only file that imports ldap3.

ldap3 is synchronous.  Its calls run in threads, each with one connection: some that are bound as our identity and look
up, some that only bind, to try passwords.  Everything an LDAP server may do wrong ends here as a `TransientFailure` or
a `PermanentFailure`.

Security: nothing is bound in clear over a network, the server's certificate is always checked, referrals are never
followed (they would carry our password elsewhere), and every wait has an end.
"""

from __future__ import annotations

import contextlib
import random as _random
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from ldap3 import BASE, MODIFY_REPLACE, NONE, SUBTREE, SYNC, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException, LDAPInvalidFilterError, LDAPSASLPrepError
from ldap3.operation.search import parse_filter
from ldap3.utils.conv import escape_filter_chars

from mailstore.directory.cache import CircuitBreaker
from mailstore.directory.lines import Lines
from mailstore.directory.results import (
    NO_SUCH_OBJECT,
    SIZE_LIMIT_EXCEEDED,
    Result,
    bound,
    succeeded,
    translated,
)
from mailstore.directory.url import ServerUrl
from mailstore.failure import PermanentFailure

CONNECTING = 3  # seconds
RECEIVING = 5  # seconds
DEADLINE = 6.0  # seconds for a whole request, waiting for a thread included
_THREADS = 4  # that look up, and as many that try passwords
_LOST = (LDAPException, OSError)  # what ends a connection
_PAGE = 500  # entries; below the size limits that servers come with
_MOST = 100_000  # entries in a list
_PAGED_RESULTS = "1.2.840.113556.1.4.319"  # RFC 2696

_T = TypeVar("_T")


def escaped(value: str) -> str:
    """The value as it stands in a filter (RFC 4515 section 3)."""
    return str(escape_filter_chars(value))


def check_filter(condition: str, where: str) -> None:
    """Raises `PermanentFailure` ("4.3.5"), which names `where`, if it is no filter (RFC 4515)."""
    try:
        parse_filter(condition, None, False, None, None, False)
    except LDAPInvalidFilterError:
        raise PermanentFailure(
            "4.3.5", f"{where} {condition!a} cannot be read: write it like (objectClass=person)"
        ) from None


class LdapServer:
    """A server as one identity sees it.  `section` of the configuration is named where something in it is wrong.

    `url` is ldapi://, ldaps:// or ldap:// (then StartTLS, unless the server is this machine).  `ca` is a file of
    certificates in PEM form that replaces the machine's own.  Raises `PermanentFailure` if they cannot be used.
    """

    def __init__(
        self,
        url: str,
        bind_dn: str,
        password: str,
        *,
        ca: Path | None = None,
        section: str = "directory",
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = _random.random,
    ) -> None:
        if bind_dn and not password:
            raise PermanentFailure("4.3.5", f"[{section}] bind_password_file is missing or empty: {bind_dn} needs one")
        connections = _Connections(ServerUrl.parse(url, section), ca, section)

        def lines(name: str, connect: Callable[[], Connection]) -> Lines[Connection]:
            breaker = CircuitBreaker(clock=clock, random=random, deadline=DEADLINE)
            return Lines(name, _THREADS, connect=connect, abandon=_abandon, lost=_LOST, breaker=breaker)

        self._service = lines(section, lambda: connections.make(bind_dn, password))
        self._logins = lines(f"{section}-login", connections.make)

    async def some(self, base: str, condition: str, attributes: Sequence[str]) -> list[Result]:
        """The entries that match, or of many only so many as show that there are several."""
        with translated():
            return await self._service.request(
                "search", lambda line: _some(line, base, condition, attributes), deadline=DEADLINE
            )

    async def looked(self, work: Callable[[Reader], _T], *, deadline: float) -> _T:
        """What `work` makes, in a thread, of what it reads."""
        with translated():
            return await self._service.request("search", lambda line: work(Reader(line)), deadline=deadline)

    async def binds(self, dn: str, password: str) -> bool:
        """Whether this is the entry's password.  `password` is not empty (RFC 4513 section 5.1.2)."""
        with translated():
            return await self._logins.request("bind", lambda line: _binds(line, dn, password), deadline=DEADLINE)

    async def add(self, dn: str, object_classes: Sequence[str], attributes: Mapping[str, Sequence[str]]) -> None:
        """Raises `Refused`, as `modify` and `delete` do."""
        present = {name: list(values) for name, values in attributes.items() if values}
        await self._write("add", lambda line: line.add(dn, list(object_classes), present))

    async def modify(self, dn: str, attributes: Mapping[str, Sequence[str]]) -> None:
        """Each attribute has these values from now on, and none other."""
        changes = {name: [(MODIFY_REPLACE, list(values))] for name, values in attributes.items()}
        await self._write("modify", lambda line: line.modify(dn, changes))

    async def delete(self, dn: str) -> None:
        await self._write("delete", lambda line: line.delete(dn))

    async def set_password(self, dn: str, password: str) -> None:
        """By RFC 3062, so that the server hashes it."""
        with translated():
            await self._write(
                "password", lambda line: line.extend.standard.modify_password(user=dn, new_password=password)
            )

    def close(self) -> None:
        for lines in (self._service, self._logins):
            lines.close()

    async def _write(self, operation: str, work: Callable[[Connection], Any]) -> None:
        """A change, on a new connection: it must not be sent twice because the first one had gone stale."""

        def written(line: Connection) -> None:
            work(line)
            succeeded(line.result)

        await self._service.request(operation, written, deadline=DEADLINE, fresh=True)


class Reader:
    """Reads by one connection, in the thread that owns it.  Raises `Refused`."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def everything(self, base: str, condition: str, wanted: Sequence[str]) -> Iterator[Result]:
        """All entries that match, fetched in pages (RFC 2696)."""
        line = self._line
        cookie: bytes | None = None
        told = 0
        while told < _MOST:
            line.search(base, condition, SUBTREE, attributes=wanted, paged_size=_PAGE, paged_cookie=cookie)
            succeeded(line.result)
            cookie = (line.result.get("controls") or {}).get(_PAGED_RESULTS, {}).get("value", {}).get("cookie")
            page = _entries(line)
            told += len(page)
            yield from page
            if not cookie:
                break

    def one(self, dn: str, condition: str, wanted: Sequence[str]) -> Result | None:
        """The entry of this DN if it matches."""
        self._line.search(dn, condition, BASE, attributes=wanted)
        if self._line.result["result"] != NO_SUCH_OBJECT:
            succeeded(self._line.result)
        return next(iter(_entries(self._line)), None)


class _Tls(Tls):  # type: ignore[misc]
    """TLS as Python's ssl does it.

    ldap3's own loads all certificates again for every connection (50 ms), and compares host names with a function that
    Python has given up.
    """

    def __init__(self, host: str, ca: Path | None, section: str) -> None:
        super().__init__(validate=ssl.CERT_REQUIRED)
        self._host = host
        try:
            self._context = ssl.create_default_context(cafile=ca)
        except OSError as error:
            raise PermanentFailure("4.3.5", f"[{section}] ca {ca} holds no certificates in PEM form: {error}") from None

    def wrap_socket(self, connection: Connection, do_handshake: bool = False) -> None:  # noqa: ARG002
        connection.socket = self._context.wrap_socket(connection.socket, server_hostname=self._host)


class _Connections:
    """Makes connections to one server."""

    def __init__(self, url: ServerUrl, ca: Path | None, section: str) -> None:
        self._url = url
        self._tls = _Tls(url.host, ca, section) if url.tls else None

    def make(self, bind_dn: str = "", password: str = "") -> Connection:
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


def _some(line: Connection, base: str, condition: str, attributes: Sequence[str]) -> list[Result]:
    line.search(base, condition, SUBTREE, attributes=attributes, size_limit=2)
    if line.result["result"] != SIZE_LIMIT_EXCEEDED:
        succeeded(line.result)
    return _entries(line)


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
