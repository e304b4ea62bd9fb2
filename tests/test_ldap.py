"""The LDAP client against real servers: the contract, TLS, outages, and what it remembers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailstore.directory.ldap import LdapDirectory
from tests.contracts.directory import DirectoryContract
from tests.directory_server import foreign_directory, running_directory


class TestEmbedded(DirectoryContract):
    @pytest.fixture
    async def directory(self, tmp_path: Path) -> AsyncIterator[LdapDirectory]:
        async with running_directory(tmp_path) as running:
            yield running.appliance


class TestForeign(DirectoryContract):
    @pytest.fixture
    async def directory(self, tmp_path: Path) -> AsyncIterator[LdapDirectory]:
        async with foreign_directory(tmp_path) as foreign:
            client = foreign.client()
            yield client
            await client.close()
