"""Everything can be done without JavaScript."""

from __future__ import annotations

import pytest

from mailstore.job import JobState
from tests.browser.conftest import Make
from tests.browser.visits import Site, told
from tests.house import mail_of

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]


async def test_without_scripts(site: Site, printer: Make) -> None:
    plain = await printer("plain")
    async with site.visit(site.administrator, "/printers/plain", java_script_enabled=False) as page:
        await page.get_by_role("link", name="Settings").click()
        await page.get_by_label("May print").fill("ada@example.com\n@example.org")
        await page.get_by_role("button", name="Save").click()
        await told(page, "Saved.")
        for sender, verdict in (("grace@example.org", "may print"), ("eve@example.com", "may not print")):
            await page.get_by_label("Sender").fill(sender)
            await page.get_by_role("button", name="Try").click()
            await page.locator("#verdict .chip").get_by_text(verdict).wait_for()
            reply = await site.asks("plain", sender)
            assert reply.startswith("250 " if verdict == "may print" else "550 5.7.1 ")
        await page.get_by_role("button", name="Print a test page").click()
        await told(page, "The test page is job")
        assert (await plain.job(1)).pages == 1
        await page.goto("/printers/plain")
        await page.get_by_role("button", name="Pause").click()
        await told(page, "plain is paused")
        number = await site.house.mail("plain", b"%!PS\n")
        await page.goto("/jobs?printer=plain")
        await page.get_by_role("button", name=f"Cancel job {number}").click()
        await told(page, f"Job {number} is canceled.")
        await page.goto("/printers/plain")
        await page.get_by_role("button", name="Resume").click()
        await told(page, "plain goes on printing")
        await page.get_by_role("button", name="Refuse mail").click()
        await told(page, "plain takes no mail")
        assert (await site.house.submit(mail_of(b"%!PS\n"), "plain"))[0] == 450
        await page.get_by_role("button", name="Log out").click()
        await page.get_by_role("heading", name="Log in").wait_for()
    assert (await site.house.job(number)).state is JobState.CANCELED
