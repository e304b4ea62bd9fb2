"""From the configuration to a directory and to people: the embedded server, or the site's own LDAP servers."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from mailstore.config import ConfigError, Settings
from mailstore.directory.contract import Directory, People
from mailstore.directory.ldap import LdapDirectory, embedded
from mailstore.directory.logins import Pace
from mailstore.directory.openldap import SUFFIX, Identity
from mailstore.directory.own_people import OwnPeople
from mailstore.directory.people import LdapPeople
from mailstore.directory.server import LdapServer
from mailstore.directory.site_people import SitePeople
from mailstore.directory.slapd import EmbeddedDirectory, ensure, secret, socket_url
from mailstore.store.runtime import runtime_folder

Who = Literal["appliance", "bridge"]


def embedded_server(settings: Settings) -> EmbeddedDirectory:
    """The embedded server on this configuration's data folder, not started."""
    return EmbeddedDirectory(*_places(settings))


def connect(settings: Settings, who: Who) -> Directory:
    """A client of the directory, as one of the two identities.  Whether it answers shows at the first question.

    Raises `ConfigError`.
    """
    if settings.directory.url == "embedded":
        return embedded(*_places(settings), who)
    directory = settings.directory
    password = _password("directory", directory.bind_password_file)
    return LdapDirectory(directory.url, directory.base, directory.bind_dn, password, ca=directory.ca)


def connect_people(settings: Settings) -> People:
    """A client for people, as the appliance.  Whether their directories answer shows at the first question.

    Raises `ConfigError`, and `PermanentFailure` if there is no embedded directory yet or a setting cannot be used.
    """
    pace = Pace()
    server, base = _own_server(settings)
    own = OwnPeople(server, base, clock=time.monotonic, pace=pace)
    site = settings.people
    if not site.url:
        return LdapPeople(own)
    password = _password("people", site.bind_password_file)
    return LdapPeople(
        own,
        SitePeople(
            LdapServer(site.url, site.bind_dn, password, ca=site.ca, section="people"),
            site.base,
            site.filter,
            site.administrators,
            clock=time.monotonic,
            pace=pace,
        ),
    )


@contextlib.asynccontextmanager
async def open_people(settings: Settings) -> AsyncIterator[People]:
    """People for a command; an embedded directory that is not running runs for as long as the context.

    Not within `open_directory`, which waits for its end: there `connect_people` is enough.
    """
    async with _running(settings):
        people = connect_people(settings)
        try:
            yield people
        finally:
            await people.close()


@contextlib.asynccontextmanager
async def open_directory(settings: Settings, who: Who) -> AsyncIterator[Directory]:
    """The directory for a command; an embedded one that is not running runs for as long as the context."""
    async with _running(settings):
        directory = connect(settings, who)
        try:
            yield directory
        finally:
            await directory.close()


@contextlib.asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[None]:
    """The embedded server runs, if it is the one to ask."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.directory.url == "embedded":
            await stack.enter_async_context(ensure(*_places(settings)))
        yield


def _own_server(settings: Settings) -> tuple[LdapServer, str]:
    """The server that holds printers and our own users as the appliance sees it, and the base."""
    directory = settings.directory
    if directory.url == "embedded":
        folder, runtime = _places(settings)
        password = secret(folder, Identity.APPLIANCE)
        return LdapServer(socket_url(runtime), Identity.APPLIANCE.dn, password), SUFFIX
    password = _password("directory", directory.bind_password_file)
    return LdapServer(directory.url, directory.bind_dn, password, ca=directory.ca), directory.base


def _password(section: str, file: Path | None) -> str:
    try:
        return file.read_text(encoding="utf-8").rstrip("\r\n") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[{section}] bind_password_file: {file} cannot be read: {error}") from None


def _places(settings: Settings) -> tuple[Path, Path]:
    folder = settings.store.folder
    return folder / "directory", runtime_folder(folder)
