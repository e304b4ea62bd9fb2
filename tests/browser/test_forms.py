"""What the page refuses, who came first, and what it still knows while the directory is silent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator

import pytest
from playwright.async_api import Page

from tests.browser.visits import LOOK, Site, told
from tests.house import PATIENCE

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

NOWHERE = "socket://192.0.2.7:9100"


async def beside(page: Page, label: str) -> str:
    """What is said beside a field, by what a screen reader is told to read with it."""
    field = page.get_by_label(label, exact=True)
    assert await field.get_attribute("aria-invalid") == "true", label
    names = (await field.get_attribute("aria-describedby") or "").split()
    (error,) = [name for name in names if name.endswith("-error")]
    return await page.locator(f"#{error}").inner_text()


async def test_a_refused_field_says_why_and_keeps_what_was_typed(site: Site) -> None:
    await site.house.add("strict", NOWHERE)
    typed = {
        "May print": ("@example.com\nnobody", '"nobody" is not a rule'),
        "Service": ("sue at example.com", "address"),
        "Device address": ("192.0.2.7", "socket://"),
        "Room for jobs that wait": ("plenty", "is not a size"),
        "Unless a job says otherwise": ("upside-down", "is no word of a job ticket"),
        "Paper that it has": ("a4\npapyrus", "'papyrus' is no paper"),
        "Copies at most": ("many", "give 0 to 999 copies"),
        "IP address": ("192.0.2.777", "192.0.2.777"),
    }
    async with site.visit(site.administrator, "/printers/strict/settings") as page:
        for label, (text, _) in typed.items():
            await page.get_by_label(label, exact=True).fill(text)
        await page.get_by_label("Place").fill("Attic")  # nothing is wrong with this one, and it is not saved alone
        await page.get_by_role("button", name="Save").click()
        await page.get_by_role("alert").get_by_text("Nothing was saved yet").wait_for()
        for label, (text, why) in typed.items():
            assert why in await beside(page, label)
            assert await page.get_by_label(label, exact=True).input_value() == text
        assert await page.get_by_label("Place").input_value() == "Attic"
        await page.goto("/printers/strict")
        assert await page.get_by_text("Attic").count() == 0
        await page.goto("/printers/new")
        await page.get_by_label("Name", exact=True).fill("strict")
        await page.get_by_label("Device address").fill(NOWHERE)
        await page.get_by_role("button", name="Add it").click()
        assert "strict" in await beside(page, "Name")
        await page.goto("/add-person")
        await page.get_by_label("User name").fill("strict")
        await page.get_by_label("Addresses").fill("somebody@example.com")
        await page.get_by_role("button", name="Add").click()
        assert "strict" in await beside(page, "User name")


async def test_two_who_change_the_same_printer_are_told(site: Site) -> None:
    await site.house.add("shared", NOWHERE, location="Cellar")
    where = "/printers/shared/settings"
    async with (
        site.visit(site.administrator, where) as first,
        site.visit(site.administrator, where) as second,
    ):
        await first.get_by_label("Place").fill("Attic")
        await first.get_by_label("Model").fill("Phaser")
        await first.get_by_role("button", name="Save").click()
        await told(first, "Saved.")
        await second.get_by_label("Place").fill("Room 2")
        await second.get_by_label("May print").fill("ada@example.com")
        await second.get_by_role("button", name="Save").click()
        alert = second.get_by_role("alert")
        await alert.get_by_text("Somebody else changed this printer").wait_for()
        place = alert.get_by_role("row", name="Place")
        assert await place.get_by_role("cell").all_inner_texts() == ["Attic", "Room 2", "yours: save to keep it"]
        assert await second.get_by_label("Model").input_value() == "Phaser"
        assert await second.get_by_label("May print").input_value() == "ada@example.com"
        await second.get_by_role("button", name="Save").click()
        await told(second, "Saved.")
        about = await second.locator("main").inner_text()
    assert "Room 2" in about
    assert "Phaser" in about
    saved = await site.house.directory.printer("shared")
    assert saved is not None
    assert (saved.location, saved.model, saved.allow) == ("Room 2", "Phaser", ("ada@example.com",))


async def test_two_who_change_the_same_person_are_told(site: Site) -> None:
    twins = await site.person("twins")
    where = f"/people/{twins.name}"
    async with (
        site.visit(site.administrator, where) as first,
        site.visit(site.administrator, where) as second,
    ):
        await first.get_by_label("Full name").fill("Castor")
        await first.get_by_role("button", name="Save").click()
        await told(first, "twins was saved.")
        await second.get_by_label("Full name").fill("Pollux")
        await second.get_by_role("button", name="Save").click()
        await second.get_by_role("alert").get_by_text("Somebody else changed twins meanwhile").wait_for()
        assert await second.get_by_label("Full name").input_value() == "Pollux"
        await first.reload()
        assert await first.get_by_label("Full name").input_value() == "Castor"


@contextlib.contextmanager
def silent_directory(site: Site) -> Iterator[None]:
    """The directory's process stands still: it takes connections and says nothing."""
    directory = site.house.latest["up"].children()["directory"]
    os.kill(directory, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(directory, signal.SIGCONT)


async def answers_again(page: Page, path: str) -> None:
    """Reload until the page no longer says that the directory is silent."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await page.goto(path)
            if await page.get_by_text("The directory does not answer").count() == 0:
                return
            await asyncio.sleep(LOOK)


async def test_a_silent_directory_leaves_what_is_known(site: Site) -> None:
    await site.house.add("known", NOWHERE, location="Library")
    async with site.visit(site.administrator) as page:
        for path in ("/", "/people", "/printers/known/settings"):
            await page.goto(path)
        await page.get_by_label("Place").fill("Attic")
        with silent_directory(site):
            await page.get_by_role("button", name="Save").click()
            await page.get_by_role("alert").get_by_text("Nothing can be saved now").wait_for()
            assert await page.get_by_label("Place").input_value() == "Attic"
            await page.goto("/")
            await page.locator("#trouble").get_by_text("The directory does not answer.").wait_for()
            await page.get_by_role("link", name="known", exact=True).click()
            await page.get_by_text("Library").wait_for()
            await page.goto("/printers/known/settings")
            await page.get_by_text("nothing of it can be changed now").wait_for()
            assert await page.get_by_label("Place").is_disabled()
            assert await page.get_by_role("button", name="Save").is_disabled()
            await page.goto("/people")
            await page.get_by_text("The directory does not answer").wait_for()
        await answers_again(page, "/printers/known/settings")
        await page.get_by_label("Place").fill("Attic")
        await page.get_by_role("button", name="Save").click()
        await told(page, "Saved.")
