"""The page in a real browser: what changes while one looks, without scripts, and for everybody (axe)."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, async_playwright

from appliance.web import live
from mailstore.directory.records import Printer
from tests.web_house import GRACE_NAME, GRACE_PASSWORD, PRINTER, WebHouse, web_house

pytestmark = pytest.mark.slow

POLLING = Printer(name="cellar", addresses=("cellar@example.com",), location="Basement", allow=("@example.com",))
PAGES_HERE = ("/", "/account", "/people", "/people/ada", "/add-person", "/people/ada/remove", "/nothing")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[WebHouse]:
    async with web_house(tmp_path, PRINTER, POLLING) as running:
        yield running


@pytest.fixture
async def chromium() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("chromium is not installed")
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        await browser.close()


async def enter(page: Page, house: WebHouse) -> None:
    await page.goto(house.web.url)
    await page.get_by_label("User name").fill(GRACE_NAME)
    await page.get_by_label("Password").fill(GRACE_PASSWORD)
    await page.get_by_role("button", name="Log in").click()
    await page.get_by_role("heading", name="Printers").wait_for()


async def test_what_changes_is_seen_without_a_reload(house: WebHouse, chromium: Browser) -> None:
    page = await chromium.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    await enter(page, house)
    office = page.get_by_role("row", name="office")
    await office.get_by_role("cell", name="0", exact=True).wait_for()
    async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):  # the stream has begun
        await page.reload()
    await page.locator("#printer-office").focus()
    await house.mail()
    await office.get_by_role("cell", name="1", exact=True).wait_for()
    await house.store.set_condition("office", "stopped", ["media-empty"], "")
    await page.locator("#trouble").get_by_text("Stopped: office (the paper is used up).").wait_for()
    assert await page.evaluate("document.activeElement.id") == "printer-office"  # nobody loses his place
    await house.store.set_condition("office", "idle", [], "")
    await page.locator("#trouble p").wait_for(state="detached")
    assert said == []  # nothing that the policy forbids was tried


async def test_who_is_refused_the_stream_sees_what_is_and_is_led_to_the_login(
    house: WebHouse, chromium: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "LISTENERS", 0)
    page = await chromium.new_page()
    await enter(page, house)
    async with page.expect_response(lambda answer: "hx-request" in answer.request.headers) as fetched:
        await page.reload()
    assert (await fetched.value).status == 200
    async with page.expect_response(lambda answer: answer.url.endswith("/live")):
        await house.store.end_sessions(GRACE_NAME)
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.get_by_role("heading", name="Log in").wait_for()


async def test_without_scripts_everything_is_there(house: WebHouse, chromium: Browser) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await enter(page, house)
    await house.mail()
    await page.get_by_role("link", name="Reload").click()
    await page.get_by_role("row", name="office").get_by_role("cell", name="1", exact=True).wait_for()
    await page.get_by_role("link", name="People").click()
    await page.get_by_role("link", name="ada").click()
    await page.get_by_label("Full name").fill("Countess of Lovelace")
    await page.get_by_role("button", name="Save").click()
    await page.get_by_text("ada was saved.").wait_for()
    await page.get_by_role("button", name="Log out").click()
    await page.get_by_role("heading", name="Log in").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 320])
async def test_everybody_can_use_the_pages(
    house: WebHouse, chromium: Browser, scheme: Literal["light", "dark"], width: int
) -> None:
    await house.mail()
    await house.store.set_condition("office", "stopped", ["media-empty"], "TRAY 2 EMPTY")
    await house.store.set_paused("cellar", paused=True)
    context = await chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page = await context.new_page()
    faults = {}

    async def look(name: str) -> None:
        found = (await Axe().run(page)).response["violations"]
        wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if found or wide > 0:
            faults[name] = [fault["id"] for fault in found] or [f"{wide} px too wide"]

    await page.goto(house.web.url)
    await look("login")
    await enter(page, house)
    for path in PAGES_HERE:
        await page.goto(house.origin + path)
        await look(path)
    await page.goto(f"{house.origin}/add-person")
    await page.get_by_label("User name").fill("ada")
    await page.get_by_label("Addresses").fill("x@example.com")
    await page.get_by_role("button", name="Add").click()
    await page.get_by_text("There is a user ada already.").wait_for()
    await look("a form with a fault")
    assert faults == {}
