"""A printer that holds for a code: mail by submission, the code by POP3, typed on a telephone, and paper.

And what whoever runs the printers does with what waits, by the commands.
"""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]
from playwright.async_api import Page

from mailstore.directory.records import Hold
from mailstore.job import Job, JobState
from tests.browser.conftest import Make
from tests.browser.visits import Login, Site
from tests.documents import pdf, postscript
from tests.house import mail_of

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

TELEPHONE: Any = {"viewport": {"width": 360, "height": 640}, "is_mobile": True, "has_touch": True}


async def sent(site: Site, who: Login, printer: str, subject: str) -> Job:
    """A job that waits for its code."""
    message = mail_of(pdf(2), subject=subject, sender=who.address)
    await site.submits(message, printer, who)
    (job,) = [job for job in await site.house.store.jobs(printer=printer) if job.name == subject]
    assert job.state is JobState.PENDING_HELD
    return job


async def usable(page: Page) -> None:
    """Everybody can use it, on a small screen too."""
    assert (await Axe().run(page)).response["violations"] == []
    assert await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0


async def test_the_code_in_the_mail_lets_it_print(site: Site, printer: Make) -> None:
    carl = await site.person("carl")
    paper = await printer("coded", hold=Hold.CODE, location="2nd floor", key_user=("kim@example.com",))
    job = await sent(site, carl, "coded", "Something private")
    (mail,) = await site.reads(carl, 1)
    text = mail.get_content()
    found = re.search(r"Code +(\d{4} \d{4})\r?\n", text)
    assert found, text
    for scripts in (True, False):
        async with site.visit(path="/release", java_script_enabled=scripts, **TELEPHONE) as page:
            await page.get_by_label("Code").fill("0000 0000" if found[1] != "0000 0000" else "0000 0001")
            await page.get_by_role("button", name="Look it up").click()
            await page.get_by_role("alert").get_by_text("No job waits for this code").wait_for()
            if scripts:
                await usable(page)
            assert await page.get_by_label("Code").input_value() == ""
            await page.get_by_label("Code").fill(found[1])
            await page.get_by_role("button", name="Look it up").click()
            await page.get_by_role("heading", name="Print it now?").wait_for()
            shown = await page.locator("main").inner_text()
            assert "coded, 2nd floor" in shown
            assert "Something private" not in shown
            assert "carl" not in shown
            if scripts:
                await usable(page)
                await page.get_by_role("link", name="Not now").click()
                await page.get_by_label("Code").wait_for()
            else:
                await page.get_by_role("button", name="Print it now").click()
                await page.get_by_role("heading", name="Released").wait_for()
    assert (await paper.job(1)).pages == 2
    assert (await site.house.job(job.id)).state is JobState.COMPLETED


async def test_its_sender_who_logs_in_needs_no_code(site: Site, printer: Make) -> None:
    carl = await site.person("carl")
    paper = await printer("logged", hold=Hold.CODE)
    job = await sent(site, carl, "logged", "Mine")
    async with site.visit(carl, f"/jobs/{job.id}") as page:
        shown = await page.locator("main").inner_text()
        assert job.release_code[:4] in shown
        await page.get_by_role("button", name=f"Release job {job.id}").click()
        await page.get_by_text(f"Job {job.id} waits for the printer again.").wait_for()
    assert (await paper.job(1)).pages == 2


async def test_by_the_commands(site: Site, printer: Make) -> None:
    carl, run = await site.person("carl"), site.house.printpost
    await printer("here", hold=Hold.CODE)
    there = await printer("there")
    coded = await sent(site, carl, "here", "By its code")
    wrong = "00000000" if coded.release_code != "00000000" else "00000001"
    none = await run("job", "release", "--code", wrong)
    assert (none.status, none.err.count("\n")) == (os.EX_DATAERR, 1), none.err
    assert "no job waits for this code" in none.err
    assert (await run("job", "release", str(coded.id), "--code", coded.release_code)).status == 2
    done = await run("job", "release", "--code", coded.release_code)
    assert (done.status, done.out) == (0, f"Job {coded.id} is to be printed.\n"), done.err
    assert (await site.house.job(coded.id)).printer == "here"
    moves = await sent(site, carl, "here", "Elsewhere")
    moved = await run("job", "move", str(moves.id), "THERE")
    assert (moved.status, moved.out) == (0, f"Job {moves.id} is at there now.\n"), moved.err
    assert (await run("job", "release", str(moves.id))).status == 0
    assert (await there.job(1)).pages == 2
    assert (await site.house.job(moves.id)).printer == "there"
    late = await run("job", "move", str(moves.id), "here")
    assert late.status == os.EX_DATAERR
    assert "only a job that waits for its printer" in late.err
    free = await site.house.mail("there", postscript())
    await site.house.job(free)
    resumed = await run("job", "retry", str(free), "--resume")
    assert resumed.status == os.EX_DATAERR
    assert "is not in doubt, or the printer confirmed nothing of it" in resumed.err
