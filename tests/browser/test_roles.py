"""Who may what at the page, and that another site may nothing."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.async_api import Page

from tests.browser.conftest import Make
from tests.browser.visits import Site, chip, told
from tests.house import mail_of, promised

pytestmark = [pytest.mark.asyncio(loop_scope="package"), pytest.mark.slow]

NOWHERE = "socket://192.0.2.7:9100"


async def status(page: Page, path: str) -> int:
    answer = await page.goto(path)
    assert answer is not None
    return answer.status


async def posts(page: Page, path: str) -> int:
    """The status of a form posted from the page itself, whether or not it shows the button."""
    found = await page.evaluate(
        "path => fetch(path, {method: 'POST', redirect: 'manual'}).then(got => got.status)", path
    )
    return int(found)


async def mail_from(site: Site, sender: str, printer: str) -> int:
    code, text = await site.house.submit(mail_of(b"%!PS\n", sender=sender), printer, sender=sender)
    assert code == 250, text
    return promised(text)


async def test_an_ordinary_user_has_his_own_jobs_and_nothing_else(site: Site) -> None:
    olga = await site.person("olga")
    await site.house.add("common", NOWHERE)
    await site.house.store.set_paused("common", paused=True)
    own = await mail_from(site, olga.address, "common")
    other = await mail_from(site, "ada@example.com", "common")
    async with site.visit(olga, "/jobs?printer=common") as page:
        await page.locator(f"#job-{own}").wait_for()
        assert await page.locator(f"#job-{other}").count() == 0
        assert await status(page, f"/jobs/{other}") == 404
        assert await page.get_by_role("link", name="People").count() == 0
        assert await status(page, "/printers/common") == 200
        assert await page.locator("main form").evaluate_all("forms => forms.map(form => form.action)") == [
            f"{site.origin}/jobs/{own}/cancel"
        ]
        for path in ("/printers/common/settings", "/printers/common/try", "/printers/new", "/people", "/add-person"):
            assert await status(page, path) == 403, path
        await page.goto("/")
        for path in ("/printers/common/resume", "/printers/common/settings", "/printers/common/test-page"):
            assert await posts(page, path) == 403, path
        assert await posts(page, f"/jobs/{other}/cancel") == 404
        await page.goto(f"/jobs/{own}")
        await page.get_by_role("button", name=f"Cancel job {own}").click()
        await told(page, f"Job {own} is canceled.")
    assert (await site.house.store.printer_state("common")).paused


async def test_a_service_person_operates_and_sets_nothing(site: Site, printer: Make) -> None:
    serge = await site.person("serge")
    served = await printer("served", service_person=(serge.address,))
    async with site.visit(serge, "/printers/served") as page:
        assert await page.get_by_role("link", name="Settings").count() == 0
        await page.get_by_role("button", name="Pause").click()
        await told(page, "served is paused")
        number = await mail_from(site, "ada@example.com", "served")
        await page.get_by_role("button", name=f"Hold job {number}").click()
        await told(page, f"Job {number} is held")
        await page.get_by_role("button", name=f"Release job {number}").click()
        await told(page, f"Job {number} waits")
        await page.get_by_role("button", name="Resume").click()
        await told(page, "served goes on printing")
        assert (await served.job(1)).octets > 0
        for path in ("/printers/served/settings", "/printers/served/remove", "/people"):
            assert await status(page, path) == 403, path
        assert await posts(page, "/printers/served/settings") == 403
        assert await posts(page, "/printers/common/pause") in (403, 404)  # not his


# -- another site

EVIL = """<!doctype html><title>win a prize</title>
<form method="post" action="{target}"><input type="hidden" name="allow" value="*"></form>
<script>
{script}
</script>
"""
FORM = "document.forms[0].submit();"
FETCH = """fetch("{target}", {{method: "POST", mode: "no-cors", credentials: "include"}}).then(
  () => document.title = "done", () => document.title = "done");"""


class _Evil(BaseHTTPRequestHandler):
    def __init__(self, page: bytes, *arguments: object) -> None:
        self._page = page
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(self._page)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def another_site(page: str) -> Iterator[int]:
    """A web server with one page; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Evil, page.encode())) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"], ids=["another port", "another host"])
async def test_another_sites_page_changes_nothing(site: Site, host: str) -> None:
    """From another port the browser sends the cookie along: it counts as the same site, and is not the same origin."""
    name = f"robust-{'port' if host[0] == '1' else 'host'}"
    await site.house.add(name, NOWHERE)
    async with site.visit(site.administrator, f"/printers/{name}") as own:
        page = await own.context.new_page()  # what the browser says of the other site's page is not ours to keep silent
        for path in (f"/printers/{name}/pause", f"/printers/{name}/settings", f"/printers/{name}/remove"):
            target = site.origin + path
            with another_site(EVIL.format(target=target, script=FORM)) as port:
                async with page.expect_response(target) as answered:
                    await page.goto(f"http://{host}:{port}/", wait_until="commit")
                assert (await answered.value).status == 403
                await page.get_by_text("This request does not come from this page itself").wait_for()
        target = f"{site.origin}/printers/{name}/pause"
        with another_site(EVIL.format(target=target, script=FETCH.format(target=target))) as port:
            await page.goto(f"http://{host}:{port}/")
            await page.wait_for_function("document.title === 'done'")
        await own.reload()
        await chip(own, "#standing", "ready")
        await own.get_by_role("button", name="Pause").click()  # who is there himself may
        await told(own, f"{name} is paused")
    kept = await site.house.directory.printer(name)
    assert kept is not None
    assert kept.allow == ("@example.com",)
