"""Own users and the site's own directory, against real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mailstore.directory.contract import Directory, People
from tests.contracts.people import PeopleContract
from tests.directory_server import RunningDirectory, running_directory

pytestmark = pytest.mark.slow  # foreign programs


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[RunningDirectory]:
    async with running_directory(tmp_path) as running:
        yield running


@pytest.fixture
def directory(running: RunningDirectory) -> Directory:
    return running.appliance


class TestOwn(PeopleContract):
    @pytest.fixture
    async def people(self, running: RunningDirectory) -> AsyncIterator[People]:
        async with running.people() as people:
            yield people
