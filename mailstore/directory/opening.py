"""From the configuration to a directory: the embedded one, or the site's own LDAP server."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

from mailstore.config import ConfigError, Settings
from mailstore.directory.contract import Directory
from mailstore.directory.ldap import LdapDirectory, embedded
from mailstore.directory.slapd import EmbeddedDirectory, ensure
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
    file = settings.directory.bind_password_file
    try:
        password = file.read_text(encoding="utf-8").rstrip("\r\n") if file else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"[directory] bind_password_file: {file} cannot be read: {error}") from None
    directory = settings.directory
    return LdapDirectory(directory.url, directory.base, directory.bind_dn, password, ca=directory.ca)


@contextlib.asynccontextmanager
async def open_directory(settings: Settings, who: Who) -> AsyncIterator[Directory]:
    """The directory for a command; an embedded one that is not running runs for as long as the context."""
    async with contextlib.AsyncExitStack() as stack:
        if settings.directory.url == "embedded":
            await stack.enter_async_context(ensure(*_places(settings)))
        directory = connect(settings, who)
        stack.push_async_callback(directory.close)
        yield directory


def _places(settings: Settings) -> tuple[Path, Path]:
    folder = settings.store.folder
    return folder / "directory", runtime_folder(folder)
