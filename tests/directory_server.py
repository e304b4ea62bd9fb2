"""A real slapd for tests: made from nothing in the test's own folder, gone when the test ends."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from mailstore.directory.ldap import LdapDirectory, embedded
from mailstore.directory.slapd import EmbeddedDirectory, Identity


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningDirectory:
    """A slapd that answers, with a client for each identity."""

    server: EmbeddedDirectory
    appliance: LdapDirectory
    bridge: LdapDirectory

    @property
    def folder(self) -> Path:
        return self.server.folder

    @property
    def runtime(self) -> Path:
        return self.server.runtime


@contextlib.asynccontextmanager
async def running_directory(tmp_path: Path) -> AsyncIterator[RunningDirectory]:
    """Data in `tmp_path`/directory; the socket in a folder of its own, whose path is short enough for one."""
    with short_folder() as runtime:
        async with EmbeddedDirectory(tmp_path / "directory", runtime) as server:
            appliance = embedded(server.folder, runtime, Identity.APPLIANCE)
            bridge = embedded(server.folder, runtime, Identity.BRIDGE)
            try:
                yield RunningDirectory(server=server, appliance=appliance, bridge=bridge)
            finally:
                await appliance.close()
                await bridge.close()


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A folder whose sockets fit into the 107 octets of a Unix socket's address."""
    folder = Path(tempfile.mkdtemp(prefix="pp-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
