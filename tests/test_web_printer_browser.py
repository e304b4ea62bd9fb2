"""Printers' and jobs' pages in a real browser: what changes while one looks, without scripts, and for everybody."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, async_playwright

from mailstore.directory.records import Body, Printer, Raw
from mailstore.job import JobState
from mailstore.ticket import ColorMode, Ticket
from tests.test_web_jobs import doubtful, held, printed, with_documents
from tests.web_house import GRACE, GRACE_NAME, GRACE_PASSWORD, PRINTER, WebHouse, web_house

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]

OFFICE = replace(
    PRINTER,
    deny=("mallory@example.com",),
    service_person=("ada@example.com",),
    network_address="192.0.2.7",
    netmask="255.255.255.0",
    gateway="192.0.3.1",
    unfiltered=Raw.VERIFIED,
    media=("iso_a4_210x297mm",),
    max_copies=5,
)
POLLS = Printer(name="phaser360", addresses=("phaser360@example.com",), allow=("*",))


@contextlib.asynccontextmanager
async def looking(folder: Path, **context: Any) -> AsyncIterator[tuple[WebHouse, Page]]:
    """A browser in which Grace is logged in; nothing that it complained of may be left unsaid."""
    async with web_house(folder, OFFICE, POLLS) as house, async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = await (await browser.new_context(**context)).new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda message: errors.append(message.text) if "Security" in message.text else None)
        await page.goto(f"{house.origin}/login")
        await page.get_by_label("User name").fill(GRACE_NAME)
        await page.get_by_label("Password").fill(GRACE_PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.get_by_role("heading", name="Printers").wait_for()
        yield house, page
        await browser.close()
        assert errors == []


async def live(page: Page, url: str) -> None:
    """Open a page, and return when it is told of changes."""
    async with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
        await page.goto(url)


async def test_a_printers_page_follows_what_happens(tmp_path: Path) -> None:
    async with looking(tmp_path) as (house, page):
        await live(page, f"{house.origin}/printers/office")
        await page.locator("#wish-pause").focus()
        await house.store.set_condition("office", "stopped", ["media-empty"], "TRAY 2")
        await page.locator("#standing").get_by_text("the paper is used up (TRAY 2").wait_for()
        assert await page.evaluate("document.activeElement.id") == "wish-pause"
        number = await house.mail(name="Quarterly report")
        await page.locator(f"#job-{number}").get_by_text("Quarterly report").wait_for()
        await house.store.cancel(number, "grace")
        await page.locator(f"#job-{number}").get_by_text("canceled").first.wait_for()
        await house.store.set_condition("office", "idle", [], "")
        await page.locator("#standing").get_by_text("ready").wait_for()


@pytest.mark.parametrize("part", ["#standing", "#jobs"])
async def test_a_button_that_is_being_pressed_is_not_taken_away(tmp_path: Path, part: str) -> None:
    async with looking(tmp_path) as (house, page):
        number = await house.mail()
        await live(page, f"{house.origin}/printers/office")
        label, words = ("Pause", "office is paused") if part == "#standing" else ("Cancel", f"Job {number} is canceled")
        button = page.locator(part).get_by_role("button", name=label).first
        await button.hover()
        await page.mouse.down()
        async with page.expect_response(lambda answer: "hx-request" in answer.request.headers) as answered:
            await house.store.set_condition("office", "stopped", ["media-empty"], "TRAY 2")
            second = await house.mail(name="A second one")
        await (await answered.value).finished()
        await page.evaluate("new Promise((done) => setTimeout(done, 100))")  # for htmx to put in what has come
        await page.mouse.up()
        await page.locator(".flash").get_by_text(words).wait_for()
        await page.locator(f"#job-{second}").wait_for()


async def test_a_job_and_the_list_of_jobs_follow_what_happens(tmp_path: Path) -> None:
    async with looking(tmp_path) as (house, page):
        number = await house.mail()
        await live(page, f"{house.origin}/jobs/{number}")
        await house.store.hold(number, "ada")
        await page.locator("#job").get_by_role("button", name="Release").wait_for()
        await live(page, f"{house.origin}/jobs")
        await house.store.unhold(number, "ada")
        await page.locator(f"#job-{number}").get_by_role("button", name="Hold").wait_for()


async def test_an_address_is_tried_in_place(tmp_path: Path) -> None:
    async with looking(tmp_path) as (house, page):
        where = f"{house.origin}/printers/office"
        await page.goto(where)
        await page.get_by_label("Sender").fill("mallory@example.com")
        await page.get_by_role("button", name="Try").click()
        await page.locator("#verdict").get_by_text("the rule mallory@example.com refuses it").wait_for()
        await page.get_by_label("Sender").fill("nobody")
        await page.get_by_role("button", name="Try").click()
        await page.locator("#verdict").get_by_text("This is not an address").wait_for()
        assert page.url == where


async def test_the_address_is_copied_where_the_browser_can(tmp_path: Path) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    async with looking(tmp_path, permissions=permissions) as (house, page):
        await page.goto(f"{house.origin}/printers/office")
        await page.get_by_role("button", name="Copy").click()
        await page.get_by_role("button", name="Copied").wait_for()
        assert await page.evaluate("navigator.clipboard.readText()") == "office@example.com"


async def test_without_scripts_everything_can_be_done(tmp_path: Path) -> None:
    async with looking(tmp_path, java_script_enabled=False) as (house, page):
        number = await house.mail()
        await page.goto(f"{house.origin}/printers/office")
        assert await page.get_by_role("button", name="Copy").count() == 0
        await page.get_by_label("Sender").fill("mallory@example.com")
        await page.get_by_role("button", name="Try").click()
        await page.get_by_text("the rule mallory@example.com refuses it").wait_for()
        await page.get_by_role("button", name="Pause").click()
        await page.get_by_text("office is paused").wait_for()
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_label("May print").fill("@example.com\nnobody")
        await page.get_by_label("Place").fill("Attic")
        await page.get_by_label("PDF", exact=True).check()
        await page.get_by_label("The letter itself prints").select_option("never")
        await page.get_by_label("Unless a job says otherwise").fill("colour 2up")
        await page.get_by_label("Paper that it has").fill("letter\na4")
        await page.get_by_label("Keep no pictures of its pages").check()
        await page.get_by_label("Documents that reach it with every command in them").select_option("insider")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text('"nobody" is not a rule').wait_for()
        assert await page.get_by_label("Place").input_value() == "Attic"
        await page.get_by_label("May print").fill("@example.com\nada@example.org")
        await page.get_by_role("button", name="Save").click()
        await page.locator("#ticket-error").get_by_text("colour was asked for, which this printer does not").wait_for()
        assert await page.get_by_label("Paper that it has").input_value() == "letter\na4"
        await page.get_by_label("It prints in colour").check()
        # Meanwhile somebody else saves something.
        await house.web.site.desk.change(GRACE, "office", "", {"model": "Phaser", "location": "Cellar"})
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Somebody else changed this printer").wait_for()
        assert await page.get_by_label("Place").input_value() == "Attic"
        assert await page.get_by_label("Model").input_value() == "Phaser"
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("Saved.").wait_for()
        house.directory.forget()
        saved = await house.directory.printer("office")
        assert saved is not None
        assert (saved.location, saved.model, saved.allow) == ("Attic", "Phaser", ("@example.com", "ada@example.org"))
        assert [language.value for language in saved.languages] == ["postscript", "pdf"]
        assert saved.ticket == Ticket(color=ColorMode.COLOR, number_up=2)
        assert saved.media == ("na_letter_8.5x11in", "iso_a4_210x297mm")
        assert (saved.color, saved.confidential, saved.body) == (True, True, Body.NEVER)
        assert (saved.unfiltered, saved.raw) == (Raw.INSIDER, Raw.INSIDER)
        await page.goto(f"{house.origin}/jobs")
        await page.get_by_role("button", name=f"Cancel job {number}").click()
        await page.get_by_text(f"Job {number} is canceled.").wait_for()
        job = await house.store.job(number)
        assert job is not None
        assert job.state is JobState.CANCELED


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
async def test_everybody_can_use_the_pages(tmp_path: Path, scheme: Literal["light", "dark"], width: int) -> None:
    async with looking(tmp_path, color_scheme=scheme, viewport={"width": width, "height": 800}) as (house, page):
        done, doubt, _ = await printed(house), await doubtful(house), await held(house)
        lost = await with_documents(house)
        await house.mail(name="word " * 60, sender=f"{'x' * 60}@{'y' * 60}.example.com")
        await house.store.set_condition("office", "stopped", ["media-empty"], "TRAY 2 EMPTY")
        faults = {}

        async def look(name: str) -> None:
            found = (await Axe().run(page)).response["violations"]
            wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            if found or wide > 0:
                faults[name] = [fault["id"] for fault in found] or [f"{wide} px too wide"]

        for path in (
            "/printers/office",
            "/printers/office/try?sender=mallory@example.com",
            "/printers/office/settings",
            "/printers/office/remove",
            "/printers/phaser360",
            "/printers/phaser360/settings",
            "/printers/new",
            "/jobs",
            "/jobs?state=aborted",
            f"/jobs/{done}",
            f"/jobs/{doubt}",
            f"/jobs/{lost}",
        ):
            await page.goto(house.origin + path)
            await look(path)
        await page.goto(f"{house.origin}/printers/phaser360/settings")
        for label in ("May print", "Room for jobs that wait", "Gateway"):
            await page.get_by_label(label).fill("nonsense")
        await page.get_by_role("button", name="Save").click()
        await page.get_by_text("see what is said beside the fields").wait_for()
        await look("a form with faults")
        await page.get_by_role("button", name="Make a new password").click()
        await page.get_by_role("heading", name="Password of phaser360").wait_for()
        await look("a password")
        assert faults == {}
