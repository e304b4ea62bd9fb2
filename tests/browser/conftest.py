"""One system and one Chromium for all walks."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

from printerbridge.virtual import VirtualPrinter
from tests.browser.visits import Login, Site
from tests.house import house
from tests.test_bridge import virtual_printer

Make = Callable[..., Awaitable[VirtualPrinter]]


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def chromium() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(scope="package", loop_scope="package")
async def site(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """`printpost up` in an empty folder.  The site's networks are one address, so that loopback has an outside."""
    networks = {"networks": ["127.0.0.1/32"]}
    async with house(tmp_path_factory.mktemp("walk"), site=networks) as running:
        said = re.search(r"Log in as (\S+) with the password (\S+) \(shown only now\)", running.latest["up"].said)
        assert said, running.logs()
        yield Site(running, chromium, Login(name=said[1], password=said[2]))


@pytest_asyncio.fixture(loop_scope="package")
async def printer(site: Site, tmp_path: Path) -> AsyncIterator[Make]:
    """Makes virtual printers with entries: `await printer("name", *faults, allow=...)`."""
    async with AsyncExitStack() as stack:

        async def make(name: str, *faults: str, **entry: Any) -> VirtualPrinter:
            made, uri = await stack.enter_async_context(virtual_printer(tmp_path / name, *faults))
            await site.house.add(name, uri, **entry)
            return made

        yield make
