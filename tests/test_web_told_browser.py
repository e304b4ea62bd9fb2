"""In a real browser: how far a job is, what is asked in doubt, what printers have left; live, scriptless, for all."""

from __future__ import annotations

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page

from mailstore.job import JobState
from mailstore.report import Supply, Tray
from mailstore.store.contract import Lease
from tests.test_web_jobs import doubtful, held
from tests.test_web_printer_browser import OFFICE, live, looking
from tests.test_web_told import HALF, REPORT
from tests.web_house import GRACE, WebHouse

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed"),
]

FULL = replace(
    REPORT,
    console="LOAD LETTER IN TRAY 2 " * 8,
    supplies=(
        *REPORT.supplies,
        Supply(name="Cyan", kind="toner", color="cyan", level=0.05),
        Supply(name="W" * 60, kind="waste-toner", color="", level=0.0),
    ),
    trays=(*REPORT.trays, Tray(name="Manual feed", media="", level=None)),
)


async def sent(house: WebHouse) -> tuple[int, Lease]:
    """A job that is on its way."""
    number = await house.mail()
    lease = await house.store.acquire("device:socket://192.0.2.7:9100", "bridge", 60)
    assert lease is not None
    assert await house.store.sending(lease, number, 0)
    return number, lease


async def test_how_far_a_job_is_can_be_followed(tmp_path: Path) -> None:
    async with looking(tmp_path) as (house, page):
        number, _ = await sent(house)
        await live(page, f"{house.origin}/jobs/{number}")
        await house.store.set_progress(number, HALF)
        await page.locator("#job").get_by_text("64 kB of 300 kB taken by the printer, 3 of 12 pages").wait_for()
        await house.store.set_progress(number, replace(HALF, octets=200_000, pages=7))
        await page.locator("#job").get_by_text("200 kB of 300 kB taken by the printer, 7 of 12 pages").wait_for()
        await house.store.cancel(number, "ada")
        await page.locator("#job progress").wait_for(state="detached")
        number = await doubtful(house)
        await live(page, f"{house.origin}/printers/office")
        await house.store.set_report(REPORT)
        await house.store.set_condition("office", "stopped", ["media-empty"], "")
        await page.locator("#left").get_by_text("42 %").wait_for()
        await page.locator("#standing").get_by_text("PAPER OUT TRAY 2").wait_for()
        await page.locator("#doubts").get_by_role("link", name=f"Job {number}").wait_for()
        await house.store.decide(number, "grace", printed=True)
        await page.locator("#doubts section").wait_for(state="detached")


async def test_without_scripts_a_job_in_doubt_goes_on_and_a_held_one_moves(tmp_path: Path) -> None:
    async with looking(tmp_path, java_script_enabled=False) as (house, page):
        number = await doubtful(house)
        await house.store.set_progress(number, HALF)
        await page.goto(f"{house.origin}/printers/office")
        await page.get_by_role("link", name=f"Job {number}", exact=True).click()
        await page.get_by_text("The printer confirmed 3 of 12 pages").first.wait_for()
        await page.get_by_role("button", name="Go on from page 4").click()
        await page.get_by_text(f"Job {number} goes on behind what the printer confirmed.").wait_for()
        cellar = replace(OFFICE, name="cellar", addresses=("cellar@example.com",), uri="socket://192.0.2.8:9100")
        await house.web.site.desk.add(GRACE, cellar)
        number = await held(house)
        await page.goto(f"{house.origin}/jobs/{number}")
        await page.get_by_label("Print it on another printer").select_option("cellar")
        await page.get_by_role("button", name="Move").click()
        await page.get_by_text(f"Job {number} is at cellar now.").wait_for()
        job = await house.store.job(number)
        assert job is not None
        assert (job.printer, job.state) == ("cellar", JobState.PENDING_HELD)


async def faults(page: Page) -> list[str]:
    found = (await Axe().run(page)).response["violations"]
    wide = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return [*(fault["id"] for fault in found), *([f"{wide} px too wide"] if wide > 0 else [])]


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_everybody_can_see_it(tmp_path: Path, scheme: Literal["light", "dark"]) -> None:
    async with looking(tmp_path, color_scheme=scheme) as (house, page):
        doubt, waits = await doubtful(house), await held(house)
        await house.store.set_progress(doubt, HALF)
        number, _ = await sent(house)
        await house.store.set_progress(number, HALF)
        now = time.time()
        await house.store.set_report(replace(FULL, asked_at=now, answered_at=now - 7200))
        await house.store.set_condition("office", "stopped", ["media-empty", "toner-low-warning"], "TRAY 2 EMPTY")
        found = {}
        for width in (1200, 320):
            await page.set_viewport_size({"width": width, "height": 800})
            for path in ("/", "/printers/office", "/jobs", *(f"/jobs/{one}" for one in (doubt, waits, number))):
                await page.goto(house.origin + path)
                if wrong := await faults(page):
                    found[path, width] = wrong
        assert found == {}
